"""Exact solutions of a ``TabularMDP`` by dynamic programming (Sutton & Barto, 2nd ed., chapter 4).

* ``policy_evaluation`` solves the Bellman equation v = r_pi + gamma P_pi v (4.4) of a policy;
* ``policy_iteration`` evaluates a policy, improves it where an action is better, and so on until none is (4.3);
* ``value_iteration`` repeats v <- max_a [r(s, a) + gamma sum_s' p(s' | s, a) v(s')] (4.10) until the error is small;
* ``modified_policy_iteration`` does that once, then evaluates the greedy policy by a few sweeps (4.5), which cost a
  fraction, and so on: the fastest on large worlds.

Where an outcome ends the episode, nothing follows: its next state counts with value 0.

**When to stop.** Write T v for the right-hand side of (4.10), and let T v - v lie between l and h (with l <= 0 <= h
where episodes may end). Then, for gamma < 1 and the policy pi that is greedy with respect to v (MacQueen 1966; Puterman
1994, section 6.6.3),

    v + l / (1 - gamma)  <=  v*  <=  v + h / (1 - gamma)        and        v* - v_pi  <=  gamma (h - l) / (1 - gamma)

Sweeps go on until (h - l) / (1 - gamma) is at most the tolerance: a small last change alone proves nothing. What is
proved stands in ``Solution.error_bound`` and ``Solution.loss_bound``.

**gamma = 1.** A value is the sum of all rewards until the episode ends, so it must end. Required is a way to an end
from every state; the optimum is taken over the policies that end every episode with probability 1. It does not exist
where going round in a circle earns more and more, and it is not what is wanted where going on for ever, for nothing, is
better than every end: both are errors that name a state. Sweeps alone may stop at a wrong solution of the Bellman
equation (a state that can be left for 1 or kept for 0 is worth 1, but every greater number solves it, too). So every
method ends with policy iteration among the policies that end (Bertsekas & Tsitsiklis 1991), value iteration close to
its goal.

The loops are in ``sweeps.py``, what gamma = 1 asks of a world is in ``endings.py``. Read on in ``optimality_gap.py``:
how far a learning agent is from these values.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sb3_ext.tabular import endings, sweeps
from sb3_ext.tabular.mdp import TabularMDP
from sb3_ext.tabular.sweeps import Actions, Floats, Levels, Model

LARGEST_DIRECT_SOLVE = 2000  # states; a dense system of this size takes 32 MB and a fraction of a second
MAX_SWEEPS = 1_000_000
ROUNDS_PER_CHECK = 4
PATIENCE = 100  # sweeps for h - l to become half of what it was
MAX_WAVES = 20  # in search of a first policy, for gamma = 1
SMALLEST_PROFIT = 1e-6  # of the largest reward: what a circle has to earn to be noticed, for gamma = 1
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Solution:
    """What planning found.

    Attributes:
        values: v [S].
        q_values: q [S, A], one step of look-ahead from ``values``.
        policy: int64 [S], greedy with respect to ``values``: the first such action of each state, or for gamma = 1 one
            with which every episode ends.
        n_sweeps: Sweeps over all states that it took, rounded up (0 for direct solutions).
        error_bound: No value is further than this from the exact one. For gamma = 1, from the exact one of ``policy``
            (of the policy given, in ``policy_evaluation``).
        loss_bound: Following ``policy`` loses at most this, in any state, against the best policy; infinite for
            gamma = 1, where no bound is known.
        n_improvements: How often policy iteration improved the policy.
    """

    values: Floats
    q_values: Floats
    policy: Actions
    n_sweeps: int
    error_bound: float = np.inf
    loss_bound: float = np.inf
    n_improvements: int = 0


def look_ahead(mdp: TabularMDP, values: npt.ArrayLike, gamma: float) -> npt.NDArray[np.float64]:
    """The value of each action if ``values`` is what follows: the inner sum of equation 4.10.

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

    Up to 2000 states the linear system is solved directly; beyond, by sweeps.

    Args:
        mdp: The process.
        policy: Actions [S], or probabilities [S, A].
        gamma: Discount in [0, 1]; 1 needs a policy that ends every episode.
        tolerance: Largest error of a value, above 0 (up to rounding; ``Solution.error_bound`` says what was reached).

    Returns:
        values and q_values of the policy; ``Solution.policy`` is greedy with respect to them (an improvement).

    Raises:
        ValueError: If the policy does not fit, gamma or tolerance is out of range, or gamma is 1 and the policy goes on
            for ever from some state.

    Example:
        >>> walk = TabularMDP.from_arrays([[0, 1], [0, 1]], [[0.0, 0.0], [0.0, 1.0]], [[False, False], [False, True]])
        >>> policy_evaluation(walk, [[0.5, 0.5], [0.5, 0.5]], gamma=1.0).values.round(6)
        array([1., 1.])
    """
    _check(gamma, tolerance)
    followed_policy = _checked_policy(mdp, policy)
    model, followed = followed_model(mdp, followed_policy, gamma)
    evaluation = _evaluate(followed, gamma, tolerance)
    return replace(_solution(model, evaluation.values, gamma, evaluation.n_sweeps), error_bound=evaluation.error_bound)


def followed_model(
    mdp: TabularMDP, policy: sweeps.Actions | sweeps.Floats, gamma: float
) -> tuple[sweeps.Model, sweeps.Model]:
    """The model, and what a policy ([S, A], or actions [S]) makes of it; with gamma = 1 it has to end every episode."""
    model = sweeps.read(mdp)
    if gamma == 1:
        model = endings.with_absorbing_ends(model)
    followed = sweeps.chain(model, policy)
    if gamma == 1:
        endings.require_ends(followed)
    return model, followed


def policy_iteration(mdp: TabularMDP, gamma: float = 0.99, tolerance: float = 1e-8) -> Solution:
    """The optimal values and an optimal policy, by evaluating and improving policies in turn (section 4.3).

    It begins with a policy that leads to an end by the fewest steps, and takes another action only where it is better:
    so no two policies alternate (exercise 4.4), and for gamma = 1 each ends every episode as the first does. Up to 2000
    states each policy is evaluated directly, and what is found is exact up to rounding; beyond, by sweeps.

    Args:
        mdp: The process.
        gamma: Discount in [0, 1]; 1 for tasks that can be ended from every state.
        tolerance: Largest error of a value and largest loss of the policy, above 0 (up to rounding).

    Raises:
        ValueError: If gamma or tolerance is out of range, or gamma is 1 and a value has no limit.

    Example:
        >>> waiting = TabularMDP.from_arrays([[0, 0]], [[-1.0, -5.0]], [[False, True]])
        >>> solution = policy_iteration(waiting, gamma=1.0)
        >>> solution.values, solution.policy
        (array([-5.]), array([1]))
    """
    _check(gamma, tolerance)
    model = sweeps.read(mdp)
    if gamma == 1:
        model = endings.with_absorbing_ends(model)
    return _improve_until_best(model, endings.shortest_way(model, must_end=gamma == 1), gamma, tolerance)


def expected_return(mdp: TabularMDP, policy: npt.ArrayLike, gamma: float = 0.99, tolerance: float = 1e-10) -> float:
    """J(pi) = sum_s start(s) v_pi(s): what a policy earns in an episode, on average.

    Args:
        mdp: The process.
        policy: Actions [S], or probabilities [S, A].
        gamma: Discount in [0, 1].
        tolerance: Largest error of a value, above 0 (up to rounding).

    Returns:
        For gamma = 1, minus infinity if the policy may go on for ever from a first state and its rewards do so, too.
        What it does in states that it never comes to plays no part.

    Raises:
        ValueError: If the policy does not fit, or gamma or tolerance is out of range.

    Example:
        >>> waiting = TabularMDP.from_arrays([[0, 0]], [[-1.0, -5.0]], [[False, True]])
        >>> expected_return(waiting, [1], gamma=1.0), expected_return(waiting, [0], gamma=1.0)
        (-5.0, -inf)
    """
    _check(gamma, tolerance)
    followed = sweeps.chain(sweeps.read(mdp), _checked_policy(mdp, policy))
    if gamma == 1:
        followed = endings.with_absorbing_ends(endings.only_visited(followed, mdp.start))
        if endings.endless(followed).any():
            return -np.inf
    return float(mdp.start @ _evaluate(followed, gamma, tolerance).values)


def value_iteration(mdp: TabularMDP, gamma: float = 0.99, tolerance: float = 1e-8) -> Solution:
    """The optimal values and a greedy policy.

    The sweeps are in place and begin where episodes end (``sweeps.py``).

    Args:
        mdp: The process.
        gamma: Discount in [0, 1]; 1 for tasks that can be ended from every state.
        tolerance: Largest error of a value and largest loss of the policy, above 0 (up to rounding;
            ``Solution.error_bound`` and ``loss_bound`` say what was reached).

    Raises:
        ValueError: If gamma or tolerance is out of range, or gamma is 1 and a value has no limit.
    """
    return modified_policy_iteration(mdp, gamma, tolerance, n_evaluations=0)


def modified_policy_iteration(
    mdp: TabularMDP, gamma: float = 0.99, tolerance: float = 1e-8, n_evaluations: int = 3
) -> Solution:
    """The optimal values and a greedy policy, the fast way on large worlds (Puterman & Shin 1978).

    As ``value_iteration``, but each sweep that tries all actions is followed by some that follow the best action alone.

    Args:
        mdp: The process.
        gamma: Discount in [0, 1]; 1 for tasks that can be ended from every state.
        tolerance: Largest error of a value and largest loss of the policy, above 0 (up to rounding).
        n_evaluations: Evaluating sweeps after each improving one, from 0 (value iteration).

    Raises:
        ValueError: If an argument is out of range, or gamma is 1 and a value has no limit.
    """
    _check(gamma, tolerance)
    if n_evaluations < 0:
        raise ValueError(f"n_evaluations must be at least 0, got {n_evaluations}")
    model = sweeps.read(mdp)
    if gamma == 1:
        model = endings.with_absorbing_ends(model)
        return _improve_until_best(model, _swept_policy(model, tolerance, n_evaluations), gamma, tolerance)
    values, n_sweeps = _swept(model, gamma, tolerance * (1 - gamma), n_evaluations)
    return _solution(model, values, gamma, n_sweeps)


# ---- Sweeps and their bounds ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ordered:
    """A world whose states are numbered in the order of the sweeps, nearest to an end (or to the best reward) first."""

    model: Model
    levels: Levels
    may_end: bool

    @classmethod
    def of(cls, model: Model) -> "_Ordered":
        ends_next, best_reward = sweeps.ends_next(model), model.reward.max(axis=1)
        may_end = bool(ends_next.any())
        levels = sweeps.levels(model, ends_next if may_end else best_reward == best_reward.max())
        return cls(sweeps.renumbered(model, levels.order), levels, may_end)

    def wave(self, gamma: float, values: Floats, policy: Actions, n_evaluations: int, negligible: float) -> int:
        """Updates values [S + 1] and policy [S] in place; returns the number of sweeps, rounded up."""
        n_updates = sweeps.wave(*self.model, gamma, values, policy, self.levels.begin, n_evaluations, negligible)
        return -(-n_updates // len(policy))

    def rounds(self, gamma: float, values: Floats, policy: Actions, n_evaluations: int, in_place: bool) -> int:
        """Some sweeps over all states; changes values [S + 1] and policy [S] and returns the number of sweeps."""
        sweeps.sweep_rounds(*self.model, gamma, values, policy, ROUNDS_PER_CHECK, n_evaluations, in_place)
        return ROUNDS_PER_CHECK * (n_evaluations + 1)

    def residual(self, gamma: float, values: Floats) -> tuple[float, float]:
        """The lowest and the highest T v - v."""
        return sweeps.residual(*self.model, gamma, values)

    def in_model_order(self, values: Floats) -> Floats:
        """Values [S] of the model's states, of values [S + 1] in the order of the sweeps."""
        result = np.empty(len(self.levels.order))
        result[self.levels.order] = values[:-1]
        return result


