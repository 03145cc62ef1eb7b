"""``sb3-ext speed``: how fast environments and trainings are. Only ratios within one run mean anything.

What is compared runs by turns, ours, SB3's, ours, SB3's, ..., so that a machine that slows down slows both.
"""

import argparse
import csv
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from sb3_ext.zoo.options import folder, one_of, positive, share

if TYPE_CHECKING:
    from rich.table import Table
    from stable_baselines3.common.vec_env import VecEnv

    from sb3_ext.zoo.recipes import Recipe

EXAMPLE = """sections:
  steps      random actions through the VecEnv interface
  worlds     grid worlds: 1024 at once against DummyVecEnv, one against FrozenLake, a map of a million cells
  tabular    compiled Q-learning against a hand-written loop, the step engine against bare stepping, a sweep
  planning   exact planning against QuantEcon, and a million states
  reinforce  REINFORCE against SB3's PPO: seconds until CartPole-v1 is solved in training
  training   SB3's unmodified PPO and DQN on our environments against SB3's: seconds of whole trainings

examples:
  sb3-ext speed                        everything, ten minutes and more
  sb3-ext speed steps --repeats 5      one section"""

SECONDS = 2.0  # of each measurement of steps
SOLVED = 475.0  # mean return of the last 100 training episodes
REINFORCE_LIMIT = 500_000  # environment steps; PPO's limit is RL Zoo's n_timesteps, over which its schedules run


class Job(NamedTuple):
    """One measurement to make."""

    section: str
    task: str
    variant: str
    repeat: int
    measure: Callable[[], float]
    unit: str


@dataclass(frozen=True)
class Section:
    """What a section compares."""

    title: str
    ours: str
    theirs: str
    jobs: Callable[[argparse.Namespace], Iterator[Job]]


def times_faster(unit: str, ours: float, theirs: float) -> float:
    """How many times faster ours is; not a number if neither got there."""
    if unit == "s":
        ours, theirs = theirs, ours
    return ours / theirs if math.isfinite(theirs) else 0.0 if math.isfinite(ours) else math.nan


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext speed",
        description="Measure how fast environments and trainings are, as ratios within this run.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("section", nargs="*", type=one_of(SECTIONS), help="what to measure (default: everything)")
    options.add_argument("--seeds", type=positive, default=5, help="trainings of each in reinforce (default: 5)")
    options.add_argument("--repeats", type=positive, default=3, help="of each in the other sections (default: 3)")
    options.add_argument("--threads", type=positive, default=1, help="threads of PyTorch, for all alike (default: 1)")
    options.add_argument(
        "--fraction", type=share, default=0.1, help="of RL Zoo's n_timesteps in training, up to 1 (default: 0.1)"
    )
    options.add_argument("--output", type=folder, default="runs/speed", help="folder (default: runs/speed)")
    return options


def main(arguments: list[str]) -> int:
    """Measure and report; 130 if interrupted (what was measured until then is kept)."""
    options = parser().parse_args(arguments)
    import torch
    from rich.console import Console
    from tqdm import tqdm

    console = Console()
    torch.set_num_threads(options.threads)
    console.print(f"{os.cpu_count()} CPUs, {options.threads} PyTorch thread(s)")
    if "training" in (options.section or SECTIONS):
        console.print(f"training: {options.fraction:g} of RL Zoo's n_timesteps")
    sections = {name: SECTIONS[name] for name in SECTIONS if name in (options.section or SECTIONS)}
    jobs = [job for section in sections.values() for job in section.jobs(options)]
    for env_id in ("CartPole-v1", "LunarLander-v3"):
        if missing(env_id) and {"steps", "training"} & set(sections):
            console.print(f"{env_id} is left out: {missing(env_id)}", style="yellow", markup=False)
    measured: dict[Job, float] = {}
    file = options.output / "speed.csv"
    try:
        if {"reinforce", "training"} & set(sections):
            warm_up()
        with tqdm(jobs, unit="measurement") as progress:
            for job in progress:
                progress.set_description(f"{job.task}, {job.variant}")
                measured[job] = job.measure()
                write(file, measured)
    except KeyboardInterrupt:
        console.print(f"interrupted after {len(measured)} of {len(jobs)} measurements", style="yellow")
    for name in sections:
        console.print(report(name, measured))
    if measured:
        console.print(f"measurements  {file}", highlight=False, soft_wrap=True)
    return 0 if len(measured) == len(jobs) else 130


