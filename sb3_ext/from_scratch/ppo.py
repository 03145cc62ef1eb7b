"""SB3's ``PPO`` is for work, this one is for reading: both learn the same.

    max over theta of  E[ min( r_t A_t, clip(r_t, 1 - eps, 1 + eps) A_t ) ]       Schulman et al. 2017, eq. 7
    r_t = pi(A_t|S_t, theta) / pi(A_t|S_t, theta_old)

A2C throws its data away after one gradient step, for after it the data is another policy's. PPO takes many steps on it:
the ratio r_t corrects for the policy having moved, and where it has moved by more than eps in the direction that the
advantage A_t asks for, the clip takes the gradient away.

What deviates from the paper: advantages are normalised in each minibatch, gradients are bounded, and two options: a
clipped value (``clip_range_vf``) and an early stop (``target_kl``). What deviates from SB3: no warning of minibatches
that do not fit or of size 1 (an advantage alone is not normalised), and no word of an early stop; a schedule of a clip
range that falls below 0 counts as 0; an entropy without a closed form has its right gradient (``entropy_loss``; right
for the first gradient step, while the policy is the one that played); ``clip_range`` stays as it was given, and
TensorBoard's folder is ``OnPolicyAlgorithm_1``.

The rollout buffer computes advantages and returns: ``generalized_advantage_estimation`` is the same as a function. A
time limit does not look like an end to it: ``collect_rollouts`` adds gamma V of the state reached to the last reward.

Read next: ``common/actor_critic_losses.py`` and ``common/clipped_losses.py``, then ``grpo/``: PPO without a critic.
"""

from collections import defaultdict
from typing import Any

import numpy as np
import torch as th
from gymnasium.spaces import Discrete
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import FloatSchedule, explained_variance

from sb3_ext.common.actor_critic_losses import clipped_value_loss, normalize_advantages, ppo_policy_loss
from sb3_ext.common.clipped_losses import importance_ratios
from sb3_ext.common.kl import kl_k3
from sb3_ext.common.losses import entropy_loss
from sb3_ext.common.slots import ClippedSurrogate, tensor_of
from sb3_ext.from_scratch.on_policy import OnPolicyScratch