def _swept(
    model: Model, gamma: float, largest_residual: float, n_evaluations: int = 0, start: Floats | None = None
) -> tuple[Floats, int]:
    """Values v [S] for which h - l is at most ``largest_residual`` (or at most rounding), and the number of sweeps.

    They begin with ``start``, or with a v <= T v, from where they rise to their limit (for gamma = 1, with 0). Where
    nothing ends, what all values are off by alike, (l + h) / 2 / (1 - gamma), is added to them (MacQueen's
    extrapolation). Sweeps that are not in place leave little else; unless the world goes round in long circles, when
    in-place ones take over, with the extrapolation only where it is sure to bring the values nearer.
    """
    ordered = _Ordered.of(model)
    n_states, n_sweeps = len(model.reward), 0
    values, policy = np.zeros(n_states + 1), np.zeros(n_states, dtype=np.int64)
    if start is not None:
        values[:-1] = start[ordered.levels.order]
    elif gamma < 1:
        lowest_reward = float(model.reward.min())
        values[:-1] = (min(lowest_reward, 0.0) if ordered.may_end else lowest_reward) / (1 - gamma)
    if ordered.may_end:
        negligible = max(largest_residual / 20, 4 * EPSILON * float(np.abs(values).max()))
        n_sweeps = ordered.wave(gamma, values, policy, n_evaluations, negligible)
    in_place, milestone = ordered.may_end, (np.inf, 0)
    while True:
        low, high = _bounds(*ordered.residual(gamma, values), ordered.may_end)
        if not ordered.may_end:
            if not in_place or 0 < 3 * low > high or 0 > 3 * high < low or high - low <= largest_residual:
                values[:-1] += (low + high) / 2 / (1 - gamma)
            if high - low < milestone[0] / 2:
                milestone = high - low, n_sweeps
            in_place = in_place or n_sweeps > milestone[1] + PATIENCE
        rounding = 2 * _rounding(model, values)
        if high - low <= max(largest_residual - rounding, rounding):
            return ordered.in_model_order(values), n_sweeps
        if n_sweeps >= MAX_SWEEPS:
            raise ValueError(f"no convergence within {MAX_SWEEPS} sweeps; raise the tolerance or lower gamma={gamma}")
        n_sweeps += ordered.rounds(gamma, values, policy, n_evaluations, in_place)


