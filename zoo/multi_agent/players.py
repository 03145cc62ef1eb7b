"""Scripted players of Connect Four and tic-tac-toe, to measure learned ones against.

Each is called like every opponent: ``(observation, action_mask, agent, generator) -> action``, where the observation
is PettingZoo's board [rows, columns, 2]: the player's own stones, then the other's.
"""

from functools import cache
from itertools import product

import numpy as np

from sb3_ext.multi_agent.opponents import Opponent


def _lines(rows: int, columns: int, length: int) -> np.ndarray:
    """All straight lines of the board, [n_lines, length], cells numbered row by row.

    >>> len(_lines(3, 3, 3)), len(_lines(6, 7, 4))
    (8, 69)
    """
    lines = []
    for row, column, (down, right) in product(range(rows), range(columns), [(0, 1), (1, 0), (1, 1), (1, -1)]):
        cells = [(row + down * i, column + right * i) for i in range(length)]
        if all(r < rows and 0 <= c < columns for r, c in cells):
            lines.append([r * columns + c for r, c in cells])
    return np.array(lines)


_CONNECT_FOUR = _lines(6, 7, 4)
_TIC_TAC_TOE = _lines(3, 3, 3)


def _winning_cells(own: np.ndarray, other: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """Cells [n] that complete a line of ``own``, each a bool board [n_cells]; a cell may come twice."""
    almost = (own[lines].sum(axis=1) == lines.shape[1] - 1) & ~other[lines].any(axis=1)
    cells = lines[almost]
    return cells[~own[cells]]


def _win_or_block(
    board: np.ndarray, cell_of_action: np.ndarray, legal: np.ndarray, lines: np.ndarray, generator: np.random.Generator
) -> int:
    own, other = board.reshape(-1, 2).T.astype(bool)
    for mine, theirs in ((own, other), (other, own)):
        good = legal[np.isin(cell_of_action[legal], _winning_cells(mine, theirs, lines))]
        if len(good):
            return int(good[generator.integers(len(good))])
    return int(legal[generator.integers(len(legal))])


def connect_four_one_ply(
    observation: np.ndarray, action_mask: np.ndarray, agent: str, generator: np.random.Generator
) -> int:
    """Wins if it can, else blocks, else plays any column."""
    landing_row = 5 - observation.any(axis=2).sum(axis=0)  # [7], -1 where the column is full
    return _win_or_block(
        observation, landing_row * 7 + np.arange(7), np.flatnonzero(action_mask), _CONNECT_FOUR, generator
    )


def tic_tac_toe_one_ply(
    observation: np.ndarray, action_mask: np.ndarray, agent: str, generator: np.random.Generator
) -> int:
    """Wins if it can, else blocks, else plays any free cell."""
    return _win_or_block(observation, np.arange(9), np.flatnonzero(action_mask), _TIC_TAC_TOE, generator)


def tic_tac_toe_perfect(
    observation: np.ndarray, action_mask: np.ndarray, agent: str, generator: np.random.Generator
) -> int:
    """Minimax: any of the moves with the best outcome against best play."""
    own, other = (tuple(np.flatnonzero(plane).tolist()) for plane in observation.reshape(9, 2).T)
    best = tic_tac_toe_best_moves(frozenset(own), frozenset(other))
    return best[generator.integers(len(best))]


def tic_tac_toe_best_moves(own: frozenset[int], other: frozenset[int]) -> list[int]:
    """The moves with the best outcome against best play, for the side to move.

    >>> tic_tac_toe_best_moves(frozenset({0, 1}), frozenset({3, 4}))
    [2]
    >>> tic_tac_toe_best_moves(frozenset(), frozenset({0}))  # a corner is answered in the centre
    [4]
    """
    free = [cell for cell in range(9) if cell not in own | other]
    values = [-_tic_tac_toe_value(other, own | {cell}) for cell in free]
    return [cell for cell, value in zip(free, values, strict=True) if value == max(values)]


def tic_tac_toe_losses(player: Opponent, first: bool, perfect: bool = True) -> list[list[int]]:
    """Every game that a player without randomness loses, as the cells in the order of play.

    Args:
        player: It is asked once for each position it comes to.
        first: Whether it begins.
        perfect: Whether the other side plays only the best moves, each of them, or any legal move.

    >>> never_blocks = lambda observation, mask, agent, generator: int(np.flatnonzero(mask)[-1])
    >>> [0, 8, 1, 7, 2] in tic_tac_toe_losses(never_blocks, first=False, perfect=False)
    True
    """
    generator = np.random.default_rng(0)
    losses: list[list[int]] = []

    def play(moves: list[int]) -> None:
        own, other = (frozenset(moves[start::2]) for start in ((0, 1) if first else (1, 0)))
        if _tic_tac_toe_won(other):
            losses.append(moves)
        elif len(moves) < 9 and not _tic_tac_toe_won(own):
            free = set(range(9)) - own - other
            if len(moves) % 2 == (0 if first else 1):
                board = np.array([[cell in own, cell in other] for cell in range(9)], np.int8).reshape(3, 3, 2)
                legal = np.array([cell in free for cell in range(9)])
                play([*moves, int(player(board, legal, "player_1" if first else "player_2", generator))])
            else:
                for cell in tic_tac_toe_best_moves(other, own) if perfect else sorted(free):
                    play([*moves, cell])

    play([])
    return losses


def _tic_tac_toe_won(cells: frozenset[int]) -> bool:
    return any(cells.issuperset(line) for line in _TIC_TAC_TOE.tolist())


@cache
def _tic_tac_toe_value(own: frozenset[int], other: frozenset[int]) -> int:
    """Outcome for the side to move, after the other side's move: 1, 0 or -1."""
    if _tic_tac_toe_won(other):
        return -1
    free = set(range(9)) - own - other
    return max((-_tic_tac_toe_value(other, own | {cell}) for cell in free), default=0)
