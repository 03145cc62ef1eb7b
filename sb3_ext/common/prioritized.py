"""Prioritised experience replay (Schaul et al. 2016): what surprised most is learned from most often.

    P(i) = p_i^alpha / sum_k p_k^alpha,     p_i = |delta_i| + epsilon       eq. 1 and section 3.3, proportional
    w_i = (N P(i))^-beta / max_j w_j                                        section 3.4

Drawing this way changes what the loss is an average over; the weights w_i undo that: fully with beta = 1, at the cost
of the speed that was won. So beta grows to 1 as training goes on, when the values are nearly right.

Read next: ``sum_tree.py`` for drawing fast.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

EPSILON = 1e-6
"""Added to every error, so that a step without one is drawn again some day."""


def priorities(errors: npt.ArrayLike, alpha: float) -> Floats:
    """``(|delta| + epsilon)^alpha``: what a step is drawn in proportion to.

    Args:
        errors: TD errors, or another measure of surprise, [N].
        alpha: from 0 (all alike) to 1 (in proportion to the error).

    Returns:
        Above 0, [N].

    Raises:
        ValueError: for alpha outside [0, 1], or an error that is not finite.

    Example:
        >>> priorities([0.0, -4.0, 9.0], alpha=0.5).round(3).tolist()
        [0.001, 2.0, 3.0]
    """
    check_share("alpha", alpha)
    errors = np.abs(np.asarray(errors, np.float64))
    if not np.isfinite(errors).all():
        raise ValueError(f"TD errors must be finite, got {errors[~np.isfinite(errors)][0]}: has training diverged?")
    return (errors + EPSILON) ** alpha


def stratified_targets(total: float, uniform: npt.ArrayLike) -> Floats:
    """One target in each of N equal parts of [0, total): together they scatter less than N independent ones.

    Args:
        total: the sum of all priorities.
        uniform: random numbers in [0, 1), [N].

    Returns:
        Targets in ascending order, [N].

    Example:
        >>> stratified_targets(8.0, [0.5, 0.0, 0.25, 0.5]).tolist()
        [1.0, 2.0, 4.5, 7.0]
    """
    uniform = np.asarray(uniform, np.float64)
    return (np.arange(len(uniform)) + uniform) * (total / max(1, len(uniform)))


def importance_weights(probabilities: npt.ArrayLike, n: int, beta: float) -> Floats:
    """``(N P(i))^-beta``, divided by the largest of the batch, so that they only ever make a step smaller.

    Args:
        probabilities: P(i) of the steps drawn, [batch].
        n: N, how many steps could be drawn.
        beta: from 0 (no correction) to 1 (full).

    Returns:
        From 0 to 1, [batch].

    Raises:
        ValueError: for beta outside [0, 1], or a probability that is not above 0.

    Example:
        >>> importance_weights([0.1, 0.2, 0.4], n=10, beta=1.0).tolist()
        [1.0, 0.5, 0.25]
    """
    check_share("beta", beta)
    probabilities = np.asarray(probabilities, np.float64)
    if not (probabilities > 0).all():
        raise ValueError(f"probabilities must be above 0, got {probabilities.min()}")
    weights = (n * probabilities) ** -beta
    return weights / weights.max()


def annealed_beta(initial: float, progress: float) -> float:
    """Beta on its straight way to 1 (section 3.4).

    Args:
        initial: beta at the start.
        progress: share of the training that is over, from 0 to 1.

    Example:
        >>> [annealed_beta(0.5, progress) for progress in (0.0, 0.5, 1.0)]
        [0.5, 0.75, 1.0]
    """
    return initial + (1 - initial) * min(max(progress, 0.0), 1.0)


def check_share(name: str, value: float) -> None:
    """Raise unless a number lies in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
