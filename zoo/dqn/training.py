"""One seed of a row, trained and kept in dqn.csv; the table and the picture of all that is there."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from sb3_ext.zoo.dqn.rows import Job
from sb3_ext.zoo.figures import Result, read, write
from sb3_ext.zoo.parallel import StepCounter, run_parallel
from sb3_ext.zoo.statistics import Interval, interval
from sb3_ext.zoo.training import EpisodeLog, train

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 100  # training episodes in a value
VALUES = {
    "ablate": f"return of the last {WINDOW} training episodes",
    "goal": f"return of the last {WINDOW} training episodes",
    "overestimate": "Q - Q*, mean over states, actions and the second half of the training",
}
Results = dict[tuple[str, int], Result]


def settings(job: Job) -> str:
    """What a result depends on, apart from code and seed."""
    return json.dumps(job.recipe.settings(), sort_keys=True)


def done(jobs: Sequence[Job], file: Path) -> Results:
    """The results that are there, with these very settings."""
    results = read(file)
    keys = {(job.figure, job.seed): settings(job) for job in jobs}
    return {key: result for key, result in results.items() if keys.get(key) == result.settings}


def complete(jobs: Sequence[Job], file: Path, n_processes: int) -> bool:
    """Train what is missing, and keep it; False if interrupted."""
    results, kept = read(file), done(jobs, file)
    missing = [job for job in jobs if (job.figure, job.seed) not in kept]
    try:
        for result in run_parallel(measure, missing, n_processes, sum(job.recipe.n_timesteps for job in missing)):
            results[result.figure, result.seed] = result
            write(file, results)
    except KeyboardInterrupt:
        return False
    return True


def measure(job: Job) -> Result:
    """Train one seed."""
    started = time.perf_counter()
    value = _VALUE_OF.get(job.section, last_episodes)(job)
    return Result(job.figure, job.env_id, job.seed, value, time.perf_counter() - started, settings(job))


def last_episodes(job: Job) -> float:
    """The mean return of the last 100 training episodes."""
    log = EpisodeLog()
    _, env = train(job.recipe, job.env_id, job.seed, callback=[log, StepCounter()])
    env.close()
    ended = [return_ for t, return_ in zip(log.timesteps, log.returns, strict=True) if t <= job.recipe.n_timesteps]
    return float(np.mean(ended[-WINDOW:]))


def overestimated(job: Job) -> float:
    """How far Q lies above Q*."""
    from sb3_ext.zoo.dqn import overestimation

    return overestimation.measure(job)


_VALUE_OF: "dict[str, Callable[[Job], float]]" = {"overestimate": overestimated}


def by_row(jobs: Sequence[Job], results: Results) -> dict[tuple[str, str], list[Result]]:
    """(task, method) -> results of its seeds, without rows that have none."""
    rows: dict[tuple[str, str], list[Result]] = {}
    for job in jobs:
        if (job.figure, job.seed) in results:
            rows.setdefault((job.task, job.method), []).append(results[job.figure, job.seed])
    ordered = dict.fromkeys((job.task, job.method) for job in jobs)
    return {key: rows[key] for key in ordered if key in rows}


def iqm(values: Sequence[float]) -> Interval:
    """Interquartile mean with its 95 % interval."""
    return interval(np.array(values))


def table(section: str, jobs: Sequence[Job], results: Results) -> Table:
    """Interquartile mean with its 95 % confidence interval, lowest and highest seed, seconds of a training."""
    lines = Table("task", "method", "steps", "asked", "IQM (95 %)", "lowest to highest", "seeds", "seconds",
                  title=f"{section}: {VALUES[section]}")  # fmt: skip
    first = {(job.task, job.method): job for job in jobs}
    for (task, method), row in by_row(jobs, results).items():
        job, values = first[task, method], [result.value for result in row]
        middle, low, high = iqm(values)
        around = f"{middle:.2f} ({low:.2f} to {high:.2f})" if len(values) > 1 else f"{middle:.2f}"
        n_seeds = sum((each.task, each.method) == (task, method) for each in jobs)
        asked = "-" if job.asked is None else f"{job.asked:g}"
        spread = f"{min(values):.2f} to {max(values):.2f}"
        seconds = f"{np.median([result.seconds for result in row]):.0f}"
        steps = f"{job.recipe.n_timesteps:,}"
        lines.add_row(task, method, steps, asked, around, spread, f"{len(values)} of {n_seeds}", seconds)
    return lines


def draw(section: str, jobs: Sequence[Job], results: Results) -> Figure:
    """A panel for each task: a dot for the interquartile mean of each method, its interval, and a tick a seed."""
    rows = by_row(jobs, results)
    tasks, methods = (list(dict.fromkeys(names)) for names in zip(*rows, strict=True))
    asked = {job.task: job.asked for job in jobs}
    figure = Figure(figsize=(3 + 2.4 * len(tasks), 1.6 + 0.3 * len(methods)), layout="constrained")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        for height, method in enumerate(methods):
            if (task, method) not in rows:
                continue
            values = [result.value for result in rows[task, method]]
            middle, low, high = iqm(values)
            axes.plot(values, np.full(len(values), height), "|", color="C0", alpha=0.4, markersize=7)
            if len(values) > 1:
                axes.plot([low, high], [height, height], color="C0", linewidth=2, solid_capstyle="round")
            axes.plot(middle, height, "o", color="C0", markersize=6)
        reference = asked[task] if section == "goal" else 0.0 if section == "overestimate" else None
        if reference is not None:
            axes.axvline(reference, color="0.5", linestyle="--", linewidth=1)
        axes.set(title=task)
        axes.title.set_fontsize(10)
        axes.margins(x=0.12)
        axes.tick_params(axis="y", length=0)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    dashed = {"goal": "; dashed: what was asked", "overestimate": "; dashed: the truth"}.get(section, "")
    figure.supxlabel(
        f"{VALUES[section]}\ndot: interquartile mean; line: its 95 % interval; tick: a seed{dashed}", fontsize=9
    )
    return figure
