"""Frames of a grid world: the map is drawn once, then only the cells that change."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from sb3_ext.envs.grid.map import DOOR, GOAL, KEY, START, Cell, GridMap
from sb3_ext.envs.grid.map import WALL as WALL_LETTER
from sb3_ext.envs.grid.symbols import (
    FLOOR,
    GRID_LINE,
    INK,
    PAPER,
    SMALL_COLORS,
    SMALLEST_SYMBOL,
    VERMILLION,
    Frame,
    Pen,
    Symbol,
    draw_agent,
    draw_symbol,
    kinds_of_cells,
)


@lru_cache(maxsize=512)
def tile_picture(symbols: tuple[Symbol, ...], size: int, agent: bool = False) -> Frame:
    """One cell with all that lies in it, [size, size, 3]; equal cells are drawn only once."""
    if size < SMALLEST_SYMBOL:
        color = next((SMALL_COLORS[name] for name, *_ in symbols if name in SMALL_COLORS), FLOOR)
        return np.asarray(Image.new("RGB", (size, size), color))
    pen = Pen(size, FLOOR)
    for symbol in symbols:
        draw_symbol(pen, symbol)
    if agent:
        draw_agent(pen)
    image = pen.finish().convert("RGB")
    if (WALL_LETTER,) not in symbols:
        ImageDraw.Draw(image).line([(0, size - 1), (size - 1, size - 1), (size - 1, 0)], fill=GRID_LINE)
    return np.asarray(image)


def paste_tiles(kinds: Sequence[tuple[Symbol, ...]], index: npt.NDArray[np.intp], size: int) -> Frame:
    """The picture of a whole map: cell (row, column) shows kind ``index[row, column]``."""
    tiles = np.stack([tile_picture(symbols, size) for symbols in kinds])
    height, width = index.shape
    return tiles[index].transpose(0, 2, 1, 3, 4).reshape(height * size, width * size, 3)


def fitting_cell_size(grid: GridMap, picture: int, largest: int) -> int:
    """Pixels of a cell such that the picture's longer side has about ``picture`` pixels; at least 1."""
    return max(1, min(largest, picture // max(grid.shape)))


def cell_inside(shape: tuple[int, ...], cell: Cell) -> Cell:
    """The cell, if it lies on a map of this shape."""
    row, column = int(cell[0]), int(cell[1])
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise ValueError(f"agent is at {(row, column)}, outside the map of {shape[0]} x {shape[1]} cells")
    return row, column


class GridPainter:
    """Draws the frames of one map: the map once, then only the cells that change.

    Args:
        grid: the map.
        cell_size: pixels of a cell; by default as many as make a picture of about 512 pixels, from 1 to 64.
    """

    def __init__(self, grid: GridMap, cell_size: int | None = None) -> None:
        self.cell_size = cell_size or fitting_cell_size(grid, 512, largest=64)
        self._kinds, self._index = kinds_of_cells(grid, self.cell_size)
        self._background = paste_tiles(self._kinds, self._index, self.cell_size)
        if self.cell_size < SMALLEST_SYMBOL:
            mark_ends(self._background, grid, self.cell_size)

    def frame(self, agent: Cell | None = None, gone: Iterable[Cell] = ()) -> Frame:
        """A picture with the agent in its cell.

        Args:
            agent: (row, column) of the agent; None leaves it out.
            gone: cells whose key was taken or whose door was opened.

        Returns:
            uint8 [height * cell_size, width * cell_size, 3]; a copy that the caller may write to.

        Raises:
            ValueError: If the agent is outside the map.
        """
        picture, size = self._background.copy(), self.cell_size
        looks = {cell: tuple(s for s in self._symbols(cell) if s[0] not in (KEY, DOOR)) for cell in gone}
        agent = None if agent is None else cell_inside(self._index.shape, agent)
        if agent is not None:
            looks.setdefault(agent, self._symbols(agent))
        for (row, column), symbols in looks.items():
            tile = tile_picture(symbols, size, agent=(row, column) == agent)
            picture[row * size : (row + 1) * size, column * size : (column + 1) * size] = tile
        if agent is not None and size < SMALLEST_SYMBOL:
            mark_cell(picture, agent, size, VERMILLION)
        return picture

    def _symbols(self, cell: Cell) -> tuple[Symbol, ...]:
        return self._kinds[self._index[cell]]


def mark_cell(picture: Frame, cell: Cell, size: int, color: str) -> None:
    """Makes a cell visible that is too small for a symbol: a square of 9 pixels around its centre."""
    top, left = (int((i + 0.5) * size) for i in cell)
    for reach, ring in ((4, INK), (3, PAPER), (2, color)):
        box = picture[max(top - reach, 0) : top + reach + 1, max(left - reach, 0) : left + reach + 1]
        box[...] = ImageColor.getrgb(ring)


def mark_ends(picture: Frame, grid: GridMap, size: int) -> None:
    """Marks starts and goals, unless there are too many to tell apart."""
    for letter in (START, GOAL):
        cells = grid.cells(letter)
        for cell in cells if len(cells) <= 20 else []:
            mark_cell(picture, cell, size, SMALL_COLORS[letter])
