"""Keeps the rows of agents that are not alive away from the learner.

SB3's algorithms expect a transition from every row at every step, but an agent that has died makes none until its
copy's next episode. Rows whose info says ``alive=False`` are therefore left out where transitions are stored, through
SB3's own ``rollout_buffer_class`` and ``replay_buffer_class``; advantages never run across them, since an agent's row
is done at its death. An environment whose agents all live to the end needs none of this.
"""

import sys
import warnings
from collections.abc import Generator
from types import FrameType
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from sb3_contrib.common.maskable.buffers import MaskableDictRolloutBuffer, MaskableRolloutBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import DictReplayBuffer, DictRolloutBuffer, ReplayBuffer, RolloutBuffer
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize, unwrap_vec_wrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn


def alive_rows(infos: list[dict[str, Any]]) -> np.ndarray:
    """Which rows acted, bool [rows].

    >>> alive_rows([{}, {"alive": False}]).tolist()
    [True, False]
    """
    return np.array([info.get("alive", True) for info in infos])


class _AliveRollouts:
    """Mixin of rollout buffers: hands out only the steps of rows that acted."""

    buffer_size: int
    n_envs: int
    pos: int

    def reset(self) -> None:
        """Empties the buffer."""
        self._acted = np.zeros((self.buffer_size, self.n_envs), dtype=np.bool_)
        super().reset()  # type: ignore[misc]

    def add(self, *args: Any, **kwargs: Any) -> None:
        """Stores a step of all rows, see SB3's buffer, and which of them acted.

        SB3 does not tell its rollout buffers the infos; they are the caller's local variable of that name, where
        SB3's callbacks find them as well.

        Raises:
            RuntimeError: If the caller has no such variable.
        """
        caller: FrameType = sys._getframe(1)
        if "infos" not in caller.f_locals:
            raise RuntimeError(
                f"{type(self).__name__} reads the local variable `infos` of the collect_rollouts that calls it,"
                f" and {caller.f_code.co_qualname} has none"
            )
        self._acted[self.pos] = alive_rows(caller.f_locals["infos"])
        super().add(*args, **kwargs)  # type: ignore[misc]

    def swap_and_flatten(self, arr: np.ndarray) -> np.ndarray:
        """From [n_steps, rows, ...] to [steps of rows that acted, ...]."""
        flat = RolloutBuffer.swap_and_flatten(arr)
        return flat[RolloutBuffer.swap_and_flatten(self._acted)[:, 0]]

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        """Minibatches in random order, of the steps of rows that acted."""
        shape = self.buffer_size, self.n_envs
        self.buffer_size, self.n_envs = int(self._acted.sum()), 1  # SB3 shuffles as many
        try:
            yield from super().get(batch_size)  # type: ignore[misc]
        finally:
            self.buffer_size, self.n_envs = shape


class AliveRolloutBuffer(_AliveRollouts, RolloutBuffer):
    """SB3's ``RolloutBuffer`` without the dead: ``PPO(..., rollout_buffer_class=AliveRolloutBuffer)``."""


class AliveDictRolloutBuffer(_AliveRollouts, DictRolloutBuffer):
    """The same for Dict observations."""


class AliveMaskableRolloutBuffer(_AliveRollouts, MaskableRolloutBuffer):
    """The same for sb3-contrib's MaskablePPO."""


class AliveMaskableDictRolloutBuffer(_AliveRollouts, MaskableDictRolloutBuffer):
    """The same for sb3-contrib's MaskablePPO and Dict observations."""


class _AliveReplays:
    """Mixin of replay buffers: stores the transitions of rows that acted, one after the other."""

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        **kwargs: Any,
    ) -> None:
        if optimize_memory_usage:
            raise ValueError(
                f"{type(self).__name__} cannot take optimize_memory_usage=True: neighbours in it are transitions of"
                " different agents, none the next of the other"
            )
        super().__init__(buffer_size, observation_space, action_space, device, n_envs=1, **kwargs)  # type: ignore[call-arg]

    def add(
        self, obs: Any, next_obs: Any, action: np.ndarray, reward: np.ndarray, done: np.ndarray, infos: list[Any]
    ) -> None:
        """Stores the transitions of the rows that acted."""
        for row in np.flatnonzero(alive_rows(infos)):
            one = slice(row, row + 1)
            super().add(  # type: ignore[misc]
                _take(obs, one), _take(next_obs, one), action[one], reward[one], done[one], infos[one]
            )


