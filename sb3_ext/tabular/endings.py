"""Which episodes end? What gamma = 1 asks of a world, answered by its graph alone (see ``planning.py``).

Probabilities do not matter here beyond being above 0: if from every state there is a way to an end, then a policy that
follows the shortest ways ends every episode with probability 1; and a policy may go on for ever if and only if there
are states that it never leaves.
"""

import numpy as np

from sb3_ext.tabular import sweeps
from sb3_ext.tabular.sweeps import Actions, Bools, Floats, Model


def with_absorbing_ends(model: Model) -> Model:
    """States from where, whatever is done, no reward is ever earned: episodes end there (section 3.4)."""
    candidates = (model.reward == 0).all(axis=1)
    if not candidates.any():
        return model
    n_states, n_actions, _ = model.successor.shape
    any_action = sweeps.chain(model, np.full((n_states, n_actions), 1 / n_actions))
    absorbing = sweeps.never_left(*any_action[:2], np.ones((n_states, 1), dtype=np.bool_), candidates)
    if not absorbing.any():
        return model
    successor = model.successor.copy()
    successor[absorbing] = n_states
    return model._replace(successor=successor)


def endless(followed: Model) -> Bools:
    """The states [S] among which a policy, given as its ``chain``, goes on for ever."""
    everything = np.ones(followed.reward.shape, dtype=np.bool_)
    return sweeps.never_left(*followed[:2], everything, everything[:, 0])


def require_ends(followed: Model) -> None:
    """Refuses a policy, given as its ``chain``, that may go on for ever."""
    states = endless(followed)
    if states.any():
        raise ValueError(
            "gamma=1 needs a policy that ends every episode, from every state; this one goes on for ever from state "
            f"{states.argmax()}; take gamma < 1"
        )


def only_visited(followed: Model, start: Floats) -> Model:
    """A ``chain`` in which the states that no episode comes to end at once, for nothing."""
    n_states = len(start)
    visited, newest = start > 0, np.flatnonzero(start)
    possible = np.broadcast_to(followed.probability[:, 0] > 0, followed.successor[:, 0].shape)
    while len(newest):
        after = np.unique(followed.successor[newest, 0][possible[newest]])
        newest = after[after < n_states]
        newest = newest[~visited[newest]]
        visited[newest] = True
    successor = np.where(visited[:, None, None], followed.successor, np.int32(n_states))
    return followed._replace(successor=successor, reward=np.where(visited[:, None], followed.reward, 0.0))


def shortest_way(model: Model, must_end: bool) -> Actions:
    """The policy that leads to an end by the fewest steps; action 0 where no way leads there."""
    found = sweeps.levels(model, sweeps.ends_next(model))
    if must_end and found.n_reached < len(found.order):
        raise ValueError(
            f"gamma=1: the value of state {found.order[found.n_reached]} has no limit: no policy ends an episode from "
            "there; take gamma < 1"
        )
    return sweeps.way_to_the_end(*model[:2], *found)


def way_by(model: Model, allowed: Bools) -> Actions | None:
    """The policy that leads to an end by the fewest steps with allowed actions [S, A]; None if some state has none."""
    itself = np.arange(len(allowed), dtype=np.int32)[:, None, None]  # where all other actions lead
    restricted = model._replace(successor=np.where(allowed[:, :, None], model.successor, itself))
    found = sweeps.levels(restricted, sweeps.ends_next(restricted))
    return sweeps.way_to_the_end(*restricted[:2], *found) if found.n_reached == len(allowed) else None


def refuse_going_on(model: Model, q_values: Floats, values: Floats, margin: float, error: float) -> None:
    """Refuses a world in which to go on for ever, for nothing, is better than every end.

    If actions that lose nothing (q = v) lead round in a circle whose values are all below 0, then what is earned until
    the n-th step, v(S_0) - E[v(S_n)], stays above v(S_0). Values count as below 0 only beyond their ``error``.
    """
    going_on = sweeps.never_left(*model[:2], q_values >= values[:, None] - margin, values < -error)
    if going_on.any():
        state = int(going_on.argmax())
        raise ValueError(
            f"gamma=1: from state {state} it is best never to end the episode: going on for ever costs nothing, every "
            f"end costs {-values[state]:.6g}; take gamma < 1"
        )
