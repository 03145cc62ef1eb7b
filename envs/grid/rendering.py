"""Pictures of grid worlds: quick frames, text for a terminal, a window; and the way to figures and films.

* ``GridPainter`` draws the map once and then only pastes the agent: a frame costs well under a millisecond.
* ``render_text`` is the picture for a terminal; ``Window`` is the picture on a screen.
* ``render_policy`` (``figures.py``) draws a figure: a value function, a Q-table (its greedy arrows, or all of it as
  triangles), a policy, visit counts.
* ``save_animation``, ``record_episode`` and ``animate_learning`` (``films.py``) write a GIF or an MP4.

The functions take a map and plain arrays, never an environment.
"""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_ext.envs.grid.figures import MOVES, arrow_strengths, greedy_strengths, render_policy
from sb3_ext.envs.grid.films import animate_learning, record_episode, save_animation
from sb3_ext.envs.grid.frames import GridPainter, cell_inside
from sb3_ext.envs.grid.map import ARROWS, CLIFF, DOOR, FREE, GOAL, HOLE, KEY, START, Cell, GridMap
from sb3_ext.envs.grid.map import WALL as WALL_LETTER
from sb3_ext.envs.grid.symbols import Frame, arrow_polygon

__all__ = [
    "MOVES",
    "GridPainter",
    "Window",
    "animate_learning",
    "arrow_polygon",
    "greedy_strengths",
    "record_episode",
    "render_policy",
    "render_text",
    "save_animation",
]


# Text ---------------------------------------------------------------------------------------------------------------

AGENT_LETTER = "@"
_ARROW_LETTERS = dict(zip(MOVES[9], "↑→↓←↗↘↙↖·", strict=True))
_ANSI = {WALL_LETTER: "90", GOAL: "1;32", HOLE: "1;31", CLIFF: "31", START: "1;34", KEY: "33", DOOR: "33"}
_ANSI |= dict.fromkeys(ARROWS, "35") | {AGENT_LETTER: "1;7"}


def render_text(
    grid: GridMap,
    agent: Cell | None = None,
    *,
    q_table: npt.ArrayLike | None = None,
    policy: npt.ArrayLike | None = None,
    has_key: bool = False,
    color: bool | None = None,
) -> str:
    """The map for a terminal: its own letters, ``@`` for the agent, arrows for the best actions.

    Args:
        grid: the map.
        agent: (row, column) of the agent.
        q_table: action values as in ``render_policy``.
        policy: actions or probabilities as in ``render_policy``; the likeliest are drawn.
        has_key: whether the key was taken: it and the doors are no longer drawn.
        color: whether to add ANSI colours; by default yes, unless the environment variable NO_COLOR is set
            (https://no-color.org). Without them nothing is lost.

    Returns:
        One line a row, without a newline at the end.

    Raises:
        ValueError: If an array does not fit the map.

    >>> from sb3_ext.envs.grid.map import GridMap
    >>> print(render_text(GridMap.from_text(["S.#", "..G"]), (0, 1), policy=[1, 2, 0, 1, 1, 0], color=False))
    → @ #
    → → G
    """
    letters = grid.letters.astype(object)
    if has_key:
        letters[grid.mask(KEY + DOOR)] = FREE
    strengths = arrow_strengths(grid, q_table, policy)
    if strengths is not None:
        likely = strengths[int(has_key) % len(strengths)]
        best = greedy_strengths(np.where(likely > 0, likely, np.nan)).astype(bool)
        arrows = np.array([_ARROW_LETTERS[move] for move in MOVES[best.shape[-1]]])
        for row, column in np.argwhere(best.any(axis=-1) & ~grid.mask(WALL_LETTER + GOAL + HOLE + CLIFF)).tolist():
            letters[row, column] = "".join(arrows[best[row, column]])
    if agent is not None:
        letters[cell_inside(grid.shape, agent)] = AGENT_LETTER
    colored = not os.environ.get("NO_COLOR") if color is None else color
    width = max(map(len, letters.flat))
    return "\n".join(" ".join(_in_color(text, width, colored) for text in row).rstrip() for row in letters.tolist())


def _in_color(text: str, width: int, colored: bool) -> str:
    code = _ANSI.get(text)
    painted = f"\x1b[{code}m{text}\x1b[0m" if colored and code else text
    return painted + " " * (width - len(text))


# Screen -------------------------------------------------------------------------------------------------------------


class Window:
    """A window that shows frames at a steady pace; it opens with the first one.

    Once the user has closed it, further frames are not shown and cost no time.

    Args:
        title: caption of the window.
        frames_per_second: how fast to show frames, at most.
    """

    def __init__(self, title: str = "GridWorld", frames_per_second: float = 8.0) -> None:
        self.title, self.frames_per_second = title, frames_per_second
        self.closed_by_user = False
        self._surface: Any = None
        self._clock: Any = None

    def show(self, frame: Frame) -> None:
        """Shows a frame, uint8 [height, width, 3], and waits until it is time for the next.

        Raises:
            RuntimeError: If pygame is missing, or there is no screen.
        """
        if self.closed_by_user:
            return
        size = (frame.shape[1], frame.shape[0])
        if self._surface is None or self._surface.get_size() != size:
            self._open(size)
        import pygame

        pygame.surfarray.blit_array(self._surface, frame.swapaxes(0, 1))
        pygame.display.flip()
        if any(event.type == pygame.QUIT for event in pygame.event.get()):
            self.closed_by_user = True
            self.close()
        else:
            self._clock.tick(self.frames_per_second)

    def _open(self, size: tuple[int, int]) -> None:
        advice = "use render_mode='rgb_array' and sb3_ext.envs.grid.rendering.record_episode to write a GIF or MP4"
        try:
            import pygame
        except ImportError as error:
            raise RuntimeError(f"render_mode='human' needs pygame (pip install pygame-ce); or {advice}") from error
        try:
            pygame.display.init()
            driver = pygame.display.get_driver()
            if driver in ("dummy", "offscreen") and os.environ.get("SDL_VIDEODRIVER") != driver:
                raise pygame.error("SDL found no video device")  # it would draw into nothing, silently
            self._surface = pygame.display.set_mode(size)
        except pygame.error as error:
            pygame.display.quit()
            raise RuntimeError(f"render_mode='human' needs a screen, and there is none ({error}); {advice}") from error
        pygame.display.set_caption(self.title)
        self._clock = pygame.time.Clock()

    def close(self) -> None:
        """Closes the window; does nothing if none is open."""
        if self._surface is not None:
            import pygame

            pygame.display.quit()
            self._surface = None
