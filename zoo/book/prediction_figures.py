"""The figures on prediction in Sutton & Barto (2nd ed.): each a function that measures and one that draws.

    example_6_2_values    the 5-state walk's values, learned by TD(0) from 0, 1, 10 and 100 episodes
    example_6_2_errors    TD(0) beside constant-alpha Monte Carlo, error over episodes
    figure_6_2            the same under batch updating: TD(0) is better although Monte Carlo fits the batch best
    figure_7_2            n-step TD on the 19-state walk, error over alpha: an intermediate n is best
    figure_12_6           TD(lambda) likewise, by accumulating traces: an intermediate lambda is best
    figure_5_3            a blackjack state's value by importance sampling: weighted errs less, above all at first

Runs are seeds 0, 1, 2, ..., as many as in the book; errors are against the exact values. A method's curves for several
step sizes are made on the same episodes. Left out: the offline lambda-return algorithm, figure 12.6's left half.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_ext.envs.textbook.blackjack import HIT, STICK, Blackjack, observation_of, state_of
from sb3_ext.envs.textbook.random_walk import random_walk_mdp, random_walk_values
from sb3_ext.tabular.batch_prediction import batch_monte_carlo, batch_td, sample_episodes
from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.planning import policy_evaluation
from sb3_ext.tabular.prediction import (
    importance_sampling,
    monte_carlo_prediction,
    td_lambda_prediction,
    td_prediction,
)
from sb3_ext.zoo.book.curves import Curves, Floats, frame

STEP_SIZES = (0.01, 0.02, 0.03, 0.05, 0.075, *(round(0.05 * k, 2) for k in range(2, 21)))
N_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
LAMBDAS = (0.0, 0.4, 0.8, 0.9, 0.95, 0.975, 0.99, 1.0)
TD_STEP_SIZES = (0.15, 0.1, 0.05)
MONTE_CARLO_STEP_SIZES = (0.01, 0.02, 0.03, 0.04)


def rms_error(values: npt.ArrayLike, truth: npt.ArrayLike) -> Floats:
    """Root of the mean squared error over the states, the last axis; [..., S] and [S] give [...].

    Infinite where the values have grown beyond what a number can hold.

    Example:
        >>> rms_error([[3.0, 4.0], [0.0, 0.0]], [0.0, 0.0]).round(4)
        array([3.5355, 0.    ])
    """
    with np.errstate(over="ignore"):
        errors = np.sqrt(np.mean((np.asarray(values) - truth) ** 2, axis=-1))
    return np.where(np.isnan(errors), np.inf, errors)


# ---- Chapter 6: the walk of five states -----------------------------------------------------------------------------


def example_6_2_values(n_runs: int = 100, n_threads: int | None = None) -> Curves:
    """Example 6.2, left: values of the states A to E after 0, 1, 10 and 100 episodes of TD(0), alpha 0.1.

    The book shows one run; so does the drawing, that of seed 0.
    """
    mdp = random_walk_mdp(5)
    values = td_prediction(
        mdp, np.zeros(7, int), 0.1, n_episodes=100, seed=range(n_runs), initial_values=0.5, n_threads=n_threads
    )
    after = {f"{n} episodes": values[:, n, 1:-1] for n in (0, 1, 10, 100)}
    return Curves(np.arange(1.0, 6.0), after)


def example_6_2_errors(n_runs: int = 100, n_threads: int | None = None) -> Curves:
    """Example 6.2, right: RMS error over the five states after 0 to 100 episodes, TD(0) and constant-alpha Monte Carlo.

    Monte Carlo is the every-visit method, as in the book's chapter 6 (equation 6.1).
    """
    mdp, policy, truth = random_walk_mdp(5), np.zeros(7, int), random_walk_values(5)[1:-1]
    run: dict[str, Any] = {"n_episodes": 100, "seed": range(n_runs), "initial_values": 0.5, "n_threads": n_threads}
    values = {f"TD {alpha:g}": td_prediction(mdp, policy, alpha, **run) for alpha in TD_STEP_SIZES}
    for alpha in MONTE_CARLO_STEP_SIZES:
        values[f"MC {alpha:g}"] = monte_carlo_prediction(mdp, policy, alpha, visits="every", **run)
    errors = {label: rms_error(learned[..., 1:-1], truth) for label, learned in values.items()}
    return Curves(np.arange(101.0), errors)


def figure_6_2(n_runs: int = 100, n_episodes: int = 100) -> Curves:
    """Figure 6.2: RMS error of batch TD(0) and batch Monte Carlo on the first 1, 2, ... episodes of a run.

    States that have not been visited keep the initial value 0.5.
    """
    mdp, policy, truth = random_walk_mdp(5), np.zeros(7, int), random_walk_values(5)[1:-1]
    initial = np.array([0.0, *[0.5] * 5, 0.0])
    errors = {"batch TD": np.empty((n_runs, n_episodes)), "batch MC": np.empty((n_runs, n_episodes))}
    for seed in range(n_runs):
        experience = sample_episodes(mdp, policy, n_episodes, seed)
        values = initial
        for n in range(n_episodes):
            batch = experience.first_episodes(n + 1)
            values = batch_td(batch, 7, initial_values=values, tolerance=1e-6)
            errors["batch TD"][seed, n] = rms_error(values[1:-1], truth)
            errors["batch MC"][seed, n] = rms_error(batch_monte_carlo(batch, 7, 1.0, initial)[1:-1], truth)
    return Curves(np.arange(1.0, n_episodes + 1), errors)


# ---- Chapters 7 and 12: the walk of nineteen states -----------------------------------------------------------------


def figure_7_2(n_runs: int = 100, n_threads: int | None = None) -> Curves:
    """Figure 7.2: RMS error of n-step TD over the 19 states, mean over the first 10 episodes, by alpha and n."""
    run = _ten_episodes(n_runs, n_threads)
    return _over_step_sizes({f"n = {n}": partial(td_prediction, n_steps=n, **run) for n in N_STEPS})


def figure_12_6(n_runs: int = 100, n_threads: int | None = None) -> Curves:
    """Figure 12.6, right: the same for TD(lambda) with accumulating traces, by alpha and lambda.

    Where alpha is too large for lambda the values grow without limit, and so does the error.
    """
    run = _ten_episodes(n_runs, n_threads)
    return _over_step_sizes(
        {f"λ = {lambda_:g}": partial(td_lambda_prediction, lambda_=lambda_, **run) for lambda_ in LAMBDAS}
    )


def _ten_episodes(n_runs: int, n_threads: int | None) -> dict[str, Any]:
    return {"n_episodes": 10, "seed": range(n_runs), "n_threads": n_threads}


def _over_step_sizes(methods: Mapping[str, Callable[[TabularMDP, npt.ArrayLike, float], Floats]]) -> Curves:
    """Each method's error on the 19-state walk: RMS over the states, mean of episodes 1 to 10, by alpha."""
    mdp, truth = random_walk_mdp(19, -1.0, 1.0), random_walk_values(19, -1.0, 1.0)
    policy, inside = np.zeros(21, int), slice(1, -1)
    errors = {
        label: np.stack(
            [rms_error(predict(mdp, policy, alpha)[:, 1:, inside], truth[inside]).mean(axis=1) for alpha in STEP_SIZES],
            axis=-1,
        )
        for label, predict in methods.items()
    }
    return Curves(np.array(STEP_SIZES), errors)