def missing(env_id: str) -> str | None:
    """What is not installed for an environment, with the way out, or None."""
    from importlib.util import find_spec

    if env_id != "LunarLander-v3" or (find_spec("Box2D") and find_spec("envpool")):
        return None
    return "it needs Box2D and EnvPool: pip install 'sb3-ext[box2d,envpool]'"


def warm_up() -> None:
    """One update each, not timed: what is set up on first use is not counted against whoever comes first."""
    from sb3_ext.zoo.recipes import Recipe, read_recipe
    from sb3_ext.zoo.training import train

    for recipe in (Recipe("reinforce", 1), replace(read_recipe("ppo", "CartPole-v1"), n_timesteps=1)):
        train(recipe, "CartPole-v1", seed=0)[1].close()


# ---- Sections -------------------------------------------------------------------------------------------------------


def steps_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Both backends by turns, for each environment and number of them."""
    for env_id, n_envs in (*(("CartPole-v1", n) for n in (1, 8, 256)), ("LunarLander-v3", 8), ("LunarLander-v3", 64)):
        for repeat in range(0 if missing(env_id) else options.repeats):
            for variant, backend in (("make_vec_env", "auto"), ("DummyVecEnv", "dummy")):
                measure = partial(steps_per_second, partial(vec_env, env_id, n_envs, backend))
                yield Job("steps", f"{env_id}, n_envs={n_envs}", variant, repeat, measure, "steps/s")


def vec_env(env_id: str, n_envs: int, backend: str) -> "VecEnv":
    """As a user makes it, with its monitor."""
    from sb3_ext.vec_env import make_vec_env

    return make_vec_env(env_id, n_envs=n_envs, seed=0, backend=backend)


def steps_per_second(make_env: Callable[[], "VecEnv"]) -> float:
    """Environment steps a second under random actions, which are drawn beforehand; resets are part of it."""
    import numpy as np

    env = make_env()
    n_envs = env.num_envs
    env.action_space.seed(0)
    actions = np.array([[env.action_space.sample() for _ in range(n_envs)] for _ in range(256)])
    env.reset()
    for row in actions[:16]:
        env.step(row)
    n_steps, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < SECONDS:
        env.step(actions[n_steps % len(actions)])
        n_steps += 1
    env.close()
    return n_steps * n_envs / seconds


def worlds_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Many grid worlds and one, by turns with what they are compared with; then a big one on its own."""
    from sb3_ext.zoo import speed_worlds as worlds

    many = (("GridWorld", worlds.grid_world_vec_env), ("other", worlds.dummy_vec_env))
    one = (("GridWorld", "sb3_ext/FrozenLake4x4-v0"), ("other", "FrozenLake-v1"))
    for repeat in range(options.repeats):
        for variant, make_env in many:
            yield Job("worlds", MANY_WORLDS, variant, repeat, partial(steps_per_second, make_env), "steps/s")
        for variant, make_env in many:
            inside = partial(worlds.monitored, make_env)
            yield Job("worlds", MONITORED_WORLDS, variant, repeat, partial(steps_per_second, inside), "steps/s")
    for repeat in range(options.repeats):
        for variant, env_id in one:
            measure = partial(worlds.single_steps_per_second, env_id, SECONDS)
            yield Job("worlds", ONE_WORLD, variant, repeat, measure, "steps/s")
    for slip in (0, 0.2):
        for repeat in range(options.repeats):
            yield Job("worlds", f"{BIG_WORLD}, slip={slip}, creation", "GridWorld", repeat,
                      partial(worlds.creation_seconds, slip), "s")  # fmt: skip
        yield Job("worlds", f"{BIG_WORLD}, slip={slip}, arrays", "GridWorld", 0,
                  partial(worlds.megabytes, slip), "MB")  # fmt: skip


