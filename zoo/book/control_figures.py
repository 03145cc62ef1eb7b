"""The figures of chapter 6 on control: each a function that measures and one that draws.

    example_6_5    SARSA in the windy grid world: episodes finished over time steps
    example_6_6    the cliff: SARSA takes the safe way, Q-learning the best one, and falls off it
    figure_6_3     the cliff again, early and late returns over alpha: Expected SARSA is best at every alpha
    figure_6_5     maximisation bias: Q-learning is drawn to the noise on the left, double Q-learning is not

Runs are seeds 0, 1, 2, ...; a run is what ``Algorithm("TabularPolicy", env, seed=seed, ...).learn(...)`` does, see
``sb3_ext/tabular/parameter_sweep.py``. The parameters are the book's, not the classes' defaults. No episode has a time
limit, as in the book.

Read next: ``planning_figures.py``, on Dyna.
"""

from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_ext.envs import GridWorld, TabularEnv
from sb3_ext.envs.textbook.maximization_bias import B, maximization_bias_mdp
from sb3_ext.tabular import SARSA, DoubleQLearning, ExpectedSARSA, QLearning, TabularMDP, sweep, value_iteration
from sb3_ext.tabular.algorithm import TabularAlgorithm
from sb3_ext.zoo.book.curves import Curves, Floats, Row, Table, draw_curve, frame, row_of
from sb3_ext.zoo.book.soft_policies import best_soft_return, return_while_exploring

EPSILON = 0.1
BOOK: dict[str, Any] = {"gamma": 1.0, "exploration": EPSILON, "initial_value": 0.0, "progress_bar": False}
METHODS: dict[str, type[TabularAlgorithm]] = {
    "SARSA": SARSA,
    "Q-learning": QLearning,
    "Expected SARSA": ExpectedSARSA,
}
COLORS = {"SARSA": "C0", "Q-learning": "C3", "Expected SARSA": "C2", "double Q-learning": "C2"}
STEP_SIZES = tuple(round(0.1 * k, 1) for k in range(1, 11))
INTERIM = 100  # first episodes, in figure 6.3
SETTLED = 1000  # episodes after which figure 6.3's late returns begin
N_QUANTILES = 201  # rewards that stand for the normal distribution


# ---- Example 6.5: wind ----------------------------------------------------------------------------------------------


def example_6_5(n_runs: int = 100, n_steps: int = 8000, n_threads: int | None = None) -> Curves:
    """Example 6.5: SARSA in the windy grid world, episodes finished in the first 8000 steps (alpha 0.5)."""
    result = sweep(
        SARSA, partial(GridWorld, "WindyGridWorld"), seeds=n_runs, total_timesteps=n_steps, learning_rate=0.5,
        n_threads=n_threads, **BOOK,
    )  # fmt: skip
    ends = np.cumsum(result.lengths[0], axis=1)  # [n_runs, n_episodes], not a number after a run's last
    steps = np.arange(0, n_steps + 1, 50)
    finished = np.array([np.searchsorted(run, steps, side="right") for run in ends], dtype=np.float64)
    return Curves(steps.astype(np.float64), {"SARSA": finished})


def rows_of_example_6_5(curves: Curves) -> list[Row]:
    """The slope at the end, as steps an episode, beside what the book says and the least that is possible."""
    mdp, finished = GridWorld("WindyGridWorld").mdp, curves.runs["SARSA"]
    shortest = -float(mdp.start @ value_iteration(mdp, gamma=1.0).values)
    late = curves.x >= curves.x[-1] - 2000
    slope = (curves.x[late][-1] - curves.x[late][0]) / (finished[:, late][:, -1] - finished[:, late][:, 0])
    return [
        Row("shortest way, by dynamic programming", shortest, 0.0, 15.0, "book"),
        row_of("steps an episode, while exploring, steps 6000 to 8000", slope, 17.0, "book, about"),
        row_of("the same, against the best that ε = 0.1 allows", slope, -best_soft_return(mdp, EPSILON), "at least"),
        curves.row("SARSA", -1, "episodes in 8000 steps"),
    ]


def draw_example_6_5(curves: Curves) -> Figure:
    """Episodes over steps: the steeper, the shorter the way; the first runs thin, their mean thick."""
    figure, axes = frame("Example 6.5: SARSA in the windy grid world", "time steps", "episodes finished")
    axes.plot(curves.x, curves.runs["SARSA"][:20].T, color="0.8", linewidth=0.7)
    draw_curve(axes, curves, "SARSA", label=f"SARSA, mean of {curves.n_runs} runs", color="C0", linewidth=2)
    last = curves.mean("SARSA")[-1]
    shown = curves.x[curves.x >= curves.x[-1] - 2500]
    axes.plot(shown, last + (shown - shown[-1]) / 15, "k--", linewidth=1, label="slope of the shortest way, 15 steps")
    axes.set(xlim=(0, curves.x[-1]), ylim=(0, None))
    axes.legend(frameon=False)
    return figure


