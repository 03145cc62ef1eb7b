"""The KL penalty of RLHF: what each token is charged, and how the charge is steered.

Read next: ``kl_optimum.py``, the policy that the penalty leads to; ``kl.py``, estimates of the divergence itself.
"""

import math

import torch as th

from sb3_ext.common.kl import kl_k1
from sb3_ext.common.losses import _check_shapes


def kl_penalised_rewards(
    scores: th.Tensor, log_probs: th.Tensor, ref_log_probs: th.Tensor, mask: th.Tensor, beta: float
) -> th.Tensor:
    """The reward of each token in RLHF: ``- beta (log pi - log ref)``, and the score at the last token.

    Their sum over a response is ``score - beta log pi(y|x) / ref(y|x)``, whose expectation is the objective
    (Ziegler et al. 2019, section 2).

    Args:
        scores: of whole responses, [N].
        log_probs: log pi of each token, [N, T].
        ref_log_probs: log ref of each token, same shape.
        mask: True where there is a token of the response, same shape.
        beta: weight of the penalty, 0 or more.

    Returns:
        Rewards without gradient, [N, T], 0 where the mask is False.

    Raises:
        ValueError: if the shapes differ, beta is below 0 or a response has no token.

    Example:
        >>> half = th.full((1, 3), 0.5).log()
        >>> kl_penalised_rewards(th.tensor([1.0]), half, half - 1, th.tensor([[True, True, False]]), beta=0.1)
        tensor([[-0.1000,  0.9000,  0.0000]])
    """
    _check_shapes(log_probs=log_probs, ref_log_probs=ref_log_probs, mask=mask)
    _check_shapes(scores=scores, responses=mask[:, 0])
    if not beta >= 0:
        raise ValueError(f"beta must be 0 or more, got {beta}")
    mask = mask.bool()
    if not bool(mask.any(dim=1).all()):
        raise ValueError("every response needs a token, to carry its score")
    rewards = th.where(mask, -beta * kl_k1(log_probs, ref_log_probs), 0.0).detach()
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)
    rewards[th.arange(len(scores)), last] += scores.detach()
    return rewards


def adapted_beta(beta: float, kl: float, target: float, gain: float = 0.1) -> float:
    """The weight of the penalty that steers KL(pi || ref) to a target (Ziegler et al. 2019, section 2.2).

    ``beta (1 + gain clip((kl - target) / target, -0.2, 0.2))``: heavier where the policy has gone too far.

    Args:
        beta: the present weight, above 0.
        kl: measured KL(pi || ref) of whole responses, nats.
        target: what it should be, above 0.
        gain: how fast beta moves, in (0, 5): an update changes it by at most a fifth of that.

    Returns:
        The next weight, above 0.

    Raises:
        ValueError: for a number out of range, or a kl that is not finite.

    Example:
        >>> adapted_beta(0.1, kl=12.0, target=6.0), adapted_beta(0.1, kl=6.0, target=6.0)
        (0.10200000000000001, 0.1)
    """
    if not (beta > 0 and target > 0 and 0 < gain < 5):
        raise ValueError(f"beta and target must be above 0 and gain in (0, 5), got {beta}, {target} and {gain}")
    if not math.isfinite(kl):
        raise ValueError(f"kl must be finite, got {kl}")
    return beta * (1 + gain * min(max((kl - target) / target, -0.2), 0.2))