def _bounds(lowest: float, highest: float, may_end: bool) -> tuple[float, float]:
    """The range l to h of T v - v, with 0, its value at the end, if there is an end."""
    return (min(lowest, 0.0), max(highest, 0.0)) if may_end else (lowest, highest)


def _rounding(model: Model, values: Floats) -> float:
    """What a look-ahead may be off by, as numbers have 53 bits."""
    largest = max(float(np.abs(values).max()), float(np.abs(model.reward).max()))
    return 2 * EPSILON * (4 + model.successor.shape[2] ** 0.5) * largest


def _solution(model: Model, values: Floats, gamma: float, n_sweeps: int) -> Solution:
    """With what the values say about themselves by one look-ahead."""
    q_values = sweeps.look_aheads(*model, gamma, np.append(values, 0.0))
    solution = Solution(values, q_values, q_values.argmax(axis=1), n_sweeps)
    if gamma == 1:
        return solution
    change, rounding = q_values.max(axis=1) - values, _rounding(model, values)
    may_end = bool(sweeps.ends_next(model).any())
    low, high = _bounds(float(change.min()), float(change.max()), may_end)
    return replace(
        solution,
        error_bound=(max(high, -low) + rounding) / (1 - gamma),
        loss_bound=(gamma * (high - low) + rounding) / (1 - gamma),
    )


