"""Action values as pieces of a cell: each points where its action leads, and has the colour of its value."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from sb3_ext.envs.grid.map import Cell
from sb3_ext.envs.grid.symbols import GRID_LINE, font_of_size

Point = tuple[float, float]
_STAY = 0.17  # half the side of the square in the middle, for the action that stays
SMALLEST_PIECE_NUMBER = 90  # pixels of a cell below which its pieces hold no numbers


def piece(move: Cell, n_directions: int) -> list[Point]:
    """The corners (x, y) of an action's piece in a cell of side 1; from the centre, all are equally wide.

    Four directions give triangles between the diagonals; with eight, the pieces of the diagonals are kites.

    Example:
        >>> piece((-1, 0), 4)  # up
        [(0.5, 0.5), (0.0, 0.0), (1.0, 0.0)]
        >>> len(piece((-1, 1), 8)), len(piece((0, 0), 8))
        (4, 4)
    """
    if move == (0, 0):
        return [(0.5 + x * _STAY, 0.5 + y * _STAY) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    angle, half = math.atan2(move[0], move[1]), math.pi / n_directions
    corner = [(0.5 + move[1] / 2, 0.5 + move[0] / 2)] if 0 not in move else []
    return [(0.5, 0.5), _on_border(angle - half), *corner, _on_border(angle + half)]


def _on_border(angle: float) -> Point:
    """Where a ray from the centre leaves the cell."""
    x, y = math.cos(angle), math.sin(angle)
    reach = 0.5 / max(abs(x), abs(y))
    return round(0.5 + reach * x, 9), round(0.5 + reach * y, 9)


def draw_pieces(
    image: Image.Image,
    corner: tuple[int, int],
    size: int,
    moves: Sequence[Cell],
    colors: npt.NDArray[np.uint8],
) -> None:
    """Fills a cell, whose top left pixel is ``corner``, with one piece for each action; ``colors`` is [A, 3]."""
    draw, side = ImageDraw.Draw(image), size - 1  # the last row and column are the grid's line
    n_directions = len([move for move in moves if move != (0, 0)])
    for move, color in zip(moves, colors.tolist(), strict=True):
        corners = [(corner[0] + x * (side - 1), corner[1] + y * (side - 1)) for x, y in piece(move, n_directions)]
        draw.polygon(corners, fill=tuple(color), outline=GRID_LINE)


def write_numbers(
    image: Image.Image,
    corner: tuple[int, int],
    size: int,
    moves: Sequence[Cell],
    texts: Sequence[str],
    inks: Sequence[str],
    best: Sequence[bool],
) -> None:
    """Writes the value of each of four directions (and of staying) into its piece, the best bold and underlined."""
    draw, pixels = ImageDraw.Draw(image), round(0.12 * size)
    room = 0.3 if (0, 0) in moves else 0.37  # for a number at the side, in cells
    while max(font_of_size(pixels, bold=True).getlength(text) for text in texts) > room * size and pixels > 6:
        pixels -= 1
    for move, text, ink, is_best in zip(moves, texts, inks, best, strict=True):
        font = font_of_size(round(pixels * (0.8 if move == (0, 0) else 1)), bold=is_best)
        x, y = corner[0] + (0.5 + (0.485 - room / 2) * move[1]) * size, corner[1] + (0.5 + 0.33 * move[0]) * size
        draw.text((x, y), text, fill=ink, font=font, anchor="mm")
        if is_best:
            left, _, right, bottom = draw.textbbox((x, y), text, font=font, anchor="mm")
            draw.line((left, bottom + size / 60, right, bottom + size / 60), fill=ink, width=max(size // 60, 1))
