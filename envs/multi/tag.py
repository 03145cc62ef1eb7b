"""Tag: a chaser, or several, and a runner who stumbles now and then.

A Markov game of two sides with opposite rewards (Littman 1994): the best strategy may be a random one, and the exact
value of the game is that of Shapley (1953), in ``shapley.py``.
"""

from collections.abc import Sequence
from numbers import Real

import numpy as np
import numpy.typing as npt

from sb3_ext.envs.grid.map import WALL, GridMap
from sb3_ext.envs.multi.board import STAY, Cells, destinations, give_way, read_board
from sb3_ext.envs.multi.drawing import GREEN, VERMILLION, Piece
from sb3_ext.envs.multi.joint_game import JointGame
from sb3_ext.envs.multi.joint_model import all_joint_actions, check_size, joint_model
from sb3_ext.tabular.mdp import TabularMDP

PILLAR = """
S..
.#.
..R
"""


class Tag(JointGame):
    """Chasers try to catch a runner.

    ## Description
    All move at once; the runner stumbles with probability `stumble` and stays where it is. It is caught when a chaser
    is in its cell after the move, or when the two would change places. Chasers give way to one another: none enters a
    cell that another one stands on or wants to enter too.

    A runner who never stumbles is not caught by a single chaser wherever there is a circle to run round, of four cells
    or more: two are needed. On the default map, a ring of eight cells, the chaser starts opposite to the runner and
    must keep it guessing: to go one way round for certain is not best, to do so with a probability between 0.16 and
    0.84 is (for gamma = 0.9; the value of the game is then 0.266).

    ## Action Space
    `Discrete(5)` for each agent: 0 up, 1 right, 2 down, 3 left, 4 stay.

    ## Observation Space
    `Discrete(n ** n_agents)` for a map of n cells, the same for all: the cells of `chaser_0`, ..., `runner_0`, as the
    digits of a number to the base n, the runner's last. A cell is `row * width + column`.

    ## Rewards
    When the runner is caught, 1 for each chaser and -1 for the runner; else 0. So a discount makes the chasers hurry.

    ## Starting State
    The cells `S` (chasers, in the order of the map) and `R` (runner); with `random_start`, any joint state that is not
    the end.

    ## Episode End
    - Termination: the runner is caught.
    - Truncation: after `max_steps` steps.

    ## Info
    `is_success`: for a chaser, whether the runner was caught by this step; for the runner always False.

    ## Arguments
    - `map`: text or rows: one runner `R`, a chaser `S` or several, walls `#`, free cells `.`.
    - `stumble=0.2`: a probability.
    - `max_steps=50`: the time limit.
    - `random_start=False`
    - `render_mode=None`: `"human"`, `"rgb_array"` or `"ansi"`.

    A `ValueError` says what is wrong with a map, and in which cell; also if the runner can never be caught.

    ## Version
    v0

    Attributes:
        mdp: The exact model over joint states and joint actions, with the chasers' reward. The runner's action counts
            fastest, so ``markov_game_values(env.mdp, n_columns=5)`` takes the chasers together for one side.

    Example:
        >>> env = Tag(["S.R"], stumble=0.0)
        >>> observations, infos = env.reset()
        >>> env.step({"chaser_0": 1, "runner_0": 3})[1]  # both go to the middle
        {'chaser_0': 1.0, 'runner_0': -1.0}
    """

    metadata = {**JointGame.metadata, "name": "tag_v0"}
    _obstacle = "no chaser can reach the runner"

    def __init__(
        self,
        map: str | Sequence[str] = PILLAR,
        stumble: float = 0.2,
        max_steps: int = 50,
        random_start: bool = False,
        render_mode: str | None = None,
    ) -> None:
        grid_map, cells = read_board(map, "SR")
        chasers = cells["S"]
        if len(cells["R"]) != 1:
            raise ValueError(f"the map needs one runner 'R', it has {len(cells['R'])}")
        if not chasers:
            raise ValueError("the map needs a chaser 'S', or several")
        if not isinstance(stumble, Real) or not 0 <= stumble <= 1:
            raise ValueError(f"stumble is a probability, from 0 to 1, got {stumble!r}")
        check_size(grid_map.n_cells ** (len(chasers) + 1), len(chasers) + 1)
        mdp = tag_mdp(grid_map, len(chasers), stumble, None if random_start else [*chasers, *cells["R"]])
        agents = [*(f"chaser_{i}" for i in range(len(chasers))), "runner_0"]
        super().__init__(mdp, agents, [1] * len(chasers) + [-1], grid_map, max_steps, render_mode)

    def _pieces(self, state: int) -> list[Piece]:
        n_agents = len(self.possible_agents)
        *chasers, runner = map(int, np.unravel_index(state, (self.grid_map.n_cells,) * n_agents))
        return [Piece(runner, "R", GREEN), *(Piece(cell, str(i), VERMILLION) for i, cell in enumerate(chasers))]


def tag_mdp(grid_map: GridMap, n_chasers: int, stumble: float, starts: Sequence[int] | None) -> TabularMDP:
    """The exact model: what all joint actions do in all joint states (cells of the chasers, cell of the runner).

    Args:
        grid_map: The walls.
        n_chasers: How many chase.
        stumble: The probability that the runner stays where it is, whatever it does.
        starts: The cells in which they start, the runner's last; None for any.
    """
    shape = (grid_map.n_cells,) * (n_chasers + 1)
    cells = np.stack(np.unravel_index(np.arange(grid_map.n_cells ** len(shape)), shape), axis=-1)  # [S, n]
    walls = grid_map.mask(WALL)
    moves = all_joint_actions(len(shape))
    if stumble:
        moves = np.stack([moves, moves], axis=1)
        moves[:, 1, -1] = STAY
    else:
        moves = moves[:, None]  # [A, K, n]
    before = cells[:, None, None]
    after = destinations(walls)[before, moves]  # [S, A, K, n]
    after[..., :-1] = give_way(before[..., :-1], after[..., :-1])
    chasers, runner = after[..., :-1], after[..., -1:]
    changed_places = (chasers == before[..., -1:]) & (runner == before[..., :-1])
    caught = ((chasers == runner) | changed_places).any(axis=-1)
    next_state = np.ravel_multi_index(tuple(np.moveaxis(after, -1, 0)), shape)
    first = None if starts is None else int(np.ravel_multi_index(tuple(starts), shape))
    probability = [1 - stumble, stumble] if stumble else 1.0
    return joint_model(next_state, caught.astype(np.float64), caught, _goes_on(walls, cells), first, probability)


def _goes_on(walls: npt.NDArray[np.bool_], cells: Cells) -> npt.NDArray[np.bool_]:
    """Which joint states [S] can be, and are not the end: nobody in a wall, and no two in one cell."""
    ordered = np.sort(cells, axis=-1)
    return ~walls.ravel()[cells].any(axis=-1) & (ordered[:, 1:] != ordered[:, :-1]).all(axis=-1)
