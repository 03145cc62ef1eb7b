"""How much too high Q values are: against the returns that followed, and against the exact solution.

    overestimation = mean_t [ Q(S_t, A_t) - G_t ],   G_t = R_{t+1} + gamma R_{t+2} + ...    van Hasselt et al. 2016

G_t is what the policy that plays got, which explores; Q speaks of the greedy one. So with much exploration the number
is too high. Where a time limit cut an episode off, max_a Q of the last state stands for what was to come.

Read next: ``DoubleQLearning`` in ``sb3_ext.tabular``, where the idea comes from.
"""

from typing import Any, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import VecNormalize
from stable_baselines3.dqn.policies import QNetwork

from sb3_ext.common.returns import discounted_returns

N_STATES = 256
"""At most so many of an episode's states are evaluated, equally spaced."""


class Episode(NamedTuple):
    """Where an episode that has just ended stands in the replay buffer."""

    env: int
    last_row: int
    length: int
    ended_at: int
    """when, in calls of ``env.step``"""


class EpisodeTracker:
    """Notes where in a replay buffer the last episode of each environment stands.

    Args:
        n_envs: parallel environments.
    """

    def __init__(self, n_envs: int):
        self.n_calls = 0
        self._started_at = np.zeros(n_envs, np.int64)
        self._episodes: dict[int, Episode] = {}

    def forget(self) -> None:
        """The environments are reset."""
        self._started_at[:] = self.n_calls

    def step(self, ended: np.ndarray, row: int) -> None:
        """After each step of all environments.

        Args:
            ended: whose episodes ended, [n_envs].
            row: where in the buffer the step stands.
        """
        self.n_calls += 1
        for env in ended.nonzero()[0].tolist():
            length = self.n_calls - int(self._started_at[env])
            self._episodes[env] = Episode(env, row, length, self.n_calls)
            self._started_at[env] = self.n_calls

    def take(self, buffer_size: int) -> list[Episode]:
        """Those since the last call that a buffer of so many rows still holds as a whole."""
        found = list(self._episodes.values())
        self._episodes = {}
        return [episode for episode in found if self.n_calls - episode.ended_at + episode.length <= buffer_size]


def overestimation(
    q_net: QNetwork, buffer: ReplayBuffer, episode: Episode, gamma: float, env: VecNormalize | None = None
) -> float:
    """Mean of Q(S_t, A_t) - G_t over an episode.

    Args:
        q_net: Q.
        buffer: holds the episode.
        episode: where.
        gamma: discount.
        env: normalises observations and rewards.
    """
    rows = (episode.last_row - np.arange(episode.length)[::-1]) % buffer.buffer_size
    last, column = rows[-1], episode.env
    terminated = buffer.dones[last, column] * (1 - buffer.timeouts[last, column]) > 0
    discounts, next_values = np.full(len(rows), gamma), np.zeros(len(rows))
    if terminated:
        discounts[-1] = 0
    elif not buffer.optimize_memory_usage:  # which keeps no such observation
        next_values[-1] = _q_values(q_net, buffer, buffer.next_observations, rows[-1:], column, env).max()
    rewards = buffer._normalize_reward(buffer.rewards[rows, column], env).astype(np.float64)
    returns = discounted_returns(rewards, discounts, next_values=next_values)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), N_STATES)).round().astype(np.int64))
    q_values = _q_values(q_net, buffer, buffer.observations, rows[chosen], column, env)
    actions = buffer.actions[rows[chosen], column].astype(np.int64)
    return float((np.take_along_axis(q_values, actions, 1)[:, 0] - returns[chosen]).mean())


def _q_values(q_net: QNetwork, buffer: ReplayBuffer, kept: Any, rows: np.ndarray, column: int, env: Any) -> np.ndarray:
    """[len(rows), n_actions]"""
    found = {key: part[rows, column] for key, part in kept.items()} if isinstance(kept, dict) else kept[rows, column]
    found = buffer._normalize_obs(found, env)
    tensors: th.Tensor | TensorDict
    if isinstance(found, dict):
        tensors = {key: buffer.to_torch(part) for key, part in found.items()}
    else:
        tensors = buffer.to_torch(found)
    with th.no_grad():
        return q_net(tensors).double().cpu().numpy()


class ExactOverestimation(BaseCallback):
    """Logs how far Q(s, a) lies above Q*(s, a), where that is known: ``train/overestimation_exact``.

    Args:
        states: observations, [n_states, ...], as the environment gives them: 0, 1, 2, ... in a tabular one.
        q_star: Q* of these states, [n_states, n_actions].
        every: steps (of all environments together) between two measurements.

    Attributes:
        timesteps: of the measurements.
        overestimations: the mean over states and actions at each.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> callback = ExactOverestimation(np.arange(2), np.zeros((2, 4)))
        >>> callback.q_star.shape
        (2, 4)
    """

    def __init__(self, states: np.ndarray, q_star: np.ndarray, every: int = 1000):
        super().__init__()
        self.states, self.q_star, self.every = np.asarray(states), np.asarray(q_star), every
        if self.q_star.ndim != 2 or len(self.states) != len(self.q_star):
            raise ValueError(
                f"q_star must be [n_states, n_actions] for {len(self.states)} states, got {self.q_star.shape}"
            )
        self.timesteps: list[int] = []
        self.overestimations: list[float] = []
        self._next = 0

    def _on_step(self) -> bool:
        if self.num_timesteps >= self._next:
            self._next = self.num_timesteps + self.every
            self.timesteps.append(self.num_timesteps)
            self.overestimations.append(self.measure())
            self.logger.record("train/overestimation_exact", self.overestimations[-1])
        return True

    def measure(self) -> float:
        """At present."""
        policy: Any = self.model.policy
        observations, _ = policy.obs_to_tensor(self.states)
        with th.no_grad():
            return float((policy.q_net(observations).double().cpu().numpy() - self.q_star).mean())
