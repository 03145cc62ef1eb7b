"""Environments in which something is wrong, and which finding should tell; for ``--self-check`` and the tests."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.wrappers import TransformObservation, TransformReward

from sb3_ext.zoo.doctor.healthy import CARTPOLE
from sb3_ext.zoo.doctor.worlds import Constant


class BrokenReward(gym.Wrapper[Any, Any, Any, Any]):
    """One reward in so many is NaN."""

    def __init__(self, env: gym.Env[Any, Any], every: int = 500) -> None:
        super().__init__(env)
        self.every, self.n_steps = every, 0

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment's."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.n_steps += 1
        return observation, np.nan if self.n_steps % self.every == 0 else float(reward), terminated, truncated, info


def scaled_rewards(scale: float) -> Callable[[], gym.Env[Any, Any]]:
    """CartPole with other rewards."""
    return lambda: TransformReward(gym.make(CARTPOLE), lambda reward: scale * float(reward))


def scaled_observations(scale: float) -> Callable[[], gym.Env[Any, Any]]:
    """CartPole with other observations."""
    space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    return lambda: TransformObservation(gym.make(CARTPOLE), lambda seen: (scale * seen).astype(np.float32), space)


class EnvironmentFault(NamedTuple):
    """An environment that is wrong."""

    name: str
    signs: tuple[str, ...]
    make: Callable[[], gym.Env[Any, Any]]


class OwnChance(gym.Wrapper[Any, Any, Any, Any]):
    """Draws from NumPy's global generator, which no seed reaches."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Another reward each time."""
        observation, reward, *rest = self.env.step(action)
        return observation, float(reward) + np.random.normal(), *rest  # noqa: NPY002


class Forgetful(gym.Wrapper[Any, Any, Any, Any]):
    """Adds up the steps of all episodes, and pays by them: the reset forgets to begin anew."""

    n_steps = 0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """The reward falls with every step."""
        self.n_steps += 1
        observation, reward, *rest = self.env.step(action)
        return observation, float(reward) - 0.001 * self.n_steps, *rest


class Deaf(gym.Wrapper[Any, Any, Any, Any]):
    """Does the same, whatever the action."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """By the first action."""
        return self.env.step(0)


class Slow(gym.Wrapper[Any, Any, Any, Any]):
    """Takes its time."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """10 ms later."""
        time.sleep(0.01)
        return self.env.step(action)


class Beyond(gym.Wrapper[Any, Any, Any, Any]):
    """Its observations leave their space."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-0.01, 0.01, (4,), np.float32)


class LeavesOutTruncated(gym.Wrapper[Any, Any, Any, Any]):
    """Returns four values, as before Gymnasium."""

    def step(self, action: Any) -> Any:
        """Without ``truncated``."""
        observation, reward, terminated, _, info = self.env.step(action)
        return observation, reward, terminated, info


def _cartpole(wrapper: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]) -> Callable[[], gym.Env[Any, Any]]:
    return lambda: wrapper(gym.make(CARTPOLE))


ENVIRONMENT_FAULTS = (
    EnvironmentFault("chance that no seed reaches", ("not reproducible",), _cartpole(OwnChance)),
    EnvironmentFault("a reset that forgets", ("reset leaves something",), _cartpole(Forgetful)),
    EnvironmentFault("actions without effect", ("actions do not matter",), _cartpole(Deaf)),
    EnvironmentFault("nothing ever changes", ("always the same",), Constant),
    EnvironmentFault("no time limit", ("no time limit",), lambda: gym.make("CliffWalking-v1")),
    EnvironmentFault("slow steps", ("slow steps",), _cartpole(Slow)),
    EnvironmentFault("observations outside the space", ("outside its space",), _cartpole(Beyond)),
    EnvironmentFault("NaN rewards", ("NaN",), lambda: BrokenReward(gym.make(CARTPOLE), every=50)),
    EnvironmentFault("rewards of 1,000,000", ("huge rewards",), scaled_rewards(1e6)),
    EnvironmentFault("observations of 1,000,000", ("huge observations",), scaled_observations(1e6)),
)
