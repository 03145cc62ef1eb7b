"""What every figure of the book gives: curves, each measured in many runs, and rows of a table; and an empty frame."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Floats = npt.NDArray[np.float64]


class Row(NamedTuple):
    """A number of a figure, beside the one that it should be.

    Attributes:
        what: What was measured.
        measured: Its mean over the runs.
        standard_error: Of that mean; 0 where nothing is random.
        reference: The number to compare with; None if none is known.
        kind: Where that comes from: "exact" (dynamic programming or a formula), "simulated" (an independent program),
            "book" (its text); "at most", "at least" for exact bounds; "true value" for what is to be estimated.
        n_runs: How many runs it is the mean of; 1 where nothing is random.
    """

    what: str
    measured: float
    standard_error: float
    reference: float | None = None
    kind: str = ""
    n_runs: int = 1


@dataclass(frozen=True)
class Curves:
    """Several curves over the same points, each measured in many runs.

    Attributes:
        x: [N], the points.
        runs: label -> [n_runs, N], what each run gave.
    """

    x: Floats
    runs: Mapping[str, Floats]

    @property
    def n_runs(self) -> int:
        """How many runs the (first) curve is the mean of."""
        return len(next(iter(self.runs.values())))

    def mean(self, label: str) -> Floats:
        """Mean over the runs [N]."""
        return self.runs[label].mean(axis=0)

    def standard_error(self, label: str) -> Floats:
        """Standard error of that mean [N]; not a number where a run's value is infinite or there is one run only."""
        runs = self.runs[label]
        if len(runs) == 1:
            return np.full(runs.shape[1], np.nan)
        with np.errstate(over="ignore", invalid="ignore"):
            return runs.std(axis=0, ddof=1) / np.sqrt(len(runs))

    def lowest(self, label: str) -> tuple[float, float, float]:
        """The point where the mean is lowest, the mean there and its standard error."""
        best = int(self.mean(label).argmin())
        return float(self.x[best]), float(self.mean(label)[best]), float(self.standard_error(label)[best])

    def row(self, label: str, place: int | slice, what: str, reference: float | None = None, kind: str = "") -> Row:
        """A row of the table: a curve at a place, or its mean over several.

        Example:
            >>> curves = Curves(np.arange(3.0), {"a": np.array([[1.0, 2.0, 2.0], [1.0, 3.0, 5.0]])})
            >>> curves.row("a", slice(1, 3), "a, at the end")
            Row(what='a, at the end', measured=3.0, standard_error=1.0, reference=None, kind='', n_runs=2)
        """
        values = np.atleast_2d(self.runs[label][:, place].T).mean(axis=0)  # one number a run
        return row_of(what, values, reference, kind)


Table = dict[str, tuple[Callable[..., Curves], Callable[[Curves], Figure], Callable[[Curves], list[Row]]]]
"""name of a figure -> (what measures it, what draws that, what puts its numbers into rows)"""


def row_of(what: str, values: npt.ArrayLike, reference: float | None = None, kind: str = "") -> Row:
    """A row of the table from one value for each run [n_runs].

    Example:
        >>> row_of("mean", [1.0, 3.0], 2.0, "exact")
        Row(what='mean', measured=2.0, standard_error=1.0, reference=2.0, kind='exact', n_runs=2)
    """
    array = np.asarray(values, dtype=np.float64)
    error = float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else float("nan")
    return Row(what, float(array.mean()), error, reference, kind, len(array))


def frame(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """An empty plot in the style of the project."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    quiet(axes)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    return figure, axes


def quiet(axes: Axes) -> None:
    """Takes away what is not needed."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


def draw_curve(axes: Axes, curves: Curves, curve: str, **style: Any) -> None:
    """The mean over the runs, in a band of two standard errors."""
    mean, error = curves.mean(curve), 2 * curves.standard_error(curve)
    (line,) = axes.plot(curves.x, mean, **{"label": curve, **style})
    axes.fill_between(curves.x, mean - error, mean + error, color=line.get_color(), alpha=0.2, linewidth=0)