class AliveReplayBuffer(_AliveReplays, ReplayBuffer):
    """SB3's ``ReplayBuffer`` without the dead: ``DQN(..., replay_buffer_class=AliveReplayBuffer)``.

    ``buffer_size`` transitions in all.

    Raises:
        ValueError: For ``optimize_memory_usage=True``.
    """


class AliveDictReplayBuffer(_AliveReplays, DictReplayBuffer):
    """The same for Dict observations."""


def _take(batch: Any, rows: slice) -> Any:
    return {key: value[rows] for key, value in batch.items()} if isinstance(batch, dict) else batch[rows]


class AliveVecNormalize(VecNormalize):
    """SB3's ``VecNormalize`` whose statistics are of the living only; where nobody dies the two are the same."""

    def step_wait(self) -> VecEnvStepReturn:
        """As in ``VecNormalize``."""
        obs, rewards, dones, infos = self.venv.step_wait()
        self.old_obs, self.old_reward = obs, rewards  # type: ignore[assignment]
        if self.training:
            self._learn(obs, rewards, alive_rows(infos))
        for info in infos:
            if "terminal_observation" in info:
                info["terminal_observation"] = self.normalize_obs(info["terminal_observation"])
        self.returns[dones] = 0
        return self.normalize_obs(obs), self.normalize_reward(rewards), dones, infos  # type: ignore[arg-type]

    def _learn(self, obs: Any, rewards: np.ndarray, acted: np.ndarray) -> None:
        alive = self.venv.unwrapped.alive  # type: ignore[attr-defined]
        if self.norm_obs and isinstance(self.obs_rms, dict):
            for key, statistics in self.obs_rms.items():
                statistics.update(obs[key][alive])
        elif self.norm_obs:
            self.obs_rms.update(obs[alive])
        self.returns = self.returns * self.gamma + rewards
        if acted.any():
            self.ret_rms.update(self.returns[acted])


_ALIVE_VERSION: dict[type, type] = {version.__bases__[1]: version for version in (
    AliveRolloutBuffer, AliveDictRolloutBuffer, AliveMaskableRolloutBuffer, AliveMaskableDictRolloutBuffer,
    AliveReplayBuffer, AliveDictReplayBuffer,
)}  # fmt: skip


def refuse_learning_from_the_dead(env: VecEnv, agent: str) -> None:
    """Raises if ``env`` is being stepped by the ``learn()`` of a model that would store rows which are not alive.

    Args:
        env: The environment itself, not a wrapper.
        agent: One that is not alive, for the error's text.

    Warns if its episodes are counted by ``VecMonitor``.

    Raises:
        RuntimeError: Then, naming what to pass to the model.
    """
    model = _who_learns_from(env)
    if model is None:
        return
    name = type(model).__name__
    story = f"{agent!r} is not alive while others are, so its row holds no transition; {name} would learn from it"
    kinds = {"rollout_buffer_class": "rollout_buffer", "replay_buffer_class": "replay_buffer"}
    buffers = {key: getattr(model, kind, None) for key, kind in kinds.items()}
    if not any(isinstance(buffer, (_AliveRollouts, _AliveReplays)) for buffer in buffers.values()):
        for key, buffer in buffers.items():
            if type(buffer) in _ALIVE_VERSION:
                version = _ALIVE_VERSION[type(buffer)].__name__
                raise RuntimeError(f"{story}. Pass {key}=sb3_ext.multi_agent.{version} to {name}")
        raise RuntimeError(
            f"{story}, and has no buffer that can leave it out. Take PPO, A2C,"
            " MaskablePPO, SAC or DQN (with n_steps=1), or IndependentLearners with one copy and a model for each"
            " agent, where no row outlives its agent"
        )
    normalize = model.get_vec_normalize_env()
    if normalize is not None and normalize.training and not isinstance(normalize, AliveVecNormalize):
        raise RuntimeError(f"{story}, and so would the statistics of VecNormalize. Use AliveVecNormalize instead")
    if model.env is not None and unwrap_vec_wrapper(model.env, VecMonitor) is not None:
        warnings.warn(
            f"{agent!r} is not alive while others are, and VecMonitor counts its row's waiting as an episode; leave"
            " VecMonitor out: the infos of the environment hold the agents' episodes already",
            stacklevel=2,
        )


def _who_learns_from(env: VecEnv) -> BaseAlgorithm | None:
    """The model whose ``learn()`` is under way further up the stack and whose environment this is."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "learn":
            model = frame.f_locals.get("self")
            if isinstance(model, BaseAlgorithm) and model.env is not None and model.env.unwrapped is env:
                return model
        frame = frame.f_back
    return None
