"""Maps of grid worlds: read from text, checked, and drawn at random.

A map says what is where; what a step does with it (slipping, rewards, ends) is the business of ``GridWorld``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from textwrap import dedent
from typing import Any, Self

import numpy as np
import numpy.typing as npt

WALL, FREE, START, GOAL, HOLE, CLIFF, KEY, DOOR = "#.SGHCKD"
ARROWS = {"^": (-1, 0), ">": (0, 1), "v": (1, 0), "<": (0, -1)}
LEGEND = {
    WALL: "wall",
    FREE: "free cell",
    START: "start, one or several",
    GOAL: "goal",
    HOLE: "hole: ends the episode",
    CLIFF: "cliff: back to the start, the episode goes on",
    KEY: "key: picked up by entering",
    DOOR: "door: entered with the key only",
    "^": "one-way cell: entered only by moving up",
    ">": "one-way cell: entered only by moving right",
    "v": "one-way cell: entered only by moving down",
    "<": "one-way cell: entered only by moving left",
}
Cell = tuple[int, int]
"""(row, column), counted from 0 at the top left."""


@dataclass(frozen=True, eq=False)
class GridMap:
    """What lies in each cell of a rectangle.

    ====== =================================================
    letter meaning
    ====== =================================================
    ``#``  wall
    ``.``  free (a space is no cell)
    ``S``  start, one or several
    ``G``  goal
    ``H``  hole: ends the episode
    ``C``  cliff: back to the start, the episode goes on
    ``K``  key, picked up by entering
    ``D``  door, entered with the key only
    ``^``  one-way cell: entered only by a move upwards
           (likewise ``>``, ``v`` and ``<``)
    other  a free cell, if ``rewards`` or ``jumps`` name it
    ====== =================================================

    Make it with ``GridMap.from_text``.

    Attributes:
        letters: One letter a cell, [height, width].
        wind: int8 [height, width], by how many cells a move that begins here is carried upwards (negative: downwards).
        rewards: Reward for entering a cell, for the letters named or as an array [height, width] with NaN elsewhere;
            where there is none, the world's own step, goal or hole reward counts.
        jumps: ``{"A": ("a", 10.0)}``: any action taken in a cell ``A`` leads to the cell ``a`` and is rewarded by 10.
    """

    letters: npt.NDArray[np.str_]
    wind: npt.NDArray[np.int8]
    rewards: Mapping[str, float] | npt.NDArray[np.float64] = field(default_factory=dict)
    jumps: Mapping[str, tuple[str, float]] = field(default_factory=dict)

    @classmethod
    def from_text(
        cls,
        text: str | Sequence[str],
        wind: npt.ArrayLike | None = None,
        rewards: Mapping[str, float] | npt.ArrayLike | None = None,
        jumps: Mapping[str, tuple[str, float]] | None = None,
    ) -> Self:
        """Reads a map.

        Args:
            text: The rows, as one string (blank lines around it, indentation common to all rows and spaces at the end
                of a row do not count) or as a sequence of strings (taken as they are).
            wind: Upward shift in cells: one integer for each column, or for each cell.
            rewards: See the class.
            jumps: See the class.

        Raises:
            ValueError: If the map is empty, ragged or has an unknown letter, or if wind, rewards or jumps do not fit;
                the message names the cell as (row, column).

        Example:
            >>> grid_map = GridMap.from_text('''
            ...     S.#
            ...     .HG
            ... ''')
            >>> grid_map.shape, grid_map.cells("G")
            ((2, 3), [(1, 2)])
        """
        letters = _letters(text)
        jumps = _jumps(jumps)
        by_letter = isinstance(rewards, Mapping) or rewards is None
        named = dict(rewards) if isinstance(rewards, Mapping) else {}
        grid_map = cls(
            letters,
            _wind(wind, letters.shape),
            {letter: float(value) for letter, value in named.items()} if by_letter else _reward_array(rewards, letters),
            jumps,
        )
        known = {*LEGEND, *named, *jumps, *(target for target, _ in jumps.values())}
        grid_map._check_letters(known)
        grid_map._check_jumps()
        return grid_map

    @classmethod
    def from_dict(cls, description: Mapping[str, Any]) -> Self:
        """Reads what ``to_dict`` wrote: ``map`` (a list of rows) and, where there are any, wind, rewards and jumps."""
        if "map" not in description:
            raise ValueError(f"a world needs a 'map' (a list of rows), got only {sorted(description)}")
        rewards = description.get("rewards")
        if isinstance(rewards, Sequence):
            rewards = np.array(rewards, dtype=np.float64)  # None becomes NaN
        return cls.from_text(description["map"], description.get("wind"), rewards, description.get("jumps"))

    def with_wind(self, wind: npt.ArrayLike) -> Self:
        """The same map with another wind, as for ``from_text``."""
        return replace(self, wind=_wind(wind, self.shape))

    def to_dict(self) -> dict[str, Any]:
        """The map as plain lists and dictionaries, fit for JSON."""
        description: dict[str, Any] = {"map": self.to_text().splitlines()}
        if self.wind.any():
            description["wind"] = self.wind.tolist()
        if isinstance(self.rewards, np.ndarray):
            description["rewards"] = [
                [None if value != value else value for value in row] for row in self.rewards.tolist()
            ]
        elif self.rewards:
            description["rewards"] = dict(self.rewards)
        if self.jumps:
            description["jumps"] = {origin: list(jump) for origin, jump in self.jumps.items()}
        return description

    def to_text(self) -> str:
        """The rows, joined by newlines."""
        return "\n".join("".join(row) for row in self.letters.tolist())

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in cells."""
        return self.letters.shape[0], self.letters.shape[1]

    @property
    def n_cells(self) -> int:
        """Number of cells, walls included; cell (row, column) has the index row * width + column."""
        return self.letters.size

    @property
    def has_key(self) -> bool:
        """Whether there is a key to pick up: then a state is a cell with or without it."""
        return bool(self.mask(KEY).any())

    @property
    def cell_rewards(self) -> npt.NDArray[np.float64]:
        """Reward for entering each cell [height, width], NaN where the world's own reward counts."""
        if isinstance(self.rewards, np.ndarray):
            return self.rewards
        array = np.full(self.shape, np.nan)
        for letter, reward in self.rewards.items():
            array[self.mask(letter)] = reward
        return array

    def mask(self, letters: str) -> npt.NDArray[np.bool_]:
        """Where one of these letters stands, bool [height, width]."""
        codes = self.letters.view(np.uint32).reshape(self.shape)
        found = np.zeros(self.shape, dtype=np.bool_)
        for letter in letters:
            found |= codes == ord(letter)
        return found

    def cells(self, letters: str) -> list[Cell]:
        """The cells where one of these letters stands, row by row."""
        return [(int(row), int(column)) for row, column in np.argwhere(self.mask(letters))]

    def _check_letters(self, known: set[str]) -> None:
        by_letter = {} if isinstance(self.rewards, np.ndarray) else self.rewards
        for letter, reward in {**by_letter, **{origin: jump[1] for origin, jump in self.jumps.items()}}.items():
            if not np.isfinite(reward):
                raise ValueError(f"letter {letter!r}: a reward must be finite, got {reward}")
        long = [letter for letter in known if len(letter) != 1]
        if long:
            raise ValueError(f"rewards and jumps name cells by one letter, got {long[0]!r}")
        unknown = np.argwhere(~self.mask("".join(known)))
        if len(unknown):
            row, column = map(int, unknown[0])
            raise ValueError(
                f"cell ({row}, {column}): unknown letter {str(self.letters[row, column])!r}; the letters are "
                f"{' '.join(LEGEND)}, and others where 'rewards' or 'jumps' name them"
            )
        if self.mask(DOOR).any() and not self.has_key:
            row, column = self.cells(DOOR)[0]
            raise ValueError(f"cell ({row}, {column}): a door 'D', but there is no key 'K' on the map")

    def _check_jumps(self) -> None:
        for origin, (target, _) in self.jumps.items():
            n_targets = int(self.mask(target).sum())
            if n_targets != 1:
                raise ValueError(
                    f"the jump from {origin!r} leads to {target!r}, of which the map has {n_targets}, not 1"
                )
            if origin in (WALL, GOAL, HOLE, CLIFF, KEY, DOOR) or target in (WALL, HOLE, CLIFF, KEY, DOOR):
                raise ValueError(f"the jump {origin!r} -> {target!r} must lead from one free cell to another")


