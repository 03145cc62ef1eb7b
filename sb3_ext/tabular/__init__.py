"""Tabular worlds and agents: exact models, exact solutions, and every way of the book to learn them.

Read them in this order:

    mdp.py              TabularMDP, a world as arrays
    planning.py         its exact solution, by dynamic programming; sweeps.py and endings.py: how, on large worlds
    optimality_gap.py   how far any SB3 agent is from it, while it learns
    rules.py            the update rules, each beside its equation
    q_learning.py       QLearning, DoubleQLearning      then sarsa.py, monte_carlo.py, dyna_q.py
    learning.py         how a step is learned from; agent.py: what an agent consists of
    algorithm.py        what makes them SB3 algorithms; policy.py: the table as an SB3 policy; parameters.py, files.py
    engine.py           the loop, compiled; worlds.py and callback_schedule.py: when that may be used
    prediction.py       the value of a given policy, learned; batch_prediction.py: from a fixed set of episodes
    parameter_sweep.py  many seeds and hyperparameters at once

The names below are loaded when they are first used (PEP 562): environments build on ``TabularMDP`` alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sb3_ext.tabular.mdp import TabularMDP

if TYPE_CHECKING:
    from sb3_ext.tabular.batch_prediction import Experience, batch_monte_carlo, batch_td, sample_episodes
    from sb3_ext.tabular.dyna_q import DynaQ
    from sb3_ext.tabular.monte_carlo import MonteCarloControl
    from sb3_ext.tabular.optimality_gap import OptimalityGapCallback
    from sb3_ext.tabular.parameter_sweep import Sweep, sweep
    from sb3_ext.tabular.planning import (
        Solution,
        expected_return,
        look_ahead,
        modified_policy_iteration,
        optimal_actions,
        policy_evaluation,
        policy_iteration,
        value_iteration,
    )
    from sb3_ext.tabular.policy import TabularPolicy
    from sb3_ext.tabular.prediction import (
        importance_sampling,
        monte_carlo_prediction,
        td_lambda_prediction,
        td_prediction,
    )
    from sb3_ext.tabular.q_learning import DoubleQLearning, QLearning
    from sb3_ext.tabular.sarsa import SARSA, ExpectedSARSA

_NAMES_OF = {
    "batch_prediction": ["Experience", "batch_monte_carlo", "batch_td", "sample_episodes"],
    "dyna_q": ["DynaQ"],
    "monte_carlo": ["MonteCarloControl"],
    "optimality_gap": ["OptimalityGapCallback"],
    "parameter_sweep": ["Sweep", "sweep"],
    "planning": [
        "Solution",
        "expected_return",
        "look_ahead",
        "modified_policy_iteration",
        "optimal_actions",
        "policy_evaluation",
        "policy_iteration",
        "value_iteration",
    ],
    "policy": ["TabularPolicy"],
    "prediction": ["importance_sampling", "monte_carlo_prediction", "td_lambda_prediction", "td_prediction"],
    "q_learning": ["DoubleQLearning", "QLearning"],
    "sarsa": ["SARSA", "ExpectedSARSA"],
}
_HOME_OF = {name: module for module, names in _NAMES_OF.items() for name in names}

__all__ = [
    "SARSA",
    "DoubleQLearning",
    "DynaQ",
    "ExpectedSARSA",
    "Experience",
    "MonteCarloControl",
    "OptimalityGapCallback",
    "QLearning",
    "Solution",
    "Sweep",
    "TabularMDP",
    "TabularPolicy",
    "batch_monte_carlo",
    "batch_td",
    "expected_return",
    "importance_sampling",
    "look_ahead",
    "modified_policy_iteration",
    "monte_carlo_prediction",
    "optimal_actions",
    "policy_evaluation",
    "policy_iteration",
    "sample_episodes",
    "sweep",
    "td_lambda_prediction",
    "td_prediction",
    "value_iteration",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sb3_ext.tabular' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"sb3_ext.tabular.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
