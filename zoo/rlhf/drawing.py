"""The pictures of the RLHF page."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_ext.common.calibration import Calibration
from sb3_ext.zoo.rlhf.gauge import Snapshot
from sb3_ext.zoo.rlhf.hacking import Curve
from sb3_ext.zoo.rlhf.pipeline import Run

COLORS = {"SFT": "0.4", "PPO + KL": "C0", "GRPO": "C1", "DPO": "C2"}


def draw_learning(run: Run) -> Figure:
    """SFT's loss; then true reward, learned score and distance from the reference of each method."""
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    loss, *axes = figure.subplots(1, 4)
    loss.plot(np.arange(1, len(run.sft_losses) + 1), run.sft_losses, color=COLORS["SFT"])
    loss.set(title="SFT", xlabel="gradient steps", ylabel="loss, nats a token")
    panels: list[tuple[str, str]] = [
        ("reward", "true reward"),
        ("score", "score that is optimised"),
        ("kl", "KL(π‖ref), nats"),
    ]
    for (name, label), each in zip(panels, axes, strict=True):
        for method, history in run.histories.items():
            values = [getattr(point, name) for point in history]
            if method == "SFT":
                each.axhline(values[0], color=COLORS[method], linestyle=":", linewidth=1, label="SFT")
            else:
                each.plot(_tokens(history), values, color=COLORS[method], marker="o", markersize=3, label=method)
        each.set(title=label, xlabel="tokens learned from")
        each.xaxis.set_major_formatter(lambda tokens, _: f"{tokens / 1000:g}k")
    if run.histories:
        axes[0].legend(frameon=False, fontsize=8)
    _quiet(loss, *axes)
    return figure


def draw_frontier(run: Run) -> Figure:
    """True reward over the distance from the reference: where each method ends, and the best that is possible."""
    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    if run.frontier:
        axes.plot(_distance(run.frontier), _rewards(run.frontier), color="0.6", label="optimum for each β")
    for method, history in run.histories.items():
        axes.plot(_distance(history)[-1], _rewards(history)[-1], "o", color=COLORS[method], label=method)
        axes.plot(_distance(history), _rewards(history), color=COLORS[method], linewidth=0.8, alpha=0.5)
    axes.set(xlabel="√KL(π‖ref)", ylabel="true reward", title="what it costs")
    if run.frontier:
        axes.set_xlim(0, 1.6 * max(_distance(history)[-1] for history in run.histories.values()) + 0.1)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    _quiet(axes)
    return figure


def draw_calibration(calibration: Calibration) -> Figure:
    """Predicted preferences against those that came true, on pairs that were not seen."""
    figure = Figure(figsize=(3.8, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    sizes = 10 + 90 * calibration.counts / calibration.counts.max()
    axes.scatter(calibration.predicted, calibration.observed, s=sizes, color="C4")
    axes.set(xlabel="predicted probability", ylabel="share that was preferred", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"reward model, calibration error {calibration.error:.3f}", fontsize=10)
    _quiet(axes)
    return figure


def draw_hacking(curves: Sequence[Curve]) -> Figure:
    """Learned score and true reward against the distance from the reference, a panel for each reward model."""
    names = list(dict.fromkeys(curve.name.removesuffix(", PPO") for curve in curves))
    figure = Figure(figsize=(3.3 * len(names), 3.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(names), sharey=True))
    for name, axes in zip(names, panels, strict=True):
        other = axes.twinx()
        for curve in (curve for curve in curves if curve.name.removesuffix(", PPO") == name):
            style = {"linestyle": "--", "marker": "."} if curve.name.endswith("PPO") else {"linestyle": "-"}
            distances = _distance(curve.points)
            axes.plot(distances, _rewards(curve.points), color="C3", **style)
            other.plot(distances, [point.score for point in curve.points], color="C4", alpha=0.7, **style)
        axes.set(title=name, xlabel="√KL(π‖ref)")
        other.spines["top"].set_visible(False)
        other.tick_params(axis="y", labelcolor="C4", labelsize=8)
        _quiet(axes)
    panels[0].set_ylabel("true reward", color="C3")
    other.set_ylabel("learned score", color="C4")
    return figure


def _tokens(history: Sequence[Snapshot]) -> list[int]:
    return [point.n_tokens for point in history]


def _rewards(points: Sequence[Snapshot]) -> list[float]:
    return [point.reward for point in points]


def _distance(points: Sequence[Snapshot]) -> list[float]:
    return [max(point.kl, 0.0) ** 0.5 for point in points]


def _quiet(*axes: Axes) -> None:
    for each in axes:
        each.spines["top"].set_visible(False)
        each.grid(alpha=0.3)
