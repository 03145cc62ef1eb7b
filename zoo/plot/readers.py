"""Logs of a training, each format read into the same plain form.

What is wrong with a file is appended to ``problems`` and the rest is read; a file that holds nothing is a ValueError.
"""

import csv
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_ext.zoo.curves import WINDOW, rolling_mean

Floats = npt.NDArray[np.float64]
EPISODES, EVALUATIONS = "the last training episodes", "evaluations"


class Log(NamedTuple):
    """What one training left behind."""

    timesteps: Floats
    """environment steps, ascending [n_points]"""
    returns: Floats
    """finite [n_points]"""
    of_episodes: bool
    """each return is one training episode's, and not yet a mean over several"""
    length: float
    """environment steps of the training"""
    score: float | None
    """at the end; None if there is none"""
    scored_by: str
    """``EPISODES`` or ``EVALUATIONS``"""
    env: str | None = None
    algo: str | None = None
    name: str | None = None

    @property
    def drawn(self) -> str:
        """What its curve is made of: ``EPISODES`` or ``EVALUATIONS``."""
        return EPISODES if self.of_episodes else self.scored_by

    def mean_return(self, grid: Floats) -> Floats:
        """Of the last 100 episodes, or between the two nearest evaluations; not a number before the first [n_grid]."""
        if self.of_episodes:
            return rolling_mean((self.timesteps, self.returns), grid)  # type: ignore[arg-type]
        if not len(self.timesteps):
            return np.full(len(grid), np.nan)
        return np.interp(grid, self.timesteps, self.returns, left=np.nan)


# ---- Monitor --------------------------------------------------------------------------------------------------------


def read_monitors(files: Sequence[Path], problems: list[str]) -> Log:
    """SB3's Monitor files of one run, one for each of its environments, which step together.

    A step of one environment is a step of all, so that the timesteps of an episode are the summed lengths of its file
    times the number of files.

    Raises:
        ValueError: if no episode is in them.
    """
    found = []
    for file in files:
        try:
            found.append(read_csv(file, ("l", "r"), problems))
        except ValueError as error:
            problems.append(str(error))
    ends = [np.cumsum(episodes[:, 0]) * len(files) for episodes in found]
    where = files[0] if len(files) == 1 else files[0].parent
    if not sum(len(each) for each in ends):
        raise ValueError(f"{where}: no episode has ended in it")
    points = np.column_stack([np.concatenate(ends), np.concatenate([episodes[:, 1] for episodes in found])])
    points = points[np.argsort(points[:, 0], kind="stable")]
    log = _log(points, True, float(np.mean(points[-WINDOW:, 1])), EPISODES, where, problems)
    return log._replace(env=_env_of(files))


def _env_of(files: Sequence[Path]) -> str | None:
    """From the comment in the first line: ``#{"t_start": 1.0, "env_id": "CartPole-v1"}``."""
    for file in files:
        with file.open(encoding="utf-8", errors="replace") as opened:
            line = opened.readline()
        try:
            env = json.loads(line.removeprefix("#"))["env_id"]
        except (ValueError, KeyError, TypeError):
            continue
        if env not in (None, "None"):
            return str(env)
    return None


def _log(points: Floats, of_episodes: bool, score: float, scored_by: str, where: Path, problems: list[str]) -> Log:
    """A log of points (timestep, return) [n_points, 2], without those that are not finite."""
    points = points[np.argsort(points[:, 0], kind="stable")]
    fine = np.isfinite(points[:, 1])
    if not fine.all():
        problems.append(f"{where}: NaN or infinite returns were left out, {np.sum(~fine)} of {len(fine)}")
    if not np.isfinite(score):
        problems.append(f"{where}: its final score is {score}; comparisons without it flatter its algorithm")
    length = float(points[-1, 0]) if len(points) else 0.0
    timesteps, returns = points[fine].T
    return Log(timesteps, returns, of_episodes, length, score if np.isfinite(score) else None, scored_by)