def tabular_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Compiled algorithms and a hand-written loop by turns; the step engine and bare stepping by turns; the rest."""
    from sb3_ext.zoo import speed_tabular as tabular

    for repeat in range(options.repeats):
        for algo in tabular.COMPILED:
            task = f"{algo}, vs hand-written Q-learning"
            yield Job("tabular", task, "sb3-ext", repeat, partial(tabular.compiled_steps_per_second, algo), "steps/s")
            yield Job("tabular", task, "other", repeat, tabular.hand_written_steps_per_second, "steps/s")
    for repeat in range(options.repeats):
        for n_envs in (1, 16):
            task = f"step engine, n_envs={n_envs}, vs bare stepping"
            learning = partial(tabular.step_engine_steps_per_second, n_envs)
            yield Job("tabular", task, "sb3-ext", repeat, learning, "steps/s")
            yield Job("tabular", task, "other", repeat, partial(tabular.bare_steps_per_second, n_envs), "steps/s")
    for repeat in range(options.repeats):
        yield Job("tabular", FIRST_CALL, "sb3-ext", repeat, tabular.first_call_seconds, "s")
        yield Job("tabular", SWEEP, "sb3-ext", repeat, tabular.sweep_seconds, "s")


def planning_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Ours and QuantEcon's best method by turns, if it is installed; then a million states in a fresh process."""
    from importlib.util import find_spec

    from sb3_ext.zoo import speed_planning as planning

    variants = [("sb3-ext", planning.planning_seconds), ("other", planning.quantecon_seconds)]
    for repeat in range(options.repeats):
        for variant, measure in variants[: 2 if find_spec("quantecon") else 1]:
            yield Job("planning", PLANNING, variant, repeat, measure, "s")
    for repeat in range(options.repeats):
        yield Job("planning", MILLION, "sb3-ext", repeat, lambda: planning.seconds_and_megabytes()[0], "s")
    yield Job("planning", f"{MILLION}, memory", "sb3-ext", 0, lambda: planning.seconds_and_megabytes()[1], "MB")


def reinforce_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """REINFORCE with its defaults on our environments, and PPO with RL Zoo's hyperparameters on SB3's, by turns."""
    from sb3_ext.zoo.recipes import Recipe, read_recipe

    ours = Recipe("reinforce", REINFORCE_LIMIT, n_envs=16)
    theirs = read_recipe("ppo", "CartPole-v1")
    for seed in range(options.seeds):
        for recipe, variant, backend in ((ours, "REINFORCE", "auto"), (theirs, "PPO", "dummy")):
            yield Job("reinforce", "CartPole-v1", variant, seed, partial(seconds_to_solve, recipe, seed, backend), "s")


def seconds_to_solve(recipe: "Recipe", seed: int, backend: str) -> float:
    """From making the environments until the training mean is there; infinite if it never is."""
    from sb3_ext.zoo.training import EpisodeLog, train

    log = EpisodeLog(target=SOLVED)
    train(recipe, "CartPole-v1", seed, backend, callback=log)[1].close()
    return math.inf if log.seconds is None else log.seconds


def training_jobs(options: argparse.Namespace) -> Iterator[Job]:
    """SB3's PPO and DQN with RL Zoo's hyperparameters, on both backends by turns."""
    from sb3_ext.zoo.recipes import read_recipe

    for algo in ("ppo", "dqn"):
        for env_id in ("CartPole-v1", "LunarLander-v3"):
            recipe = read_recipe(algo, env_id)
            recipe = replace(recipe, n_timesteps=max(1, int(options.fraction * recipe.n_timesteps)))
            task = f"{algo.upper()}, {env_id}, n_envs={recipe.n_envs}, {recipe.n_timesteps:,} steps"
            for repeat in range(0 if missing(env_id) else options.repeats):
                for variant, backend in (("make_vec_env", "auto"), ("DummyVecEnv", "dummy")):
                    measure = partial(seconds_to_train, recipe, env_id, backend)
                    yield Job("training", task, variant, repeat, measure, "s")


def seconds_to_train(recipe: "Recipe", env_id: str, backend: str) -> float:
    """A whole training, from making the environments."""
    from sb3_ext.zoo.training import train

    started = time.perf_counter()
    train(recipe, env_id, seed=0, backend=backend)[1].close()
    return time.perf_counter() - started


