"""The learner's slots: what a function of your own looks like that takes the place of one of ours.

Each protocol is one equation and the signature in which it is written and handed in. Arrays are NumPy's, float64,
unless it says tensors; nothing may be changed in place, and the same inputs must give the same result.

    DiscountedReturns    REINFORCE(..., advantage=discounted_returns)
    QLearningUpdate      QLearning(..., update=q_learning_update)
    ActionProbabilities  QLearning(..., exploration=an_object_with_this_method)
    Potential            PotentialShaping(env, potential=potential, gamma=0.99)
    PolicyGradientLoss   A2CScratch(..., loss=policy_gradient_loss)
    ClippedSurrogate     PPOScratch(..., loss=clipped_surrogate)
    GAE                  PPOScratch(..., advantage=gae), A2CScratch(..., advantage=gae)
    DQNTargets           DQNScratch(..., target=dqn_targets)
    GroupAdvantages      GRPO(..., advantage=group_advantages)

``sb3-ext check my_file.py`` grades such functions and trains with them.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch as th
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class DiscountedReturns(Protocol):
    """What each step of one episode is credited with: ``G_t = R_{t+1} + gamma G_{t+1}`` (Sutton & Barto, eq. 3.9)."""

    def __call__(self, rewards: Floats, gamma: float, /) -> Floats:
        """From R_{t+1}, [T], and the discount to G_t, [T]; after the last reward nothing follows."""


class QLearningUpdate(Protocol):
    """``Q(S, A) + alpha [R + gamma max_a Q(S', a) - Q(S, A)]`` (Sutton & Barto, eq. 6.8)."""

    def __call__(
        self,
        q_value: float,
        reward: float,
        next_q_values: Floats,
        terminated: bool,
        learning_rate: float,
        gamma: float,
        /,
    ) -> float:
        """From Q(S, A), R, Q(S', .) [A] and whether S' is terminal (and so worth 0) to the new Q(S, A).

        ``terminated`` is False where an episode was only cut off by a time limit: S' is worth as much as ever there.
        """


class ActionProbabilities(Protocol):
    """An exploration, as ``EpsilonGreedy`` is one (Sutton & Barto, section 2.2)."""

    def probabilities(self, q_values: Floats, counts: Floats, progress: float, /) -> Floats:
        """The probability of each action.

        From Q(s, .), N(s, .) and the share of the training that is done, 0 to 1. Arrays are [A] while learning,
        [n, A] in ``predict``; the result has the shape of ``q_values``, and its rows add up to 1.
        """


class Potential(Protocol):
    """Phi of potential-based shaping, ``F = gamma Phi(S') - Phi(S)`` (Ng, Harada & Russell 1999)."""

    def __call__(self, observation: np.ndarray, /) -> float:
        """From an observation to a number: higher where the goal is nearer."""


class PolicyGradientLoss(Protocol):
    """``- mean of A_t log pi(A_t|S_t)`` (Sutton & Barto, eq. 13.11): its gradient is minus the policy gradient."""

    def __call__(self, log_probs: th.Tensor, advantages: th.Tensor, /) -> th.Tensor:
        """From tensors [N] to a scalar; no gradient flows through the advantages."""


class ClippedSurrogate(Protocol):
    """``- mean of min(r A, clip(r, 1 - eps, 1 + eps) A)``, r = pi / pi_old (Schulman et al. 2017, eq. 7)."""

    def __call__(
        self, log_probs: th.Tensor, old_log_probs: th.Tensor, advantages: th.Tensor, clip_range: float, /
    ) -> th.Tensor:
        """From tensors [N] and eps to a scalar; a gradient flows through ``log_probs`` alone."""


class GAE(Protocol):
    """``A_t = delta_t + gamma lambda A_{t+1}`` within an episode, ``delta_t = R + gamma V(S') - V(S)`` (Schulman et al.
    2016, eq. 16); a terminal S' is worth 0, a truncated episode is bootstrapped, and no A crosses the end of either.
    """

    def __call__(
        self, rewards: Floats, values: Floats, next_values: Floats, terminated: Bools, truncated: Bools,
        gamma: float, gae_lambda: float, /,
    ) -> Floats:  # fmt: skip
        """From [T] arrays of one environment, several episodes in a row, to A_t, [T].

        ``next_values`` is V of the state that the step led to, before any reset; so it is ``values`` one step on except
        where an episode ends. The last step may end neither way: the rollout was over.
        """


class DQNTargets(Protocol):
    """``R + gamma max_a Q_target(S', a)`` (Mnih et al. 2015, Algorithm 1)."""

    def __call__(
        self, rewards: th.Tensor, gamma: float, next_q_values: th.Tensor, terminated: th.Tensor, /
    ) -> th.Tensor:
        """From tensors [N], [N, n_actions] and 1.0 where S' is terminal, [N], to targets [N]."""


class GroupAdvantages(Protocol):
    """``(G_i - mean G) / std G`` within each group (Shao et al. 2024, section 4.1); 0 where all G are equal."""

    def __call__(self, returns: Floats, /) -> Floats:
        """From whole returns, [n_groups, n_members], to the advantage of each, same shape."""


HINT = "`sb3-ext check` grades such functions and says what is wrong"


def result_of(function: Callable[..., Any], shape: tuple[int, ...], /, *arguments: Any) -> Floats:
    """What a function in a slot returns, as float64; it is given copies of the arrays.

    Args:
        function: In the slot.
        shape: That its result should have; () for a number.
        *arguments: To call it with.

    Raises:
        ValueError: If the result is not finite numbers of that shape.

    Example:
        >>> result_of(lambda rewards, gamma: gamma * rewards, (2,), np.array([1.0, 2.0]), 0.5)
        array([0.5, 1. ])
    """
    copies = [argument.copy() if isinstance(argument, np.ndarray) else argument for argument in arguments]
    result = function(*copies)
    name = _name_of(function)
    if result is None:
        raise ValueError(f"{name} returned nothing: there is no `return`; {HINT}")
    try:
        data = result.detach().cpu() if isinstance(result, th.Tensor) else result
        numbers = np.asarray(data, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} returned {result!r}, not numbers; {HINT}") from None
    if numbers.shape != shape:
        raise ValueError(f"{name} returned the shape {numbers.shape}, expected {tuple(map(int, shape))}; {HINT}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{name} returned a number that is not finite: {numbers}; {HINT}")
    return numbers


def tensor_of(
    function: Callable[..., Any], shape: tuple[int, ...], /, *arguments: Any, gradient: bool = False
) -> th.Tensor:
    """What a function of tensors in a slot returns.

    Args:
        function: In the slot.
        shape: That its result should have; () for a loss.
        *arguments: To call it with.
        gradient: Whether the result should lead a gradient to the arguments, as a loss does.

    Raises:
        ValueError: If the result is no tensor of that shape, not finite, or no gradient flows through it that should.

    Example:
        >>> tensor_of(lambda log_probs, advantages: -(log_probs * advantages).mean(), (), th.ones(2), th.ones(2))
        tensor(-1.)
    """
    result, name = function(*arguments), _name_of(function)
    if not isinstance(result, th.Tensor):
        raise ValueError(f"{name} returned {result!r:.60}, not a tensor; {HINT}")
    if tuple(result.shape) != tuple(shape):
        raise ValueError(f"{name} returned the shape {tuple(result.shape)}, expected {tuple(shape)}; {HINT}")
    if not th.isfinite(result).all():
        raise ValueError(f"{name} returned a number that is not finite: {result.detach()}; {HINT}")
    if gradient and not result.requires_grad:
        raise ValueError(f"{name} returned a loss that no gradient flows through, so nothing would be learned; {HINT}")
    return result


def _name_of(function: Any) -> str:
    return getattr(function, "__qualname__", type(function).__name__)
