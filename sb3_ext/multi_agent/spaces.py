"""What the agents that share a model must have in common, and how their observations are put into one array."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import check_for_nested_spaces
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_ext.multi_agent.masking import without_mask


def common_spaces(env: Any, agents: Sequence[str]) -> tuple[spaces.Space[Any], spaces.Space[Any]]:
    """The observation space (without an action mask) and the action space that all the agents have.

    Raises:
        ValueError: If they differ.
        NotImplementedError: For observations that SB3 has no policy for.
    """
    observation_space = _common("observation", {agent: without_mask(env.observation_space(agent)) for agent in agents})
    action_space = _common("action", {agent: env.action_space(agent) for agent in agents})
    if isinstance(observation_space, spaces.Tuple):
        raise NotImplementedError(f"SB3 has no policy for Tuple observations, got {observation_space}; use Dict")
    check_for_nested_spaces(observation_space)
    return observation_space, action_space


def _common(kind: str, space_of: dict[str, spaces.Space[Any]]) -> spaces.Space[Any]:
    groups: list[tuple[spaces.Space[Any], list[str]]] = []
    for agent, space in space_of.items():
        members = next((agents for other, agents in groups if other == space), None)
        if members is None:
            groups.append((space, members := []))
        members.append(agent)
    if len(groups) > 1:
        listed = "; ".join(f"{', '.join(agents)}: {space}" for space, agents in groups)
        raise ValueError(
            f"one model cannot play agents whose {kind} spaces differ ({listed}). Give each kind a model of its own"
            " (IndependentLearners), or pad the spaces to one size (pad_spaces=True, or SuperSuit's wrappers)"
        )
    return groups[0][0]


class AgentIndicator:
    """Tells a shared model which agent it plays: a one-hot vector at the end of the observation's last axis.

    Flat observations get one number for each agent, images (height x width x channels) a channel for each.

    Args:
        space: Of the observations without it, a Box.
        agents: Whom it tells apart.

    Raises:
        ValueError: If observations are no Box.

    >>> indicator = AgentIndicator(spaces.Box(-1, 1, (2,)), ["red", "blue"])
    >>> indicator.space.shape, indicator.marks["blue"].tolist()
    ((4,), [0.0, 1.0])
    """

    def __init__(self, space: spaces.Space[Any], agents: Sequence[str]) -> None:
        if not isinstance(space, spaces.Box) or not space.shape:
            raise ValueError(f"agent_indicator needs observations in a Box, got {space}")
        on = space.high.max() if np.issubdtype(space.dtype, np.integer) else 1  # 255: an image stays an image
        shape = (*space.shape[:-1], len(agents))
        self.marks = {agent: np.zeros(shape, space.dtype) for agent in agents}
        for index, mark in enumerate(self.marks.values()):
            mark[..., index] = on
        self.size = space.shape[-1]
        self.space = spaces.Box(
            np.concatenate([space.low, np.zeros(shape, space.dtype)], axis=-1),
            np.concatenate([space.high, np.full(shape, on, space.dtype)], axis=-1),
            dtype=space.dtype,
        )


class ObservationRows:
    """Puts observations into new arrays, one row for each of ``agents`` (which may repeat).

    Args:
        space: Of one observation as the environment gives it, without an action mask.
        agents: Whose each row is.
        indicator: Marks the rows, if there is one.
    """

    def __init__(self, space: spaces.Space[Any], agents: Sequence[str], indicator: AgentIndicator | None) -> None:
        self.inner_space = space
        self.space = indicator.space if indicator else space
        self.indicator = indicator
        self._blank = _zeros(self.space, len(agents))
        if indicator:
            self._blank[..., indicator.size :] = np.stack([indicator.marks[agent] for agent in agents])

    def stack(self, observations: Iterable[Any]) -> VecEnvObs:
        """One batch, [rows, ...]; a row whose observation is None stays zero (but for the indicator)."""
        if isinstance(self.space, spaces.Dict):
            batch = {key: array.copy() for key, array in self._blank.items()}
            for row, observation in enumerate(observations):
                if observation is not None:
                    for key, array in batch.items():
                        array[row] = observation[key]
            return batch
        rows = self._blank.copy()
        inner = rows[..., : self.indicator.size] if self.indicator else rows
        for row, observation in enumerate(observations):
            if observation is not None:
                inner[row] = observation
        return rows

    def single(self, agent: str, observation: Any) -> Any:
        """One agent's observation, as a row of a batch would show it; zeros for None."""
        if isinstance(self.space, spaces.Dict):
            values = observation or dict.fromkeys(self.space, 0)
            return {key: np.array(_filled(space, values[key])) for key, space in self.space.items()}
        inner = _filled(self.inner_space, 0 if observation is None else observation)
        return np.concatenate([inner, self.indicator.marks[agent]], axis=-1) if self.indicator else inner


def _zeros(space: spaces.Space[Any], n_rows: int) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _zeros(inner, n_rows) for key, inner in space.items()}
    return np.zeros((n_rows, *(space.shape or ())), space.dtype)


def _filled(space: spaces.Space[Any], value: Any) -> np.ndarray:
    array = np.empty(space.shape or (), space.dtype)
    array[...] = value
    return array
