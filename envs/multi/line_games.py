"""Games that are won by a straight line of stones, on many boards at once: tic-tac-toe, Connect Four.

The rules, observations and rewards are those of PettingZoo's ``tictactoe_v3`` and ``connect_four_v3``, so that a model
that learns here plays there. What differs is speed: PettingZoo plays one board, in Python; here a move on a thousand
boards is a few operations on arrays, which self-play needs for its millions of games.
"""

from itertools import product

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Ints = npt.NDArray[np.intp]


class LineGames:
    """Boards of rows x columns cells; whoever first has ``length`` stones in a straight line wins.

    ## Action Space
    `Discrete(columns)` if stones fall (into the lowest free cell of a column), else `Discrete(rows * columns)`: a cell,
    row * columns + column.

    ## Observation Space
    `Box(0, 1, (rows, columns, 2), int8)`: the own stones, the other player's stones.

    ## Rewards
    1 for a win, -1 for a loss, 0 for a draw (a full board). An illegal move ends the game: -1 for who made it, 0 for
    the other.

    Args:
        n_boards: How many.
        rows: Of a board.
        columns: Of a board.
        length: Of the line.
        falling: Whether stones fall down.
        agents: Names of the two players; the first one begins.

    Raises:
        ValueError: If there are no boards, or no such lines on them.

    Attributes:
        stones: bool [n_boards, 2, rows * columns].
        mover: Whose turn it is, 0 or 1 [n_boards].

    Example:
        >>> games = connect_four(2)
        >>> over, rewards = games.play(np.array([0, 1]), np.array([3, 6]))
        >>> games.observe(np.array([0]), games.mover[:1])[0, :, :, 1].nonzero()  # the other one's stone
        (array([5]), array([3]))
    """

    def __init__(
        self,
        n_boards: int,
        rows: int,
        columns: int,
        length: int,
        falling: bool = False,
        agents: tuple[str, str] = ("player_0", "player_1"),
    ) -> None:
        if n_boards < 1:
            raise ValueError(f"n_boards must be at least 1, got {n_boards}")
        if rows < 1 or columns < 1 or not 2 <= length <= max(rows, columns):
            raise ValueError(f"no line of {length} stones is a game on {rows} rows and {columns} columns")
        self.n_boards, self.rows, self.columns, self.falling = n_boards, rows, columns, falling
        self.agents = list(agents)
        self.observation_space = spaces.Box(0, 1, (rows, columns, 2), np.int8)
        self.action_space = spaces.Discrete(columns if falling else rows * columns)
        self.stones: npt.NDArray[np.bool_] = np.zeros((n_boards, 2, rows * columns), dtype=np.bool_)
        self.mover: Ints = np.zeros(n_boards, dtype=np.intp)
        self._lines = _lines_through(rows, columns, length)

    def reset(self, boards: Ints) -> None:
        """Clears some boards."""
        self.stones[boards] = False
        self.mover[boards] = 0

    def observe(self, boards: Ints, player: Ints) -> npt.NDArray[np.int8]:
        """What a player [n] of each of the boards [n] sees, [n, rows, columns, 2]."""
        planes = np.stack([self.stones[boards, player], self.stones[boards, 1 - player]], axis=-1)
        return planes.reshape(len(boards), self.rows, self.columns, 2).view(np.int8)

    def legal(self, boards: Ints) -> npt.NDArray[np.bool_]:
        """The moves that the player to move has on each of the boards, bool [n, n_actions]."""
        free = ~self._taken(boards)
        return free[:, : self.columns] if self.falling else free

    def play(self, boards: Ints, actions: Ints) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
        """Makes a move on each of the boards [n], which must be different ones.

        Returns:
            Whether the game is over [n], and what it brings the two players [n, 2].
        """
        movers, rewards = self.mover[boards], np.zeros((len(boards), 2))
        index = np.arange(len(boards))
        illegal = ~self.legal(boards)[index, actions]
        cells = self._landing_cells(boards, actions) if self.falling else actions
        self.stones[boards[~illegal], movers[~illegal], cells[~illegal]] = True
        padded = np.concatenate([self.stones[boards, movers], np.zeros((len(boards), 1), np.bool_)], axis=1)
        won = np.any(np.all(padded[index[:, None, None], self._lines[cells]], axis=2), axis=1) & ~illegal
        rewards[index, movers] = won - illegal.astype(float)
        rewards[index, 1 - movers] = -won.astype(float)
        self.mover[boards] = 1 - movers
        return won | illegal | self._taken(boards).all(axis=1), rewards

    def _taken(self, boards: Ints) -> npt.NDArray[np.bool_]:
        """Cells with a stone, [n, rows * columns]."""
        return np.logical_or(self.stones[boards, 0], self.stones[boards, 1])

    def _landing_cells(self, boards: Ints, columns: Ints) -> Ints:
        taken = self._taken(boards).reshape(-1, self.rows, self.columns)
        heights = taken[np.arange(len(boards)), :, columns].sum(axis=1)
        return np.maximum(self.rows - 1 - heights, 0) * self.columns + columns


def tic_tac_toe(n_boards: int) -> LineGames:
    """Three in a row on 3 x 3 cells."""
    return LineGames(n_boards, 3, 3, 3, agents=("player_1", "player_2"))


def connect_four(n_boards: int) -> LineGames:
    """Four in a row on 6 x 7 cells, into which stones fall from above."""
    return LineGames(n_boards, 6, 7, 4, falling=True)


def straight_lines(rows: int, columns: int, length: int) -> Ints:
    """All straight lines of a board, [n_lines, length], cells numbered row by row.

    >>> len(straight_lines(3, 3, 3)), len(straight_lines(6, 7, 4))
    (8, 69)
    """
    lines = []
    for row, column, (down, right) in product(range(rows), range(columns), [(0, 1), (1, 0), (1, 1), (1, -1)]):
        cells = [(row + down * i, column + right * i) for i in range(length)]
        if all(r < rows and 0 <= c < columns for r, c in cells):
            lines.append([r * columns + c for r, c in cells])
    return np.array(lines)


def _lines_through(rows: int, columns: int, length: int) -> Ints:
    """The lines through each cell, [n_cells, most, length]; filled up with a cell that no board has."""
    lines = straight_lines(rows, columns, length)
    through = [lines[(lines == cell).any(axis=1)] for cell in range(rows * columns)]
    filled = np.full((rows * columns, max(map(len, through)), length), rows * columns)
    for cell, own in enumerate(through):
        filled[cell, : len(own)] = own
    return filled
