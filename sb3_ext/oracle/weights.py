"""What each step's ``grad log pi(A_t | S_t)`` is multiplied by, [T, N]: every way of the package to weigh it.

The weights come from the functions of ``common/`` that the algorithms themselves call: returns, baselines and
advantages, and then minus the derivative of a loss by log pi.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_ext.common import (
    discounted_returns,
    entropy_loss,
    generalized_advantage_estimation,
    group_relative_advantages,
    kl_k1,
    leave_one_out_baseline,
    policy_gradient_loss,
    standardize,
)
from sb3_ext.oracle.plays import Plays
from sb3_ext.oracle.setting import Setting

Floats = npt.NDArray[np.float64]


def returns_to_go(plays: Plays, setting: Setting) -> Floats:
    """G_t as it ended, a time limit being an end."""
    return discounted_returns(plays.rewards, plays.discounts(setting.gamma), plays.ends).astype(np.float64)


def by_loss(plays: Plays, advantages: Floats) -> Floats:
    """Minus the derivative of ``policy_gradient_loss``: the advantages over the number of episodes."""
    counted = tensor(advantages[plays.mask])
    return _pull(plays, lambda log_probs: policy_gradient_loss(log_probs, counted, plays.batch_size))


def total_return(plays: Plays, setting: Setting) -> Floats:
    """G_0 for every step (eq. 13.8 before causality is used)."""
    return by_loss(plays, np.broadcast_to(returns_to_go(plays, setting)[0], plays.mask.shape))


def to_go(plays: Plays, setting: Setting, baseline: str = "none", discounted: bool = True) -> Floats:
    """gamma^t (G_t - b_t) (eq. 13.11), with or without the gamma^t."""
    returns = returns_to_go(plays, setting)
    credit = returns - _baseline(plays, setting, returns, baseline)
    return by_loss(plays, credit * setting.gamma ** np.arange(len(returns))[:, None] if discounted else credit)


def _baseline(plays: Plays, setting: Setting, returns: Floats, kind: str) -> Floats:
    if kind == "none":
        return np.zeros_like(returns)
    if kind == "exact V":
        return setting.values()[plays.states]
    if kind == "leave-one-out":
        return np.hstack([leave_one_out_baseline(returns[:, batch], plays.mask[:, batch]) for batch in _batches(plays)])
    # "mean of all"
    means = [
        returns[:, batch].sum(axis=1) / np.maximum(plays.mask[:, batch].sum(axis=1), 1) for batch in _batches(plays)
    ]
    return np.where(plays.mask, np.repeat(np.stack(means, axis=1), plays.batch_size, axis=1), 0.0)


def _batches(plays: Plays) -> list[slice]:
    """The columns of each batch."""
    return [slice(i, i + plays.batch_size) for i in range(0, plays.mask.shape[1], plays.batch_size)]


def standardized(plays: Plays, setting: Setting) -> Floats:
    """gamma^t times returns-to-go that are standardised over the batch, as in many a tutorial."""
    returns = returns_to_go(plays, setting)
    scaled = np.hstack([standardize(returns[:, batch], plays.mask[:, batch]) for batch in _batches(plays)])
    return by_loss(plays, scaled * setting.gamma ** np.arange(len(returns))[:, None])


def gae(plays: Plays, setting: Setting, lambda_: float, share: float = 1.0) -> Floats:
    """GAE with the exact values, or a share of them: a critic that has not learned all yet."""
    values = share * setting.values()
    arrays = plays.rewards, plays.discounts(setting.gamma), values[plays.states], values[plays.next_states]
    return by_loss(plays, np.where(plays.mask, generalized_advantage_estimation(*arrays, plays.ends, lambda_), 0.0))


def group(plays: Plays, setting: Setting, scale: str = "none", leave_one_out: bool = True) -> Floats:
    """GRPO's outcome supervision: the whole return against the group's."""
    returns = returns_to_go(plays, setting)[0].reshape(-1, setting.group_size)
    advantages = group_relative_advantages(returns, scale_rewards=scale, leave_one_out=leave_one_out)
    return by_loss(plays, np.broadcast_to(advantages.ravel(), plays.mask.shape))


def group_by_length(plays: Plays, setting: Setting) -> Floats:
    """The same, each episode divided by its length (times the mean length, to compare)."""
    lengths = plays.mask.sum(axis=0)
    return group(plays, setting) * lengths.mean() / lengths


def naive_entropy(plays: Plays, _setting: Setting) -> Floats:
    """The derivative of mean(log pi): zero on average."""
    return _pull(plays, lambda log_probs: log_probs.sum() / plays.batch_size)


def sampled_entropy(plays: Plays, _setting: Setting) -> Floats:
    """``entropy_loss`` without a closed form (a mean over steps, here a sum over each episode)."""
    return _pull(plays, lambda log_probs: entropy_loss(None, log_probs) * log_probs.numel() / plays.batch_size)


def kl_in_loss(plays: Plays, setting: Setting, form: Callable[..., th.Tensor]) -> Floats:
    """A KL estimate as a penalty in the loss, ``form`` being ``kl_k1`` or ``kl_k3``."""
    reference = tensor(np.log(setting.reference[plays.states, plays.actions])[plays.mask])
    return _pull(plays, lambda log_probs: form(log_probs, reference).sum() / plays.batch_size)


def kl_in_reward(plays: Plays, setting: Setting) -> Floats:
    """R - k1 as the reward: discounted returns-to-go of that."""
    reference = np.log(setting.reference[plays.states, plays.actions])
    k1 = kl_k1(tensor(plays.log_probs), tensor(reference)).numpy()
    rewards = np.where(plays.mask, plays.rewards - k1, 0.0)
    returns = discounted_returns(rewards, plays.discounts(setting.gamma), plays.ends)
    return by_loss(plays, returns * setting.gamma ** np.arange(len(returns))[:, None])


def tensor(array: Floats) -> th.Tensor:
    """As float64."""
    return th.as_tensor(np.ascontiguousarray(array), dtype=th.float64)


def _pull(plays: Plays, loss: Callable[[th.Tensor], th.Tensor]) -> Floats:
    """Minus the derivative of a loss by each step's log-probability, [T, N]; the loss sees running steps alone, [n]."""
    log_probs = tensor(plays.log_probs[plays.mask]).requires_grad_()
    loss(log_probs).backward()
    assert log_probs.grad is not None
    weights = np.zeros(plays.mask.shape)
    weights[plays.mask] = -log_probs.grad.numpy()
    return weights
