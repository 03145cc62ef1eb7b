"""Advantages: how much better an action turned out than was expected of its state.

A policy gradient may subtract from each return any *baseline* that does not depend on the action taken: the expected
gradient stays the same, its variance shrinks (Sutton & Barto, section 13.4). Here are generalised advantage estimation,
which needs a value function, the leave-one-out mean, which needs only other episodes, and two ways of scaling.

The trajectory's arrays are those of ``returns.py``. Read next: ``losses.py``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_ext.common.returns import FloatArray, _same_shape, lambda_returns


def generalized_advantage_estimation(
    rewards: ArrayLike,
    discounts: ArrayLike,
    values: ArrayLike,
    next_values: ArrayLike,
    ends: ArrayLike | None = None,
    lambda_: float = 0.95,
) -> FloatArray:
    """Generalised advantage estimation, GAE (Schulman et al. 2016, eq. 16).

    ``A_t = sum_l (gamma lambda)^l delta_{t+l}``,  ``delta_t = R_{t+1} + gamma_{t+1} V(S_{t+1}) - V(S_t)``

    which is the lambda-return minus the value. lambda = 0 is the TD error, lambda = 1 the Monte Carlo return minus
    the value. Terminated episodes have discount 0 at their end; truncated ones keep gamma, and only ``ends`` marks
    them (see ``returns.py``).

    Args:
        rewards: R_{t+1}, shape [T] or [T, n_envs].
        discounts: gamma_{t+1} in [0, 1], 0 where terminated; same shape.
        values: V(S_t); same shape.
        next_values: V(S_{t+1}) of the state reached, before any reset, so ``values`` one step on except at an end;
            same shape.
        ends: True where an episode ends after the step; same shape. Default: only at the last step.
        lambda_: trace decay in [0, 1].

    Returns:
        The advantage of every step, same shape.

    Raises:
        ValueError: if shapes differ, or a discount or lambda_ lies outside [0, 1].

    Example:
        >>> generalized_advantage_estimation([0.0, 1.0], [0.5, 0.0], [1.0, 2.0], [2.0, 0.0], lambda_=1.0)
        array([-0.5, -1. ])
    """
    rewards, discounts, values, next_values = _same_shape(
        rewards=rewards, discounts=discounts, values=values, next_values=next_values
    )
    return lambda_returns(rewards, discounts, next_values, ends, lambda_) - values


def leave_one_out_baseline(returns: ArrayLike, mask: ArrayLike) -> FloatArray:
    """For each step, what the *other* episodes returned at the same time: a baseline without a value function.

    ``b_t(i) = mean of G_t(j) over the episodes j != i that are still running at time t``

    Where no other episode has lasted that long, the mean over all steps of the other episodes stands in; where there is
    no other episode, 0. The own episode never enters, so b does not depend on the action and the gradient stays
    unbiased; a mean that includes it would shrink the gradient by 1 - 1/N (Kool et al. 2019 use the same correction
    for whole returns).

    Args:
        returns: one episode a column, shape [T, n_episodes].
        mask: True where the episode is running; same shape.

    Returns:
        The baseline, same shape, 0 where the mask is False.

    Raises:
        ValueError: if the shapes differ or are not [T, n_episodes].

    Example:
        >>> leave_one_out_baseline([[1.0, 2.0, 6.0], [0.0, 3.0, 5.0]], [[True, True, True], [False, True, True]])
        array([[4. , 3.5, 1.5],
               [0. , 5. , 3. ]])
    """
    mask = np.asarray(mask, dtype=bool)
    (returns,) = _same_shape(returns=returns)
    if returns.ndim != 2 or mask.shape != returns.shape:
        raise ValueError(f"returns and mask must both be [T, n_episodes]; got {returns.shape} and {mask.shape}")
    running = np.where(mask, returns, 0.0)
    others = 1.0 - np.eye(returns.shape[1])  # adds up the other columns; the own one gets weight 0

    counts = mask @ others
    means = running @ others / np.maximum(counts, 1)
    all_counts = mask.sum(axis=0) @ others
    all_means = running.sum(axis=0) @ others / np.maximum(all_counts, 1)
    return np.where(mask, np.where(counts > 0, means, all_means), 0.0).astype(returns.dtype)


def standardize(values: ArrayLike, mask: ArrayLike | None = None, epsilon: float = 1e-8) -> FloatArray:
    """Mean 0 and standard deviation 1: ``(x - mean) / (std + epsilon)``. Equal values become exactly 0.

    Subtracting the mean is itself a baseline, and one that includes the own sample; ``rescale`` leaves it out.

    Args:
        values: any shape.
        mask: True for the values that count; same shape. Default: all.
        epsilon: added to the standard deviation.

    Returns:
        The standardised values, same shape, 0 where the mask is False.

    Example:
        >>> standardize([1.0, 3.0]).round(3)
        array([-1.,  1.])
        >>> standardize([0.1, 0.1, 0.1])
        array([0., 0., 0.])
    """
    values, counts = _masked(values, mask)
    if not counts.any():
        return values
    chosen = values[counts]
    if np.ptp(chosen) == 0:
        return np.zeros_like(values)
    return np.where(counts, (values - chosen.mean()) / (chosen.std() + epsilon), 0.0)


def rescale(values: ArrayLike, mask: ArrayLike | None = None, epsilon: float = 1e-8) -> FloatArray:
    """Root mean square 1, without moving the zero: ``x / (sqrt(mean(x^2)) + epsilon)``.

    Signs and ratios stay as they are, so a policy gradient keeps its direction.

    Args:
        values: any shape.
        mask: True for the values that count; same shape. Default: all.
        epsilon: added to the root mean square.

    Returns:
        The rescaled values, same shape, 0 where the mask is False.

    Example:
        >>> rescale([3.0, 3.0]).round(3)
        array([1., 1.])
    """
    values, counts = _masked(values, mask)
    if not counts.any():
        return values
    root_mean_square = np.sqrt(np.mean(np.square(values[counts])))
    return np.where(counts, values / (root_mean_square + epsilon), 0.0)


def _masked(values: ArrayLike, mask: ArrayLike | None) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The values, 0 where masked out, and the mask."""
    (values,) = _same_shape(values=values)
    counts = np.ones(values.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if counts.shape != values.shape:
        raise ValueError(f"mask must have the shape of values, {values.shape}; got {counts.shape}")
    return np.where(counts, values, 0.0), counts
