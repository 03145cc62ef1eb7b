"""Pictures of a comparison: each a function that returns a Matplotlib figure, small enough for a phone.

Colours are those of Okabe & Ito (2008), which colour-blind readers can tell apart; lines differ in their style as well.
"""

import re
import warnings
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sb3_ext.zoo.curves import label_axes
from sb3_ext.zoo.pictures.curves import COLORS, STYLES
from sb3_ext.zoo.plot.comparison import Comparison, Floats
from sb3_ext.zoo.plot.readers import EPISODES, EVALUATIONS
from sb3_ext.zoo.statistics import Interval

WIDTH = 4.8  # inches
INK, GRID = "#222222", "#d0d0d0"
PAGE_COLORS = {INK: "--ink", GRID: "--grid", **{color.lower(): f"--c{i}" for i, color in enumerate(COLORS)}}
LOOK: Any = {
    "font.size": 10, "axes.titlesize": 10, "axes.titlelocation": "left", "axes.labelsize": 9,
    "xtick.labelsize": 9, "ytick.labelsize": 9, "legend.fontsize": 9,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "grid.color": GRID, "text.parse_math": False,
    "legend.frameon": False, "svg.fonttype": "none",
}  # fmt: skip


def pictures(found: Comparison) -> dict[str, Figure]:
    """Every picture under the name of its file, without ending."""
    drawn = {}
    with look():
        for env in found.envs:
            if found.curves[env]:
                drawn[f"curve-{slug(env)}"] = draw_curves(found, env)
            if found.scores[env]:
                drawn[f"scores-{slug(env)}"] = draw_scores(found, env)
        if found.of_all:
            drawn["measures"] = draw_measures(found)
            drawn["profiles"] = draw_profiles(found)
        if found.pairs:
            drawn["improvement"] = draw_improvement(found)
    return drawn


@contextmanager
def look() -> Iterator[None]:
    """Settings under which pictures are drawn and written."""
    with mpl.rc_context(LOOK), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name in another script
        yield


def slug(env: str) -> str:
    """An environment's name in a file's."""
    return re.sub(r"[^\w.-]+", "-", env)


# ---- One environment ------------------------------------------------------------------------------------------------


def draw_curves(found: Comparison, env: str) -> Figure:
    """Learning curves: the measure over runs, in its 95 % interval."""
    curves = found.curves[env]
    figure, axes = _with_legend(found, list(curves))
    for label, curve in curves.items():
        color, style = look_of(found, label)
        if len(curve.runs) > 2:  # the interval of two runs is wider than any picture
            axes.fill_between(curve.timesteps, curve.low, curve.high, color=color, alpha=_paleness(curves), linewidth=0)
        axes.plot(curve.timesteps, curve.middle, color=color, linestyle=style, linewidth=1.8)
    label_axes(axes, _short(env, 48))
    per = {EPISODES: " of 100 episodes", EVALUATIONS: " of an evaluation"}.get(found.drawn[env], "")
    axes.set_ylabel(f"mean return{per}")
    axes.xaxis.set_major_formatter(lambda steps, _: _steps(steps))
    axes.set_xlim(0, max(curve.timesteps[-1] for curve in curves.values()))
    axes.set_ylim(_around(np.concatenate([curve.runs.ravel() for curve in curves.values()]), 0.05))
    return figure


def draw_scores(found: Comparison, env: str) -> Figure:
    """Final scores: each run a dot, their measure a bar, its 95 % interval a band."""
    scores = found.scores[env]
    figure, (axes,) = _with_rows(list(scores))
    for row, (label, each) in enumerate(scores.items()):
        color, _ = look_of(found, label)
        _interval(axes, row, each.interval, color)
        beside = 0.36 * ((np.arange(len(each.values)) * 0.618) % 1 - 0.5)  # so that equal runs do not hide each other
        axes.scatter(each.values, row + beside, s=14, color=color, alpha=0.6, linewidths=0)
    axes.set(title=_short(env, 48), xlabel=f"final score: mean return, {found.scored_by[env]}")
    axes.set_xlim(_around(np.concatenate([each.values for each in scores.values()]), 0.25))
    return figure


# ---- All environments together --------------------------------------------------------------------------------------


def draw_measures(found: Comparison) -> Figure:
    """The interquartile mean, the mean and the optimality gap of normalised scores, with their 95 % intervals."""
    figure, every = _with_rows(found.labels, len(found.of_all))
    for axes, (measure, by_label) in zip(every, found.of_all.items(), strict=True):
        for row, label in enumerate(found.labels):
            _interval(axes, row, by_label[label], look_of(found, label)[0])
        gap = measure == "optimality gap"
        axes.set_title(f"{measure}, {'less' if gap else 'more'} is better")
        ends = [end for interval in by_label.values() for end in interval if np.isfinite(end)]
        axes.set_xlim(_around(np.clip([*ends, 0.0, 1.0], -0.5, 1.5), 0.03))
    every[-1].set_xlabel("normalised score")
    return figure