def random_map(size: int | tuple[int, int], n_obstacles: int, seed: int | np.random.Generator | None = None) -> GridMap:
    """Draws a map with the start at the top left, the goal at the bottom right, and a path between them.

    Walls are drawn uniformly until the goal can be reached. Where that fails a hundred times (many obstacles), a random
    path that only leads right and down is kept free.

    Args:
        size: Height and width in cells, or one number for both.
        n_obstacles: Number of walls, at most height * width - (height + width - 1): the shortest path stays free.
        seed: A seed or a generator.

    Raises:
        ValueError: If there is no room for so many obstacles.

    Example:
        >>> print(random_map((2, 4), n_obstacles=1, seed=1).to_text())
        S..#
        ...G
    """
    height, width = _side_lengths(size)
    if not isinstance(n_obstacles, int | np.integer):
        raise ValueError(f"the number of obstacles must be a whole number, got {n_obstacles!r}")
    if height < 1 or width < 1 or height * width < 2:
        raise ValueError(f"a map needs at least two cells, got size={size}")
    room = height * width - (height + width - 1)
    if not 0 <= n_obstacles <= room:
        raise ValueError(f"a map of {height} x {width} has room for 0 to {room} obstacles, got {n_obstacles}")
    generator = np.random.default_rng(seed)
    walls = np.zeros((height, width), dtype=np.bool_)
    for _ in range(100):
        walls[:] = False
        walls.flat[1 + generator.choice(height * width - 2, n_obstacles, replace=False)] = True
        if connected(walls):
            break
    else:
        walls[:] = False
        off_path = np.flatnonzero(~_staircase(height, width, generator))
        walls.flat[generator.choice(off_path, n_obstacles, replace=False)] = True
    letters = np.where(walls, WALL, FREE)
    letters[0, 0], letters[-1, -1] = START, GOAL
    return GridMap(letters, np.zeros((height, width), dtype=np.int8))


