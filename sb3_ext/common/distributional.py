"""Categorical DQN, C51 (Bellemare, Dabney & Munos 2017): learn how returns are distributed, not only their mean.

    Z(s, a) has the values z_i = v_min + i (v_max - v_min) / (K - 1), i = 0 ... K - 1, the atoms, with p_i(s, a)
    Q(s, a) = sum_i p_i(s, a) z_i

The target ``R + gamma Z(S', a*)`` has its values between those atoms; ``project_distribution`` shares each out between
its two neighbours (their Algorithm 1). What lies outside of [v_min, v_max] is moved to its end: such returns cannot be
represented. The loss is the Kullback-Leibler divergence between target and prediction.

Read next: Dabney et al. 2018 (QR-DQN, in sb3-contrib), which needs no v_min and v_max.
"""

import math

import torch as th

from sb3_ext.common.losses import _check_shapes


def make_atoms(v_min: float, v_max: float, n_atoms: int) -> th.Tensor:
    """The values that a return may take, equally spaced, [n_atoms].

    Raises:
        ValueError: unless v_min < v_max are finite and n_atoms is at least 2.

    Example:
        >>> make_atoms(-1.0, 1.0, 3)
        tensor([-1.,  0.,  1.])
    """
    if not (math.isfinite(v_min) and math.isfinite(v_max) and v_min < v_max):
        raise ValueError(f"v_min must lie below v_max, both finite, got v_min={v_min} and v_max={v_max}")
    if not isinstance(n_atoms, int) or n_atoms < 2:
        raise ValueError(f"n_atoms must be a whole number, at least 2, got {n_atoms}")
    return th.linspace(v_min, v_max, n_atoms)


def project_distribution(values: th.Tensor, probabilities: th.Tensor, atoms: th.Tensor) -> th.Tensor:
    """Shares out probabilities of any values to the atoms (Algorithm 1): each goes to its two neighbours, to the nearer
    one more of it, so that the mean of what lies within the support stays.

    Args:
        values: [N, K].
        probabilities: of these values, [N, K].
        atoms: equally spaced, ascending, [n_atoms].

    Returns:
        Probabilities of the atoms, [N, n_atoms].

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> project_distribution(th.tensor([[0.25, 7.0]]), th.tensor([[0.8, 0.2]]), th.tensor([-1.0, 0.0, 1.0]))
        tensor([[0.0000, 0.6000, 0.4000]])
    """
    _check_shapes(values=values, probabilities=probabilities)
    if atoms.ndim != 1 or len(atoms) < 2 or values.ndim != 2:
        raise ValueError(f"values must be [N, K] and atoms [n_atoms], got {tuple(values.shape)}, {tuple(atoms.shape)}")
    n_atoms = len(atoms)
    positions = (values.clamp(atoms[0], atoms[-1]) - atoms[0]) / (atoms[-1] - atoms[0]) * (n_atoms - 1)
    lower = positions.floor().clamp(max=n_atoms - 2)  # so that there is always one above
    to_upper = probabilities * (positions - lower)
    index = lower.long()
    projected = probabilities.new_zeros(len(values), n_atoms)
    return projected.scatter_add_(1, index, probabilities - to_upper).scatter_add_(1, index + 1, to_upper)


def categorical_targets(
    rewards: th.Tensor,
    discounts: float | th.Tensor,
    next_probabilities: th.Tensor,
    terminated: th.Tensor,
    atoms: th.Tensor,
    next_online_probabilities: th.Tensor | None = None,
) -> th.Tensor:
    """C51's targets: how ``R + gamma Z(S', a*)`` is distributed, on the atoms.

    a* is the action with the highest mean, by the target network, or (double) by the network that is learning.

    Args:
        rewards: R, [N].
        discounts: gamma, or one for each step, [N].
        next_probabilities: of the target network, [N, n_actions, n_atoms].
        terminated: 1 (or True) where S' is terminal, [N].
        atoms: [n_atoms].
        next_online_probabilities: of the network that is learning, which then picks a*, as in Rainbow; same shape.

    Returns:
        Probabilities without gradient, [N, n_atoms].

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> atoms, certain = th.tensor([0.0, 1.0, 2.0]), th.tensor([[[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]])
        >>> categorical_targets(th.tensor([0.25]), 0.5, certain, th.tensor([0.0]), atoms)  # 0.25 + 0.5 * 2
        tensor([[0.0000, 0.7500, 0.2500]])
    """
    _check_shapes(rewards=rewards, terminated=terminated)
    if isinstance(discounts, th.Tensor):
        _check_shapes(rewards=rewards, discounts=discounts)
    chooser = next_probabilities if next_online_probabilities is None else next_online_probabilities
    _check_shapes(next_probabilities=next_probabilities, next_online_probabilities=chooser)
    shape = tuple(next_probabilities.shape)
    if len(shape) != 3 or (shape[0], shape[2]) != (len(rewards), len(atoms)) or shape[1] == 0:
        raise ValueError(f"next_probabilities must be [{len(rewards)}, n_actions, {len(atoms)}], got {shape}")
    greedy = (chooser @ atoms).argmax(dim=1)
    probabilities = next_probabilities[th.arange(len(rewards), device=greedy.device), greedy]
    future = (1 - terminated.to(rewards.dtype)) * discounts
    values = rewards[:, None] + future[:, None] * atoms
    return project_distribution(values, probabilities, atoms).detach()


def categorical_losses(log_probabilities: th.Tensor, targets: th.Tensor) -> th.Tensor:
    """``sum_i target_i log(target_i / p_i)``: 0 where the prediction is right. It is Rainbow's priority as well.

    Its gradient is that of the cross-entropy, which Algorithm 1 returns: they differ by what the targets alone decide.

    Args:
        log_probabilities: log p of the actions taken, [N, n_atoms].
        targets: probabilities, [N, n_atoms].

    Returns:
        [N].

    Raises:
        ValueError: if the shapes differ.

    Example:
        >>> categorical_losses(th.tensor([[0.5, 0.5], [0.5, 0.5]]).log(), th.tensor([[0.5, 0.5], [1.0, 0.0]]))
        tensor([0.0000, 0.6931])
    """
    _check_shapes(log_probabilities=log_probabilities, targets=targets)
    targets = targets.detach()
    return (th.xlogy(targets, targets) - targets * log_probabilities).sum(dim=-1)
