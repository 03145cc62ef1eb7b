"""Worlds, algorithms with all their options, and everything that a user can see of a training."""

from collections.abc import Callable
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext.common.exploration import UCB, Boltzmann, EpsilonGreedy
from sb3_ext.envs import GridWorld
from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular import (
    SARSA,
    DoubleQLearning,
    DynaQ,
    ExpectedSARSA,
    MonteCarloControl,
    QLearning,
    TabularMDP,
)
from sb3_ext.vec_env import make_vec_env

CLASSES = [QLearning, DoubleQLearning, SARSA, ExpectedSARSA, MonteCarloControl, DynaQ]
VARIANTS: dict[str, tuple[type, dict[str, Any]]] = {
    "Q": (QLearning, {}),
    "Q lambda replacing": (QLearning, {"lambda_": 0.8}),
    "Q lambda accumulating": (QLearning, {"lambda_": 0.8, "traces": "accumulating"}),
    "Double Q": (DoubleQLearning, {}),
    "SARSA": (SARSA, {}),
    "SARSA 3 steps": (SARSA, {"n_steps": 3}),
    "SARSA lambda replacing": (SARSA, {"lambda_": 0.8}),
    "SARSA lambda accumulating": (SARSA, {"lambda_": 0.8, "traces": "accumulating"}),
    "Expected SARSA": (ExpectedSARSA, {}),
    "Expected SARSA 4 steps": (ExpectedSARSA, {"n_steps": 4}),
    "MC first visit": (MonteCarloControl, {"visits": "first"}),
    "MC every visit": (MonteCarloControl, {"visits": "every"}),
    "Dyna-Q": (DynaQ, {"planning_steps": 3}),
    "Dyna-Q latest": (DynaQ, {"planning_steps": 3, "model": "latest"}),
    "Dyna-Q+": (DynaQ, {"planning_steps": 3, "kappa": 0.01}),
    "Sweeping": (DynaQ, {"planning_steps": 3, "prioritized": True}),
    "Sweeping latest": (DynaQ, {"planning_steps": 3, "prioritized": True, "model": "latest", "threshold": 0.01}),
    "Sweeping+": (DynaQ, {"planning_steps": 3, "prioritized": True, "kappa": 0.01}),
}
EXPLORATIONS = {
    "epsilon": EpsilonGreedy(0.6, 0.1, fraction=0.7),
    "boltzmann": Boltzmann(1.0, 0.2),
    "ucb": UCB(1.5),
}
RATES = {
    "1/N": "1/N",
    "written": "lin_1/N^0.5",
    "schedule": LinearSchedule(0.5, 0.1, 0.6),
    "constant": 0.25,
}


def random_mdp(seed: int, n_states: int = 6, n_actions: int = 3, n_outcomes: int = 3, p_end: float = 0.1):
    """Random transitions and rewards; episodes end at random and start anywhere."""
    rng = np.random.default_rng(seed)
    shape = (n_states, n_actions, n_outcomes)
    return TabularMDP.from_arrays(
        rng.integers(n_states, size=shape),
        rng.normal(size=shape),
        rng.random(shape) < p_end,
        rng.dirichlet(np.ones(n_outcomes), size=shape[:2]),
        start=rng.dirichlet(np.ones(n_states)),
    )


LINE = TabularMDP.from_arrays(  # 0 -> 1 -> 2 -> end, rewards 1, 2, 4; one action
    [[1], [2], [2]], [[1.0], [2.0], [4.0]], [[False], [False], [True]], start=[1.0, 0.0, 0.0]
)
RANDOM = random_mdp(0)
WORLDS: dict[str, Callable[[], gym.Env]] = {
    "lake": lambda: gym.make("FrozenLake-v1"),
    "taxi": lambda: gym.make("Taxi-v4", max_episode_steps=40),
    "cliff": lambda: gym.make("CliffWalking-v1", max_episode_steps=60),
    "grid": lambda: gym.make("sb3_ext/GridWorld-v0", map="KeyDoor", slip=0.2, random_start=True, max_episode_steps=30),
    "tabular": lambda: TimeLimit(TabularEnv(RANDOM), 12),
}


def vec(make: Callable[[], gym.Env], n_envs: int = 1, folder: Any = None) -> DummyVecEnv:
    """Monitored environments; their files are ``<folder>/<number>.monitor.csv``."""

    def monitored(number: int) -> Callable[[], gym.Env]:
        return lambda: Monitor(make(), None if folder is None else f"{folder}/{number}")

    return DummyVecEnv([monitored(number) for number in range(n_envs)])


