"""SB3's ``DQN`` is for work, this one is for reading: both learn the same.

    w <- w + alpha (R + gamma max_a Q(S', a, w_target) - Q(S, A, w)) grad Q(S, A, w)    Sutton & Barto, eq. 16.3

Q-learning with a network for a table. Two things keep it from chasing its own tail (Mnih et al. 2015): it learns from
steps drawn at random from a replay buffer, and the targets come from a copy, w_target, that is brought up to date only
now and then.

What deviates from the paper: Adam instead of RMSprop, and a bound on the gradient's norm beside that on the TD error.
What deviates from SB3: there are no ``model.q_net`` and ``model.q_net_target`` (they are ``model.policy``'s), no
``exploration_schedule``, no warning of more environments than ``target_update_interval``, and TensorBoard's folder is
``run_1``.

A time limit does not look like an end: SB3's replay buffer has ``dones`` 0 there (``common/td_losses.py``).

Read next: ``common/td_losses.py`` for targets and loss, then ``tabular/q_learning.py`` for the same without a network.
"""

from collections.abc import Callable
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium.spaces import Discrete
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import LinearSchedule, get_parameters_by_name, polyak_update
from stable_baselines3.dqn.policies import CnnPolicy, DQNPolicy, MlpPolicy, MultiInputPolicy

from sb3_ext.common.slots import tensor_of
from sb3_ext.common.td_losses import dqn_targets, td_loss


class DQNScratch(OffPolicyAlgorithm):
    """Deep Q-learning, with the parameters, defaults and log of SB3's ``DQN``, and a slot for the targets.

    Args:
        policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a class.
        env: environment, VecEnv or id; actions Discrete.
        learning_rate: a number, or a schedule of the remaining progress.
        buffer_size: steps that the replay buffer keeps.
        learning_starts: steps before the first gradient step, with random actions.
        batch_size: steps per gradient step.
        tau: how far the target network moves at an update; 1: all the way.
        gamma: discount.
        train_freq: steps between updates, or ``(2, "episode")``.
        gradient_steps: gradient steps per update; -1: as many as steps played.
        n_steps: rewards that are summed up before the bootstrap.
        target_update_interval: steps between updates of the target network.
        exploration_fraction: share of the training in which epsilon falls.
        exploration_initial_eps: epsilon at the start.
        exploration_final_eps: epsilon after that.
        max_grad_norm: longer gradients are shortened to this.
        target: the slot: ``target(rewards, discounts, next_q_values, terminated)`` returns targets, [N]. Rewards and
            terminated (1 or 0, as floats) are [N], discounts a number (or [N] with n-step rewards), next_q_values [N,
            n_actions] those of the target network. A function with a fifth parameter (without a default) gets the Q
            values of the network that is learning there: ``target=double_dqn_targets`` makes it Double DQN. It is saved
            with the model as SB3 saves everything, by cloudpickle: a function of an importable module by its name, any
            other (a lambda, one of a script or notebook) with its code. ``load(path, custom_objects={"target":
            my_target})`` gives it again, and has to where the module is gone.
        _init_setup_model: build the network at once.
        **kwargs: SB3's others: replay_buffer_class, replay_buffer_kwargs, optimize_memory_usage, stats_window_size,
            tensorboard_log, policy_kwargs, verbose, seed, device.

    Example:
        >>> from sb3_ext.from_scratch import DQNScratch
        >>> DQNScratch("MlpPolicy", "CartPole-v1", buffer_size=1000, seed=0).learn(200).num_timesteps
        200
    """

    policy_aliases: ClassVar = {"MlpPolicy": MlpPolicy, "CnnPolicy": CnnPolicy, "MultiInputPolicy": MultiInputPolicy}
    policy: DQNPolicy

    def __init__(
        self, policy: str | type[DQNPolicy], env: GymEnv | str, learning_rate: float | Schedule = 1e-4,
        buffer_size: int = 1_000_000, learning_starts: int = 100, batch_size: int = 32, tau: float = 1.0,
        gamma: float = 0.99, train_freq: int | tuple[int, str] = 4, gradient_steps: int = 1, *,
        n_steps: int = 1, target_update_interval: int = 10_000, exploration_fraction: float = 0.1,
        exploration_initial_eps: float = 1.0, exploration_final_eps: float = 0.05, max_grad_norm: float = 10,
        target: Callable[..., th.Tensor] = dqn_targets, _init_setup_model: bool = True, **kwargs: Any,
    ):  # fmt: skip
        settings = (learning_rate, buffer_size, learning_starts, batch_size, tau, gamma, train_freq, gradient_steps)
        kwargs |= {"sde_support": False, "support_multi_env": True, "supported_action_spaces": (Discrete,)}
        super().__init__(policy, env, *settings, n_steps=n_steps, **kwargs)
        self.exploration_initial_eps, self.exploration_final_eps = exploration_initial_eps, exploration_final_eps
        self.exploration_fraction, self.exploration_rate = exploration_fraction, 0.0
        self.target_update_interval, self._n_calls = target_update_interval, 0
        self.max_grad_norm, self.target = max_grad_norm, target
        if _init_setup_model:
            self._setup_model()

    def _on_step(self) -> None:
        """After each step of all environments: the target network, and epsilon."""
        self._n_calls += 1
        if self._n_calls % max(self.target_update_interval // self.n_envs, 1) == 0:
            online, target = self.policy.q_net, self.policy.q_net_target
            polyak_update(online.parameters(), target.parameters(), self.tau)
            new, old = (get_parameters_by_name(network, ["running_"]) for network in (online, target))
            polyak_update(new, old, tau=1.0)  # the statistics of batch norm, if there is any
        schedule = LinearSchedule(self.exploration_initial_eps, self.exploration_final_eps, self.exploration_fraction)
        self.exploration_rate = schedule(self._current_progress_remaining)
        self.logger.record("rollout/exploration_rate", self.exploration_rate)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Gradient steps, each on a batch from the replay buffer."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        wants_online = sum(p.default is p.empty for p in signature(self.target).parameters.values()) > 4
        losses = []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
            rewards, terminated = batch.rewards.flatten(), batch.dones.flatten()
            discounts = self.gamma if batch.discounts is None else batch.discounts.flatten()  # given for n steps
            with th.no_grad():
                next_q_values = self.policy.q_net_target(batch.next_observations)
                online = [self.policy.q_net(batch.next_observations)] if wants_online else []
                targets = tensor_of(self.target, rewards.shape, rewards, discounts, next_q_values, terminated, *online)
            q_values = self.policy.q_net(batch.observations).gather(1, batch.actions.long()).flatten()
            loss = td_loss(q_values, targets)
            losses.append(loss.item())

            self.policy.optimizer.zero_grad()
            loss.backward()
            th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()

        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", np.mean(losses))

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False):
        """Greedy actions; or, unless deterministic and with probability epsilon, random ones in all environments."""
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        if not deterministic and np.random.rand() < self.exploration_rate:  # noqa: NPY002
            actions = np.array([self.action_space.sample() for _ in actions.flat]).reshape(actions.shape)
        return actions, state

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []
