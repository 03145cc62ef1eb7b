"""One run: train with a seed, evaluate, keep everything in a folder. What is there already is not done again.

The folder is ``<output>/<algo>/<Env>_<seed + 1>/``, as RL Zoo would name it:

    <Env>.zip          the model
    <Env>/config.yml   its hyperparameters; vecnormalize.pkl beside it
    curve.csv          training episodes: environment steps when each ended, raw return
    run.json           settings, score, seconds, versions; written last
"""

import csv
import json
import platform
import time
import traceback
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import yaml
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_ext.algos import load
from sb3_ext.vec_env import make_vec_env
from sb3_ext.zoo.parallel import StepCounter, count
from sb3_ext.zoo.recipes import Recipe
from sb3_ext.zoo.training import SPACING, EpisodeLog, evaluate, train

PACKAGES = ("sb3-ext", "stable-baselines3", "sb3-contrib", "gymnasium", "torch", "numpy")
Curve = list[tuple[int, float]]


class Job(NamedTuple):
    """One run that is to be done."""

    recipe: Recipe
    env_id: str
    seed: int
    n_episodes: int
    """of the evaluation"""
    output: Path

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.output / self.recipe.algo / f"{slug(self.env_id)}_{self.seed + 1}"

    @property
    def begun(self) -> Path:
        """A file that is there while the run goes on, and stays if its process is killed."""
        return self.folder / ".begun"

    @property
    def evaluation(self) -> int:
        """Which episodes its score is made of: such as no other seed's score has."""
        return SPACING * self.seed

    def settings(self) -> dict[str, Any]:
        """Everything that decides the score, as plain data."""
        recipe = {**asdict(self.recipe), **self.recipe.settings()}
        evaluation = {"eval_episodes": self.n_episodes, "evaluation": self.evaluation}
        return json.loads(json.dumps({**recipe, "env_id": self.env_id, **evaluation}))

    def __str__(self) -> str:
        return f"{self.recipe.algo} on {self.env_id}, seed {self.seed}"


class Run(NamedTuple):
    """One finished run, as run.json holds it."""

    algo: str
    env_id: str
    seed: int
    score: float
    """mean return of greedy episodes after the training, by the raw reward"""
    n_timesteps: int
    seconds: float
    """of the training"""
    settings: dict[str, Any]
    versions: dict[str, str]


class Failure(NamedTuple):
    """A run that ended with an exception."""

    job: Job
    reason: str


def slug(env_id: str) -> str:
    """An environment's name in files, as RL Zoo writes it."""
    return env_id.rpartition(":")[2].replace("/", "-")


def read_run(folder: Path) -> Run | None:
    """The run that a folder holds; None if there is none, or half of one."""
    try:
        return Run(**json.loads((folder / "run.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def read_curve(folder: Path) -> Curve:
    """Training episodes of a run: environment steps when each ended, its return."""
    with (folder / "curve.csv").open(newline="") as opened:
        return [(int(row["timestep"]), float(row["return"])) for row in csv.DictReader(opened)]


def is_done(job: Job) -> bool:
    """Whether the run is there, with these very settings."""
    run = read_run(job.folder)
    return run is not None and run.settings == job.settings()


def perform(job: Job) -> Run | Failure:
    """Train, evaluate and keep one run; what goes wrong in it is told, and kept in ``error.txt``, not raised."""
    job.folder.mkdir(parents=True, exist_ok=True)
    (job.folder / "run.json").unlink(missing_ok=True)
    (job.folder / "error.txt").unlink(missing_ok=True)
    job.begun.touch()
    try:
        return _perform(job)
    except Exception as error:
        (job.folder / "error.txt").write_text(traceback.format_exc())
        return Failure(job, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    finally:
        job.begun.unlink(missing_ok=True)


def _perform(job: Job) -> Run:
    started = time.perf_counter()
    model, curve = _train(job)
    seconds = time.perf_counter() - started
    returns = evaluate(model, job.env_id, job.n_episodes, job.evaluation, env_kwargs=job.recipe.env_kwargs)
    save(model, job)
    with (job.folder / "curve.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([("timestep", "return"), *curve])
    run = Run(job.recipe.algo, job.env_id, job.seed, float(np.mean(returns)), model.num_timesteps, seconds,
              job.settings(), versions())  # fmt: skip
    new = job.folder / "run.json.new"
    new.write_text(json.dumps(run._asdict(), indent=1) + "\n")
    new.replace(job.folder / "run.json")
    return run


def _train(job: Job) -> tuple[BaseAlgorithm, Curve]:
    """The model and its training episodes.

    Tables learn in compiled code, a hundred times faster, as long as nothing must see every step: their episodes are
    read from SB3's monitors, all others' from a callback, as the fast environments write no monitor files.
    """
    if load(job.recipe.algo).__module__.startswith("sb3_ext.tabular"):
        with TemporaryDirectory() as monitors:
            make_env = partial(make_vec_env, monitor_dir=monitors)
            model, env = train(job.recipe, job.env_id, job.seed, make_env=make_env)
            env.close()
            count(job.recipe.n_timesteps)
            return model, _read_monitors(Path(monitors), job.recipe.n_envs)
    log = EpisodeLog()
    model, env = train(job.recipe, job.env_id, job.seed, callback=[log, StepCounter()])
    env.close()
    return model, list(zip(log.timesteps, log.returns, strict=True))


def _read_monitors(folder: Path, n_envs: int) -> Curve:
    """The episodes in SB3's monitor files; the environments step together, so each step of one is ``n_envs`` of all."""
    episodes: Curve = []
    for file in sorted(folder.glob("*.monitor.csv")):
        with file.open(newline="") as opened:
            opened.readline()  # a comment
            elapsed = 0
            for row in csv.DictReader(opened):
                elapsed += int(row["l"]) * n_envs
                episodes.append((elapsed, float(row["r"])))
    return sorted(episodes)


def save(model: BaseAlgorithm, job: Job) -> None:
    """Write the model and what RL Zoo's ``enjoy`` must know of it."""
    name = slug(job.env_id)
    (job.folder / name).mkdir(exist_ok=True)
    model.save(job.folder / f"{name}.zip")
    (job.folder / name / "config.yml").write_text(yaml.safe_dump(job.recipe.entry(), sort_keys=False))
    normalization = model.get_vec_normalize_env()
    if normalization is not None:
        normalization.save(str(job.folder / name / "vecnormalize.pkl"))


def versions() -> dict[str, str]:
    """Of what a score may depend on."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}


# ---- On another machine ---------------------------------------------------------------------------------------------


class Parcel(NamedTuple):
    """A run, and what it wrote, on the way from the machine where it was done."""

    job: Job
    result: Run | Failure
    files: dict[str, bytes]
    """by path in the run's folder"""


def perform_away(job: Job) -> Parcel:
    """:func:`perform` in a folder that is removed at once."""
    with TemporaryDirectory() as output:
        result = perform(job._replace(output=Path(output)))
        folder = job._replace(output=Path(output)).folder
        files = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return Parcel(job, result._replace(job=job) if isinstance(result, Failure) else result, files)


def keep(parcel: Parcel) -> Run | Failure:
    """Write what came from another machine to the run's folder, run.json last."""
    folder = parcel.job.folder
    for name in ("run.json", "error.txt"):
        (folder / name).unlink(missing_ok=True)
    for name, content in sorted(parcel.files.items(), key=lambda file: file[0] == "run.json"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return parcel.result
