"""``sb3-ext tune``: search hyperparameters on one machine or several, re-train the best, write best.yml."""

import argparse
import math
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ext.zoo.options import add_engine, check_engine, folder, nearest_of, not_negative, one_of, positive, unknown

if TYPE_CHECKING:
    from rich.console import Console

    from sb3_ext.zoo.tune.crew import Crew
    from sb3_ext.zoo.tune.objective import Task
    from sb3_ext.zoo.tune.retrain import Candidate

SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random")
PRUNERS = ("median", "hyperband", "halving", "wilcoxon", "none")
OBJECTIVES = ("final", "best", "auc", "steps-to-threshold")
LARGEST_SEED = 99_999  # see objective.py: the seeds of trials, fresh seeds and evaluations must not meet

EXAMPLE = """A trial is one training for each of --n-seeds seeds. At the end the --top-k best are trained again on
--retrain-seeds fresh seeds, and the best of those is written to best.yml, which `sb3-ext train --conf-file`
takes, with its model, pictures and a summary, into runs/tune/STUDY (--output).

Interrupt it whenever you like: the same command goes on where it was. On several machines, give the same
command on each, with one --storage that all can reach; --n-trials counts the trials of all together.

examples:
  sb3-ext tune --algo q_learning --env FrozenLake-v1 -n 100000 --n-trials 50 --workers 2
  sb3-ext tune --algo ppo --env CartPole-v1 -n 50000 --objective auc --sampler gp --pruner wilcoxon --n-seeds 6
  sb3-ext tune --algo dqn --env Acrobot-v1 --objective steps-to-threshold --threshold -100
  sb3-ext tune --algo grpo --env CartPole-v1 -n 100000 --storage postgresql+psycopg://me:secret@db/studies
  sb3-ext tune --algo grpo --env CartPole-v1 --engine ray --address 10.0.0.1:6379 --workers 24 --storage URL"""


