"""Rainbow, switch by switch: SB3's ``DQN`` with up to six extensions, each for itself or together.

    w <- w + alpha weight_i (target - Q(S, A, w)) grad Q(S, A, w)

    switch           what it changes                                            source
    double           target = R + gamma Q_target(S', argmax_a Q(S', a))         van Hasselt et al. 2016
    dueling          Q = V + A - mean A                                         Wang et al. 2016
    prioritized      steps are drawn by their error, weight_i makes it good     Schaul et al. 2016
    n_steps          target = R_1 + ... + gamma^n max_a Q_target(S_n, a)        Sutton & Barto, section 7.1
    noisy            noise in the weights explores, instead of epsilon          Fortunato et al. 2018
    distributional   the distribution of returns instead of their mean          Bellemare et al. 2017

With all of them off it *is* SB3's DQN, to the last bit; with all on it is Rainbow (Hessel et al. 2018). Two switches
take away what DQN brought in, to see what it is good for: ``replay=False`` learns from each step once, when it is new;
``target_network=False`` has the network chase itself.

What deviates from the papers: Adam as SB3 sets it up, one bound on the gradient's norm, noise that all environments
share at a step, weights divided by the largest of the batch.

Read next: ``common/td_losses.py`` and ``common/distributional.py`` for the targets, ``common/prioritized.py`` for the
weights, ``networks.py``, ``prioritized_buffer.py``.
"""

import io
import pathlib
import warnings
from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.dqn.dqn import DQN
from stable_baselines3.dqn.policies import DQNPolicy
from torch.nn import functional as F

from sb3_ext.common.distributional import categorical_losses, categorical_targets
from sb3_ext.common.prioritized import annealed_beta
from sb3_ext.common.td_losses import double_dqn_targets, dqn_targets
from sb3_ext.dqn.overestimation import EpisodeTracker, overestimation
from sb3_ext.dqn.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, RainbowPolicy
from sb3_ext.dqn.settings import (
    OF_NETWORK,
    brings_buffer,
    check_parameters,
    check_saved,
    make_buffer,
    switches,
)
from sb3_ext.dqn.uniform_buffer import end_episodes

SelfRainbowDQN = TypeVar("SelfRainbowDQN", bound="RainbowDQN")