# ---- Evaluation of a policy -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Evaluation:
    """Values [S] of a policy; ``horizon`` bounds the (discounted) number of steps, by which errors add up."""

    values: Floats
    horizon: float
    error_bound: float
    n_sweeps: int


def _evaluate(followed: Model, gamma: float, tolerance: float, start: Floats | None = None) -> _Evaluation:
    """The values of a ``chain``, by sweeps from ``start`` [S] on, if given; for gamma = 1 it must be one that ends.

    Write h for the number of steps that follow, h = 1 + gamma P h. As v_pi - v = (1 - gamma P)^-1 (T v - v), no value
    is off by more than the largest h times the largest |T v - v|.
    """
    n_sweeps, horizon = 0, np.inf if gamma == 1 else 1 / (1 - gamma)
    if len(followed.successor) <= LARGEST_DIRECT_SOLVE:
        transitions = transition_matrix(followed)
        system = np.eye(len(transitions)) - gamma * transitions
        values, steps = np.linalg.solve(system, np.hstack([followed.reward, np.ones_like(followed.reward)])).T
        if gamma == 1:
            horizon = float(steps.max()) * (1 + 1e-6)
        values = np.ascontiguousarray(values)
    else:
        if gamma == 1:  # with 1 + P h - h <= 1/2, twice that h is more than the number of steps
            steps, n_sweeps = _swept(followed._replace(reward=np.ones_like(followed.reward)), gamma, 0.5)
            horizon = 2 * float(steps.max())
        values, more_sweeps = _swept(followed, gamma, tolerance / horizon, start=start)
        n_sweeps += more_sweeps
    low, high = sweeps.residual(*followed, gamma, np.append(values, 0.0))
    error_bound = (max(high, -low) + _rounding(followed, values)) * horizon
    return _Evaluation(values, horizon, error_bound, n_sweeps)


