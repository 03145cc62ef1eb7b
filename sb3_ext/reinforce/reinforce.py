"""REINFORCE: make actions that were followed by high returns more likely.

    grad J(theta) = E[ sum_t grad log pi(A_t|S_t, theta) (G_t - b(S_t)) ]          Sutton & Barto (2nd ed.), eq. 13.11

Play whole episodes, weigh the log-probability of each action by what came after it, take one gradient step, throw the
data away. Three steps lead from Williams (1992) to the algorithm of today:

    weight = G_0          returns="total", baseline="none"    an action is credited with the whole episode
    weight = G_t          returns="to_go", baseline="none"    ... only with what came after it
    weight = G_t - b_t    returns="to_go", baseline="mean"    ... measured against other episodes at the same time
                          returns="to_go", baseline="value"   ... or against a learned V(S_t)

Each makes the gradient scatter less without changing what it is on average: watch ``train/grad_variance`` (which
``normalize_advantage`` would hide). With gamma < 1 the averages of G_0 and G_t agree if G_t is weighed by gamma^t, as
in eq. 13.8. What deviates from the book: that factor is dropped unless
``discounted_gradient=True``, because with it late states hardly learn; episodes come from parallel environments, the
same number from each (``common/episodes.py`` says why); a truncated episode is bootstrapped with V where there is a V.

Read next: ``common/returns.py`` for G_t and ``common/losses.py`` for the loss; then SB3's A2C, which replaces the rest
of the episode by V.
"""

import math
import warnings
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

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
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule, TensorDict
from stable_baselines3.common.utils import FloatSchedule, explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs
from torch.nn import functional as F

from sb3_ext.common import (
    EpisodeBuffer,
    Episodes,
    discounted_returns,
    entropy_loss,
    flat_gradient,
    gradient_variance,
    leave_one_out_baseline,
    policy_gradient_loss,
    refuse_non_finite,
    rescale,
    take,
)

SelfREINFORCE = TypeVar("SelfREINFORCE", bound="REINFORCE")

N_GRADIENT_GROUPS = 4  # the batch gradient is added up in this many parts; their spread estimates its variance
CHUNK_SIZE = 8192  # steps that go through the network at a time


class Credit(NamedTuple):
    """What an update gives each step credit for; arrays with one episode a column, 0 after its end."""

    returns_to_go: np.ndarray
    """G_t, [T, n_episodes]"""
    credited: np.ndarray
    """what the action is credited with: G_t or G_0, [T, n_episodes]"""
    baseline: np.ndarray
    """what that is measured against, [T, n_episodes]"""
    weights: th.Tensor
    """the factor of each step's grad log pi, [N]"""


