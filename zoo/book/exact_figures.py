"""Figures that dynamic programming gives, or is compared with: each a function that measures and one that draws.

    figure_4_3      the gambler's problem: value iteration, sweep by sweep
    figure_5_2      blackjack: the policy that Monte Carlo control learns, beside the best one
    example_13_1    the short corridor: the value of going right with probability p

Read next: ``prediction_figures.py``, where there is a policy and no model.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_ext.envs import Gambler, TabularEnv
from sb3_ext.envs.textbook.blackjack import GRID, HIT, LOWEST, N_GRID, Blackjack, is_hand
from sb3_ext.envs.textbook.short_corridor import BEST_PROBABILITY, short_corridor_mdp
from sb3_ext.tabular import MonteCarloControl, policy_evaluation, sweep
from sb3_ext.tabular.planning import expected_return, look_ahead, optimal_actions, value_iteration
from sb3_ext.zoo.book.curves import Curves, Floats, Row, Table, frame, quiet, row_of

SWEEPS = (1, 2, 3, 32)
LEARNED = "learned"

# ---- Figure 4.3: the gambler ----------------------------------------------------------------------------------------


def figure_4_3() -> Curves:
    """Figure 4.3: the gambler's problem, values after 1, 2, 3 and 32 sweeps, and the smallest best stake (p 0.4).

    A sweep is equation 4.10 for all states at once. Nothing is random: there is one run.
    """
    mdp = Gambler().mdp
    values, runs = np.zeros(mdp.n_states), {}
    for n in range(1, SWEEPS[-1] + 1):
        values = look_ahead(mdp, values, gamma=1.0).max(axis=1)
        if n in SWEEPS:
            runs[f"sweep {n}"] = values[None, 1:-1]
    runs["stake"] = best_stakes(values).argmax(axis=1)[None, 1:-1] + 1.0
    return Curves(np.arange(1.0, mdp.n_states - 1), runs)


def best_stakes(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """The stakes that are as good as the best, by one step of look-ahead; [101, 50], the first column is a stake of 1.

    Example:
        >>> np.flatnonzero(best_stakes(Gambler().exact_values())[15]) + 1  # more than 15 counts as 15
        array([10, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
               31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47,
               48, 49, 50])
    """
    return optimal_actions(look_ahead(Gambler().mdp, values, gamma=1.0), tolerance=1e-9)


def rows_of_figure_4_3(curves: Curves) -> list[Row]:
    """Values after the last sweep beside their closed form, and whether the stakes found are among the best."""
    exact, last = Gambler().exact_values(), f"sweep {SWEEPS[-1]}"
    rows = [
        Row(f"chance to win with {capital}, {last}", float(curves.runs[last][0, capital - 1]), 0.0,
            float(exact[capital]), "exact")
        for capital in (25, 50, 75)
    ]  # fmt: skip
    right = best_stakes(exact)[curves.x.astype(int), curves.runs["stake"][0].astype(int) - 1]
    return [
        *rows,
        Row("% of capitals whose stake is one of the best", 100.0 * float(right.mean()), 0.0, 100.0, "exact"),
    ]


def draw_figure_4_3(curves: Curves) -> Figure:
    """Values over capital, and below them every best stake, the smallest of which the book shows."""
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    for n, color in zip(SWEEPS, ("0.7", "C2", "C1", "C0"), strict=True):
        upper.plot(curves.x, curves.runs[f"sweep {n}"][0], color=color, label=f"sweep {n}")
    upper.set(title="Figure 4.3: the gambler's problem", ylabel="value estimates", ylim=(0, 1))
    upper.legend(frameon=False)
    capital, action = np.nonzero(best_stakes(Gambler().exact_values())[:-1])
    stake = np.minimum(action + 1, np.minimum(capital, 100 - capital))
    lower.plot(capital, stake, ".", color="0.75", markersize=4, label="as good")
    lower.step(curves.x, curves.runs["stake"][0], where="mid", color="C0", label="smallest best")
    lower.set(xlabel="capital", ylabel="stake", xlim=(0, curves.x[-1] + 1), ylim=(0, 52))
    lower.legend(frameon=False)
    for axes in (upper, lower):
        quiet(axes)
    return figure


# ---- Figure 5.2: blackjack ------------------------------------------------------------------------------------------


def figure_5_2(n_runs: int = 10, n_episodes: int = 1_000_000, n_threads: int | None = None) -> Curves:
    """Figure 5.2: blackjack, the greedy policy after a million episodes of on-policy Monte Carlo control.

    The book's method is Monte Carlo ES; here episodes start from every hand alike, too, but their first action is
    epsilon-greedy like the others (epsilon 0.1, section 5.4). Returns are averaged ("1/N").

    Returns:
        For each state, whether a run's policy hits, [n_runs, 390].
    """
    mdp = Blackjack().mdp
    hands = np.array([is_hand(state) for state in range(mdp.n_states)])
    world = replace(mdp, start=hands / hands.sum())
    result = sweep(
        MonteCarloControl, partial(TabularEnv, world), seeds=n_runs, n_episodes=n_episodes, gamma=1.0,
        learning_rate="1/N", exploration=0.1, initial_value=0.0, n_threads=n_threads, progress_bar=False,
    )  # fmt: skip
    hits = (result.q_tables[0].argmax(axis=2) == HIT).astype(np.float64)
    return Curves(np.arange(float(mdp.n_states)), {LEARNED: hits})


def rows_of_figure_5_2(curves: Curves) -> list[Row]:
    """What the learned policies are worth, by dynamic programming, and on how many hands they are right."""
    mdp, runs = Blackjack().mdp, curves.runs[LEARNED]
    solution = value_iteration(mdp, gamma=1.0)
    worth = [expected_return(mdp, hits.astype(int), gamma=1.0) for hits in runs]
    asked = _asked()
    right = 100.0 * (runs == solution.policy)[:, asked].mean(axis=1)
    return [
        row_of("value of the learned policy", worth, float(mdp.start @ solution.values), "at most"),
        row_of(f"% of {asked.sum()} hands with the best action", right, 100.0, "at most"),
    ]


def _asked() -> npt.NDArray[np.bool_]:
    """The hands that figure 5.2 shows: sums from 12 to 21 (below, nobody sticks) [390]."""
    sums = np.arange(N_GRID) // 20 + LOWEST
    shown = np.array([is_hand(state) for state in range(N_GRID)]) & (sums >= 12)
    return np.concatenate([shown, np.zeros(10, dtype=bool)])


def draw_figure_5_2(curves: Curves) -> Figure:
    """The share of the runs that hit in each hand, and the border of the best policy."""
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    learned = curves.mean(LEARNED)[:N_GRID].reshape(GRID)
    exact = value_iteration(Blackjack().mdp, gamma=1.0).policy[:N_GRID].reshape(GRID) == HIT
    for axes, usable, title in zip(panels, (1, 0), ("usable ace", "no usable ace"), strict=True):
        image = axes.imshow(learned[12 - LOWEST : 22 - LOWEST, :, usable], origin="lower", vmin=0, vmax=1, cmap="Blues",
                            extent=(0.5, 10.5, 11.5, 21.5), aspect="auto")  # fmt: skip
        _draw_border(axes, exact[:, :, usable])
        axes.set(title=title, xlabel="dealer showing", xticks=range(1, 11), yticks=range(12, 22))
        axes.set_xticklabels(["A", *map(str, range(2, 11))])
    panels[0].set_ylabel("player's sum")
    figure.colorbar(image, ax=panels, label="share of the runs that hit")
    figure.suptitle(f"Figure 5.2: blackjack, {curves.n_runs} learned policies; line: the best one")
    return figure


def _draw_border(axes: Axes, hits: npt.NDArray[np.bool_]) -> None:
    """A line above the highest sum at which the best policy hits, for each card of the dealer."""
    heights = [LOWEST + np.flatnonzero(column)[-1] + 0.5 for column in hits.T]
    axes.stairs(heights, np.arange(0.5, 11), baseline=None, color="C3", linewidth=2)


# ---- Example 13.1: the short corridor -------------------------------------------------------------------------------


def example_13_1() -> Curves:
    """Example 13.1: the short corridor, value of the start if right is taken with probability p in every state.

    Each point is a policy evaluated by dynamic programming; nothing is random: there is one run.
    """
    probabilities = np.arange(1, 1000) / 1000
    return Curves(probabilities, {"value": np.array([[value_of_going_right(p) for p in probabilities.tolist()]])})


def value_of_going_right(p: float) -> float:
    """J(p), from the model.

    Example:
        >>> round(value_of_going_right(0.5), 6)
        -12.0
    """
    mdp = short_corridor_mdp()
    policy: Floats = np.broadcast_to([1 - p, p], (mdp.n_states, 2))
    return float(mdp.start @ policy_evaluation(mdp, policy, gamma=1.0).values)


def rows_of_example_13_1(curves: Curves) -> list[Row]:
    """The best probability (of those tried, 0.001 apart), its value, and those of the epsilon-greedy policies."""
    best = int(curves.runs["value"][0].argmax())

    def row(what: str, measured: Any, reference: float, kind: str) -> Row:
        return Row(what, float(measured), 0.0, reference, kind)

    return [
        row("best probability of right", curves.x[best], BEST_PROBABILITY, "exact"),
        row("its value", curves.runs["value"][0, best], -6 - 4 * np.sqrt(2), "exact"),
        row("ε-greedy right, ε = 0.1", value_of_going_right(0.95), -44.0, "book, about"),
        row("ε-greedy left, ε = 0.1", value_of_going_right(0.05), -82.0, "book, about"),
    ]


def draw_example_13_1(curves: Curves) -> Figure:
    """J over p, the best p and the two epsilon-greedy policies marked."""
    figure, axes = frame("Example 13.1: the short corridor", "probability of right action", "value of the start")
    axes.plot(curves.x, curves.runs["value"][0], color="C0")
    for label, p, offset, side in (
        ("ε-greedy left", 0.05, (10, 0), "left"),
        ("best policy", BEST_PROBABILITY, (0, -16), "center"),
        ("ε-greedy right", 0.95, (-10, 0), "right"),
    ):
        value = value_of_going_right(p)
        axes.plot(p, value, "o", color="C3")
        axes.annotate(f"{label}: {value:.1f}", (p, value), xytext=offset, textcoords="offset points", va="center",
                      ha=side)  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(-100, 0))
    return figure


FIGURES: Table = {
    "figure-4.3": (figure_4_3, draw_figure_4_3, rows_of_figure_4_3),
    "figure-5.2": (figure_5_2, draw_figure_5_2, rows_of_figure_5_2),
    "example-13.1": (example_13_1, draw_example_13_1, rows_of_example_13_1),
}
"""name -> (what measures it, what draws that, what puts its numbers into a table)"""
