"""Group-relative advantages: how an episode did, measured against others of the same start (GRPO).

No value function is needed: the members of a group are each other's baseline. Read next: ``clipped_losses.py``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_ext.common.returns import FloatArray

SCALES = ("group", "batch", "none")


def group_relative_advantages(
    returns: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    scale_rewards: str = "group",
    leave_one_out: bool = False,
    epsilon: float = 1e-4,
) -> FloatArray:
    """Returns relative to their group's mean (Shao et al. 2024, DeepSeekMath, section 4.1).

    ``A_i = (G_i - mean_j G_j) / (std_j G_j + epsilon)``,   j over the members of i's group

    Outcome supervision compares whole returns, [n_groups, n_members]. Process supervision compares returns-to-go,
    [n_groups, n_members, T], at equal time among the members that are still playing. Where all compared returns are
    equal (a lone member's too), the advantage is exactly 0.

    Dividing by the group's own deviation gives groups that are nearly solved, or nearly hopeless, the same weight as
    all others; "none" leaves it out (Liu et al. 2025, Dr. GRPO). "batch" divides by one deviation, that of all returns
    about their overall mean. As in TRL, deviations have n - 1 in the denominator.

    Args:
        returns: [n_groups, n_members] or [n_groups, n_members, T]; at least 2 members.
        mask: True while a member plays; same shape. Default: everywhere.
        scale_rewards: "group", "batch" or "none".
        leave_one_out: compare with the mean of the *other* members, which is n / (n - 1) times the plain difference
            (Kool et al. 2019). A mean that includes the own return shrinks the expected gradient by 1 - 1/n.
        epsilon: added to the deviation, 0 or more; returns that differ by much less than this want
            ``scale_rewards="none"``.

    Returns:
        Same shape, 0 where the mask is False.

    Raises:
        ValueError: for another shape, a group of one, an unknown scale_rewards or a return that is not finite.

    Example:
        >>> group_relative_advantages([[1.0, 3.0], [5.0, 5.0]], scale_rewards="none")
        array([[-1.,  1.],
               [ 0.,  0.]])
        >>> group_relative_advantages([[1.0, 3.0], [5.0, 5.0]], scale_rewards="none", leave_one_out=True)
        array([[-2.,  2.],
               [ 0.,  0.]])
        >>> group_relative_advantages([[1.0, 3.0], [5.0, 5.0]]).round(3)
        array([[-0.707,  0.707],
               [ 0.   ,  0.   ]])
    """
    if scale_rewards not in SCALES:
        raise ValueError(f"scale_rewards must be one of {SCALES}, got {scale_rewards!r}")
    if not epsilon >= 0:
        raise ValueError(f"epsilon must be 0 or more, got {epsilon}")
    returns, playing = _groups(returns, mask)
    counts = playing.sum(axis=1, keepdims=True)
    means = returns.sum(axis=1, keepdims=True) / np.maximum(counts, 1)
    deviations = np.where(playing & _differ(returns, playing), returns - means, 0.0)

    scale = np.ones_like(means)
    if scale_rewards == "group":
        scale = _std(deviations, axis=1, counts=counts) + epsilon
    elif scale_rewards == "batch":
        overall = np.where(playing, returns - returns.sum() / max(playing.sum(), 1), 0.0)
        scale = _std(overall, axis=None, counts=playing.sum(keepdims=True)) + epsilon
    if leave_one_out:
        deviations = deviations * counts / np.maximum(counts - 1, 1)
    advantages = np.divide(deviations, scale, out=np.zeros_like(deviations), where=deviations != 0)
    return advantages.astype(returns.dtype)


def zero_variance_groups(returns: ArrayLike, mask: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Which groups say nothing: all of their compared returns are equal.

    Args:
        returns: [n_groups, n_members] or [n_groups, n_members, T].
        mask: True while a member plays; same shape. Default: everywhere.

    Returns:
        [n_groups]

    Raises:
        ValueError: as :func:`group_relative_advantages`.

    Example:
        >>> zero_variance_groups([[1.0, 3.0], [5.0, 5.0]])
        array([False,  True])
    """
    returns, playing = _groups(returns, mask)
    differ = _differ(returns, playing)
    return np.array([not group.any() for group in differ], dtype=bool)


def _groups(returns: ArrayLike, mask: ArrayLike | None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The returns, 0 where nobody plays, and where somebody does."""
    returns = np.asarray(returns)
    if returns.dtype.kind != "f":
        returns = returns.astype(np.float64)
    if returns.ndim not in (2, 3):
        raise ValueError(
            f"returns must be [n_groups, n_members] or [n_groups, n_members, T]; got the shape {returns.shape}"
        )
    if returns.shape[1] < 2:
        raise ValueError(f"a group needs at least two members, got returns of shape {returns.shape}")
    playing = np.ones(returns.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if playing.shape != returns.shape:
        raise ValueError(f"mask must have the shape of returns, {returns.shape}; got {playing.shape}")
    wrong = np.argwhere(playing & ~np.isfinite(returns))
    if len(wrong):
        raise ValueError(f"returns must be finite, got {returns[tuple(wrong[0])]} in group {wrong[0][0]}")
    return np.where(playing, returns, 0.0).astype(returns.dtype), playing


def _differ(returns: FloatArray, playing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the members of a group that play have different returns, [n_groups, 1] or [n_groups, 1, T]."""
    highest = returns.max(axis=1, keepdims=True, initial=-np.inf, where=playing)
    lowest = returns.min(axis=1, keepdims=True, initial=np.inf, where=playing)
    return highest > lowest


def _std(deviations: FloatArray, axis: int | None, counts: NDArray[np.intp]) -> FloatArray:
    """Standard deviation with n - 1 from deviations that are 0 where masked; axes are kept."""
    total = np.square(deviations).sum(axis=axis, keepdims=True)
    return np.sqrt(total / np.maximum(counts - 1, 1))
