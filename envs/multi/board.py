"""The board of a grid game: what the letters of its map mean, where a move leads, and who is in whose way."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import numpy.typing as npt

from sb3_ext.envs.grid.map import FREE, GOAL, START, WALL, GridMap
from sb3_ext.envs.grid.model import Rules

MOVES = Rules(stay=True).moves
"""(rows down, columns right) of the actions [5, 2]: up, right, down, left, stay."""
N_ACTIONS = len(MOVES)
STAY = N_ACTIONS - 1

Cells = npt.NDArray[np.intp]
"""Cells as numbers, row * width + column."""


def read_board(text: str | Sequence[str], pieces: str) -> tuple[GridMap, dict[str, list[int]]]:
    """Reads the map of a grid game.

    Args:
        text: The rows, as ``GridMap.from_text`` takes them.
        pieces: The letters that the game knows beside walls and free cells.

    Returns:
        The map to be drawn, on which nothing is left that moves (only walls, ``S`` and ``G``), and the cells of each
        of the game's letters.

    Raises:
        ValueError: If the map is empty or ragged, or has a letter of no meaning here; the message names the cell.

    Example:
        >>> grid_map, cells = read_board(["S.R", "##G"], "SRG")
        >>> print(grid_map.to_text())
        S..
        ##G
        >>> cells["R"]
        [2]
    """
    read = GridMap.from_text(text, rewards=dict.fromkeys(str(text), 0.0))  # named there, any letter may be on a map
    known = WALL + FREE + pieces
    unknown = np.argwhere(~read.mask(known))
    if len(unknown):
        row, column = map(int, unknown[0])
        letter = str(read.letters[row, column])
        raise ValueError(f"cell ({row}, {column}): {letter!r} has no meaning here; the letters are {' '.join(known)}")
    cells = {letter: np.flatnonzero(read.mask(letter)).tolist() for letter in pieces}
    letters = np.where(read.mask(WALL + FREE + GOAL + START), read.letters, FREE)
    return GridMap(letters, read.wind), cells


def destinations(closed: npt.NDArray[np.bool_]) -> Cells:
    """Where each move leads: to the next cell, or nowhere if that is closed or off the map.

    Args:
        closed: The cells that cannot be entered, bool [height, width].

    Returns:
        Cells [height * width, 5].

    Example:
        >>> destinations(np.array([[False, False, True]]))[1].tolist()  # up, right, down, left, stay
        [1, 1, 1, 0, 1]
    """
    shape = np.array(closed.shape)
    here = np.arange(closed.size)
    targets = np.stack(np.unravel_index(here, closed.shape), axis=-1)[:, None] + MOVES  # [n_cells, 5, 2]
    inside = ((targets >= 0) & (targets < shape)).all(axis=-1)
    there = np.ravel_multi_index(tuple(np.moveaxis(targets, -1, 0)), closed.shape, mode="clip")
    return np.where(inside & ~closed.ravel()[there], there, here[:, None])


def give_way(cells: Cells, wanted: Cells) -> Cells:
    """The rule of collisions: nobody enters a cell that another one stands on, or wants to enter too.

    So two agents do not change places, and nobody follows in another one's steps at once.

    Args:
        cells: Where the agents are, [..., n].
        wanted: Where they want to go, [..., n].

    Returns:
        Where they are afterwards, [..., n].

    Example:
        >>> give_way(np.array([0, 2]), np.array([1, 1])), give_way(np.array([0, 2]), np.array([1, 2]))
        (array([0, 2]), array([1, 2]))
    """
    cells, wanted = np.broadcast_arrays(cells, wanted)
    free = np.ones(wanted.shape, dtype=np.bool_)
    for i, j in permutations(range(wanted.shape[-1]), 2):
        free[..., i] &= (wanted[..., i] != cells[..., j]) & (wanted[..., i] != wanted[..., j])
    return np.where(free, wanted, cells)
