"""What works: every environment of PettingZoo and mpe2 through our adapters, beside the raw environment."""

import argparse
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import NamedTuple

import pettingzoo

from sb3_ext.zoo.multi_agent.turn_based_check import CLASSIC_IDS, check_transitions
from sb3_ext.zoo.parallel import count, run_parallel


class Job(NamedTuple):
    """One environment."""

    adapter: str
    name: str
    n_steps: int
    seed: int


class Checked(NamedTuple):
    """What came out: a line of the table."""

    job: Job
    transitions: int
    """of single agents"""
    episodes: int
    note: str
    problem: str | None


def jobs(n_steps: int, seed: int) -> list[Job]:
    """Every environment whose packages are there."""
    from sb3_ext.zoo.multi_agent.parallel_check import ENVIRONMENTS

    return [Job("PettingZooVecEnv", name, n_steps, seed) for name in ENVIRONMENTS] + [
        Job("SelfPlayEnv", name, n_steps, seed) for name in CLASSIC_IDS
    ]


def check_one(job: Job) -> Checked:
    """Plays at random beside the raw environment; a difference, or an error, is the line's problem."""
    try:
        checked = _through_vec_env(job) if job.adapter == "PettingZooVecEnv" else _through_self_play(job)
    except Exception as error:  # one environment that fails leaves a line, not an empty table
        lines = str(error).strip().splitlines() or [type(error).__name__]
        checked = Checked(job, 0, 0, "", " ".join(lines)[:160])
    count(1)
    return checked


def _through_vec_env(job: Job) -> Checked:
    from sb3_ext.zoo.multi_agent.parallel_check import ENVIRONMENTS, check_parallel

    found = check_parallel(ENVIRONMENTS[job.name].parallel_env, job.n_steps, job.seed)
    notes = [f"{found.n_deaths} deaths"] * (found.n_deaths > 0) + ["padded"] * found.padded
    return Checked(job, found.n_transitions, found.n_episodes, ", ".join(notes), None)


def _through_self_play(job: Job) -> Checked:
    found = check_transitions(partial(pettingzoo.make, "aec", job.name), job.n_steps, job.seed)
    return Checked(job, found.steps, found.terminated + found.truncated, f"{found.moves} moves", found.problem)


def lines(found: list[Checked]) -> Iterator[str]:
    """The table, in Markdown."""
    yield "| environment | through | transitions | episodes | | result |\n|---|---|---|---|---|---|"
    for checked in found:
        result = "equal" if checked.problem is None else f"**differs**: {checked.problem}"
        job = checked.job
        cells = (job.name, job.adapter, f"{checked.transitions:,}", str(checked.episodes), checked.note, result)
        yield "| " + " | ".join(cells) + " |"


def run(options: argparse.Namespace) -> int:
    """Checks all and prints the table; 1 if something differs, 2 if packages are missing."""
    try:
        import_module("mpe2")
        planned = jobs(options.n_timesteps or 1000, options.seed)
    except ImportError as error:
        raise ValueError(f"the check needs {error.name}: pip install 'sb3-ext[pettingzoo]'") from error
    found = {checked.job: checked for checked in run_parallel(check_one, planned, options.jobs, len(planned), "env")}
    print("\n".join(lines([found[job] for job in planned])))
    failed = [checked for checked in found.values() if checked.problem is not None]
    print(f"{len(found) - len(failed)} of {len(found)} environments: every transition equal to the raw environment's")
    return 1 if failed else 0
