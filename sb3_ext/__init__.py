"""Stable-Baselines3, extended: from-scratch algorithms that work like its own, and that are written to be read.

The names below are loaded when they are first used (PEP 562), so that importing ``sb3_ext`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_ext.algos import ALGOS
    from sb3_ext.dqn import RainbowDQN
    from sb3_ext.grpo import GRPO
    from sb3_ext.reinforce import REINFORCE
    from sb3_ext.rlhf import DPO
    from sb3_ext.tabular import SARSA, DoubleQLearning, DynaQ, ExpectedSARSA, MonteCarloControl, QLearning

__version__ = "0.1.0"

_HOME_OF = {
    "ALGOS": "sb3_ext.algos",
    "DPO": "sb3_ext.rlhf",
    "GRPO": "sb3_ext.grpo",
    "RainbowDQN": "sb3_ext.dqn",
    "REINFORCE": "sb3_ext.reinforce",
    **dict.fromkeys(
        ("SARSA", "DoubleQLearning", "DynaQ", "ExpectedSARSA", "MonteCarloControl", "QLearning"), "sb3_ext.tabular"
    ),
}

__all__ = [
    "ALGOS",
    "DPO",
    "GRPO",
    "REINFORCE",
    "SARSA",
    "DoubleQLearning",
    "DynaQ",
    "ExpectedSARSA",
    "MonteCarloControl",
    "QLearning",
    "RainbowDQN",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sb3_ext' has no attribute {name!r}; it has {', '.join(_HOME_OF)}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
