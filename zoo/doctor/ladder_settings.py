"""How each algorithm climbs the ladder: its settings in the probe worlds, and what it gets in a known world."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

GAMMA = 0.9  # of the probe worlds


@dataclass(frozen=True)
class Setting:
    """How an algorithm climbs.

    Attributes:
        n_timesteps: steps in a probe world.
        arguments: of the class there.
        n_envs: parallel environments there.
        policy: name.
        actions: "discrete" or "box".
        tabular: states as numbers.
    """

    n_timesteps: int
    arguments: dict[str, Any] = field(default_factory=dict)
    n_envs: int = 1
    policy: str = "MlpPolicy"
    actions: str = "discrete"
    tabular: bool = False


SMALL = {"policy_kwargs": {"net_arch": [32, 32]}}
ROLLOUTS = {**SMALL, "n_steps": 64, "learning_rate": 3e-3}
OFF_POLICY = {**SMALL, "learning_rate": 3e-3, "learning_starts": 100, "batch_size": 64, "buffer_size": 10_000}
Q_NETWORK = {**OFF_POLICY, "train_freq": 2, "target_update_interval": 50, "exploration_fraction": 0.5}
SETTINGS = {
    "a2c": Setting(10_000, {**SMALL, "learning_rate": 3e-3}, 8),
    "a2c_scratch": Setting(10_000, {**SMALL, "learning_rate": 3e-3}, 8),
    "trpo": Setting(10_000, {**ROLLOUTS, "n_critic_updates": 20}, 8),
    "ppo_lstm": Setting(10_000, {**ROLLOUTS, "batch_size": 256, "policy_kwargs": {"net_arch": [32],
                                                                                  "lstm_hidden_size": 16}}, 8,
                        "MlpLstmPolicy"),
    "reinforce": Setting(10_000, {**SMALL, "baseline": "value", "n_episodes": 64}, 8),
    "grpo": Setting(10_000, {**SMALL, "group_start": "unmatched", "n_groups": 8}, 16),
    "ars": Setting(10_000, {"n_delta": 8, "delta_std": 0.2, "learning_rate": 0.1}),
    **{name: Setting(10_000, {**ROLLOUTS, "batch_size": 256}, 8) for name in ("ppo", "ppo_scratch", "ppo_mask")},
    **{name: Setting(2_000, Q_NETWORK) for name in
       ("dqn", "dqn_scratch", "double_dqn", "dueling_dqn", "per_dqn", "noisy_dqn")},
    "qrdqn": Setting(2_000, {**Q_NETWORK, "policy_kwargs": {"net_arch": [32, 32], "n_quantiles": 25}}),
    **{name: Setting(2_000, {**Q_NETWORK, "v_min": -0.5, "v_max": 1.5}) for name in ("c51", "rainbow")},
    **{name: Setting(1_500, OFF_POLICY, actions="box") for name in ("td3", "ddpg")},
    **{name: Setting(1_500, {**OFF_POLICY, "ent_coef": 0.001}, actions="box") for name in ("sac", "tqc", "crossq")},
    **{name: Setting(2_000, {"learning_rate": 0.1, "engine": "step"}, 1, "TabularPolicy", tabular=True) for name in
       ("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "monte_carlo", "dyna_q")},
}  # fmt: skip
"""By the algorithm's short name."""


class Reference(NamedTuple):
    """What an algorithm gets in a known world.

    Its hyperparameters are those that the files hold for ``recipe_of``, and ``settings`` beside or instead of them.
    """

    env_id: str
    n_timesteps: int
    at_least: float
    """mean return of greedy episodes"""
    recipe_of: str
    settings: dict[str, Any] = {}
    n_episodes: int = 20


CARTPOLE, PENDULUM, LAKE = "CartPole-v1", "Pendulum-v1", "FrozenLake-v1"
REFERENCES = {
    **{name: Reference(CARTPOLE, 50_000, 475, "ppo") for name in ("ppo", "ppo_scratch")},
    **{name: Reference(CARTPOLE, 50_000, 475, "dqn") for name in
       ("dqn", "dqn_scratch", "double_dqn", "dueling_dqn", "per_dqn", "noisy_dqn")},
    **{name: Reference(CARTPOLE, 50_000, 475, "dqn", {"v_min": 0.0, "v_max": 100.0}) for name in ("c51", "rainbow")},
    "qrdqn": Reference(CARTPOLE, 50_000, 475, "qrdqn"),
    **{name: Reference(CARTPOLE, 200_000, 475, "a2c") for name in ("a2c", "a2c_scratch")},
    "trpo": Reference(CARTPOLE, 100_000, 475, "trpo"),
    "ppo_lstm": Reference(CARTPOLE, 100_000, 475, "ppo", {"policy": "MlpLstmPolicy",
                                                          "policy_kwargs": {"lstm_hidden_size": 64}}),
    "ppo_mask": Reference("sb3_ext/MaximizationBias-v0", 20_000, -0.001, "ppo"),
    "reinforce": Reference(CARTPOLE, 200_000, 475, "reinforce"),
    "grpo": Reference(CARTPOLE, 200_000, 475, "grpo"),
    "ars": Reference(CARTPOLE, 100_000, 475, "ars"),
    **{name: Reference(PENDULUM, 10_000, -250, name, {"learning_starts": 1_000}) for name in
       ("sac", "tqc", "crossq", "td3", "ddpg")},
    **{name: Reference(LAKE, 200_000, 0.68, name, {}, 1_000) for name in
       ("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "monte_carlo", "dyna_q")},
}  # fmt: skip
"""By the algorithm's short name. A rule of thumb says that who cannot solve CartPole within 50,000 steps has a bug. PPO
and the DQNs are held to it; the others get as many steps as they need. 475 and 0.70 are Gymnasium's thresholds; 0.68
leaves the scatter of 1,000 episodes, and -250 on the pendulum that of 20 episodes to RL Zoo's -150 to -200. The best
policy of the maximisation bias world returns 0."""
