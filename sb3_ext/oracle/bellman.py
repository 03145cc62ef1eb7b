"""Exact targets for value methods: what Q-learning and DQN regress on, without samples.

    (T* Q)(s, a) = sum_{s', r} p(s', r | s, a) [r + gamma max_a' Q(s', a')]     Sutton & Barto (2nd ed.), eq. 4.2 / 6.8

Only Q* has Q = T* Q, and a table with residual T* Q - Q of at most x is within x / (1 - gamma) of Q*. A terminated
outcome has no future. A truncated one has: a time limit ends the episode, not the world. ``compare_targets`` shows a
target function every possible transition, on request as truncated, and says where its mean is not T* Q.

Read on in ``maximization.py``: T* of a noisy Q.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch as th

from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.planning import check_gamma, look_ahead

Floats = npt.NDArray[np.float64]


class Transitions(NamedTuple):
    """Every possible transition of a process, arrays [N], by state and action.

    Attributes:
        state: int64.
        action: int64.
        reward: float64.
        next_state: int64; of no meaning where terminated.
        terminated: bool.
        truncated: bool, False where terminated.
        probability: float64, p(next_state, reward | state, action), above 0.
    """

    state: npt.NDArray[np.int64]
    action: npt.NDArray[np.int64]
    reward: Floats
    next_state: npt.NDArray[np.int64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    probability: Floats


@dataclass(frozen=True, eq=False)
class TargetErrors:
    """How far the mean of a computed target is from T* Q.

    Attributes:
        errors: float64 [S, A], mean target less T* Q.
    """

    errors: Floats

    @property
    def max_error(self) -> float:
        """The largest absolute error."""
        return float(np.abs(self.errors).max())

    @property
    def mean_error(self) -> float:
        """The mean absolute error, all state-action pairs counting alike."""
        return float(np.abs(self.errors).mean())

    @property
    def where(self) -> tuple[int, int]:
        """The state and action of the largest absolute error (the first such)."""
        state, action = np.unravel_index(np.abs(self.errors).argmax(), self.errors.shape)
        return int(state), int(action)


def expected_q_learning_target(mdp: TabularMDP, q_values: npt.ArrayLike, gamma: float) -> Floats:
    """T* Q, the mean of the target r + gamma max_a' Q(s', a') in each state and action.

    Args:
        mdp: The process.
        q_values: Q [S, A], finite.
        gamma: Discount in [0, 1].

    Returns:
        [S, A].

    Raises:
        ValueError: If Q does not fit or gamma is out of range.

    Example:
        >>> mdp = TabularMDP.from_arrays([[0, 1], [1, 1]], [[0.0, 1.0], [0.0, 0.0]], [[False, True], [True, True]])
        >>> expected_q_learning_target(mdp, [[2.0, 0.0], [9.0, 9.0]], gamma=0.5)
        array([[1., 1.],
               [0., 0.]])
    """
    return look_ahead(mdp, _checked(mdp, q_values, gamma).max(axis=1), gamma)


def expected_double_q_target(
    mdp: TabularMDP, q_select: npt.ArrayLike, q_evaluate: npt.ArrayLike, gamma: float
) -> Floats:
    """The mean of the target r + gamma Q_evaluate(s', argmax_a' Q_select(s', a')), equation 6.10; ties: first action.

    Double DQN (van Hasselt et al. 2016) selects with the online network and evaluates with the target network.

    Args:
        mdp: The process.
        q_select: [S, A], finite.
        q_evaluate: [S, A], finite.
        gamma: Discount in [0, 1].

    Returns:
        [S, A].

    Raises:
        ValueError: If a Q does not fit or gamma is out of range.

    Example:
        >>> mdp = TabularMDP.from_arrays([[0, 0]], [[0.0, 1.0]])
        >>> expected_double_q_target(mdp, [[2.0, 0.0]], [[1.0, 5.0]], gamma=0.5)
        array([[0.5, 1.5]])
    """
    selected = _checked(mdp, q_select, gamma).argmax(axis=1)
    return look_ahead(mdp, _checked(mdp, q_evaluate, gamma)[np.arange(mdp.n_states), selected], gamma)


def bellman_optimality_residual(mdp: TabularMDP, q_values: npt.ArrayLike, gamma: float) -> Floats:
    """T* Q - Q [S, A]: the mean TD error of Q-learning in each state and action; 0 for Q* alone.

    Args:
        mdp: The process.
        q_values: Q [S, A], finite.
        gamma: Discount in [0, 1].

    Raises:
        ValueError: If Q does not fit or gamma is out of range.

    Example:
        >>> bellman_optimality_residual(TabularMDP.from_arrays([[0]], [[1.0]]), [[10.0]], gamma=0.5)
        array([[-4.]])
    """
    return expected_q_learning_target(mdp, q_values, gamma) - np.asarray(q_values, dtype=np.float64)


def all_transitions(mdp: TabularMDP, truncated: bool = False) -> Transitions:
    """Every transition of positive probability.

    Args:
        mdp: The process.
        truncated: Whether those that do not terminate are marked as truncated by a time limit, all of them.

    Example:
        >>> batch = all_transitions(TabularMDP.from_arrays([[0, 0]], [[1.0, 2.0]], [[False, True]]), truncated=True)
        >>> batch.action, batch.reward, batch.terminated, batch.truncated
        (array([0, 1]), array([1., 2.]), array([False,  True]), array([ True, False]))
    """
    possible = np.nonzero(mdp.probability > 0)
    terminated = mdp.terminated[possible]
    return Transitions(
        state=possible[0].astype(np.int64),
        action=possible[1].astype(np.int64),
        reward=mdp.reward[possible].astype(np.float64),
        next_state=mdp.next_state[possible].astype(np.int64),
        terminated=terminated,
        truncated=~terminated if truncated else np.zeros_like(terminated),
        probability=mdp.probability[possible],
    )


def compare_targets(
    mdp: TabularMDP,
    target: Callable[[Transitions], npt.ArrayLike | th.Tensor],
    q_values: npt.ArrayLike,
    gamma: float,
    truncated: bool = False,
) -> TargetErrors:
    """How far a target function is from T* Q, on average over what may follow each state and action.

    Args:
        mdp: The process.
        target: Gives the targets [N] of a batch of transitions, as the update of DQN does for a batch of its memory.
        q_values: The Q [S, A] that it bootstraps from (of DQN, its target network's).
        gamma: Discount in [0, 1].
        truncated: Whether to show all transitions that do not terminate as truncated. T* Q is the same: a target that
            takes truncation for termination is found out.

    Raises:
        ValueError: If Q does not fit, gamma is out of range, or the targets are not N finite numbers.

    Example:
        >>> mdp, q = TabularMDP.from_arrays([[0, 0]], [[1.0, 2.0]], [[False, True]]), np.array([[4.0, 3.0]])
        >>> def forgets_the_end(batch):
        ...     return batch.reward + 0.5 * q[batch.next_state].max(axis=1)
        >>> found = compare_targets(mdp, forgets_the_end, q, gamma=0.5)
        >>> found.max_error, found.mean_error, found.where
        (2.0, 1.0, (0, 1))
    """
    exact = expected_q_learning_target(mdp, q_values, gamma)
    batch = all_transitions(mdp, truncated)
    computed = target(batch)
    if isinstance(computed, th.Tensor):
        computed = computed.detach().cpu().numpy()
    targets = np.asarray(computed, dtype=np.float64)
    if targets.shape not in (batch.state.shape, (len(batch.state), 1)) or not np.isfinite(targets).all():
        raise ValueError(f"target must give {len(batch.state)} finite numbers, got shape {list(targets.shape)}")
    mean = np.zeros_like(exact)
    np.add.at(mean, (batch.state, batch.action), batch.probability * targets.ravel())
    return TargetErrors(mean - exact)


def _checked(mdp: TabularMDP, q_values: npt.ArrayLike, gamma: float) -> Floats:
    check_gamma(gamma)
    array, shape = np.asarray(q_values, dtype=np.float64), (mdp.n_states, mdp.n_actions)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"Q must be finite numbers {list(shape)}, got shape {list(array.shape)}")
    return array
