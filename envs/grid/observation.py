"""What an agent sees of a grid world: five views of the same state, for one state or for many at once."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sb3_ext.envs.grid.map import CLIFF, DOOR, GOAL, HOLE, KEY, WALL, GridMap

MODES = ("index", "coordinates", "one_hot", "image", "goal")
SMALLEST_IMAGE = 36  # pixels; SB3's NatureCNN needs as many


class GridObservation:
    """Turns states into observations.

    Args:
        mode: ``"index"``: Discrete, the state's number. ``"coordinates"``: float32 (row, column), and has_key (0 or 1)
            on a map with a key. ``"one_hot"``: float32 [S]. ``"image"``: uint8 [h, w, 3], as ``CnnPolicy`` takes it; a
            cell is a square of equal pixels such that both sides have at least 36; channel 0 shows what is in the way
            (wall 255, closed door 192, hole and cliff 128), channel 1 goals (255) and keys (128), channel 2 the agent
            (255). ``"goal"``: a dictionary of ``observation`` (coordinates), ``achieved_goal`` and ``desired_goal``
            (float32 (row, column)), for ``HerReplayBuffer``.
        grid_map: The map.

    Raises:
        ValueError: If the mode is unknown.
    """

    space: spaces.Space[Any]

    def __init__(self, mode: str, grid_map: GridMap) -> None:
        if mode not in MODES:
            raise ValueError(f"unknown observation mode {mode!r}; choose one of {', '.join(MODES)}")
        self.mode, self.grid_map = mode, grid_map
        self.n_layers = 2 if grid_map.has_key else 1
        self.n_states = grid_map.n_cells * self.n_layers
        if mode == "index":
            self.space = spaces.Discrete(self.n_states)
        elif mode == "one_hot":
            self.space = spaces.Box(0.0, 1.0, (self.n_states,), np.float32)
        elif mode == "image":
            self._pixels = math.ceil(SMALLEST_IMAGE / min(grid_map.shape))
            self._pictures = np.stack([self._picture(bool(layer)) for layer in range(self.n_layers)])
            height, width = grid_map.shape
            self.space = spaces.Box(0, 255, (height * self._pixels, width * self._pixels, 3), np.uint8)
        else:
            self._coordinates = self._coordinate_table()
            self._goal = np.array((grid_map.cells(GOAL) or [(0, 0)])[0], dtype=np.float32)
            highest = self._coordinates.max(axis=0)
            box = spaces.Box(np.zeros_like(highest), highest, dtype=np.float32)
            goals = spaces.Box(np.zeros(2, dtype=np.float32), highest[:2], dtype=np.float32)
            everything: dict[str, spaces.Space[Any]] = {
                "observation": box,
                "achieved_goal": goals,
                "desired_goal": goals,
            }
            self.space = spaces.Dict(everything) if mode == "goal" else box

    def one(self, state: int) -> Any:
        """The observation of one state."""
        if self.mode == "index":
            return state
        if self.mode == "coordinates":
            return self._coordinates[state].copy()
        many = self.many(np.array([state]))
        return {key: array[0] for key, array in many.items()} if self.mode == "goal" else many[0]

    def many(self, states: npt.NDArray[np.integer[Any]]) -> Any:
        """The observations of states [n]: an array [n, ...] or a dictionary of such, always new ones."""
        if self.mode == "index":
            return states.astype(np.int64)
        if self.mode == "coordinates":
            return self._coordinates[states]
        if self.mode == "one_hot":
            one_hot = np.zeros((len(states), self.n_states), dtype=np.float32)
            one_hot[np.arange(len(states)), states] = 1.0
            return one_hot
        if self.mode == "image":
            return self._images(states)
        here = self._coordinates[states]
        goal = np.broadcast_to(self._goal, (len(states), 2)).copy()
        return {"observation": here, "achieved_goal": here[:, :2].copy(), "desired_goal": goal}

    def _coordinate_table(self) -> npt.NDArray[np.float32]:
        """Row, column (and has_key) of every state, float32 [S, 2 or 3]."""
        columns = [*np.divmod(np.arange(self.n_states) % self.grid_map.n_cells, self.grid_map.shape[1])]
        if self.n_layers == 2:
            columns.append(np.arange(self.n_states) // self.grid_map.n_cells)
        return np.stack(columns, axis=1).astype(np.float32)

    def _picture(self, has_key: bool) -> npt.NDArray[np.uint8]:
        """The map without the agent, uint8 [height, width, 3], one pixel a cell."""
        picture = np.zeros((*self.grid_map.shape, 3), dtype=np.uint8)
        picture[self.grid_map.mask(WALL), 0] = 255
        picture[self.grid_map.mask(HOLE + CLIFF), 0] = 128
        picture[self.grid_map.mask(GOAL), 1] = 255
        if not has_key:
            picture[self.grid_map.mask(DOOR), 0] = 192
            picture[self.grid_map.mask(KEY), 1] = 128
        return picture

    def _images(self, states: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        """Pictures with the agent, each cell enlarged to a square of pixels, uint8 [n, h, w, 3]."""
        layer, cell = np.divmod(states, self.grid_map.n_cells)
        row, column = np.divmod(cell, self.grid_map.shape[1])
        pictures = self._pictures[layer]
        pictures[np.arange(len(states)), row, column, 2] = 255
        return pictures.repeat(self._pixels, axis=1).repeat(self._pixels, axis=2)
