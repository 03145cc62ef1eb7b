"""Returns: what a state was worth, read off the rewards that followed it.

All functions share one picture of a trajectory. Step t leads from S_t to S_{t+1} and carries four numbers:

    rewards[t]      R_{t+1}
    discounts[t]    gamma_{t+1}: gamma, or 0 where S_{t+1} is terminal (a terminated state has no future)
    next_values[t]  V(S_{t+1}), S_{t+1} being the state reached, never the first state of the next episode
    ends[t]         True where an episode ends after the step, terminated or truncated

At a time limit the discount stays gamma and ``ends`` is True: the sum stops, and the value of the state reached
stands in for the rewards that were cut off. So time limits are right by construction (Pardo et al. 2018).

Shapes: ``[T]`` for one trajectory or ``[T, n_envs]`` for several side by side. The last step of an array counts as an
end, whatever ``ends`` says, for nothing is known after it.

Source: Sutton & Barto, Reinforcement Learning, 2nd ed., equations 3.9, 7.1 and 12.2 to 12.3; discounts as arrays as in
their section 17.1. Read next: ``advantages.py``.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating]


def discounted_returns(
    rewards: ArrayLike, discounts: ArrayLike, ends: ArrayLike | None = None, next_values: ArrayLike | None = None
) -> FloatArray:
    """Monte Carlo returns (Sutton & Barto, eq. 3.9): ``G_t = R_{t+1} + gamma_{t+1} G_{t+1}``.

    Args:
        rewards: R_{t+1}, shape [T] or [T, n_envs].
        discounts: gamma_{t+1} in [0, 1], 0 where terminated; same shape.
        ends: True where an episode ends after the step; same shape. Default: only at the last step.
        next_values: V(S_{t+1}), used where an episode is cut off without being terminated; same shape.
            Default: 0, the return "as it ended".

    Returns:
        G_t for every step, same shape.

    Raises:
        ValueError: if shapes differ or a discount lies outside [0, 1].

    Example:
        >>> discounted_returns([1.0, 2.0, 4.0], [0.5, 0.5, 0.0])
        array([3., 4., 4.])
        >>> discounted_returns([1.0, 2.0, 4.0], [0.5, 0.5, 0.5], next_values=[0.0, 0.0, 8.0])  # a time limit
        array([4., 6., 8.])
    """
    if next_values is None:
        next_values = np.zeros_like(rewards)
    return lambda_returns(rewards, discounts, next_values, ends, lambda_=1.0)


def lambda_returns(
    rewards: ArrayLike,
    discounts: ArrayLike,
    next_values: ArrayLike,
    ends: ArrayLike | None = None,
    lambda_: float = 0.95,
) -> FloatArray:
    """Lambda-returns, in the recursive form of Sutton & Barto, eq. 12.18.

    ``G_t = R_{t+1} + gamma_{t+1} ((1 - lambda) V(S_{t+1}) + lambda G_{t+1})``

    An end of episode cuts the trace (lambda = 0 there) and keeps the bootstrap value. lambda = 0 is the target
    of TD(0), lambda = 1 the Monte Carlo return.

    Args:
        rewards: R_{t+1}, shape [T] or [T, n_envs].
        discounts: gamma_{t+1} in [0, 1], 0 where terminated; same shape.
        next_values: V(S_{t+1}); same shape.
        ends: True where an episode ends after the step; same shape. Default: only at the last step.
        lambda_: trace decay in [0, 1].

    Returns:
        The lambda-return of every step, same shape.

    Raises:
        ValueError: if shapes differ, or a discount or lambda_ lies outside [0, 1].

    Example:
        >>> lambda_returns([1.0, 2.0], [0.5, 0.0], next_values=[10.0, 0.0], lambda_=0.0)
        array([6., 2.])
        >>> lambda_returns([1.0, 2.0], [0.5, 0.0], next_values=[10.0, 0.0], lambda_=0.5)
        array([4., 2.])
    """
    rewards, discounts, next_values = _same_shape(rewards=rewards, discounts=discounts, next_values=next_values)
    _check_range("discounts", discounts)
    _check_range("lambda_", lambda_)
    trace = np.where(_ends(ends, rewards.shape), 0.0, lambda_).astype(rewards.dtype)

    returns = np.empty_like(rewards)
    return_ = np.zeros(rewards.shape[1:], dtype=rewards.dtype)
    for t in reversed(range(len(rewards))):
        return_ = rewards[t] + discounts[t] * ((1 - trace[t]) * next_values[t] + trace[t] * return_)
        returns[t] = return_
    return returns


def n_step_returns(
    rewards: ArrayLike, discounts: ArrayLike, next_values: ArrayLike, ends: ArrayLike | None = None, n: int = 1
) -> FloatArray:
    """n-step returns (Sutton & Barto, eq. 7.1): n rewards, then the value of the state reached.

    ``G_{t:t+n} = R_{t+1} + gamma_{t+1} G_{t+1:t+n}``, with ``G_{t:t} = V(S_t)``

    An episode that ends sooner is bootstrapped where it ends. n = 1 is the target of TD(0), n >= T the Monte Carlo
    return.

    Args:
        rewards: R_{t+1}, shape [T] or [T, n_envs].
        discounts: gamma_{t+1} in [0, 1], 0 where terminated; same shape.
        next_values: V(S_{t+1}); same shape.
        ends: True where an episode ends after the step; same shape. Default: only at the last step.
        n: number of rewards, at least 1.

    Returns:
        The n-step return of every step, same shape.

    Raises:
        ValueError: if shapes differ, a discount lies outside [0, 1] or n < 1.

    Example:
        >>> n_step_returns([1.0, 2.0, 4.0], [0.5, 0.5, 0.0], next_values=[10.0, 20.0, 0.0], n=2)
        array([7., 4., 4.])
    """
    rewards, discounts, next_values = _same_shape(rewards=rewards, discounts=discounts, next_values=next_values)
    _check_range("discounts", discounts)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    goes_on = ~_ends(ends, rewards.shape)

    returns = rewards + discounts * next_values
    for _ in range(min(n, len(rewards)) - 1):
        successors = np.where(goes_on[:-1], returns[1:], next_values[:-1])
        returns = np.concatenate([rewards[:-1] + discounts[:-1] * successors, returns[-1:]])
    return returns


def _same_shape(**arrays: ArrayLike) -> list[FloatArray]:
    """The arrays in one floating-point type (float32 only if all are), after checking that their shapes agree."""
    converted = {name: np.asarray(array) for name, array in arrays.items()}
    shapes = {name: array.shape for name, array in converted.items()}
    if len(set(shapes.values())) != 1 or next(iter(converted.values())).ndim == 0:
        raise ValueError(f"arrays must share one shape, [T] or [T, n_envs]; got {shapes}")
    single = all(array.dtype == np.float32 for array in converted.values())
    return [array.astype(np.float32 if single else np.float64) for array in converted.values()]


def _ends(ends: ArrayLike | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """``ends`` as booleans, True at the last step."""
    if ends is None:
        marks = np.zeros(shape, dtype=bool)
    else:
        marks = np.array(ends, dtype=bool)
        if marks.shape != shape:
            raise ValueError(f"ends must have the shape of rewards, {shape}; got {marks.shape}")
    marks[-1:] = True
    return marks


def _check_range(name: str, values: ArrayLike) -> None:
    """Raise unless every value lies in [0, 1] (NaN does not)."""
    values = np.asarray(values)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise ValueError(f"{name} must lie in [0, 1], got {values[wrong].flat[0]}")
