"""SB3's ``A2C`` is for work, this one is for reading: both learn the same.

    theta <- theta + alpha A_t grad log pi(A_t|S_t, theta)                  Sutton & Barto (2nd ed.), eq. 13.12 to 13.14

An actor plays a few steps in several environments; a critic, V, judges each action by its advantage A_t: what came of
it minus what was expected. One gradient step on both, and the data is thrown away (Mnih et al. 2016, without the
asynchrony). REINFORCE has to wait for the end of an episode; here V(S_{t+n}) stands in for the rest.

What deviates from the book: the advantage looks n steps ahead (a lambda-return if ``gae_lambda < 1``), the factor
gamma^t is dropped, actor and critic share one optimiser, an entropy bonus, and a bound on the gradient's norm. What
deviates from SB3: an entropy without a closed form has its right gradient (``entropy_loss``).

The rollout buffer computes advantages and returns: ``generalized_advantage_estimation`` is the same as a function. A
time limit does not look like an end to it: ``collect_rollouts`` adds gamma V of the state reached to the last reward.

Read next: ``common/actor_critic_losses.py`` for the losses, then ``ppo.py``.
"""

from typing import Any

import torch as th
from gymnasium.spaces import Discrete
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import explained_variance

from sb3_ext.common.actor_critic_losses import a2c_policy_loss, normalize_advantages, value_loss
from sb3_ext.common.losses import entropy_loss
from sb3_ext.common.slots import PolicyGradientLoss, tensor_of
from sb3_ext.from_scratch.on_policy import OnPolicyScratch


class A2CScratch(OnPolicyScratch):
    """Advantage actor-critic, with the parameters, defaults and log of SB3's ``A2C``, and a slot for the policy loss.

    Args:
        policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a class.
        env: environment, VecEnv or id; actions Box, Discrete, MultiDiscrete or MultiBinary.
        learning_rate: a number, or a schedule of the remaining progress.
        n_steps: steps of each environment per update.
        gamma: discount.
        gae_lambda: trace decay of the advantages; 1 bootstraps only after n_steps.
        ent_coef: weight of the entropy bonus.
        vf_coef: weight of the critic's loss.
        max_grad_norm: longer gradients are shortened to this.
        rms_prop_eps: RMSprop's epsilon.
        use_rms_prop: RMSprop, as in the paper, instead of Adam; ``policy_kwargs["optimizer_class"]`` has priority.
        use_sde: state-dependent exploration.
        sde_sample_freq: steps between two draws of its noise; -1: once a rollout.
        normalize_advantage: standardise the advantages of each update.
        loss: the slot: ``loss(log_probs, advantages)``, both [N], returns a scalar to be minimised. It is saved with
            the model as SB3 saves everything, by cloudpickle: a function of an importable module by its name, any other
            (a lambda, one of a script or notebook) with its code. ``load(path, custom_objects={"loss": my_loss})``
            gives it again, and has to where the module is gone.
        _init_setup_model: build the network at once.
        **kwargs: the second slot, ``advantage=`` (``on_policy.py``), and SB3's others: rollout_buffer_class,
            rollout_buffer_kwargs, stats_window_size, tensorboard_log, policy_kwargs, verbose, seed, device.

    Example:
        >>> from sb3_ext.from_scratch import A2CScratch
        >>> A2CScratch("MlpPolicy", "CartPole-v1", seed=0).learn(100).num_timesteps
        100
    """

    def __init__(
        self, policy: str | type[ActorCriticPolicy], env: GymEnv | str, learning_rate: float | Schedule = 7e-4,
        n_steps: int = 5, gamma: float = 0.99, gae_lambda: float = 1.0,  # playing
        ent_coef: float = 0.0, vf_coef: float = 0.5, max_grad_norm: float = 0.5,  # learning
        rms_prop_eps: float = 1e-5, use_rms_prop: bool = True, use_sde: bool = False, sde_sample_freq: int = -1, *,
        normalize_advantage: bool = False, loss: PolicyGradientLoss = a2c_policy_loss, _init_setup_model: bool = True,
        **kwargs: Any,
    ):  # fmt: skip
        settings = (learning_rate, n_steps, gamma, gae_lambda, ent_coef, vf_coef, max_grad_norm, use_sde)
        super().__init__(policy, env, *settings, sde_sample_freq, **kwargs)
        self.normalize_advantage, self.loss = normalize_advantage, loss
        if use_rms_prop and "optimizer_class" not in self.policy_kwargs:
            rms_prop = {"alpha": 0.99, "eps": rms_prop_eps, "weight_decay": 0}
            optimizer = {"optimizer_class": th.optim.RMSprop, "optimizer_kwargs": rms_prop}
            self.policy_kwargs = {**self.policy_kwargs, **optimizer}
        if _init_setup_model:
            self._setup_model()

    def train(self) -> None:
        """One gradient step of actor and critic on the steps just played."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        batch = next(self.rollout_buffer.get(batch_size=None))  # all of it
        actions = batch.actions.long().flatten() if isinstance(self.action_space, Discrete) else batch.actions
        advantages = normalize_advantages(batch.advantages) if self.normalize_advantage else batch.advantages

        values, log_probs, entropy = self.policy.evaluate_actions(batch.observations, actions)
        actor_loss = tensor_of(self.loss, (), log_probs, advantages, gradient=True)
        critic_loss = value_loss(values.flatten(), batch.returns)
        minus_entropy = entropy_loss(entropy, log_probs)

        self.policy.optimizer.zero_grad()
        (actor_loss + self.ent_coef * minus_entropy + self.vf_coef * critic_loss).backward()
        th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()

        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        explained = explained_variance(self.rollout_buffer.values.flatten(), self.rollout_buffer.returns.flatten())
        self.logger.record("train/explained_variance", explained)
        self.logger.record("train/policy_loss", actor_loss.item())
        self.logger.record("train/value_loss", critic_loss.item())
        self.logger.record("train/entropy_loss", minus_entropy.item())
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", self.policy.log_std.exp().mean().item())

    def learn(
        self, total_timesteps: int, callback: MaybeCallback = None, log_interval: int = 100,
        tb_log_name: str = "A2CScratch", *args: Any, **kwargs: Any,
    ) -> Any:  # fmt: skip
        """SB3's ``learn``, with the log interval of its A2C."""
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, *args, **kwargs)
