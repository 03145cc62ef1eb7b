"""Films: an episode, or learning over time, as a GIF or an MP4."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from PIL import Image

from sb3_ext.envs.grid.figures import color_scale, render_policy
from sb3_ext.envs.grid.map import GridMap
from sb3_ext.envs.grid.symbols import Frame


def save_animation(path: str | Path, frames: Iterable[Frame], frames_per_second: float = 4.0) -> Path:
    """Writes frames to a GIF or an MP4, one after the other, so that a long film needs little memory.

    Args:
        path: a file that ends in .gif or .mp4; its folder is made if it is not there.
        frames: pictures of one size, uint8 [height, width, 3]. Equal neighbours become one longer picture in a GIF.
        frames_per_second: playing speed. GIFs count time in hundredths of a second.

    Returns:
        The path.

    Raises:
        ValueError: If the ending is another one, there are no frames, or their sizes differ.
        RuntimeError: If ffmpeg is needed and missing.
    """
    path = Path(path)
    if path.suffix.lower() not in (".gif", ".mp4"):
        raise ValueError(f"cannot write {path.name!r}: the name must end in .gif or .mp4")
    if not frames_per_second > 0:
        raise ValueError(f"frames_per_second must be positive, got {frames_per_second}")
    checked = _of_one_size(frames)
    first = next(checked, None)
    if first is None:
        raise ValueError(f"no frames to write to {path.name!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    (_write_gif if path.suffix.lower() == ".gif" else _write_mp4)(path, chain([first], checked), frames_per_second)
    return path


def _of_one_size(frames: Iterable[Frame]) -> Iterator[Frame]:
    shape: tuple[int, ...] | None = None
    for i, frame in enumerate(frames):
        shape = shape or frame.shape
        if frame.shape != shape or frame.ndim != 3:
            raise ValueError(f"frame {i} has shape {frame.shape}, frame 0 has {shape}; all must be [height, width, 3]")
        yield frame


def _write_gif(path: Path, frames: Iterator[Frame], frames_per_second: float) -> None:
    pictures = (Image.fromarray(frame).quantize(256, dither=Image.Dither.NONE) for frame in frames)
    first = next(pictures)
    first.save(path, save_all=True, append_images=pictures, duration=round(1000 / frames_per_second), loop=0)


def _write_mp4(path: Path, frames: Iterator[Frame], frames_per_second: float) -> None:
    try:
        from imageio_ffmpeg import write_frames
    except ImportError as error:
        raise RuntimeError("MP4 needs ffmpeg (pip install imageio-ffmpeg); or give a name that ends in .gif") from error
    first = next(frames)
    padding = [(0, first.shape[0] % 2), (0, first.shape[1] % 2), (0, 0)]  # H.264 wants even sides
    height, width = first.shape[0] + padding[0][1], first.shape[1] + padding[1][1]
    writer = write_frames(path, (width, height), fps=frames_per_second, quality=8, macro_block_size=2)
    writer.send(None)
    try:
        for frame in chain([first], frames):
            writer.send(np.ascontiguousarray(np.pad(frame, padding, mode="edge")))
    finally:
        writer.close()


def record_episode(
    env: gym.Env,
    path: str | Path,
    policy: Any = None,
    *,
    seed: int | None = None,
    max_steps: int = 500,
    frames_per_second: float = 4.0,
) -> Path:
    """Plays one episode and writes it to a GIF or an MP4.

    Args:
        env: any environment made with ``render_mode="rgb_array"``.
        path: a file that ends in .gif or .mp4.
        policy: a function from an observation to an action, or anything with SB3's ``predict``; None acts at random.
        seed: of the episode, and of random actions.
        max_steps: after so many steps the film ends, even if the episode does not.
        frames_per_second: playing speed.

    Returns:
        The path.

    Raises:
        ValueError: If the environment does not render to arrays, or the path has another ending.
    """
    if env.render_mode != "rgb_array":
        raise ValueError(f"record_episode needs an env made with render_mode='rgb_array', got {env.render_mode!r}")
    return save_animation(path, _play(env, policy, seed, max_steps), frames_per_second)


def _play(env: gym.Env, policy: Any, seed: int | None, max_steps: int) -> Iterator[Frame]:
    observation, _ = env.reset(seed=seed)
    env.action_space.seed(seed)
    yield env.render()  # type: ignore[misc]
    for _ in range(max_steps):
        if policy is None:
            action = env.action_space.sample()
        elif hasattr(policy, "predict"):
            action, _ = policy.predict(observation, deterministic=True)
        else:
            action = policy(observation)
        observation, _, terminated, truncated, _ = env.step(action)
        yield env.render()  # type: ignore[misc]
        if terminated or truncated:
            return


def animate_learning(
    path: str | Path,
    grid: GridMap,
    *,
    values: Sequence[npt.ArrayLike] | None = None,
    q_table: Sequence[npt.ArrayLike] | None = None,
    policy: Sequence[npt.ArrayLike] | None = None,
    visits: Sequence[npt.ArrayLike] | None = None,
    captions: Sequence[str] | None = None,
    limits: tuple[float, float] | None = None,
    cell_size: int | None = None,
    frames_per_second: float = 4.0,
    triangles: bool = False,
) -> Path:
    """Writes a film of learning: one figure of ``render_policy`` after the other, with the same colours throughout.

    Args:
        path: a file that ends in .gif or .mp4.
        grid: the map.
        values: T value functions, each as in ``render_policy``; likewise ``q_table``, ``policy`` and ``visits``.
        q_table: T tables of action values.
        policy: T policies.
        visits: T arrays of visit counts.
        captions: T titles, such as ``"episode 100"``.
        limits: values at the two ends of the colour bar; by default the lowest and the highest in all T.
        cell_size: pixels of a cell, as in ``render_policy``.
        frames_per_second: playing speed.
        triangles: whether to show all action values, as in ``render_policy``.

    Returns:
        The path.

    Raises:
        ValueError: If the sequences are empty or of different lengths, or an array does not fit the map.
    """
    given = {"values": values, "q_table": q_table, "policy": policy, "visits": visits, "title": captions}
    series = {name: list(items) for name, items in given.items() if items is not None}
    lengths = {name.replace("title", "captions"): len(items) for name, items in series.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"animate_learning needs as many of each, got {lengths}")
    moments: list[dict[str, Any]] = [
        dict(zip(series, moment, strict=True)) for moment in zip(*series.values(), strict=True)
    ]
    if limits is None:
        scales = [
            color_scale(grid, m.get("values"), m.get("q_table"), m.get("visits"), None, triangles) for m in moments
        ]
        ends = [(scale.low, scale.high) for scale in scales if scale is not None]
        limits = (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None
    frames = (
        render_policy(grid, **moment, limits=limits, cell_size=cell_size, triangles=triangles) for moment in moments
    )
    return save_animation(path, frames, frames_per_second)
