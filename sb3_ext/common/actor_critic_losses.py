"""Losses of an actor and a critic that learn from the same steps: what A2C and PPO are made of.

The actor makes actions more likely that turned out better than the critic expected (their advantage), the critic learns
what to expect, and an entropy bonus (``losses.py``) keeps the actor from settling too early:

    loss = policy loss + ent_coef * entropy loss + vf_coef * value loss         Schulman et al. 2017, eq. 9

All are means over steps, and equal SB3's. Advantages, returns and old values are data: no gradient flows through them.
"""

import torch as th
from torch.nn import functional as F

from sb3_ext.common.clipped_losses import clipped_surrogate_loss, importance_ratios
from sb3_ext.common.losses import _check_shapes


def normalize_advantages(advantages: th.Tensor, epsilon: float = 1e-8) -> th.Tensor:
    """Mean 0 and standard deviation 1 over a minibatch: ``(A - mean) / (std + epsilon)``.

    The standard deviation divides by N - 1, as SB3's does (``standardize`` divides by N). A single advantage has no
    spread and comes back as it is.

    Args:
        advantages: any shape.
        epsilon: added to the standard deviation.

    Returns:
        Same shape.

    Example:
        >>> normalize_advantages(th.tensor([1.0, 2.0, 3.0]))
        tensor([-1.,  0.,  1.])
    """
    if advantages.numel() < 2:
        return advantages
    return (advantages - advantages.mean()) / (advantages.std() + epsilon)


def a2c_policy_loss(log_probs: th.Tensor, advantages: th.Tensor) -> th.Tensor:
    """The actor's policy gradient loss (Sutton & Barto, eq. 13.14): ``- mean over steps of A_t log pi(A_t|S_t)``.

    ``policy_gradient_loss`` is the sum over the steps of an episode; here steps come in pieces of episodes, so each
    counts the same.

    Args:
        log_probs: log pi(A_t|S_t), [N].
        advantages: A_t, [N].

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> a2c_policy_loss(th.tensor([-1.0, -2.0]), th.tensor([3.0, 0.5]))
        tensor(2.)
    """
    _check_shapes(log_probs=log_probs, advantages=advantages)
    return -(advantages.detach() * log_probs).mean()


def ppo_policy_loss(
    log_probs: th.Tensor, old_log_probs: th.Tensor, advantages: th.Tensor, clip_range: float = 0.2
) -> th.Tensor:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7) from log-probabilities, a mean over steps.

    ``- mean min( r_t A_t, clip(r_t, 1 - clip_range, 1 + clip_range) A_t )``,  ``r_t = pi(A_t|S_t) / pi_old(A_t|S_t)``

    Args:
        log_probs: log pi(A_t|S_t), [N].
        old_log_probs: log pi_old(A_t|S_t) of the policy that collected the data, [N].
        advantages: A_t, [N].
        clip_range: how far from 1 a ratio has a gradient, at least 0.

    Returns:
        A scalar.

    Raises:
        ValueError: if shapes differ or clip_range is negative.

    Example:
        >>> ppo_policy_loss(th.tensor([1.5, 1.0]).log(), th.tensor([1.0, 1.0]).log(), th.tensor([1.0, 2.0]))
        tensor(-1.6000)
    """
    return clipped_surrogate_loss(importance_ratios(log_probs, old_log_probs), advantages, clip_range)


def value_loss(values: th.Tensor, returns: th.Tensor) -> th.Tensor:
    """The critic's mean squared error (Schulman et al. 2017, L^VF in eq. 9): ``mean (V(S_t) - G_t)^2``.

    Args:
        values: V(S_t), [N].
        returns: G_t, what V(S_t) should have been, e.g. lambda-returns, [N].

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> value_loss(th.tensor([1.0, 2.0]), th.tensor([0.0, 5.0]))
        tensor(5.)
    """
    _check_shapes(values=values, returns=returns)
    return F.mse_loss(values, returns.detach())


def clipped_value_loss(
    values: th.Tensor,
    old_values: th.Tensor,
    returns: th.Tensor,
    clip_range_vf: float | None = None,
    pessimistic: bool = False,
) -> th.Tensor:
    """The squared error of a value that may not move far from what it was when the data was collected.

    ``mean (clip(V, V_old - clip_range_vf, V_old + clip_range_vf) - G)^2``

    A value that has moved further has no gradient, not even back to where its return is. PPO's first code (OpenAI
    Baselines, 2017) therefore takes the larger of the clipped and the plain error of each step: ``pessimistic=True``.
    SB3 does not. Neither is in the paper, and the range has the scale of the rewards.

    Args:
        values: V(S_t), [N].
        old_values: V_old(S_t), [N].
        returns: G_t, [N].
        clip_range_vf: the furthest that V may move, at least 0. Default: any distance, so plain ``value_loss``.
        pessimistic: take the larger of both errors, step by step.

    Returns:
        A scalar.

    Raises:
        ValueError: if shapes differ or clip_range_vf is negative.

    Example:
        >>> values, old_values, returns = th.tensor([3.0]), th.tensor([1.0]), th.tensor([2.0])
        >>> clipped_value_loss(values, old_values, returns, clip_range_vf=0.5)  # V counts as 1.5
        tensor(0.2500)
        >>> clipped_value_loss(values, old_values, returns, clip_range_vf=0.5, pessimistic=True)
        tensor(1.)
    """
    if clip_range_vf is None:
        return value_loss(values, returns)
    if not clip_range_vf >= 0:
        raise ValueError(f"clip_range_vf must be 0 or more, got {clip_range_vf}")
    _check_shapes(values=values, old_values=old_values, returns=returns)
    old_values, returns = old_values.detach(), returns.detach()
    clipped = old_values + (values - old_values).clamp(-clip_range_vf, clip_range_vf)
    errors = F.mse_loss(clipped, returns, reduction="none")
    if pessimistic:
        errors = th.maximum(errors, F.mse_loss(values, returns, reduction="none"))
    return errors.mean()
