"""``sb3-ext doctor --cost``: what share of a training's time ``DoctorCallback`` takes.

The same training with it and without, by turns, in CPU time, which other programs disturb less than the clock; and the
share of the training with it that passes inside of the callback, which scatters less, but leaves out what SB3 does to
call it.
"""

import statistics
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.zoo.doctor.callback import DoctorCallback
from sb3_ext.zoo.doctor.healthy import Healthy, all_healthy

if TYPE_CHECKING:
    from rich.console import Console

ALGORITHMS = ("ppo", "a2c", "dqn", "sac", "reinforce", "q_learning")  # the first healthy training of each
HOOKS = ("_on_training_start", "_on_step", "_on_rollout_end", "_on_training_end")


class TimedDoctor(DoctorCallback):
    """Adds up the seconds that pass in it, and what share of a training they are."""

    def __init__(self) -> None:
        super().__init__(verbose=0)
        self.seconds, self.created = 0.0, time.perf_counter()
        for name in HOOKS:
            setattr(self, name, self._timed(getattr(self, name)))

    def _timed(self, hook: Any) -> Any:
        def timed() -> Any:
            started = time.perf_counter()
            result = hook()
            self.seconds += time.perf_counter() - started
            return result

        return timed

    @property
    def share(self) -> float:
        """Of the time since it was made."""
        return self.seconds / (time.perf_counter() - self.created)


def seconds_of(run: Healthy, seed: int, callback: BaseCallback | None) -> float:
    """CPU time of a training."""
    started = time.process_time()
    run.train(seed, callback)
    return time.process_time() - started


def measure_cost(seed: int, n_repeats: int, only: str, console: "Console") -> int:
    """Print a line for each algorithm; 0 if less than 2 % of each training passes in the callback, else 1.

    Args:
        seed: of the trainings.
        n_repeats: with it and without.
        only: of the algorithms those that have this in their name.
        console: prints.

    Raises:
        ValueError: if there are none.
    """
    chosen = [name for name in ALGORITHMS if only.lower() in name]
    if not chosen:
        raise ValueError(f"argument --only: no algorithm has {only!r} in its name; there are {', '.join(ALGORITHMS)}")
    th.set_num_threads(1)
    shares = []
    for name in chosen:
        run = next(each for each in all_healthy() if each.recipe.algo == name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            share, watched, alone = by_turns(run, seed, n_repeats)
        shares.append(share)
        console.print(
            f"{run.name}, {run.recipe.n_timesteps:,} steps: {share:.2%} of the time passes in it; "
            f"{watched:.2f} s with it, {alone:.2f} s without, a ratio of {watched / alone:.3f}",
            highlight=False,
            soft_wrap=True,
        )
    return int(max(shares) >= 0.02)


def by_turns(run: Healthy, seed: int, n_repeats: int) -> tuple[float, float, float]:
    """The callback's share (median), and the CPU seconds of the training with it and without (the least of each)."""
    short = replace(run.recipe, n_timesteps=run.recipe.n_timesteps // 10)
    seconds_of(run._replace(recipe=short), seed, None)  # what is compiled and loaded once
    shares: list[float] = []
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for turn in range(n_repeats):
        for watched in (True, False) if turn % 2 else (False, True):
            doctor = TimedDoctor() if watched else None
            seconds[watched].append(seconds_of(run, seed, doctor))
            if doctor is not None:
                shares.append(doctor.share)
    return statistics.median(shares), min(seconds[True]), min(seconds[False])