SECTIONS = {
    "steps": Section("Random actions", "make_vec_env", "DummyVecEnv", steps_jobs),
    "worlds": Section("Grid worlds, under random actions", "GridWorld", "other", worlds_jobs),
    "tabular": Section("Tabular learning on FrozenLake-v1", "sb3-ext", "other", tabular_jobs),
    "planning": Section("Exact planning on a slippery grid", "sb3-ext", "other", planning_jobs),
    "reinforce": Section("Until the last 100 training episodes average 475", "REINFORCE", "PPO", reinforce_jobs),
    "training": Section("Whole trainings of SB3's algorithms", "make_vec_env", "DummyVecEnv", training_jobs),
}
MANY_WORLDS = "GridWorldVecEnv, n_envs=1024, vs DummyVecEnv"
MONITORED_WORLDS = "the same in VecMonitor, n_envs=1024"
ONE_WORLD = "FrozenLake, bare, vs FrozenLake-v1"
BIG_WORLD = "1000x1000 map"
FIRST_CALL = "first training beyond SB3's import"
PLANNING = "90,000 states, vs QuantEcon"
MILLION = "1,000,000 states"
SWEEP = "1000 trainings of 500 episodes"
OTHER_TABULAR = ("sarsa", "expected_sarsa", "double_q_learning", "monte_carlo", "dyna_q")
ASKED = {
    "CartPole-v1, n_envs=256": "15, 1M/s",
    "CartPole-v1": "4",
    MANY_WORLDS: "50, 5M/s",
    ONE_WORLD: "3",
    "q_learning, vs hand-written Q-learning": "400",
    **{f"{algo}, vs hand-written Q-learning": "133" for algo in OTHER_TABULAR},
    "step engine, n_envs=1, vs bare stepping": "0.75",
    "step engine, n_envs=16, vs bare stepping": "0.80",
    FIRST_CALL: "< 0.5 s",
    SWEEP: "< 5 s",
    PLANNING: "3",
    MILLION: "< 30 s",
    f"{MILLION}, memory": "< 2000 MB",
    **{f"{BIG_WORLD}, slip={slip}, creation": "< 2 s" for slip in (0, 0.2)},
    **{f"{BIG_WORLD}, slip={slip}, arrays": "< 200 MB" for slip in (0, 0.2)},
}  # by task


# ---- Report ---------------------------------------------------------------------------------------------------------


def write(file: Path, measured: dict[Job, float]) -> None:
    """All measurements so far, one a row."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(("section", "task", "variant", "repeat", "value", "unit"))
        for job, value in measured.items():
            rows.writerow((*job[:4], value, job.unit))


def report(name: str, measured: dict[Job, float]) -> "Table":
    """A section's table: medians, and their ratio with the smallest and largest of a single pair."""
    from rich import box
    from rich.table import Table

    section = SECTIONS[name]
    table = Table(title=section.title, box=box.SIMPLE_HEAD)
    table.add_column("task", no_wrap=True)
    for header in (section.ours, section.theirs, "times faster", "n"):
        table.add_column(header, justify="right", no_wrap=header == "times faster")
    table.add_column("asked", no_wrap=True)
    for task, unit in dict.fromkeys((job.task, job.unit) for job in measured if job.section == name):
        of_task = {(job.variant, job.repeat): value for job, value in measured.items() if job[:2] == (name, task)}
        ours = [value for (variant, _), value in of_task.items() if variant == section.ours]
        theirs = [value for (variant, _), value in of_task.items() if variant == section.theirs]
        pairs = zip(ours, theirs, strict=False)  # the last may lack its partner
        ratios = [times_faster(unit, *pair) for pair in pairs]
        cell = "-"
        if ratios:
            ratio = times_faster(unit, median(ours[: len(ratios)]), median(theirs))
            cell = f"{ratio:.2f}\n{min(ratios):.2f} to {max(ratios):.2f}"
        table.add_row(
            re.sub(", (?=n_envs|vs|slip)", "\n", task),
            amount(ours, unit),
            amount(theirs, unit),
            cell,
            str(len(ratios) or len(ours)),
            ASKED.get(task, "-"),
        )
    return table


def amount(values: list[float], unit: str) -> str:
    """The median, and how many of the trainings never got there."""
    if not values:
        return "-"
    never = sum(math.isinf(value) for value in values)
    middle = median(values)
    digits = 0 if middle >= 1000 else 2
    text = "never" if math.isinf(middle) else f"{middle:,.{digits}f} {unit}"
    return f"{text}; {never} of {len(values)} never" if never else text