class PPOScratch(OnPolicyScratch):
    """Proximal policy optimisation, with the parameters, defaults and log of SB3's ``PPO``, and a slot for the loss.

    Args:
        policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a class.
        env: environment, VecEnv or id; actions Box, Discrete, MultiDiscrete or MultiBinary.
        learning_rate: a number, or a schedule of the remaining progress.
        n_steps: steps of each environment per rollout.
        batch_size: steps of all environments per gradient step.
        n_epochs: how often a rollout is gone through.
        gamma: discount.
        gae_lambda: trace decay of the advantages.
        clip_range: how far from 1 a ratio has a gradient; a number or a schedule.
        clip_range_vf: the furthest that V may move on one rollout; a number or a schedule. Default: any distance.
        normalize_advantage: standardise the advantages of each minibatch.
        ent_coef: weight of the entropy bonus.
        vf_coef: weight of the critic's loss.
        max_grad_norm: longer gradients are shortened to this.
        use_sde: state-dependent exploration.
        sde_sample_freq: steps between two draws of its noise; -1: once a rollout.
        target_kl: leave a rollout once the policy is 1.5 times this far from the one that played it. Default: never.
        loss: the slot: ``loss(log_probs, old_log_probs, advantages, clip_range)``, three [N] and a number, returns a
            scalar to be minimised. It is saved with the model as SB3 saves everything, by cloudpickle: a function of an
            importable module by its name, any other (a lambda, one of a script or notebook) with its code.
            ``load(path, custom_objects={"loss": my_loss})`` gives it again, and has to where the module is gone.
        _init_setup_model: build the network at once.
        **kwargs: the second slot, ``advantage=`` (``on_policy.py``), and SB3's others: rollout_buffer_class,
            rollout_buffer_kwargs, stats_window_size, tensorboard_log, policy_kwargs, verbose, seed, device.

    Example:
        >>> from sb3_ext.from_scratch import PPOScratch
        >>> PPOScratch("MlpPolicy", "CartPole-v1", n_steps=64, n_epochs=1, seed=0).learn(128).num_timesteps
        128
    """

    def __init__(
        self, policy: str | type[ActorCriticPolicy], env: GymEnv | str, learning_rate: float | Schedule = 3e-4,
        n_steps: int = 2048, batch_size: int = 64, n_epochs: int = 10, gamma: float = 0.99, gae_lambda: float = 0.95,
        clip_range: float | Schedule = 0.2, clip_range_vf: float | Schedule | None = None,
        normalize_advantage: bool = True, ent_coef: float = 0.0, vf_coef: float = 0.5, max_grad_norm: float = 0.5,
        use_sde: bool = False, sde_sample_freq: int = -1, *, target_kl: float | None = None,
        loss: ClippedSurrogate = ppo_policy_loss, _init_setup_model: bool = True, **kwargs: Any,
    ):  # fmt: skip
        settings = (learning_rate, n_steps, gamma, gae_lambda, ent_coef, vf_coef, max_grad_norm, use_sde)
        super().__init__(policy, env, *settings, sde_sample_freq, **kwargs)
        self.batch_size, self.n_epochs, self.normalize_advantage = batch_size, n_epochs, normalize_advantage
        self.clip_range, self.clip_range_vf, self.target_kl, self.loss = clip_range, clip_range_vf, target_kl, loss
        if _init_setup_model:
            self._setup_model()

    def train(self) -> None:
        """Go through the rollout ``n_epochs`` times, in random minibatches, with a gradient step on each."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        clip_range = max(FloatSchedule(self.clip_range)(self._current_progress_remaining), 0.0)
        clip_range_vf = None
        if self.clip_range_vf is not None:
            clip_range_vf = max(FloatSchedule(self.clip_range_vf)(self._current_progress_remaining), 0.0)
            self.logger.record("train/clip_range_vf", clip_range_vf)
        log: dict[str, list[float]] = defaultdict(list)
        approx_kls: dict[int, list[float]] = defaultdict(list)

        for epoch, batch in ((i, b) for i in range(self.n_epochs) for b in self.rollout_buffer.get(self.batch_size)):
            actions = batch.actions.long().flatten() if isinstance(self.action_space, Discrete) else batch.actions
            advantages = normalize_advantages(batch.advantages) if self.normalize_advantage else batch.advantages

            values, log_probs, entropy = self.policy.evaluate_actions(batch.observations, actions)
            actor_loss = tensor_of(self.loss, (), log_probs, batch.old_log_prob, advantages, clip_range, gradient=True)
            critic_loss = clipped_value_loss(values.flatten(), batch.old_values, batch.returns, clip_range_vf)
            minus_entropy = entropy_loss(entropy, log_probs)
            loss = actor_loss + self.ent_coef * minus_entropy + self.vf_coef * critic_loss

            approx_kl = kl_k3(batch.old_log_prob, log_probs).mean().item()  # KL(old || new): the old one played
            outside = (importance_ratios(log_probs.detach(), batch.old_log_prob) - 1).abs() > clip_range
            log["train/policy_gradient_loss"].append(actor_loss.item())
            log["train/value_loss"].append(critic_loss.item())
            log["train/entropy_loss"].append(minus_entropy.item())
            log["train/clip_fraction"].append(outside.float().mean().item())
            approx_kls[epoch].append(approx_kl)
            if self.target_kl is not None and approx_kl > 1.5 * self.target_kl:
                break

            self.policy.optimizer.zero_grad()
            loss.backward()
            th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()

        self._n_updates += epoch + 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        explained = explained_variance(self.rollout_buffer.values.flatten(), self.rollout_buffer.returns.flatten())
        self.logger.record("train/explained_variance", explained)
        self.logger.record("train/loss", loss.item())
        self.logger.record("train/approx_kl", np.mean(approx_kls[epoch]))  # as in SB3, that of the last epoch
        self.logger.record("train/clip_range", clip_range)
        for key, numbers in log.items():
            self.logger.record(key, np.mean(numbers))
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", self.policy.log_std.exp().mean().item())
