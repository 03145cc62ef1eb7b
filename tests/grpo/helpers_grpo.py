"""Tiny environments whose returns are known, and what to build with them."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext import GRPO

POISON = 1e6


class Ragged(gym.Env):
    """Starts at a random x, the same for the same seed, and ends after ``lengths[episode]`` steps.

    The reward is the action plus x. Episodes after the listed ones pay poison.
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


def parameters(model: Any) -> np.ndarray:
    """All parameters of the policy as one vector."""
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in model.policy.parameters()]).copy()


def play(model: GRPO) -> Any:
    """One rollout, without learning from it: the batch."""
    _, callback = model._setup_learn(1)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 1)
    return model.prepare(model.rollout_buffer.episodes())
