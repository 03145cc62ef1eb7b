"""Does a shaped reward change what is optimal? Solve the world with it and without it, and compare.

A policy is optimal if it takes, in every state, one of the actions of greatest value. So a shaping is harmless exactly
if these sets of actions are the same in every state. ``shaped_mdp``, ``distance_mdp``, ``progress_mdp`` do to a model
what the wrappers of ``shaping.py`` do to an environment; ``compare_optimal_actions`` solves both by value iteration. On
``muddy_mdp``, six cells, distance and progress rewards lead through the mud that the optimal policy walks around:

    >>> mdp = muddy_mdp()
    >>> distance = steps_to_goal(mdp)
    >>> compare_optimal_actions(mdp, shaped_mdp(mdp, -distance, gamma=0.9), gamma=0.9).unchanged
    True
    >>> compare_optimal_actions(mdp, distance_mdp(mdp, distance), gamma=0.9).changed_states
    [0]
    >>> compare_optimal_actions(mdp, progress_mdp(mdp, distance), gamma=0.9).changed_states
    [0]
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sb3_ext.envs.wrappers.potentials import FloatArray, steps_to_goal
from sb3_ext.envs.wrappers.shaping import distance_term, potential_term, progress_term
from sb3_ext.tabular.mdp import TabularMDP

__all__ = [
    "OptimalActions",
    "compare_optimal_actions",
    "distance_mdp",
    "muddy_mdp",
    "progress_mdp",
    "shaped_mdp",
    "steps_to_goal",
]

TIE_TOLERANCE = 1e-6  # actions whose values differ by less count as equally good
SOLVER_TOLERANCE = 1e-9


def shaped_mdp(mdp: TabularMDP, potential: npt.ArrayLike, gamma: float) -> TabularMDP:
    """The world with F = gamma Phi(S') - Phi(S) added to every reward; Phi = 0 after termination.

    Args:
        mdp: The world.
        potential: Phi, [S].
        gamma: The discount in F.
    """
    phi = _of_states(mdp, potential)
    return _with_extra(mdp, potential_term(phi[:, None, None], phi[mdp.next_state], gamma, mdp.terminated))


def distance_mdp(mdp: TabularMDP, distance: npt.ArrayLike, scale: float = 1.0) -> TabularMDP:
    """The world with -scale * d(S') added to every reward; ``distance`` is [S]."""
    return _with_extra(mdp, distance_term(_of_states(mdp, distance)[mdp.next_state], scale))


def progress_mdp(mdp: TabularMDP, distance: npt.ArrayLike, scale: float = 1.0) -> TabularMDP:
    """The world with scale * (d(S) - d(S')) added to every reward; ``distance`` is [S]."""
    steps = _of_states(mdp, distance)
    return _with_extra(mdp, progress_term(steps[:, None, None], steps[mdp.next_state], scale))


@dataclass(frozen=True)
class OptimalActions:
    """The optimal actions of a world with and without shaping.

    Attributes:
        raw: bool [S, A], True where an action is optimal for the raw reward.
        shaped: bool [S, A], the same for the shaped reward.
    """

    raw: npt.NDArray[np.bool_]
    shaped: npt.NDArray[np.bool_]

    @property
    def changed_states(self) -> list[int]:
        """States in which the sets of optimal actions differ."""
        return np.flatnonzero((self.raw != self.shaped).any(axis=1)).tolist()

    @property
    def misled_states(self) -> list[int]:
        """States in which an action is optimal for the shaped reward that is not optimal for the raw one."""
        return np.flatnonzero((self.shaped & ~self.raw).any(axis=1)).tolist()

    @property
    def unchanged(self) -> bool:
        """True if the shaping changes no set of optimal actions."""
        return not self.changed_states


def compare_optimal_actions(mdp: TabularMDP, shaped: TabularMDP, gamma: float) -> OptimalActions:
    """Solves both worlds exactly and returns both sets of optimal actions.

    Args:
        mdp: The world.
        shaped: The same world with other rewards.
        gamma: The agent's discount.

    Raises:
        ValueError: If the worlds differ in states or actions.
    """
    if mdp.next_state.shape != shaped.next_state.shape:
        raise ValueError(f"not the same world: [S, A, K] is {mdp.next_state.shape} and {shaped.next_state.shape}")
    return OptimalActions(optimal_action_sets(mdp, gamma), optimal_action_sets(shaped, gamma))


def optimal_action_sets(mdp: TabularMDP, gamma: float) -> npt.NDArray[np.bool_]:
    """True where an action is optimal, bool [S, A]; ties within 1e-6 are all optimal."""
    from sb3_ext.tabular.planning import optimal_actions, value_iteration

    return optimal_actions(value_iteration(mdp, gamma, SOLVER_TOLERANCE).q_values, TIE_TOLERANCE)


def muddy_mdp(mud: float = -0.4) -> TabularMDP:
    """Six cells: mud on the straight way to the goal, a clean way around it.

    ::

        0 S   1 mud   2 GOAL
        3     4       5

    Actions are up, right, down, left; the goal pays 1 and ends the episode, the mud pays ``mud`` on entry. With
    gamma = 0.9 and mud = -0.4 the way around is better (0.73 against 0.50): gamma^3 against mud + gamma.
    """
    height, width, goal = 2, 3, 2
    cells = np.arange(height * width).reshape(height, width)
    padded = np.pad(cells, 1, mode="edge")  # the border: whoever walks into it stays
    moves = [padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2]]
    next_state = np.stack([move.ravel() for move in moves], axis=1)
    reward = np.where(next_state == goal, 1.0, np.where(next_state == 1, mud, 0.0))
    return TabularMDP.from_arrays(next_state, reward, next_state == goal, start=np.eye(height * width)[0])


def _of_states(mdp: TabularMDP, values: npt.ArrayLike) -> FloatArray:
    """One finite number for each state.

    Raises:
        ValueError: Naming the first state whose number is not finite.
    """
    array: FloatArray = np.asarray(values, dtype=np.float64)
    if array.shape != (mdp.n_states,):
        raise ValueError(f"one number for each of {mdp.n_states} states is needed, got the shape {array.shape}")
    if not np.isfinite(array).all():
        state = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"the potential or distance of state {state} is {array[state]}; it must be finite")
    return array


def _with_extra(mdp: TabularMDP, extra: npt.ArrayLike) -> TabularMDP:
    """The world with an extra reward [S, A, K]."""
    return replace(mdp, reward=mdp.reward + np.asarray(extra))
