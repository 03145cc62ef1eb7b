"""The compiled loops of ``planning.py``: sweeps over all states, and the order of the states in which they are fast.

A sweep replaces the value of one state after the other, so that each sees the new values of those before it
(Gauss-Seidel; Puterman 1994, section 6.3.3). What is known about the value of a state comes from the states that follow
it, in the end from where episodes end. States are therefore numbered by their distance to an end: level 1 may end with
the next step, level 2 reaches level 1, ... ``wave`` goes further: it stays with a few levels until their values settle,
before it lets go of them and takes up the next. A world of a million cells is solved by some twenty updates of each
state, where plain sweeps in this order take hundreds.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_ext.common.compiling import compiled, inlined
from sb3_ext.tabular.mdp import TabularMDP

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Actions = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MAX_VISITS = 100  # of a level by the wave, before it is left for later


class Model(NamedTuple):
    """A ``TabularMDP`` as the loops read it. State S is the end, whose value is 0.

    Attributes:
        successor: int32 [S, A, K], S where the outcome ends the episode.
        probability: float64 [S or 1, A or 1, K]; an axis of length 1 is the same for all.
        reward: float64 [S, A], the mean reward r(s, a).
    """

    successor: Ints
    probability: Floats
    reward: Floats


class Levels(NamedTuple):
    """The states by their distance to where everything starts from (see ``levels``).

    Attributes:
        order: int32 [S], the states, nearest first, those that have no way to it last.
        begin: int64 [n + 1], level i is ``order[begin[i]:begin[i + 1]]``.
        n_reached: How many states have a way to it.
    """

    order: Ints
    begin: npt.NDArray[np.int64]
    n_reached: int


def read(mdp: TabularMDP) -> Model:
    """The arrays of a process, contiguous; a probability that all states or actions share is kept once."""
    shared = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in mdp.probability.strides[:2])
    return Model(
        np.where(mdp.terminated, np.int32(mdp.n_states), mdp.next_state),
        np.array(mdp.probability[shared], dtype=np.float64, order="C"),
        mdp.expected_reward,
    )


def chain(model: Model, policy: Actions | Floats) -> Model:
    """What a policy makes of a world: one with a single action (r_pi and P_pi of Sutton & Barto, equation 4.4).

    Args:
        model: The world.
        policy: Actions [S], or probabilities [S, A]; the outcomes are then those of all actions together, [S, 1, A K].
    """
    n_states, n_actions, n_outcomes = model.successor.shape
    if policy.ndim == 1:
        states = np.arange(n_states)
        of_states = states if len(model.probability) > 1 else np.zeros_like(states)
        of_actions = policy if model.probability.shape[1] > 1 else np.zeros_like(states)
        return Model(
            model.successor[states, policy][:, None],
            model.probability[of_states, of_actions][:, None],
            model.reward[states, policy][:, None],
        )
    return Model(
        model.successor.reshape(n_states, 1, -1),
        (policy[:, :, None] * model.probability).reshape(n_states, 1, n_actions * n_outcomes),
        (policy * model.reward).sum(axis=1, keepdims=True),
    )


def renumbered(model: Model, order: Ints) -> Model:
    """The same world, in which state i is what was state ``order[i]``: the loops then run through memory."""
    number = np.empty(len(order) + 1, dtype=np.int32)
    number[order], number[-1] = np.arange(len(order), dtype=np.int32), len(order)
    probability = model.probability[order] if len(model.probability) > 1 else model.probability
    return Model(_renumbered(model.successor, order, number), probability, model.reward[order])


def ends_next(model: Model) -> Bools:
    """The states [S] from which some action may end the episode at once."""
    n_states = len(model.successor)
    return ((model.successor == n_states) & (model.probability > 0)).any(axis=(1, 2))


def levels(model: Model, nearest: Bools) -> Levels:
    """Breadth-first search backwards, from the states ``nearest`` [S], which make up the first level."""
    pointers, sources = predecessors(*model[:2])
    return Levels(*_levels(np.flatnonzero(nearest).astype(np.int32), pointers, sources))


# ---- Loops over the graph -------------------------------------------------------------------------------------------


@compiled
def predecessors(successor, probability):
    """From where each state is reached: the states ``sources[pointers[s]:pointers[s + 1]]``, with repetitions."""
    n_states, n_actions, n_outcomes = successor.shape
    by_state, by_action = min(len(probability) - 1, 1), min(probability.shape[1] - 1, 1)
    pointers = np.zeros(n_states + 2, np.int64)
    for state in range(n_states):
        for action in range(n_actions):
            for outcome in range(n_outcomes):
                if probability[state * by_state, action * by_action, outcome] > 0:
                    pointers[successor[state, action, outcome] + 1] += 1
    for state in range(n_states + 1):
        pointers[state + 1] += pointers[state]
    place = pointers[:-1].copy()
    sources = np.empty(pointers[-1], np.int32)
    for state in range(n_states):
        for action in range(n_actions):
            for outcome in range(n_outcomes):
                if probability[state * by_state, action * by_action, outcome] > 0:
                    target = successor[state, action, outcome]
                    sources[place[target]] = state
                    place[target] += 1
    return pointers, sources


@compiled
def _levels(nearest, pointers, sources):
    n_states = len(pointers) - 2
    order, begin = np.empty(n_states, np.int32), np.zeros(n_states + 2, np.int64)
    seen = np.zeros(n_states, np.bool_)
    for state in nearest:
        seen[state] = True
    order[: len(nearest)] = nearest
    first, last, level = 0, len(nearest), 0
    while last > first:
        level += 1
        begin[level] = last
        n_found = last
        for place in range(first, last):
            for source in sources[pointers[order[place]] : pointers[order[place] + 1]]:
                if not seen[source]:
                    seen[source] = True
                    order[n_found] = source
                    n_found += 1
        first, last = last, n_found
    n_reached = last
    for state in range(n_states):
        if not seen[state]:
            order[last] = state
            last += 1
    if last > n_reached:
        level += 1
        begin[level] = last
    return order, begin[: level + 1], n_reached


@compiled
def _renumbered(successor, order, number):
    new = np.empty_like(successor)
    for place in range(len(order)):
        for action in range(successor.shape[1]):
            for outcome in range(successor.shape[2]):
                new[place, action, outcome] = number[successor[order[place], action, outcome]]
    return new


@compiled
def _stays(state, successor, probability, allowed, inside):
    """Whether an allowed action keeps the state among those inside for certain."""
    by_state, by_action = min(len(probability) - 1, 1), min(probability.shape[1] - 1, 1)
    for action in range(successor.shape[1]):
        if allowed[state, action]:
            leaves = False
            for outcome in range(successor.shape[2]):
                if probability[state * by_state, action * by_action, outcome] > 0:
                    target = successor[state, action, outcome]
                    leaves |= target == len(successor) or not inside[target]
            if not leaves:
                return True
    return False


@compiled
def never_left(successor, probability, allowed, candidates):
    """The states among which one can stay for ever.

    Args:
        successor: Of a ``Model``.
        probability: Likewise.
        allowed: bool [S, A], the actions that may be taken.
        candidates: bool [S], the states in question.

    Returns:
        bool [S], the largest set of candidates in each of which some allowed action leads into the set for certain.
    """
    pointers, sources = predecessors(successor, probability)
    inside = candidates.copy()
    removed, n_removed = np.empty(len(inside), np.int32), 0
    for state in range(len(inside)):
        if not inside[state]:
            removed[n_removed] = state
            n_removed += 1
    for state in range(len(inside)):
        if inside[state] and not _stays(state, successor, probability, allowed, inside):
            inside[state] = False
            removed[n_removed] = state
            n_removed += 1
    checked = 0
    while checked < n_removed:
        for source in sources[pointers[removed[checked]] : pointers[removed[checked] + 1]]:
            if inside[source] and not _stays(source, successor, probability, allowed, inside):
                inside[source] = False
                removed[n_removed] = source
                n_removed += 1
        checked += 1
    return inside


@compiled
def way_to_the_end(successor, probability, order, begin, n_reached):
    """For each state the action [S] that most probably leads to the level before its own; 0 for those without a way."""
    n_states, n_actions, n_outcomes = successor.shape
    by_state, by_action = min(len(probability) - 1, 1), min(probability.shape[1] - 1, 1)
    policy, is_nearer = np.zeros(n_states, np.int64), np.zeros(n_states + 1, np.bool_)
    is_nearer[n_states] = True
    for level in range(len(begin) - 1):
        states = order[begin[level] : min(begin[level + 1], n_reached)]
        for state in states:
            best = 0.0
            for action in range(n_actions):
                chance = 0.0
                for outcome in range(n_outcomes):
                    if is_nearer[successor[state, action, outcome]]:
                        chance += probability[state * by_state, action * by_action, outcome]
                if chance > best:
                    policy[state], best = action, chance
        is_nearer[states] = True
    return policy


# ---- Loops over the values ------------------------------------------------------------------------------------------


@inlined
def _value_of(state, action, by_state, by_action, successor, probability, reward, gamma, values):
    """r(s, a) + gamma sum_s' p(s' | s, a) v(s'), the bracket of equation 4.10."""
    future = 0.0
    for outcome in range(successor.shape[2]):
        weight = probability[state * by_state, action * by_action, outcome]
        future += weight * values[successor[state, action, outcome]]
    return reward[state, action] + gamma * future


@compiled
def look_aheads(successor, probability, reward, gamma, values):
    """Action values [S, A]: the bracket of equation 4.10 for the values [S + 1], that of the end included."""
    n_states, n_actions, _ = successor.shape
    by_state, by_action = min(len(probability) - 1, 1), min(probability.shape[1] - 1, 1)
    q_values = np.empty((n_states, n_actions))
    for state in range(n_states):
        for action in range(n_actions):
            q_values[state, action] = _value_of(
                state, action, by_state, by_action, successor, probability, reward, gamma, values
            )
    return q_values


@compiled
def update(first, last, successor, probability, reward, gamma, values, new_values, policy, improve):
    """Updates the states first .. last - 1, one after the other, in place if both values are one array.

    Returns the largest change.

    With ``improve``, equation 4.10, v(s) <- max_a [r(s, a) + gamma sum_s' p(s' | s, a) v(s')], and the policy becomes
    the maximising action; without, equation 4.5, the same for the policy's action.
    """
    n_actions = successor.shape[1]
    by_state, by_action = min(len(probability) - 1, 1), min(probability.shape[1] - 1, 1)
    largest_change = 0.0
    for state in range(first, last):
        best, chosen = -np.inf, policy[state]
        for action in range(0 if improve else chosen, n_actions if improve else chosen + 1):
            value = _value_of(state, action, by_state, by_action, successor, probability, reward, gamma, values)
            if value > best:
                best, chosen = value, action
        largest_change = max(largest_change, abs(best - values[state]))
        new_values[state], policy[state] = best, chosen
    return largest_change


@compiled
def sweep_rounds(successor, probability, reward, gamma, values, policy, n_rounds, n_evaluations, in_place):
    """Rounds of one sweep that improves the policy and ``n_evaluations`` that follow it; changes ``values``.

    Sweeps that are not in place (Jacobi) keep an error that is the same in all states the same in all states.
    """
    new_values = values if in_place else values.copy()
    for _ in range(n_rounds):
        for number in range(n_evaluations + 1):
            update(0, len(successor), successor, probability, reward, gamma, values, new_values, policy, number == 0)
            if not in_place:
                values[:] = new_values


@compiled
def wave(successor, probability, reward, gamma, values, policy, begin, n_evaluations, negligible):
    """One pass from the first level to the last, in place; values should begin below their limit.

    The levels low .. front - 1 are updated over and over. ``front`` moves on each time; ``low`` moves on once the
    lowest level has settled: its values change by no more than ``negligible`` while its policy is improved.

    Args:
        successor: Of a ``Model``, its states in the order of the levels.
        probability: Likewise.
        reward: Likewise.
        gamma: Discount.
        values: float64 [S + 1].
        policy: int64 [S].
        begin: int64 [n + 1], as in ``Levels``.
        n_evaluations: Updates between two improvements of a level.
        negligible: A change that makes no difference.

    Returns:
        How many states were updated, with repetitions.
    """
    n_levels = len(begin) - 1
    visits, has_settled = np.zeros(n_levels, np.int64), np.zeros(n_levels, np.bool_)
    improve_next = np.ones(n_levels, np.bool_)
    low, front, n_updates = 0, 0, 0
    while low < n_levels:
        front = min(front + 1, n_levels)
        for level in range(low, front):
            first, last, improve = begin[level], begin[level + 1], improve_next[level]
            change = update(first, last, successor, probability, reward, gamma, values, values, policy, improve)
            visits[level] += 1
            n_updates += last - first
            has_settled[level] = (improve and change <= negligible) or visits[level] >= MAX_VISITS
            improve_next[level] = change <= negligible or visits[level] % (n_evaluations + 1) == 0
        while low < front and has_settled[low]:
            low += 1
    return n_updates


@compiled
def residual(successor, probability, reward, gamma, values):
    """The lowest and the highest of T v - v, where T v is the right-hand side of equation 4.10."""
    n_states, n_actions, _ = successor.shape
    by_state, by_action = min(len(probability) - 1, 1), min(probability.shape[1] - 1, 1)
    lowest, highest = np.inf, -np.inf
    for state in range(n_states):
        best = -np.inf
        for action in range(n_actions):
            value = _value_of(state, action, by_state, by_action, successor, probability, reward, gamma, values)
            best = max(best, value)
        lowest, highest = min(lowest, best - values[state]), max(highest, best - values[state])
    return lowest, highest
