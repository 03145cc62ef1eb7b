"""The smallest worlds that show what an algorithm can, for ``--algo``, and two that go wrong, for ``--self-check``.

They follow Andy Jones, "Debugging RL, Without the Agonizing Pain" (2021): each asks for one thing more than the one
before it, so that the first that fails says which part is broken.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

KINDS = {"discrete": spaces.Discrete(2), "box": spaces.Box(-1.0, 1.0, (1,), np.float32)}
"""Action spaces, by name."""


class ProbeWorld(gym.Env[Any, Any]):
    """A world of two states and at most ``length`` steps; the states are numbers of a Discrete(2), or -1 and 1.

    Args:
        actions: "discrete" or "box".
        tabular: states as Discrete(2).
    """

    length = 1

    def __init__(self, actions: str = "discrete", tabular: bool = False) -> None:
        self.action_space = KINDS[actions]
        self.tabular = tabular
        self.observation_space = spaces.Discrete(2) if tabular else spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        super().reset(seed=seed)
        self.state, self.steps = self.first_state(), 0
        return self.observation(self.state), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Pays, and ends after ``length`` steps, which is a real end and no time limit."""
        self.steps += 1
        terminated = self.steps == self.length
        reward = self.reward(action, terminated)
        self.state = 1
        return self.observation(self.state), reward, terminated, False, {}

    def observation(self, state: int) -> Any:
        """As the agent sees it."""
        return state if self.tabular else np.array([2.0 * state - 1.0], np.float32)

    def first_state(self) -> int:
        """Where an episode starts."""
        return 0

    def reward(self, action: Any, terminated: bool) -> float:
        """Of a step."""
        raise NotImplementedError

    def action_masks(self) -> np.ndarray:
        """For MaskablePPO: all actions may be taken."""
        return np.ones(2, bool)


class OneTransition(ProbeWorld):
    """Every episode is the same step, which pays 1: the value of the state is 1."""

    def reward(self, action: Any, terminated: bool) -> float:
        """1."""
        return 1.0


class TwoTransitions(ProbeWorld):
    """Two steps, the second of which pays 1: the states are worth gamma and 1. After that nothing follows."""

    length = 2

    def reward(self, action: Any, terminated: bool) -> float:
        """1 at the end."""
        return float(terminated)


class MatchState(ProbeWorld):
    """One step from a random state, which says what to do: pays 1 for the action of the same sign, else 0."""

    def first_state(self) -> int:
        """One of the two, at random."""
        return int(self.np_random.integers(2))

    def reward(self, action: Any, terminated: bool) -> float:
        """1 if it is right; for a Box 1 minus the squared distance to half the state's sign."""
        sign = 2 * self.state - 1
        if isinstance(self.action_space, spaces.Box):
            return 1.0 - float(np.square(float(np.asarray(action).reshape(-1)[0]) - 0.5 * sign))
        return float(int(action) == self.state)


class RightAction(MatchState):
    """Likewise, from one and the same state: one of the actions pays, always."""

    def first_state(self) -> int:
        """The second."""
        return 1


class Trap(gym.Env[Any, Any]):
    """A corridor with a small reward next to its start and ten times as much at its far end.

    Who stops to explore once the small one is found never gets the large one.

    Args:
        length: cells from the start to the far end.
    """

    def __init__(self, length: int = 8) -> None:
        self.length = length
        self.observation_space, self.action_space = spaces.Discrete(length), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Starts in the first cell."""
        super().reset(seed=seed)
        self.cell = 0
        return 0, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """0 takes what is near, and ends the episode; 1 walks on."""
        if int(action) == 0:
            return self.cell, 0.1 if self.cell == 0 else 0.0, True, False, {}
        self.cell += 1
        terminated = self.cell == self.length
        return min(self.cell, self.length - 1), float(terminated), terminated, False, {}


class Constant(gym.Env[Any, Any]):
    """Whatever the agent does, it sees and gets the same, ten times an episode."""

    observation_space, action_space = spaces.Box(-1.0, 1.0, (3,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts counting."""
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Nothing changes."""
        self.steps += 1
        return np.zeros(3, np.float32), 1.0, self.steps == 10, False, {}
