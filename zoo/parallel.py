"""Trainings in parallel: one process each, results as they finish, a progress bar of environment steps."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any, TypeVar

import torch
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

Job = TypeVar("Job")
Result = TypeVar("Result")

_steps: Any = None  # in a worker: the steps that all workers have made, shared between them


class StepCounter(BaseCallback):
    """Tells the progress bar of :func:`run_parallel` what this process has done, after each rollout."""

    def __init__(self) -> None:
        super().__init__()
        self._counted = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._count(self.num_timesteps)

    def _on_training_end(self) -> None:
        """A training that stops early has nothing left to do."""
        self._count(max(self.num_timesteps, self.locals["total_timesteps"]))

    def _count(self, n_timesteps: int) -> None:
        count(n_timesteps - self._counted)
        self._counted = n_timesteps


def count(n: int) -> None:
    """Tell the progress bar of :func:`run_parallel` that this process has done ``n`` more; elsewhere do nothing."""
    if _steps is not None:
        with _steps.get_lock():
            _steps.value += n


def run_parallel(
    function: Callable[[Job], Result], jobs: Sequence[Job], n_processes: int, n_timesteps: int, unit: str = "step"
) -> Iterator[Result]:
    """Call a function on every job, each in a spawned process with one thread.

    Whatever ends the iteration, an interruption or an error in a job too, ends the processes.

    Args:
        function: at the top level of a module; for the progress bar its trainings have a :class:`StepCounter`, or it
            calls :func:`count`.
        jobs: its arguments; they and the results must pickle.
        n_processes: at the same time.
        n_timesteps: environment steps of all jobs together, or what else ``unit`` says.
        unit: of the progress bar.

    Yields:
        Results in the order in which they finish.
    """
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    others, steps = set(multiprocessing.active_children()), context.Value("q", 0)
    pool = ProcessPoolExecutor(min(n_processes, len(jobs)), context, _start_worker, (steps,))
    try:
        with tqdm(total=n_timesteps, unit=unit, unit_scale=True, smoothing=0.02) as progress:
            with ctrl_c_held():
                waiting = {pool.submit(function, job) for job in jobs}
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                progress.set_description(f"{len(jobs) - len(waiting)} of {len(jobs)} done", refresh=False)
                progress.update(min(steps.value, n_timesteps) - progress.n)
                yield from (future.result() for future in finished)
        pool.shutdown()
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)


@contextmanager
def ctrl_c_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; processes that are started meanwhile never hear it."""
    resource_tracker.ensure_running()  # which would let it through when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(steps: Any) -> None:
    """One thread for each process; Ctrl-C is the parent's business; where that is killed, the process ends too."""
    global _steps
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _steps = steps


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
