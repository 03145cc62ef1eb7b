"""Tiny environments whose every episode is known, and what to build with them."""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext import REINFORCE

POISON = 1e30


class Script(NamedTuple):
    """One episode: its rewards, and whether it is cut off or reaches a terminal state."""

    rewards: list[float]
    truncated: bool = False


class Scripted(gym.Env):
    """Plays its scripts in turn, whatever the actions; after the last one, episodes of poisoned rewards.

    The observation is 0.1 * [number of the environment, episode, time]; ``received`` keeps the actions.
    """

    observation_space = spaces.Box(-100.0, 100.0, (3,), np.float32)

    def __init__(self, scripts: list[Script], number: int = 0, action_space: spaces.Space | None = None):
        self.scripts, self.number, self.episode, self.time = scripts, number, -1, 0
        self.action_space = action_space or spaces.Discrete(2)
        self.received: list[Any] = []

    def observation(self) -> np.ndarray:
        return observe(self.number, self.episode, self.time)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return self.observation(), {}

    def step(self, action):
        self.received.append(action)
        script = self.scripts[self.episode] if self.episode < len(self.scripts) else Script([POISON] * 3)
        reward = script.rewards[self.time]
        self.time += 1
        over = self.time == len(script.rewards)
        return self.observation(), reward, over and not script.truncated, over and script.truncated, {}


def observe(number: int, episode: int, time: int) -> np.ndarray:
    return 0.1 * np.array([number, episode, time], np.float32)


class Match(gym.Env):
    """A contextual bandit, ``length`` rounds an episode: reward 1 for the action that the observation shows."""

    def __init__(self, length: int = 3, observation: str = "vector", action_space: spaces.Space | None = None):
        self.length, self.kind = length, observation
        self.action_space = action_space or spaces.Discrete(2)
        vector = spaces.Box(0.0, 1.0, (2,), np.float32)
        image = spaces.Box(0, 255, (36, 36, 1), np.uint8)
        self.observation_space = {
            "vector": vector,
            "number": spaces.Discrete(2),
            "image": image,
            "dict": spaces.Dict({"vector": vector, "image": image, "number": spaces.Discrete(2)}),
        }[observation]

    def _observe(self) -> Any:
        self.context = int(self.np_random.integers(2))
        views = {
            "vector": np.eye(2, dtype=np.float32)[self.context],
            "number": self.context,
            "image": np.full((36, 36, 1), 255 * self.context, np.uint8),
        }
        return views if self.kind == "dict" else views[self.kind]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        reward = float(np.ravel(action)[0] > 0.5) if self.context else float(np.ravel(action)[0] <= 0.5)
        self.time += 1
        return self._observe(), reward, False, self.time >= self.length, {}


class Endless(gym.Env):
    """Never ends, or after ``length`` steps. Observation and reward can be made to break at one step."""

    action_space = spaces.Discrete(2)

    def __init__(self, length: float = np.inf, broken_step: int = -1, reward=1.0, value=0.0, as_dict: bool = False):
        self.length, self.broken_step, self.broken_reward, self.broken_value = length, broken_step, reward, value
        self.as_dict, self.time = as_dict, 0
        box = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.observation_space = spaces.Dict({"a": box, "b": box}) if as_dict else box

    def _observe(self) -> Any:
        broken = self.time == self.broken_step
        value = np.array([self.broken_value if broken else 0.0], np.float32)
        return {"a": np.zeros(1, np.float32), "b": value} if self.as_dict else value

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        self.time += 1
        reward = self.broken_reward if self.time == self.broken_step else 1.0
        return self._observe(), reward, False, self.time >= self.length, {}


class RandomLength(gym.Env):
    """One step or nine, at even odds; the reward of a step is noise around the action. Nothing else happens."""

    observation_space, action_space = spaces.Box(-1.0, 1.0, (1,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.choice([1, 9]))
        return np.ones(1, np.float32), {}

    def step(self, action):
        self.left -= 1
        return np.ones(1, np.float32), float(action + self.np_random.normal()), self.left == 0, False, {}


class Recorder(BaseCallback):
    """Writes down every hook that is called; stops at the step ``stop_at``; ``raises`` there instead if given."""

    def __init__(self, stop_at: int | None = None, raises: type[BaseException] | None = None):
        super().__init__()
        self.hooks: list[str] = []
        self.batches: list[Any] = []
        self.stop_at, self.raises = stop_at, raises

    def _on_training_start(self) -> None:
        self.hooks.append("training_start")

    def _on_rollout_start(self) -> None:
        self.hooks.append("rollout_start")

    def _on_step(self) -> bool:
        self.hooks.append("step")
        if self.n_calls != self.stop_at:
            return True
        if self.raises:
            raise self.raises
        return False

    def _on_rollout_end(self) -> None:
        self.hooks.append("rollout_end")
        self.batches.append(self.model.rollout_buffer.episodes())

    def _on_training_end(self) -> None:
        self.hooks.append("training_end")


def vec(make: Any, n_envs: int = 1) -> DummyVecEnv:
    """``n_envs`` monitored environments; ``make`` takes no argument."""
    return DummyVecEnv([lambda: Monitor(make())] * n_envs)


def small(env: Any, policy: str = "MlpPolicy", **kwargs: Any) -> REINFORCE:
    """A model with a small network on the CPU."""
    policy_kwargs = {"net_arch": [8], **kwargs.pop("policy_kwargs", {})}
    return REINFORCE(policy, env, **{"device": "cpu", "seed": 0, "policy_kwargs": policy_kwargs, **kwargs})


def parameters(model: REINFORCE) -> np.ndarray:
    """All parameters of the policy as one vector."""
    return np.concatenate([parameter.detach().numpy().ravel() for parameter in model.policy.parameters()]).copy()
