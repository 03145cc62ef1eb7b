"""Trainings in which nothing is wrong, of every algorithm, for ``--self-check`` and the tests: the doctor keeps silent.

Budgets are as small as shows that the agent learns. Settings are RL Zoo's and ours where these learn fast enough.
"""

from copy import deepcopy
from typing import Any, NamedTuple

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.zoo.recipes import Recipe, read_recipe
from sb3_ext.zoo.training import train

CARTPOLE, PENDULUM, ACROBOT, LAKE = "CartPole-v1", "Pendulum-v1", "Acrobot-v1", "FrozenLake-v1"
FOUR_ROOMS, GRID, CLIFF = "sb3_ext/FourRooms-v0", "sb3_ext/GridWorld-v0", "sb3_ext/CliffWalking-v0"
Settings = dict[str, Any]
ON_POLICY: Settings = {"n_steps": 128, "batch_size": 256, "gamma": 0.98, "gae_lambda": 0.9, "learning_rate": 1e-3}
VALUES: Settings = {"learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 50_000, "learning_starts": 1000,
          "train_freq": 256, "gradient_steps": 64, "target_update_interval": 10, "exploration_fraction": 0.2,
          "exploration_final_eps": 0.04}  # fmt: skip
SUPPORT: Settings = {"v_min": 0.0, "v_max": 100.0}  # of CartPole's discounted returns
ACTOR_CRITIC: Settings = {"learning_rate": 1e-3, "learning_starts": 300, "policy_kwargs": {"net_arch": [64, 64]}}
NOISE: Settings = {"noise_type": "normal", "noise_std": 0.1}


class Healthy(NamedTuple):
    """A training that is as it should be."""

    recipe: Recipe
    env_id: str

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.recipe.algo} on {self.env_id.rpartition('/')[2]}"

    def train(self, seed: int, callback: BaseCallback | None) -> BaseAlgorithm:
        """Train with a callback."""
        model, env = train(self.recipe, self.env_id, seed, callback=callback)
        env.close()
        return model


def own(algo: str, env_id: str, n_timesteps: int, n_envs: int = 1, **settings: Any) -> Healthy:
    """With settings of this file (copied, as SB3 writes into ``policy_kwargs``)."""
    return Healthy(Recipe(algo, n_timesteps, n_envs, None, {"policy": "MlpPolicy", **deepcopy(settings)}), env_id)


def tuned(algo: str, env_id: str, n_timesteps: int) -> Healthy:
    """With the settings of the hyperparameter files."""
    return Healthy(read_recipe(algo, env_id, n_timesteps=n_timesteps), env_id)


def all_healthy() -> list[Healthy]:
    """Every run."""
    return [
        tuned("reinforce", CARTPOLE, 100_000),
        tuned("reinforce", FOUR_ROOMS, 150_000),
        tuned("reinforce", GRID, 60_000),
        tuned("grpo", CARTPOLE, 60_000),
        tuned("grpo", FOUR_ROOMS, 150_000),
        tuned("grpo", GRID, 60_000),
        *(tuned(algo, LAKE, 50_000) for algo in ("q_learning", "expected_sarsa", "monte_carlo")),
        *(tuned(algo, CLIFF, 20_000) for algo in ("sarsa", "double_q_learning", "dyna_q")),
        *(own(algo, CARTPOLE, 16_000, **VALUES)
          for algo in ("dqn", "dqn_scratch", "double_dqn", "dueling_dqn", "per_dqn", "noisy_dqn")),
        own("qrdqn", CARTPOLE, 16_000, **VALUES, policy_kwargs={"n_quantiles": 25}),
        own("c51", CARTPOLE, 16_000, **VALUES, **SUPPORT),
        own("rainbow", CARTPOLE, 16_000, **VALUES, **SUPPORT),
        own("dqn", ACROBOT, 16_000, **{**VALUES, "train_freq": 8, "gradient_steps": 2, "target_update_interval": 250,
                                       "learning_rate": 1e-3}),
        own("ppo_scratch", CARTPOLE, 25_000, 8, **ON_POLICY),
        own("a2c_scratch", CARTPOLE, 50_000, 8),
        tuned("ppo", CARTPOLE, 25_000),
        own("ppo", CARTPOLE, 16_000),
        tuned("ppo", PENDULUM, 20_000),
        own("ppo", FOUR_ROOMS, 60_000, 8, **ON_POLICY),
        own("ppo", LAKE, 30_000, 8, **ON_POLICY),
        tuned("a2c", CARTPOLE, 60_000),
        tuned("a2c", ACROBOT, 60_000),
        own("sac", PENDULUM, 2_500, **ACTOR_CRITIC),
        own("sac", "InvertedPendulum-v5", 2_500, **ACTOR_CRITIC),
        own("td3", PENDULUM, 3_000, **ACTOR_CRITIC, **NOISE),
        own("ddpg", PENDULUM, 3_000, **ACTOR_CRITIC, **NOISE),
        own("tqc", PENDULUM, 2_500, **ACTOR_CRITIC),
        own("crossq", PENDULUM, 2_500, **ACTOR_CRITIC),
        tuned("trpo", CARTPOLE, 20_000),
        tuned("trpo", PENDULUM, 20_000),
        tuned("ars", CARTPOLE, 40_000),
        own("ppo_lstm", CARTPOLE, 10_000, 8, policy="MlpLstmPolicy", **{**ON_POLICY, "n_steps": 64},
            policy_kwargs={"lstm_hidden_size": 32}),
        own("ppo_mask", "sb3_ext/MaximizationBias-v0", 8_000, 8, **{**ON_POLICY, "n_steps": 64}),
    ]  # fmt: skip


ENVIRONMENTS = (
    "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1", "FrozenLake-v1",
    "Taxi-v4", "Blackjack-v1", "sb3_ext/GridWorld-v0", "sb3_ext/FourRooms-v0", "sb3_ext/CliffWalking-v0",
    "sb3_ext/Blackjack-v0", "sb3_ext/MaximizationBias-v0", "sb3_ext/RandomWalk-v0", "InvertedPendulum-v5",
    "LunarLander-v3",
)  # fmt: skip
"""Sound ones."""