def _side_lengths(size: Any) -> tuple[int, int]:
    """Height and width of a map from one number or two."""
    sides = (size, size) if isinstance(size, int | np.integer) else size
    if not (isinstance(sides, Sequence) and len(sides) == 2 and all(isinstance(n, int | np.integer) for n in sides)):
        raise ValueError(f"size must be a whole number of cells, or (height, width), got {size!r}")
    return int(sides[0]), int(sides[1])


def connected(walls: npt.NDArray[np.bool_]) -> bool:
    """Whether steps up, right, down and left lead from the top left cell to the bottom right one.

    Args:
        walls: bool [height, width].
    """
    height, width = walls.shape
    seen = np.ones((height + 2, width + 2), dtype=np.bool_)  # a border of walls spares the bounds
    seen[1:-1, 1:-1] = walls
    seen, goal = seen.ravel(), height * (width + 2) + width
    moves = np.array([-(width + 2), 1, width + 2, -1])
    frontier = np.array([width + 3])
    seen[frontier] = True
    while len(frontier):
        neighbours = (frontier[:, None] + moves).ravel()
        frontier = np.unique(neighbours[~seen[neighbours]])
        seen[frontier] = True
        if frontier.size and (frontier == goal).any():
            return True
    return False


def _staircase(height: int, width: int, generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A random path of moves to the right and down, bool [height, width]."""
    downwards = generator.permutation([True] * (height - 1) + [False] * (width - 1))
    rows = np.concatenate([[0], np.cumsum(downwards)])
    columns = np.concatenate([[0], np.cumsum(~downwards)])
    path = np.zeros((height, width), dtype=np.bool_)
    path[rows, columns] = True
    return path


def _letters(text: str | Sequence[str]) -> npt.NDArray[np.str_]:
    """The letters of a rectangular map [height, width]."""
    if isinstance(text, str):
        rows = [row.rstrip() for row in dedent(text).strip().splitlines()]
    elif isinstance(text, Sequence) and all(isinstance(row, str) for row in text):
        rows = list(text)
    else:
        raise ValueError(f"a map must be text or a list of rows, each a string, got {text!r}")
    if not rows or not rows[0]:
        raise ValueError(f"the map is empty: {text!r}")
    width = len(rows[0])
    for index, row in enumerate(rows):
        if " " in row:
            raise ValueError(f"cell ({index}, {row.index(' ')}): a space is no cell; write '.' for a free one")
        if len(row) != width:
            raise ValueError(
                f"row {index} has {len(row)} cells, row 0 has {width}: fill up with '.' or '#', got {row!r}"
            )
    return np.array(rows)[:, None].view("<U1").reshape(len(rows), width)


def _jumps(jumps: Mapping[str, Any] | None) -> dict[str, tuple[str, float]]:
    for origin, jump in (jumps or {}).items():
        pair = isinstance(jump, Sequence) and not isinstance(jump, str) and len(jump) == 2
        if not pair or not isinstance(jump[0], str) or not isinstance(jump[1], Real):
            raise ValueError(
                f"the jump from {origin!r} must be (letter it leads to, reward), such as ('a', 10.0), got {jump!r}"
            )
    return {origin: (target, float(reward)) for origin, (target, reward) in (jumps or {}).items()}


def _wind(wind: npt.ArrayLike | None, shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """Wind for each cell; one number a column is spread over the rows."""
    array = np.asarray(0 if wind is None else wind)
    if array.dtype.kind not in "iu" or array.shape not in ((), shape[1:], shape):
        raise ValueError(
            f"wind must be {shape[1]} integers (one a column) or integers {list(shape)}, "
            f"got {array.dtype} {list(array.shape)}"
        )
    if np.abs(array).max() > 100:
        raise ValueError(f"wind must be at most 100 cells, got {int(array.flat[np.abs(array).argmax()])}")
    return np.ascontiguousarray(np.broadcast_to(array, shape)).astype(np.int8)


def _reward_array(rewards: Any, letters: npt.NDArray[np.str_]) -> npt.NDArray[np.float64]:
    array = np.asarray(rewards, dtype=np.float64)
    if array.shape != letters.shape:
        raise ValueError(f"rewards must be given for {list(letters.shape)} cells or by letter, got {list(array.shape)}")
    infinite = np.argwhere(np.isinf(array))
    if len(infinite):
        row, column = map(int, infinite[0])
        raise ValueError(
            f"cell ({row}, {column}): a reward must be finite (NaN: the default), got {array[row, column]}"
        )
    return array