# ---- Chapter 5: blackjack -------------------------------------------------------------------------------------------


def figure_5_3(n_runs: int = 100, n_episodes: int = 10_000, n_threads: int | None = None) -> Curves:
    """Figure 5.3: squared error of off-policy estimates of one state's value after 1, 2, ... episodes.

    The state: dealer's card 2, player's sum 13 with a usable ace. The target policy sticks on 20 and 21 only, the
    behaviour hits or sticks at random. The mean over the runs is the mean squared error that the book shows; the truth
    is the exact value (-0.27720; the book's -0.27726 is a mean over a hundred million episodes).
    """
    mdp, policy, state = blackjack_task()
    truth = policy_evaluation(mdp, policy, gamma=1.0).values[state]
    uniform = np.full((mdp.n_states, mdp.n_actions), 1 / mdp.n_actions)
    errors = {}
    for label, weighted in (("ordinary", False), ("weighted", True)):
        estimates = importance_sampling(
            mdp, policy, uniform, state, weighted=weighted, n_episodes=n_episodes, seed=range(n_runs),
            n_threads=n_threads,
        )  # fmt: skip
        errors[label] = (estimates[:, 1:] - truth) ** 2
    return Curves(np.arange(1.0, n_episodes + 1), errors)


def blackjack_task() -> tuple[TabularMDP, npt.NDArray[np.int64], int]:
    """Example 5.4: the game, the policy that sticks on 20 and 21 only, and the number of the state asked for.

    Example:
        >>> mdp, policy, state = blackjack_task()
        >>> round(float(policy_evaluation(mdp, policy, gamma=1.0).values[state]), 5)
        -0.2772
    """
    mdp = Blackjack().mdp
    sums = np.array([observation_of(state)[0] for state in range(mdp.n_states)])
    return mdp, np.where(sums >= 20, STICK, HIT), state_of((13, 2, 1))


# ---- Drawings -------------------------------------------------------------------------------------------------------


