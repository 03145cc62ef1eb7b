"""Copies of a parallel PettingZoo environment: who is alive, how agents and episodes ended, and when to reset.

An agent ends once: at the step at which it is terminated or truncated. A copy's episode ends when its last living
agent does; the copy is then reset within the same step, as SB3 expects of its environments.
"""

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel

AnyParallelEnv: TypeAlias = "ParallelEnv[str, Any, Any]"
AnyEnv: TypeAlias = "AnyParallelEnv | AECEnv[str, Any, Any]"
EnvOrFactory: TypeAlias = "AnyEnv | Callable[[], AnyEnv]"


@dataclass(slots=True)
class AgentEnd:
    """How one agent's episode ended.

    Attributes:
        observation: The last one, before any reset.
        terminated: Whether there is no future.
        truncated: Whether it was only cut off (both may be true).
        episode: Its return, its length in steps and the seconds since the copy was made, as SB3's Monitor calls them.
    """

    observation: Any
    terminated: bool
    truncated: bool
    episode: dict[str, float]


class EnvCopy:
    """One environment, stepped and reset, and what the last step said.

    Attributes:
        alive: The agents that act next, each with the time at which it joined the episode.
        observations: Of the living; after a restart, the first of the new episode.
        current_infos: What came with ``observations``.
        acted: The agents that acted in the last step.
        rewards: Of the last step.
        infos: Of the last step (of its last step where an episode ended).
        ends: The agents that ended in the last step.
        restarted: Whether the last step ended the episode.
        team_episode: Then its return over all agents and its length in environment steps, otherwise None.
        n_steps: Environment steps since the copy was made.
        keeps_state: Whether to ask the environment for its state at the end of each episode.
        last_state: The environment's state at the end of the episode, if the last step ended it.
    """

    def __init__(self, env: AnyParallelEnv) -> None:
        self.env = env
        self.possible_agents = list(env.possible_agents)
        self.n_steps = 0
        self.keeps_state = False
        self._made_at = time.time()
        self._forget_step()

    def _forget_step(self) -> None:
        self.acted: dict[str, int] = {}
        self.rewards: dict[str, Any] = {}
        self.infos: dict[str, Any] = {}
        self.ends: dict[str, AgentEnd] = {}
        self.restarted = False
        self.team_episode: dict[str, float] | None = None
        self.last_state: Any = None

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begins an episode; whatever ran before is dropped.

        Raises:
            ValueError: If nobody is alive, or somebody who is not in ``possible_agents``, or who sees nothing.
        """
        self._forget_step()
        self._begin(seed, options)

    def _begin(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.observations, self.current_infos = (
            self.env.reset(seed=seed, options=options) if options else self.env.reset(seed=seed)
        )
        self._time = 0
        self._returns: dict[str, float] = {}
        self._gone: set[str] = set()
        self.alive: dict[str, int] = {}
        self._let_in(self.env.agents)
        if not self.alive:
            raise ValueError(f"{self.env} has no agents after reset()")

    def step(self, actions: dict[str, Any]) -> None:
        """Steps the environment; resets it if nobody is alive afterwards.

        Args:
            actions: One for every living agent; those of others are left out.
        """
        self._forget_step()
        before = self.observations
        if len(actions) != len(self.env.agents):
            actions = {agent: actions[agent] for agent in self.env.agents}
        self.observations, self.rewards, terminated, truncated, self.infos = self.env.step(actions)
        self.current_infos = self.infos
        self.acted = self.alive
        self.n_steps += 1
        self._time += 1
        for agent in self.acted:
            self._returns[agent] += self.rewards.get(agent, 0.0)
            if terminated.get(agent) or truncated.get(agent):
                self._end(agent, before, bool(terminated.get(agent)), bool(truncated.get(agent)))
        if self.ends or self.env.agents != list(self.acted):
            self._count(before)

    def _count(self, before: dict[str, Any]) -> None:
        """Finds who is left, who left without a word, and who is new."""
        present = set(self.env.agents)
        for agent in self.acted:
            if agent not in present and agent not in self.ends:
                self._end(agent, before, terminated=True, truncated=False)
        self.alive = {agent: joined for agent, joined in self.acted.items() if agent not in self.ends}
        self._let_in(agent for agent in self.env.agents if agent not in self.alive and agent not in self._gone)
        if not self.alive:
            self.restarted = True
            self.team_episode = self._episode(sum(self._returns.values()), self._time)
            if self.keeps_state:
                self.last_state = deepcopy(self.env.state())
            # Environments may write the next episode into the dictionaries that they returned.
            self.rewards = dict(self.rewards)
            self.infos = {agent: dict(info or ()) for agent, info in self.infos.items()}
            self._begin()

    def _let_in(self, agents: Iterator[str] | list[str]) -> None:
        for agent in agents:
            if agent not in self.possible_agents:
                raise ValueError(
                    f"{self.env} has a new agent {agent!r}, which is not in its possible_agents,"
                    f" {self.possible_agents}; list there all agents that may ever live"
                )
            if self.observations.get(agent) is None:
                raise ValueError(f"{self.env} has an agent {agent!r}, but no observation for it")
            self.alive[agent] = self._time
            self._returns[agent] = 0.0

    def _end(self, agent: str, before: dict[str, Any], terminated: bool, truncated: bool) -> None:
        observation = self.observations.get(agent)
        if observation is None:
            if not terminated:
                raise ValueError(
                    f"{self.env} truncated {agent!r} without a last observation; a learner needs it, to estimate"
                    " what the agent would still have earned"
                )
            observation = before[agent]  # nobody looks beyond a termination
        self._gone.add(agent)
        episode = self._episode(self._returns[agent], self._time - self.acted[agent])
        self.ends[agent] = AgentEnd(deepcopy(observation), terminated, truncated, episode)

    def _episode(self, return_: float, length: int) -> dict[str, float]:
        return {"r": float(return_), "l": length, "t": round(time.time() - self._made_at, 6)}


def make_copies(env: EnvOrFactory, n_envs: int) -> list[EnvCopy]:
    """Makes copies of an environment, AEC ones converted where PettingZoo allows it.

    Args:
        env: A function that makes an environment; for one copy, the environment itself will do.
        n_envs: How many.

    Raises:
        TypeError: If that is no PettingZoo environment, or the number no whole one.
        ValueError: If there are to be none, if the function hands out one environment twice, or for an environment
            without ``possible_agents`` or whose agents take turns.
    """
    if not isinstance(n_envs, int | np.integer):
        raise TypeError(f"n_envs must be a whole number, got {n_envs!r}")
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, got {n_envs}")
    if callable(env) and not isinstance(env, (ParallelEnv, AECEnv)):
        envs = [env() for _ in range(n_envs)]
    elif n_envs == 1:
        envs = [env]
    else:
        raise TypeError(f"{n_envs} copies need a function that makes one, as simple_spread_v3.parallel_env; got {env}")
    if len({id(copy) for copy in envs}) < n_envs:
        raise ValueError("the function returned the same environment twice; it must make a new one at each call")
    return [EnvCopy(as_parallel(copy)) for copy in envs]


def as_parallel(env: Any) -> AnyParallelEnv:
    """The environment as a parallel one that names its agents, or an error; see ``make_copies``."""
    if isinstance(env, AECEnv):
        if not getattr(env, "metadata", {}).get("is_parallelizable", False):
            raise ValueError(
                f"the agents of {env} take turns, so that they cannot act at once: train on it through SelfPlayEnv;"
                " if its world moves only at the end of each cycle, set metadata['is_parallelizable'] = True"
            )
        env = aec_to_parallel(env)
    if not isinstance(env, ParallelEnv):
        hint = "; a single-agent one belongs in make_vec_env" if isinstance(env, gym.Env) else ""
        raise TypeError(f"expected a PettingZoo ParallelEnv or AECEnv, got {env!r}{hint}")
    if not list(getattr(env, "possible_agents", None) or ()):
        raise ValueError(f"{env} does not say in possible_agents which agents it may have; set it in its __init__")
    return env


def layers(env: AnyParallelEnv) -> Iterator[Any]:
    """The environment's wrappers from the outermost to the environment itself, which comes last.

    >>> from mpe2 import simple_spread_v3
    >>> [type(layer).__name__ for layer in layers(simple_spread_v3.parallel_env())]
    ['aec_to_parallel_wrapper', 'OrderEnforcingWrapper', 'AssertOutOfBoundsWrapper', 'raw_env']
    """
    layer: Any = env
    while layer is not None:
        yield layer
        inner = vars(layer)
        layer = inner.get("env") or inner.get("aec_env") or inner.get("par_env")
