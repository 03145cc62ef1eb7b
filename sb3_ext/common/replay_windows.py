"""n-step rewards from a replay buffer: the sum of what followed a step, up to the end of its episode.

    G = R_1 + gamma R_2 + ... + gamma^(k-1) R_k,    k = n, or less where the episode ends before    Rainbow, eq. 3

The target is then ``G + gamma^k max_a Q(S_k, a)`` (``td_losses.py``), without the second part where S_k is terminal.
A window ends at a *truncated* step too, but there S_k is worth as much as ever. Source: Sutton & Barto, section 7.1;
Hessel et al. 2018. Read next: ``td_losses.py``.
"""

import numpy as np
import numpy.typing as npt


def n_step_rewards(
    rewards: npt.ArrayLike, ends: npt.ArrayLike, gamma: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Discounted sums of rewards up to the first end in each window.

    Args:
        rewards: R of n steps in a row, [N, n].
        ends: True where the episode ends after the step, terminated or truncated, [N, n].
        gamma: discount.

    Returns:
        G, [N], and k, how many rewards are in it, from 1 to n, [N].

    Raises:
        ValueError: if the shapes differ or are not [N, n] with n >= 1.

    Example:
        >>> sums, lengths = n_step_rewards([[1, 2, 4], [1, 2, 4]], [[False] * 3, [False, True, False]], gamma=0.5)
        >>> sums.tolist(), lengths.tolist()
        ([3.0, 2.0], [3, 2])
    """
    rewards, ends = np.asarray(rewards, np.float64), np.asarray(ends, bool)
    if rewards.shape != ends.shape or rewards.ndim != 2 or rewards.shape[1] == 0:
        raise ValueError(f"rewards and ends must be [N, n], got {rewards.shape} and {ends.shape}")
    n = rewards.shape[1]
    lengths = np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, n)
    steps = np.arange(n)
    return (np.where(steps < lengths[:, None], rewards, 0.0) * gamma**steps).sum(axis=1), lengths
