"""A replay buffer with n-step rewards, for vectors, images and Dict observations alike.

It keeps what SB3's buffers keep, in the same arrays ([row, environment, ...]). What is handed out of a step are the n
steps from there on, or fewer where the episode ends before (``common/replay_windows.py``).

Time limits: an episode that was truncated ends a window, but its ``dones`` are 0: the last state is worth as much as
ever. So it is where training stopped and the environments were reset (``end_episodes``).

Read next: ``prioritized_buffer.py``.
"""

from typing import Any, NamedTuple

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.type_aliases import TensorDict
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.common.prioritized import check_share
from sb3_ext.common.replay_windows import n_step_rewards


class WeightedSamples(NamedTuple):
    """What a batch holds: SB3's ``ReplayBufferSamples``, and two fields more."""

    observations: th.Tensor | TensorDict
    actions: th.Tensor
    next_observations: th.Tensor | TensorDict
    """S_k, [N, ...]"""
    dones: th.Tensor
    """1 where S_k is terminal, not where a time limit cut the episode off, [N, 1]"""
    rewards: th.Tensor
    """R_1 + gamma R_2 + ... + gamma^(k-1) R_k, [N, 1]"""
    discounts: th.Tensor
    """gamma^k, [N, 1]"""
    weights: th.Tensor | None = None
    """w_i of the loss, [N]; None: all alike"""
    leaves: np.ndarray | None = None
    """which steps these are, for ``update_priorities``, [N]"""


