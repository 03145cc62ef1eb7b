"""Tiny environments whose returns are known, and what to build with them."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext import GRPO

POISON = 1e30


class Ragged(gym.Env):
    """Starts at a random x, the same for the same seed, and ends after ``lengths[episode]`` steps.

    The reward is the action plus x. After the last of the lengths the first one comes again.
    """

    def __init__(self, lengths: list[int], action_space: spaces.Space | None = None, observation: str = "vector"):
        self.lengths, self.episode, self.time, self.kind = lengths, -1, 0, observation
        self.action_space = action_space or spaces.Discrete(2)
        vector, image = spaces.Box(-1.0, 1.0, (2,), np.float32), spaces.Box(0, 255, (36, 36, 1), np.uint8)
        self.observation_space = {
            "vector": vector,
            "image": image,
            "dict": spaces.Dict({"vector": vector, "image": image, "number": spaces.Discrete(3)}),
        }[observation]

    def _observe(self) -> Any:
        views = {
            "vector": np.array([self.x, self.time / 10], np.float32),
            "image": np.full((36, 36, 1), int(127 * (1 + self.x)), np.uint8),
        }
        return {**views, "number": self.time % 3} if self.kind == "dict" else views[self.kind]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = float(self.np_random.uniform(-1, 1))
        self.episode, self.time = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.time += 1
        over = self.time >= self.lengths[self.episode % len(self.lengths)]
        return self._observe(), float(np.sum(action)) + self.x, over, False, {}


class Endless(Ragged):
    """Never ends; the reward is not a number from step ``broken`` on."""

    def __init__(self, broken: int = 10**9):
        super().__init__([10**9])
        self.broken = broken

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward if self.time < self.broken else float("nan"), *rest


class Deaf(Ragged):
    """Ignores the seed of a reset."""

    def reset(self, *, seed=None, options=None):
        return super().reset()


class Scripted(gym.Env):
    """The k-th group episode pays ``scripts[k]``, whatever the actions; what is played beside them pays poison.

    Episodes of a group begin with a seeded reset, those after a member's end do not. (The very first seeded reset
    comes from SB3, before any group.) The observation is [x, time], with one x for each seed.
    """

    observation_space = spaces.Box(-100.0, 100.0, (2,), np.float32)

    def __init__(self, scripts: list[list[float]], action_space: spaces.Space | None = None, truncates: bool = False):
        self.scripts, self.truncates, self.n_seeded = scripts, truncates, -1
        self.action_space = action_space or spaces.Discrete(2)

    def _observe(self) -> np.ndarray:
        return np.array([self.x, self.time / 10], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n_seeded += seed is not None
        counts = seed is not None and 1 <= self.n_seeded <= len(self.scripts)
        self.rewards = self.scripts[self.n_seeded - 1] if counts else [POISON] * 3
        self.x, self.time = float(self.np_random.uniform(-1, 1)), 0
        return self._observe(), {}

    def step(self, action):
        self.time += 1
        over = self.time == len(self.rewards)
        return self._observe(), self.rewards[self.time - 1], over and not self.truncates, over and self.truncates, {}


class Match(gym.Env):
    """A contextual bandit, ``length`` rounds an episode: reward 1 for the action that the observation shows."""

    observation_space, action_space = spaces.Box(0.0, 1.0, (2,), np.float32), spaces.Discrete(2)

    def __init__(self, length: int = 3):
        self.length = length

    def _observe(self) -> np.ndarray:
        self.context = int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.context]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        reward = float(action == self.context)
        self.time += 1
        return self._observe(), reward, False, self.time >= self.length, {}


class Sick(gym.Env):
    """Two steps an episode; one number of the step ``broken`` is ``value``: "reward", "observation" or "last"."""

    observation_space, action_space = spaces.Box(-1.0, 1.0, (2,), np.float32), spaces.Discrete(2)

    def __init__(self, where: str, value: float = np.nan):
        self.where, self.value = where, value

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.time += 1
        broken = {1: "observation", 2: "last"}[self.time] == self.where
        observation = np.array([0.0, self.value if broken else 0.0], np.float32)
        reward = self.value if self.where == "reward" and self.time == 2 else float(action)
        return observation, reward, False, self.time == 2, {}


def script(column: int) -> list[float]:
    """The rewards of an episode of known return: 1 to 4 steps."""
    return [float(10 * column + t + (-1) ** column * 3) for t in range(1 + (column * 7) % 4)]


def scripted(n_envs: int, n_episodes: int, **kwargs: Any) -> DummyVecEnv:
    """Environments that play ``script(0), script(1), ...``, round after round."""
    scripts = [[script(column) for column in range(i, n_episodes, n_envs)] for i in range(n_envs)]
    return vec(*[lambda i=i: Scripted(scripts[i], **kwargs) for i in range(n_envs)])


def vec(*makes: Any) -> DummyVecEnv:
    """One monitored environment for each function."""
    return DummyVecEnv([lambda make=make: Monitor(make()) for make in makes])


def ragged(n_envs: int = 4, **kwargs: Any) -> DummyVecEnv:
    """Environments whose episodes have 1, 2, ... steps; what comes after an episode is a longer one."""
    return vec(*[lambda i=i: Ragged([i + 1], **kwargs) for i in range(n_envs)])


def small(env: Any, policy: Any = "MlpPolicy", **kwargs: Any) -> GRPO:
    """Two groups of two, a small network on the CPU."""
    defaults = {"group_size": 2, "n_groups": 2, "device": "cpu", "seed": 0, "policy_kwargs": {"net_arch": [8]}}
    return GRPO(policy, env, **{**defaults, **kwargs})


def with_reference(model: GRPO) -> GRPO:
    """The model as its first ``learn`` begins: with the default reference."""
    model._setup_learn(1)
    return model


def parameters(model: Any) -> np.ndarray:
    """All parameters of the policy as one vector."""
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in model.policy.parameters()]).copy()


def play(model: GRPO) -> Any:
    """One rollout, without learning from it: the batch."""
    _, callback = model._setup_learn(1)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 1)
    return model.prepare(model.rollout_buffer.episodes())
