"""The exact model of a grid world: from a map and the rules of moving to a ``TabularMDP``, without a loop over cells.

Where a move ends is worked out for all cells at once: add the displacement, clip to the rectangle, stay where a wall, a
closed door or the back of a one-way cell is in the way, take the key, follow a jump, fall down a cliff.
"""

from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

from sb3_ext.envs.grid.map import ARROWS, CLIFF, DOOR, GOAL, HOLE, KEY, START, WALL, GridMap
from sb3_ext.tabular.mdp import TabularMDP

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = np.array([(-1, 0), (0, 1), (1, 0), (0, -1), (-1, 1), (1, 1), (1, -1), (-1, -1)])
"""(rows down, columns right) of the actions: up, right, down, left, the king's diagonals clockwise from up-right."""


@dataclass(frozen=True)
class Rules:
    """How a step works out, beside the map; ``GridWorld`` explains each."""

    slip: float = 0.0
    king_moves: bool = False
    stay: bool = False
    stochastic_wind: bool = False
    step_reward: float = -0.01
    goal_reward: float = 1.0
    hole_reward: float = -1.0
    bump_reward: float | None = None
    goal_ends: bool = True
    random_start: bool = False

    def __post_init__(self) -> None:
        for name in ("slip", "step_reward", "goal_reward", "hole_reward", "bump_reward"):
            value = getattr(self, name)
            if not isinstance(value, Real) and (name, value) != ("bump_reward", None):
                raise ValueError(f"{name} must be a number, got {value!r}")
        for name in ("king_moves", "stay", "stochastic_wind", "goal_ends", "random_start"):
            value = getattr(self, name)
            if not isinstance(value, bool | np.bool_):
                raise ValueError(f"{name} must be True or False, got {value!r}")
        if not 0 <= self.slip <= 1:
            raise ValueError(f"slip is a probability, from 0 to 1, got {self.slip}")
        for name in ("step_reward", "goal_reward", "hole_reward", "bump_reward"):
            value = getattr(self, name)
            if value is not None and not np.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}")

    @property
    def n_directions(self) -> int:
        """4, or 8 with king's moves; to stay comes on top."""
        return 8 if self.king_moves else 4

    @property
    def moves(self) -> npt.NDArray[np.int64]:
        """Displacements [A, 2] in rows and columns."""
        moves = MOVES[: self.n_directions]
        return np.vstack([moves, [(0, 0)]]) if self.stay else moves

    @property
    def sides(self) -> npt.NDArray[np.int64]:
        """[2, A]: the actions a quarter turn to the left and to the right of each; to stay has no sides."""
        quarter = np.array([3, 0, 1, 2]), np.array([1, 2, 3, 0])
        sides = np.array([np.concatenate([turn, turn + 4])[: self.n_directions] for turn in quarter])
        return np.hstack([sides, [[self.n_directions]] * 2]) if self.stay else sides

    def outcome_probabilities(self, windy: bool) -> npt.NDArray[np.float64]:
        """[K], the same for every state and action: straight, left, right; each with every strength of the wind."""
        turns = np.array([1 - self.slip, self.slip / 2, self.slip / 2]) if self.slip else np.ones(1)
        gusts = np.full(3, 1 / 3) if self.stochastic_wind and windy else np.ones(1)
        return np.outer(turns, gusts).ravel()


def build_model(grid_map: GridMap, rules: Rules) -> TabularMDP:
    """Works out the model of a grid world.

    State ``cell + n_cells * has_key``; K = 1, times 3 with slip, times 3 with stochastic wind.

    Raises:
        ValueError: If the map has no start (and none is drawn), or several and a cliff.
    """
    probabilities = rules.outcome_probabilities(bool(grid_map.wind.any()))
    layers = [_one_layer(grid_map, rules, has_key) for has_key in ([False, True] if grid_map.has_key else [False])]
    next_state, reward, terminated = (
        np.concatenate(arrays) if len(layers) > 1 else arrays[0] for arrays in zip(*layers, strict=True)
    )
    start = np.zeros(len(next_state))
    start[: grid_map.n_cells] = start_distribution(grid_map, rules)
    if rules.slip:
        turned = np.vstack([np.arange(len(rules.moves)), *rules.sides]).T  # [A, 3]
        next_state, reward, terminated = (_slipping(array, turned) for array in (next_state, reward, terminated))
    return TabularMDP(next_state, np.broadcast_to(probabilities, next_state.shape), reward, terminated, start)


def start_distribution(grid_map: GridMap, rules: Rules) -> npt.NDArray[np.float64]:
    """Uniform over the start cells, or over all cells that are neither walls nor ends nor special, [n_cells]."""
    special = grid_map.mask(WALL + HOLE + CLIFF + DOOR + KEY + GOAL)
    possible = ~special if rules.random_start else grid_map.mask(START)
    if not possible.any():
        raise ValueError("the map has no start: mark one or more cells 'S', or give random_start=True")
    return possible.ravel() / possible.sum()


