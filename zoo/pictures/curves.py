"""Learning curves: the mean or median over seeds, in a confidence band."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_ext.envs.grid.symbols import BLUE, GREEN, VERMILLION
from sb3_ext.tabular.parameters import whole_number

Floats = npt.NDArray[np.float64]

CURVE_POINTS = 300  # at which a learning curve is drawn, at most
N_RESAMPLED = 2000


@dataclass(frozen=True)
class Band:
    """A learning curve of several runs.

    Attributes:
        episodes: At which points it was looked at, counted from 1, [P].
        middle: Mean or median over the runs, [P].
        low: Lower end of the confidence interval of that, [P].
        high: Upper end, [P].
    """

    episodes: npt.NDArray[np.int64]
    middle: Floats
    low: Floats
    high: Floats


def confidence_band(
    returns: npt.ArrayLike,
    window: int = 100,
    center: Literal["mean", "median"] = "mean",
    confidence: float = 0.95,
    seed: int = 0,
) -> Band:
    """Smooths each run, and then says how sure the middle of the runs is, by the bootstrap over runs.

    A point of a smoothed run is the mean of its last ``window`` episodes (fewer at first): never of later ones. Runs
    are resampled as a whole, as they are what is independent (percentile bootstrap; Efron 1979); with fewer than about
    ten of them the interval is too narrow, and with one there is none.

    Args:
        returns: [n_runs, n_episodes]; not a number after a run's last episode. The band ends where the first run does.
        window: Episodes, at least 1.
        center: What is taken over the runs.
        confidence: Above 0 and below 1.
        seed: Of the resampling.

    Raises:
        ValueError: If an argument is out of range or no episode was finished by all runs.

    Example:
        >>> confidence_band([[0.0, 2.0, 4.0]], window=2).middle
        array([0., 1., 3.])
    """
    array = np.asarray(returns, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"returns must be [n_runs, n_episodes], got {list(array.shape)}")
    whole_number("window", window, at_least=1)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie above 0 and below 1, got {confidence}")
    if center not in ("mean", "median"):
        raise ValueError(f"center must be 'mean' or 'median', got {center!r}")
    n_common = int((~np.isnan(array)).all(axis=0).cumprod().sum())
    if n_common == 0:
        raise ValueError("there is no episode that every run has finished: train longer")
    episodes = np.unique(np.linspace(1, n_common, min(n_common, CURVE_POINTS)).round().astype(np.int64))
    sums = np.concatenate([np.zeros((len(array), 1)), array[:, :n_common].cumsum(axis=1)], axis=1)
    n_averaged = np.minimum(episodes, window)
    smooth = (sums[:, episodes] - sums[:, episodes - n_averaged]) / n_averaged
    take = np.mean if center == "mean" else np.median
    drawn = np.random.default_rng(seed).integers(len(array), size=(N_RESAMPLED, len(array)))
    resampled = np.stack([take(smooth[runs], axis=0) for runs in drawn])
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return Band(episodes, take(smooth, axis=0), low, high)


COLORS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of Okabe & Ito (2008), which colour-blind readers can tell apart; lines differ in their style as well."""
STYLES = ("-", "--", "-.", ":")


def draw_learning_curves(
    returns: Mapping[str, npt.ArrayLike],
    *,
    window: int = 100,
    center: Literal["mean", "median"] = "mean",
    confidence: float = 0.95,
    title: str = "Learning curves",
    label: str = "return",
    references: Mapping[str, float] | None = None,
) -> Figure:
    """A curve for each name: the middle over its runs, in a confidence band; see ``confidence_band``.

    Args:
        returns: Name -> return of each training episode [n_runs, n_episodes], as ``Sweep.returns[c]`` has it.
        window: Episodes that are averaged, written at the axis.
        center: "mean" or "median" over the runs.
        confidence: Of the band.
        title: Above.
        label: What a return is here.
        references: Name -> height of a dashed line.

    Raises:
        ValueError: If there is nothing to draw, or for what ``confidence_band`` names.
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    draw_bands(axes, returns, window, center, confidence, label, references or {})
    axes.get_legend().set_loc("upper left")  # type: ignore[union-attr]
    axes.get_legend().set_bbox_to_anchor((1.0, 1.0))  # type: ignore[union-attr]
    return figure


def draw_bands(
    axes: Axes,
    returns: Mapping[str, npt.ArrayLike],
    window: int,
    center: Literal["mean", "median"],
    confidence: float,
    label: str,
    references: Mapping[str, float],
    colors: Sequence[str] = COLORS,
) -> None:
    """Curves and bands, what they are at the axes, and a legend."""
    if not returns:
        raise ValueError("returns must hold at least one curve, got none")
    for i, (name, runs) in enumerate(returns.items()):
        band, color = confidence_band(runs, window, center, confidence), colors[i % len(colors)]
        axes.fill_between(band.episodes, band.low, band.high, color=color, alpha=0.22, linewidth=0)
        axes.plot(band.episodes, band.middle, color=color, linestyle=STYLES[i % len(STYLES)], linewidth=2, label=name)
    for name, height in references.items():
        axes.axhline(height, color="0.35", linestyle=(0, (5, 3)), linewidth=1)
        place: dict[str, Any] = {
            "xytext": (-2, 3),
            "textcoords": "offset points",
            "ha": "right",
            "fontsize": 9,
            "color": "0.25",
        }
        axes.annotate(name, (1, height), xycoords=("axes fraction", "data"), **place)
    counts = sorted({len(np.asarray(runs)) for runs in returns.values()})
    n_runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    band_is = f"{center} of {n_runs} runs, and its {confidence:.0%} bootstrap interval"
    axes.set(xlabel="episode", ylabel=f"{label}\nmean of the last {window} episodes", xlim=(0, None))
    axes.legend(frameon=False, loc="lower right", title=band_is, title_fontsize=9, alignment="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
