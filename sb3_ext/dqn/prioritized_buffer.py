"""Prioritised experience replay (Schaul et al. 2016): a step is drawn with a probability in proportion to its priority.

The equations are in ``common/prioritized.py``, the sum tree in ``common/sum_tree.py``; what is handed out of a step, in
``uniform_buffer.py``. The buffer works only where the loss is weighed and the priorities are updated, which SB3's
algorithms do not: they are refused.

Read next: ``rainbow.py``.
"""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.common.prioritized import check_share, importance_weights, priorities, stratified_targets
from sb3_ext.common.sum_tree import SumTree
from sb3_ext.dqn.uniform_buffer import UniformReplayBuffer

UNWEIGHTED = (
    "{name} draws some steps more often than others, which is wrong unless the loss is weighed and the priorities are "
    "updated. Stable-Baselines3's DQN and sb3-contrib's QRDQN do neither: use sb3_ext.dqn.PrioritizedDQN, or "
    "RainbowDQN(prioritized=True). (A loop of your own that does both says weighted_loss=True.)"
)


class PrioritizedReplayBuffer(UniformReplayBuffer):
    """Steps drawn in proportion to their priority (Schaul et al. 2016), with n-step rewards.

    A new step gets the highest priority there has been, so that it is drawn soon. With ``optimize_memory_usage`` the
    observation after an episode's end is not kept: where a time limit cut it off, that step is never drawn, and windows
    stop before it.

    Args:
        buffer_size: as ``UniformReplayBuffer``, like all that is not listed.
        observation_space: of the environment.
        action_space: of the environment.
        device: of the batches.
        n_envs: parallel environments.
        optimize_memory_usage: keep each observation once; unlike in SB3, time limits are handled all the same.
        handle_timeout_termination: False takes time limits for ends.
        n_steps: n.
        gamma: discount.
        alpha: from 0 (uniform) to 1 (in proportion to the error).
        beta: from 0 (weights of 1) to 1 (weights that undo the priorities); may be set at any time.
        weighted_loss: the caller's word that it weighs the loss by ``weights`` and calls ``update_priorities``.

    Attributes:
        beta: as above.
        max_priority: the highest there has been, as a power alpha of the error.

    Raises:
        ValueError: without ``weighted_loss=True``, or for alpha or beta outside [0, 1]; see ``UniformReplayBuffer``.
    """

    can_optimize_memory = True

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
        alpha: float = 0.6,
        beta: float = 0.4,
        weighted_loss: bool = False,
    ):
        if not weighted_loss:
            raise ValueError(UNWEIGHTED.format(name=type(self).__name__))
        check_share("alpha", alpha)
        check_share("beta", beta)
        super().__init__(buffer_size, observation_space, action_space, device, n_envs, optimize_memory_usage,
                         handle_timeout_termination, n_steps, gamma)  # fmt: skip
        self.alpha, self.beta, self.max_priority = alpha, beta, 1.0
        self._tree = SumTree(self.buffer_size * n_envs)
        self._n_new = 0  # rows without a priority yet

    def add(self, *args: Any, **kwargs: Any) -> None:
        """As SB3's."""
        row = self.pos
        super().add(*args, **kwargs)
        self._n_new = min(self._n_new + 1, self.buffer_size)
        if self.optimize_memory_usage:
            self._enter_new()
            self._set_rows(np.array([self.pos]), 0.0)  # its observation is now the newest step's next one
            self._drop(row, self.timeouts[row] > 0)

    def _enter_new(self) -> None:
        """Give the steps that were added since the last time their priority, all at once."""
        if self._n_new:
            self._set_rows((self.pos - np.arange(self._n_new, 0, -1)) % self.buffer_size, self.max_priority)
            self._n_new = 0

    def _set_rows(self, rows: np.ndarray, value: float) -> None:
        leaves = (rows[:, None] * self.n_envs + np.arange(self.n_envs)).ravel()
        self._tree[leaves] = np.full(len(leaves), value)

    def end_episodes(self) -> None:
        """The environments are reset: what comes next does not follow from the newest step."""
        super().end_episodes()
        if self.optimize_memory_usage and self.size() > 0:
            self._drop((self.pos - 1) % self.buffer_size, self.dones[self.pos - 1] == 0)

    def _drop(self, row: int, envs: np.ndarray) -> None:
        """Never draw these steps again, whose next observation will be lost; windows stop before them."""
        if envs.any():
            leaves = row * self.n_envs + np.flatnonzero(envs)
            self._tree[leaves] = np.zeros(len(leaves))
            before = self.timeouts[row - 1]
            before[envs & (self.dones[row - 1] == 0)] = 1

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> Any:
        """Draw steps by their priority, one in each of ``batch_size`` equal parts of the total.

        Args:
            batch_size: N.
            env: normalises observations and rewards.

        Returns:
            ``WeightedSamples``.
        """
        self._enter_new()
        total = self._tree.total
        if not total > 0:
            raise ValueError(
                "there is no step to learn from: with optimize_memory_usage=True those that end at a time limit are "
                "not drawn, and all do"
            )
        leaves = self._tree.find(stratified_targets(total, np.random.random(batch_size)))  # noqa: NPY002
        n = self.size() * self.n_envs
        weights = importance_weights(self._tree[leaves] / total, n, self.beta)
        samples = self.gather(leaves // self.n_envs, leaves % self.n_envs, env)
        return samples._replace(weights=self.to_torch(weights.astype(np.float32), copy=False), leaves=leaves)

    def update_priorities(self, leaves: np.ndarray, errors: np.ndarray) -> None:
        """What surprised how much.

        Args:
            leaves: of a batch, [N].
            errors: TD errors or losses, [N].

        Raises:
            ValueError: if an error is not finite.
        """
        self._enter_new()
        values = priorities(errors, self.alpha)
        self._tree[leaves] = values
        self.max_priority = max(self.max_priority, float(values.max()))

    @property
    def priority_spread(self) -> float:
        """Standard deviation of the priorities over their mean: 0 where all are alike."""
        self._enter_new()
        values = self._tree.values
        values = values[values > 0]
        return float(values.std() / values.mean()) if len(values) else 0.0


class PrioritizedDictReplayBuffer(PrioritizedReplayBuffer, DictReplayBuffer):
    """The same for Dict observations."""
