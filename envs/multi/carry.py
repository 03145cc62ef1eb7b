"""Carry: two agents fetch a box that is too heavy for one.

The problem is that of Busoniu, Babuska & De Schutter (2010, "Multi-agent reinforcement learning: an overview", section
on cooperative transport), on a smaller board: nobody gets anything alone, and where two ways are equally good, both
must take the same one. Read next: ``tag.py``, where the agents are opponents.
"""

from collections.abc import Sequence
from numbers import Real

import numpy as np
import numpy.typing as npt

from sb3_ext.envs.grid.map import WALL, GridMap
from sb3_ext.envs.multi.board import Cells, destinations, give_way, read_board
from sb3_ext.envs.multi.drawing import BLUE, VERMILLION, WOOD, Piece
from sb3_ext.envs.multi.joint_game import JointGame
from sb3_ext.envs.multi.joint_model import all_joint_actions, check_size, joint_model
from sb3_ext.tabular.mdp import TabularMDP

STEP_REWARD, GOAL_REWARD = -0.01, 1.0
TWO_WAYS = """
...G...
...#...
.......
S..B..S
"""


class Carry(JointGame):
    """Two agents take a box by its two handles and carry it to the goal.

    ## Description
    The box has a handle on its left and one on its right. Once an agent stands at each, they hold it, and let it go no
    more. From then on all three move as one body, one cell a step, if both agents move in the same direction and
    nothing is in the way; else nobody moves. Before that, an agent moves as in GridWorld, the box is an obstacle, and
    nobody enters a cell that the other one stands on or wants to enter too. Both move at once.

    ## Action Space
    `Discrete(5)` for each agent: 0 up, 1 right, 2 down, 3 left, 4 stay.

    ## Observation Space
    `Discrete(2 * n * n)` for a map of n cells, the same for both: `(held * n + cell_0) * n + cell_1`, where a cell is
    `row * width + column` and held is 1 once they hold the box (which is then between them).

    ## Rewards
    The same for both: -0.01 a step, but 1 for the step that brings the box to the goal; and `strain_reward` on top
    while they hold the box and choose different actions. Below 0 it changes nothing for two that agree, but makes
    independent learners shy of the box: while the other one still explores, to hold it is a loss on average (the
    penalty game of Claus & Boutilier 1998).

    ## Starting State
    The cells `S` of the map, `carrier_0` in the first; with `random_start`, any joint state that is not the end.

    ## Episode End
    - Termination: the box is at the goal.
    - Truncation: after `max_steps` steps.

    ## Info
    `is_success`: whether this step brought the box to the goal.

    ## Arguments
    - `map`: text or rows: `S` twice, one box `B` with a free cell on its left and right, a goal `G` or several, walls
      `#`, free cells `.`. The default leaves two ways, equally long; the best return is 0.92, in 9 steps.
    - `strain_reward=0.0`
    - `max_steps=100`: the time limit.
    - `random_start=False`
    - `render_mode=None`: `"human"`, `"rgb_array"` or `"ansi"`.

    A `ValueError` says what is wrong with a map, and in which cell; also if the box cannot be brought to the goal.

    ## Version
    v0

    Attributes:
        mdp: The exact model over joint states and the 25 joint actions: ``value_iteration(env.mdp)`` is the best that
            the two can do together.

    Example:
        >>> env = Carry(["SBS", ".G."])
        >>> observations, infos = env.reset()  # they stand at the handles already
        >>> env.step({"carrier_0": 2, "carrier_1": 4})[1]  # one goes down, the other stays
        {'carrier_0': -0.01, 'carrier_1': -0.01}
        >>> env.step({"carrier_0": 2, "carrier_1": 2})[1]
        {'carrier_0': 1.0, 'carrier_1': 1.0}
    """

    metadata = {**JointGame.metadata, "name": "carry_v0"}
    _obstacle = "the box, with an agent on its left and one on its right, reaches no goal"

    def __init__(
        self,
        map: str | Sequence[str] = TWO_WAYS,
        strain_reward: float = 0.0,
        max_steps: int = 100,
        random_start: bool = False,
        render_mode: str | None = None,
    ) -> None:
        grid_map, cells = read_board(map, "SBG")
        _check(grid_map, cells)
        if not isinstance(strain_reward, Real) or not np.isfinite(strain_reward):
            raise ValueError(f"strain_reward must be a finite number, got {strain_reward!r}")
        check_size(2 * grid_map.n_cells**2, 2)
        self._box: int = cells["B"][0]
        starts = None if random_start else (cells["S"][0], cells["S"][1])
        mdp = carry_mdp(grid_map, self._box, strain_reward, starts)
        super().__init__(mdp, ["carrier_0", "carrier_1"], [1, 1], grid_map, max_steps, render_mode)

    def _pieces(self, state: int) -> list[Piece]:
        n_cells = self.grid_map.n_cells
        held, first, second = np.unravel_index(state, (2, n_cells, n_cells))
        box = (first + second) // 2 if held else self._box
        return [Piece(int(box), "B", WOOD, True), Piece(int(first), "0", BLUE), Piece(int(second), "1", VERMILLION)]