# ---- Example 6.6 and figure 6.3: the cliff --------------------------------------------------------------------------


def example_6_6(n_runs: int = 500, n_episodes: int = 500, n_threads: int | None = None) -> Curves:
    """Example 6.6: the cliff, sum of rewards in each of 500 episodes, with Expected SARSA added (alpha 0.5)."""
    return Curves(
        np.arange(1.0, n_episodes + 1),
        {
            label: _on_the_cliff(method, 0.5, n_runs, n_episodes, n_threads)
            for label, method in METHODS.items()
        },
    )  # fmt: skip


def rows_of_example_6_6(curves: Curves) -> list[Row]:
    """The returns of the last 100 episodes."""
    simulated = {"SARSA": -26.9, "Q-learning": -50.7, "Expected SARSA": -21.3}
    return [
        curves.row(label, slice(-100, None), f"{label}, return in the last 100 episodes", reference, "simulated")
        for label, reference in simulated.items()
    ]


def draw_example_6_6(curves: Curves) -> Figure:
    """Returns over episodes, each the mean of ten, and where they are heading."""
    figure, axes = frame(
        "Example 6.6: the cliff", "episodes", f"sum of rewards during episode, mean of {curves.n_runs} runs"
    )
    n_means = len(curves.x) // 10
    smooth = Curves(
        curves.x[: n_means * 10].reshape(n_means, 10).mean(axis=1),
        {name: runs[:, : n_means * 10].reshape(len(runs), n_means, 10).mean(axis=2)
         for name, runs in curves.runs.items()},
    )  # fmt: skip
    for label in curves.runs:
        draw_curve(axes, smooth, label, color=COLORS[label])
    _draw_limits(axes)
    axes.set(ylim=(-100, -10), xlim=(0, curves.x[-1]))
    axes.legend(frameon=False, loc="lower right", ncols=2)
    return figure