def transition_matrix(followed: Model) -> Floats:
    """P_pi [S, S] of a ``chain``: the probabilities of going on to each state."""
    n_states = len(followed.successor)
    matrix = np.zeros((n_states, n_states + 1))
    successor = followed.successor[:, 0]
    rows = np.broadcast_to(np.arange(n_states)[:, None], successor.shape)
    np.add.at(matrix, (rows, successor), np.broadcast_to(followed.probability[:, 0], successor.shape))
    return matrix[:, :-1]


# ---- Improvement of a policy ----------------------------------------------------------------------------------------


def _improve_until_best(model: Model, policy: Actions, gamma: float, tolerance: float) -> Solution:
    """Policy iteration from a policy on, which for gamma = 1 has to end every episode."""
    if gamma == 1:  # circles that earn something are to be told from errors
        tolerance = min(tolerance, SMALLEST_PROFIT * (float(np.abs(model.reward).max()) or 1.0))
    n_sweeps, n_improvements, values = 0, 0, None
    seen = set()  # if one comes again, then the two are equal up to the error of their evaluation
    while True:
        evaluation = _evaluate(sweeps.chain(model, policy), gamma, tolerance / 8, values)
        values = evaluation.values
        n_sweeps += evaluation.n_sweeps
        q_values = sweeps.look_aheads(*model, gamma, np.append(values, 0.0))
        margin = max(tolerance / (4 * evaluation.horizon), _rounding(model, values))
        improved = _improved(model, policy, q_values, margin, gamma)
        seen.add(hash(policy.tobytes()))
        if hash(improved.tobytes()) in seen:
            break
        policy, n_improvements = improved, n_improvements + 1
    if gamma < 1:
        return replace(_solution(model, values, gamma, n_sweeps), n_improvements=n_improvements)
    endings.refuse_going_on(model, q_values, values, margin, max(margin, evaluation.error_bound))
    return Solution(values, q_values, policy, n_sweeps, evaluation.error_bound, n_improvements=n_improvements)


