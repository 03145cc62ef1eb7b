"""A sum tree: draw from a million numbers in proportion to their size, and change them, in logarithmic time.

The leaves hold the numbers, every node above holds the sum of its two children, so the root holds the total. To find
the leaf at which the running sum of all leaves passes a target, go down from the root: left if the target is below the
left child's sum, else right, with what is left of the target (Schaul et al. 2016, appendix B.2.1). Node 1 is the root,
the children of node k are 2k and 2k + 1, leaf i is node n + i of n leaves, n a power of two.

Read next: ``prioritized.py`` for what the numbers are.
"""

import numpy as np
import numpy.typing as npt

from sb3_ext.common.compiling import compiled

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@compiled
def set_leaves(tree: Floats, leaves: Integers, values: Floats, n_leaves: int) -> int:
    """Write leaves, and add up again every node above them.

    Args:
        tree: [2 n], changed in place.
        leaves: indices below n_leaves, [N]; where one stands twice, its last value holds.
        values: finite and not negative, [N].
        n_leaves: how many there are.

    Returns:
        The place of the first leaf or value that is none; then nothing is written. -1 if all is well.
    """
    for i in range(len(leaves)):
        if not (0 <= leaves[i] < n_leaves and 0 <= values[i] < np.inf):
            return i
    n = len(tree) // 2
    for i in range(len(leaves)):
        node = n + leaves[i]
        tree[node] = values[i]
        node //= 2
        while node >= 1:
            tree[node] = tree[2 * node] + tree[2 * node + 1]
            node //= 2
    return -1


@compiled
def find_leaves(tree: Floats, targets: Floats) -> Integers:
    """For each target the leaf at which the running sum of the leaves passes it; never one that holds 0.

    Args:
        tree: [2 n], with a total above 0.
        targets: from 0 to the total, [N].

    Returns:
        Indices of leaves, [N]; -1 for a target that is out of range.
    """
    n = len(tree) // 2
    leaves = np.full(len(targets), -1, np.int64)
    for i in range(len(targets)):
        target = targets[i]
        if not 0 <= target <= tree[1]:
            continue
        node = 1
        while node < n:
            node *= 2
            if target >= tree[node] and tree[node + 1] > 0:  # the second only fails by rounding
                target -= tree[node]
                node += 1
        leaves[i] = node - n
    return leaves


class SumTree:
    """Numbers that are not negative, and their sums.

    Args:
        n_leaves: how many numbers; all are 0 at first.

    Raises:
        ValueError: for n_leaves below 1, leaves or targets out of range, values that are negative or not finite.

    Example:
        >>> tree = SumTree(3)
        >>> tree[[0, 1, 2]] = [1.0, 3.0, 6.0]
        >>> tree.total, tree.find([0.5, 1.0, 3.9, 4.0]).tolist(), tree[[1, 2]].tolist()
        (10.0, [0, 1, 1, 2], [3.0, 6.0])
    """

    def __init__(self, n_leaves: int):
        if n_leaves < 1:
            raise ValueError(f"n_leaves must be at least 1, got {n_leaves}")
        self.n_leaves = n_leaves
        self._tree = np.zeros(2 * 2 ** max(1, (n_leaves - 1).bit_length()))

    @property
    def total(self) -> float:
        """The sum of all."""
        return float(self._tree[1])

    @property
    def values(self) -> Floats:
        """All numbers, [n_leaves]; a view that is not to be written to."""
        first = len(self._tree) // 2
        return self._tree[first : first + self.n_leaves]

    def __getitem__(self, leaves: npt.ArrayLike) -> Floats:
        return self.values[leaves]  # type: ignore[index]

    def __setitem__(self, leaves: npt.ArrayLike, values: npt.ArrayLike) -> None:
        leaves, values = np.ascontiguousarray(leaves, np.int64), np.ascontiguousarray(values, np.float64)
        if leaves.shape != values.shape or leaves.ndim != 1:
            raise ValueError(f"leaves and values must both be [N], got {leaves.shape} and {values.shape}")
        wrong = set_leaves(self._tree, leaves, values, self.n_leaves)
        if wrong >= 0:
            raise ValueError(
                f"leaves must lie from 0 to {self.n_leaves - 1}, and values must be finite and not negative, got leaf "
                f"{leaves[wrong]} and value {values[wrong]}"
            )

    def find(self, targets: npt.ArrayLike) -> Integers:
        """See :func:`find_leaves`."""
        targets = np.ascontiguousarray(targets, np.float64)
        if not self.total > 0:
            raise ValueError("nothing can be drawn: all numbers are 0")
        leaves = find_leaves(self._tree, targets)
        if leaves.min(initial=0) < 0:
            raise ValueError(f"targets must lie from 0 to {self.total}, got {targets[leaves < 0][0]}")
        return leaves
