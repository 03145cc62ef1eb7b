"""Learning curves: the mean return of the last 100 episodes over environment steps."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WINDOW = 100  # episodes in the mean
Run = tuple[Sequence[int], Sequence[float]]  # of each training episode: steps when it ended, its return


def rolling_mean(run: Run, grid: np.ndarray) -> np.ndarray:
    """Mean return of the last 100 episodes that had ended by each point of the grid; not a number before the first."""
    timesteps, returns = run
    sums = np.concatenate([[0.0], np.cumsum(returns)])
    n_ended = np.searchsorted(timesteps, grid, side="right")
    n_averaged = np.minimum(n_ended, WINDOW)
    with np.errstate(invalid="ignore"):
        return (sums[n_ended] - sums[n_ended - n_averaged]) / n_averaged


def draw_runs(axes: Axes, runs: Sequence[Run], label: str | None = None, color: str = "C0") -> None:
    """The median of several runs, in a band from the lowest to the highest of them."""
    grid = np.linspace(0, min(timesteps[-1] for timesteps, _ in runs), 200)
    means = np.array([rolling_mean(run, grid) for run in runs])
    begun = ~np.isnan(means).any(axis=0)  # every run has ended an episode
    grid, means = grid[begun], means[:, begun]
    axes.fill_between(grid, means.min(axis=0), means.max(axis=0), color=color, alpha=0.15, linewidth=0)
    axes.plot(grid, np.median(means, axis=0), color=color, linewidth=2, label=label)


def label_axes(axes: Axes, title: str) -> None:
    """Names and a quiet frame for a plot of returns over environment steps."""
    axes.set(title=title, xlabel="environment steps", ylabel=f"return, mean of {WINDOW} episodes")
    axes.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}k")
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


def draw_learning_curve(runs: Sequence[Run], title: str, solved: float | None = None) -> Figure:
    """One figure of one task, with a line at the return that counts as solved."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    if solved is not None:
        axes.axhline(solved, color="0.5", linestyle="--", linewidth=1)
        axes.annotate(f"solved: {solved:g}", (0, solved), xytext=(4, -12), textcoords="offset points", color="0.4")
    draw_runs(axes, runs)
    label_axes(axes, title)
    return figure
