"""Measurements of grid worlds, for ``sb3-ext speed worlds``."""

import time
from collections.abc import Callable
from functools import cache

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

N_ENVS = 1024
SIDE = 1000  # cells
N_OBSTACLES = 200_000


def grid_world_vec_env() -> VecEnv:
    """Many four rooms as one batch.

    Nobody looks at the infos while steps are counted, and this environment makes them at the first look only; where
    each is looked at, as by ``VecMonitor`` and by SB3's algorithms, making them is nine tenths of a step.
    """
    from sb3_ext.envs import GridWorldVecEnv

    return GridWorldVecEnv(N_ENVS, "FourRooms", max_episode_steps=500)


def dummy_vec_env() -> VecEnv:
    """The same as single environments, which SB3 steps in a loop; with nothing around them but their time limit."""
    from sb3_ext.envs import GridWorld

    return DummyVecEnv([lambda: gym.wrappers.TimeLimit(GridWorld("FourRooms"), 500)] * N_ENVS)


def monitored(make_env: Callable[[], VecEnv]) -> VecEnv:
    """The same inside SB3's ``VecMonitor``, which looks at every info, as trainings do."""
    return VecMonitor(make_env())


def single_steps_per_second(env_id: str, seconds: float) -> float:
    """Steps a second of one bare environment under random actions, drawn beforehand; resets are part of it."""
    import sb3_ext.envs  # noqa: F401  registers the ids

    env = gym.make(env_id).unwrapped
    assert isinstance(env.action_space, gym.spaces.Discrete)
    actions = np.random.default_rng(0).integers(env.action_space.n, size=5000).tolist()
    env.reset(seed=0)
    n_steps, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        for action in actions:
            if env.step(action)[2]:
                env.reset()
        n_steps += len(actions)
    return n_steps / elapsed


@cache
def big_map() -> str:
    """The text of a random map of a million cells."""
    from sb3_ext.envs import random_map

    return random_map(SIDE, N_OBSTACLES, seed=0).to_text()


def creation_seconds(slip: float) -> float:
    """From the text to the world with its model; reading the text is part of it."""
    from sb3_ext.envs import GridWorld

    text, started = big_map(), time.perf_counter()
    GridWorld(text, slip=slip)
    return time.perf_counter() - started


def megabytes(slip: float) -> float:
    """All arrays of the model and of the map, in millions of bytes."""
    from sb3_ext.envs import GridWorld

    world = GridWorld(big_map(), slip=slip)
    of_map = sum(array.nbytes for array in vars(world.grid_map).values() if isinstance(array, np.ndarray))
    return (world.mdp.nbytes + of_map) / 1e6