def draw_example_6_2_values(curves: Curves) -> Figure:
    """The run of seed 0, as in the book, and the true values; behind 100 episodes, 10th to 90th percentile of runs."""
    figure, axes = frame("Example 6.2: values learned by TD(0), step size 0.1", "state", "estimated value")
    for label, runs in curves.runs.items():
        axes.plot(curves.x, runs[0], marker="o", markersize=4, label=label)
    low, high = np.percentile(curves.runs["100 episodes"], [10, 90], axis=0)
    axes.fill_between(curves.x, low, high, color="C3", alpha=0.15, linewidth=0)
    axes.plot(curves.x, random_walk_values(5)[1:-1], color="0.15", linestyle="--", label="true values")
    axes.set_xticks(curves.x, list("ABCDE"))
    axes.legend(frameon=False)
    return figure


def draw_example_6_2_errors(curves: Curves) -> Figure:
    """Error over episodes, TD(0) in blues, Monte Carlo in reds."""
    figure, axes = frame("Example 6.2: TD(0) and constant-step Monte Carlo", "episodes", _RMS_OF_WALK)
    _draw_curves(axes, curves, _shades(curves))
    axes.set(ylim=(0, None), xlim=(0, curves.x[-1]))
    axes.legend(frameon=False, ncols=2, title=r"method and $\alpha$")
    return figure


def draw_figure_6_2(curves: Curves) -> Figure:
    """Error over episodes of the two batch methods."""
    figure, axes = frame("Figure 6.2: batch updating", "episodes in the batch", _RMS_OF_WALK)
    _draw_curves(axes, curves, {"batch TD": "C0", "batch MC": "C3"})
    axes.set(ylim=(0, 0.25), xlim=(0, curves.x[-1]))
    axes.legend(frameon=False)
    return figure


def draw_figure_7_2(curves: Curves) -> Figure:
    """Error over alpha, a curve for each n."""
    return _draw_step_sizes(curves, "Figure 7.2: n-step TD on the 19-state walk")


def draw_figure_12_6(curves: Curves) -> Figure:
    """Error over alpha, a curve for each lambda."""
    return _draw_step_sizes(curves, "Figure 12.6: TD(λ) on the 19-state walk")


def draw_figure_5_3(curves: Curves) -> Figure:
    """Mean squared error over episodes, logarithmic."""
    figure, axes = frame(
        "Figure 5.3: a blackjack state's value, off-policy", "episodes", f"mean square error, {curves.n_runs} runs"
    )
    _draw_curves(axes, curves, {"ordinary": "C2", "weighted": "C3"})
    axes.set(xscale="log", ylim=(0, 5), xlim=(1, curves.x[-1]))
    axes.legend(frameon=False, title="importance sampling")
    return figure


_RMS_OF_WALK = "RMS error, mean over states and runs"


def _draw_step_sizes(curves: Curves, title: str) -> Figure:
    figure, axes = frame(title, r"$\alpha$", "RMS error, mean over states, 10 episodes and runs")
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.92, len(curves.runs)))
    _draw_curves(axes, curves, dict(zip(curves.runs, colors, strict=True)))
    axes.set(ylim=(0.25, 0.55), xlim=(0, 1))
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _draw_curves(axes: Axes, curves: Curves, colors: Mapping[str, Any]) -> None:
    """The mean over the runs, in a band of two standard errors; what diverged is left out."""
    for label in curves.runs:
        mean, error = curves.mean(label), 2 * curves.standard_error(label)
        known = (mean < 100) & (error < mean)
        x, mean, error = (array[known] for array in (curves.x, mean, error))
        axes.fill_between(x, mean - error, mean + error, color=colors[label], alpha=0.2, linewidth=0)
        axes.plot(x, mean, color=colors[label], label=label)


def _shades(curves: Curves) -> dict[str, Any]:
    """Blues for TD, reds for Monte Carlo."""
    shades: dict[str, Any] = {}
    for name, palette in (("TD", "Blues"), ("MC", "Reds")):
        labels = [label for label in curves.runs if label.startswith(name)]
        shades.update(zip(labels, matplotlib.colormaps[palette](np.linspace(0.45, 0.95, len(labels))), strict=True))
    return shades


FIGURES: dict[str, tuple[Callable[..., Curves], Callable[[Curves], Figure]]] = {
    "example-6.2-values": (example_6_2_values, draw_example_6_2_values),
    "example-6.2-errors": (example_6_2_errors, draw_example_6_2_errors),
    "figure-6.2": (figure_6_2, draw_figure_6_2),
    "figure-7.2": (figure_7_2, draw_figure_7_2),
    "figure-12.6": (figure_12_6, draw_figure_12_6),
    "figure-5.3": (figure_5_3, draw_figure_5_3),
}
"""name -> (what measures it, what draws that)"""
