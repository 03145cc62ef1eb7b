"""The process that runs trials: one thread, a connection of its own to the storage, a sampler of its own."""

import math
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sb3_ext.zoo.recipes import Recipe
from sb3_ext.zoo.tune.objective import Task


@dataclass(frozen=True)
class Work:
    """What a worker is to do; plain data."""

    url: str
    study_name: str
    slots: list[str]
    task: Task
    sampler: str = "tpe"
    pruner: str = "median"
    n_startup_trials: int = 10
    heartbeat: float = 10.0
    """seconds between signs of life"""
    recipes: dict[int, Recipe] = field(default_factory=dict)
    """given, the slots are re-trainings "number of the trial:index of the fresh seed" of these trials' recipes"""
    models: Path | None = None
    """folder for the models of re-trainings"""
    gym_packages: tuple[str, ...] = ()
    """modules that register environments"""


def main(connection: Connection, name: str) -> None:
    """Do the work that comes through the connection and tell what :func:`serve` does, until the command is gone.

    Args:
        connection: to the command, the only one at its other end.
        name: unique among all machines.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's business
    studies: dict[str, Any] = {}
    try:
        for work in iter(connection.recv, None):
            for message in serve(work, name, studies):
                connection.send(message)
                if message[0] == "error":
                    return
    except EOFError:
        return


def serve(work: Work, name: str, studies: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Do all the work that waits.

    Args:
        work: what to do.
        name: of this worker, unique among all machines.
        studies: what a worker keeps from one work to the next; empty at first.

    Yields:
        ("finished", trial, state, value) after each; last ("idle",) when no trial waits any more, or ("error", what).
    """
    import optuna
    import torch

    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", "You have specified a mini-batch size")  # by some draws the last is smaller
    try:
        yield from run_all(work, name, studies)
        yield ("idle",)
    except Exception as error:
        yield ("error", described(error, work.url))


def described(error: BaseException, url: str = "") -> dict[str, Any]:
    """An error as plain data, with what :func:`run_one` noted about the trial; a storage's needs no traceback."""
    from sb3_ext.zoo.tune.storage import StorageError, explain, storage_errors

    of_storage = isinstance(error, storage_errors())
    what = str(error) if isinstance(error, StorageError) else f"{type(error).__name__}: {error}"
    return {
        "error": explain(error, url) if of_storage else what,
        "trial": None if of_storage else getattr(error, "trial", None),
        "hyperparams": None if of_storage else getattr(error, "hyperparams", None),
        "traceback": "" if of_storage else "".join(traceback.format_exception(error)),
    }


def run_all(work: Work, name: str, studies: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Take and run trials until none waits; tell of each that is finished."""
    import optuna

    import sb3_ext.envs  # noqa: F401  (registers ids)
    from sb3_ext.zoo.search_spaces import SEARCH_SPACES
    from sb3_ext.zoo.tune import slots
    from sb3_ext.zoo.tune.storage import PATIENCE, open_storage
    from sb3_ext.zoo.tune.study import make_pruner, make_sampler, space_of

    for package in work.gym_packages:
        import_module(package)
    if "storage" not in studies:
        studies["storage"] = open_storage(work.url, PATIENCE)
    study = optuna.load_study(study_name=work.study_name, storage=studies["storage"])
    study.pruner = make_pruner("none" if work.recipes else work.pruner, work.task.n_seeds)
    space = space_of(SEARCH_SPACES[work.task.recipe.algo])
    while (taken := slots.take(study, work.slots, name)) is not None:
        with Heartbeat(study, taken, work.heartbeat):
            if not work.recipes:
                slot = int(taken.user_attrs[slots.SLOT])
                study.sampler = make_sampler(work.sampler, space, work.task.seed, slot, work.n_startup_trials)
            trial = optuna.Trial(study, taken._trial_id)
            told = run_one(study, trial, work)
        if told is not None:
            yield ("finished", told.number, told.state.name, told.value)


def run_one(study: Any, trial: Any, work: Work) -> Any:
    """Run one trial to its end; what was written down, None if it had been given up.

    Raises:
        Exception: whatever a training raises; the trial is failed first, and the error knows the hyperparameters.
    """
    import optuna

    from sb3_ext.zoo.tune import slots
    from sb3_ext.zoo.tune.objective import run_trial
    from sb3_ext.zoo.tune.storage import storage_errors

    try:
        value = retrain_one(trial, work) if work.recipes else run_trial(trial, work.task)
        return slots.finish(study, trial, value)
    except optuna.TrialPruned:
        return slots.finish(study, trial, state=optuna.trial.TrialState.PRUNED)
    except optuna.exceptions.UpdateFinishedTrialError:
        return None  # given up meanwhile
    except storage_errors():
        raise  # whoever watches the study notices the silence
    except Exception as error:
        error.trial = trial.number  # type: ignore[attr-defined]
        error.hyperparams = trial.params  # type: ignore[attr-defined]
        frozen = study._storage.get_trial(trial._trial_id)
        slots.give_up(study, frozen, "error")
        raise


def retrain_one(trial: Any, work: Work) -> float:
    """One re-training on a fresh seed; its value.

    Raises:
        optuna.TrialPruned: if it came upon NaN or infinity.
    """
    import optuna

    from sb3_ext.zoo.tune import slots
    from sb3_ext.zoo.tune.objective import NonFinite, measure_fresh

    number, index = map(int, trial.user_attrs[slots.SLOT].split(":"))
    assert work.models is not None
    try:
        outcome = measure_fresh(work.task, work.recipes[number], index, work.models / f"{number}-{index}")
    except NonFinite as error:
        raise optuna.TrialPruned(str(error)) from error
    trial.set_user_attr("return", outcome.final)
    trial.set_user_attr("means", outcome.means)
    return outcome.value


class Heartbeat:
    """A thread that gives a sign of life on a running trial at each interval, and ends an orphan's process.

    Args:
        study: the study.
        trial: the running trial.
        interval: seconds.
    """

    def __init__(self, study: Any, trial: Any, interval: float) -> None:
        self._storage, self._trial_id, self._interval = study._storage, trial._trial_id, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _beat(self) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        from sb3_ext.zoo.tune.slots import BEAT

        parent, count, due = parent_process(), 0, 0.0
        while not self._stop.wait(min(1.0, self._interval)):
            if parent is not None and not parent.is_alive():
                os._exit(1)  # the command was killed; whoever shares the study notices the silence
            if time.monotonic() < due:
                continue
            count, due = count + 1, time.monotonic() + self._interval
            try:
                self._storage.set_trial_user_attr(self._trial_id, BEAT, count)
            except UpdateFinishedTrialError:
                due = math.inf  # ended or given up