def carry_mdp(grid_map: GridMap, box: int, strain_reward: float, starts: tuple[int, int] | None) -> TabularMDP:
    """The exact model: what all 25 joint actions do in all joint states (held, cell_0, cell_1).

    Args:
        grid_map: Walls and goals.
        box: The cell in which the box stands at first.
        strain_reward: What comes on top where they hold the box and choose different actions.
        starts: The cells in which the agents start; None for any.
    """
    n_cells, actions = grid_map.n_cells, all_joint_actions(2)
    shape = (2, n_cells, n_cells)
    held, *both = np.unravel_index(np.arange(2 * n_cells**2), shape)
    is_held, cells = held == 1, np.stack(both, axis=-1)  # [S], [S, 2]
    after = np.where(is_held[:, None, None], _carried(grid_map, cells, actions), _walked(grid_map, box, cells, actions))
    held_after = is_held[:, None] | _at_handles(after, box)
    next_state = np.ravel_multi_index((held_after.astype(np.intp), after[..., 0], after[..., 1]), shape)
    goal = grid_map.mask("G").ravel()
    delivered = is_held[:, None] & goal[after.sum(axis=-1) // 2]
    strain = is_held[:, None] & (actions[:, 0] != actions[:, 1])
    reward = np.where(delivered, GOAL_REWARD, STEP_REWARD) + strain_reward * strain
    first = (
        None if starts is None else int(np.ravel_multi_index((int(_at_handles(np.array(starts), box)), *starts), shape))
    )
    goes_on = _goes_on(grid_map, box, is_held, cells)
    return joint_model(next_state[..., None], reward[..., None], delivered[..., None], goes_on, first)


def _at_handles(cells: Cells, box: int) -> npt.NDArray[np.bool_]:
    """Whether the two agents [..., 2] stand on the left and on the right of the box, in either order."""
    return (cells.min(axis=-1) == box - 1) & (cells.max(axis=-1) == box + 1)


def _walked(grid_map: GridMap, box: int, cells: Cells, actions: npt.NDArray[np.intp]) -> Cells:
    """Where two agents [S, 2] are after each joint action [A, 2] as long as they do not hold the box, [S, A, 2]."""
    closed = grid_map.mask(WALL)
    closed.flat[box] = True
    return give_way(cells[:, None], destinations(closed)[cells[:, None], actions])


def _carried(grid_map: GridMap, cells: Cells, actions: npt.NDArray[np.intp]) -> Cells:
    """The same once they hold the box: all three move, or nobody."""
    body = np.concatenate([cells, cells.sum(axis=-1, keepdims=True) // 2], axis=-1)[:, None]  # [S, 1, 3]
    agreed = actions[:, 0] == actions[:, 1]
    after = destinations(grid_map.mask(WALL))[body, actions[:, :1]]  # [S, A, 3]
    moves = (after != body).all(axis=-1) & agreed
    return np.where(moves[..., None], after[..., :2], cells[:, None])


def _goes_on(grid_map: GridMap, box: int, is_held: npt.NDArray[np.bool_], cells: Cells) -> npt.NDArray[np.bool_]:
    """Which joint states [S] can be, and are not the end."""
    open_, goal = ~grid_map.mask(WALL).ravel(), grid_map.mask("G").ravel()
    first, second = cells.T
    middle = cells.sum(axis=-1) // 2
    same_row = first // grid_map.shape[1] == second // grid_map.shape[1]
    holding = same_row & (np.abs(first - second) == 2) & open_[middle] & ~goal[middle]
    apart = (first != second) & (first != box) & (second != box) & ~_at_handles(cells, box)
    return open_[first] & open_[second] & np.where(is_held, holding, apart)


def _check(grid_map: GridMap, cells: dict[str, list[int]]) -> None:
    """Refuses a map without two agents, a box that can be held, and a goal."""
    for letter, name, fits in (("S", "two starts", 2), ("B", "one box", 1)):
        if len(cells[letter]) != fits:
            raise ValueError(f"the map needs {name} {letter!r}, it has {len(cells[letter])}")
    if not cells["G"]:
        raise ValueError("the map needs a goal 'G'")
    row, column = divmod(cells["B"][0], grid_map.shape[1])
    handles = [column - 1, column + 1]
    if handles[0] < 0 or handles[1] >= grid_map.shape[1] or grid_map.mask(WALL)[row, handles].any():
        raise ValueError(f"cell ({row}, {column}): the box needs a free cell on its left and on its right, to hold it")
