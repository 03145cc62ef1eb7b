"""The symbols of grid worlds: what each kind of cell looks like.

Every cell is drawn four times too large and then shrunk, which is what makes the edges smooth. Colours are those of
Okabe & Ito (2008), which colour-blind readers can tell apart, and no meaning rests on colour alone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sb3_ext.envs.grid.map import ARROWS, CLIFF, DOOR, GOAL, HOLE, KEY, START, Cell, GridMap
from sb3_ext.envs.grid.map import WALL as WALL_LETTER

Frame = npt.NDArray[np.uint8]  # [height, width, 3]

FLOOR, GRID_LINE, INK, PAPER = "#FBFBF9", "#C9CDD2", "#20242B", "#FFFFFF"
WALL, MORTAR, UNKNOWN, BROWN, WOOD = "#4A5160", "#363C48", "#E4E4E4", "#7A3B1E", "#A9743B"
BLUE, SKY, GREEN, VERMILLION, PURPLE, GOLD = "#0072B2", "#56B4E9", "#009E73", "#D55E00", "#9B4F86", "#B8860B"
SUPERSAMPLE = 4
SMALLEST_SYMBOL, SMALLEST_ARROW, SMALLEST_NUMBER = 7, 14, 40  # pixels of a cell below which they are left out


@lru_cache(maxsize=64)
def font_of_size(pixels: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which Matplotlib brings along; found without importing Matplotlib."""
    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(spec.origin).parent / "mpl-data/fonts/ttf" / name), max(pixels, 1))


class Pen:
    """Draws one cell in units of the cell: (0, 0) is its top left corner, (1, 1) its bottom right one."""

    def __init__(self, size: int, background: str | None = None) -> None:
        self.size, self.scale = size, size * SUPERSAMPLE
        self.image = Image.new("RGBA", (self.scale, self.scale), background or (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)

    def polygon(self, points: Iterable[tuple[float, float]], fill: str) -> None:
        """Fills the area between points (x, y)."""
        self.draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=fill)

    def box(self, left: float, top: float, right: float, bottom: float, fill: str, radius: float = 0.0) -> None:
        """Fills a rectangle with round corners."""
        edges = [edge * self.scale for edge in (left, top, right, bottom)]
        self.draw.rounded_rectangle(edges, radius * self.scale, fill=fill)

    def ellipse(self, x: float, y: float, x_radius: float, y_radius: float, fill: str) -> None:
        """Fills an ellipse around (x, y)."""
        edges = (x - x_radius, y - y_radius, x + x_radius, y + y_radius)
        self.draw.ellipse([edge * self.scale for edge in edges], fill=fill)

    def line(self, points: Sequence[tuple[float, float]], fill: str, width: float) -> None:
        """Draws a line of constant width with round ends through points (x, y)."""
        pixels = [(x * self.scale, y * self.scale) for x, y in points]
        self.draw.line(pixels, fill=fill, width=max(round(width * self.scale), 1), joint="curve")
        for x, y in points:  # round ends
            self.ellipse(x, y, width / 2, width / 2, fill)

    def text(self, x: float, y: float, text: str, height: float, fill: str) -> None:
        """Writes bold text around (x, y), with a pale edge that keeps it legible."""
        font, edge = font_of_size(round(height * self.scale), bold=True), self.scale / 40
        place = (x * self.scale, y * self.scale)
        self.draw.text(place, text, fill=fill, font=font, anchor="mm", stroke_width=edge, stroke_fill=FLOOR)

    def finish(self) -> Image.Image:
        """The cell at its final size, RGBA [size, size]."""
        return self.image.resize((self.size, self.size), Image.Resampling.LANCZOS)


