"""What learning rates and discounts are worth on FrozenLake, seed by seed."""

import inspect
from collections.abc import Mapping, Sequence

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_ext.envs.grid.symbols import BLUE, INK, VERMILLION
from sb3_ext.tabular import TabularMDP, value_iteration
from sb3_ext.tabular.algorithm import TabularAlgorithm
from sb3_ext.zoo.pictures.measured import Comparison, learning_rates_and_discounts, return_within

Floats = npt.NDArray[np.float64]

ASKED = 0.7  # success rate on FrozenLake: Gymnasium's threshold, and what lab D.1 asks for


def draw_learning_rates_and_discounts(compared: Mapping[str, Comparison] | None = None) -> Figure:
    """What alpha and gamma are worth on FrozenLake: a dot for each seed, a line at their mean, the bounds.

    In the panel of gamma the grey bars are the exact optimum for that discount, by planning: what is below them was not
    learned, and what they are below of the bound is the price of looking less far ahead. (Close to 1 it is not learned
    because ``initial_value=1`` is optimistic, and where nothing costs anything, optimism hardly wears off: with 0, all
    seeds learn it.)

    Args:
        compared: What ``learning_rates_and_discounts`` measured; by default it is measured now (seconds).
    """
    compared = learning_rates_and_discounts() if compared is None else compared
    mdp = TabularMDP.from_env(gym.make("FrozenLake-v1"))
    bound = float(return_within(mdp, 100))
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = {"learning_rate": r"learning rate $\alpha$", "gamma": r"discount $\gamma$"}
    for axes, (name, color), comparison in zip(
        panels, (("learning_rate", BLUE), ("gamma", VERMILLION)), (compared["learning_rate"], compared["gamma"]),
        strict=True,
    ):  # fmt: skip
        if name == "gamma":
            planned_is = "planned with that discount (exact)"
            planned = [planned_rate(mdp, float(gamma)) for gamma in comparison.values]
            axes.hlines(planned, *_around(planned, 0.42), color="0.7", linewidth=6, zorder=0.5, label=planned_is)
        _draw_dots(axes, comparison, color)
        axes.axhline(bound, color="0.35", linestyle="--", linewidth=1)
        axes.axhline(ASKED, color="0.35", linestyle=":", linewidth=1)
        axes.set_xlabel(names[name])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylabel="success rate of the greedy policy\n(within 100 steps, exact)", ylim=(-0.03, 0.82))
    for height, text in ((bound, f"exact bound\n{bound:.4f}"), (ASKED, f"asked {ASKED:.2f}")):
        place = {"fontsize": 9, "color": "0.25", "va": "bottom" if height == bound else "top"}
        panels[1].annotate(text, (1.01, height), xycoords=("axes fraction", "data"), **place)
    panels[1].legend(frameon=False, loc="lower left", fontsize=9)
    n_seeds = compared["gamma"].rates.shape[1]
    figure.suptitle(f"Q-learning on FrozenLake-v1 (slippery): a dot is one of {n_seeds} seeds, a line their mean")
    return figure


def planned_rate(mdp: TabularMDP, gamma: float) -> float:
    """The success rate within 100 steps of the policy that is optimal for a discount, if the world were known.

    Example:
        >>> round(planned_rate(TabularMDP.from_env(gym.make("FrozenLake-v1")), 0.99), 4)
        0.7402
    """
    policy = value_iteration(mdp, gamma).policy
    return float(return_within(mdp, 100, np.eye(mdp.n_actions)[policy]))


def _around(heights: Sequence[float] | Floats, reach: float) -> tuple[Floats, Floats]:
    places = np.arange(len(heights), dtype=np.float64)
    return places - reach, places + reach


def _draw_dots(axes: Axes, comparison: Comparison, color: str) -> None:
    """The seeds of each value side by side, and their mean."""
    n_values, n_seeds = comparison.rates.shape
    aside = np.linspace(-0.28, 0.28, n_seeds) if n_seeds > 1 else np.zeros(1)
    places = np.arange(n_values)[:, None] + aside
    axes.scatter(places, comparison.rates, s=16, color=color, alpha=0.6, linewidth=0, zorder=3)
    means = comparison.rates.mean(axis=1)
    axes.hlines(means, *_around(means, 0.36), color=INK, linewidth=2, zorder=2, label="mean of the seeds")
    texts = [_value_text(value) for value in comparison.values]
    axes.set_xticks(range(n_values), texts)


def _value_text(value: float | str) -> str:
    """A value at the axis; below it, whether it is the class's default."""
    defaults = inspect.signature(TabularAlgorithm).parameters
    is_default = value in (defaults["learning_rate"].default, defaults["gamma"].default)
    text = value.replace("lin_", "falling ").replace("N^0.5", "√N") if isinstance(value, str) else f"{value:g}"
    return text + "\n(default)" * is_default
