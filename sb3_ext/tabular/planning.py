"""Exact solutions of a ``TabularMDP`` by dynamic programming (Sutton & Barto, 2nd ed., chapter 4).

* ``policy_evaluation`` solves the Bellman equation v = r_pi + gamma P_pi v (4.4) of a policy;
* ``value_iteration`` repeats v <- max_a [r(s, a) + gamma sum_s' p(s' | s, a) v(s')] (4.10) until the error is small.

Where an outcome ends the episode, nothing follows: its next state counts with value 0.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sb3_ext.tabular.mdp import TabularMDP

LARGEST_DIRECT_SOLVE = 2000  # states; a dense system of this size takes 32 MB and about a second
MAX_SWEEPS = 1_000_000


@dataclass(frozen=True)
class Solution:
    """What planning found.

    Attributes:
        values: v [S].
        q_values: q [S, A], one step of look-ahead from ``values``.
        policy: int64 [S], the first greedy action of each state.
        n_sweeps: Sweeps over all states that it took (0 for a direct solution).
    """

    values: npt.NDArray[np.float64]
    q_values: npt.NDArray[np.float64]
    policy: npt.NDArray[np.int64]
    n_sweeps: int


def look_ahead(mdp: TabularMDP, values: npt.ArrayLike, gamma: float) -> npt.NDArray[np.float64]:
    """The value of each action if ``values`` is what follows: the bracket of equation 4.10.

    Args:
        mdp: The process.
        values: [S].
        gamma: Discount.

    Returns:
        q [S, A].

    Example:
        >>> mdp = TabularMDP.from_arrays([[0, 1], [1, 1]], [[0.0, 1.0], [0.0, 0.0]], [[False, True], [True, True]])
        >>> look_ahead(mdp, [1.0, 0.0], gamma=0.9)
        array([[0.9, 1. ],
               [0. , 0. ]])
    """
    future = np.asarray(values, dtype=np.float64)[mdp.next_state] * ~mdp.terminated
    return np.einsum("sak,sak->sa", mdp.probability, mdp.reward + gamma * future)


def optimal_actions(q_values: npt.ArrayLike, tolerance: float = 1e-6) -> npt.NDArray[np.bool_]:
    """Which actions are the best, ties included.

    Args:
        q_values: [S, A].
        tolerance: How far below the best an action may be and still count as tied.

    Returns:
        bool [S, A], at least one True in each row.

    Example:
        >>> optimal_actions([[1.0, 1.0, 0.5]])
        array([[ True,  True, False]])
    """
    q_array = np.asarray(q_values)
    return q_array >= q_array.max(axis=-1, keepdims=True) - tolerance


def policy_evaluation(
    mdp: TabularMDP, policy: npt.ArrayLike, gamma: float = 0.99, tolerance: float = 1e-10
) -> Solution:
    """The values of a policy.

    Up to 2000 states the linear system is solved directly; beyond, sweeps are repeated as in ``value_iteration``.

    Args:
        mdp: The process.
        policy: Actions [S], or probabilities [S, A].
        gamma: Discount in [0, 1]; 1 needs a policy that ends every episode.
        tolerance: Largest error of a value that was found by sweeps (for gamma = 1, see ``value_iteration``).

    Returns:
        values and q_values of the policy; ``Solution.policy`` is greedy with respect to them (an improvement).

    Raises:
        ValueError: If the policy does not fit, gamma is out of range, or a value is infinite.
    """
    _check_gamma(gamma)
    probabilities = _policy_probabilities(mdp, policy)
    if mdp.n_states > LARGEST_DIRECT_SOLVE:
        return _iterate(mdp, gamma, tolerance, probabilities)
    weights = probabilities[:, :, None] * mdp.probability
    rewards = (weights * mdp.reward).sum(axis=(1, 2))
    transitions = np.zeros((mdp.n_states, mdp.n_states))
    rows = np.broadcast_to(np.arange(mdp.n_states)[:, None, None], weights.shape)
    np.add.at(transitions, (rows, mdp.next_state), weights * ~mdp.terminated)
    if gamma == 1 and not _always_ends(transitions):
        raise ValueError("gamma=1 needs a policy that ends every episode, from every state; this one does not")
    values = np.linalg.solve(np.eye(mdp.n_states) - gamma * transitions, rewards)
    return _solution(mdp, values, gamma, 0)


def value_iteration(mdp: TabularMDP, gamma: float = 0.99, tolerance: float = 1e-8) -> Solution:
    """The optimal values and a greedy policy.

    For gamma < 1 it stops once the last change d guarantees the error (up to rounding): the contraction bound is
    |v - v*| <= gamma d / (1 - gamma) <= tolerance. For gamma = 1 there is no such bound: it stops once no value changes
    by more than ``tolerance``, and values of states from which episodes need not end may have no limit.

    Args:
        mdp: The process.
        gamma: Discount in [0, 1]; 1 for tasks that can be ended from every state.
        tolerance: Largest error of a value, above 0.

    Raises:
        ValueError: If gamma or tolerance is out of range, or the values grow without a limit.
    """
    _check_gamma(gamma)
    return _iterate(mdp, gamma, tolerance, None)


def _iterate(
    mdp: TabularMDP, gamma: float, tolerance: float, probabilities: npt.NDArray[np.float64] | None
) -> Solution:
    """Sweeps of equation 4.10, or of 4.5 where the policy's probabilities [S, A] are given."""
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}")
    largest_change = tolerance if gamma == 1 else tolerance * (1 - gamma) / max(gamma, 1e-300)
    values = earlier = np.zeros(mdp.n_states)
    change_before = np.inf
    for sweep in range(1, MAX_SWEEPS + 1):
        q_values = look_ahead(mdp, values, gamma)
        updated = q_values.max(axis=1) if probabilities is None else (probabilities * q_values).sum(axis=1)
        change = np.abs(updated - values).max()
        rounding = 4 * np.finfo(np.float64).eps * np.abs(updated).max()  # smaller changes are no information
        values = updated
        if change <= max(largest_change, rounding):
            return _solution(mdp, values, gamma, sweep)
        if gamma < 1:
            continue
        if np.abs(values - earlier).max() <= rounding:
            state = int(np.abs(look_ahead(mdp, values, 1.0).max(axis=1) - values).argmax())
            raise ValueError(_no_limit(state, values, sweep, "it goes round in a circle"))
        if sweep & (sweep - 1) == 0:  # a power of two (Brent 1980): a circle of any length is found sooner or later
            earlier = values
        if sweep % 1000 == 0:
            _check_growth(values, change, change_before, sweep, mdp)
            change_before = change
    raise ValueError(
        f"no convergence to tolerance={tolerance} within {MAX_SWEEPS} sweeps; raise it or lower gamma={gamma}"
    )


