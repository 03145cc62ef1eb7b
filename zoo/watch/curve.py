"""A learning curve of bounded size: returns of episodes as means over bins that grow as the curve does."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

N_BINS = 256  # at most; twice as many as are left when neighbours are merged


class Curve:
    """Means of the returns of ``width`` episodes each.

    Example:
        >>> curve = Curve()
        >>> curve.add([-3.0, -1.0])
        >>> curve.points().tolist()
        [[1.0, -3.0], [2.0, -1.0]]
    """

    def __init__(self) -> None:
        self.width = 1
        self.n_episodes = 0
        self._sums = np.zeros(N_BINS)

    def add(self, returns: Sequence[float]) -> None:
        """Takes in the returns of the episodes that came next."""
        values = np.asarray(returns, dtype=np.float64)
        while self.n_episodes + len(values) > N_BINS * self.width:
            self._sums = np.concatenate([self._sums.reshape(-1, 2).sum(axis=1), np.zeros(N_BINS // 2)])
            self.width *= 2
        places = (self.n_episodes + np.arange(len(values))) // self.width
        self._sums += np.bincount(places, values, minlength=N_BINS)
        self.n_episodes += len(values)

    def points(self) -> npt.NDArray[np.float32]:
        """[n, 2]: the number of the last episode in each bin, and the mean return in it; the last may be half full."""
        ends = np.minimum(np.arange(1, N_BINS + 1) * self.width, self.n_episodes)
        counts = np.diff(ends, prepend=0)
        full = counts > 0
        return np.stack([ends[full], self._sums[full] / counts[full]], axis=1).astype(np.float32)