class UniformReplayBuffer(ReplayBuffer):
    """Steps drawn uniformly, with n-step rewards.

    Args:
        buffer_size: steps that are kept, of all environments together.
        observation_space: of the environment.
        action_space: of the environment.
        device: of the batches.
        n_envs: parallel environments.
        optimize_memory_usage: not here: SB3's ``ReplayBuffer`` and ``PrioritizedReplayBuffer`` can.
        handle_timeout_termination: False takes time limits for ends.
        n_steps: n.
        gamma: discount.

    Raises:
        ValueError: for n_steps below 1, fewer rows than n_steps, gamma outside [0, 1], or observations that the other
            class is for.
    """

    can_optimize_memory = False

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        n_steps: int = 1,
        gamma: float = 0.99,
    ):
        self._check(buffer_size, observation_space, n_envs, optimize_memory_usage, n_steps, gamma)
        super().__init__(
            buffer_size,
            observation_space,
            action_space,
            device,
            n_envs,
            optimize_memory_usage,
            handle_timeout_termination and not optimize_memory_usage,  # see PrioritizedReplayBuffer
        )
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps, self.gamma = n_steps, gamma
        self.n_fresh = 0  # rows that `fresh_rows` has not handed out

    def _check(
        self, buffer_size: int, space: spaces.Space, n_envs: int, optimized: bool, n_steps: int, gamma: float
    ) -> None:
        name = type(self).__name__
        is_dict, takes_dict = isinstance(space, spaces.Dict), isinstance(self, DictReplayBuffer)
        if is_dict != takes_dict:
            other = name.replace("Dict", "") if takes_dict else name.replace("Replay", "DictReplay")
            raise ValueError(f"{name} is not for {type(space).__name__} observations: use {other}")
        if optimized and (takes_dict or not self.can_optimize_memory):
            raise ValueError(
                f"{name} does not support optimize_memory_usage=True; PrioritizedReplayBuffer does, and SB3's "
                "ReplayBuffer for one step"
            )
        if n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {n_steps}")
        if buffer_size // n_envs < n_steps:
            raise ValueError(
                f"a buffer of {buffer_size} steps of {n_envs} environments has {buffer_size // n_envs} rows, fewer "
                f"than n_steps={n_steps}: raise buffer_size"
            )
        check_share("gamma", gamma)

    def add(self, *args: Any, **kwargs: Any) -> None:
        """As SB3's."""
        super().add(*args, **kwargs)
        self.n_fresh = min(self.n_fresh + 1, self.buffer_size)

    def fresh_rows(self) -> np.ndarray:
        """The rows that were added since the last call, oldest first."""
        rows = (self.pos - np.arange(self.n_fresh, 0, -1)) % self.buffer_size
        self.n_fresh = 0
        return rows

    def end_episodes(self) -> None:
        """The environments are reset: what comes next does not follow from the newest step."""
        newest = self.pos - 1
        if self.full or self.pos > 0:
            self.timeouts[newest] = np.maximum(self.timeouts[newest], 1 - self.dones[newest])

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> Any:
        """Draw steps.

        Args:
            batch_size: N.
            env: normalises observations and rewards.

        Returns:
            ``WeightedSamples``.
        """
        rows = np.random.randint(0, self.size(), size=batch_size)  # noqa: NPY002  as SB3's, seeded by the model
        return self._get_samples(rows, env)

    def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> Any:
        envs = np.random.randint(0, self.n_envs, size=len(batch_inds))  # noqa: NPY002
        return self.gather(batch_inds, envs, env)

    def gather(self, rows: np.ndarray, envs: np.ndarray, env: VecNormalize | None = None) -> WeightedSamples:
        """The n steps from each of the given ones on.

        Args:
            rows: of the steps, [N].
            envs: whose they are, [N].
            env: normalises observations and rewards.
        """
        sums, lengths = self._windows(rows, envs, env)
        last = (rows + lengths - 1) % self.buffer_size
        terminated = self.dones[last, envs] * (1 - self.timeouts[last, envs])
        if self.optimize_memory_usage:
            next_observations = self._observations(self.observations, (last + 1) % self.buffer_size, envs, env)
        else:
            next_observations = self._observations(self.next_observations, last, envs, env)
        return WeightedSamples(
            self._observations(self.observations, rows, envs, env),
            self.to_torch(self.actions[rows, envs]),
            next_observations,
            self._column(terminated),
            self._column(sums),
            self._column(self.gamma**lengths),
        )

    def _windows(self, rows: np.ndarray, envs: np.ndarray, env: VecNormalize | None) -> tuple[np.ndarray, np.ndarray]:
        """Sums of rewards, and how many steps are in each, [N]."""
        if self.n_steps == 1:
            return self._normalize_reward(self.rewards[rows, envs], env), np.ones(len(rows), np.int64)
        steps, columns = (rows[:, None] + np.arange(self.n_steps)) % self.buffer_size, envs[:, None]
        newest = (self.pos - 1) % self.buffer_size
        ends = (self.dones[steps, columns] > 0) | (self.timeouts[steps, columns] > 0) | (steps == newest)
        return n_step_rewards(self._normalize_reward(self.rewards[steps, columns], env), ends, self.gamma)

    def _observations(self, kept: Any, rows: np.ndarray, envs: np.ndarray, env: VecNormalize | None) -> Any:
        if isinstance(kept, dict):
            found: Any = self._normalize_obs({key: part[rows, envs] for key, part in kept.items()}, env)
            return {key: self.to_torch(part, copy=False) for key, part in found.items()}
        found = self._normalize_obs(kept[rows, envs], env)
        return self.to_torch(found, copy=False)

    def _column(self, numbers: np.ndarray) -> th.Tensor:
        return self.to_torch(numbers.astype(np.float32)[:, None], copy=False)


class UniformDictReplayBuffer(UniformReplayBuffer, DictReplayBuffer):
    """The same for Dict observations, which SB3's own n-step buffer refuses."""


def end_episodes(buffer: ReplayBuffer) -> None:
    """The environments are reset: in no n-step window may what comes next follow the newest step."""
    if isinstance(buffer, UniformReplayBuffer):
        buffer.end_episodes()
    elif buffer.size() > 0 and not buffer.optimize_memory_usage:  # there SB3 itself takes that step for an end
        buffer.timeouts[buffer.pos - 1] = np.maximum(buffer.timeouts[buffer.pos - 1], 1 - buffer.dones[buffer.pos - 1])
