"""The command's side of its workers: it starts them, replaces dead ones, and follows the study until it is done."""

import multiprocessing
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import TrialState
from tqdm import tqdm

from sb3_ext.zoo.parallel import ctrl_c_held
from sb3_ext.zoo.tune import slots, worker
from sb3_ext.zoo.tune.storage import hurried, storage_errors
from sb3_ext.zoo.tune.worker import Work

if TYPE_CHECKING:
    from sb3_ext.zoo.tune.ray_member import RayMember

LOOK = 2.0  # seconds between looks at the study, for what other machines do
DEATHS = 10  # workers that may die without one trial finished in between
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class TrialError(Exception):
    """A trial that ended by an exception, or workers that keep dying.

    Args:
        message: what happened.
        traceback: of the worker, if it had the time.
    """

    def __init__(self, message: str, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class Member:
    """One worker process, as the command sees it."""

    def __init__(self) -> None:
        self.name = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        self.idle = True
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=worker.main, args=(theirs, self.name), daemon=True)
        with _one_thread(), ctrl_c_held():
            self.process.start()
        theirs.close()

    @property
    def handles(self) -> list[Connection | int]:
        """What becomes ready when there is something to hear."""
        return [self.connection, self.process.sentinel]

    def assign(self, work: Work) -> None:
        """Give it something to do; if it has died, that shows elsewhere."""
        self.idle = False
        with suppress(OSError):
            self.connection.send(work)

    def messages(self) -> Iterator[tuple[Any, ...]]:
        """What it has said; last, ("died", exit code), if it has."""
        died = not self.process.is_alive()  # before reading, so that nothing said is missed
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            self.process.join(5)
            died = True
        if died:
            yield ("died", self.process.exitcode)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class Crew:
    """The workers of one command; a context manager that leaves none behind.

    Args:
        n_workers: at the same time.
        hire: makes a worker.
    """

    def __init__(self, n_workers: int, hire: "Callable[[], Member | RayMember]" = Member) -> None:
        self.n_workers, self._hire = n_workers, hire
        self.members: list[Member | RayMember] = []
        self._deaths = 0

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        with _ctrl_c_ignored():
            self.end()

    def end(self) -> list[str]:
        """Kill all; their names."""
        names = [member.name for member in self.members]
        for member in self.members:
            member.end()
        self.members = []
        return names

    def run(self, study: optuna.Study, work: Work, label: str) -> None:
        """Follow a study until all its slots are finished, by these workers or by other machines'.

        Args:
            study: the study.
            work: what the workers get; its slots are the study's.
            label: of the progress bar.

        Raises:
            TrialError: if a trial raised an exception, or workers keep dying.
        """
        slots.fill(study, work.slots)
        try:
            with tqdm(total=len(work.slots), unit="trial", desc=label, smoothing=0) as progress:
                self._follow(study, work, progress)
        except BaseException as error:
            # If the storage does not answer now, the silence of these trials is noticed when the study is gone on with.
            with _ctrl_c_ignored(), hurried(), suppress(*storage_errors()):
                ended = "interrupted" if isinstance(error, KeyboardInterrupt) else "stopped"
                slots.give_up_those_of(study, self.end(), ended)
            raise
        slots.strike_off_reserve(study, work.slots)

    def _follow(self, study: optuna.Study, work: Work, progress: tqdm) -> None:
        watch = slots.Watch(work.heartbeat)
        while True:
            trials = slots.trials_of(study)
            silent = watch.silent(trials, [member.name for member in self.members])
            for trial in silent:
                slots.give_up(study, trial, "silent")
            counting = slots.counting(trials)
            if silent or any(slot not in counting for slot in work.slots):
                slots.fill(study, work.slots)
                trials = slots.trials_of(study)
            done = slots.finished(trials, work.slots)
            _show(progress, done, study)
            if len(done) == len(work.slots):
                return
            self._employ(work, sum(trial.state == TrialState.WAITING for trial in slots.counting(trials).values()))
            self._listen(study, len(work.slots) - len(done))

    def _employ(self, work: Work, n_waiting: int) -> None:
        """Let as many workers work as there are trials waiting; start those that are missing."""
        busy = sum(not member.idle for member in self.members)
        while len(self.members) < min(self.n_workers, busy + n_waiting):
            self.members.append(self._hire())
        for member in self.members:
            if member.idle and n_waiting > 0:
                member.assign(work)
                n_waiting -= 1

    def _listen(self, study: optuna.Study, n_missing: int) -> None:
        """Hear the workers until there is reason to look at the study again."""
        deadline, n_finished = time.monotonic() + LOOK, 0
        while n_finished < n_missing and (left := deadline - time.monotonic()) > 0:
            wait([handle for member in self.members for handle in member.handles], left)
            for member in list(self.members):
                for kind, *rest in member.messages():
                    if kind == "finished":
                        n_finished, self._deaths = n_finished + 1, 0
                    elif kind == "idle":
                        member.idle, deadline = True, 0.0
                    elif kind == "error":
                        raise _error(rest[0])
                    elif kind == "died":
                        self._bury(study, member, rest[0])
                        deadline = 0.0

    def _bury(self, study: optuna.Study, member: "Member | RayMember", exit_code: int | None) -> None:
        """Give up what a dead worker was running; another one is started when the study is looked at next."""
        self.members.remove(member)
        member.connection.close()
        slots.give_up_those_of(study, [member.name], "killed")
        self._deaths += 1
        if self._deaths >= DEATHS:
            raise TrialError(
                f"{DEATHS} workers died one after the other and no trial finished; the last exit code is {exit_code}"
                " (-9 is often the system's, for want of memory: try fewer --workers)"
            )


def _error(what: dict[str, Any]) -> TrialError:
    about = "" if what["trial"] is None else f"trial {what['trial']} raised "
    given = "" if not what["hyperparams"] else f"\nits hyperparameters: {what['hyperparams']}"
    return TrialError(f"{about}{what['error']}{given}", what["traceback"])


def _show(progress: tqdm, done: list[optuna.trial.FrozenTrial], study: optuna.Study) -> None:
    values = [trial.value for trial in done if trial.state == TrialState.COMPLETE and trial.value is not None]
    if values:
        best = max(values) if study.direction == optuna.study.StudyDirection.MAXIMIZE else min(values)
        progress.set_postfix_str(f"best {best:.6g}", refresh=False)
    progress.update(len(done) - progress.n)


@contextmanager
def _one_thread() -> Iterator[None]:
    """An environment in which a new process computes by one thread, whatever it imports."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Keep Ctrl-C from what must not be interrupted."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
