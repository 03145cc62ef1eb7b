"""``sb3-ext figures``: measure the learning results of the README again, every seed in a process of its own.

What is finished is kept: the same command goes on where it was interrupted.
"""

import argparse
import csv
import json
import math
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sb3_ext.zoo.options import folder, one_of, positive

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from sb3_ext.zoo.curves import Run
    from sb3_ext.zoo.recipes import Recipe

EXAMPLE = """figures:
  cartpole     CartPole-v1, REINFORCE's defaults, 16 environments, 500k steps
  slm          CartPole-v1 by SLM-Lab's protocol: 4 environments, 200k steps, the last 100 training episodes
  lunarlander  LunarLander-v3, zoo/hyperparams/reinforce.yml
  acrobot      Acrobot-v1, zoo/hyperparams/reinforce.yml
  pendulum     InvertedPendulum-v5 (Pendulum-v1 without MuJoCo), zoo/hyperparams/reinforce.yml
  shaping      steps until SB3's PPO solves four rooms: plain, shaped, count bonus, RND; ten seeds each (minutes)

Everything takes about forty minutes on two cores, most of it lunarlander.

examples:
  sb3-ext figures                      all of them; again after Ctrl-C: what is missing
  sb3-ext figures cartpole --jobs 4    one of them, four seeds at a time"""

NAMES = ("cartpole", "slm", "lunarlander", "acrobot", "pendulum", "shaping")
WINDOW = 100  # episodes in every mean


@dataclass(frozen=True)
class Figure:
    """What is measured, and how its seeds' values become one line of the table."""

    title: str
    env_id: str
    recipe: "Recipe"
    n_seeds: int
    asked: str
    seen: "Callable[[np.ndarray], str]"
    greedy: bool = True
    """the value of a seed: mean of 100 greedy episodes afterwards, else of its last 100 training episodes"""
    target: float | None = None
    """if given, the value is the steps until the last 100 training episodes average this; infinite if they never do"""
    added: dict[str, Any] | None = None
    """what is added to the reward, see shaping.py: its name and its settings"""


class Job(NamedTuple):
    """One seed of a figure."""

    name: str
    figure: Figure
    seed: int
    curve: Path
    """file for the training episodes: when each ended, and its return"""


class Result(NamedTuple):
    """One row of figures.csv."""

    figure: str
    env_id: str
    seed: int
    value: float
    seconds: float
    settings: str
    """of the recipe, as JSON; a result with others is measured again"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext figures",
        description="Train several seeds a figure, print the table and draw what was learned.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("figure", nargs="*", type=one_of(NAMES), help="what to measure (default: everything)")
    options.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    options.add_argument("--output", type=folder, default="runs/figures", help="folder (default: runs/figures)")
    options.add_argument("--force", action="store_true", help="forget what is there and measure again")
    return options


def main(arguments: list[str]) -> int:
    """Measure what is missing, then report all there is; 130 if interrupted."""
    options = parser().parse_args(arguments)
    from rich.console import Console

    console = Console()
    chosen = {name: figure for name, figure in figures().items() if group(name) in (options.figure or NAMES)}
    if "lunarlander" in chosen and not installed("envpool", "Box2D"):
        del chosen["lunarlander"]
        hint = "lunarlander is left out: it needs Box2D or EnvPool, pip install 'sb3-ext[box2d,envpool]'"
        console.print(hint, style="yellow", markup=False)
    file = options.output / "figures.csv"
    results = read(file)
    if options.force:
        results = {key: result for key, result in results.items() if key[0] not in chosen}
        write(file, results)
    interrupted = not complete(chosen, results, options)

    console.print(table(chosen, results))
    for image in draw_all(chosen, results, options.output):
        console.print(f"picture  {image}", highlight=False, soft_wrap=True)
    console.print(f"results  {file}", highlight=False, soft_wrap=True)
    if interrupted:
        left = len(missing(chosen, results, options.output))
        console.print(f"interrupted, seeds to go: {left}; what is finished is kept: the same command goes on there")
    return 130 if interrupted else 0


def complete(chosen: dict[str, Figure], results: dict[tuple[str, int], Result], options: argparse.Namespace) -> bool:
    """Measure what is missing, add it to the results and keep them; False if interrupted."""
    from sb3_ext.zoo.parallel import run_parallel

    jobs = missing(chosen, results, options.output)
    n_timesteps = sum(job.figure.recipe.n_timesteps for job in jobs)
    try:
        for result in run_parallel(measure, jobs, options.jobs, n_timesteps):
            results[result.figure, result.seed] = result
            write(options.output / "figures.csv", results)
    except KeyboardInterrupt:
        return False
    return True


def figures() -> dict[str, Figure]:
    """All figures; what they ask for is what the README claims. A name is its group's, or "group-variant"."""
    from sb3_ext.zoo import shaping
    from sb3_ext.zoo.recipes import Recipe, read_recipe

    cartpole, slm = Recipe("reinforce", 500_000, n_envs=16), Recipe("reinforce", 200_000, n_envs=4)
    pendulum = "InvertedPendulum-v5" if installed("mujoco") else "Pendulum-v1"

    def tuned(env_id: str, asked: str) -> Figure:
        return Figure(env_id, env_id, read_recipe("reinforce", env_id), 5, asked, iqm)

    def shaped(name: str) -> Figure:
        added = {"name": name, "settings": shaping.ADDED[name]}
        return Figure(shaping.TITLES[name], shaping.ENV_ID, shaping.RECIPE, shaping.N_SEEDS, "report",
                      shaping.steps_until_solved, target=shaping.SOLVED, added=added)  # fmt: skip

    return {
        "cartpole": Figure("CartPole-v1", "CartPole-v1", cartpole, 20, "20 of 20 seeds at 475", solved),
        "slm": Figure("CartPole-v1, SLM-Lab's protocol", "CartPole-v1", slm, 8, "mean 483.3", mean, greedy=False),
        "lunarlander": tuned("LunarLander-v3", "IQM 200"),
        "acrobot": tuned("Acrobot-v1", "IQM -100"),
        "pendulum": tuned(pendulum, "report"),
        **{f"shaping-{name}": shaped(name) for name in shaping.ADDED},
    }


