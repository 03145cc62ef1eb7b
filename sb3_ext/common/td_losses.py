"""Temporal differences with networks: what DQN is made of.

A target is a reward and what the state reached is worth, and is data: no gradient flows through it (a semi-gradient,
Sutton & Barto, section 9.3). ``terminated`` is 1 where the state reached is terminal and so worth nothing. Where an
episode was only *truncated* by a time limit it is 0: that state is worth as much as ever (Pardo et al. 2018). The
``dones`` that SB3's replay buffer hands out mean just that: terminated.

With n-step rewards ``R_{t+1} + ... + gamma^(n-1) R_{t+n}``, ``discounts`` is gamma^n and the state reached S_{t+n}.
"""

import torch as th
from torch.nn import functional as F

from sb3_ext.common.losses import _check_shapes


def td_target(
    rewards: th.Tensor, discounts: float | th.Tensor, next_values: th.Tensor, terminated: th.Tensor
) -> th.Tensor:
    """What the present value should have been: ``R + gamma V(S')``, or ``R`` where S' is terminal.

    The target of TD(0) (Sutton & Barto, eq. 6.2), and with the right ``next_values`` that of Sarsa (6.7) and Q-learning
    (6.8).

    Args:
        rewards: R, [N].
        discounts: gamma, or one for each step, [N].
        next_values: V(S'), [N].
        terminated: 1 (or True) where S' is terminal, [N].

    Returns:
        Targets without gradient, [N].

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> td_target(th.tensor([1.0, 1.0]), 0.5, th.tensor([4.0, 4.0]), th.tensor([0.0, 1.0]))
        tensor([3., 1.])
    """
    _check_shapes(rewards=rewards, next_values=next_values, terminated=terminated)
    if isinstance(discounts, th.Tensor):
        _check_shapes(rewards=rewards, discounts=discounts)
    return (rewards + (1 - terminated.to(rewards.dtype)) * discounts * next_values).detach()


def dqn_targets(
    rewards: th.Tensor, discounts: float | th.Tensor, next_q_values: th.Tensor, terminated: th.Tensor
) -> th.Tensor:
    """DQN's targets (Mnih et al. 2015, Algorithm 1): ``R + gamma max_a Q_target(S', a)``.

    Args:
        rewards: R, [N].
        discounts: gamma, or one for each step, [N].
        next_q_values: Q(S', a) of the target network, [N, n_actions].
        terminated: 1 (or True) where S' is terminal, [N].

    Returns:
        Targets without gradient, [N].

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> dqn_targets(th.tensor([1.0]), 0.5, th.tensor([[2.0, 4.0]]), th.tensor([0.0]))
        tensor([3.])
    """
    _check_table(next_q_values=next_q_values)
    return td_target(rewards, discounts, next_q_values.amax(dim=1), terminated)


def double_dqn_targets(
    rewards: th.Tensor,
    discounts: float | th.Tensor,
    next_q_values: th.Tensor,
    terminated: th.Tensor,
    next_online_q_values: th.Tensor,
) -> th.Tensor:
    """Double DQN's targets (van Hasselt et al. 2016): ``R + gamma Q_target(S', argmax_a Q_online(S', a))``.

    The maximum of noisy estimates is too high on average, for it picks the action that was overestimated. Here one
    network picks and the other says what that is worth, so their errors do not add up (compare ``DoubleQLearning``).

    Args:
        rewards: R, [N].
        discounts: gamma, or one for each step, [N].
        next_q_values: Q(S', a) of the target network, which evaluates, [N, n_actions].
        terminated: 1 (or True) where S' is terminal, [N].
        next_online_q_values: Q(S', a) of the network that is learning, which picks the action, [N, n_actions].

    Returns:
        Targets without gradient, [N]. Never above those of DQN.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> target, online = th.tensor([[2.0, 4.0]]), th.tensor([[5.0, 3.0]])
        >>> double_dqn_targets(th.tensor([1.0]), 0.5, target, th.tensor([0.0]), online)
        tensor([2.])
    """
    _check_table(next_q_values=next_q_values)
    _check_shapes(next_q_values=next_q_values, next_online_q_values=next_online_q_values)
    greedy = next_online_q_values.argmax(dim=1, keepdim=True)
    return td_target(rewards, discounts, next_q_values.gather(1, greedy).squeeze(1), terminated)


def td_loss(values: th.Tensor, targets: th.Tensor) -> th.Tensor:
    """Huber's loss, as in SB3's DQN: the mean of ``error^2 / 2``, or of ``|error| - 1/2`` where that is larger than 1.

    Its gradient is the TD error, cut off at -1 and 1, as DQN has it (Mnih et al. 2015, Methods): one surprise does not
    outweigh a batch.

    Args:
        values: Q(S, A) of the actions taken, [N].
        targets: what they should have been, [N].

    Returns:
        A scalar.

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> td_loss(th.tensor([1.0, 1.0]), th.tensor([2.0, 4.0]))  # 1/2 and 5/2
        tensor(1.5000)
    """
    _check_shapes(values=values, targets=targets)
    return F.smooth_l1_loss(values, targets.detach())


def _check_table(**q_values: th.Tensor) -> None:
    """Raise unless each is [N, n_actions]."""
    for name, tensor in q_values.items():
        if tensor.ndim != 2 or tensor.shape[1] == 0:
            raise ValueError(f"{name} must be [N, n_actions], got {tuple(tensor.shape)}")