def world(name: str, n_envs: int = 1, folder: Any = None):
    """One of ``WORLDS``, or the grid world's own ``VecEnv``."""
    if name != "native":
        return vec(WORLDS[name], n_envs, folder)
    return make_vec_env(
        "sb3_ext/GridWorld-v0", n_envs, monitor_dir=folder, monitor_kwargs={"info_keywords": ("is_success",)},
        env_kwargs={"map": "FourRooms", "slip": 0.1, "random_start": True, "max_episode_steps": 25}, backend="native",
    )  # fmt: skip


def tabular(mdp: TabularMDP, limit: int | None = None, n_envs: int = 1) -> DummyVecEnv:
    """A ``TabularMDP`` as monitored environments."""
    return vec(lambda: TabularEnv(mdp) if limit is None else TimeLimit(TabularEnv(mdp), limit), n_envs)


def grid(**kwargs: Any) -> DummyVecEnv:
    """A grid world, monitored."""
    limit = kwargs.pop("limit", 30)
    return vec(lambda: TimeLimit(GridWorld(**kwargs), limit))


class Rows(KVWriter):
    """Keeps what is logged, but for the clock on the wall."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, Any]]] = []

    def write(self, key_values, key_excluded, step=0) -> None:
        kept = {key: value for key, value in key_values.items() if key not in ("time/fps", "time/time_elapsed")}
        assert {"time/fps", "time/time_elapsed"} <= set(key_values) or "time/episodes" not in kept
        self.rows.append((step, kept))

    def close(self) -> None:
        """Nothing to close."""


def build(cls, env, rows: Rows | None = None, **kwargs: Any):
    """A model, with a logger of our own."""
    model = cls("TabularPolicy", env, **{"seed": 3, **kwargs})
    if rows is not None:
        model.set_logger(Logger(None, [rows]))
    return model


def knowledge(model) -> dict[str, list[Any]]:
    """All that the agent keeps, its random numbers included."""
    kept = {name: array.tolist() for name, array in model.policy.arrays().items()}
    return kept | {"random": model._memory.random_state.tolist()}


def statistics(model) -> dict[str, Any]:
    """All that SB3 tells of a training."""
    return {
        "num_timesteps": model.num_timesteps,
        "episodes": model._episode_num,
        "infos": [{key: value for key, value in info.items() if key != "t"} for info in model.ep_info_buffer],
        "types": [{key: type(value) for key, value in info.items()} for info in model.ep_info_buffer],
        "successes": list(model.ep_success_buffer),
        "progress": model._current_progress_remaining,
        "last_obs": model._last_obs.tolist(),
        "last_starts": model._last_episode_starts.tolist(),
    }


def monitored(env) -> list[Any]:
    """What the monitors counted, single ones and ``VecMonitor``."""
    seen: list[Any] = []
    if hasattr(env, "episode_count"):
        seen += [env.episode_count, env.episode_returns.tolist(), env.episode_lengths.tolist()]
    for single in [single for single in getattr(env, "envs", []) if isinstance(single, Monitor)]:
        seen += [single.total_steps, single.episode_returns, single.episode_lengths, len(single.episode_times)]
        seen += [len(single.rewards), sum(single.rewards), single.needs_reset]
    return seen


def files(folder) -> dict[str, list[str]]:
    """The rows of each monitor file, without the time."""
    return {
        path.name: [drop_time(line) for line in path.read_text().splitlines()[1:]]
        for path in sorted(folder.glob("*.csv"))
    }


def drop_time(line: str) -> str:
    """A row of a monitor file without its third column."""
    return ",".join(cell for number, cell in enumerate(line.split(",")) if number != 2)


def step_on(env, n_steps: int = 40) -> list[Any]:
    """What the environments give when they are stepped on."""
    rng, seen = np.random.default_rng(0), []
    for _ in range(n_steps):
        actions = rng.integers(env.action_space.n, size=env.num_envs)
        observations, rewards, dones, infos = env.step(actions)
        for info in infos:
            info.get("episode", {}).pop("t", None)
        kept = ("TimeLimit.truncated", "terminal_observation", "episode", "is_success")
        told = [{key: info[key] for key in kept if key in info} for info in infos]
        seen.append((observations.tolist(), rewards.tolist(), dones.tolist(), told))
    return seen


def pairs_of_options() -> list[Any]:
    """Every algorithm in every world; explorations, rates and numbers of environments take turns."""
    names, explorations, rates = [*WORLDS, "native"], list(EXPLORATIONS), list(RATES)
    return [
        (variant, place, explorations[(i + j) % 3], rates[(i + j) % 4], [1, 3][(i + j // 2) % 2])
        for (i, variant), (j, place) in product(enumerate(VARIANTS), enumerate(names))
    ]