def read_csv(file: Path, columns: Sequence[str], problems: list[str]) -> Floats:
    """Columns of a CSV file, without lines that are cut or damaged [n_lines, n_columns].

    Raises:
        ValueError: if the file is empty, cannot be opened, or has other columns.
    """
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ValueError(f"{file}: {error.strerror}") from None
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{file} is empty")
    head = lines[0].split(",")
    if not set(columns) <= set(head):
        raise ValueError(f"{file} has no columns {' and '.join(columns)}, but {', '.join(head)}")
    if len(lines) > 1 and not text.endswith("\n"):
        lines.pop()
        problems.append(f"{file}: its last line is cut and was left out; a run that was killed, or still goes on?")
    rows = [row for row in (_numbers(line, head, columns) for line in lines[1:]) if row is not None]
    if len(rows) < len(lines) - 1:
        problems.append(f"{file}: damaged lines were left out, {len(lines) - 1 - len(rows)} of {len(lines) - 1}")
    return np.array(rows, dtype=float).reshape(-1, len(columns))


def _numbers(line: str, head: Sequence[str], columns: Sequence[str]) -> list[float] | None:
    """The columns' numbers, the first of them, a number of steps, finite; None for a damaged line."""
    try:
        row = next(csv.reader([line]))
        numbers = [float(row[head.index(column)]) for column in columns]
    except (ValueError, IndexError, csv.Error):
        return None
    return numbers if len(row) == len(head) and np.isfinite(numbers[0]) else None


# ---- EvalCallback ---------------------------------------------------------------------------------------------------


def read_evaluations(file: Path, problems: list[str]) -> Log:
    """SB3's ``evaluations.npz``: ``timesteps`` [T] and ``results`` [T, n_episodes].

    Raises:
        ValueError: if it cannot be read or holds no evaluation.
    """
    try:
        with np.load(file) as held:
            timesteps, results = held["timesteps"].astype(float), held["results"].astype(float)
        returns = results.reshape(len(timesteps), -1).mean(axis=1)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"{file} was cut, or is not of EvalCallback") from None
    if not len(timesteps):
        raise ValueError(f"{file}: no evaluation in it")
    return _log(np.column_stack([timesteps, returns]), False, float(returns[-1]), EVALUATIONS, file, problems)


# ---- TensorBoard ----------------------------------------------------------------------------------------------------

TAGS = {"eval/mean_reward": EVALUATIONS, "rollout/ep_rew_mean": EPISODES}


def read_tensorboard(place: Path, problems: list[str]) -> Log:
    """SB3's TensorBoard logs, a folder or a file: evaluations if there are any, else the mean of training episodes.

    Raises:
        ValueError: if TensorBoard is not installed, or neither is in them.
    """
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        raise ValueError("TensorBoard logs were left out, reading them needs: pip install tensorboard") from None
    events = EventAccumulator(str(place), size_guidance={"scalars": 0}).Reload()
    tag = next((tag for tag in TAGS if tag in events.Tags()["scalars"]), None)
    if tag is None:
        raise ValueError(f"{place}: neither {' nor '.join(TAGS)} in these TensorBoard logs")
    points = np.array(sorted((float(event.step), event.value) for event in events.Scalars(tag)))
    return _log(points, False, float(points[-1, 1]), TAGS[tag], place, problems)


# ---- sb3-ext benchmark ----------------------------------------------------------------------------------------------


def read_benchmark(folder: Path, problems: list[str]) -> Log:
    """A run of ``sb3-ext benchmark``.

    Raises:
        ValueError: if it crashed, is unfinished, or was damaged.
    """
    from sb3_ext.zoo.benchmark.runs import read_run

    if (folder / "error.txt").exists():
        lines = (folder / "error.txt").read_text(errors="replace").strip().splitlines() or ["no reason was kept"]
        raise ValueError(f"{folder} crashed: {lines[-1]}")
    run = read_run(folder)
    if run is None:
        state = "is damaged" if (folder / "run.json").exists() else "is not there; killed, or still going on?"
        raise ValueError(f"{folder}: run.json {state}")
    try:
        episodes = read_csv(folder / "curve.csv", ("timestep", "return"), problems)
    except ValueError as error:
        problems.append(f"{error}; its score is used, its curve is missing")
        episodes = np.empty((0, 2))
    log = _log(episodes, True, run.score, EVALUATIONS, folder, problems)
    return log._replace(length=float(run.n_timesteps), env=run.env_id, algo=run.algo, name=f"seed {run.seed}")