def figure_6_3(
    n_runs: int = 500, n_episodes: int = 100_000, n_long_runs: int | None = None, n_threads: int | None = None
) -> Curves:
    """Figure 6.3: the cliff, early and late returns of three methods by alpha.

    Early ("interim") is the mean of the first 100 episodes, as in the book, there of 50,000 runs. Late ("asymptotic")
    is that of 100,000 episodes in 10 runs, as in the book, but without the first 1000 (half of them, if there are fewer
    than 2000), in which a small alpha is still learning.

    Args:
        n_runs: Runs of the early returns.
        n_episodes: Episodes of the late returns.
        n_long_runs: Runs of the late returns; a fiftieth of ``n_runs``, at least 2, if left out.
        n_threads: At the same time.
    """
    n_long_runs = max(2, n_runs // 50) if n_long_runs is None else n_long_runs
    settled = min(SETTLED, n_episodes // 2)
    runs: dict[str, Floats] = {}
    for label, method in METHODS.items():
        measure = partial(_on_the_cliff, method, n_threads=n_threads)
        early = [measure(alpha, n_runs, INTERIM).mean(axis=1) for alpha in STEP_SIZES]
        late = [measure(alpha, n_long_runs, n_episodes)[:, settled:].mean(axis=1) for alpha in STEP_SIZES]
        runs |= {f"{label}, early": np.stack(early, axis=1), f"{label}, late": np.stack(late, axis=1)}
    return Curves(np.array(STEP_SIZES), runs)


def rows_of_figure_6_3(curves: Curves) -> list[Row]:
    """Where each method's curve is highest, and the late returns beside the exact ones."""
    mdp = GridWorld("CliffWalking").mdp
    best, greedy = best_soft_return(mdp, EPSILON), return_while_exploring(mdp, EPSILON)
    rows = []
    for label in METHODS:
        name = f"{label}, early"
        top = int(curves.mean(name).argmax())
        rows.append(curves.row(name, top, f"{name}: best, at alpha {curves.x[top]:g}"))
    return [
        *rows,
        curves.row("SARSA, late", 0, "SARSA, late: alpha 0.1", best, "at most"),
        curves.row("Q-learning, late", -1, "Q-learning, late: alpha 1", greedy, "exact"),
        curves.row("Expected SARSA, late", 0, "Expected SARSA, late: alpha 0.1", best, "exact"),
        curves.row("Expected SARSA, late", -1, "Expected SARSA, late: alpha 1", best, "exact"),
    ]


def draw_figure_6_3(curves: Curves) -> Figure:
    """Returns over alpha: late ones full, early ones dashed."""
    figure, axes = frame("Figure 6.3: early and late returns on the cliff", r"$\alpha$", "sum of rewards per episode")
    for label in METHODS:
        for when, line in (("late", "-"), ("early", "--")):
            name = f"{label}, {when}"
            draw_curve(axes, curves, name, color=COLORS[label], linestyle=line, marker="o", markersize=3)
    axes.set(ylim=(-160, 0), xlim=(curves.x[0], curves.x[-1]))
    axes.legend(frameon=False, ncols=3, loc="upper center", fontsize="small")
    return figure


def _on_the_cliff(
    method: type[TabularAlgorithm], alpha: float, n_runs: int, n_episodes: int, n_threads: int | None
) -> Floats:
    """Sum of rewards in each episode, [n_runs, n_episodes]."""
    result = sweep(
        method, partial(GridWorld, "CliffWalking"), seeds=n_runs, n_episodes=n_episodes, learning_rate=alpha,
        n_threads=n_threads, **BOOK,
    )  # fmt: skip
    return result.returns[0]


def _draw_limits(axes: Axes) -> None:
    """Lines at the exact returns that the methods are heading for."""
    mdp = GridWorld("CliffWalking").mdp
    best, greedy = best_soft_return(mdp, EPSILON), return_while_exploring(mdp, EPSILON)
    axes.axhline(best, color="k", linestyle="--", linewidth=1, label=f"best of all ε-greedy: {best:.1f}")
    axes.axhline(greedy, color="k", linestyle=":", linewidth=1, label=f"ε-greedy in q*: {greedy:.1f}")


# ---- Figure 6.5: maximisation bias ----------------------------------------------------------------------------------


def figure_6_5(n_runs: int = 2000, n_episodes: int = 300, n_threads: int | None = None) -> Curves:
    """Figure 6.5: how often A's action is left, in percent, Q-learning and double Q-learning (alpha 0.1, 300 episodes).

    Unlike in the book's world, A has five actions that go left and five that go right; see
    ``sb3_ext/envs/textbook/maximization_bias.py``. Each left action must be found to be bad by itself, so Q-learning
    goes left for longer.
    """
    runs = {}
    for label, method in (("Q-learning", QLearning), ("double Q-learning", DoubleQLearning)):
        result = sweep(
            method, partial(TabularEnv, noisy_mdp()), seeds=n_runs, n_episodes=n_episodes, learning_rate=0.1,
            n_threads=n_threads, **BOOK,
        )  # fmt: skip
        runs[label] = 100.0 * (result.lengths[0] == 2)  # by way of B
    return Curves(np.arange(1.0, n_episodes + 1), runs)


def noisy_mdp(mean: float = -0.1, std: float = 1.0, n_quantiles: int = N_QUANTILES) -> TabularMDP:
    """The world of figure 6.5 as nothing but a transition table: 201 equally likely rewards stand for N(-0.1, 1).

    They are the middles of as many equal shares of the distribution, stretched so that mean and variance are exact. The
    two distribution functions differ by 0.0033 at most, the mean of the largest of ten rewards by 0.0002.

    Example:
        >>> rewards = noisy_mdp().reward[B, 0]
        >>> rewards.mean().round(9), rewards.std().round(9)
        (np.float64(-0.1), np.float64(1.0))
    """
    middles = (np.arange(n_quantiles) + 0.5) / n_quantiles
    quantiles = np.array([NormalDist().inv_cdf(middle) for middle in middles])
    table = maximization_bias_mdp(mean=mean)
    shape = (*table.next_state.shape[:2], n_quantiles)
    reward = np.broadcast_to(table.reward, shape).copy()
    reward[B] += std * quantiles / quantiles.std()
    return TabularMDP.from_arrays(
        np.broadcast_to(table.next_state, shape), reward, table.terminated, 1 / n_quantiles, table.start
    )


def rows_of_figure_6_5(curves: Curves) -> list[Row]:
    """At the start a left action is as likely as a right one; in the end 5 % are left, by exploration alone."""
    rows = []
    for label in curves.runs:
        rows += [
            curves.row(label, 0, f"{label}, % left in episode 1", 50.0, "exact"),
            curves.row(label, slice(-10, None), f"{label}, % left in the last 10 episodes", 5.0, "at least"),
        ]
    peak = int(curves.mean("Q-learning").argmax())
    return [*rows, curves.row("Q-learning", peak, f"Q-learning, % left at its peak, episode {peak + 1}")]


def draw_figure_6_5(curves: Curves) -> Figure:
    """Percentage of left actions over episodes, and the least that exploration allows."""
    figure, axes = frame("Figure 6.5: maximisation bias", "episodes", "left actions from A, %")
    for label in curves.runs:
        draw_curve(axes, curves, label, color=COLORS[label])
    axes.axhline(5, color="k", linestyle="--", linewidth=1, label="optimal: 5 %")
    axes.set(ylim=(0, 100), xlim=(1, curves.x[-1]))
    axes.legend(frameon=False, title=f"mean of {curves.n_runs} runs")
    return figure


FIGURES: Table = {
    "example-6.5": (example_6_5, draw_example_6_5, rows_of_example_6_5),
    "example-6.6": (example_6_6, draw_example_6_6, rows_of_example_6_6),
    "figure-6.3": (figure_6_3, draw_figure_6_3, rows_of_figure_6_3),
    "figure-6.5": (figure_6_5, draw_figure_6_5, rows_of_figure_6_5),
}
"""name -> (what measures it, what draws that, what puts its numbers into a table)"""