class REINFORCE(OnPolicyAlgorithm):
    """Monte Carlo policy gradient (Williams 1992) with optional baselines.

    Parameters not listed are those of :class:`stable_baselines3.PPO`.

    Args:
        policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a policy class. Its value network is used only with
            ``baseline="value"``. With ``device="auto"`` MlpPolicy stays on the CPU, where it is faster.
        env: environment, VecEnv or id; actions Discrete, MultiDiscrete, MultiBinary or Box.
        n_episodes: whole episodes per update, shared out equally: each environment plays
            ``ceil(n_episodes / n_envs)``. What it does after its last one counts in ``num_timesteps`` but reaches
            neither the loss nor ``rollout/ep_rew_mean``; then all are reset (so a ``Monitor`` must allow early resets).
        returns: what an action is credited with: "total" (the whole episode's return) or "to_go" (what came after it).
        baseline: "none", "mean" (what the other episodes of the batch got from the same time on) or "value" (V(S_t),
            fitted to the returns after each policy update). With returns="total" it is that of the episode's start.
        discounted_gradient: weigh G_t by gamma^t, as eq. 13.8 does. Default: False, the usual form.
        normalize_advantage: divide the weights by their root mean square over the batch. This only rescales:
            subtracting the mean would be a baseline by itself.
        ent_coef: weight of the entropy bonus, a number or a schedule of the remaining progress.
        n_value_updates: gradient steps on the value function after each policy update. They move a shared feature
            extractor too; ``policy_kwargs=dict(share_features_extractor=False)`` keeps the two apart.
        max_grad_norm: longer gradients are shortened to this. The loss adds up the steps of an episode, so gradients
            are longer than A2C's: SB3's usual 0.5 would shorten nearly all of them. Default: not at all.
        max_episode_steps: an episode that lasts longer is cut there and treated as truncated, with a warning: an
            environment without a time limit cannot hang the training. (A VecEnv cannot reset one environment alone: if
            that one owes another episode, it starts where this one was cut.)

    A truncated episode's return is the sum of the rewards it got ("as it ended"), plus, with ``baseline="value"``, the
    discounted value of the state it reached.

    Logs, beside SB3's ``rollout/`` and ``time/``: ``rollout/episodes`` (episodes in the update),
    ``rollout/masked_fraction`` (share of steps beyond a quota), ``train/policy_loss``, ``train/entropy_loss`` (minus
    the mean entropy, nats), ``train/ent_coef``, ``train/grad_norm`` (before clipping), ``train/grad_variance`` (see
    :func:`sb3_ext.common.gradient_variance`), ``train/explained_variance`` (of the returns, by the baseline),
    ``train/value_loss``, ``train/std`` (continuous actions), ``train/learning_rate``, ``train/n_updates``.

    Raises:
        ValueError: for an unknown ``returns`` or ``baseline``, ``discounted_gradient`` with ``returns="total"`` (which
            carries its gamma^t already), a count that is not a whole number above 0, gamma outside [0, 1], a
            max_grad_norm that is not above 0, ``baseline="mean"`` with one episode per update (there is no other to
            compare with), or a Discrete space that does not start at 0; while learning, for a reward or observation
            that is not finite, naming the environment.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorCriticPolicy,
        "CnnPolicy": ActorCriticCnnPolicy,
        "MultiInputPolicy": MultiInputActorCriticPolicy,
    }
    rollout_buffer: EpisodeBuffer  # type: ignore[assignment]

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-2,
        n_episodes: int = 8,
        gamma: float = 0.99,
        returns: Literal["total", "to_go"] = "to_go",
        baseline: Literal["none", "mean", "value"] = "mean",
        discounted_gradient: bool = False,
        normalize_advantage: bool = False,
        ent_coef: float | Schedule = 0.0,
        n_value_updates: int = 10,
        max_grad_norm: float = math.inf,
        max_episode_steps: int = 10_000,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ):
        if device == "auto" and policy in ("MlpPolicy", ActorCriticPolicy):
            device = "cpu"
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=1,  # not used: a rollout lasts until its episodes are complete
            gamma=gamma,
            gae_lambda=1.0,
            ent_coef=ent_coef,  # type: ignore[arg-type]  # a schedule becomes a number at each update
            vf_coef=1.0,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
            supported_action_spaces=(spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary),
        )
        self.n_episodes = n_episodes
        self.returns = returns
        self.baseline = baseline
        self.discounted_gradient = discounted_gradient
        self.normalize_advantage = normalize_advantage
        self.n_value_updates = n_value_updates
        self.max_episode_steps = max_episode_steps
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        self._check_parameters()
        self._check_spaces()
        super()._setup_model()
        self.ent_coef_schedule = FloatSchedule(self.ent_coef)
        self.rollout_buffer = EpisodeBuffer(self.n_envs, self._episodes_per_env)

    def _check_parameters(self) -> None:
        for name, choices in {"returns": ("total", "to_go"), "baseline": ("none", "mean", "value")}.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {choices}, got {getattr(self, name)!r}")
        for name in ("n_episodes", "n_value_updates", "max_episode_steps"):
            if not isinstance(getattr(self, name), int | np.integer) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number, at least 1, got {getattr(self, name)}")
        if self.discounted_gradient and self.returns == "total":
            raise ValueError('discounted_gradient=True weighs G_t by gamma^t, so it needs returns="to_go", got "total"')
        if not self.max_grad_norm > 0:
            raise ValueError(f"max_grad_norm must be above 0 (math.inf does not clip), got {self.max_grad_norm}")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma must lie in [0, 1], got {self.gamma}")
        if self.baseline == "mean" and self._episodes_per_env * self.n_envs == 1:
            raise ValueError('baseline="mean" compares episodes with each other: n_episodes must be at least 2, got 1')

    def _check_spaces(self) -> None:
        for name in ("observation_space", "action_space"):
            if _starts_elsewhere(getattr(self, name)):
                raise ValueError(
                    f"REINFORCE counts from 0, but the {name} is {getattr(self, name)}; shift it with "
                    "gymnasium.wrappers.TransformObservation or TransformAction"
                )
        if issubclass(self.policy_class, MultiInputActorCriticPolicy) and not isinstance(
            self.observation_space, spaces.Dict
        ):
            raise ValueError(f"MultiInputPolicy needs a Dict observation space, got {self.observation_space}")

    @property
    def _episodes_per_env(self) -> int:
        return -(-self.n_episodes // self.n_envs)

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
        if not np.all(self._last_episode_starts):  # some are amid an episode that began under an older policy
            self._last_obs = env.reset()  # type: ignore[assignment]
        refuse_non_finite("observation", self._last_obs)
        callback.on_rollout_start()

        n_steps = n_masked = 0
        while not rollout_buffer.full:
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

        too_long = buffer.active & ~dones & (buffer.time + 1 >= self.max_episode_steps)
        if not too_long.any():
            return dones
        warnings.warn(
            f"Episodes were cut after max_episode_steps={self.max_episode_steps} steps and count as truncated. If "
            "the environment has no time limit, give it one (gymnasium.wrappers.TimeLimit), else raise that number.",
            stacklevel=5,  # the line that calls learn()
        )
        for i in np.flatnonzero(too_long):
            buffer.mark_truncated(int(i), take(new_obs, i))
        return dones | too_long

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        """Whole episodes may end well beyond ``total_timesteps``; a schedule gets 0 then, not less."""
        super()._update_current_progress_remaining(num_timesteps, total_timesteps)
        self._current_progress_remaining = max(self._current_progress_remaining, 0.0)

    # ---- Learn --------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """One policy gradient step on the episodes just played, then the value function, if there is one."""
        self._update_learning_rate(self.policy.optimizer)
        episodes = self.rollout_buffer.episodes()
        observations = obs_as_tensor(episodes.observations, self.device)

        credit = self.assign_credit(episodes, observations)
        self.policy.set_training_mode(True)
        self._update_policy(episodes, observations, credit.weights)
        if self.baseline == "value":
            returns_to_go = th.as_tensor(episodes.flatten(credit.returns_to_go), device=self.device)
            self._update_value(observations, returns_to_go)

        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if self.baseline != "none":
            explained = explained_variance(episodes.flatten(credit.baseline), episodes.flatten(credit.credited))
            self.logger.record("train/explained_variance", explained)

    def assign_credit(self, episodes: Episodes, observations: th.Tensor | TensorDict) -> Credit:
        """From rewards to the weight of each step's grad log pi: return, baseline, scale."""
        mask = episodes.mask()
        values, returns_to_go = self._evaluate(episodes, observations)
        credited = returns_to_go
        baseline = leave_one_out_baseline(returns_to_go, mask) if self.baseline == "mean" else values
        if self.returns == "total":
            credited, baseline = np.where(mask, returns_to_go[0], 0), np.where(mask, baseline[0], 0)

        weights = credited - baseline
        if self.discounted_gradient:
            weights = weights * self.gamma ** np.arange(len(weights))[:, None]
        if self.normalize_advantage:
            weights = rescale(weights, mask)
        weights_of_steps = th.as_tensor(episodes.flatten(weights), dtype=th.float32, device=self.device)
        return Credit(returns_to_go, credited, baseline, weights_of_steps)

    def _evaluate(self, episodes: Episodes, observations: th.Tensor | TensorDict) -> tuple[np.ndarray, np.ndarray]:
        """V(S_t) (0 without a value baseline) and the return-to-go of every step, both [T, n_episodes]."""
        shape = episodes.mask().shape
        values, next_values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        if self.baseline == "value":
            values = episodes.pad(self._values(observations, len(episodes.rewards)))
            if episodes.last_observations is not None:
                truncated = np.flatnonzero(~episodes.terminated)
                last_observations = obs_as_tensor(episodes.last_observations, self.device)
                next_values[episodes.lengths[truncated] - 1, truncated] = self._values(
                    last_observations, len(truncated)
                )
        rewards = episodes.pad(episodes.rewards.astype(np.float32))
        discounts = episodes.discounts(self.gamma).astype(np.float32)
        return values, discounted_returns(rewards, discounts, episodes.ends(), next_values)

    def _update_policy(self, episodes: Episodes, observations: th.Tensor | TensorDict, weights: th.Tensor) -> None:
        """One step along the policy gradient, added up over groups of episodes to see how much it scatters."""
        ent_coef = self.ent_coef_schedule(self._current_progress_remaining)
        actions = th.as_tensor(episodes.actions, device=self.device)
        groups = np.array_split(np.arange(episodes.n_episodes), min(N_GRADIENT_GROUPS, episodes.n_episodes))

        self.policy.optimizer.zero_grad()
        gradients, policy_losses, entropy_losses = [], [], []
        for group in groups:
            for steps in self._chunks(np.isin(episodes.episode, group)):
                distribution = self.policy.get_distribution(take(observations, steps))
                log_probs = distribution.log_prob(actions[steps])
                policy_loss = policy_gradient_loss(log_probs, weights[steps], n_episodes=episodes.n_episodes)
                bonus = entropy_loss(distribution.entropy(), log_probs) * len(steps) / episodes.n_episodes
                (policy_loss + ent_coef * bonus).backward()  # the parts' losses add up to the batch's
                policy_losses.append(policy_loss.item())
                entropy_losses.append(bonus.item() * episodes.n_episodes / len(episodes.rewards))
            gradients.append(flat_gradient(self.policy))
        norm = th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm, error_if_nonfinite=True)
        self.policy.optimizer.step()

        if len(groups) > 1:
            sizes = th.tensor([len(group) for group in groups], device=self.device)
            parts = th.diff(th.stack(gradients), dim=0, prepend=th.zeros_like(gradients[0])[None])
            variance = gradient_variance(parts * episodes.n_episodes / sizes[:, None], sizes)
            self.logger.record("train/grad_variance", variance)
        self.logger.record("train/grad_norm", norm.item())
        self.logger.record("train/policy_loss", sum(policy_losses))
        self.logger.record("train/entropy_loss", sum(entropy_losses))
        self.logger.record("train/ent_coef", ent_coef)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", th.exp(self.policy.log_std).mean().item())

    def _update_value(self, observations: th.Tensor | TensorDict, returns: th.Tensor) -> None:
        """Fit V to the returns, [N], by a few gradient steps on their squared error."""
        for _ in range(self.n_value_updates):
            self.policy.optimizer.zero_grad()
            value_losses = []
            for steps in self._chunks(np.ones(len(returns), dtype=bool)):
                predicted = self.policy.predict_values(take(observations, steps)).flatten()
                value_loss = F.mse_loss(predicted, returns[steps], reduction="sum") / len(returns)
                value_loss.backward()
                value_losses.append(value_loss.item())
            th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm, error_if_nonfinite=True)
            self.policy.optimizer.step()
        self.logger.record("train/value_loss", sum(value_losses))

    def _values(self, observations: th.Tensor | TensorDict, n_steps: int) -> np.ndarray:
        """V of a batch of observations as data, [n_steps]."""
        with th.no_grad():
            chunks = self._chunks(np.ones(n_steps, dtype=bool))
            values = [self.policy.predict_values(take(observations, steps)).flatten() for steps in chunks]
        return th.cat(values).cpu().numpy()

    def _chunks(self, chosen: np.ndarray) -> tuple[th.Tensor, ...]:
        """The indices of the chosen steps, in parts that fit into memory even if each step is an image."""
        return th.as_tensor(np.flatnonzero(chosen), device=self.device).split(CHUNK_SIZE)

    def learn(
        self: SelfREINFORCE,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 10,
        tb_log_name: str = "REINFORCE",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfREINFORCE:
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
            tb_log_name=tb_log_name,
            reset_num_timesteps=reset_num_timesteps,
            progress_bar=progress_bar,
        )


def _starts_elsewhere(space: spaces.Space) -> bool:
    """Whether the numbers of a Discrete or MultiDiscrete space, alone or in a Dict, do not start at 0."""
    if isinstance(space, spaces.Dict):
        return any(_starts_elsewhere(part) for part in space.values())
    return isinstance(space, spaces.Discrete | spaces.MultiDiscrete) and bool(np.any(space.start))