def arrow_polygon(direction: Cell, tail: float, tip: float, width: float = 0.09) -> list[tuple[float, float]]:
    """The outline of an arrow.

    Args:
        direction: (rows, columns) the arrow points to, e.g. ``(-1, 0)`` for up, ``(-1, 1)`` for up and right.
        tail: distance of its tail from the centre of the cell, along the direction, in cells; negative is behind.
        tip: the same for its tip.
        width: width of its shaft, in cells.

    Returns:
        Seven (x, y) offsets from the centre of the cell, in cells, x to the right and y down; the fourth is the tip.
    """
    rows, columns = direction
    norm = math.hypot(rows, columns)
    x, y = columns / norm, rows / norm
    neck, half, wing = tip - min(2.2 * width, tip - tail), width / 2, 1.35 * width
    outline = [(tail, -half), (neck, -half), (neck, -wing), (tip, 0.0), (neck, wing), (neck, half), (tail, half)]
    return [(along * x - aside * y, along * y + aside * x) for along, aside in outline]


def draw_chevrons(pen: Pen, direction: Cell, count: int, fill: str, width: float) -> None:
    """``count`` V-shaped strokes, one behind the other, that point in a direction."""
    norm = math.hypot(*direction)
    x, y = direction[1] / norm, direction[0] / norm
    for i in range(count):
        front = 0.13 + 0.2 * (i - (count - 1) / 2)
        strokes = [(front - 0.2, -0.24), (front, 0.0), (front - 0.2, 0.24)]
        pen.line([(0.5 + along * x - aside * y, 0.5 + along * y + aside * x) for along, aside in strokes], fill, width)


def _draw_wall(pen: Pen) -> None:
    pen.box(0, 0, 1, 1, WALL)
    if pen.size < 12:
        return
    for row in range(4):
        pen.line([(0, row / 4), (1, row / 4)], MORTAR, 0.02)
        for x in (0.25, 0.75) if row % 2 else (0.0, 0.5, 1.0):
            pen.line([(x, row / 4), (x, (row + 1) / 4)], MORTAR, 0.02)


def _draw_goal(pen: Pen) -> None:
    pen.ellipse(0.4, 0.72, 0.17, 0.05, "#9DD9C5")
    pen.line([(0.4, 0.14), (0.4, 0.72)], INK, 0.05)
    pen.polygon([(0.42, 0.12), (0.8, 0.27), (0.42, 0.43)], GREEN)


def _draw_hole(pen: Pen) -> None:
    pen.ellipse(0.5, 0.42, 0.36, 0.29, VERMILLION)
    pen.ellipse(0.5, 0.45, 0.31, 0.23, INK)


def _draw_cliff(pen: Pen) -> None:
    pen.polygon([(0, 1), (0, 0.3), (0.2, 0.16), (0.36, 0.34), (0.6, 0.12), (0.78, 0.36), (1, 0.3), (1, 1)], INK)
    pen.polygon([(0, 1), (0, 0.52), (0.26, 0.4), (0.44, 0.62), (0.66, 0.42), (0.84, 0.64), (1, 0.52), (1, 1)], BROWN)


def _draw_start(pen: Pen) -> None:
    pen.text(0.5, 0.52, "S", 0.6, BLUE)


def _draw_key(pen: Pen) -> None:
    pen.line([(0.4, 0.5), (0.84, 0.5)], GOLD, 0.09)
    for x in (0.67, 0.82):
        pen.line([(x, 0.5), (x, 0.66)], GOLD, 0.09)
    pen.ellipse(0.29, 0.5, 0.19, 0.19, GOLD)
    pen.ellipse(0.29, 0.5, 0.09, 0.09, FLOOR)


def _draw_door(pen: Pen) -> None:
    pen.box(0.14, 0.06, 0.86, 0.98, INK, 0.05)
    pen.box(0.2, 0.12, 0.8, 0.98, WOOD, 0.03)
    pen.ellipse(0.5, 0.5, 0.09, 0.09, INK)
    pen.polygon([(0.46, 0.5), (0.54, 0.5), (0.58, 0.74), (0.42, 0.74)], INK)


