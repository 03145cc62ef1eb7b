"""Trainings in which something is wrong, and which sign should tell; for ``--self-check`` and the tests.

Each plants its fault by a subclass of a real algorithm, buffer or environment, or by one argument, and trains with a
callback that is given to it. The doctor sees the training and nothing else.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import torch as th
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise

from sb3_ext import GRPO, REINFORCE
from sb3_ext.envs.wrappers.reward_hacking import forgetful_corridor
from sb3_ext.zoo.doctor.environment_faults import BrokenReward, scaled_observations, scaled_rewards
from sb3_ext.zoo.doctor.healthy import ACTOR_CRITIC, CARTPOLE, ON_POLICY, PENDULUM, VALUES
from sb3_ext.zoo.doctor.worlds import Constant, Trap


class Fault(NamedTuple):
    """A training that goes wrong."""

    name: str
    signs: tuple[str, ...]
    """names of the signs that say what it is; one of them has to be found"""
    train: Callable[[int, BaseCallback], Any]
    """from a seed and the callback"""


# ---- Algorithms that are wrong --------------------------------------------------------------------------------------


class EndlessRolloutBuffer(RolloutBuffer):
    """Advantages that run on from one episode into the next."""

    def compute_returns_and_advantage(self, last_values: th.Tensor, dones: np.ndarray) -> None:
        """As if no episode had ended."""
        starts, self.episode_starts = self.episode_starts, np.zeros_like(self.episode_starts)
        super().compute_returns_and_advantage(last_values, np.zeros_like(dones))
        self.episode_starts = starts


class ShiftedRolloutBuffer(RolloutBuffer):
    """V(S_t) in the place of V(S_{t+1}): off by one."""

    def compute_returns_and_advantage(self, last_values: th.Tensor, dones: np.ndarray) -> None:
        """With the values of the wrong states."""
        values, self.values = self.values, np.roll(self.values, 1, axis=0)
        super().compute_returns_and_advantage(last_values, dones)
        self.values = values
        self.returns = self.advantages + self.values


class UnmaskedReplayBuffer(ReplayBuffer):
    """No transition ends an episode."""

    def _get_samples(self, *args: Any, **kwargs: Any) -> Any:
        samples = super()._get_samples(*args, **kwargs)
        return samples._replace(dones=th.zeros_like(samples.dones))


class ClimbingPPO(PPO):
    """Makes worse actions more likely."""

    def train(self) -> None:
        """By advantages of the wrong sign."""
        self.rollout_buffer.advantages *= -1
        super().train()


class ClimbingA2C(A2C):
    """Likewise."""

    def train(self) -> None:
        """By advantages of the wrong sign."""
        self.rollout_buffer.advantages *= -1
        super().train()


class ClimbingDQN(DQN):
    """Climbs its loss instead of descending it."""

    def _setup_model(self) -> None:
        super()._setup_model()
        self.policy.optimizer.param_groups[0]["maximize"] = True


class StandstillDQN(DQN):
    """Never updates its target network."""

    def _on_step(self) -> None:
        self._n_calls += 1
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)


class FrozenPPO(PPO):
    """Its actor is not among what the optimiser moves."""

    def _setup_model(self) -> None:
        super()._setup_model()
        for name, parameter in self.policy.named_parameters():
            parameter.requires_grad_("value" in name)


class DetachedREINFORCE(REINFORCE):
    """Its loss has lost its graph on the way to the actor's hidden layers."""

    def _setup_model(self) -> None:
        super()._setup_model()
        self.policy.mlp_extractor.policy_net.requires_grad_(False)


class DeadDQN(DQN):
    """All of its hidden units are off, for every observation."""

    def _setup_model(self) -> None:
        super()._setup_model()
        networks: Any = (self.q_net, self.q_net_target)
        for network in networks:
            th.nn.init.constant_(network.q_net[0].bias, -100.0)


class SaturatedTD3(TD3):
    """The last layer of its actor starts far too large."""

    def _setup_model(self) -> None:
        super()._setup_model()
        actors: Any = (self.actor, self.actor_target)
        for actor in actors:
            with th.no_grad():
                actor.mu[-2].weight *= 1_000.0
                actor.mu[-2].bias += 50.0


# ---- All of them ----------------------------------------------------------------------------------------------------


SHORT: dict[str, Any] = {**ON_POLICY, "n_steps": 64, "n_epochs": 4}


def _train(algorithm: Any, env: Any, n_timesteps: int, n_envs: int = 8, **settings: Any) -> Callable[..., Any]:
    """A training of the algorithm, by PPO's short rollouts where it is PPO."""
    arguments = {**(SHORT if issubclass(algorithm, PPO) else {}), **settings}

    def train(seed: int, callback: BaseCallback) -> BaseAlgorithm:
        venv = make_vec_env(env, n_envs=n_envs, seed=seed)
        model = algorithm("MlpPolicy", venv, seed=seed, device="cpu", **deepcopy(arguments))
        return model.learn(n_timesteps, callback)

    return train


def _values(algorithm: Any, env: Any = CARTPOLE, n_timesteps: int = 5_000, **settings: Any) -> Callable[..., Any]:
    """A training of a DQN."""
    return _train(algorithm, env, n_timesteps, 1, **{**VALUES, **settings})


def _actor_critic(algorithm: Any, **settings: Any) -> Callable[..., Any]:
    """A training of SAC or TD3 on the pendulum."""
    if issubclass(algorithm, TD3):
        settings["action_noise"] = NormalActionNoise(np.zeros(1), np.full(1, 0.1))
    return _train(algorithm, PENDULUM, 1_500, 1, **{**ACTOR_CRITIC, **settings})


