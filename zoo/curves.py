"""Learning curves: recorded by a callback, drawn with matplotlib."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from stable_baselines3.common.callbacks import BaseCallback

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class CurveCallback(BaseCallback):
    """Records the mean return of the last 100 episodes (SB3's ``rollout/ep_rew_mean``) after each rollout.

    Attributes:
        timesteps: environment steps at each record.
        means: mean return at each record.
    """

    def __init__(self) -> None:
        super().__init__()
        self.timesteps: list[int] = []
        self.means: list[float] = []

    @property
    def last_mean(self) -> float:
        """The latest mean, not a number if no episode has ended."""
        return self.means[-1] if self.means else float("nan")

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        episodes = self.model.ep_info_buffer
        if episodes:
            self.timesteps.append(self.num_timesteps)
            self.means.append(float(np.mean([episode["r"] for episode in episodes])))


def draw_curve(curve: CurveCallback, title: str, solved: float) -> Figure:
    """One learning curve, with a line at the return that counts as solved."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(solved, color="0.5", linestyle="--", linewidth=1)
    axes.annotate(f"solved: {solved:g}", (0, solved), xytext=(4, -12), textcoords="offset points", color="0.4")
    axes.plot(curve.timesteps, curve.means, color="C0", linewidth=2)
    label_axes(axes, title)
    return figure


def label_axes(axes: "Axes", title: str) -> None:
    """Names and a quiet frame for a plot of returns over environment steps."""
    axes.set(title=title, xlabel="environment steps", ylabel="return, mean of 100 episodes")
    axes.xaxis.set_major_formatter(lambda steps, _: f"{steps / 1000:g}k")
    axes.set_xlim(left=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


def draw_band(axes: "Axes", curves: list[CurveCallback], label: str, color: str) -> None:
    """The median of several runs on a common grid of steps, in a band from the worst to the best."""
    grid = np.linspace(0, min(curve.timesteps[-1] for curve in curves), 200)
    runs = np.array([np.interp(grid, curve.timesteps, curve.means) for curve in curves])
    axes.plot(grid, np.median(runs, axis=0), color=color, linewidth=2, label=label)
    axes.fill_between(grid, runs.min(axis=0), runs.max(axis=0), color=color, alpha=0.15, linewidth=0)