def _swept_policy(model: Model, tolerance: float, n_evaluations: int) -> Actions:
    """A policy that ends, for gamma = 1, and is close to the best: greedy after waves from the shortest ways' values.

    Of equally good actions it takes those that lead to an end by the fewest steps. Where they do not, as the waves are
    not there yet or never will be, it is the policy of the shortest ways.
    """
    shortest = endings.shortest_way(model, must_end=True)
    evaluation = _evaluate(sweeps.chain(model, shortest), 1.0, tolerance)
    negligible = max(tolerance / (20 * evaluation.horizon), _rounding(model, evaluation.values))
    ordered = _Ordered.of(model)
    values = np.append(evaluation.values[ordered.levels.order], 0.0)
    policy = np.zeros(len(shortest), dtype=np.int64)
    for _ in range(MAX_WAVES):
        ordered.wave(1.0, values, policy, n_evaluations, negligible)
        if max(map(abs, ordered.residual(1.0, values))) <= negligible:
            break
    q_values = sweeps.look_aheads(*model, 1.0, np.append(ordered.in_model_order(values), 0.0))
    is_good = q_values >= q_values.max(axis=1, keepdims=True) - 4 * negligible
    good_way = endings.way_by(model, is_good)
    return shortest if good_way is None else good_way


def _improved(model: Model, policy: Actions, q_values: Floats, margin: float, gamma: float) -> Actions:
    """The policy with the best action wherever that is better by more than the margin.

    For gamma = 1: if a policy that ends becomes one that does not, then the circle that it goes round earns something
    each time, namely the mean advantage of its actions (unless that is within the error of the evaluation: then the
    policy is left as it was there).
    """
    advantage = q_values.max(axis=1) - np.take_along_axis(q_values, policy[:, None], axis=1)[:, 0]
    improved = np.where(advantage > margin, q_values.argmax(axis=1), policy)
    while gamma == 1:
        taken = improved[:, None] == np.arange(q_values.shape[1])
        circle = sweeps.never_left(*model[:2], taken, np.ones(len(policy), dtype=np.bool_))
        if not circle.any():
            break
        if advantage[circle].max() > SMALLEST_PROFIT * float(np.abs(model.reward).max()):
            raise ValueError(
                f"gamma=1: the value of state {circle.argmax()} has no limit: it can go round in a circle that earns "
                "something each time; take gamma < 1"
            )
        improved[circle] = policy[circle]
    return improved


# ---- Checks ---------------------------------------------------------------------------------------------------------


def check_gamma(gamma: float) -> None:
    """Refuses a discount outside [0, 1]."""
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must lie in [0, 1], got {gamma}")


def _check(gamma: float, tolerance: float) -> None:
    check_gamma(gamma)
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}")


def _checked_policy(mdp: TabularMDP, policy: npt.ArrayLike) -> Actions | Floats:
    """The policy as actions int64 [S], or probabilities [S, A] that sum to 1."""
    array, shape = np.asarray(policy), (mdp.n_states, mdp.n_actions)
    if array.shape == shape[:1] and array.dtype.kind in "iu":
        if array.min() < 0 or array.max() >= shape[1]:
            state = int(((array < 0) | (array >= shape[1])).argmax())
            raise ValueError(f"state {state}: the actions are 0 to {shape[1] - 1}, got {array[state]}")
        return array.astype(np.int64)
    if array.shape != shape:
        raise ValueError(
            f"policy must be integers [{shape[0]}] or probabilities {list(shape)}, got {array.dtype} "
            f"{list(array.shape)}"
        )
    probabilities = array.astype(np.float64)
    total = probabilities.sum(axis=1, keepdims=True)
    wrong = np.flatnonzero(~((probabilities >= 0).all(axis=1) & (np.abs(total[:, 0] - 1) < 1e-6)))
    if len(wrong):
        raise ValueError(f"state {wrong[0]}: the policy's probabilities must sum to 1, got {array[wrong[0]]}")
    return probabilities / total


def policy_probabilities(mdp: TabularMDP, policy: npt.ArrayLike) -> Floats:
    """The policy as probabilities [S, A]."""
    checked = _checked_policy(mdp, policy)
    return np.eye(mdp.n_actions)[checked] if checked.ndim == 1 else checked.astype(np.float64)
