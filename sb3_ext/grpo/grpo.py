"""GRPO: play every task several times, and make the better-than-average attempts more likely. No critic.

    A_i = (G_i - mean_j G_j) / std_j G_j          over the members j of i's group          Shao et al. 2024, eq. 3 and 4
    maximise  E[ min(r A, clip(r, 1 - eps, 1 + eps) A) ] - beta KL,    r = pi(A_t|S_t) / pi_old(A_t|S_t)

The members of a group start from the same state (``group_starts.py``), so what sets their returns apart is what they
did, not where they began. A policy-gradient method thus gets a baseline without learning a value function; PPO's
clipped surrogate lets it take several gradient steps on the same episodes.

The papers' recipes are some arguments each. What a line does not name is the class's default (and the defaults are
none of these recipes, but dapo's weights with GRPO's scaling, without a penalty):

    GRPO       loss_type="grpo", kl_coef=0.04                                                       Shao et al. 2024
    Dr. GRPO   loss_type="dr_grpo", scale_rewards="none": no bias to long bad episodes, nor to
               groups that are nearly solved or hopeless                                            Liu et al. 2025
    DAPO       loss_type="dapo", clip_range_high=0.28, dynamic_sampling=True: every step counts
               the same (dropped groups are not replaced by others here)                            Yu et al. 2025
    GSPO       ratio="episode", loss_type="grpo", clip_range=3e-4, clip_range_high=4e-4,
               n_minibatches=4: one ratio an episode                                                Zheng et al. 2025
    CISPO      loss_type="cispo": clip the weight, not the gradient                                 MiniMax 2025

What deviates from language models, for which GRPO was made: an episode has rewards along the way, not just at its end,
so the return is discounted; starts are matched by seeded resets, where a language model gets the same prompt. A
truncated episode's return is the sum of the rewards it got: there is no critic to say what would have followed.

What the KL penalty does depends on where it stands. ``kl_in="loss"`` adds k3 = ref/pi - log(ref/pi) - 1 to the loss, as
TRL does: its value estimates KL(pi || ref), but its gradient, on average, is that of KL(ref || pi), which asks the
policy to do all that the reference does. ``kl_in="reward"`` takes log(pi/ref) from the reward: the gradient is that of
KL(pi || ref), which asks it to do nothing that the reference does not (tests/common/test_kl.py shows both). In both
places ``kl_coef`` weighs the penalty against the scaled advantages: that by which a sum of log-ratios differs from its
group's mean is never divided by the deviation of the returns. (Where all returns are equal, that would make the
smallest difference as large as any.)

    A_i = (G_i - mean_j G_j) / std_j G_j - beta (K_i - mean_j K_j),    K the discounted sum of log(pi/ref)

Read next: ``common/group_advantages.py``, ``common/clipped_losses.py``, ``common/kl.py``: the equations.
"""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import GymEnv, Schedule, TensorDict
from stable_baselines3.common.utils import FloatSchedule, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_ext import episodic
from sb3_ext.common import (
    EpisodeBuffer,
    Episodes,
    aggregation_weights,
    cispo_loss,
    clip_fraction,
    clipped_surrogate_loss,
    discounted_returns,
    entropy_loss,
    episode_importance_ratios,
    group_relative_advantages,
    importance_ratios,
    kl_k1,
    kl_k3,
    take,
    zero_variance_groups,
)
from sb3_ext.common.returns import FloatArray
from sb3_ext.common.slots import GroupAdvantages, result_of
from sb3_ext.grpo.group_starts import GROUP_STARTS, TRANSITION_NOISES, GroupStarts, check_abilities
from sb3_ext.grpo.policies import ActorCnnPolicy, ActorPolicy, MultiInputActorPolicy

CRITIC = r"value_net|vf_features_extractor"  # names of parameters that only a critic has
NO_LIMIT = 10_000  # steps of an episode, where neither the user nor the environment has a limit
ENDLESS = 2**31 - 1  # what Gymnasium's CartPole batch takes for no limit
CISPO_CAP = 5.0  # of the importance weight, as ScaleRL recommends (Khatri et al. 2025)


