"""Losses on preferences: which of two responses to one prompt is the better one.

The Bradley-Terry model says how a score makes a preference: ``P(y preferred to y') = sigmoid(r(y) - r(y'))``. A reward
model is fitted to it. DPO does without: ``E[r] - beta KL(pi || ref)`` is largest at ``pi* = ref exp(r / beta) / Z``, so
``r = beta log(pi*/ref) + beta log Z``, and Z cancels in the difference of two responses to one prompt. The log-ratio
``log pi(y|x) - log ref(y|x)`` of a whole response thus is its score, up to beta (Rafailov et al. 2023, eq. 5 to 7).

Each loss takes one number a response and is a mean over responses. ``probability`` is how probably the response named
first is the better one: 1 where a label says so, in between where the exact preference is known. ``label_smoothing``
says how often labels are wrong (Mitchell 2023, "conservative DPO"). Read next: ``kl_optimum.py``.
"""

import math

import torch as th
from torch.nn import functional as F

from sb3_ext.common.losses import _check_shapes


def bradley_terry_loss(
    chosen_scores: th.Tensor, rejected_scores: th.Tensor, probability: th.Tensor | None = None
) -> th.Tensor:
    """``- log sigmoid(r(chosen) - r(rejected))`` (Bradley & Terry 1952; Ouyang et al. 2022, eq. 1).

    Args:
        chosen_scores: r of the better responses, [N].
        rejected_scores: r of the others, [N].
        probability: that the chosen one is better, [N] in [0, 1]. Default: 1.

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ, or a probability lies outside [0, 1].

    Example:
        >>> bradley_terry_loss(th.tensor([1.0, 0.0]), th.tensor([0.0, 0.0]))
        tensor(0.5032)
    """
    return _cross_entropy(chosen_scores - _same(chosen_scores, rejected_scores), _target(chosen_scores, probability))


def dpo_loss(
    chosen_log_ratios: th.Tensor,
    rejected_log_ratios: th.Tensor,
    beta: float,
    label_smoothing: float = 0.0,
    probability: th.Tensor | None = None,
) -> th.Tensor:
    """Direct preference optimisation (Rafailov et al. 2023, eq. 7): Bradley-Terry's loss, beta log(pi/ref) the score.

    With exact probabilities of all pairs its minimum is ``ref exp(r / beta) / Z``, the policy that PPO with a KL
    penalty looks for.

    Args:
        chosen_log_ratios: log pi(y|x) - log ref(y|x) of the better responses, [N].
        rejected_log_ratios: those of the others, [N].
        beta: weight of the KL penalty that is implied, above 0.
        label_smoothing: how often labels are wrong, in [0, 0.5).
        probability: that the chosen one is better, [N] in [0, 1]. Default: 1.

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ, or a number is out of range.

    Example:
        >>> dpo_loss(th.tensor([1.0]), th.tensor([-1.0]), beta=0.5)
        tensor(0.3133)
        >>> dpo_loss(th.tensor([1.0]), th.tensor([-1.0]), beta=0.5, label_smoothing=0.1)
        tensor(0.4133)
    """
    check_beta(beta)
    margins = beta * (chosen_log_ratios - _same(chosen_log_ratios, rejected_log_ratios))
    return _cross_entropy(margins, _target(margins, probability, label_smoothing))


def ipo_loss(
    chosen_log_ratios: th.Tensor,
    rejected_log_ratios: th.Tensor,
    beta: float,
    label_smoothing: float = 0.0,
    probability: th.Tensor | None = None,
) -> th.Tensor:
    """Identity preference optimisation (Azar et al. 2024, eq. 17): ``(margin - 1/(2 beta))^2``.

    DPO pushes pairs that are always labelled alike apart without end; here the margin has a target. With exact
    probabilities p it is ``(2p - 1) / (2 beta)``.

    Args:
        chosen_log_ratios: as for :func:`dpo_loss`.
        rejected_log_ratios: likewise.
        beta: the paper's tau, above 0.
        label_smoothing: likewise.
        probability: likewise.

    Returns:
        A scalar.

    Raises:
        ValueError: likewise.

    Example:
        >>> ipo_loss(th.tensor([1.0]), th.tensor([-1.0]), beta=0.5)
        tensor(1.)
    """
    check_beta(beta)
    margins = chosen_log_ratios - _same(chosen_log_ratios, rejected_log_ratios)
    target = _target(margins, probability, label_smoothing)
    goal = 1 / (2 * beta)
    return (target * (margins - goal) ** 2 + (1 - target) * (margins + goal) ** 2).mean()


