"""Whether predicted probabilities come true: of what is predicted with probability p, a share p should happen."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Calibration(NamedTuple):
    """What was predicted beside what happened, in bins of the predicted probability; empty bins are left out."""

    predicted: Floats
    """mean of the predicted probabilities, [n_bins]"""
    observed: Floats
    """share of what happened, [n_bins]"""
    counts: NDArray[np.int64]
    """how many there were, [n_bins]"""

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance, weighed by counts (Naeini et al. 2015)."""
        return float(np.average(np.abs(self.predicted - self.observed), weights=self.counts))


def calibration(probabilities: ArrayLike, happened: ArrayLike, n_bins: int = 10) -> Calibration:
    """Reliability of predicted probabilities, in bins of equal width.

    Args:
        probabilities: predicted, [n] in [0, 1].
        happened: 1 or 0, or how probable it really was, [n].
        n_bins: at least 1.

    Returns:
        The bins that are not empty.

    Raises:
        ValueError: for different shapes, nothing at all, a probability outside [0, 1], or no bin.

    Example:
        >>> found = calibration([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 0], n_bins=2)
        >>> found.predicted, found.observed, round(found.error, 3)
        (array([0.1, 0.9]), array([0. , 0.5]), 0.25)
    """
    given, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(happened, dtype=np.float64)
    if given.ndim != 1 or given.shape != truth.shape or not len(given):
        raise ValueError(f"probabilities and happened must be [n], got the shapes {given.shape}, {truth.shape}")
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"probabilities must lie in [0, 1], got {given.min():g} to {given.max():g}")
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins}")
    places = np.minimum((given * n_bins).astype(int), n_bins - 1)
    counts = np.bincount(places, minlength=n_bins)
    kept = counts > 0
    predicted, observed = (np.bincount(places, each, n_bins)[kept] / counts[kept] for each in (given, truth))
    return Calibration(predicted, observed, counts[kept])