def _check_growth(
    values: npt.NDArray[np.float64], change: float, change_before: float, sweep: int, mdp: TabularMDP
) -> None:
    """Refuses values beyond any detour's cost that change no less than a thousand sweeps before: they have no limit.

    A path through every state once, each left with the smallest probability that there is, costs that much.
    """
    smallest_probability = mdp.probability[mdp.probability > 0].min()
    largest = np.abs(mdp.expected_reward).max() * mdp.n_states / smallest_probability
    if np.abs(values).max() > largest and change >= change_before * (1 - 1e-6):
        raise ValueError(_no_limit(int(np.abs(values).argmax()), values, sweep, "it grows"))


def _no_limit(state: int, values: npt.NDArray[np.float64], sweep: int, how: str) -> str:
    return (
        f"gamma=1: the value of state {state} has no limit: {how} (it is {values[state]:.6g} after {sweep} sweeps), as "
        "its episodes need not end; take gamma < 1"
    )


def _solution(mdp: TabularMDP, values: npt.NDArray[np.float64], gamma: float, n_sweeps: int) -> Solution:
    q_values = look_ahead(mdp, values, gamma)
    return Solution(values, q_values, q_values.argmax(axis=1), n_sweeps)


def _check_gamma(gamma: float) -> None:
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")


def _policy_probabilities(mdp: TabularMDP, policy: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The policy as probabilities [S, A]."""
    array = np.asarray(policy)
    shape = (mdp.n_states, mdp.n_actions)
    if array.shape == shape[:1] and array.dtype.kind in "iu":
        if array.min() < 0 or array.max() >= shape[1]:
            state = int(((array < 0) | (array >= shape[1])).argmax())
            raise ValueError(f"state {state}: the actions are 0 to {shape[1] - 1}, got {array[state]}")
        return np.eye(shape[1])[array]
    if array.shape != shape:
        raise ValueError(
            f"policy must be integers [{shape[0]}] or probabilities {list(shape)}, got {array.dtype} "
            f"{list(array.shape)}"
        )
    wrong = np.flatnonzero(~((array >= 0).all(axis=1) & (np.abs(array.sum(axis=1) - 1) < 1e-6)))
    if len(wrong):
        raise ValueError(f"state {wrong[0]}: the policy's probabilities must sum to 1, got {array[wrong[0]]}")
    return array.astype(np.float64)


def _always_ends(transitions: npt.NDArray[np.float64]) -> bool:
    """Whether every state leads to an end, given the probabilities [S, S] of going on."""
    ends = transitions.sum(axis=1) < 1 - 1e-12
    while True:
        more = ends | ((transitions > 0) @ ends)
        if (more == ends).all():
            return bool(ends.all())
        ends = more
