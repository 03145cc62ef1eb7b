"""What can be reached on a grid world's map, and which maps are refused."""

from dataclasses import replace
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from sb3_ext.envs.grid.map import FREE, GOAL, START, WALL, GridMap
from sb3_ext.tabular.mdp import TabularMDP

_compiled: Any = numba.njit(cache=True)  # compiled when first called, and kept on disk


def check_goals(grid_map: GridMap, mdp: TabularMDP) -> None:
    """Refuses a map without a goal, with a goal that no start leads to, or with a start that leads to no goal.

    Raises:
        ValueError: With the cell, and the way out (``require_goal=False``).
    """
    goals = np.flatnonzero(grid_map.mask(GOAL))
    if not len(goals):
        raise ValueError("the map has no goal: mark one or more cells 'G', or give require_goal=False")
    width, n_cells = grid_map.shape[1], grid_map.n_cells
    starts = mdp.start.nonzero()[0]
    reached = _flood(_successors(mdp), starts)
    lost = goals[~reached.reshape(-1, n_cells)[:, goals].any(axis=0)]
    if len(lost):
        row, column = divmod(int(lost[0]), width)
        raise ValueError(
            f"cell ({row}, {column}): the goal cannot be reached from a start; open a way, or give require_goal=False"
        )
    if len(starts) > 1:
        stuck = starts[~_flood(_predecessors(mdp), _goal_states(grid_map, mdp))[starts]]
        if len(stuck):
            row, column = divmod(int(stuck[0]), width)
            raise ValueError(
                f"cell ({row}, {column}): no goal can be reached from this start; open a way, "
                "or give require_goal=False"
            )


def check_redrawable(grid_map: GridMap) -> None:
    """Refuses a map of which random walls between two corners (``random_map``) would drop something.

    Raises:
        ValueError: With the cell.
    """
    kept = grid_map.mask(FREE + WALL)
    kept[0, 0] |= grid_map.letters[0, 0] == START
    kept[-1, -1] |= grid_map.letters[-1, -1] == GOAL
    dropped = {
        "wind": grid_map.wind != 0,
        "a reward of its own": ~np.isnan(grid_map.cell_rewards),
        "a jump": grid_map.mask("".join(grid_map.jumps)),
        "a letter": ~kept,
    }
    for name, where in dropped.items():
        if where.any():
            row, column = map(int, np.argwhere(where)[0])
            found = repr(str(grid_map.letters[row, column])) if name == "a letter" else name
            raise ValueError(
                f"cell ({row}, {column}): redraw_obstacles draws walls between a start at the top left and a goal at "
                f"the bottom right and would drop {found}; give a map of '.' of that shape, or no redraw_obstacles"
            )


def keep_connected_starts(grid_map: GridMap, mdp: TabularMDP) -> TabularMDP:
    """The same model with those starts only that lead to a goal, each as likely."""
    start = mdp.start * _flood(_predecessors(mdp), _goal_states(grid_map, mdp))
    return replace(mdp, start=start / start.sum())


def _goal_states(grid_map: GridMap, mdp: TabularMDP) -> npt.NDArray[np.intp]:
    """The goals without and with the key."""
    goals = np.flatnonzero(grid_map.mask(GOAL))
    return np.concatenate([goals + layer for layer in range(0, mdp.n_states, grid_map.n_cells)])


Graph = tuple[npt.NDArray[np.intp], npt.NDArray[np.int32]]
"""offsets [S + 1] and neighbours: those of state s are neighbours[offsets[s]:offsets[s + 1]]."""


def _successors(mdp: TabularMDP) -> Graph:
    offsets = np.arange(mdp.n_states + 1) * (mdp.n_actions * mdp.n_outcomes)
    return offsets, mdp.next_state.reshape(-1)


def _predecessors(mdp: TabularMDP) -> Graph:
    successors = mdp.next_state.reshape(-1)
    order = np.argsort(successors, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(successors, minlength=mdp.n_states))])
    return offsets, (order // (mdp.n_actions * mdp.n_outcomes)).astype(np.int32)


def _flood(graph: Graph, sources: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """The states that can be reached from the sources, bool [S]."""
    offsets, neighbours = graph
    seen = np.zeros(len(offsets) - 1, dtype=np.bool_)
    _breadth_first(offsets, neighbours, np.asarray(sources), seen)
    return seen


@_compiled
def _breadth_first(offsets, neighbours, sources, seen):
    """Marks what can be reached, in place: each state waits once in a queue and is looked at once."""
    queue = np.empty(len(seen), dtype=np.int64)
    n_found = 0
    for state in sources:
        if not seen[state]:
            seen[state] = True
            queue[n_found] = state
            n_found += 1
    n_done = 0
    while n_done < n_found:
        state = queue[n_done]
        n_done += 1
        for edge in range(offsets[state], offsets[state + 1]):
            near = neighbours[edge]
            if not seen[near]:
                seen[near] = True
                queue[n_found] = near
                n_found += 1
