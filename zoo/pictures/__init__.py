"""Pictures of tabular learning: each a function that returns a Matplotlib figure, from arrays or from a model.

    draw_q_table_evolution             the table as a heatmap with greedy arrows, over training, beside the exact one
    draw_learning_curves               mean or median over seeds, in a confidence band
    draw_cliff_paths                   Sutton & Barto's Example 6.6: SARSA's safe path and Q-learning's along the edge
    draw_learning_rates_and_discounts  what alpha and gamma are worth on FrozenLake, seed by seed

What is drawn comes from ``TableSnapshots`` (a callback), ``cliff_runs`` and ``learning_rates_and_discounts`` (which
measure); success rates are computed by ``return_within``, not simulated. ``sb3-ext lab`` writes all of them.
"""

from sb3_ext.zoo.pictures.cliff import draw_cliff_paths, greedy_path
from sb3_ext.zoo.pictures.curves import confidence_band, draw_learning_curves
from sb3_ext.zoo.pictures.measured import (
    TableSnapshots,
    cliff_runs,
    greedy_policy,
    learning_rates_and_discounts,
    return_within,
)
from sb3_ext.zoo.pictures.rates import ASKED, draw_learning_rates_and_discounts, planned_rate
from sb3_ext.zoo.pictures.table import animate_q_table, draw_q_table_evolution, read_plan

__all__ = [
    "ASKED",
    "TableSnapshots",
    "animate_q_table",
    "cliff_runs",
    "confidence_band",
    "draw_cliff_paths",
    "draw_learning_curves",
    "draw_learning_rates_and_discounts",
    "draw_q_table_evolution",
    "greedy_path",
    "greedy_policy",
    "learning_rates_and_discounts",
    "planned_rate",
    "read_plan",
    "return_within",
]
