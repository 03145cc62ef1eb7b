"""Trainings in parallel: one process each, results as they finish, a progress bar of environment steps."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
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
        if _steps is not None:
            with _steps.get_lock():
                _steps.value += n_timesteps - self._counted
        self._counted = n_timesteps


def run_parallel(
    function: Callable[[Job], Result], jobs: Sequence[Job], n_processes: int, n_timesteps: int
) -> Iterator[Result]:
    """Call a function on every job, each in a spawned process with one thread.

    Whatever ends the iteration, an interruption or an error in a job too, ends the processes.

    Args:
        function: at the top level of a module; its trainings have a :class:`StepCounter` for the progress bar.
        jobs: its arguments; they and the results must pickle.
        n_processes: at the same time.
        n_timesteps: environment steps of all jobs together.

    Yields:
        Results in the order in which they finish.
    """
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    others, steps = set(multiprocessing.active_children()), context.Value("q", 0)
    pool = ProcessPoolExecutor(min(n_processes, len(jobs)), context, _start_worker, (steps,))
    try:
        with tqdm(total=n_timesteps, unit="step", unit_scale=True, smoothing=0.02) as progress:
            waiting = {pool.submit(function, job) for job in jobs}
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                progress.set_description(f"{len(jobs) - len(waiting)} of {len(jobs)} trainings", refresh=False)
                progress.update(min(steps.value, n_timesteps) - progress.n)
                yield from (future.result() for future in finished)
        pool.shutdown()
    finally:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        pool.shutdown(cancel_futures=True)


def _start_worker(steps: Any) -> None:
    """One thread for each process; Ctrl-C is the parent's business."""
    global _steps
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    _steps = steps
