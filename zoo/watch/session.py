"""What one tab shows: a world, one or two learners in it, and the exact solution beside them. No web in here."""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_ext.envs import GridWorld
from sb3_ext.tabular import expected_return, value_iteration
from sb3_ext.zoo.watch.checks import MessageError
from sb3_ext.zoo.watch.learner import Learner
from sb3_ext.zoo.watch.messages import AgentSettings, Message, read_agents, read_world

ONE_BY_ONE = 30  # transitions a second up to which each is made alone and spelled out
LONGEST_HORIZON = 1_000.0
"""1 / (1 - gamma) where nothing ends: 50 x 50 cells then take a second; with 100,000 half a minute does not do."""
LIBRARY_ERRORS = (ValueError, TypeError, OverflowError)
"""What the library raises for worlds and agents that are impossible."""


class Session:
    """The state behind one tab; not to be used by two threads at once.

    Args:
        example: ``world``, ``gamma`` and ``agents`` to begin with, as in ``examples.EXAMPLES``.

    Raises:
        MessageError: If they are impossible.
    """

    def __init__(self, example: Mapping[str, Any]) -> None:
        self.description: dict[str, Any] = {}
        self.gamma = 0.99
        self.learners: list[Learner] = []
        self.exact: Exact | None = None
        self.running = False
        self.speed = 0.0
        self.explained: list[dict[str, Any] | None] = []
        self._owed = 0.0
        self._setup(read_world(example["world"]), example["gamma"], read_agents(example["agents"]))

    def handle(self, message: Message) -> bool:
        """Does what a message asks for.

        Returns:
            Whether the page needs the world and the exact solution anew.

        Raises:
            MessageError: If it cannot be done; all is as it was, but for ``running``.
        """
        if message.type == "setup":
            return self._setup(message.world, message.gamma, message.agents)
        if message.type == "reset":
            return self._make(self.description, self.gamma, [learner.settings for learner in self.learners])
        self.running = message.type == "run"
        if message.type == "run":
            self.speed, self._owed = message.speed, 0.0
        elif message.type == "step":
            self.explained = [self._safely(learner.step) for learner in self.learners]
        return self._map_changed()

    def advance(self, seconds: float, elapsed: float) -> bool:
        """Learns for about so many seconds, or as many transitions as the speed asks for.

        Args:
            seconds: To be used at most, about.
            elapsed: Since the last call.

        Returns:
            Whether the page needs the world and the exact solution anew.

        Raises:
            MessageError: If the agents cannot learn here; then they pause.
        """
        self._owed = min(self._owed + self.speed * elapsed, self.speed)
        n_steps = int(self._owed)
        if 0 < self.speed <= ONE_BY_ONE:
            for _ in range(n_steps):
                self.explained = [self._safely(learner.step) for learner in self.learners]
        elif n_steps or self.speed == 0:
            at_once = min(learner.at_once for learner in self.learners)  # all make as many transitions
            self.explained = [None for _ in self.learners]
            for learner in self.learners:
                self._safely(learner.learn, min(n_steps or at_once, at_once), seconds / len(self.learners))
        self._owed -= n_steps
        return self._map_changed()

    def _safely(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except LIBRARY_ERRORS as error:
            self.running = False
            raise MessageError(str(error)) from error

    def _setup(self, world: dict[str, Any], gamma: float, agents: Sequence[AgentSettings]) -> bool:
        """Takes over what the page wants; what was learned is kept where only step size or exploration changed."""
        same = world == self.description and gamma == self.gamma and len(agents) == len(self.learners)
        if same and all(learner.change(settings) for learner, settings in zip(self.learners, agents, strict=True)):
            return False
        return self._make(world, gamma, agents)

    def _make(self, world: dict[str, Any], gamma: float, agents: Sequence[AgentSettings]) -> bool:
        learners = [self._safely(Learner, world, settings, gamma) for settings in agents]
        self.exact = self._safely(Exact, learners[0].grid, gamma)
        self.description, self.gamma, self.learners = world, gamma, learners
        self.explained = [None for _ in learners]
        return True

    def _map_changed(self) -> bool:
        """Whether the world itself changed in the course of learning; then solves the present one."""
        assert self.exact is not None
        grid = self.learners[0].grid
        if grid.grid_map is self.exact.grid_map:
            return False
        self.exact = self._safely(Exact, grid, self.gamma)
        return True

    # ---- For the page -----------------------------------------------------------------------------------------------

    def world_message(self) -> bytes:
        """The world at present and its exact solution."""
        assert self.exact is not None
        grid, exact = self.learners[0].grid, self.exact
        grid_map = grid.grid_map
        rewards = [[None if value != value else value for value in row] for row in grid_map.cell_rewards.tolist()]
        head = {
            "type": "world",
            "map": ["".join(row) for row in grid_map.letters.tolist()],
            "wind": grid_map.wind.tolist(),
            "rewards": rewards,
            "moves": grid.rules.moves.tolist(),
            "rules": vars(grid.rules),
            "gamma": self.gamma,
            "optimum": exact.optimum,
            "no_solution": exact.problem,
        }
        return packed(head, {"exact": exact.q_values})

    def frame(self, number: int) -> bytes:
        """What the agents know at present."""
        agents: list[dict[str, Any]] = []
        arrays: dict[str, npt.NDArray[Any]] = {}
        for index, learner in enumerate(self.learners):
            q_table = learner.q_table
            agents.append(
                {
                    "state": learner.state,
                    "steps": learner.n_steps,
                    "episodes": learner.curve.n_episodes,
                    "bin": learner.curve.width,
                    "error": self._error(learner, q_table),
                    "step": self.explained[index],
                }
            )
            arrays |= {f"q{index}": q_table, f"visits{index}": learner.visits, f"curve{index}": learner.curve.points()}
        head = {"type": "frame", "number": number, "running": self.running, "agents": agents}
        return packed(head, arrays)

    def _error(self, learner: Learner, q_table: npt.NDArray[np.float64]) -> float | None:
        """Root mean square of max Q(s, a) - v*(s) over the states; None where the agent learns other values."""
        assert self.exact is not None
        if learner.settings.shaping != "none" or self.exact.problem:
            return None
        difference = (q_table.max(axis=1) - self.exact.q_values.max(axis=1))[self.exact.counts]
        return float(np.sqrt(np.mean(difference**2))) if len(difference) else None


class Exact:
    """The exact solution of a grid world as it is now.

    Attributes:
        q_values: [S, A]; no rows if there is none.
        problem: Why there is none; else empty.
        optimum: The expected sum of rewards of an episode under the optimal policy, or None if it has no limit.
        counts: bool [S]: the states in which something can be done.
    """

    def __init__(self, grid: GridWorld, gamma: float) -> None:
        self.grid_map, mdp = grid.grid_map, grid.mdp
        inert = (mdp.terminated & (mdp.next_state == np.arange(mdp.n_states)[:, None, None])).all(axis=(1, 2))
        self.counts = ~inert
        self.problem, self.optimum = "", None
        try:
            if 1 - 1 / LONGEST_HORIZON < gamma < 1 and not mdp.terminated[self.counts].any():
                raise ValueError(f"the exact values of a world without an end take too long at gamma {gamma:g}")
            solution = value_iteration(mdp, gamma)
        except ValueError as error:
            self.problem, self.q_values = str(error), np.zeros((0, mdp.n_actions))
            return
        self.q_values = solution.q_values
        if mdp.terminated[self.counts].any():
            try:
                optimum = expected_return(mdp, solution.policy, gamma=1.0)
            except ValueError:
                return
            self.optimum = optimum if np.isfinite(optimum) else None


def packed(head: dict[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """A message to the page: the length of its head, the head (JSON, filled up to 4 bytes), then float32 arrays.

    ``head["arrays"]`` says which: [name, rows, columns] each.
    """
    parts, places = [], []
    for name, array in arrays.items():
        places.append([name, len(array), 1 if array.ndim == 1 else array.shape[1]])
        parts.append(np.ascontiguousarray(array, dtype="<f4").tobytes())
    text = json.dumps({**head, "arrays": places}, ensure_ascii=False, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<I", len(text)) + text + b"".join(parts)


def unpacked(message: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.float32]]]:
    """The head and the arrays of what ``packed`` wrote."""
    (length,) = struct.unpack_from("<I", message)
    head, at, arrays = json.loads(message[4 : 4 + length]), 4 + length, {}
    for name, rows, columns in head["arrays"]:
        arrays[name] = np.frombuffer(message, "<f4", rows * columns, at).reshape(rows, columns)
        at += 4 * rows * columns
    return head, arrays