def draw_profiles(found: Comparison) -> Figure:
    """Performance profiles: the share of runs that score more than a threshold, in its 95 % interval."""
    figure, axes = _with_legend(found, found.labels)
    for label, profile in found.profiles.items():
        color, style = look_of(found, label)
        axes.fill_between(
            found.thresholds, profile.low, profile.high, color=color, alpha=_paleness(found.labels), linewidth=0
        )
        axes.plot(found.thresholds, profile.shares, color=color, linestyle=style, linewidth=1.8)
    axes.set(title="performance profiles", xlabel="normalised score", ylabel="share of runs that score more")
    axes.set(xlim=(found.thresholds[0], found.thresholds[-1]), ylim=(0, 1.02))
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.5)
    return figure


def draw_improvement(found: Comparison) -> Figure:
    """For any two labels the probability that a run of the one on the right scores more, with its 95 % interval."""
    figure, (axes,) = _with_rows([pair.worse for pair in found.pairs])
    for row, pair in enumerate(found.pairs):
        _interval(axes, row, pair.interval, look_of(found, pair.better)[0])
    right = axes.secondary_yaxis("right")
    right.set_yticks(range(len(found.pairs)), [_short(pair.better, 18) for pair in found.pairs])
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    axes.axvline(0.5, color=INK, linewidth=1, linestyle=":")
    axes.set(xlim=(0, 1), title="probability of improvement", xlabel="a run of the one on the right scores more")
    axes.xaxis.set_major_formatter("{x:.0%}")
    return figure


# ---- Parts ----------------------------------------------------------------------------------------------------------


def look_of(found: Comparison, label: str) -> tuple[str, Any]:
    """Colour and line style of a label, the same in all pictures."""
    index = found.labels.index(label)
    return COLORS[index % len(COLORS)], STYLES[index % len(STYLES)]


def _with_legend(found: Comparison, shown: Sequence[str]) -> tuple[Figure, Axes]:
    """A figure of lines, and what they are below it."""
    names = [_short(label) for label in shown]
    n_columns = min(max(66 // (max(map(len, names)) + 8), 1), len(names))
    figure = Figure(figsize=(WIDTH, 2.9 + 0.2 * -(-len(names) // n_columns)), layout="constrained")
    lines = []
    for label in shown:
        color, style = look_of(found, label)
        lines.append(Line2D([], [], color=color, linestyle=style, linewidth=1.8))
    figure.legend(lines, names, loc="outside lower center", ncols=n_columns, handlelength=2.6)
    return figure, figure.subplots()


def _with_rows(labels: Sequence[str], n_axes: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure with a row for each label, from above, in each of several axes one above the other."""
    height = 0.5 + n_axes * (0.45 + 0.28 * len(labels))
    figure = Figure(figsize=(WIDTH, max(height, 1.6)), layout="constrained")
    every = list(figure.subplots(n_axes, squeeze=False)[:, 0])
    for axes in every:
        axes.set_yticks(range(len(labels)), [_short(label, 18) for label in labels])
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.tick_params("y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", alpha=0.5)
    return figure, every


def _interval(axes: Axes, row: int, found: Interval, color: str) -> None:
    """A band, and a bar at the estimate; only the bar where a single run has no interval."""
    if np.isfinite(found.low):
        axes.barh(row, found.high - found.low, 0.5, found.low, color=color, alpha=0.25, linewidth=0)
    axes.vlines(found.estimate, row - 0.32, row + 0.32, color=color, linewidth=2.5)


def _paleness(bands: Sized) -> float:
    """Opacity of bands that lie over each other."""
    return 0.18 if len(bands) < 4 else 0.1 if len(bands) < 7 else 0.05


def _around(values: Floats, share: float) -> tuple[float, float]:
    """Limits that leave a share of the values' span free on both sides."""
    low, high = float(values.min()), float(values.max())
    free = share * (high - low) or max(0.1 * abs(high), 0.5)
    return low - free, high + free


def _short(name: str, longest: int = 24) -> str:
    """A name, the middle of a long one left out."""
    if len(name) <= longest:
        return name
    return f"{name[: longest // 2]}…{name[-(longest // 2 - 1) :]}"


def _steps(steps: float) -> str:
    return f"{steps / 1e6:g}M" if steps >= 1e6 else f"{steps / 1000:g}k" if steps >= 1000 else f"{steps:g}"


# ---- Write ----------------------------------------------------------------------------------------------------------


def write_png(figure: Figure, file: Path) -> None:
    """Write a picture; the same picture, the same bytes."""
    with look():
        figure.savefig(file, dpi=150, metadata={"Software": None})


def svg(figure: Figure, name: str) -> str:
    """A picture for a page: its colours are the page's CSS variables, --c0 and so on, so that they follow dark mode.

    Args:
        figure: the picture.
        name: unique on the page.
    """
    with look(), mpl.rc_context({"svg.hashsalt": name}), StringIO() as written:
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
        text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;]*; |(?<=<g) id=\"[^\"]*\"", "", text)
    for color, variable in PAGE_COLORS.items():
        text = text.replace(color, f"var({variable})")
    return re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1>", text, count=1).strip()