def kto_loss(
    log_ratios: th.Tensor,
    desirable: th.Tensor,
    kl: th.Tensor | float,
    beta: float,
    desirable_weight: float = 1.0,
    undesirable_weight: float = 1.0,
) -> th.Tensor:
    """Kahneman-Tversky optimisation (Ethayarajh et al. 2024, eq. 8): needs no pairs, only good and bad responses.

    ``w (1 - sigmoid(beta (log(pi/ref) - kl)))`` for a good one, with the sign turned for a bad one.

    Args:
        log_ratios: log pi(y|x) - log ref(y|x), [N].
        desirable: 1 for good responses, 0 for bad ones, or in between, [N].
        kl: the reference point, an estimate of KL(pi || ref): the mean log-ratio of responses to *other* prompts. No
            gradient flows through it, and what is below 0 counts as 0.
        beta: how fast values saturate, above 0.
        desirable_weight: of good responses.
        undesirable_weight: of bad ones.

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ, or a number is out of range.

    Example:
        >>> kto_loss(th.tensor([0.0, 0.0]), th.tensor([1.0, 0.0]), kl=0.0, beta=1.0)
        tensor(0.5000)
    """
    check_beta(beta)
    target = _target(log_ratios, desirable)
    gains = beta * (log_ratios - th.as_tensor(kl).detach().clamp(min=0))
    good, bad = desirable_weight * (1 - th.sigmoid(gains)), undesirable_weight * (1 - th.sigmoid(-gains))
    return (target * good + (1 - target) * bad).mean()


def orpo_loss(
    chosen_log_probs: th.Tensor,
    rejected_log_probs: th.Tensor,
    beta: float,
    label_smoothing: float = 0.0,
    probability: th.Tensor | None = None,
) -> th.Tensor:
    """Odds ratio preference optimisation (Hong et al. 2024, eq. 6 and 7): imitate the chosen, at better odds.

    ``- log P(chosen) - beta log sigmoid(log odds(chosen) / odds(rejected))``, where ``odds(y) = P / (1 - P)`` and
    log P(y) is the *mean* log-probability of the tokens. There is no reference policy.

    Args:
        chosen_log_probs: mean of log pi over the tokens of the better responses, [N], below 0.
        rejected_log_probs: likewise of the others, [N].
        beta: weight of the second term (the paper's lambda), above 0.
        label_smoothing: as for :func:`dpo_loss`.
        probability: likewise.

    Returns:
        A scalar.

    Raises:
        ValueError: as for :func:`dpo_loss`.

    Example:
        >>> orpo_loss(th.tensor([0.5]).log(), th.tensor([0.25]).log(), beta=1.0)
        tensor(0.9808)
    """
    check_beta(beta)
    log_odds = _log_odds(chosen_log_probs) - _log_odds(_same(chosen_log_probs, rejected_log_probs))
    target = _target(log_odds, probability, label_smoothing)
    imitation = -(target * chosen_log_probs + (1 - target) * rejected_log_probs).mean()
    return imitation + beta * _cross_entropy(log_odds, target)


def check_beta(beta: float) -> None:
    """Refuses a weight of the KL penalty that is not above 0, or infinite.

    Raises:
        ValueError: naming it.
    """
    if beta == math.inf:
        raise ValueError("beta must be finite, got inf: nothing but the reference is left")
    if not beta > 0:
        raise ValueError(
            f"beta must be above 0, got {beta}: without a penalty there is no best policy near the reference"
        )


def _log_odds(log_probs: th.Tensor) -> th.Tensor:
    """log(P / (1 - P)) from log P; 1 - P is at least 1e-6, so that certainty has finite odds."""
    return log_probs - th.log(-th.expm1(log_probs.clamp(max=-1e-6)))


def _cross_entropy(margins: th.Tensor, target: th.Tensor) -> th.Tensor:
    """Mean of ``- p log sigmoid(m) - (1 - p) log sigmoid(-m)``."""
    return -(target * F.logsigmoid(margins) + (1 - target) * F.logsigmoid(-margins)).mean()


def _target(like: th.Tensor, probability: th.Tensor | None, label_smoothing: float = 0.0) -> th.Tensor:
    """The probability that the first is better, once labels may be wrong; [N]."""
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must lie in [0, 0.5), got {label_smoothing}")
    if probability is None:
        probability = th.ones_like(like)
    _check_shapes(responses=like, probability=probability)
    if not bool(((probability >= 0) & (probability <= 1)).all()):
        raise ValueError(f"probabilities must lie in [0, 1], got {probability.min():g} to {probability.max():g}")
    return probability * (1 - label_smoothing) + (1 - probability) * label_smoothing


def _same(chosen: th.Tensor, rejected: th.Tensor) -> th.Tensor:
    """The second, once it has the shape of the first."""
    _check_shapes(chosen=chosen, rejected=rejected)
    return rejected
