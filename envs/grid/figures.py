"""Figures of what an agent has learned, over the map: colours, numbers and arrows."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from sb3_ext.envs.grid.frames import (
    cell_inside,
    fitting_cell_size,
    mark_cell,
    mark_ends,
    paste_tiles,
    tile_picture,
)
from sb3_ext.envs.grid.map import CLIFF, DOOR, GOAL, HOLE, KEY, Cell, GridMap
from sb3_ext.envs.grid.map import WALL as WALL_LETTER
from sb3_ext.envs.grid.model import MOVES as ALL_MOVES
from sb3_ext.envs.grid.symbols import (
    BLUE,
    FLOOR,
    INK,
    PAPER,
    SMALLEST_ARROW,
    SMALLEST_NUMBER,
    UNKNOWN,
    VERMILLION,
    Frame,
    Pen,
    Symbol,
    arrow_polygon,
    draw_chevrons,
    draw_symbol,
    font_of_size,
    kinds_of_cells,
)
from sb3_ext.envs.grid.triangles import SMALLEST_PIECE_NUMBER, draw_pieces, write_numbers

MOVES: dict[int, tuple[Cell, ...]] = {n: tuple((int(r), int(c)) for r, c in ALL_MOVES[:n]) for n in (4, 8)}
MOVES |= {n + 1: (*MOVES[n], (0, 0)) for n in (4, 8)}
"""(rows, columns) of each action, by the number of actions: 4, 8 (king's moves), and one more that stays in place."""


@lru_cache(maxsize=1024)
def _arrows(
    strengths: tuple[float, ...], moves: tuple[Cell, ...], size: int, color: str, from_centre: bool = False
) -> Image.Image:
    """Transparent picture [size, size] of a policy in one state: the longer the arrow, the likelier the move.

    A single arrow lies across the centre, or starts from it as several do. A move that stays in place is a disc.
    """
    pen = Pen(size)
    chosen = [(move, strength) for move, strength in zip(moves, strengths, strict=True) if strength > 0]
    for move, strength in chosen:
        if move == (0, 0):
            pen.ellipse(0.5, 0.5, 0.05 + 0.05 * strength, 0.05 + 0.05 * strength, color)
            continue
        across = len(chosen) == 1 and not from_centre
        tail, tip = (-0.34, 0.36) if across else (0.0, 0.12 + 0.3 * strength)
        width = 0.1 if across else 0.04 + 0.045 * strength
        pen.polygon([(0.5 + x, 0.5 + y) for x, y in arrow_polygon(move, tail, tip, width)], color)
    return pen.finish()


def greedy_strengths(q_table: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """How strongly to draw each action's arrow: 1 for every action that is best, 0 for the others.

    Values closer than a millionth (relative) count as equal, for learned and computed tables rarely tie exactly.

    Args:
        q_table: action values [..., A]; NaN marks an action that is unknown or not allowed.

    Returns:
        float64 [..., A]; all 0 where nothing is known.

    >>> greedy_strengths([[1.0, 3.0, 3.0], [float("nan"), -1.0, -2.0]])
    array([[0., 1., 1.],
           [0., 1., 0.]])
    """
    known = np.where(np.isnan(q_table), -np.inf, np.asarray(q_table, dtype=np.float64))
    best = known.max(axis=-1, keepdims=True)
    tolerance = np.where(np.isfinite(best), 1e-6 * np.maximum(np.abs(best), 1.0), 0.0)
    return ((known >= best - tolerance) & ~np.isnan(q_table)).astype(np.float64)


def _by_cell(name: str, array: npt.NDArray[Any], grid: GridMap, n_actions: int | None = None) -> npt.NDArray[Any]:
    """Reshapes an array over states to [layers, height, width], with [..., A] for actions; checks its shape."""
    (height, width), rest = grid.shape, () if n_actions is None else (n_actions,)
    shapes = {(height * width, *rest): 1, (height, width, *rest): 1}
    if grid.has_key:
        shapes |= {(2 * height * width, *rest): 2, (2, height, width, *rest): 2}
    if array.shape not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise ValueError(f"{name} has shape {array.shape}, but a map of {height} x {width} cells needs {expected}")
    return array.reshape(shapes[array.shape], height, width, *rest)


def _actions_of(name: str, array: npt.NDArray[Any]) -> int:
    n_actions = array.shape[-1] if array.ndim > 1 else 0
    if n_actions not in MOVES:
        raise ValueError(f"{name} has shape {array.shape}: its last axis must be the actions, {sorted(MOVES)} of them")
    return n_actions


def arrow_strengths(
    grid: GridMap, q_table: npt.ArrayLike | None, policy: npt.ArrayLike | None
) -> npt.NDArray[np.float64] | None:
    """How strongly to draw each arrow [layers, height, width, A], from 0 to 1; None for no arrows."""
    if policy is None:
        if q_table is None:
            return None
        array = np.asarray(q_table, dtype=np.float64)
        return greedy_strengths(_by_cell("q_table", array, grid, _actions_of("q_table", array)))
    array = np.asarray(policy)
    if array.dtype.kind in "fb":
        strengths = np.nan_to_num(_by_cell("policy", array, grid, _actions_of("policy", array)).astype(np.float64))
        wrong = strengths[(strengths < -1e-6) | (strengths > 1 + 1e-6)]
        if len(wrong):
            raise ValueError(f"policy holds probabilities, got {wrong[0]:.6g}; give action values as q_table")
        return np.round(strengths * 20) / 20  # in steps of 5 %, so that there are few different pictures to draw
    actions = _by_cell("policy", array, grid).astype(np.int64)
    highest = int(actions.max())
    n_actions = {4: 0, 8: 9}.get(highest, 4 if highest < 4 else 8)
    if q_table is not None:
        n_actions = _actions_of("q_table", np.asarray(q_table))
    if n_actions == 0:
        raise ValueError("policy's highest action is 4: one of 5 or one of 8? Give it as probabilities [S, A]")
    if actions.min() < 0 or highest >= n_actions:
        raise ValueError(f"policy has actions from {actions.min()} to {highest}, of {n_actions} that there are")
    return np.eye(n_actions)[actions]


@dataclass(frozen=True)
class _ColorScale:
    """Numbers by cell, and how they become colours."""

    amounts: npt.NDArray[np.float64]  # [layers, height, width], or [layers, height, width, A] for triangles
    low: float
    high: float
    label: str
    decimals: int

    @property
    def counts(self) -> bool:
        return self.label == "visits"

    def colors(self, amounts: npt.NDArray[np.float64]) -> Frame:
        """uint8 [..., 3]; NaN is grey, infinite numbers get the colours of the ends."""
        from matplotlib import colormaps

        low, high = self.low, self.high
        if self.counts:
            with np.errstate(divide="ignore"):
                amounts, low, high = np.log(amounts), math.log(low), math.log(high)
        share = np.clip((amounts - low) / (high - low), 0, 1) if high > low else np.full(amounts.shape, 0.5)
        colors = colormaps["plasma" if self.counts else "viridis"](np.nan_to_num(share, nan=0.5), bytes=True)[..., :3]
        colors[np.isnan(amounts)] = ImageColor.getrgb(UNKNOWN)
        colors[np.isneginf(amounts) & self.counts] = ImageColor.getrgb(FLOOR)
        return colors

    def ticks(self) -> list[float]:
        if self.counts:
            powers = [10.0**power for power in range(10) if 10**power <= self.high]
            return powers if self.high < 2 * powers[-1] else [*powers, self.high]
        from matplotlib.ticker import MaxNLocator

        places = np.asarray(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)).tolist()
        slack = 1e-9 * (self.high - self.low)
        return [tick for tick in places if self.low - slack <= tick <= self.high + slack] or [self.low]

    def tick_text(self, tick: float) -> str:
        return self.text(tick) if self.counts else f"{tick:.4g}".replace("-", "\N{MINUS SIGN}")

    def text(self, amount: float) -> str:
        """A number as short as the scale allows."""
        if math.isnan(amount):
            return "?"
        if math.isinf(amount):
            return "\N{INFINITY}" if amount > 0 else "\N{MINUS SIGN}\N{INFINITY}"
        if self.counts and amount >= 10_000:
            return f"{amount / 1000:.0f}k"
        text = f"{amount:.{self.decimals}f}".replace("-", "\N{MINUS SIGN}")
        return text if text.strip("\N{MINUS SIGN}0.") else text.lstrip("\N{MINUS SIGN}")  # no minus zero


def color_scale(
    grid: GridMap,
    values: npt.ArrayLike | None,
    q_table: npt.ArrayLike | None,
    visits: npt.ArrayLike | None,
    limits: tuple[float, float] | None,
    triangles: bool = False,
) -> _ColorScale | None:
    """The numbers to colour cells by: visits, else values, else the best action values (all of them, for triangles);
    None if none are given.
    """
    _check_map(grid)
    if triangles and (q_table is None or values is not None or visits is not None):
        raise ValueError("triangles=True colours cells by a q_table alone: give one, and neither values nor visits")
    if visits is not None:
        amounts, label = _by_cell("visits", np.asarray(visits, dtype=np.float64), grid), "visits"
    elif values is not None:
        amounts, label = _by_cell("values", np.asarray(values, dtype=np.float64), grid), "V"
    elif q_table is not None:
        array = np.asarray(q_table, dtype=np.float64)
        by_cell = _by_cell("q_table", array, grid, _actions_of("q_table", array))
        amounts, label = (by_cell, "Q") if triangles else (_best_of(by_cell), "max Q")
    else:
        return None
    shown = _to_color(grid, _best_of(amounts))[..., None] if triangles else _to_color(grid, amounts)
    seen = amounts[shown & np.isfinite(amounts)]
    low, high = limits or ((float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0))
    if label == "visits":
        return _ColorScale(amounts, max(low, 1.0), max(high, 1.0), label, decimals=0)
    return _ColorScale(amounts, low, high, label, _decimals(max(abs(low), abs(high)), seen if limits is None else None))


def _best_of(q_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The best value over the last axis; NaN where nothing is known."""
    known = np.where(np.isnan(q_values), -np.inf, q_values).max(axis=-1)
    return np.where(np.isnan(q_values).all(axis=-1), np.nan, known)


def _check_map(grid: Any) -> None:
    if not isinstance(grid, GridMap):
        raise ValueError(f"a figure needs a GridMap (env.unwrapped.grid_map), got {grid!r}")


def _decimals(largest: float, numbers: npt.NDArray[np.float64] | None) -> int:
    """Decimals that give about three digits; fewer if all numbers are round."""
    magnitude = math.floor(math.log10(largest)) if largest > 0 else 0
    enough = min(max(2 - magnitude if magnitude >= 0 else 1 - magnitude, 0), 6)
    if numbers is None:
        return enough
    return next(d for d in range(enough + 1) if d == enough or np.allclose(numbers, np.round(numbers, d), 0, 1e-9))


def _to_color(grid: GridMap, amounts: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """The cells to colour: no walls, no cliffs, and no ends (a value of 0 or NaN in a goal or hole says nothing)."""
    empty = np.isnan(amounts) | (amounts == 0)
    return ~grid.mask(WALL_LETTER + CLIFF) & ~(grid.mask(GOAL + HOLE) & empty)


@lru_cache(maxsize=256)
def _badge(symbol: Symbol, size: int) -> Image.Image:
    """A symbol on a small pale plate, for the corner of a coloured cell."""
    pen = Pen(size)
    pen.box(0, 0, 1, 1, FLOOR, 0.25)
    if symbol[0] == "reward":
        pen.text(0.5, 0.52, symbol[1], min(0.5, 1.15 / len(symbol[1])), INK)
    elif symbol[0] == "wind":
        draw_chevrons(pen, symbol[1], min(symbol[2], 3), BLUE, 0.1)
    else:
        draw_symbol(pen, symbol)
    return pen.finish()


def _ink_on(color: npt.NDArray[np.uint8]) -> str:
    """Black or white, whichever is easier to read on a colour [3]."""
    luminance = (color / 255) ** 2.2 @ np.array([0.2126, 0.7152, 0.0722])
    return INK if luminance > 0.2 else PAPER


def _draw_layer(
    grid: GridMap,
    scale: _ColorScale | None,
    arrows: npt.NDArray[np.float64] | None,
    layer: int,
    size: int,
    agent: Cell | None,
) -> Image.Image:
    """One map with its colours, numbers and arrows."""
    kinds, index = kinds_of_cells(grid, size)
    picture = paste_tiles(kinds, index, size)
    amounts = np.full(grid.shape, np.nan) if scale is None else scale.amounts[layer % len(scale.amounts)]
    q_values = amounts if amounts.ndim == 3 else None
    amounts = amounts if q_values is None else _best_of(q_values)
    shown = _to_color(grid, amounts)
    colors = np.broadcast_to(np.array(ImageColor.getrgb(FLOOR), dtype=np.uint8), (*grid.shape, 3))
    colors = colors if scale is None else scale.colors(amounts)
    covered = shown.repeat(size, 0).repeat(size, 1)
    if size >= SMALLEST_ARROW:
        covered[size - 1 :: size] = covered[:, size - 1 :: size] = False  # the lines of the grid stay
    picture[covered] = colors.repeat(size, 0).repeat(size, 1)[covered]
    if size < SMALLEST_ARROW:
        mark_ends(picture, grid, size)
        if agent is not None:
            mark_cell(picture, agent, size, VERMILLION)
        return Image.fromarray(picture)
    image = Image.fromarray(picture)
    for row, column in np.argwhere(shown).tolist():
        symbols = [symbol for symbol in kinds[index[row, column]] if not (layer == 1 and symbol[0] in (KEY, DOOR))]
        strengths = None if arrows is None else tuple(arrows[row, column].tolist())
        number = None if scale is None or size < SMALLEST_NUMBER else scale.text(amounts[row, column])
        corner = (column * size, row * size)
        if scale is not None and q_values is not None:
            _draw_triangles(
                image, corner, size, symbols, scale, q_values[row, column], strengths, agent == (row, column)
            )
            continue
        _draw_cell(image, corner, size, symbols, colors[row, column], number, strengths, agent == (row, column))
    if agent is not None and not shown[agent]:
        tile = tile_picture(kinds[index[agent]], size, agent=True)
        image.paste(Image.fromarray(tile), (agent[1] * size, agent[0] * size))
    return image


def _draw_cell(
    image: Image.Image,
    corner: tuple[int, int],
    size: int,
    symbols: Iterable[Symbol],
    color: npt.NDArray[np.uint8],
    number: str | None,
    strengths: tuple[float, ...] | None,
    agent: bool,
) -> None:
    """Draws into a coloured cell: badges, the agent, the arrows above it, and the number below."""
    x, y = corner
    crowded = agent or strengths is not None
    middle = size if number is None or not crowded else round(0.84 * size)  # the number keeps some room to itself
    place = (x + (size - middle) // 2, y)
    if agent:
        image.paste(disc := _agent_disc(middle), place, disc)
    _paste_badges(image, corner, size, symbols)
    if strengths is not None:
        ink = INK if agent else _ink_on(color)
        image.paste(drawn := _arrows(strengths, MOVES[len(strengths)], middle, ink), place, drawn)
    if number is not None:
        below = (x + size / 2, y + size * (0.88 if crowded else 0.53))
        font = font_of_size(round(size * (0.18 if crowded else 0.23)))
        ImageDraw.Draw(image).text(below, number, fill=_ink_on(color), font=font, anchor="mm")


def _paste_badges(image: Image.Image, corner: tuple[int, int], size: int, symbols: Iterable[Symbol]) -> None:
    badge, edge = round(0.24 * size), size // 40
    lefts = (edge, size - badge - edge - 1, edge + badge)  # in the two corners, so that an arrow fits between
    for left, symbol in zip(lefts, symbols if size >= 20 else (), strict=False):
        image.paste(plate := _badge(symbol, badge), (corner[0] + left, corner[1] + edge), plate)


def _draw_triangles(
    image: Image.Image,
    corner: tuple[int, int],
    size: int,
    symbols: Iterable[Symbol],
    scale: _ColorScale,
    q_values: npt.NDArray[np.float64],
    strengths: tuple[float, ...] | None,
    agent: bool,
) -> None:
    """Draws a cell in pieces, one for each action's value [A]: with the numbers if there is room, else with arrows."""
    moves, colors = MOVES[len(q_values)], scale.colors(q_values)
    draw_pieces(image, corner, size, moves, colors)
    if agent:
        disc, aside = _agent_disc(size // 3), (size - size // 3) // 2
        image.paste(disc, (corner[0] + aside, corner[1] + aside), disc)
    _paste_badges(image, corner, size, symbols)
    if strengths is not None:
        ink = _ink_on(colors[int(np.argmax(strengths))])
        image.paste(drawn := _arrows(strengths, moves, size, ink, from_centre=True), corner, drawn)
        return
    best = greedy_strengths(q_values) > 0
    texts, inks = [scale.text(value) for value in q_values.tolist()], [_ink_on(color) for color in colors]
    write_numbers(image, corner, size, moves, texts, inks, best.tolist())


@lru_cache(maxsize=8)
def _agent_disc(size: int) -> Image.Image:
    pen = Pen(size)
    for radius, color in ((0.42, INK), (0.4, PAPER), (0.35, VERMILLION)):
        pen.ellipse(0.5, 0.5, radius, radius, color)
    return pen.finish()


def _lay_out(
    layers: Sequence[Image.Image], names: Sequence[str], scale: _ColorScale | None, title: str | None
) -> Frame:
    """Puts the maps side by side, with their names and the title above and the colour bar to the right."""
    width, height = layers[0].size
    text = min(max(max(width, height) // 40, 11), 24)  # pixels
    top = text + (2 * text if title else 0) + (round(1.6 * text) if names else 0)
    labels = [] if scale is None else ["max Q", *map(scale.tick_text, scale.ticks())]
    right = max((math.ceil(font_of_size(text, bold=True).getlength(label) + 3.2 * text) for label in labels), default=0)
    canvas = Image.new("RGB", (len(layers) * (width + text) + text + right, top + max(height, 8 * text) + text), PAPER)
    draw = ImageDraw.Draw(canvas)
    for i, layer in enumerate(layers):
        x = text + i * (width + text)
        draw.rectangle((x - 2, top - 2, x + width + 1, top + height + 1), fill=INK)
        canvas.paste(layer, (x, top))
        if names:
            draw.text((x + width / 2, top - text), names[i], fill=INK, font=font_of_size(text), anchor="mm")
    if title:
        pixels = round(1.3 * text)
        while font_of_size(pixels, bold=True).getlength(title) > canvas.width - 2 * text and pixels > 8:
            pixels -= 1
        draw.text((canvas.width / 2, 1.5 * text), title, fill=INK, font=font_of_size(pixels, bold=True), anchor="mm")
    if scale is not None:
        _draw_color_bar(canvas, scale, len(layers) * (width + text) + text, top, max(height, 8 * text), text)
    return np.asarray(canvas).copy()


def _draw_color_bar(canvas: Image.Image, scale: _ColorScale, x: int, top: int, height: int, text: int) -> None:
    draw, font = ImageDraw.Draw(canvas), font_of_size(text)
    draw.text((x, top + text / 2), scale.label, fill=INK, font=font_of_size(text, bold=True), anchor="lm")
    top, height = top + 2 * text, height - 3 * text
    shares = np.linspace(1, 0, height)
    span = scale.high - scale.low
    levels = scale.low * (scale.high / scale.low) ** shares if scale.counts else scale.low + shares * span
    bar = np.broadcast_to(scale.colors(levels)[:, None], (height, text, 3))
    draw.rectangle((x - 1, top - 1, x + text, top + height), fill=INK)
    canvas.paste(Image.fromarray(np.ascontiguousarray(bar)), (x, top))
    for tick in scale.ticks():
        y = top + float(np.abs(levels - tick).argmin())
        draw.line((x + text, y, x + text + text // 3, y), fill=INK)
        draw.text((x + 1.6 * text, y), scale.tick_text(tick), fill=INK, font=font, anchor="lm")


def render_policy(
    grid: GridMap,
    *,
    values: npt.ArrayLike | None = None,
    q_table: npt.ArrayLike | None = None,
    policy: npt.ArrayLike | None = None,
    visits: npt.ArrayLike | None = None,
    agent: Cell | None = None,
    has_key: bool = False,
    title: str | None = None,
    limits: tuple[float, float] | None = None,
    cell_size: int | None = None,
    triangles: bool = False,
) -> Frame:
    """Draws what an agent has learned over the map: colours, numbers where they can be read, and arrows.

    Cells are coloured by ``visits`` (logarithmically), else by ``values``, else by the best value in ``q_table``.
    Arrows show ``policy``, else the greedy actions of ``q_table``; several where several are equally good, and as long
    as they are likely where ``policy`` gives probabilities. NaN is drawn grey. Goals and holes, where nothing is left
    to decide, keep their looks as long as their value is 0 or NaN. On a map with a key, tables of
    2 * height * width states give two pictures side by side.

    With ``triangles`` all of ``q_table`` is seen: each cell is cut into pieces, one for each action, which point where
    it leads and have the colour of its value. Their numbers (the best ones bold and underlined) take the place of the
    greedy arrows where cells are large enough and there are four directions.

    Args:
        grid: the map.
        values: state values [S] (S = height * width states, row by row; twice that with a key), or [height, width].
        q_table: action values [S, A]; A = 4 (up, right, down, left), 8 (king's moves), 5 or 9 (the last one stays).
        policy: an action [S] (integers) or probabilities [S, A]
            (booleans: all that are good).
        visits: visit counts [S] or [height, width].
        agent: (row, column) to draw the agent in.
        has_key: whether the agent holds the key.
        title: text above the picture.
        limits: values at the two ends of the colour bar; by default the lowest and the highest in the picture.
        cell_size: pixels of a cell; by default as many as make a picture of about 1000 pixels, from 1 to 140.
        triangles: whether to colour cells by all action values of ``q_table``, which is then needed, and neither
            ``values`` nor ``visits``.

    Returns:
        uint8 [picture height, picture width, 3].

    Raises:
        ValueError: If an array does not fit the map (both shapes are named), or if there is nothing to draw.
    """
    if values is None and q_table is None and policy is None and visits is None:
        raise ValueError("nothing to draw: give render_policy values, q_table, policy or visits")
    scale = color_scale(grid, values, q_table, visits, limits, triangles)
    strengths = arrow_strengths(grid, q_table, policy)
    n_layers = max(1 if scale is None else len(scale.amounts), 1 if strengths is None else len(strengths))
    size = cell_size or fitting_cell_size(grid, 1000 if n_layers == 1 else 640, largest=140)
    four_directions = strengths is not None and strengths.shape[-1] in (4, 5)
    if triangles and policy is None and size >= SMALLEST_PIECE_NUMBER and four_directions:
        strengths = None  # the numbers say it
    agent = None if agent is None else cell_inside(grid.shape, agent)
    layers = []
    for layer in range(n_layers):
        here = agent if agent is not None and (n_layers == 1 or layer == has_key) else None
        arrows = None if strengths is None else strengths[layer % len(strengths)]
        layers.append(_draw_layer(grid, scale, arrows, layer, size, here))
    names = ["without the key", "with the key"] if n_layers == 2 else []
    return _lay_out(layers, names, scale, title)