def group(name: str) -> str:
    """What a figure belongs to: the name that the command line knows."""
    return name.partition("-")[0]


def installed(*packages: str) -> bool:
    """Whether any of them is."""
    from importlib.util import find_spec

    return any(find_spec(package) for package in packages)


def solved(values: "np.ndarray") -> str:
    """How many seeds are at 475."""
    return f"{(values >= 475).sum()} of {len(values)} seeds at 475, mean {values.mean():.1f}"


def mean(values: "np.ndarray") -> str:
    """The plain mean."""
    return f"mean {values.mean():.1f}"


def iqm(values: "np.ndarray") -> str:
    """Interquartile mean: without the lowest and the highest quarter (of 5 values: without one each)."""
    cut = len(values) // 4
    kept = sorted(values)[cut : len(values) - cut]
    return f"IQM {sum(kept) / len(kept):.1f}"


# ---- Measure --------------------------------------------------------------------------------------------------------


def all_jobs(chosen: dict[str, Figure], output: Path) -> list[Job]:
    """Every seed of every figure."""
    return [
        Job(name, figure, seed, output / "curves" / f"{name}-{seed}.csv")
        for name, figure in chosen.items()
        for seed in range(figure.n_seeds)
    ]


def is_done(job: Job, results: dict[tuple[str, int], Result]) -> bool:
    """Whether there is a result with these very settings."""
    result = results.get((job.name, job.seed))
    return result is not None and (result.env_id, result.settings) == (job.figure.env_id, settings(job.figure))


def missing(chosen: dict[str, Figure], results: dict[tuple[str, int], Result], output: Path) -> list[Job]:
    """The seeds that are still to be measured, those of the longest trainings first."""
    jobs = [job for job in all_jobs(chosen, output) if not is_done(job, results)]
    return sorted(jobs, key=lambda job: -job.figure.recipe.n_timesteps)


def settings(figure: Figure) -> str:
    """What a result depends on, apart from code and seed."""
    added = {} if figure.added is None else {"target": figure.target, "added": figure.added}
    return json.dumps({**figure.recipe.settings(), **added}, sort_keys=True)