FAULTS = (
    # what is computed
    Fault("GAE ignores the ends of episodes", ("wrong advantages",),
          _train(PPO, CARTPOLE, 6_000, rollout_buffer_class=EndlessRolloutBuffer)),
    Fault("GAE is off by one", ("wrong advantages",),
          _train(A2C, CARTPOLE, 5_000, rollout_buffer_class=ShiftedRolloutBuffer)),
    Fault("no terminal mask", ("values diverge",), _values(DQN, n_timesteps=15_000,
                                                           replay_buffer_class=UnmaskedReplayBuffer)),
    Fault("wrong sign of the policy loss, PPO", ("getting worse",), _train(ClimbingPPO, CARTPOLE, 20_000)),
    Fault("wrong sign of the policy loss, A2C", ("getting worse",), _train(ClimbingA2C, CARTPOLE, 30_000)),
    Fault("wrong sign of the advantages, GRPO", ("getting worse",),
          _train(GRPO, CARTPOLE, 30_000, 16, advantage=lambda returns: returns.mean(-1, keepdims=True) - returns)),
    Fault("wrong sign of the value loss", ("worse than the mean", "getting worse"),
          _train(PPO, CARTPOLE, 20_000, vf_coef=-0.5)),
    Fault("wrong sign of the loss, DQN", ("values diverge",), _values(ClimbingDQN)),
    Fault("target network stands still", ("target stands still",), _values(StandstillDQN)),
    Fault("target networks stand still, SAC", ("target stands still",), _actor_critic(SAC, tau=0.0)),
    # what reaches the weights
    Fault("frozen actor", ("part never moves",), _train(FrozenPPO, CARTPOLE, 6_000)),
    Fault("frozen layers", ("part never moves",), _train(DetachedREINFORCE, CARTPOLE, 10_000)),
    Fault("untrained critic", ("part never moves",), _train(PPO, CARTPOLE, 6_000, vf_coef=0.0)),
    Fault("dead units", ("no gradient", "part never moves"), _values(DeadDQN)),
    Fault("saturated actions, TD3", ("actions at their bounds",), _actor_critic(SaturatedTD3)),
    Fault("saturated actions, PPO", ("actions at their bounds",),
          _train(PPO, PENDULUM, 6_000, policy_kwargs={"log_std_init": 5.0})),
    # settings
    Fault("learning rate 1, PPO", ("steps too large",), _train(PPO, CARTPOLE, 5_000, learning_rate=1.0)),
    Fault("learning rate 1, A2C", ("steps too large",), _train(A2C, CARTPOLE, 5_000, learning_rate=1.0)),
    Fault("learning rate 1, DQN", ("steps too large",), _values(DQN, learning_rate=1.0)),
    Fault("learning rate 1e-9", ("policy hardly moves",), _train(PPO, CARTPOLE, 6_000, learning_rate=1e-9)),
    Fault("learning rate 0", ("nothing moves",), _train(PPO, CARTPOLE, 6_000, learning_rate=0.0)),
    Fault("no entropy bonus where it matters", ("entropy collapsed",),
          _train(A2C, Trap, 15_000, ent_coef=0.0, learning_rate=2e-3)),
    Fault("advantages are not normalised", ("loss oscillates",),
          _train(PPO, scaled_rewards(100.0), 8_000, normalize_advantage=False)),
    Fault("no clipping and 60 epochs", ("policy moves too far",),
          _train(PPO, CARTPOLE, 6_000, clip_range=1e9, n_epochs=60, learning_rate=5e-3)),
    Fault("discount above 1", ("values diverge",), _values(DQN, gamma=1.1)),
    Fault("it never stops to explore", ("always exploring",), _values(DQN, exploration_final_eps=1.0)),
    Fault("an entropy bonus of 10", ("always exploring",), _train(PPO, CARTPOLE, 6_000, ent_coef=10.0)),
    Fault("learning starts after the end", ("never updates",), _values(DQN, learning_starts=100_000)),
    # environments
    Fault("rewards of 1,000,000", ("huge rewards",), _train(PPO, scaled_rewards(1e6), 5_000)),
    Fault("rewards of 1,000,000, DQN", ("huge rewards",), _values(DQN, scaled_rewards(1e6))),
    Fault("observations of 1,000,000", ("huge observations",), _train(PPO, scaled_observations(1e6), 5_000)),
    Fault("observations of 1,000,000, DQN", ("huge observations",), _values(DQN, scaled_observations(1e6))),
    Fault("constant environment", ("always the same",), _train(PPO, Constant, 5_000)),
    Fault("constant environment, DQN", ("always the same",), _values(DQN, Constant)),
    Fault("episodes never end", ("never ends",), _train(A2C, lambda: gym.make(PENDULUM).unwrapped, 6_000, 1)),
    Fault("episodes end at once", ("ends at once",), _train(PPO, lambda: TimeLimit(gym.make(CARTPOLE), 1), 5_000)),
    Fault("nothing is ever paid", ("no reward",), _values(DQN, scaled_rewards(0.0))),
    Fault("a reward is NaN", ("NaN",), _train(PPO, lambda: BrokenReward(gym.make(CARTPOLE)), 5_000)),
    Fault("a reward is NaN, DQN", ("NaN",), _values(DQN, lambda: BrokenReward(gym.make(CARTPOLE)))),
    Fault("shaped reward that can be farmed", ("reward hacking",), _train(PPO, forgetful_corridor, 15_000)),
)  # fmt: skip
