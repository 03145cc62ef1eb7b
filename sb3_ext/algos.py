"""Every algorithm under its short name: ours beside those of Stable-Baselines3 and sb3-contrib.

``TABLE`` is plain data and costs nothing to read; ``ALGOS`` maps the same names to classes.
"""

from importlib import import_module
from typing import Any, NamedTuple


class Algorithm(NamedTuple):
    """One row of the table."""

    path: str
    """where the class lives, "package:Class"; the package is also where it comes from"""
    actions: str
    """action spaces it takes"""
    summary: str
    """one line"""


ANY = "Box, Discrete, MultiDiscrete, MultiBinary"
MASKABLE = "Discrete, MultiDiscrete, MultiBinary"

TABLE: dict[str, Algorithm] = {
    "reinforce": Algorithm("sb3_ext:REINFORCE", ANY, "Monte Carlo policy gradient with optional baselines"),
    "grpo": Algorithm("sb3_ext:GRPO", ANY, "groups of episodes from one start, compared with each other"),
    "q_learning": Algorithm("sb3_ext:QLearning", "Discrete", "table of action values, learned off-policy"),
    "sarsa": Algorithm("sb3_ext:SARSA", "Discrete", "table learned on-policy, with n steps or traces"),
    "expected_sarsa": Algorithm("sb3_ext:ExpectedSARSA", "Discrete", "SARSA with the mean over the next action"),
    "double_q_learning": Algorithm("sb3_ext:DoubleQLearning", "Discrete", "two tables against overestimation"),
    "monte_carlo": Algorithm("sb3_ext:MonteCarloControl", "Discrete", "table learned from whole episodes"),
    "dyna_q": Algorithm("sb3_ext:DynaQ", "Discrete", "Q-learning that plans with a model it learns"),
    "double_dqn": Algorithm("sb3_ext.dqn:DoubleDQN", "Discrete", "DQN whose targets overestimate less"),
    "dueling_dqn": Algorithm("sb3_ext.dqn:DuelingDQN", "Discrete", "DQN with a stream for V and one for A"),
    "per_dqn": Algorithm("sb3_ext.dqn:PrioritizedDQN", "Discrete", "DQN with prioritised experience replay"),
    "noisy_dqn": Algorithm("sb3_ext.dqn:NoisyDQN", "Discrete", "DQN that explores by noise in its weights"),
    "c51": Algorithm("sb3_ext.dqn:C51", "Discrete", "DQN that learns distributions of returns"),
    "rainbow": Algorithm("sb3_ext.dqn:Rainbow", "Discrete", "these five and three-step returns together"),
    "a2c_scratch": Algorithm("sb3_ext.from_scratch:A2CScratch", ANY, "A2C written to be read; for work take SB3's"),
    "dqn_scratch": Algorithm("sb3_ext.from_scratch:DQNScratch", "Discrete", "DQN likewise, with a slot for its target"),
    "ppo_scratch": Algorithm("sb3_ext.from_scratch:PPOScratch", ANY, "PPO likewise, with a slot for its loss"),
    "a2c": Algorithm("stable_baselines3:A2C", ANY, "synchronous advantage actor-critic"),
    "ddpg": Algorithm("stable_baselines3:DDPG", "Box", "deterministic policy gradient off-policy"),
    "dqn": Algorithm("stable_baselines3:DQN", "Discrete", "deep Q-learning with replay and a target network"),
    "ppo": Algorithm("stable_baselines3:PPO", ANY, "actor-critic with a clipped surrogate objective"),
    "sac": Algorithm("stable_baselines3:SAC", "Box", "off-policy actor-critic that maximises entropy as well"),
    "td3": Algorithm("stable_baselines3:TD3", "Box", "DDPG with twin critics and delayed updates"),
    "ars": Algorithm("sb3_contrib:ARS", "Box, Discrete", "random search over policy parameters"),
    "crossq": Algorithm("sb3_contrib:CrossQ", "Box", "SAC with batch normalisation and no target network"),
    "ppo_lstm": Algorithm("sb3_contrib:RecurrentPPO", ANY, "PPO with an LSTM policy"),
    "ppo_mask": Algorithm("sb3_contrib:MaskablePPO", MASKABLE, "PPO that respects action masks"),
    "qrdqn": Algorithm("sb3_contrib:QRDQN", "Discrete", "DQN that learns quantiles of the return"),
    "tqc": Algorithm("sb3_contrib:TQC", "Box", "SAC with truncated quantile critics"),
    "trpo": Algorithm("sb3_contrib:TRPO", ANY, "natural policy gradient within a trust region"),
}


def load(name: str) -> Any:
    """The class behind a short name.

    Raises:
        ValueError: if there is no such algorithm.
    """
    if name not in TABLE:
        raise ValueError(f"there is no algorithm {name!r}; choose from {', '.join(TABLE)}")
    module, _, attribute = TABLE[name].path.partition(":")
    return getattr(import_module(module), attribute)


ALGOS: dict[str, Any]


def __getattr__(name: str) -> Any:
    """``ALGOS`` is put together on first use: it imports every algorithm."""
    if name != "ALGOS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    classes = {short: load(short) for short in TABLE}
    globals()["ALGOS"] = classes
    return classes