class RainbowDQN(DQN):
    """Deep Q-learning with extensions, each a switch.

    Args:
        policy: "MlpPolicy", "CnnPolicy", "MultiInputPolicy" or a subclass of ``sb3_ext.dqn.RainbowPolicy``.
        env: environment, VecEnv or id; actions Discrete, counted from 0.
        learning_rate: a number, or a schedule of the remaining progress.
        buffer_size: steps that the replay buffer keeps.
        learning_starts: steps before the first gradient step, with random actions.
        batch_size: steps per gradient step.
        tau: how far the target network moves at an update; 1: all the way.
        gamma: discount.
        train_freq: steps between updates, or ``(2, "episode")``.
        gradient_steps: gradient steps per update; -1: as many as steps played.
        double: the network that is learning picks the next action, the target network says what it is worth.
        dueling: two streams, V and A.
        prioritized: draw steps by their error.
        noisy: explore by noise in the weights; ``exploration_...`` then have no effect. ``predict(deterministic=True)``
            is without noise.
        distributional: C51; set ``v_min`` and ``v_max`` to what discounted returns may be.
        n_steps: rewards that are summed up before the bootstrap; SB3's buffer, or with Dict observations ours.
        replay: False learns from each step once, in order, when it is new; ``buffer_size`` and ``batch_size`` then have
            no effect, for the steps of an update are shared out among its gradient steps.
        target_network: False takes the network that is learning for the targets as well.
        alpha: of ``prioritized``: from 0 (uniform) to 1 (in proportion to the error).
        beta: of ``prioritized``: how far weights undo the priorities, from 0 to 1; it grows to 1 by the end.
        n_atoms: of ``distributional``: values that a return may take,
        v_min: the lowest of them,
        v_max: the highest.
        _init_setup_model: build the network at once.
        **kwargs: SB3's others: target_update_interval, exploration_fraction, exploration_initial_eps,
            exploration_final_eps, max_grad_norm, replay_buffer_class, replay_buffer_kwargs, optimize_memory_usage,
            stats_window_size, tensorboard_log, policy_kwargs, verbose, seed, device.

    Logs, beside SB3's: ``train/loss`` (Huber's, or with ``distributional`` the Kullback-Leibler divergence; weighted),
    ``train/q_mean`` (Q(S, A) over the batches), ``train/overestimation`` (mean of Q(S_t, A_t) - G_t over the last
    episode of each environment, see ``overestimation.py``), ``train/beta``, ``train/priority_spread`` (standard
    deviation over mean of all priorities), ``train/noise_scale`` (mean |sigma|, 0.5 at first), and
    ``train/learning_rate``, ``train/n_updates``, ``rollout/exploration_rate``. With the callback
    ``ExactOverestimation``: ``train/overestimation_exact``.

    Raises:
        ValueError: for actions other than Discrete from 0, alpha or beta outside [0, 1], v_min not below v_max, fewer
            than 2 atoms, a buffer smaller than a batch or than n steps, a policy without the network that a switch asks
            for, ``prioritized`` with another buffer or without replay, or a saved model that has other switches.

    A discounted return or reward outside [v_min, v_max] is warned of once, with the numbers.

    Example:
        >>> from sb3_ext.dqn import RainbowDQN
        >>> RainbowDQN("MlpPolicy", "CartPole-v1", double=True, buffer_size=1000, seed=0).learn(200).num_timesteps
        200
    """

    policy_aliases: ClassVar = {"MlpPolicy": MlpPolicy, "CnnPolicy": CnnPolicy, "MultiInputPolicy": MultiInputPolicy}

    def __init__(
        self, policy: str | type[DQNPolicy], env: GymEnv | str, learning_rate: float | Schedule = 1e-4,
        buffer_size: int = 1_000_000, learning_starts: int = 100, batch_size: int = 32, tau: float = 1.0,
        gamma: float = 0.99, train_freq: int | tuple[int, str] = 4, gradient_steps: int = 1, *,
        double: bool = False, dueling: bool = False, prioritized: bool = False, noisy: bool = False,
        distributional: bool = False, n_steps: int = 1, replay: bool = True, target_network: bool = True,
        alpha: float = 0.6, beta: float = 0.4, n_atoms: int = 51, v_min: float = -10.0, v_max: float = 10.0,
        _init_setup_model: bool = True, **kwargs: Any,
    ):  # fmt: skip
        settings = (learning_rate, buffer_size, learning_starts, batch_size, tau, gamma, train_freq, gradient_steps)
        super().__init__(policy, env, *settings, n_steps=n_steps, _init_setup_model=False, **kwargs)
        self.double, self.dueling, self.noisy, self.distributional = double, dueling, noisy, distributional
        self.prioritized, self.replay, self.target_network = prioritized, replay, target_network
        self.alpha, self.beta = alpha, beta
        self.n_atoms, self.v_min, self.v_max = n_atoms, v_min, v_max
        self.saved_as: dict[str, Any] | None = None
        if _init_setup_model:
            self._setup_model()

    # ---- Set up -----------------------------------------------------------------------------------------------------

    def _setup_model(self) -> None:
        check_parameters(self)
        if self.saved_as is not None:
            check_saved(self, self.saved_as, takes_all=type(self) is RainbowDQN)
        own_kwargs, own_n_steps = self.policy_kwargs, self.n_steps
        if issubclass(self.policy_class, RainbowPolicy):
            self.policy_kwargs = {**own_kwargs, **{name: getattr(self, name) for name in OF_NETWORK}}
        if brings_buffer(self):
            self.replay_buffer = make_buffer(self)
            self.replay_buffer_class = type(self.replay_buffer)
        if brings_buffer(self) or self.saved_as is not None:
            self.n_steps = 1  # the buffer knows them, else SB3 would warn that it ignores them
        super()._setup_model()
        self.policy_kwargs, self.n_steps = own_kwargs, own_n_steps
        if self.noisy:
            self.exploration_schedule = lambda _: 0.0
        self._tracker = EpisodeTracker(self.n_envs)
        self._returns, self._discount_so_far = np.zeros(self.n_envs), np.ones(self.n_envs)
        self._warned = False
        self.saved_as = switches(self)

    # ---- Play -------------------------------------------------------------------------------------------------------

    def learn(
        self: SelfRainbowDQN,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str | None = None,
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfRainbowDQN:
        """As SB3's; TensorBoard's folder has the name of the class."""
        name = tb_log_name or type(self).__name__
        return super().learn(total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar)

    def _setup_learn(self, total_timesteps: int, callback: MaybeCallback = None, reset_num_timesteps: bool = True,
                     *args: Any, **kwargs: Any) -> Any:  # fmt: skip
        buffer = self.replay_buffer
        assert buffer is not None
        if reset_num_timesteps or self._last_obs is None:  # the environments will be reset
            end_episodes(buffer)
            self._tracker.forget()
            self._returns[:], self._discount_so_far[:] = 0, 1
        return super()._setup_learn(total_timesteps, callback, reset_num_timesteps, *args, **kwargs)

    def _store_transition(self, replay_buffer: ReplayBuffer, buffer_action: np.ndarray, new_obs: Any,
                          reward: np.ndarray, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:  # fmt: skip
        row = replay_buffer.pos
        super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
        self._tracker.step(dones, row)
        if self.distributional:
            self._returns += self._discount_so_far * reward
            self._discount_so_far *= self.gamma
            for found in self._returns[dones]:
                self._warn_of_support("an episode's discounted return", found)
            self._returns[dones], self._discount_so_far[dones] = 0, 1

    def _warn_of_support(self, what: str, number: float) -> None:
        """Once: what lies outside of the support is moved to its end."""
        if not self._warned and not self.v_min <= number <= self.v_max:
            self._warned = True
            warnings.warn(
                f"{what} was {number:.6g}, outside of [v_min, v_max] = [{self.v_min:g}, {self.v_max:g}], which is all "
                "that distributional=True can represent: choose them to hold every discounted return",
                stacklevel=2,
            )

    def dump_logs(self) -> None:
        """Write log data; what takes longer to compute is computed here."""
        buffer: Any = self.replay_buffer
        found = [overestimation(self.q_net, buffer, episode, self.gamma, self._vec_normalize_env)
                 for episode in self._tracker.take(buffer.buffer_size)]  # fmt: skip
        if found:
            self.logger.record("train/overestimation", np.mean(found))
        if self.prioritized:
            self.logger.record("train/priority_spread", buffer.priority_spread)
        if self.noisy:
            network: Any = self.q_net
            self.logger.record("train/noise_scale", network.noise_scale)
        super().dump_logs()

    # ---- Learn ------------------------------------------------------------------------------------------------------

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Gradient steps, each on a batch from the replay buffer."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        buffer: Any = self.replay_buffer
        if self.prioritized:
            buffer.beta = annealed_beta(self.beta, 1 - self._current_progress_remaining)
            self.logger.record("train/beta", buffer.beta)
        losses_of_batches, q_means = [], []
        for batch in self._batches(gradient_steps, batch_size):
            learn = self._categorical_losses if self.distributional else self._losses
            q_values, losses, errors = learn(batch)
            loss = (losses * batch.weights).mean() if self.prioritized else losses.mean()
            losses_of_batches.append(loss.item())

            self.policy.optimizer.zero_grad()
            loss.backward()
            th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            if self.prioritized:
                buffer.update_priorities(batch.leaves, errors.detach().cpu().numpy())
            q_means.append(q_values.detach().mean())
        self._sample_noise(False)

        self._n_updates += len(losses_of_batches)
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if losses_of_batches:
            self.logger.record("train/loss", np.mean(losses_of_batches))
            self.logger.record("train/q_mean", np.mean([mean.item() for mean in q_means]))

    def _batches(self, gradient_steps: int, batch_size: int) -> Iterator[Any]:
        """From the buffer; without replay the steps of the last rollout, each once."""
        buffer: Any = self.replay_buffer
        if self.replay:
            for _ in range(gradient_steps):
                yield buffer.sample(batch_size, env=self._vec_normalize_env)
            return
        rows = np.repeat(buffer.fresh_rows(), self.n_envs)
        envs = np.tile(np.arange(self.n_envs), len(rows) // self.n_envs)
        for chosen in np.array_split(np.arange(len(rows)), min(gradient_steps, len(rows))):
            yield buffer.gather(rows[chosen], envs[chosen], self._vec_normalize_env)

    def _losses(self, batch: Any) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """Q(S, A), their losses and their TD errors, each [N]."""
        rewards, terminated, discounts = self._steps(batch)
        with th.no_grad():
            self._sample_noise(True)
            bootstrap = self.q_net_target if self.target_network else self.q_net
            target = (rewards, discounts, bootstrap(batch.next_observations), terminated)
            if self.double:
                targets = double_dqn_targets(*target, self.q_net(batch.next_observations))
            else:
                targets = dqn_targets(*target)
            self._sample_noise(True)
        q_values = self.q_net(batch.observations).gather(1, batch.actions.long()).flatten()
        return q_values, F.smooth_l1_loss(q_values, targets, reduction="none"), targets - q_values.detach()

    def _categorical_losses(self, batch: Any) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """Q(S, A), their losses, and these again as errors (Hessel et al. 2018), each [N]."""
        rewards, terminated, discounts = self._steps(batch)
        online: Any = self.q_net
        with th.no_grad():
            self._sample_noise(True)
            bootstrap: Any = self.q_net_target if self.target_network else self.q_net
            probabilities = bootstrap.logits(batch.next_observations).softmax(dim=-1)
            chooser = online.logits(batch.next_observations).softmax(dim=-1) if self.double else None
            targets = categorical_targets(rewards, discounts, probabilities, terminated, online.atoms, chooser)
            self._sample_noise(True)
        chosen = (th.arange(len(rewards), device=rewards.device), batch.actions.long().flatten())
        log_probabilities = online.logits(batch.observations)[chosen].log_softmax(dim=-1)
        losses = categorical_losses(log_probabilities, targets)
        return log_probabilities.detach().exp() @ online.atoms, losses, losses

    def _steps(self, batch: Any) -> tuple[th.Tensor, th.Tensor, float | th.Tensor]:
        """Rewards, terminated and discounts of a batch, [N]."""
        rewards = batch.rewards.flatten()
        if self.distributional:
            self._warn_of_support("a reward (of n steps)", rewards.max().item())
            self._warn_of_support("a reward (of n steps)", rewards.min().item())
        discounts = self.gamma if batch.discounts is None else batch.discounts.flatten()
        return rewards, batch.dones.flatten(), discounts

    def _sample_noise(self, on: bool) -> None:
        """New noise in both networks, or none."""
        if self.noisy:
            networks: Any = (self.q_net, self.q_net_target)
            for network in networks:
                network.sample_noise() if on else network.remove_noise()

    # ---- Save and load ----------------------------------------------------------------------------------------------

    def load_replay_buffer(self, path: str | pathlib.Path | io.BufferedIOBase, truncate_last_traj: bool = True) -> None:
        """As SB3's.

        Raises:
            ValueError: if the buffer is of another kind than the switches ask for; the model then keeps its own.
        """
        own: Any = self.replay_buffer
        super().load_replay_buffer(path, truncate_last_traj)
        found: Any = self.replay_buffer
        if not isinstance(found, type(own)):
            self.replay_buffer = own
            raise ValueError(f"the file holds a {type(found).__name__}, but the model needs a {type(own).__name__}")
        if hasattr(found, "n_steps"):  # they are summed up when a batch is drawn
            found.n_steps, found.gamma = self.n_steps, self.gamma

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_tracker", "exploration_schedule"]