def measure(job: Job) -> Result:
    """Train one seed, write its episodes, and evaluate it."""
    from sb3_ext.vec_env import make_vec_env
    from sb3_ext.zoo import shaping
    from sb3_ext.zoo.parallel import StepCounter
    from sb3_ext.zoo.training import SPACING, EpisodeLog, evaluate, train

    figure, log, started = job.figure, EpisodeLog(job.figure.target), time.perf_counter()
    make_env = make_vec_env
    if figure.added is not None:
        make_env = partial(shaping.make_env, added=figure.added["name"], settings=figure.added["settings"])
    model, env = train(figure.recipe, figure.env_id, job.seed, callback=[log, StepCounter()], make_env=make_env)
    episodes = [(t, r) for t, r in zip(log.timesteps, log.returns, strict=True) if t <= figure.recipe.n_timesteps]
    job.curve.parent.mkdir(parents=True, exist_ok=True)
    with job.curve.open("w", newline="") as opened:
        csv.writer(opened).writerows([("timestep", "return"), *episodes])
    if figure.target is not None:
        in_time = log.seconds is not None and log.timesteps[-1] <= figure.recipe.n_timesteps
        value = float(log.timesteps[-1]) if in_time else math.inf
    else:
        last = [return_ for _, return_ in episodes[-WINDOW:]]
        returns = evaluate(model, figure.env_id, WINDOW, SPACING * job.seed) if figure.greedy else last
        value = float(sum(returns) / len(returns))
    env.close()
    return Result(job.name, figure.env_id, job.seed, value, time.perf_counter() - started, settings(figure))


# ---- Keep and show --------------------------------------------------------------------------------------------------


def read(file: Path) -> dict[tuple[str, int], Result]:
    """Earlier results by figure and seed; none if there is no file. Damaged lines are left out with a warning."""
    if not file.exists():
        return {}
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    numbers = {"seed": int, "value": float, "seconds": float}
    results = []
    for row in rows:
        try:
            results.append(Result(**{key: numbers.get(key, str)(cell) for key, cell in row.items()}))
        except (TypeError, ValueError):
            warnings.warn(f"{file}: damaged lines are left out, and measured again", stacklevel=2)
    return {(result.figure, result.seed): result for result in results}


def write(file: Path, results: dict[tuple[str, int], Result]) -> None:
    """Replace the file as a whole: an interruption leaves the old one or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    with new.open("w", newline="") as opened:
        csv.writer(opened).writerows([Result._fields, *sorted(results.values())])
    new.replace(file)


def table(chosen: dict[str, Figure], results: dict[tuple[str, int], Result]) -> "Table":
    """What was asked beside what was seen."""
    import numpy as np
    from rich.table import Table

    lines = Table("figure", "asked", "seen", "lowest to highest", "seeds", title="Figures")
    for name, figure in chosen.items():
        jobs = all_jobs({name: figure}, Path())
        values = np.array([results[name, job.seed].value for job in jobs if is_done(job, results)])
        seen = (figure.seen(values), f"{number(values.min())} to {number(values.max())}") if len(values) else ("-", "-")
        lines.add_row(f"{name}\n{figure.title}", figure.asked, *seen, f"{len(values)} of {figure.n_seeds}")
    return lines


def number(value: float) -> str:
    """A return, or a number of steps."""
    return "never" if math.isinf(value) else f"{value:,.0f}" if value >= 10_000 else f"{value:.1f}"


def draw_all(chosen: dict[str, Figure], results: dict[tuple[str, int], Result], output: Path) -> list[Path]:
    """A PNG file for each group that has results: learning curves (median and full range of the seeds), or dots."""
    from sb3_ext.zoo.curves import draw_learning_curve
    from sb3_ext.zoo.shaping import draw_steps

    done = {name: [job for job in all_jobs({name: figure}, output) if is_done(job, results)]
            for name, figure in chosen.items()}  # fmt: skip
    images = {}
    for name, jobs in done.items():
        if jobs and group(name) != "shaping":
            runs = [read_run(job.curve) for job in jobs]
            title = f"{jobs[0].figure.recipe.algo.upper()} on {jobs[0].figure.title}, {len(jobs)} seeds"
            images[output / f"{name}.png"] = draw_learning_curve(runs, title)
    steps = {chosen[name].title: [results[name, job.seed].value for job in jobs]
             for name, jobs in done.items() if jobs and group(name) == "shaping"}  # fmt: skip
    if steps:
        images[output / "shaping.png"] = draw_steps(steps)
    for file, image in images.items():
        image.savefig(file, dpi=120)
    return list(images)


def read_run(file: Path) -> "Run":
    """The training episodes of one seed."""
    import numpy as np

    timesteps, returns = np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2).T
    return timesteps.tolist(), returns.tolist()
