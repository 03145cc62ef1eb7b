"""Whole episodes from parallel environments, without the bias to short ones.

Taking the first N episodes that finish favours short ones: a long episode is still running when the batch is full. So
every environment plays the same number of episodes, its *quota*, and what it does after the last one is masked out:
such steps never reach a loss.

``EpisodeBuffer`` collects step by step; ``Episodes`` is the finished batch, in two forms that are one index apart: flat
arrays [N], one entry for each step that counts (what a network wants), and padded arrays [T, n_episodes], one episode a
column (what returns and baselines want).
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Observations = np.ndarray | dict[str, np.ndarray]


@dataclass(frozen=True)
class Episodes:
    """A batch of whole episodes, ragged in length.

    Attributes:
        observations: S_t of each step, [N, ...], or a dict of such arrays.
        actions: A_t of each step, [N, ...].
        rewards: R_{t+1} of each step, [N].
        episode: the episode (column) that each step belongs to, [N], 0 to n_episodes - 1.
        time: the step's place in its episode (row), [N], from 0.
        terminated: True for episodes that reached a terminal state, False for truncated ones, [n_episodes].
        last_observations: the state that each truncated episode reached, before any reset, [n_truncated, ...], in the
            order of ``np.flatnonzero(~terminated)``; None if every episode terminated.
    """

    observations: Observations
    actions: np.ndarray
    rewards: np.ndarray
    episode: NDArray[np.intp]
    time: NDArray[np.intp]
    terminated: NDArray[np.bool_]
    last_observations: Observations | None

    @property
    def n_episodes(self) -> int:
        """Number of episodes."""
        return len(self.terminated)

    @property
    def lengths(self) -> NDArray[np.intp]:
        """Steps in each episode, [n_episodes]."""
        return np.bincount(self.episode, minlength=self.n_episodes)

    def pad(self, values: np.ndarray) -> np.ndarray:
        """Values of steps, [N], as one column an episode, [T, n_episodes], with 0 (or False) after its end."""
        padded = np.zeros((int(self.lengths.max()), self.n_episodes), dtype=values.dtype)
        padded[self.time, self.episode] = values
        return padded

    def flatten(self, padded: np.ndarray) -> np.ndarray:
        """The inverse of ``pad``: [T, n_episodes] to [N]."""
        return padded[self.time, self.episode]

    def mask(self) -> NDArray[np.bool_]:
        """True where an episode is running, [T, n_episodes]."""
        return self.pad(np.ones(len(self.rewards), dtype=bool))

    def ends(self) -> NDArray[np.bool_]:
        """True at the last step of each episode, [T, n_episodes]."""
        return self.pad(self.time == self.lengths[self.episode] - 1)

    def discounts(self, gamma: float) -> np.ndarray:
        """The discount of each step: gamma, 0 where its episode terminated and after its end, [T, n_episodes]."""
        return gamma * (self.mask() & ~(self.ends() & self.terminated))


@dataclass
class EpisodeBuffer:
    """Collects ``episodes_per_env`` whole episodes from each of ``n_envs`` environments.

    Attributes:
        n_envs: number of environments that are stepped together, at least 1.
        episodes_per_env: the quota of each environment, at least 1.
        in_rounds: whether an environment that has finished an episode waits, masked out, until all have and
            ``begin_round`` is called: for episodes whose starts belong together.
        time: steps since the running episode of each environment began, [n_envs].
    """

    n_envs: int
    episodes_per_env: int = 1
    in_rounds: bool = False

    def __post_init__(self) -> None:
        if self.n_envs < 1 or self.episodes_per_env < 1:
            raise ValueError(f"need at least one episode of one environment, got {self}")
        self.reset()

    def reset(self) -> None:
        """Forget everything; the next step is the first of an episode in every environment."""
        self._steps: list[tuple] = []
        self._last_observations: dict[int, Observations] = {}
        self._terminated = np.ones(self.n_envs * self.episodes_per_env, dtype=bool)
        self._finished = np.zeros(self.n_envs, dtype=np.intp)
        self._round = 1 if self.in_rounds else self.episodes_per_env
        self.time = np.zeros(self.n_envs, dtype=np.intp)

    def begin_round(self) -> None:
        """Let every environment play its next episode; the next step is its first."""
        self._round += 1
        self.time = np.zeros(self.n_envs, dtype=np.intp)

    @property
    def active(self) -> NDArray[np.bool_]:
        """True for environments whose steps count now, [n_envs]."""
        return self._finished < self._round

    @property
    def n_played(self) -> int:
        """Episodes that every environment has finished."""
        return int(self._finished.min())

    @property
    def full(self) -> bool:
        """True once every environment has played its quota."""
        return self.n_played >= self.episodes_per_env

    def add(self, observations: Observations, actions: np.ndarray, rewards: np.ndarray, ends: np.ndarray) -> None:
        """Store one step of every environment; steps beyond a quota are dropped.

        Args:
            observations: S_t, [n_envs, ...] or a dict of such arrays (copied).
            actions: A_t, [n_envs, ...].
            rewards: R_{t+1}, [n_envs].
            ends: True where the episode ended with this step, [n_envs]. An episode counts as terminated unless
                ``mark_truncated`` is called for it before this.

        Raises:
            ValueError: if rewards or ends are not [n_envs].
        """
        if rewards.shape != (self.n_envs,) or ends.shape != (self.n_envs,):
            raise ValueError(f"rewards and ends must be [{self.n_envs}]; got the shapes {rewards.shape}, {ends.shape}")
        rows = np.flatnonzero(self.active)
        step = (take(observations, rows), actions[rows], rewards[rows], self._columns(rows), self.time[rows])
        self._steps.append(step)
        self.time = np.where(ends, 0, self.time + 1)
        self._finished += ends & self.active

    def mark_truncated(self, env: int, last_observation: Observations) -> None:
        """Say that the episode running in environment ``env`` is cut off at this step, before a terminal state.

        Args:
            env: index of the environment.
            last_observation: the state it reached, before any reset, [...] or a dict of such arrays (copied).
        """
        if self.active[env]:
            column = int(self._columns(np.array([env]))[0])
            self._terminated[column] = False
            self._last_observations[column] = deepcopy(last_observation)

    def episodes(self) -> Episodes:
        """The finished batch, its columns ordered by round, then by environment.

        Raises:
            RuntimeError: if some environment has not played its quota.
        """
        if not self.full:
            missing = np.flatnonzero(self._finished < self.episodes_per_env).tolist()
            raise RuntimeError(f"environments {missing} have not played their {self.episodes_per_env} episodes yet")
        observations, actions, rewards, episode, time = zip(*self._steps, strict=True)
        truncated = sorted(self._last_observations)
        return Episodes(
            observations=_join(observations, np.concatenate),
            actions=np.concatenate(actions),
            rewards=np.concatenate(rewards),
            episode=np.concatenate(episode),
            time=np.concatenate(time),
            terminated=self._terminated,
            last_observations=_join([self._last_observations[i] for i in truncated], np.stack) if truncated else None,
        )

    def _columns(self, envs: NDArray[np.intp]) -> NDArray[np.intp]:
        """The column of the running episode of each of ``envs``."""
        return self._finished[envs] * self.n_envs + envs


def take(observations: Any, rows: Any) -> Any:
    """The chosen rows of an array or tensor, or of each one in a dict (a copy, if ``rows`` is an array)."""
    if isinstance(observations, dict):
        return {key: value[rows] for key, value in observations.items()}
    return observations[rows]


def _join(parts, how) -> Observations:
    """``np.concatenate`` or ``np.stack`` over a sequence of arrays or of dicts of arrays."""
    if isinstance(parts[0], dict):
        return {key: how([part[key] for part in parts]) for key in parts[0]}
    return how(parts)
