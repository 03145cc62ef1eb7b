"""Pictures of grid games: GridWorld's map, and on it as many pieces as there are, each with a letter of its own."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from sb3_ext.envs.grid.frames import GridPainter, mark_cell
from sb3_ext.envs.grid.map import GridMap
from sb3_ext.envs.grid.rendering import render_text
from sb3_ext.envs.grid.symbols import BLUE, GREEN, INK, PAPER, SMALLEST_SYMBOL, VERMILLION, WOOD, Frame, Pen

__all__ = ["BLUE", "GREEN", "VERMILLION", "WOOD", "Piece", "draw_pieces", "write_pieces"]


class Piece(NamedTuple):
    """Something that lies in a cell."""

    cell: int
    """row * width + column"""
    letter: str
    color: str
    is_box: bool = False
    """a box is square, an agent is round"""


@lru_cache(maxsize=128)
def _picture(letter: str, color: str, is_box: bool, size: int) -> Image.Image:
    """A piece without its cell, RGBA [size, size]."""
    pen = Pen(size)
    if is_box:
        pen.box(0.14, 0.14, 0.86, 0.86, INK, 0.06)
        pen.box(0.19, 0.19, 0.81, 0.81, color, 0.03)
    else:
        for radius, fill in ((0.38, INK), (0.36, PAPER), (0.31, color)):
            pen.ellipse(0.5, 0.5, radius, radius, fill)
    pen.text(0.5, 0.5, letter, 0.38, INK)
    return pen.finish()


def draw_pieces(painter: GridPainter, pieces: Sequence[Piece]) -> Frame:
    """The map with the pieces on it, uint8 [height * cell_size, width * cell_size, 3]; later ones lie on top."""
    frame, size = painter.frame(), painter.cell_size
    width = frame.shape[1] // size
    if size < SMALLEST_SYMBOL:
        for piece in pieces:
            mark_cell(frame, divmod(piece.cell, width), size, piece.color)
        return frame
    image = Image.fromarray(frame)
    for piece in pieces:
        row, column = divmod(piece.cell, width)
        picture = _picture(piece.letter, piece.color, piece.is_box, size)
        image.paste(picture, (column * size, row * size), mask=picture)
    return np.array(image)


def write_pieces(grid_map: GridMap, pieces: Sequence[Piece]) -> str:
    """The map as text, with the pieces' letters on it."""
    letters = grid_map.letters.copy()
    for piece in pieces:
        letters.flat[piece.cell] = piece.letter
    return render_text(replace(grid_map, letters=letters))