class Batch(NamedTuple):
    """The episodes of one rollout and all that stays fixed while the policy learns from them; N steps."""

    episodes: Episodes
    observations: th.Tensor | TensorDict
    """[N, ...]"""
    actions: th.Tensor
    """[N, ...]"""
    old_log_probs: th.Tensor
    """log pi_old(A_t|S_t) of the policy that played, [N]"""
    reference_log_probs: th.Tensor | None
    """log ref(A_t|S_t), [N]"""
    advantages: th.Tensor
    """[N]"""
    episode: th.Tensor
    """which episode each step belongs to, [N]"""
    steps: list[np.ndarray]
    """for each episode, where its steps are in [N]"""
    kept: np.ndarray
    """the episodes to learn from: all, or with dynamic sampling those whose group says something"""


class GRPO(episodic.EpisodicAlgorithm):
    """Group relative policy optimisation (Shao et al. 2024) for any Gymnasium environment.

    Parameters not listed are those of :class:`stable_baselines3.PPO`.

    Args:
        policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" (SB3's, without their critic) or an actor-critic policy
            class, whose critic is not used. With ``device="auto"`` MlpPolicy stays on the CPU, where it is faster.
        env: environment, VecEnv or id; actions Discrete, MultiDiscrete, MultiBinary or Box. A group is played by
            ``group_size`` environments at the same time, or by fewer one after the other: one of ``n_envs`` and
            ``group_size`` must divide the other.
        group_size: members of a group, at least 2.
        n_groups: groups an update, at least; with more environments than they need, as many as fill them.
        n_epochs: how often each update goes through the episodes.
        n_minibatches: parts that whole episodes are shared out to, one gradient step each.
        supervision: "outcome" gives each step of an episode the same advantage, that of the whole return; "process"
            compares returns-to-go at equal time among the members still playing (who plays alone gets 0).
        scale_rewards: divide the advantages by the standard deviation of the "group", of the "batch", or by "none".
        leave_one_out: compare with the mean of the other members; a mean that includes the own return shrinks the
            gradient by 1 - 1/group_size.
        dynamic_sampling: drop the groups whose returns, without any penalty, are all equal, rather than let their
            zeros count in the mean.
        loss_type: how steps are weighed, see :func:`sb3_ext.common.aggregation_weights`: "grpo", "bnpo", "dapo",
            "dr_grpo" (whose constant is ``max_episode_steps``); or "cispo", another loss with dapo's weights.
        ratio: importance ratio of each "step", or one for the "episode" (GSPO, whose clip_range is 3e-4).
        clip_range: how far the ratio may fall below 1, a number or a schedule of the remaining progress.
        clip_range_high: how far it may rise above 1. Default: clip_range. With "cispo" the largest weight; default: 5.
        kl_coef: weight of the KL penalty against the reference policy, a number or a schedule. 0: no reference.
        kl_in: the penalty belongs to the "loss" or to the "reward"; the module's docstring says what that changes.
        reference_policy: its actor's parameters are copied; needs the same actor, in the same shapes. Default: the
            policy as it is when ``learn`` is first called. Given to ``load``, it replaces the one that was saved.
        reference_update_interval: move the reference after every so many gradient steps. Default: never. (Like
            ``reference_policy``, it needs a kl_coef.)
        reference_mixture: to ``mixture * policy + (1 - mixture) * reference``, in (0, 1].
        ent_coef: weight of the entropy bonus (mean over steps), a number or a schedule.
        group_start: members share the "seed" of their reset; or the "state" of the group's first member, by the
            environment's own ``clone_state()`` and ``restore_state(state)``; or nothing ("unmatched").
        transition_noise: from the common start on, "independent" for each member, or "common", which is all that
            EnvPool's environments have: ``make_vec_env("Acrobot-v1")`` among others needs it (or
            ``backend="dummy"``).
        max_episode_steps: an episode that lasts longer raises. Default: what Gymnasium's ``TimeLimit`` or the backend
            says (``episode_limit`` has it, and follows ``set_env`` and ``load``), or 10,000.
        advantage: a function of your own in the place of ``scale_rewards`` and ``leave_one_out``
            (``sb3_ext.common.slots.GroupAdvantages``): from whole returns, [n_groups, group_size], to advantages, same
            shape; a penalty in the reward comes after it. It is saved with the model: by its name if an importable
            module's, else with its code.

    Logs, beside SB3's ``rollout/`` and ``time/``: ``rollout/episodes``, ``rollout/masked_fraction`` (share of steps
    after a member's end), ``rollout/zero_variance_fraction`` (groups whose returns are all equal, without any penalty),
    ``train/policy_loss``, ``train/approx_kl`` (k3, old policy to new), ``train/clip_fraction``,
    ``train/entropy_loss`` (minus the mean entropy, nats), ``train/kl`` (k3 to the reference), ``train/kl_coef``,
    ``train/ent_coef``, ``train/clip_range``, ``train/grad_norm`` (before clipping), ``train/std`` (continuous
    actions), ``train/learning_rate``, ``train/n_updates`` (gradient steps).

    Raises:
        ValueError: for an unknown choice, a count or range that makes no sense, environments that do not divide into
            groups, a Discrete space that does not start at 0, or a reference policy of another shape; while learning,
            for members that do not start alike, a number that is not finite, or an episode without end.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": ActorPolicy,
        "CnnPolicy": ActorCnnPolicy,
        "MultiInputPolicy": MultiInputActorPolicy,
    }

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 2e-3,
        group_size: int = 8,
        n_groups: int = 2,
        n_epochs: int = 4,
        n_minibatches: int = 1,
        gamma: float = 0.99,
        supervision: Literal["outcome", "process"] = "outcome",
        scale_rewards: Literal["group", "batch", "none"] = "group",
        leave_one_out: bool = False,
        dynamic_sampling: bool = False,
        loss_type: Literal["grpo", "bnpo", "dapo", "dr_grpo", "cispo"] = "dapo",
        ratio: Literal["step", "episode"] = "step",
        clip_range: float | Schedule = 0.2,
        clip_range_high: float | Schedule | None = None,
        kl_coef: float | Schedule = 0.0,
        kl_in: Literal["loss", "reward"] = "loss",
        reference_policy: BasePolicy | None = None,
        reference_update_interval: int | None = None,
        reference_mixture: float = 0.6,
        ent_coef: float | Schedule = 0.0,
        max_grad_norm: float = 0.5,
        group_start: Literal["seed", "state", "unmatched"] = "seed",
        transition_noise: Literal["independent", "common"] = "independent",
        max_episode_steps: int | None = None,
        advantage: GroupAdvantages | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
    ):
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            gamma=gamma,
            ent_coef=ent_coef,
            max_grad_norm=max_grad_norm,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
        )
        self.group_size = group_size
        self.n_groups = n_groups
        self.n_epochs = n_epochs
        self.n_minibatches = n_minibatches
        self.supervision = supervision
        self.scale_rewards = scale_rewards
        self.leave_one_out = leave_one_out
        self.dynamic_sampling = dynamic_sampling
        self.loss_type = loss_type
        self.ratio = ratio
        self.clip_range = clip_range
        self.clip_range_high = clip_range_high
        self.kl_coef = kl_coef
        self.kl_in = kl_in
        self.reference_policy = reference_policy
        self.reference_update_interval = reference_update_interval
        self.reference_mixture = reference_mixture
        self.group_start = group_start
        self.transition_noise = transition_noise
        self.max_episode_steps = max_episode_steps
        self.advantage = advantage
        self.reference: BasePolicy | None = None
        if _init_setup_model:
            self._setup_model()

    # ---- Set up -------------------------------------------------------------------------------------------------

    def _setup_model(self) -> None:
        if self.env is not None:
            check_abilities(self.env, self.group_start, self.transition_noise)
        super()._setup_model()
        self.rollout_buffer = EpisodeBuffer(self.n_envs, self._episodes_per_env, in_rounds=True)
        seed = None if self.seed is None else [self.seed, self.num_timesteps]  # who goes on plays other starts
        self.group_starts = GroupStarts(
            self.group_size, self.group_start, self.transition_noise, np.random.default_rng(seed)
        )
        self.shuffling = np.random.default_rng(seed)
        self.clip_range_schedule = FloatSchedule(self.clip_range)
        default = CISPO_CAP if self.loss_type == "cispo" else self.clip_range
        high = default if self.clip_range_high is None else self.clip_range_high
        self.clip_range_high_schedule = FloatSchedule(high)
        self.kl_coef_schedule = FloatSchedule(self.kl_coef)
        self.reference = None if self.reference_policy is None else self._make_reference()

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """As SB3's, after the checks of ``group_start`` and ``transition_noise``."""
        env = self._wrap_env(env, self.verbose)
        check_abilities(env, self.group_start, self.transition_noise)
        super().set_env(env, force_reset)

    def _episode_limit(self, env: VecEnv | None) -> int:
        return _time_limit(env) if self.max_episode_steps is None else self.max_episode_steps

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        if self._penalises and self.reference is None:
            self.reference = self._make_reference()
        return super()._setup_learn(*args, **kwargs)

    @property
    def _penalises(self) -> bool:
        """Whether there is a KL penalty, and so a reference policy."""
        return callable(self.kl_coef) or self.kl_coef > 0

    @property
    def _episodes_per_env(self) -> int:
        return -(-self.n_groups * self.group_size // self.n_envs)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._check_choice("supervision", ("outcome", "process"))
        self._check_choice("scale_rewards", ("group", "batch", "none"))
        self._check_choice("loss_type", ("grpo", "bnpo", "dapo", "dr_grpo", "cispo"))
        self._check_choice("ratio", ("step", "episode"))
        self._check_choice("kl_in", ("loss", "reward"))
        self._check_choice("group_start", GROUP_STARTS)
        self._check_choice("transition_noise", TRANSITION_NOISES)
        self._check_count("group_size", lowest=2)
        for name in ("n_groups", "n_epochs", "n_minibatches"):
            self._check_count(name)
        for name in ("max_episode_steps", "reference_update_interval"):
            if getattr(self, name) is not None:
                self._check_count(name)
        if self.n_envs % self.group_size and self.group_size % self.n_envs:
            raise ValueError(
                f"{self.n_envs} environments do not divide into groups of {self.group_size}: make n_envs a multiple "
                "of group_size, or group_size one of n_envs"
            )
        if self.n_minibatches > self._episodes_per_env * self.n_envs:
            raise ValueError(
                f"n_minibatches={self.n_minibatches} is more than the {self._episodes_per_env * self.n_envs} episodes "
                "of an update, which are not cut"
            )
        for name in ("clip_range", "clip_range_high", "kl_coef", "ent_coef"):
            value = getattr(self, name)
            if value is not None and not callable(value) and not value >= 0:
                raise ValueError(f"{name} must be 0 or more, got {value}")
        if self.advantage is not None and self.supervision == "process":
            raise ValueError('advantage= is given whole returns, so it needs supervision="outcome", got "process"')
        if not 0 < self.reference_mixture <= 1:
            raise ValueError(f"reference_mixture must lie in (0, 1], got {self.reference_mixture}")
        for name in ("reference_policy", "reference_update_interval"):
            if getattr(self, name) is not None and not self._penalises:
                raise ValueError(f"{name} does nothing without a penalty: give kl_coef above 0, or no {name}")

    def _make_reference(self) -> BasePolicy:
        """A copy of the policy, with the actor of ``reference_policy`` if one was given; it is never trained."""
        reference = deepcopy(self.policy).requires_grad_(False)
        reference.set_training_mode(False)
        if self.reference_policy is None:
            return reference
        own, given = (
            {name: value for name, value in policy.state_dict().items() if not re.search(CRITIC, name)}
            for policy in (reference, self.reference_policy)
        )
        shapes = {name: tuple(tuple(part[name].shape) if name in part else None for part in (own, given))
                  for name in own | given}  # fmt: skip
        wrong = {name: pair for name, pair in shapes.items() if pair[0] != pair[1]}
        if wrong:
            raise ValueError(f"reference_policy has another shape than the policy: (policy's, its) {wrong}")
        reference.load_state_dict(given, strict=False)  # a critic of the reference's own is not used
        return reference

    # The reference is saved, but not asked for when parameters are set: a model may be loaded with a penalty that it
    # was saved without, or without one that it was saved with.

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "reference", "reference_policy", "group_starts", "shuffling"]

    def get_parameters(self) -> dict[str, dict]:
        """As SB3's, with "reference" if there is one: with a KL penalty, once the model learns."""
        own = {} if self.reference is None else {"reference": self.reference.state_dict()}
        return {**super().get_parameters(), **own}

    def set_parameters(
        self, load_path_or_dict: Any, exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        """As SB3's. The reference becomes the saved one; without one, the policy that is set here.

        A given one stays. Before the first ``learn`` a policy alone sets none: it is the policy at ``learn`` then.
        """
        if isinstance(load_path_or_dict, dict):
            parameters = dict(load_path_or_dict)
        else:
            parameters = load_from_zip_file(load_path_or_dict, device=device, load_data=False)[1]
        saved = parameters.pop("reference", None)
        super().set_parameters(parameters, exact_match=exact_match, device=device)
        if self._penalises and self.reference_policy is None:
            self.reference = None if saved is None and self.num_timesteps == 0 else self._make_reference()
            if self.reference is not None and saved is not None:
                self.reference.load_state_dict(saved)

    # ---- Play ---------------------------------------------------------------------------------------------------

    def collect_rollouts(  # type: ignore[override]
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: EpisodeBuffer, n_rollout_steps: int
    ) -> bool:
        """As of the base class; groups have ended with it."""
        try:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        finally:
            self.group_starts.release()

    def _begin_rollout(self, env: VecEnv, rollout_buffer: EpisodeBuffer) -> None:
        self._last_obs = self.group_starts.reset(env, n_played=0)  # type: ignore[assignment]

    def _begin_round(self, env: VecEnv, rollout_buffer: EpisodeBuffer) -> None:
        n_played = rollout_buffer.n_played * self.n_envs
        self._last_obs = self.group_starts.reset(env, n_played)  # type: ignore[assignment]
        rollout_buffer.begin_round()

    def _cut_episodes(self, buffer: EpisodeBuffer, new_obs: VecEnvObs, envs: np.ndarray) -> None:
        raise ValueError(
            f"environment {envs[0]} has played {self.episode_limit} steps without an end, and GRPO compares whole "
            "episodes: give the environment a time limit (gymnasium.wrappers.TimeLimit) or raise max_episode_steps"
        )

    # ---- Learn --------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """Several epochs of gradient steps on the episodes just played."""
        self._update_learning_rate(self.policy.optimizer)
        batch = self.prepare(self.rollout_buffer.episodes())
        self.policy.set_training_mode(True)
        sums: dict[str, float] = {}
        for _ in range(self.n_epochs):
            for minibatch in np.array_split(self.shuffling.permutation(batch.kept), self.n_minibatches):
                if len(minibatch):  # dynamic sampling may have dropped all
                    self._update_policy(batch, minibatch, sums)
        self._log(sums)

    def prepare(self, episodes: Episodes) -> Batch:
        """From episodes to advantages, and to the log-probabilities under the policies that stay fixed."""
        observations = obs_as_tensor(episodes.observations, self.device)
        actions = th.as_tensor(episodes.actions, device=self.device)
        old_log_probs = self._log_probs(self.policy, observations, actions)
        reference_log_probs: th.Tensor | None = None
        penalties: np.ndarray | None = None
        if self.reference is not None:
            reference_log_probs = self._log_probs(self.reference, observations, actions)
            if self.kl_in == "reward":
                penalties = self._coefficient("kl_coef") * kl_k1(old_log_probs, reference_log_probs).cpu().numpy()

        advantages, says_nothing = self._advantages(episodes, penalties)
        self.logger.record("rollout/zero_variance_fraction", float(says_nothing.mean()))
        kept = np.arange(episodes.n_episodes)
        if self.dynamic_sampling:
            kept = kept[~np.repeat(says_nothing, self.group_size)]
        return Batch(
            episodes,
            observations,
            actions,
            old_log_probs,
            reference_log_probs,
            advantages=th.as_tensor(advantages, dtype=th.float32, device=self.device),
            episode=th.as_tensor(episodes.episode, device=self.device),
            steps=np.split(np.argsort(episodes.episode, kind="stable"), np.cumsum(episodes.lengths)[:-1]),
            kept=kept,
        )

    def _advantages(self, episodes: Episodes, penalties: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """The advantage of each step, [N], and which groups have equal returns, [n_groups].

        Penalties, [N], come off the rewards: relative to the group's like these, but never scaled.
        """
        returns, mask = self._compared(episodes, episodes.rewards.astype(np.float32))
        shape: dict[str, Any] = {"mask": mask, "leave_one_out": self.leave_one_out}
        advantages: FloatArray
        if self.advantage is not None:
            advantages = result_of(self.advantage, returns.shape, returns.astype(np.float64))
        else:
            advantages = group_relative_advantages(returns, scale_rewards=self.scale_rewards, **shape)
        if penalties is not None:
            compared, _ = self._compared(episodes, penalties)
            advantages = advantages - group_relative_advantages(compared, scale_rewards="none", **shape)
        if mask is None:
            of_steps = advantages.reshape(-1)[episodes.episode]
        else:
            of_steps = episodes.flatten(advantages.reshape(-1, mask.shape[-1]).T)
        return of_steps, zero_variance_groups(returns, mask)

    def _compared(self, episodes: Episodes, rewards: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """What is compared: whole returns, [n_groups, n_members]; or returns-to-go, [..., T], and who still plays."""
        returns_to_go = discounted_returns(episodes.pad(rewards), episodes.discounts(self.gamma), episodes.ends())
        if self.supervision == "outcome":
            return returns_to_go[0].reshape(-1, self.group_size), None
        by_group = (-1, self.group_size, len(returns_to_go))
        return returns_to_go.T.reshape(by_group), episodes.mask().T.reshape(by_group)

    def _log_probs(self, policy: BasePolicy, observations: th.Tensor | TensorDict, actions: th.Tensor) -> th.Tensor:
        """The log-probability of each action, as data, [N]."""
        with th.no_grad():
            parts = [
                policy.get_distribution(take(observations, steps)).log_prob(actions[steps])  # type: ignore[operator]
                for steps in self._chunks(np.ones(len(actions), dtype=bool))
            ]
        return th.cat(parts)

    def _update_policy(self, batch: Batch, minibatch: np.ndarray, sums: dict[str, float]) -> None:
        """One gradient step on some of the episodes."""
        self.backward(batch, minibatch, sums)
        norm = th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm, error_if_nonfinite=True)
        self.policy.optimizer.step()
        self._n_updates += 1
        sums["updates"] = sums.get("updates", 0) + 1
        sums["grad_norm"] = sums.get("grad_norm", 0.0) + norm.item()
        if self.reference is not None and self._n_updates % (self.reference_update_interval or np.inf) == 0:
            self._move_reference()

    def backward(self, batch: Batch, minibatch: np.ndarray, sums: dict[str, float]) -> None:
        """Leave the gradient of the loss of some episodes in the policy's parameters.

        Args:
            batch: from :meth:`prepare`.
            minibatch: numbers of the episodes to learn from, [n].
            sums: what is to be logged is added to these.
        """
        weights = self._weights(batch, minibatch)
        n_steps = sum(len(batch.steps[i]) for i in minibatch)
        self.policy.optimizer.zero_grad()
        for steps in self._whole_episodes(batch, minibatch):  # the parts' losses add up to the minibatch's
            self._loss(batch, steps, weights[batch.episode[steps]], n_steps, sums).backward()

    def _weights(self, batch: Batch, minibatch: np.ndarray) -> th.Tensor:
        """The weight of a step of each episode in the loss, [n_episodes]; 0 outside the minibatch."""
        lengths = batch.episodes.lengths
        weights = np.zeros(len(lengths))
        weights[minibatch] = aggregation_weights(
            lengths[minibatch],
            self.loss_type,
            max_length=self.episode_limit,
            mean_minibatch_steps=lengths[batch.kept].sum() / self.n_minibatches,
        )
        return th.as_tensor(weights, dtype=th.float32, device=self.device)

    def _whole_episodes(self, batch: Batch, minibatch: np.ndarray) -> Iterator[th.Tensor]:
        """The indices of the minibatch's steps, in parts of whole episodes that fit into memory."""
        part: list[np.ndarray] = []
        n_steps = 0
        for i in minibatch:
            if part and n_steps + len(batch.steps[i]) > episodic.CHUNK_SIZE:
                yield th.as_tensor(np.concatenate(part), device=self.device)
                part, n_steps = [], 0
            part.append(batch.steps[i])
            n_steps += len(batch.steps[i])
        yield th.as_tensor(np.concatenate(part), device=self.device)

    def _loss(
        self, batch: Batch, steps: th.Tensor, weights: th.Tensor, n_steps: int, sums: dict[str, float]
    ) -> th.Tensor:
        """What some steps of a minibatch add to its loss: surrogate, KL, entropy; a scalar."""
        progress = self._current_progress_remaining
        low, high = self.clip_range_schedule(progress), self.clip_range_high_schedule(progress)
        distribution = self.policy.get_distribution(take(batch.observations, steps))
        log_probs = distribution.log_prob(batch.actions[steps])
        old_log_probs, advantages = batch.old_log_probs[steps], batch.advantages[steps]
        if self.ratio == "episode":
            ratios = episode_importance_ratios(
                log_probs, old_log_probs, batch.episode[steps], batch.episodes.n_episodes
            )
        else:
            ratios = importance_ratios(log_probs, old_log_probs)
        if self.loss_type == "cispo":
            policy_loss = cispo_loss(log_probs, ratios, advantages, high, weights)
        else:
            policy_loss = clipped_surrogate_loss(ratios, advantages, low, high, weights)
        share = len(steps) / n_steps
        bonus = share * entropy_loss(distribution.entropy(), log_probs)
        loss = policy_loss + self._coefficient("ent_coef") * bonus

        data = log_probs.detach()
        terms = {
            "policy_loss": policy_loss,
            "entropy_loss": bonus,
            "approx_kl": share * kl_k3(old_log_probs, data).mean(),
        }
        if self.loss_type != "cispo":  # which cuts no gradient
            terms["clip_fraction"] = share * th.tensor(clip_fraction(ratios.detach(), advantages, low, high))
        if batch.reference_log_probs is not None:
            kl = kl_k3(log_probs, batch.reference_log_probs[steps])
            terms["kl"] = share * kl.detach().mean()
            if self.kl_in == "loss":
                loss = loss + self._coefficient("kl_coef") * (weights * kl).sum()
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + term.item()
        return loss

    def _coefficient(self, name: str) -> float:
        """``kl_coef`` or ``ent_coef``, as it is now."""
        value = getattr(self, f"{name}_schedule")(self._current_progress_remaining)
        if not value >= 0:
            progress = self._current_progress_remaining
            raise ValueError(f"{name} must be 0 or more, but its schedule gives {value} at the progress {progress}")
        return value

    def _move_reference(self) -> None:
        """``reference <- mixture * policy + (1 - mixture) * reference`` (Gorbatovski et al. 2024, TR-DPO)."""
        assert self.reference is not None
        with th.no_grad():
            for mine, theirs in zip(self.policy.parameters(), self.reference.parameters(), strict=True):
                theirs.lerp_(mine, self.reference_mixture)

    def _log(self, sums: dict[str, float]) -> None:
        progress = self._current_progress_remaining
        n_updates = sums.pop("updates", 1)
        for name, total in sums.items():
            self.logger.record(f"train/{name}", total / n_updates)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", self.clip_range_schedule(progress))
        self.logger.record("train/ent_coef", self.ent_coef_schedule(progress))
        if self.reference is not None:
            self.logger.record("train/kl_coef", self.kl_coef_schedule(progress))
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", th.exp(self.policy.log_std).mean().item())


def _time_limit(env: VecEnv | None) -> int:
    """The steps after which the environments cut an episode, or 10,000 where nothing says that they do."""
    if env is None:
        return NO_LIMIT
    venv = env.unwrapped
    owners = (venv, getattr(venv, "vector_env", None))  # our fast backends, and the batch in one of them
    limits = [getattr(owner, "max_episode_steps", None) for owner in owners]
    if venv.has_attr("_max_episode_steps"):  # Gymnasium's TimeLimit has it
        limits += venv.get_attr("_max_episode_steps")
    found = [int(limit) for limit in limits if isinstance(limit, int | np.integer) and 1 <= limit < ENDLESS]
    return max(found, default=NO_LIMIT)
