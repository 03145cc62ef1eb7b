"""Losses that allow several gradient steps on the same data: importance ratios and clips, and how steps are weighed.

``r = pi(A|S) / pi_old(A|S)`` corrects for the policy having moved since the data was collected; the clip stops it from
moving on where it has moved far. Advantages and old log-probabilities are data: no gradient flows through them.
Losses are weighted sums over steps; ``aggregation_weights`` has the weights that the literature proposes.

The names of the loss types are those of TRL's ``GRPOConfig``, and mean the same; its epsilon is clip_range here.
"""

import numpy as np
import torch as th
from numpy.typing import ArrayLike

from sb3_ext.common.losses import _check_shapes
from sb3_ext.common.returns import FloatArray

LOSS_TYPES = ("grpo", "bnpo", "dapo", "cispo", "dr_grpo")


def importance_ratios(log_probs: th.Tensor, old_log_probs: th.Tensor) -> th.Tensor:
    """How much more likely the policy is now to do what was done: ``r_t = pi(A_t|S_t) / pi_old(A_t|S_t)``.

    Args:
        log_probs: log pi(A_t|S_t), any shape.
        old_log_probs: log pi_old(A_t|S_t) of the policy that collected the data; same shape.

    Returns:
        Ratios above 0, same shape.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> importance_ratios(th.tensor([0.0, -1.0]), th.tensor([0.0, -1.0]))
        tensor([1., 1.])
    """
    _check_shapes(log_probs=log_probs, old_log_probs=old_log_probs)
    return (log_probs - old_log_probs.detach()).exp()


def episode_importance_ratios(
    log_probs: th.Tensor, old_log_probs: th.Tensor, episode: th.Tensor, n_episodes: int
) -> th.Tensor:
    """One ratio for the whole episode, GSPO (Zheng et al. 2025, eq. 7): the geometric mean of its steps' ratios.

    ``s_i = exp( 1/T_i sum_t log( pi(A_t|S_t) / pi_old(A_t|S_t) ) )``

    Args:
        log_probs: log pi(A_t|S_t), [N], of whole episodes.
        old_log_probs: log pi_old(A_t|S_t), [N].
        episode: which episode each step belongs to, whole numbers from 0 to n_episodes - 1, [N].
        n_episodes: number of episodes (some may have no step here).

    Returns:
        The ratio of each step's episode, [N].

    Raises:
        ValueError: if the shapes differ or an episode is out of range.

    Example:
        >>> new, old = th.tensor([0.0, 0.0, -1.0]), th.tensor([-1.0, -3.0, -1.0])
        >>> episode_importance_ratios(new, old, th.tensor([0, 0, 1]), 2).log()
        tensor([2., 2., 0.])
    """
    _check_shapes(log_probs=log_probs, old_log_probs=old_log_probs, episode=episode)
    if episode.ndim != 1 or episode.is_floating_point() or ((episode < 0) | (episode >= n_episodes)).any():
        raise ValueError(f"episode must hold whole numbers from 0 to {n_episodes - 1}, [N]; got {episode}")
    log_ratios = log_probs - old_log_probs.detach()
    sums = log_ratios.new_zeros(n_episodes).index_add(0, episode, log_ratios)
    lengths = th.bincount(episode, minlength=n_episodes).clamp(min=1)
    return (sums / lengths)[episode].exp()


