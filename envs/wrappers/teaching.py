"""Wrappers for class: actions that slip, and a narrator who tells each transition in the terms of the book.

Gymnasium's ``StickyAction`` (the last action is repeated by chance) and ``RecordVideo`` go well with them.
"""

import sys
from collections.abc import Sequence
from typing import Any, TextIO

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs


class SlipAction(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """With some probability the agent does something else than it meant to: any Discrete world becomes stochastic.

    ``info["executed_action"]`` says what was done.

    Args:
        env: An environment with Discrete actions.
        probability: Probability of a slip, in [0, 1].
        kind: "random": a slip takes an action uniformly at random (the one meant included);
            "sideways": a slip turns to the left or to the right, each with half of the probability.
        circle: For "sideways", the moves in the order in which they go round; actions not in it never slip. By default
            all actions as they are numbered, which suits FrozenLake and CliffWalking; Taxi needs (0, 2, 1, 3).

    Raises:
        ValueError: If the probability, the kind or the circle is impossible, or the actions are not Discrete.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        probability: float,
        kind: str = "random",
        circle: Sequence[int] | None = None,
    ) -> None:
        space = env.action_space
        if not isinstance(space, spaces.Discrete):
            raise ValueError(f"SlipAction needs Discrete actions, got {space}; gymnasium.wrappers.DiscretizeAction "
                             "cuts a Box, FlattenDiscrete joins a MultiDiscrete")  # fmt: skip
        if not 0 <= probability <= 1:
            raise ValueError(f"probability must lie in [0, 1], got {probability}")
        if kind not in ("random", "sideways"):
            raise ValueError(f"unknown kind {kind!r}: 'random' or 'sideways'")
        RecordConstructorArgs.__init__(self, probability=probability, kind=kind, circle=circle)
        gym.Wrapper.__init__(self, env)
        self.probability = probability
        self.kind = kind
        self.n_actions, self.first_action = int(space.n), int(space.start)
        default = range(self.first_action, self.first_action + self.n_actions)
        self.circle = [int(action) for action in (default if circle is None else circle)]
        if len(set(self.circle)) != len(self.circle) or not all(space.contains(a) for a in self.circle):
            raise ValueError(f"circle must hold different actions of {space}, got {circle}")

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Does the action, or what the slip makes of it."""
        executed = self._slip(int(action))
        observation, reward, terminated, truncated, info = self.env.step(executed)
        return observation, reward, terminated, truncated, {**info, "executed_action": executed}

    def _slip(self, action: int) -> int:
        chance, direction = self.np_random.random(2)  # always two, so that the random stream stays in step
        if chance >= self.probability:
            return action
        if self.kind == "random":
            return self.first_action + int(direction * self.n_actions)
        if action not in self.circle:
            return action
        turn = 1 if direction < 0.5 else -1
        return self.circle[(self.circle.index(action) + turn) % len(self.circle)]


class Narrate(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Says each transition in the notation of Sutton & Barto: S_t, A_t, R_{t+1}, S_{t+1}, and the return so far.

    Args:
        env: The environment; it is told as this wrapper sees it, so put Narrate outermost.
        stream: Where to write, any text stream; None is standard output. It is not kept in ``env.spec``.
        actions: Names of the actions, for a Discrete space: ``["left", "down", "right", "up"]``.
        gamma: Discount in the return so far, R_1 + gamma R_2 + ...

    Raises:
        ValueError: If the number of names is not the number of actions.

    Example:
        >>> env = Narrate(gym.make("FrozenLake-v1", is_slippery=False), actions=["left", "down", "right", "up"])
        >>> _ = env.reset(seed=0)
        --- a new episode: S_0 = 0
        >>> _ = env.step(1)
        t=0: in S_0 = 0, action A_0 = down gives reward R_1 = 0 and state S_1 = 4; return so far 0
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        stream: TextIO | None = None,
        actions: Sequence[str] | None = None,
        gamma: float = 1.0,
    ) -> None:
        space = env.action_space
        if actions is not None and not (isinstance(space, spaces.Discrete) and space.n == len(actions)):
            raise ValueError(f"{len(actions)} names for the actions {space}: {list(actions)}")
        RecordConstructorArgs.__init__(self, actions=actions, gamma=gamma)
        gym.Wrapper.__init__(self, env)
        self.stream = stream
        self.action_names = None if actions is None else list(actions)
        self.gamma = gamma
        self._state, self._time, self._return = "", 0, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode and says where."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._state, self._time, self._return = _show(observation), 0, 0.0
        self._say(f"--- a new episode: S_0 = {_show(observation)}")
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes the step and tells it."""
        before = self._state
        observation, reward, terminated, truncated, info = self.env.step(action)
        t, self._state = self._time, _show(observation)
        self._return += self.gamma**t * float(reward)
        self._time += 1
        self._say(
            f"t={t}: in S_{t} = {before}, action A_{t} = {self._name(action)} gives reward R_{t + 1} = "
            f"{float(reward):g} and state S_{t + 1} = {self._state}; return so far {self._return:g}"
        )
        if terminated:
            self._say(f"terminated: S_{t + 1} is terminal and has no future, so its value is 0. {self._total()}")
        elif truncated:
            self._say(
                f"truncated: time is up, but S_{t + 1} is not terminal and keeps its value: bootstrap from it. "
                f"{self._total()}"
            )
        return observation, reward, terminated, truncated, info

    def _total(self) -> str:
        return f"G_0 = {self._return:g} after {self._time} steps"

    def _name(self, action: Any) -> str:
        if self.action_names is None:
            return _show(action)
        space = self.action_space
        assert isinstance(space, spaces.Discrete)
        return self.action_names[int(action) - int(space.start)]

    def _say(self, line: str) -> None:
        print(line, file=self.stream or sys.stdout)


def _show(value: Any) -> str:
    """Short text of an observation or action; arrays are rounded to three digits on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_show(part)}" for key, part in value.items()) + "}"
    if isinstance(value, tuple):
        return "(" + ", ".join(_show(part) for part in value) + ")"
    if isinstance(value, np.ndarray) and value.ndim:
        return " ".join(np.array2string(value, precision=3, suppress_small=True, threshold=20).split())
    return f"{value}"
