"""Compares PettingZooVecEnv with the raw environment, transition by transition, over random play.

The raw environment is a second copy that is given the same seeds and the same actions, and is stepped by hand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from gymnasium import spaces
from mpe2.all_modules import mpe_environments
from pettingzoo.butterfly.all_modules import butterfly_environments
from pettingzoo.sisl.all_modules import sisl_environments

from sb3_ext.multi_agent import PettingZooVecEnv

ENVIRONMENTS: dict[str, ModuleType] = {**mpe_environments, **butterfly_environments, **sisl_environments}
"""All parallel environments of mpe2 and of PettingZoo's families, without atari's"""


@dataclass
class Checked:
    """What was compared.

    Attributes:
        n_steps: Environment steps.
        n_transitions: Of single agents.
        n_episodes: Of the environment.
        n_deaths: Agents that ended while others went on.
        padded: Whether the agents' spaces differ, so that they were brought to one size.
    """

    n_steps: int = 0
    n_transitions: int = 0
    n_episodes: int = 0
    n_deaths: int = 0
    padded: bool = False


def check_parallel(make_env: Callable[[], Any], n_steps: int = 1000, seed: int = 0, action_seed: int = 0) -> Checked:
    """Compares one copy with an equally seeded environment that is stepped by hand.

    Raises:
        AssertionError: At the first difference, saying where.
    """
    twin = make_env()
    agents = list(twin.possible_agents)
    checked = Checked(padded=_differ(twin))
    ours = PettingZooVecEnv(make_env, seed=seed, pad_spaces=checked.padded, agent_indicator=False)
    assert ours.agents == agents
    rng = np.random.default_rng(action_seed)
    ours.action_space.seed(action_seed)
    rows = ours.reset()
    seen, _ = twin.reset(seed=seed)
    _compare(rows, seen, agents, "reset")
    returns = dict.fromkeys(agents, 0.0)
    while checked.n_steps < n_steps:
        where = f"step {checked.n_steps}"
        actions = np.array([ours.action_space.sample() for _ in agents])
        acting = list(twin.agents)
        assert ours.alive.tolist() == [agent in acting for agent in agents], where
        given = {agent: _own_action(twin, agent, actions[agents.index(agent)]) for agent in acting}
        seen, rewards, terminated, truncated, _ = twin.step(given)
        rows, row_rewards, dones, infos = ours.step(actions)
        over = not twin.agents
        last = {}
        for row, agent in enumerate(agents):
            info, acted = infos[row], agent in acting
            ended = acted and (terminated[agent] or truncated[agent])
            assert info.get("alive", True) == acted, f"{where}, {agent}"
            assert dones[row] == (ended or over), f"{where}, {agent}: done {dones[row]}"
            assert row_rewards[row] == np.float32(rewards[agent] if acted else 0), f"{where}, {agent}: reward"
            assert info["TimeLimit.truncated"] == (ended and not terminated[agent]), f"{where}, {agent}: time limit"
            assert ("episode" in info) == ended, f"{where}, {agent}: episode"
            if acted:
                returns[agent] += rewards[agent]
            if ended:
                last[agent] = info["terminal_observation"]
                assert info["episode"]["r"] == returns[agent], f"{where}, {agent}: return"
                returns[agent] = 0.0
        _compare([last.get(agent) for agent in agents], {agent: seen[agent] for agent in last}, agents, where)
        checked.n_steps += 1
        checked.n_transitions += len(acting)
        checked.n_deaths += 0 if over else len(last)
        assert ("team_episode" in infos[0]) == over, where
        if over:
            checked.n_episodes += 1
            seen, _ = twin.reset()
        _compare(rows, {agent: seen[agent] for agent in twin.agents}, agents, where)
        if rng.random() < 0.01:  # masks, attributes and images must not disturb
            ours.has_attr("action_masks")
            ours.get_attr("possible_agents")
    assert ours.env_steps == checked.n_steps
    ours.close()
    twin.close()
    return checked


def _differ(env: Any) -> bool:
    first = env.possible_agents[0]
    return any(
        space(agent) != space(first) for space in (env.observation_space, env.action_space)
        for agent in env.possible_agents
    )  # fmt: skip


def _own_action(env: Any, agent: str, action: Any) -> Any:
    """What padding makes of an action that the agent may not have."""
    space = env.action_space(agent)
    if isinstance(space, spaces.Discrete):
        return action if action < space.n else 0
    return action[tuple(slice(size) for size in space.shape)]


def _compare(rows: Any, seen: dict[str, Any], agents: list[str], where: str) -> None:
    """Rows of those who see something hold it, and nothing else (padding is zero); other rows are zero."""
    for row, agent in zip(rows, agents, strict=True):
        if agent in seen:
            own = np.asarray(seen[agent])
            inner = tuple(slice(size) for size in own.shape)
            np.testing.assert_array_equal(row[inner], own.astype(row.dtype), f"{where}, {agent}: observation")
            assert np.count_nonzero(row) == np.count_nonzero(row[inner]), f"{where}, {agent}: padding"
        elif row is not None:
            assert not np.any(row), f"{where}, {agent}: not alive, but sees something"