def parser() -> argparse.ArgumentParser:
    """The command's options; those that RL Zoo has are spelled as there."""
    from sb3_ext.algos import TABLE

    options = argparse.ArgumentParser(
        "sb3-ext tune",
        description="Search hyperparameters with Optuna, several seeds a trial; train the best again on fresh seeds.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("--algo", type=nearest_of("algorithm", tuple(TABLE)), required=True, help="short name, see sb3-ext algos")
    add("--env", required=True, help="registered id of the environment")
    add("-n", "--n-timesteps", type=positive, help="steps of a training (default: the hyperparameter file's)")
    add("--n-trials", type=positive, default=100, help="trials, on all machines together (default: 100)")
    add("--workers", type=positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    add("--n-seeds", type=positive, default=3, help="seeds a trial; pruning happens between them (default: 3)")
    add("--objective", type=one_of(OBJECTIVES), default="final", help=f"{', '.join(OBJECTIVES)} (default: final)")
    add("--threshold", type=float, help="of steps-to-threshold (default: the environment's reward_threshold)")
    add("--n-evaluations", type=positive, help="during a training (default: 1 for final, else 10)")
    add("--eval-episodes", type=positive, default=20, help="episodes an evaluation (default: 20)")
    add("--sampler", type=one_of(SAMPLERS), default="tpe", help=f"{', '.join(SAMPLERS)} (default: tpe)")
    add("--pruner", type=one_of(PRUNERS), default="median", help=f"{', '.join(PRUNERS)} (default: median)")
    add("--n-startup-trials", type=not_negative, default=10, help="random trials before tpe and gp (default: 10)")
    add("--seed", type=_seed, default=0, help=f"of everything, up to {LARGEST_SEED} (default: 0)")
    add("--top-k", type=positive, default=3, help="trials that are trained again (default: 3)")
    add("--retrain-seeds", type=positive, default=10, help="fresh seeds for each of them (default: 10)")
    add("--study-name", help="to go on with, or to join (default: ALGO-ENV)")
    add("--storage", help="URL of a database or of Optuna's gRPC proxy (default: SQLite, study.db in the output)")
    add(
        "--conf-file",
        "-conf",
        type=Path,
        help="hyperparameter file with what is not searched (default: ours, RL Zoo's)",
    )
    add("--gym-packages", nargs="+", default=[], help="modules that register environments, imported first")
    add("--heartbeat", type=_seconds, default=10.0, help="seconds between a worker's signs of life (default: 10)")
    add_engine(options)
    add("--output", help="folder to write (default: runs/tune/STUDY)")
    return options


def _seed(text: str) -> int:
    number = not_negative(text)
    if number > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"must be at most {LARGEST_SEED}, got {number}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0.05 <= number < 86_400:
        raise argparse.ArgumentTypeError(f"must be at least 0.05, got {text}")
    return number


def main(arguments: list[str]) -> int:
    """Search, re-train, report; 130 if interrupted, 1 if a trial or the storage failed, 2 for bad arguments."""
    checked = parser()
    options = checked.parse_args(arguments)
    options.command = shlex.join(["sb3-ext", "tune", *_without_password(arguments)])
    options.study_name = options.study_name or f"{options.algo}-{options.env.replace('/', '-')}"
    try:
        check_engine(options)
        if options.address and not options.storage:
            raise ValueError("--address needs a --storage that all nodes of the cluster can reach")
        task = read_task(options)
        options.output = folder(options.output or str(Path("runs/tune") / options.study_name.replace("/", "-")))
    except (argparse.ArgumentTypeError, ValueError, OSError) as error:
        checked.error(str(error))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cluster's way to interrupt
    try:
        return _run_and_explain(options, task)
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_and_explain(options: argparse.Namespace, task: "Task") -> int:
    """Run; say in a line what went wrong, and how to go on."""
    from sb3_ext.zoo.ray_engine import ClusterError
    from sb3_ext.zoo.tune.crew import TrialError
    from sb3_ext.zoo.tune.storage import StorageError, explain, storage_errors
    from sb3_ext.zoo.tune.study import StudyError

    url = options.storage or f"sqlite:///{options.output.resolve() / 'study.db'}"
    kept = f"What is finished is kept: the same command goes on there.\n  {options.command}"
    try:
        return run(options, task, url)
    except KeyboardInterrupt:
        print(f"\ninterrupted. {kept}", file=sys.stderr)
        return 130
    except (StudyError, StorageError, ClusterError) as error:
        print(f"sb3-ext tune: {error}", file=sys.stderr)
        return 2
    except TrialError as error:
        where = _keep_traceback(options.output, error.traceback)
        print(f"sb3-ext tune: {error}\n{where}{kept}", file=sys.stderr)
    except storage_errors() as error:
        print(f"sb3-ext tune: {explain(error, url)}\n{kept}", file=sys.stderr)
    except OSError as error:
        print(
            f"sb3-ext tune: cannot write {error.filename or options.output}: {error.strerror}\n{kept}", file=sys.stderr
        )
    return 1


def _keep_traceback(output: Path, traceback: str) -> str:
    if not traceback:
        return ""
    try:
        (output / "error.txt").write_text(traceback)
        return f"traceback: {output / 'error.txt'}\n"
    except OSError:
        return traceback


def _without_password(arguments: list[str]) -> list[str]:
    import re

    in_front = [re.sub(r"(://[^:/]+:)\S+@", r"\1***@", argument) for argument in arguments]
    return [re.sub(r"(password=)[^&\s]+", r"\1***", argument) for argument in in_front]


# ---- What is asked --------------------------------------------------------------------------------------------------


def read_task(options: argparse.Namespace) -> "Task":
    """What a trial is, from the options.

    Raises:
        ValueError: for an unknown environment, a missing search space, threshold or number of steps, and for options
            that do not go together.
    """
    import gymnasium as gym

    import sb3_ext.envs  # noqa: F401  (registers ids)
    from sb3_ext.zoo.recipes import read_recipe
    from sb3_ext.zoo.search_spaces import SEARCH_SPACES
    from sb3_ext.zoo.training import check_fit
    from sb3_ext.zoo.tune.objective import Task
    from sb3_ext.zoo.tune.study import Recorder

    for package in options.gym_packages:
        try:
            import_module(package)
        except ImportError as error:
            raise ValueError(f"argument --gym-packages: {error}") from error
    if options.env not in gym.registry:
        raise ValueError(f"argument --env: {unknown('environment', options.env, tuple(gym.registry))}")
    spec = gym.spec(options.env)
    if options.algo not in SEARCH_SPACES:
        raise ValueError(f"argument --algo: {options.algo} has no search space in zoo/search_spaces.py")
    threshold = options.threshold
    if options.objective == "steps-to-threshold":
        threshold = spec.reward_threshold if threshold is None else threshold
        if threshold is None:
            raise ValueError(f"{options.env} has no reward_threshold; say --threshold")
        if not math.isfinite(threshold):
            raise ValueError(f"--threshold must be a number, got {threshold}")
    elif threshold is not None:
        raise ValueError("--threshold belongs to --objective steps-to-threshold")
    if options.pruner == "wilcoxon" and options.n_seeds < 5:
        raise ValueError("--pruner wilcoxon cannot tell trials apart by fewer than 4 seeds: say --n-seeds 5 or more")
    if options.sampler == "cmaes":
        _need("cmaes")
    n_evaluations = options.n_evaluations or (1 if options.objective == "final" else 10)
    searched = SEARCH_SPACES[options.algo](Recorder())
    recipe = read_recipe(options.algo, options.env, options.conf_file, options.n_timesteps, leave_out=searched)
    check_fit(recipe, options.env)
    return Task(
        recipe, options.env, options.objective, threshold,
        options.n_seeds, n_evaluations, options.eval_episodes, options.seed,
    )  # fmt: skip


def _need(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise ValueError(f"--sampler {package} needs a package: pip install 'sb3-ext[tune]'")


# ---- The study ------------------------------------------------------------------------------------------------------


def run(options: argparse.Namespace, task: "Task", url: str) -> int:
    """The search, the re-training, the report."""
    import optuna
    from rich.console import Console

    from sb3_ext.zoo.search_spaces import SEARCH_SPACES
    from sb3_ext.zoo.tune import report
    from sb3_ext.zoo.tune.retrain import best_trials, retrain
    from sb3_ext.zoo.tune.storage import open_storage
    from sb3_ext.zoo.tune.study import open_study, space_of
    from sb3_ext.zoo.tune.worker import Work

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = space_of(SEARCH_SPACES[task.recipe.algo])
    study = open_study(open_storage(url), options.study_name, task.direction, task.settings(), space)
    names = [str(number) for number in range(options.n_trials)]
    work = Work(url, options.study_name, names, task, options.sampler, options.pruner, options.n_startup_trials,
                options.heartbeat, gym_packages=tuple(options.gym_packages))  # fmt: skip
    with _workers(options) as crew:
        crew.run(study, work, options.study_name)
        candidates = best_trials(study, names, task, options.top_k)
        if not candidates:
            print("sb3-ext tune: every trial came upon NaN or infinity; nothing to train again", file=sys.stderr)
            return 1
        ranked = retrain(study, candidates, work, options.retrain_seeds, crew, options.output / "models")
    if not math.isfinite(max(ranked[0].returns)):
        print("sb3-ext tune: on fresh seeds every training came upon NaN or infinity", file=sys.stderr)
        return 1
    report.write_best(options.output / "best.yml", task, ranked[0])
    found = report.summary(study, names, task, ranked)
    report.write_summary(options.output, found, options.command, _packages(options.gym_packages))
    report.write_model(options.output, task, ranked[0])
    report.draw(options.output, study)
    show(Console(), options, ranked)
    return 0


@contextmanager
def _workers(options: argparse.Namespace) -> "Iterator[Crew]":
    """The workers, on the engine that is asked for.

    Raises:
        ClusterError: if there is no such cluster.
    """
    from sb3_ext.zoo.tune.crew import Crew

    if options.engine == "local":
        with Crew(options.workers) as crew:
            yield crew
        return
    from sb3_ext.zoo.ray_engine import cluster
    from sb3_ext.zoo.tune.ray_member import RayMember

    with cluster(options.address, options.workers), Crew(options.workers, RayMember) as crew:
        yield crew


def _packages(names: list[str]) -> list[str]:
    return ["--gym-packages", *names] if names else []


def show(console: "Console", options: argparse.Namespace, ranked: "list[Candidate]") -> None:
    """The ranking, and where everything is."""
    from rich.table import Table

    table = Table(
        "trial", "in the search", "fresh seeds", "95 % confidence", "95 % prediction", title=options.study_name
    )
    for candidate in ranked:
        ends = (candidate.confidence(), candidate.prediction(len(ranked)))
        shown = [f"{low:.5g} to {high:.5g}" for low, high in ends]
        table.add_row(str(candidate.number), f"{candidate.value:.5g}", f"{candidate.mean:.5g}", *shown)
    console.print(table)
    for what, file in (("best", "best.yml"), ("model", "best_model.zip"), ("summary", "summary.md")):
        console.print(f"{what:<8} {options.output / file}", highlight=False, soft_wrap=True)
    how = shlex.join(["sb3-ext", "train", "--algo", options.algo, "--env", options.env, "--conf-file",
                      str(options.output / "best.yml"), *_packages(options.gym_packages)])  # fmt: skip
    console.print(f"train by it: {how}", highlight=False, soft_wrap=True)
