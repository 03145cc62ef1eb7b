"""What the algorithms without bootstrapping share: they play whole episodes, the same number in every environment.

``EpisodicAlgorithm`` is SB3's ``OnPolicyAlgorithm`` with another way to collect: until every environment has played its
quota (``common/episodes.py`` says why), instead of for a number of steps. What to learn from the episodes is for its
subclasses to say, in ``train()``: REINFORCE and GRPO.
"""

import warnings
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    BasePolicy,
    MultiInputActorCriticPolicy,
)
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback
from stable_baselines3.common.utils import FloatSchedule, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_ext.common import EpisodeBuffer, refuse_non_finite, take

SelfEpisodicAlgorithm = TypeVar("SelfEpisodicAlgorithm", bound="EpisodicAlgorithm")

CHUNK_SIZE = 8192  # steps that go through the network at a time


class EpisodicAlgorithm(OnPolicyAlgorithm):
    """Base class: an on-policy algorithm that learns from whole episodes. Its arguments are those of the subclasses.

    What an environment does after its last episode counts in ``num_timesteps`` but reaches neither the loss nor
    ``rollout/ep_rew_mean``; then all are reset (so a ``Monitor`` must allow early resets).
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    rollout_buffer: EpisodeBuffer  # type: ignore[assignment]
    max_episode_steps: int | None
    """as it was given"""
    episode_limit: int
    """steps after which an episode is too long"""

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        *,
        device: th.device | str,
        **kwargs: Any,
    ):
        if device == "auto" and policy in ("MlpPolicy", self.policy_aliases["MlpPolicy"]):
            device = "cpu"  # where a small network is faster
        super().__init__(
            policy,
            env,
            n_steps=1,  # not used: a rollout lasts until its episodes are complete
            gae_lambda=1.0,
            vf_coef=1.0,
            use_sde=False,
            sde_sample_freq=-1,
            device=device,
            _init_setup_model=False,
            supported_action_spaces=(spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary),
            **kwargs,
        )

    def _setup_model(self) -> None:
        self._check_parameters()
        self._check_spaces()
        super()._setup_model()
        self.episode_limit = self._episode_limit(self.env)
        self.ent_coef_schedule = FloatSchedule(self.ent_coef)
        self.rollout_buffer = EpisodeBuffer(self.n_envs, self._episodes_per_env)

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """As SB3's; what depends on the environment is worked out anew."""
        super().set_env(env, force_reset)
        self.episode_limit = self._episode_limit(self.env)

    def _episode_limit(self, env: VecEnv | None) -> int:
        """The longest that an episode may be: ``max_episode_steps``; subclasses may know more."""
        assert self.max_episode_steps is not None
        return self.max_episode_steps

    @property
    def _episodes_per_env(self) -> int:
        """The quota of each environment in one rollout."""
        raise NotImplementedError

    def _check_parameters(self) -> None:
        """Refuse what no training could follow; subclasses add their own."""
        if not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be above 0 (math.inf does not clip), got {self.max_grad_norm}")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must lie in [0, 1], got {self.gamma}")

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        if getattr(self, name) not in choices:
            raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}")

    def _check_count(self, name: str, lowest: int = 1) -> None:
        value = getattr(self, name)
        if not isinstance(value, int | np.integer) or value < lowest:
            raise ValueError(f"{name} must be a whole number, at least {lowest}, got {value}")

    def _check_spaces(self) -> None:
        for name in ("observation_space", "action_space"):
            if _starts_elsewhere(getattr(self, name)):
                raise ValueError(
                    f"{type(self).__name__} counts from 0, but the {name} is {getattr(self, name)}; shift it with "
                    "gymnasium.wrappers.TransformObservation or TransformAction"
                )
        if issubclass(self.policy_class, MultiInputActorCriticPolicy) and not isinstance(
            self.observation_space, spaces.Dict
        ):
            raise ValueError(f"MultiInputPolicy needs a Dict observation space, got {self.observation_space}")

    # ---- Play ---------------------------------------------------------------------------------------------------

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: EpisodeBuffer, n_rollout_steps: int
    ) -> bool:
        """Play until every environment has finished its share of episodes, each from its first state.

        Returns:
            False if a callback asked to stop.
        """
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        self._begin_rollout(env, rollout_buffer)
        refuse_non_finite("observation", self._last_obs)
        callback.on_rollout_start()

        n_steps = n_masked = 0
        while not rollout_buffer.full:
            if not rollout_buffer.active.any():
                self._begin_round(env, rollout_buffer)
            actions = self._sample_actions()
            new_obs, rewards, dones, infos = env.step(self._within_bounds(actions))
            self.num_timesteps += env.num_envs
            observations = self._last_obs  # kept up to date before a callback may stop the training
            self._last_obs, self._last_episode_starts = new_obs, dones  # type: ignore[assignment]
            refuse_non_finite("reward", rewards)
            refuse_non_finite("observation", new_obs)

            callback.update_locals(locals())
            if not callback.on_step():
                return False

            n_steps += 1
            n_masked += int((~rollout_buffer.active).sum())
            ends = self._end_episodes(rollout_buffer, new_obs, dones, infos)
            rollout_buffer.add(observations, actions, rewards, ends)  # type: ignore[arg-type]

        self.logger.record("rollout/episodes", env.num_envs * self._episodes_per_env)
        self.logger.record("rollout/masked_fraction", n_masked / (n_steps * env.num_envs))
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _begin_rollout(self, env: VecEnv, rollout_buffer: EpisodeBuffer) -> None:
        """Put every environment at the start of an episode."""
        if not np.all(self._last_episode_starts):  # some are amid an episode that began under an older policy
            self._last_obs = env.reset()  # type: ignore[assignment]

    def _begin_round(self, env: VecEnv, rollout_buffer: EpisodeBuffer) -> None:
        """Where episodes are played in rounds: put every environment at the start of the next one."""
        raise NotImplementedError

    def _sample_actions(self) -> np.ndarray:
        """One action for each environment, drawn without recording gradients, [n_envs] or [n_envs, action size]."""
        with th.no_grad():
            actions = self.policy._predict(obs_as_tensor(self._last_obs, self.device))  # type: ignore[arg-type]
        return actions.cpu().numpy()

    def _within_bounds(self, actions: np.ndarray) -> np.ndarray:
        """Actions as the environment takes them: a Gaussian has no bounds, a Box has."""
        if not isinstance(self.action_space, spaces.Box):
            return actions
        actions = actions.reshape(-1, *self.action_space.shape)
        if self.policy.squash_output:
            return self.policy.unscale_action(actions)
        return np.clip(actions, self.action_space.low, self.action_space.high)

    def _end_episodes(
        self, buffer: EpisodeBuffer, new_obs: VecEnvObs, dones: np.ndarray, infos: list[dict[str, Any]]
    ) -> np.ndarray:
        """Note which episodes end with this step, and how; [n_envs]."""
        finished = np.flatnonzero(dones & buffer.active)
        for i in finished:
            if infos[i].get("TimeLimit.truncated", False):
                refuse_non_finite("terminal observation", infos[i]["terminal_observation"], int(i))
                buffer.mark_truncated(int(i), infos[i]["terminal_observation"])
        if len(finished):
            self._update_info_buffer([infos[i] for i in finished], dones[finished])

        too_long = buffer.active & ~dones & (buffer.time + 1 >= self.episode_limit)
        if not too_long.any():
            return dones
        self._cut_episodes(buffer, new_obs, np.flatnonzero(too_long))
        return dones | too_long

    def _cut_episodes(self, buffer: EpisodeBuffer, new_obs: VecEnvObs, envs: np.ndarray) -> None:
        """Treat episodes that last longer than ``episode_limit`` as truncated, with a warning."""
        warnings.warn(
            f"Episodes were cut after max_episode_steps={self.episode_limit} steps and count as truncated. If "
            "the environment has no time limit, give it one (gymnasium.wrappers.TimeLimit), else raise that number.",
            stacklevel=6,  # the line that calls learn()
        )
        for i in envs:
            buffer.mark_truncated(int(i), take(new_obs, i))

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        """Whole episodes may end well beyond ``total_timesteps``; a schedule gets 0 then, not less."""
        super()._update_current_progress_remaining(num_timesteps, total_timesteps)
        self._current_progress_remaining = max(self._current_progress_remaining, 0.0)

    # ---- Learn --------------------------------------------------------------------------------------------------

    def _chunks(self, chosen: np.ndarray) -> tuple[th.Tensor, ...]:
        """The indices of the chosen steps, in parts that fit into memory even if each step is an image."""
        return th.as_tensor(np.flatnonzero(chosen), device=self.device).split(CHUNK_SIZE)

    def learn(
        self: SelfEpisodicAlgorithm,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 10,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfEpisodicAlgorithm:
        """Train for at least ``total_timesteps`` steps, all environments together; see SB3's ``learn``.

        Raises:
            ValueError: if ``total_timesteps`` is negative.
        """
        if not total_timesteps >= 0:
            raise ValueError(f"total_timesteps must be 0 or more, got {total_timesteps}")
        self._last_episode_starts = np.zeros(self.n_envs, dtype=bool)  # whoever stepped env meanwhile: start afresh
        return super().learn(
            total_timesteps,
            callback=callback,
            log_interval=log_interval,
            tb_log_name=type(self).__name__ if tb_log_name is None else tb_log_name,
            reset_num_timesteps=reset_num_timesteps,
            progress_bar=progress_bar,
        )


def _starts_elsewhere(space: spaces.Space) -> bool:
    """Whether the numbers of a Discrete or MultiDiscrete space, alone or in a Dict, do not start at 0."""
    if isinstance(space, spaces.Dict):
        return any(_starts_elsewhere(part) for part in space.values())
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and bool(np.any(space.start))