def clipped_surrogate_loss(
    ratios: th.Tensor,
    advantages: th.Tensor,
    clip_range: float = 0.2,
    clip_range_high: float | None = None,
    weights: th.Tensor | None = None,
) -> th.Tensor:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7): minus the weighted sum of

    ``min( r A, clip(r, 1 - clip_range, 1 + clip_range_high) A )``

    A step that has already become so much more (A > 0) or less (A < 0) likely has no gradient any more. DAPO's
    "clip higher" (Yu et al. 2025) lets unlikely actions grow further by a larger ``clip_range_high``.

    Args:
        ratios: importance ratios, [N].
        advantages: [N].
        clip_range: how far below 1 a ratio has a gradient, at least 0.
        clip_range_high: how far above 1, at least 0. Default: clip_range.
        weights: of each step, [N]. Default: 1/N each, which is PPO's mean.

    Returns:
        A scalar.

    Raises:
        ValueError: if shapes differ (broadcasting [N] with [N, 1] is a classic silent error) or a range is negative.

    Example:
        >>> clipped_surrogate_loss(th.tensor([1.5, 1.0, 0.5]), th.tensor([1.0, 2.0, -2.0]))  # 1.2, 2 and -1.6
        tensor(-0.5333)
    """
    low, high = _ranges(clip_range, clip_range_high)
    _check_shapes(ratios=ratios, advantages=advantages)
    advantages = advantages.detach()
    objective = th.minimum(ratios * advantages, ratios.clamp(1 - low, 1 + high) * advantages)
    return -_weighted_sum(objective, weights)


def cispo_loss(
    log_probs: th.Tensor,
    ratios: th.Tensor,
    advantages: th.Tensor,
    clip_range_high: float = 5.0,
    weights: th.Tensor | None = None,
) -> th.Tensor:
    """CISPO (MiniMax-M1, 2025): clip the importance weight, not the gradient; minus the weighted sum of

    ``min(r, clip_range_high) A log pi(A|S)``,   the weight being data

    Every step keeps a gradient, that of REINFORCE with a bounded importance weight. As in the code of TRL, the bound is
    on the ratio itself, not on its distance from 1 (MiniMax: 1 + epsilon), and there is none from below. TRL's docs
    recommend 5, while the default, epsilon's 0.2, stays in force.

    Args:
        log_probs: log pi(A|S), [N].
        ratios: importance ratios, [N].
        advantages: [N].
        clip_range_high: largest weight, at least 0.
        weights: of each step, [N]. Default: 1/N each.

    Returns:
        A scalar.

    Raises:
        ValueError: if shapes differ or clip_range_high is negative.

    Example:
        >>> cispo_loss(th.tensor([-1.0]), th.tensor([9.0]), th.tensor([2.0]))
        tensor(10.)
    """
    if not clip_range_high >= 0:
        raise ValueError(f"the cap must be 0 or more, got clip_range_high={clip_range_high}")
    _check_shapes(log_probs=log_probs, ratios=ratios, advantages=advantages)
    return -_weighted_sum(ratios.detach().clamp(max=clip_range_high) * advantages.detach() * log_probs, weights)


def clip_fraction(
    ratios: th.Tensor, advantages: th.Tensor, clip_range: float = 0.2, clip_range_high: float | None = None
) -> float:
    """The fraction of steps whose gradient the clipped surrogate cuts off.

    Args:
        ratios: importance ratios, [N].
        advantages: [N].
        clip_range: as there.
        clip_range_high: as there.

    Returns:
        Between 0 and 1. (SB3's PPO logs another number, also called clip_fraction: ratios outside, on either side.)

    Example:
        >>> clip_fraction(th.tensor([1.5, 1.5, 0.5, 0.5]), th.tensor([1.0, -1.0, 1.0, -1.0]))
        0.5
    """
    low, high = _ranges(clip_range, clip_range_high)
    _check_shapes(ratios=ratios, advantages=advantages)
    cut = ((ratios > 1 + high) & (advantages > 0)) | ((ratios < 1 - low) & (advantages < 0))
    return cut.float().mean().item()


def aggregation_weights(
    lengths: ArrayLike,
    loss_type: str,
    *,
    mean_minibatch_steps: float | None = None,
    max_length: int | None = None,
) -> FloatArray:
    """What each step of an episode weighs in the loss of a minibatch of whole episodes.

    - "grpo": ``1 / (n_episodes length_i)``: every episode weighs the same, a step of a long one less (Shao et al.
      2024).
    - "bnpo": ``1 / sum_i length_i``: every step of the minibatch weighs the same.
    - "dapo" and "cispo": ``1 / mean_minibatch_steps``: every step of the whole batch weighs the same (Yu et al. 2025).
    - "dr_grpo": ``1 / (n_episodes max_length)``: the same by a constant, so without a bias to long bad episodes (Liu et
      al. 2025).

    As in the code of TRL; its docs divide "dapo" by the steps of one gradient step, which is "bnpo".

    Args:
        lengths: steps of each episode in the minibatch, [n_episodes], each at least 1.
        loss_type: one of the above.
        mean_minibatch_steps: for "dapo" and "cispo", steps of the whole batch divided by its number of minibatches.
        max_length: for "dr_grpo", a constant: the most steps that an episode may have.

    Returns:
        The weight of one step of each episode, [n_episodes].

    Raises:
        ValueError: for an unknown loss_type, a length below 1, or a number that is needed and missing.

    Example:
        >>> aggregation_weights([1, 4], "grpo")
        array([0.5  , 0.125])
        >>> aggregation_weights([1, 4], "dr_grpo", max_length=10)
        array([0.05, 0.05])
    """
    lengths = np.asarray(lengths)
    if loss_type not in LOSS_TYPES:
        raise ValueError(f"loss_type must be one of {LOSS_TYPES}, got {loss_type!r}")
    if lengths.ndim != 1 or not len(lengths) or not (lengths >= 1).all():
        raise ValueError(f"lengths must be numbers of at least 1, one for each episode; got {lengths}")
    if loss_type == "grpo":
        return 1.0 / (len(lengths) * lengths)
    if loss_type == "bnpo":
        total = lengths.sum()
    elif loss_type == "dr_grpo":
        total = len(lengths) * _above_0(loss_type, "max_length", max_length)
    else:
        total = _above_0(loss_type, "mean_minibatch_steps", mean_minibatch_steps)
    return np.full(len(lengths), 1.0 / total)


def _above_0(loss_type: str, name: str, value: float | None) -> float:
    """An argument that this loss_type needs."""
    if value is None or not value > 0:
        raise ValueError(f"loss_type={loss_type!r} needs {name} above 0, got {value}")
    return value


def _ranges(clip_range: float, clip_range_high: float | None) -> tuple[float, float]:
    """Both ranges, checked."""
    high = clip_range if clip_range_high is None else clip_range_high
    if not clip_range >= 0 or not high >= 0:
        raise ValueError(f"clip ranges must be 0 or more, got {clip_range} and {high}")
    return clip_range, high


def _weighted_sum(values: th.Tensor, weights: th.Tensor | None) -> th.Tensor:
    if weights is None:
        return values.mean()
    _check_shapes(values=values, weights=weights)
    return (weights.detach() * values).sum()
