"""``sb3-ext doctor``: examines an environment, an algorithm, or the logs of a training."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_ext.zoo.options import not_negative, positive, unknown

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLE = """Each finding takes two lines: what was seen; what it likely means and what to try.

examples:
  sb3-ext doctor --env CartPole-v1                   is the environment sound? seconds
  sb3-ext doctor --env my_package:MyEnv-v0           one of your own, registered by the module my_package
  sb3-ext doctor --algo ppo                          does the algorithm learn what it should? minutes
  sb3-ext doctor --algo my_package:MyPPO --quick     a subclass of your own, without the known world: seconds
  sb3-ext doctor --logs runs/                        warning signs in progress.csv, monitor.csv, TensorBoard
  sb3-ext doctor --self-check                        planted faults it finds, false alarms: a quarter of an hour
  sb3-ext doctor --cost                              share of a training's time that DoctorCallback takes: minutes

While you train:
  from sb3_ext.zoo.doctor import DoctorCallback
  model.learn(100_000, callback=DoctorCallback())"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext doctor",
        description="Find what is wrong with an environment, an algorithm or a training.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = options.add_mutually_exclusive_group(required=True)
    what.add_argument("--env", metavar="ID", help="examine an environment")
    what.add_argument("--algo", metavar="NAME", help="examine an algorithm: see sb3-ext algos, or module:Class")
    what.add_argument("--logs", type=Path, metavar="FOLDER", help="examine the logs of trainings in a folder")
    what.add_argument("--self-check", action="store_true", help="plant faults and find them, watch healthy trainings")
    what.add_argument("--cost", action="store_true", help="measure what share of a training DoctorCallback takes")
    add = options.add_argument
    add("--seed", type=not_negative, default=0, help="of the random episodes, of the trainings (default: 0)")
    add("--quick", action="store_true", help="--algo: without the known world, which takes minutes")
    add("--seeds", type=positive, default=1, help="--self-check: seeds of each training, from --seed on (default: 1)")
    add("--repeats", type=positive, default=5, help="--cost: trainings with it and without (default: 5)")
    add("--only", metavar="TEXT", default="", help="--self-check, --cost: only what has this in its name")
    add("--jobs", type=positive, default=os.cpu_count() or 1, help="--self-check: processes (default: all CPUs)")
    return options


def main(arguments: list[str]) -> int:
    """Examine, print; 0 if nothing was found, 1 if something was, 2 for a mistake."""
    options = parser().parse_args(arguments)
    from rich.console import Console

    console = Console()
    try:
        if options.env is not None:
            return examine_env(options.env, options.seed, console)
        if options.algo is not None:
            return examine_algo(options.algo, options.seed, not options.quick, console)
        if options.logs is not None:
            return examine_logs(options.logs, console)
        if options.cost:
            from sb3_ext.zoo.doctor.cost import measure_cost

            return measure_cost(options.seed, options.repeats, options.only, console)
        from sb3_ext.zoo.doctor.self_check import self_check

        return self_check(range(options.seed, options.seed + options.seeds), options.only, options.jobs, console)
    except ValueError as error:
        print(f"sb3-ext doctor: {error}", file=sys.stderr)
        return 2


def examine_env(env_id: str, seed: int, console: "Console") -> int:
    """Examine an environment."""
    from functools import partial

    import gymnasium as gym
    from rich.console import Console

    import sb3_ext.envs  # noqa: F401  (registers ids)
    from sb3_ext.zoo.doctor.environment import examine_environment
    from sb3_ext.zoo.doctor.report import show, show_table

    if env_id not in gym.registry and ":" not in env_id:
        raise ValueError(f"argument --env: {unknown('environment', env_id, tuple(gym.registry))}")
    try:
        gym.make(env_id).close()
    except Exception as error:  # whatever its module or its constructor raises
        raise ValueError(f"argument --env: {env_id} cannot be made: {_first_line(error)}") from error
    with Console(stderr=True).status("playing"):
        seen = examine_environment(partial(gym.make, env_id), seed)
    show_table(console, seen.summary)
    show(console, seen.findings)
    for note in seen.notes:
        console.print(f"note: {note}", style="dim", highlight=False, soft_wrap=True, markup=False)
    if not seen.findings:
        console.print("[green]nothing is wrong with it[/]")
    return 1 if seen.findings else 0


def examine_algo(name: str, seed: int, references: bool, console: "Console") -> int:
    """Climb the ladder with an algorithm."""
    import warnings

    import torch

    algorithm = find_algorithm(name)
    from sb3_ext.zoo.doctor.ladder import climb
    from sb3_ext.zoo.doctor.report import show

    torch.set_num_threads(1)  # for networks this small, more threads only get in each other's way
    failed = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for rung in climb(algorithm, seed, references):
            failed = not rung.passed
            mark = "[bold red]no [/]" if failed else "[green]yes[/]"
            console.print(f"{mark} {rung.name}: {rung.saw}", highlight=False, soft_wrap=True)
            show(console, rung.findings)
            if failed:
                console.print(f"    {rung.means}", highlight=False, soft_wrap=True)
    return 1 if failed else 0


def find_algorithm(name: str) -> Any:
    """The class of a short name, or ``module:Class``.

    Raises:
        ValueError: if there is no such class, or it is no algorithm.
    """
    from importlib import import_module

    from sb3_ext.algos import TABLE, load

    if ":" not in name:
        if name not in TABLE:
            raise ValueError(f"argument --algo: {unknown('algorithm', name, tuple(TABLE))}")
        return load(name)
    from stable_baselines3.common.base_class import BaseAlgorithm

    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except Exception as error:  # whatever the module raises
        raise ValueError(f"argument --algo: {name} cannot be imported: {_first_line(error)}") from error
    if not (isinstance(found, type) and issubclass(found, BaseAlgorithm)):
        raise ValueError(f"argument --algo: {name} is no subclass of SB3's BaseAlgorithm")
    return found


def examine_logs(place: Path, console: "Console") -> int:
    """Look for signs in the logs of every run in a folder."""
    from sb3_ext.zoo.doctor.logs import read_logs
    from sb3_ext.zoo.doctor.report import show
    from sb3_ext.zoo.doctor.signs import examine

    problems: list[str] = []
    records = read_logs(place, problems)
    n_findings = 0
    for folder, record in records.items():
        findings = examine(record)
        n_findings += len(findings)
        known = f"{record.n_timesteps:,} steps, {len(record.values('episode/return')):,} episodes"
        verdict = "" if findings else "  [green]no warning sign[/]"
        console.print(f"[bold]{folder}[/]  {known}{verdict}", highlight=False, soft_wrap=True)
        show(console, findings)
    for problem in problems:
        print(f"note: {problem}", file=sys.stderr)
    console.print("Logs show less than DoctorCallback, which sees weights, gradients and values.", style="dim")
    return 1 if n_findings else 0


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