def _slipping(array: npt.NDArray, turned: npt.NDArray[np.int64]) -> npt.NDArray:
    """[S, A, W] -> [S, A, 3 W]: the outcomes of the action itself and of the two at its sides."""
    n_states, n_actions, _ = array.shape
    return array[:, turned].reshape(n_states, n_actions, -1)


def _one_layer(
    grid_map: GridMap, rules: Rules, has_key: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Next state, reward and terminated [n_cells, A, W] without slip, for an agent with or without the key."""
    gusts = (-1, 0, 1) if rules.stochastic_wind and grid_map.wind.any() else (0,)
    shape = (grid_map.n_cells, len(rules.moves), len(gusts))
    landing = np.empty(shape, dtype=np.int32)
    bumped = np.zeros(shape, dtype=np.bool_)
    for action, (down, right) in enumerate(rules.moves.tolist()):
        for column, gust in enumerate(gusts):
            landing[:, action, column], bumped[:, action, column] = _land(grid_map, down, right, gust, has_key)
    entry_reward, ends = _entry(grid_map, rules)
    reward = entry_reward[landing]
    if rules.bump_reward is not None:
        reward[bumped] = rules.bump_reward
    terminated = ends[landing]
    _fall(grid_map, landing)
    if grid_map.has_key:
        landing += grid_map.n_cells * (has_key | grid_map.mask(KEY).ravel()[landing])
    _jump(grid_map, landing, reward, terminated, ends, has_key)
    for inert in ends.nonzero()[0], grid_map.mask(WALL).ravel().nonzero()[0]:  # no episode goes on from there
        landing[inert] = (inert + grid_map.n_cells * has_key)[:, None, None]
        reward[inert], terminated[inert] = 0.0, True
    return landing, reward, terminated


def _land(
    grid_map: GridMap, down: int, right: int, gust: int, has_key: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """The cell [n_cells] that a displacement leads to, and whether the way was blocked."""
    height, width = grid_map.shape
    rows, columns = np.indices((height, width), dtype=np.int32, sparse=True)
    wind = grid_map.wind.astype(np.int32)
    rows_moved = rows + down - wind - gust * (wind != 0)  # the wind of the cell that is left (Example 6.5)
    columns_moved = columns + right
    outside = (rows_moved < 0) | (rows_moved >= height) | (columns_moved < 0) | (columns_moved >= width)
    target = np.clip(rows_moved, 0, height - 1) * width + np.clip(columns_moved, 0, width - 1)
    closed = grid_map.mask(WALL if has_key else WALL + DOOR)
    for letter, arrow in ARROWS.items():
        if down * arrow[0] + right * arrow[1] <= 0:
            closed |= grid_map.mask(letter)
    here = rows * width + columns
    blocked = closed.ravel()[target] & (target != here)
    return np.where(blocked, here, target).ravel(), (blocked | outside).ravel()


def _entry(grid_map: GridMap, rules: Rules) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Reward for entering each cell, and whether that ends the episode, [n_cells] each."""
    reward = np.full(grid_map.shape, rules.step_reward)
    reward[grid_map.mask(GOAL)] = rules.goal_reward
    reward[grid_map.mask(HOLE + CLIFF)] = rules.hole_reward
    own = grid_map.cell_rewards
    ends = grid_map.mask(HOLE + GOAL if rules.goal_ends else HOLE)
    return np.where(np.isnan(own), reward, own).ravel(), ends.ravel()


def _fall(grid_map: GridMap, landing: npt.NDArray[np.int32]) -> None:
    """Sends those who land on a cliff back to the start, in place."""
    cliffs = grid_map.mask(CLIFF).ravel()
    if not cliffs.any():
        return
    starts = grid_map.cells(START)
    if len(starts) != 1:
        row, column = grid_map.cells(CLIFF)[0]
        raise ValueError(
            f"cell ({row}, {column}): a cliff 'C' sends back to the one start 'S', and the map has {len(starts)}; "
            "mark one, or use holes 'H'"
        )
    landing[cliffs[landing]] = starts[0][0] * grid_map.shape[1] + starts[0][1]


def _jump(
    grid_map: GridMap,
    landing: npt.NDArray[np.int32],
    reward: npt.NDArray[np.float64],
    terminated: npt.NDArray[np.bool_],
    ends: npt.NDArray[np.bool_],
    has_key: bool,
) -> None:
    """Overwrites what actions do in the cells that jump, in place."""
    for origin, (target, jump_reward) in grid_map.jumps.items():
        there = int(np.flatnonzero(grid_map.mask(target))[0])
        cells = grid_map.mask(origin).ravel()
        landing[cells] = there + grid_map.n_cells * has_key
        reward[cells], terminated[cells] = jump_reward, ends[there]