def draw_agent(pen: Pen) -> None:
    """The agent: a face, so that it is not taken for anything on the map."""
    pen.ellipse(0.5, 0.5, 0.36, 0.36, INK)
    pen.ellipse(0.5, 0.5, 0.34, 0.34, PAPER)
    pen.ellipse(0.5, 0.5, 0.29, 0.29, VERMILLION)
    for x in (0.41, 0.59):
        pen.ellipse(x, 0.45, 0.06, 0.08, PAPER)
        pen.ellipse(x, 0.46, 0.03, 0.045, INK)


Symbol = tuple[Any, ...]
"""What lies in a cell: a letter of the map, or ("wind", direction, strength), ("jump", letter), ("reward", text)."""

_DRAW: dict[str, Callable[[Pen], None]] = {
    WALL_LETTER: _draw_wall,
    GOAL: _draw_goal,
    HOLE: _draw_hole,
    CLIFF: _draw_cliff,
    START: _draw_start,
    KEY: _draw_key,
    DOOR: _draw_door,
}
SMALL_COLORS = {WALL_LETTER: WALL, GOAL: GREEN, HOLE: INK, CLIFF: BROWN, START: BLUE, KEY: GOLD, DOOR: WOOD}
SMALL_COLORS |= dict.fromkeys(ARROWS, PURPLE)  # colours of cells too small for a symbol


def draw_symbol(pen: Pen, symbol: Symbol) -> None:
    """Draws whatever a symbol stands for."""
    name, *details = symbol
    if name == "wind":
        draw_chevrons(pen, details[0], min(details[1], 3), SKY, 0.06)
    elif name == "jump":
        pen.text(0.5, 0.45, details[0], 0.5, BLUE)
    elif name == "reward":
        pen.text(0.5, 0.86, details[0], 0.21, INK)
    elif name in ARROWS:
        pen.polygon([(0.5 + x, 0.5 + y) for x, y in arrow_polygon(ARROWS[name], -0.36, 0.38, 0.24)], PURPLE)
    else:
        _DRAW[name](pen)


def _signed(number: float) -> str:
    return f"{number:+.3g}".replace("-", "\N{MINUS SIGN}")


def _symbols(grid: GridMap, letter: str, wind: int, reward: float) -> tuple[Symbol, ...]:
    """What is drawn in a cell, from bottom to top."""
    symbols: list[Symbol] = []
    if wind and letter not in (WALL_LETTER, GOAL, HOLE, CLIFF):  # no move begins there
        symbols.append(("wind", (-1 if wind > 0 else 1, 0), abs(wind)))
    target_of = {target: origin for origin, (target, _) in grid.jumps.items()}
    if letter in _DRAW or letter in ARROWS:
        symbols.append((letter,))
    elif letter in grid.jumps:
        symbols += [("jump", letter), ("reward", _signed(grid.jumps[letter][1]))]
    elif letter in target_of:
        symbols.append(("jump", f"{target_of[letter]}\N{PRIME}"))
    if not np.isnan(reward) and letter not in grid.jumps:
        symbols.append(("reward", _signed(reward)))
    return tuple(symbols)


def kinds_of_cells(grid: GridMap, size: int) -> tuple[list[tuple[Symbol, ...]], npt.NDArray[np.intp]]:
    """The different kinds of cells on a map, and the kind of each cell [height, width].

    Cells that are too small for symbols differ only by their letter.
    """
    codes = grid.letters.view(np.uint32).reshape(grid.shape).astype(np.int64)
    wind, rewards = grid.wind.astype(np.int64), grid.cell_rewards
    if size < SMALLEST_SYMBOL:
        wind, rewards = np.zeros_like(wind), np.full(grid.shape, np.nan)
    distinct, reward_codes = np.unique(rewards, return_inverse=True)
    codes += ((wind + 128) << 21) + (reward_codes.reshape(grid.shape) << 32)
    kinds, index = np.unique(codes, return_inverse=True)
    unpacked = [(chr(k & 0x1FFFFF), (k >> 21 & 0x7FF) - 128, float(distinct[k >> 32])) for k in kinds.tolist()]
    return [_symbols(grid, *kind) for kind in unpacked], index.reshape(grid.shape)
