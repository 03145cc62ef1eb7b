"""The exact policy gradient: what REINFORCE, A2C and PPO estimate from samples.

    grad J(theta) = sum_s d(s) sum_a grad pi(a | s, theta) Q(s, a)              Sutton & Barto (2nd ed.), eq. 13.5

with d(s) = sum_t gamma^t P(S_t = s) not normalised (then "proportional to" is "equal to"). Q may be replaced with the
advantage Q - V, for sum_a grad pi(a | s) = 0 (13.10); this is done here as it rounds less. d and Q come from
``exact.py``; grad pi from autograd: probabilities of all states, one backward pass.

    time limit, bootstrap=False    sum_t sum_s d_t(s) sum_a grad pi(a | s) Q_t(s, a), the gradient of the limited J
    time limit, bootstrap=True     the same sum with Q_t = Q: what an estimator follows on average that adds
                                   gamma^T V(S_T) to truncated episodes. V is data to it, so this is grad J less
                                   gamma^T E[grad V(S_T)]; the whole grad J is the gradient without a time limit.
    discounted_gradient=False      P(S_t = s) in place of gamma^t P(S_t = s): what practical policy gradients follow on
                                   average. For gamma < 1 it is in general the gradient of no function (Nota & Thomas
                                   2020, "Is the policy gradient a gradient?").

Read on in ``bellman.py``: the same for value methods.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch as th
from stable_baselines3.common.policies import BasePolicy
from torch import nn

from sb3_ext.oracle.exact import solve_policy, state_occupancy
from sb3_ext.tabular.mdp import TabularMDP


class SoftmaxTable(nn.Module):
    """A softmax of action preferences, one row for each observation (equation 13.2), in float64.

    Args:
        logits: The preferences h(o, a) [O, A] to begin with; they are the parameters.

    Raises:
        ValueError: If logits are not finite numbers [O, A].

    Example:
        >>> table = SoftmaxTable([[0.0, 0.0], [0.0, np.log(3.0)]])
        >>> table([0, 1, 1]).tolist()
        [[0.5, 0.5], [0.25, 0.75], [0.25, 0.75]]
    """

    def __init__(self, logits: npt.ArrayLike) -> None:
        super().__init__()
        array = np.array(logits, dtype=np.float64)
        if array.ndim != 2 or not array.size or not np.isfinite(array).all():
            raise ValueError(f"logits must be finite numbers [O, A], got shape {list(array.shape)}")
        self.logits = nn.Parameter(th.from_numpy(array))

    def forward(self, observations: npt.ArrayLike | th.Tensor | None = None) -> th.Tensor:
        """Pi(a | o) [n, A] of integer observations [n]; of all rows if left out."""
        rows = self.logits if observations is None else self.logits[th.as_tensor(observations)]
        return rows.softmax(dim=-1)


def policy_probabilities(policy: Any, observations: npt.ArrayLike | Mapping[str, npt.NDArray[Any]]) -> th.Tensor:
    """Pi(a | s) of every state, with gradient, in the policy's own precision.

    SB3 makes observations float32; here they take the dtype of the policy's parameters, so that
    ``deepcopy(model.policy).double()`` works. Dropout and the like are off meanwhile.

    Args:
        policy: An SB3 policy with a distribution over Discrete actions (``model.policy`` of PPO, A2C, TRPO, REINFORCE,
            GRPO), or anything that maps a tensor of observations to probabilities, such as a ``SoftmaxTable``.
        observations: What the policy sees in each state, [S, ...], or a dictionary of such; normalised if those of the
            training are. ``np.arange(S)`` for Discrete ones, ``GridWorld.observe(np.arange(S))`` for a grid.

    Returns:
        Tensor [S, A] of the policy's dtype.

    Raises:
        ValueError: If the policy gives no probabilities of discrete actions, or needs more than an observation.

    Example:
        >>> policy_probabilities(SoftmaxTable([[0.0, 0.0]]), [0, 0, 0]).shape  # three states that look alike
        torch.Size([3, 2])
    """
    if isinstance(policy, BasePolicy):
        return _sb3_probabilities(policy, observations)
    if not callable(policy):
        raise ValueError(f"{type(policy).__name__} is no policy; of a model, give model.policy")
    probabilities = policy(th.as_tensor(np.asarray(observations)))
    if not isinstance(probabilities, th.Tensor) or probabilities.ndim != 2 or not probabilities.is_floating_point():
        raise ValueError(f"{type(policy).__name__} must give action probabilities [S, A], got {probabilities!r:.80}")
    return probabilities


def exact_policy_gradient(
    mdp: TabularMDP,
    probabilities: th.Tensor,
    parameters: th.Tensor | Iterable[th.Tensor],
    gamma: float,
    horizon: int | None = None,
    bootstrap: bool | npt.ArrayLike = False,
    discounted_gradient: bool = True,
) -> th.Tensor:
    """The exact grad J(theta): the policy gradient theorem without samples.

    Args:
        mdp: The process.
        probabilities: pi(a | s) [S, A] with gradient, see ``policy_probabilities``. Not used up: it may be used again.
        parameters: theta, a tensor or several, as ``policy.parameters()``; those that probabilities do not depend on
            (a critic's) have gradient 0.
        gamma: Discount in [0, 1]; 1 without a horizon needs a policy that ends every episode, from every state.
        horizon: T, steps after which an episode is truncated. Default: no time limit.
        bootstrap: What a truncated episode is still worth, as in ``solve_policy``. With anything but False this is not
            the whole gradient: what is bootstrapped counts as a constant (see the head of this file).
        discounted_gradient: Whether a state at time t counts gamma^t (eq. 13.8); as in ``REINFORCE``, where the default
            is False. False without a horizon needs a policy that ends every episode.

    Returns:
        A flat tensor [number of parameters], in the order of ``torch.nn.utils.parameters_to_vector``.

    Raises:
        ValueError: As ``solve_policy`` and ``weighted_gradient``.

    Example:
        >>> bandit = TabularMDP.from_arrays([[0, 0]], [[1.0, 0.0]], [[True, True]])
        >>> table = SoftmaxTable([[0.0, 0.0]])
        >>> exact_policy_gradient(bandit, table(), table.parameters(), gamma=0.9).tolist()
        [0.25, -0.25]
    """
    solution = solve_policy(mdp, probabilities, gamma, horizon, bootstrap)
    occupancy = solution.occupancy
    if not discounted_gradient:
        try:
            occupancy = state_occupancy(mdp, probabilities, 1.0, horizon)
        except ValueError as error:
            raise ValueError(f"discounted_gradient=False counts visits without discount, that is, {error}") from error
    weights = occupancy[..., None] * solution.advantages
    return weighted_gradient(probabilities, weights if horizon is None else weights.sum(axis=0), parameters)


def weighted_gradient(
    probabilities: th.Tensor, weights: npt.ArrayLike, parameters: th.Tensor | Iterable[th.Tensor]
) -> th.Tensor:
    """The sum over s and a of weights(s, a) grad pi(a | s): the mean of any score-function estimator.

    With weights d(s) Q(s, a) this is the policy gradient; with d(s) times what a critic takes for the advantage, it is
    what an actor-critic follows on average. (E[x grad log pi(A | S)] = sum_a x grad pi(a | S): the probability of the
    action is in grad pi.)

    Args:
        probabilities: pi(a | s) [S, A] with gradient.
        weights: Finite numbers [S, A].
        parameters: theta, a tensor or several.

    Returns:
        A flat tensor [number of parameters].

    Raises:
        ValueError: If shapes differ, weights are not finite, or probabilities do not depend on parameters.

    Example:
        >>> p = th.tensor(0.3, requires_grad=True)
        >>> weighted_gradient(th.stack([1 - p, p])[None], [[1.0, 5.0]], p)
        tensor([4.])
    """
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != tuple(probabilities.shape) or not np.isfinite(array).all():
        shapes = f"{list(probabilities.shape)} as probabilities, got {list(array.shape)}"
        raise ValueError(f"weights must be finite and {shapes}")
    tensors = [parameters] if isinstance(parameters, th.Tensor) else list(parameters)
    if not tensors or not all(tensor.requires_grad for tensor in tensors):
        raise ValueError(f"parameters must be tensors with requires_grad=True, got {len(tensors)} tensors")
    if not probabilities.requires_grad:
        raise ValueError("probabilities have no gradient: compute them from the parameters, outside of torch.no_grad()")
    direction = th.as_tensor(array, dtype=probabilities.dtype, device=probabilities.device)
    gradients = th.autograd.grad(probabilities, tensors, direction, retain_graph=True, allow_unused=True)
    if all(gradient is None for gradient in gradients):
        raise ValueError("probabilities depend on none of the parameters")
    pairs = zip(tensors, gradients, strict=True)
    return th.cat([(th.zeros_like(tensor) if part is None else part).detach().flatten() for tensor, part in pairs])


def _sb3_probabilities(policy: Any, observations: npt.ArrayLike | Mapping[str, npt.NDArray[Any]]) -> th.Tensor:
    name = type(policy).__name__
    if not hasattr(policy, "get_distribution") or hasattr(policy, "lstm_actor") or name.startswith("Maskable"):
        raise ValueError(f"{name} gives no action probabilities for an observation alone")
    array = observations if isinstance(observations, Mapping) else np.asarray(observations)
    with _left_as_it_was(policy), _observations_in_own_precision(policy):
        tensor, _ = policy.obs_to_tensor(array)
        distribution = policy.get_distribution(tensor).distribution
    if not isinstance(distribution, th.distributions.Categorical):
        raise ValueError(f"{name} has no Discrete actions but {policy.action_space}")
    return distribution.probs


@contextmanager
def _left_as_it_was(policy: Any) -> Iterator[None]:
    """Within, the policy is in evaluation mode and keeps no distribution: it could not be copied with one."""
    was_training, kept = policy.training, policy.action_dist
    policy.action_dist = copy(kept)
    policy.set_training_mode(False)
    try:
        yield
    finally:
        policy.set_training_mode(was_training)
        policy.action_dist = kept


@contextmanager
def _observations_in_own_precision(policy: Any) -> Iterator[None]:
    """Within, what goes into the actor's features extractor has the dtype of the policy's parameters, not float32."""
    dtype = next(policy.parameters()).dtype

    def cast(_module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(
            {name: part.to(dtype) for name, part in given.items()} if isinstance(given, dict) else given.to(dtype)
            for given in inputs
        )

    hook = policy.pi_features_extractor.register_forward_pre_hook(cast)
    try:
        yield
    finally:
        hook.remove()
