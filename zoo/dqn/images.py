"""A short training from images, of SB3's DQN and of ours: speed, memory, and whether every number stays finite."""

import resource
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.table import Table
from stable_baselines3 import DQN
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

import sb3_ext.envs  # noqa: F401  (registers ids)
from sb3_ext.dqn import PrioritizedDQN, Rainbow
from sb3_ext.vec_env import make_vec_env
from sb3_ext.zoo.figures import installed
from sb3_ext.zoo.parallel import StepCounter, run_parallel

N_ENVS, N_TIMESTEPS = 4, 6_000
BUFFER_SIZE = 10_000
ALGORITHMS: dict[str, tuple[type[DQN], dict[str, Any]]] = {
    "SB3's DQN": (DQN, {}),
    "prioritised DQN": (PrioritizedDQN, {}),
    "prioritised DQN, optimize_memory_usage": (PrioritizedDQN, {"optimize_memory_usage": True}),
    "Rainbow": (Rainbow, {}),
}
WORLDS = ("GridWorld, images of cells", "Pong-v5 (EnvPool)")


class Job(NamedTuple):
    """One training."""

    world: str
    algorithm: str


class Seen(NamedTuple):
    """What was seen of it."""

    job: Job
    shape: tuple[int, ...]
    steps_per_second: float
    """of CPU time, gradient steps included"""
    n_updates: int
    buffer_megabytes: float
    peak_megabytes: float
    """of the whole process"""
    is_finite: bool


def table(n_processes: int) -> Table:
    """Each training in a process of its own."""
    worlds = [world for world in WORLDS if "EnvPool" not in world or installed("envpool")]
    jobs = [Job(world, algorithm) for world in worlds for algorithm in ALGORITHMS]
    lines = Table("world", "algorithm", "images", "steps/s", "updates", "buffer, MB", "process, MB", "all finite",
                  title=f"images: {N_TIMESTEPS:,} steps, a buffer of {BUFFER_SIZE:,}")  # fmt: skip
    found = {seen.job: seen for seen in run_parallel(measure, jobs, n_processes, N_TIMESTEPS * len(jobs))}
    for job in jobs:
        seen = found[job]
        numbers = (seen.steps_per_second, seen.n_updates, seen.buffer_megabytes, seen.peak_megabytes)
        shape, finite = "x".join(map(str, seen.shape)), "yes" if seen.is_finite else "NO"
        lines.add_row(*job, shape, *(f"{number:,.0f}" for number in numbers), finite)
    return lines


def make(world: str) -> VecEnv:
    """Its environments."""
    if "EnvPool" in world:
        return make_vec_env("Pong-v5", N_ENVS, seed=0, backend="envpool")
    return make_vec_env("sb3_ext/GridWorld-v0", N_ENVS, seed=0, env_kwargs={"observation": "image"})


def measure(job: Job) -> Seen:
    """Train and look."""
    algorithm, arguments = ALGORITHMS[job.algorithm]
    watched, env = Finite(), make(job.world)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of support and memory: this is short
        model = algorithm("CnnPolicy", env, seed=0, device="cpu", buffer_size=BUFFER_SIZE, learning_starts=1_000,
                          target_update_interval=1_000, **arguments)  # fmt: skip
        started = time.process_time()
        model.learn(N_TIMESTEPS, [watched, StepCounter()], log_interval=1)
    seconds = time.process_time() - started
    env.close()
    kept: Any = model.replay_buffer
    arrays = [part for part in vars(kept).values() if isinstance(part, np.ndarray)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    finite = watched.always and all(bool(torch.isfinite(weights).all()) for weights in model.policy.parameters())
    return Seen(job, env.observation_space.shape or (), N_TIMESTEPS / seconds, model._n_updates,
                sum(part.nbytes for part in arrays) / 1e6, peak, finite)  # fmt: skip


class Finite(BaseCallback):
    """Whether every number in the log is finite."""

    always = True

    def _on_step(self) -> bool:
        values: Iterator[Any] = iter(self.logger.name_to_value.values())
        self.always &= all(np.isfinite(value) for value in values)
        return True
