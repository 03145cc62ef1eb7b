"""A parallel environment whose agents live and die as a script says, and which remembers all that happened."""

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

Life = tuple[int, int, str]  # joins at, ends at, how: "terminated", "truncated", "both" or "silently"


class Transition(NamedTuple):
    """What one agent lived through in one step."""

    agent: str
    observation: tuple[float, ...]
    action: int
    reward: float
    next_observation: tuple[float, ...]
    terminated: bool
    truncated: bool


class ScriptedEnv(ParallelEnv[str, Any, Any]):
    """Every observation is unlike any other: [episode, time, agent, luck]; so is every reward.

    Args:
        script: One dictionary an episode, agent to its life; played in turn, over and over.
        n_actions: Of each agent.
        masks: "no", "observation" or "info": where action masks are; an agent may not play ``time % n_actions``.
        reward: Instead of the scripted one.
    """

    metadata = {"name": "scripted", "render_modes": ["rgb_array"], "render_fps": 7}

    def __init__(
        self,
        script: list[dict[str, Life]],
        n_actions: int = 3,
        masks: str = "no",
        reward: float | None = None,
        render_mode: str | None = "rgb_array",
    ) -> None:
        self.script, self.n_actions, self.masks, self.reward = script, n_actions, masks, reward
        self.render_mode = render_mode
        self.possible_agents = sorted({agent for episode in script for agent in episode})
        self.episode = -1
        self.time = 0
        self.seeds: list[int | None] = []
        self.options: list[Any] = []
        self.transitions: list[Transition] = []
        self.n_closed = 0
        self.level = 3
        self.rewards = dict.fromkeys(self.possible_agents, 0.0)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.possible_agents}
        self.buffer = {agent: np.zeros(4, np.float32) for agent in self.possible_agents}  # overwritten: a common habit

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        space = spaces.Box(-1e6, 1e6, (4,), np.float32)
        if self.masks != "observation":
            return space
        return spaces.Dict({"observation": space, "action_mask": spaces.MultiBinary(self.n_actions)})

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(self.n_actions)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        self.seeds.append(seed)
        self.options.append(options)
        if seed is not None or not hasattr(self, "rng"):
            self.rng = np.random.default_rng(seed)
            self.episode = -1
        for agent in self.possible_agents:  # written into what was returned: another habit
            self.rewards[agent] = -1.0
            self.infos[agent]["time"] = 0
        self.episode += 1
        self.time = 0
        self.lives = self.script[self.episode % len(self.script)]
        self.agents = [agent for agent, (joins, _, _) in self.lives.items() if joins == 0]
        self._look()
        return self._seen(self.agents), {agent: self._info(agent) for agent in self.agents}

    def _look(self) -> None:
        for index, agent in enumerate(self.possible_agents):
            self.buffer[agent][:] = self.episode, self.time, index, self.rng.random()

    def _seen(self, agents: list[str]) -> dict[str, Any]:
        if self.masks != "observation":
            return {agent: self.buffer[agent] for agent in agents}
        return {agent: {"observation": self.buffer[agent], "action_mask": self.mask()} for agent in agents}

    def mask(self) -> np.ndarray:
        mask = np.ones(self.n_actions, np.int8)
        mask[self.time % self.n_actions] = 0
        return mask

    def _info(self, agent: str) -> dict[str, Any]:
        self.infos[agent].update({"time": self.time, "who": agent})
        if self.masks == "info":
            self.infos[agent]["action_mask"] = self.mask()
        return self.infos[agent]

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        assert list(actions) == self.agents, f"{list(actions)} acted, {self.agents} were asked"
        acted, before = self.agents, {agent: tuple(self.buffer[agent].tolist()) for agent in self.agents}
        self.time += 1
        self._look()
        ends = {agent: self.lives[agent][2] for agent in acted if self.lives[agent][1] == self.time}
        joined = [agent for agent, (joins, _, _) in self.lives.items() if joins == self.time]
        self.agents = [agent for agent in acted if agent not in ends] + joined
        for agent in acted:
            self.rewards[agent] = float(self.buffer[agent][:3] @ [100, 10, 1]) if self.reward is None else self.reward
        terminated = {agent: ends.get(agent) in ("terminated", "both") for agent in acted}
        truncated = {agent: ends.get(agent) in ("truncated", "both") for agent in acted}
        for agent in acted:
            after = tuple(self.buffer[agent].tolist())
            ended = terminated[agent] or ends.get(agent) == "silently", truncated[agent]
            self.transitions.append(
                Transition(agent, before[agent], int(actions[agent]), self.rewards[agent], after, *ended)
            )
        infos = {agent: self._info(agent) for agent in acted + joined}
        return self._seen(acted + joined), self.rewards, terminated, truncated, infos

    def render(self) -> np.ndarray:
        return np.full((4, 6, 3), self.time, dtype=np.uint8)

    def close(self) -> None:
        self.n_closed += 1

    def add(self, first: int, second: int = 0) -> int:
        self.level += 1
        return first + second + self.level


TOGETHER: list[dict[str, Life]] = [
    {"a": (0, 4, "truncated"), "b": (0, 4, "truncated")},
    {"a": (0, 3, "terminated"), "b": (0, 3, "terminated")},
]
DEATHS: list[dict[str, Life]] = [
    {"a": (0, 2, "terminated"), "b": (0, 5, "truncated"), "c": (0, 7, "terminated")},
    {"a": (0, 3, "truncated"), "b": (0, 3, "both"), "c": (0, 1, "terminated")},
    {"a": (0, 1, "terminated"), "b": (0, 1, "terminated"), "c": (0, 1, "terminated")},
    {"a": (0, 6, "terminated"), "b": (2, 4, "terminated"), "c": (0, 2, "silently")},
]


def lived(transitions: list[Transition]) -> list[tuple[Any, ...]]:
    """What a learner should get of them: a time limit is one only without a termination."""
    return [(*t[:5], t.terminated or t.truncated, t.truncated and not t.terminated) for t in transitions]


class GuessingEnv(ParallelEnv[str, Any, Any]):
    """Each agent sees a number and should play it: 1 for it, otherwise it dies. The best team gets 3 x 8."""

    metadata = {"name": "guessing"}
    render_mode = None
    best_team_return = 24.0

    def __init__(self) -> None:
        self.possible_agents = ["a", "b", "c"]

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Box(0, 1, (3,), np.float32)

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(3)

    def _draw(self) -> dict[str, Any]:
        self.numbers = {agent: int(self.rng.integers(3)) for agent in self.possible_agents}
        return {agent: np.eye(3, dtype=np.float32)[number] for agent, number in self.numbers.items()}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        if seed is not None or not hasattr(self, "rng"):
            self.rng = np.random.default_rng(seed)
        self.agents, self.time = list(self.possible_agents), 0
        return self._draw(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        self.time += 1
        acted = self.agents
        right = {agent: int(actions[agent]) == self.numbers[agent] for agent in acted}
        over = self.time == 8
        self.agents = [] if over else [agent for agent in acted if right[agent]]
        return (
            self._draw(),
            {agent: float(right[agent]) for agent in acted},
            {agent: not right[agent] for agent in acted},
            dict.fromkeys(acted, over),
            {agent: {} for agent in acted},
        )
