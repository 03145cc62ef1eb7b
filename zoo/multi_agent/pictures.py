"""Learning curves of teams, and films of play."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pettingzoo import AECEnv
from pettingzoo.utils import BaseParallelWrapper, BaseWrapper
from PIL import Image

from sb3_ext.envs.grid.films import save_animation
from sb3_ext.multi_agent.playing import LineUp
from sb3_ext.zoo.curves import draw_runs, label_axes

Curves = dict[str, tuple[list[int], list[float]]]


def draw_curves(curves: Curves, random: dict[str, np.ndarray], title: str, path: Path) -> None:
    """The returns of each team over environment steps, beside those of random play.

    Args:
        curves: Of each team: steps when episodes ended, and returns.
        random: Of each team: returns when all play at random.
        title: Of the picture.
        path: PNG file.
    """
    figure = Figure(figsize=(6.5 * len(curves), 4), layout="constrained")
    figure.suptitle(title)
    for axes, (index, (team, run)) in zip(np.atleast_1d(figure.subplots(1, len(curves))), enumerate(curves.items())):  # noqa: B905
        if run[0]:
            draw_runs(axes, [run], color=f"C{index}")
        axes.axhline(random[team].mean(), color="0.5", linestyle="--", linewidth=1, label="random play")
        label_axes(axes, team if len(curves) > 1 else "")
        axes.legend(frameon=False)
    figure.savefig(path, dpi=100)


class _ParallelCamera(BaseParallelWrapper[Any, Any, Any]):
    """Photographs a parallel environment after every reset and step."""

    def __init__(self, env: Any, width: int) -> None:
        super().__init__(env)
        self.width = width
        self.frames: list[np.ndarray] = []

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        result = super().reset(seed=seed, options=options)
        self.frames.append(picture(self.env, self.width))
        return result

    def step(self, actions: Any) -> Any:
        result = super().step(actions)
        self.frames.append(picture(self.env, self.width))
        return result


class _TurnCamera(BaseWrapper[Any, Any, Any]):
    """The same for an environment whose agents take turns."""

    def __init__(self, env: Any, width: int) -> None:
        super().__init__(env)
        self.width = width
        self.frames: list[np.ndarray] = []

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        super().reset(seed=seed, options=options)
        self.frames.append(picture(self.env, self.width))

    def step(self, action: Any) -> None:
        super().step(action)
        if action is not None:
            self.frames.append(picture(self.env, self.width))


def picture(env: Any, width: int) -> np.ndarray:
    """What the environment draws, uint8 [height, at most width, 3]."""
    image = Image.fromarray(np.asarray(env.render(), dtype=np.uint8))
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.BOX)
    return np.array(image)


def film(
    make_env: Callable[[], Any],
    player_of: Callable[[str], Any],
    path: Path,
    episodes: int = 3,
    frames_per_second: float = 10,
    seed: int = 0,
    width: int = 320,
    deterministic: bool = True,
) -> Path:
    """Films trained play, with a second's pause at the end of each episode.

    Args:
        make_env: Makes the environment, with ``render_mode="rgb_array"``.
        player_of: The player of an agent.
        path: GIF or MP4 file.
        episodes: How many.
        frames_per_second: Steps a second.
        seed: Of the episodes.
        width: Of the film in pixels, at most.
        deterministic: Whether models play their best action instead of drawing one.
    """
    env = make_env()
    camera: Any = (_TurnCamera if isinstance(env, AECEnv) else _ParallelCamera)(env, width)
    line_up = LineUp(camera, {agent: player_of(agent) for agent in env.possible_agents}, deterministic)
    generator = np.random.default_rng(seed)
    frames: list[np.ndarray] = []
    for _ in range(episodes):
        camera.frames = []
        line_up.play(generator)
        frames += camera.frames + [camera.frames[-1]] * round(frames_per_second)
    env.close()
    return save_animation(path, frames, frames_per_second)
