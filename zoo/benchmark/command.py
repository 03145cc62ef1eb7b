"""``sb3-ext benchmark``: train algorithms on environments with several seeds, keep every run, print the scores."""

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ext.zoo.options import add_engine, check_engine, folder, nearest_of, one_of, positive

if TYPE_CHECKING:
    from rich.console import Console

    from sb3_ext.zoo.benchmark.runs import Failure, Job, Run

EXAMPLE = """Every run is kept in OUTPUT/ALGO/ENV_N as RL Zoo would keep it, so that
  sb3-ext enjoy -f OUTPUT --algo ALGO --env ENV --exp-id N
plays it; the scores of all are in OUTPUT/scores.csv. A score is the mean return of greedy episodes after the
training. What is finished is not done again: the same command goes on after Ctrl-C, and a crash costs one run.

examples:
  sb3-ext benchmark --algos q_learning sarsa --envs FrozenLake-v1 Taxi-v4 --seeds 10
  sb3-ext benchmark --algos ppo reinforce --envs CartPole-v1 -n 100000 --jobs 4
  sb3-ext benchmark --suite                  the table of the README: hours
  sb3-ext benchmark --suite --engine ray --address 10.0.0.1:6379        the same on a cluster
  sb3-ext benchmark --shipped                the same table from the results that ship with sb3-ext: at once"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    from sb3_ext.algos import TABLE

    options = argparse.ArgumentParser(
        "sb3-ext benchmark",
        description="Train algorithms on environments with several seeds, keep every run, print the scores.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("--algos", nargs="+", type=nearest_of("algorithm", tuple(TABLE)), metavar="ALGO", help="see sb3-ext algos")
    add("--envs", nargs="+", metavar="ENV", help="registered ids, or my_module:MyEnv-v0")
    add("--suite", action="store_true", help="all pairs of the README's table, or those that --algos and --envs leave")
    add("--shipped", action="store_true", help="train nothing: print the shipped results")
    add("--seeds", type=positive, help="runs of each pair (default: 5; --suite: as in the table)")
    add("-n", "--n-timesteps", type=positive, help="steps of each run (default: the hyperparameter files')")
    add("--conf-file", type=Path, help="hyperparameter file for every algorithm (default: ours, then RL Zoo's)")
    add("--eval-episodes", type=positive, default=100, help="greedy episodes of a score (default: 100)")
    add("--jobs", type=positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    add_engine(options)
    add("--output", type=folder, default="runs/benchmark", help="folder (default: runs/benchmark)")
    add("--format", type=one_of(("table", "markdown")), default="table", help="table or markdown (default: table)")
    add("--publish", type=folder, help="write each pair's scores, curve and median model to this folder")
    return options


def main(arguments: list[str]) -> int:
    """Do what is missing, report all there is; 1 if runs failed, 130 if interrupted, 2 for a mistake."""
    options = parser().parse_args(arguments)
    from rich.console import Console

    console = Console()
    try:
        if options.shipped:
            return show_shipped(options, console)
        check_engine(options)
        jobs = plan(options)
    except ValueError as error:
        print(f"sb3-ext benchmark: {error}", file=sys.stderr)
        return 2
    from sb3_ext.zoo.benchmark import report, results
    from sb3_ext.zoo.benchmark.runs import is_done, read_run

    failures: list[Failure] = []
    missing = [job for job in jobs if not is_done(job)]
    try:
        if options.engine == "ray":
            interrupted = not complete_on_ray(missing, options, failures)
        else:
            interrupted = not complete(missing, options.jobs, failures)
    except ValueError as error:
        print(f"sb3-ext benchmark: {error}", file=sys.stderr)
        return 2
    runs = [run for job in jobs if is_done(job) and (run := read_run(job.folder)) is not None]
    every = [run for file in options.output.glob("*/*/run.json") if (run := read_run(file.parent)) is not None]
    report.write_scores(options.output / "scores.csv", every)
    show(runs, options, console)
    print(f"scores  {options.output / 'scores.csv'}")
    for failure in failures:
        print(f"failed: {failure.job}: {failure.reason} ({failure.job.folder / 'error.txt'})", file=sys.stderr)
    if options.publish:
        for target in results.publish(runs, options.output, f"sb3-ext benchmark {shlex.join(_plain(arguments))}",
                                      options.publish):  # fmt: skip
            print(f"results  {target}")
    if interrupted:
        print(f"interrupted, runs to go: {len(jobs) - len(runs)}; what is finished is kept: the same command goes on")
    return 130 if interrupted else 1 if failures else 0


def _plain(arguments: Sequence[str]) -> list[str]:
    """The command without what does not decide its scores, and may name a place on this machine."""
    kept, values = [], iter(arguments)
    for argument in values:
        if argument.partition("=")[0] in ("--output", "--publish", "--jobs", "--engine", "--address"):
            if "=" not in argument:
                next(values, None)
        else:
            kept.append(argument)
    return kept


def plan(options: argparse.Namespace) -> "list[Job]":
    """Every run that is asked for, first the first seed of all pairs, so that an interruption leaves all pairs some.

    Raises:
        ValueError: for an unknown environment, or hyperparameters that cannot be read or that the class does not take.
    """
    import gymnasium as gym

    import sb3_ext.envs  # noqa: F401  (registers ids)
    from sb3_ext.zoo.benchmark.runs import Job
    from sb3_ext.zoo.hyperparameters import check_arguments
    from sb3_ext.zoo.options import unknown
    from sb3_ext.zoo.recipes import read_recipe
    from sb3_ext.zoo.training import spec_of

    for env_id in options.envs or ():
        if env_id not in gym.registry and ":" not in env_id:
            raise ValueError(f"argument --envs: {unknown('environment', env_id, tuple(gym.registry))}")
        spec_of(env_id)
    jobs = []
    for algo, env_id, n_seeds, n_timesteps in pairs(options):
        try:
            recipe = read_recipe(algo, env_id, options.conf_file, n_timesteps)
        except (OSError, RuntimeError, TypeError, LookupError, ArithmeticError) as error:  # of its constructor
            raise ValueError(f"{env_id} cannot be made: {type(error).__name__}: {error}") from error
        check_arguments(algo, recipe.hyperparams)
        jobs += [Job(recipe, env_id, seed, options.eval_episodes, options.output) for seed in range(n_seeds)]
    return sorted(jobs, key=lambda job: job.seed)


def pairs(options: argparse.Namespace) -> "Iterator[tuple[str, str, int, int | None]]":
    """Algorithm, environment, number of seeds and steps (None: the file's) of each pair that is asked for.

    Raises:
        ValueError: if --algos or --envs are missing, or leave nothing of the suite.
    """
    from sb3_ext.zoo.benchmark.suite import SUITE
    from sb3_ext.zoo.recipes import has_entry

    if not options.suite:
        if not options.algos or not options.envs:
            raise ValueError("say --algos and --envs, or --suite for the table of the README")
        every = [(algo, env_id) for algo in dict.fromkeys(options.algos) for env_id in dict.fromkeys(options.envs)]
        yield from ((*pair, options.seeds or 5, options.n_timesteps) for pair in every)
        return
    rows = [row for row in SUITE if not options.envs or row.env_id in options.envs]
    chosen = [(row, algo) for row in rows for algo in row.n_seeds if not options.algos or algo in options.algos]
    if not chosen:
        raise ValueError("--algos and --envs leave nothing of the suite")
    for row, algo in chosen:
        fallback = None if has_entry(algo, row.env_id) else row.n_timesteps
        yield algo, row.env_id, options.seeds or row.n_seeds[algo], options.n_timesteps or fallback


def complete(jobs: "list[Job]", n_processes: int, failures: "list[Failure]") -> bool:
    """Do the jobs, add what fails to ``failures``; False if interrupted.

    A process that is killed takes the pool with it. Those jobs which had begun are tried once more, each by itself, so
    that the one which kills its process (out of memory, say) costs one run.
    """
    from concurrent.futures.process import BrokenProcessPool

    from sb3_ext.zoo.benchmark.runs import Failure, is_done, perform
    from sb3_ext.zoo.parallel import run_parallel

    alone: list[Job] = []
    for job in jobs:
        job.begun.unlink(missing_ok=True)  # of an earlier command
    try:
        while jobs or alone:
            batch, by_itself = jobs or [alone.pop()], not jobs
            try:
                for run in run_parallel(perform, batch, n_processes, sum(job.recipe.n_timesteps for job in batch)):
                    failures += [run] if isinstance(run, Failure) else []
                jobs = []
            except BrokenProcessPool:
                if by_itself:
                    failures.append(Failure(batch[0], "its process was killed; out of memory?"))
                    continue
                left = [job for job in batch if not is_done(job) and job not in [failure.job for failure in failures]]
                jobs = [job for job in left if not job.begun.exists()]
                alone += [job for job in left if job.begun.exists()]
    except KeyboardInterrupt:
        return False
    return True


def complete_on_ray(jobs: "list[Job]", options: argparse.Namespace, failures: "list[Failure]") -> bool:
    """:func:`complete` on a Ray cluster, which tries lost jobs again; what they write comes back from its nodes.

    Raises:
        ValueError: if there is no such cluster.
    """
    from sb3_ext.zoo.benchmark.runs import Failure, Parcel, keep, perform_away
    from sb3_ext.zoo.ray_engine import RETRIES, cluster, run_on_ray

    if not jobs:
        return True

    def lost(job: "Job") -> Parcel:
        return Parcel(job, Failure(job, f"its process or node was lost {RETRIES + 1} times"), {})

    modules = [job.env_id.partition(":")[0] for job in jobs if ":" in job.env_id]
    sizes = [job.recipe.n_timesteps for job in jobs]
    try:
        with cluster(options.address, options.jobs):
            for parcel in run_on_ray(perform_away, jobs, lost, sizes, modules=sorted(set(modules))):
                failures += [kept] if isinstance(kept := keep(parcel), Failure) else []
    except KeyboardInterrupt:
        return False
    return True


def show(runs: "list[Run]", options: argparse.Namespace, console: "Console") -> None:
    """Print the scores."""
    from sb3_ext.zoo.benchmark import report

    if options.format == "markdown":
        print(report.markdown(runs))
    else:
        console.print(report.table(runs))


def show_shipped(options: argparse.Namespace, console: "Console") -> int:
    """Print the results that ship with the project, or those of them that --algos and --envs leave."""
    from sb3_ext.zoo.benchmark import results

    runs = [
        run for run in results.shipped()
        if (not options.algos or run.algo in options.algos) and (not options.envs or run.env_id in options.envs)
    ]  # fmt: skip
    show(runs, options, console)
    return 0
