"""The same again: what an environment gives for given actions, and where two such courses differ."""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np


class Step(NamedTuple):
    """What an environment gave."""

    observation: Any
    reward: float
    terminated: bool
    truncated: bool


def follow(env: gym.Env[Any, Any], seed: int, action_seed: int, n_steps: int) -> list[Step]:
    """What an environment gives from a seed on, for actions drawn by another; one episode follows the other."""
    env.action_space.seed(action_seed)
    observation, _ = env.reset(seed=seed)
    steps = [Step(_copy(observation), 0.0, False, False)]
    for _ in range(n_steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        steps.append(Step(_copy(observation), float(reward), bool(terminated), bool(truncated)))
        if terminated or truncated:
            observation, _ = env.reset()
            steps.append(Step(_copy(observation), 0.0, False, False))
    return steps


def first_difference(one: list[Step], other: list[Step]) -> str | None:
    """Where two courses differ: "in the reward of step 3"; None if they do not."""
    for number, (left, right) in enumerate(zip(one, other, strict=False)):
        for name, a, b in zip(Step._fields, left, right, strict=True):
            if not _equal(a, b):
                return f"in the first {name}" if number == 0 else f"in {name} at step {number}"
    return None


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return all(_equal(left, right) for left, right in zip(a, b, strict=True))
    return bool(np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind == "f"))


def _copy(observation: Any) -> Any:
    """Some environments write into the array that they returned."""
    if isinstance(observation, dict):
        return {key: _copy(part) for key, part in observation.items()}
    return tuple(map(_copy, observation)) if isinstance(observation, tuple) else np.array(observation)
