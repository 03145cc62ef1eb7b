"""One episode of a PettingZoo environment, parallel or in turns, with a player for each agent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import VecTransposeImage

from sb3_ext.multi_agent.masking import legal_actions, without_mask
from sb3_ext.multi_agent.opponents import ModelOpponent, Opponent, as_opponent
from sb3_ext.multi_agent.spaces import AgentIndicator

MultiAgentEnv: TypeAlias = "AECEnv[Any, Any, Any] | ParallelEnv[Any, Any, Any]"


@dataclass(frozen=True)
class Game:
    """What happened in an episode.

    Attributes:
        returns: Undiscounted sum of rewards of each agent.
        actions: What each agent did, as text.
    """

    returns: dict[str, float]
    actions: dict[str, list[str]]


class LineUp:
    """Players in their seats.

    Args:
        env: The environment.
        players: Agent to player, see :func:`as_opponent`. A model that was trained with an agent indicator gets it.
        deterministic: Whether models play their best action instead of drawing one.

    Raises:
        ValueError: If a model expects other observations than the environment gives.
    """

    def __init__(self, env: MultiAgentEnv, players: Mapping[str, Any], deterministic: bool) -> None:
        self.env = env
        self.players: dict[str, Opponent] = {}
        for agent, player in players.items():
            opponent = as_opponent(player, deterministic, env.action_space(agent))
            self.players[agent] = _seated(opponent, env, agent) if isinstance(opponent, ModelOpponent) else opponent

    def play(self, generator: np.random.Generator) -> Game:
        """Plays an episode, drawing the environment's seed and everything else from ``generator``."""
        game = Game(dict.fromkeys(self.players, 0.0), {agent: [] for agent in self.players})
        seed = int(generator.integers(2**31))
        if isinstance(self.env, ParallelEnv):
            self._play_parallel(self.env, seed, game, generator)
        else:
            self._play_in_turns(self.env, seed, game, generator)
        return game

    def _play_parallel(
        self, env: ParallelEnv[Any, Any, Any], seed: int, game: Game, generator: np.random.Generator
    ) -> None:
        observations, infos = env.reset(seed=seed)
        while env.agents:
            actions = {a: self._choose(a, observations[a], infos.get(a, {}), game, generator) for a in env.agents}
            observations, rewards, _, _, infos = env.step(actions)
            for agent, reward in rewards.items():
                game.returns[agent] += float(reward)

    def _play_in_turns(self, env: AECEnv[Any, Any, Any], seed: int, game: Game, generator: np.random.Generator) -> None:
        env.reset(seed=seed)
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, info = env.last()
            game.returns[agent] += float(reward)
            over = terminated or truncated
            env.step(None if over else self._choose(agent, observation, info, game, generator))

    def _choose(
        self, agent: str, observation: Any, info: dict[str, Any], game: Game, generator: np.random.Generator
    ) -> Any:
        space = self.env.action_space(agent)
        mask = legal_actions(observation, info, space, agent)
        action = self.players[agent](without_mask(observation), mask, agent, generator)
        game.actions[agent].append(str(action))
        return int(action) if isinstance(space, spaces.Discrete) else action


class _Marked:
    """A model that is told which agent it plays, as ``PettingZooVecEnv(agent_indicator=True)`` told it."""

    def __init__(self, player: Opponent, mark: np.ndarray) -> None:
        self.player, self.mark = player, mark

    def __call__(self, observation: Any, *situation: Any) -> Any:
        return self.player(np.concatenate([observation, self.mark], axis=-1), *situation)


def _seated(model: ModelOpponent, env: MultiAgentEnv, agent: str) -> Opponent:
    expected, given = model.policy.observation_space, without_mask(env.observation_space(agent))
    if isinstance(expected, spaces.Dict) and not isinstance(given, spaces.Dict):
        expected = expected["observation"]  # a centralised critic's actor
    if expected.shape == given.shape:
        return model
    if _turned(given) == expected.shape:
        return model  # SB3 turns images itself
    if isinstance(given, spaces.Box):
        indicator = AgentIndicator(given, possible_agents(env))
        if indicator.space.shape == expected.shape:
            return _Marked(model, indicator.marks[agent])
    raise ValueError(
        f"{model.name} expects observations like {expected}, {agent} gets {given}; wrap the environment as in training"
    )


def _turned(space: spaces.Space[Any]) -> tuple[int, ...] | None:
    """Shape of an image with its channels in front; None for what has none at its end."""
    if not isinstance(space, spaces.Box) or not is_image_space(space) or is_image_space_channels_first(space):
        return None
    return VecTransposeImage.transpose_space(space).shape


def possible_agents(env: Any) -> list[str]:
    """Who may ever play.

    Raises:
        ValueError: If the environment does not say.
    """
    agents = list(getattr(env, "possible_agents", []))
    if not agents:
        raise ValueError(f"{env} has no possible_agents, so nobody can be seated beforehand")
    return agents
