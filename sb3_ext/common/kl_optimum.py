"""The KL-regularised optimum, exactly: what RLHF looks for, where all responses can be listed.

    J(pi) = E_pi[R(x, y)] - beta KL(pi || ref)        pi*(y|x) = ref(y|x) exp(R(x, y) / beta) / Z(x)

and ``J(pi*) - J(pi) = beta KL(pi || pi*)``: how far a policy is from pi* in nats says how much of the objective it
misses (Korbak et al. 2022, "RL with KL penalties is better viewed as Bayesian inference"; Rafailov et al. 2023, eq. 4).
Arrays are [n_prompts, n_responses]; expectations are over a row.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_ext.common.preferences import check_beta

Floats = NDArray[np.float64]


def optimal_log_probs(ref_log_probs: ArrayLike, rewards: ArrayLike, beta: float) -> Floats:
    """Log pi*(y|x): the reference, tilted towards what is rewarded.

    Args:
        ref_log_probs: log ref(y|x), [n_prompts, n_responses].
        rewards: R(x, y), same shape.
        beta: weight of the KL penalty, above 0.

    Returns:
        Same shape; each row is a distribution.

    Raises:
        ValueError: if the shapes differ, beta is not above 0 or a reward is not finite.

    Example:
        >>> np.exp(optimal_log_probs(np.log([[0.5, 0.5]]), [[np.log(3.0), 0.0]], beta=1.0)).round(3)
        array([[0.75, 0.25]])
    """
    check_beta(beta)
    ref, tilt = _pair("ref_log_probs", ref_log_probs, "rewards", rewards)
    if not np.isfinite(tilt).all():
        raise ValueError(f"rewards must be finite, got {tilt[~np.isfinite(tilt)][0]}")
    tilted = ref + tilt / beta
    return tilted - np.logaddexp.reduce(tilted, axis=-1, keepdims=True)


def kl_divergence(log_p: ArrayLike, log_q: ArrayLike) -> Floats:
    """KL(p || q) of each row, in nats; what has no probability under p adds nothing.

    Args:
        log_p: log-probabilities, [..., n].
        log_q: likewise, same shape.

    Returns:
        [...]

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> kl_divergence(np.log([0.5, 0.5]), np.log([0.75, 0.25])).round(4)
        np.float64(0.1438)
    """
    log_p, log_q = _pair("log_p", log_p, "log_q", log_q)
    p = np.exp(log_p)
    with np.errstate(invalid="ignore"):
        return np.where(p == 0, 0.0, p * (log_p - log_q)).sum(axis=-1)


def kl_objective(log_probs: ArrayLike, ref_log_probs: ArrayLike, rewards: ArrayLike, beta: float) -> Floats:
    """J of each row: the expected reward minus ``beta KL(pi || ref)``.

    Args:
        log_probs: log pi(y|x), [n_prompts, n_responses].
        ref_log_probs: log ref(y|x), same shape.
        rewards: R(x, y), same shape.
        beta: weight of the KL penalty, 0 or more.

    Returns:
        [n_prompts]

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> kl_objective(np.log([[0.75, 0.25]]), np.log([[0.5, 0.5]]), [[1.0, 0.0]], beta=1.0).round(4)
        array([0.6192])
    """
    log_pi, scores = _pair("log_probs", log_probs, "rewards", rewards)
    return (np.exp(log_pi) * scores).sum(axis=-1) - beta * kl_divergence(log_pi, ref_log_probs)


def _pair(name: str, one: ArrayLike, other_name: str, other: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"shapes must be equal, got {name} {first.shape} and {other_name} {second.shape}")
    return first, second
