"""``sb3-ext doctor --self-check``: how many planted faults are found, and how many false alarms there are.

A fault counts as found only if one of the signs that fit it is seen, not just any.
"""

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import gymnasium as gym

import sb3_ext.envs  # noqa: F401  (registers ids)
from sb3_ext.zoo.doctor.callback import DoctorCallback
from sb3_ext.zoo.doctor.environment import examine_environment
from sb3_ext.zoo.doctor.environment_faults import ENVIRONMENT_FAULTS
from sb3_ext.zoo.doctor.faults import FAULTS
from sb3_ext.zoo.doctor.healthy import ENVIRONMENTS, all_healthy
from sb3_ext.zoo.parallel import count, run_parallel

if TYPE_CHECKING:
    from rich.console import Console


class Job(NamedTuple):
    """One training, or one environment."""

    kind: str
    """"fault", "healthy", "environment fault" or "environment" """
    number: int
    """in its list"""
    name: str
    seed: int


class Outcome(NamedTuple):
    """What the doctor said."""

    job: Job
    expected: tuple[str, ...]
    """signs that fit; of a healthy one none"""
    seen: tuple[str, ...]
    first_return: float
    last_return: float

    @property
    def found(self) -> bool:
        """Whether a fault was found."""
        return bool(set(self.expected) & set(self.seen))


def all_jobs(seeds: Iterable[int], only: str) -> list[Job]:
    """Everything whose name has a text in it."""
    lists = {
        "fault": [fault.name for fault in FAULTS],
        "environment fault": [fault.name for fault in ENVIRONMENT_FAULTS],
        "healthy": [run.name for run in all_healthy()],
        "environment": list(ENVIRONMENTS),
    }
    jobs = [Job(kind, number, name, seed) for seed in seeds for kind, names in lists.items()
            for number, name in enumerate(names)]  # fmt: skip
    return [job for job in jobs if only.lower() in job.name.lower()]


def perform(job: Job) -> Outcome:
    """Do it, and see what the doctor says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = _examine(job) if "environment" in job.kind else _train(job)
    count(1)
    return outcome


def _examine(job: Job) -> Outcome:
    if job.kind == "environment":
        seen = examine_environment(partial(gym.make, job.name), job.seed)
        return Outcome(job, (), tuple(finding.sign for finding in seen.findings), 0.0, 0.0)
    fault = ENVIRONMENT_FAULTS[job.number]
    seen = examine_environment(fault.make, job.seed)
    return Outcome(job, fault.signs, tuple(finding.sign for finding in seen.findings), 0.0, 0.0)


def _train(job: Job) -> Outcome:
    doctor = DoctorCallback(verbose=0)
    what = FAULTS[job.number] if job.kind == "fault" else all_healthy()[job.number]
    try:
        what.train(job.seed, doctor)
    except ValueError:
        if job.kind == "healthy":
            raise
        doctor.examine()  # NaN ends a training
    returns = doctor.record.values("episode/return")
    tenth = max(len(returns) // 10, 1)
    expected = FAULTS[job.number].signs if job.kind == "fault" else ()
    seen = tuple(finding.sign for finding in doctor.findings)
    return Outcome(job, expected, seen, float(returns[:tenth].mean()), float(returns[-tenth:].mean()))


def self_check(seeds: Sequence[int], only: str, n_processes: int, console: "Console") -> int:
    """Do all of it and print the tables; 0 if all faults are found, and nothing in 39 of 40 healthy trainings.

    Raises:
        ValueError: if nothing is chosen.
    """
    jobs = all_jobs(seeds, only)
    if not jobs:
        raise ValueError(f"argument --only: nothing has {only!r} in its name")
    outcomes = list(run_parallel(perform, jobs, n_processes, len(jobs), unit="run"))
    faults = [each for each in outcomes if each.expected]
    healthy = [each for each in outcomes if not each.expected]
    show(faults, "planted fault", "seen", console)
    show(healthy, "healthy", "false alarms", console)
    n_found = sum(each.found for each in faults)
    alarms = [bool(each.seen) for each in healthy if each.job.kind == "healthy"]
    wrong = [bool(each.seen) for each in healthy if each.job.kind == "environment"]
    console.print(
        f"faults found: {n_found} of {len(faults)}; false alarms: "
        f"{sum(alarms)} in {len(alarms)} healthy trainings, {sum(wrong)} in {len(wrong)} sound environments",
        highlight=False,
        soft_wrap=True,
    )
    return int(n_found < len(faults) or 40 * sum(alarms) > len(alarms) or any(wrong))


def show(outcomes: Sequence[Outcome], title: str, heading: str, console: "Console") -> None:
    """A line for each training, all its seeds together."""
    from rich.table import Table

    table = Table(title, heading, "return, first to last tenth", "seeds")
    order = sorted(outcomes, key=lambda each: (each.job.kind, each.job.number, each.job.seed))
    for key in dict.fromkeys(each.job[:3] for each in order):
        group = [each for each in order if each.job[:3] == key]
        seen = dict.fromkeys(sign for each in group for sign in each.seen)
        fits = {sign for each in group for sign in each.expected}
        text = ", ".join(f"[bold]{sign}[/]" if sign in fits else sign for sign in seen) or "-"
        n_missed = sum(not each.found for each in group if each.expected)
        text = f"[bold red]missed {n_missed} times[/] {text}" if n_missed else text
        returns = f"{group[0].first_return:.4g} to {group[0].last_return:.4g}" if "env" not in group[0].job.kind else ""
        table.add_row(key[2], text, returns, str(len(group)))
    if outcomes:
        console.print(table)
