"""Extensions of DQN by their names: ``RainbowDQN`` with other defaults. Any of its switches may be set beside.

A model is loaded by the class that saved it, or by ``RainbowDQN``. Read next: ``rainbow.py``.
"""

import inspect
from typing import Any

from sb3_ext.dqn.rainbow import RainbowDQN


def with_defaults(**defaults: Any) -> Any:
    """``RainbowDQN.__init__`` with other defaults, which its signature shows."""

    def __init__(self: RainbowDQN, *args: Any, **kwargs: Any) -> None:
        RainbowDQN.__init__(self, *args, **{**defaults, **kwargs})

    signature = inspect.signature(RainbowDQN.__init__)
    parameters = [
        parameter.replace(default=defaults.get(name, parameter.default))
        for name, parameter in signature.parameters.items()
    ]
    __init__.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return __init__


class DoubleDQN(RainbowDQN):
    """Double DQN (van Hasselt et al. 2016): against overestimation. Arguments: ``RainbowDQN``'s."""

    __init__ = with_defaults(double=True)


class DuelingDQN(RainbowDQN):
    """Dueling DQN (Wang et al. 2016): V and A apart. Arguments: ``RainbowDQN``'s."""

    __init__ = with_defaults(dueling=True)


class PrioritizedDQN(RainbowDQN):
    """DQN with prioritised experience replay (Schaul et al. 2016). Arguments: ``RainbowDQN``'s."""

    __init__ = with_defaults(prioritized=True)


class NoisyDQN(RainbowDQN):
    """DQN that explores by noise in its weights (Fortunato et al. 2018). Arguments: ``RainbowDQN``'s."""

    __init__ = with_defaults(noisy=True)


class C51(RainbowDQN):
    """Categorical DQN (Bellemare et al. 2017): distributions of returns. Arguments: ``RainbowDQN``'s."""

    __init__ = with_defaults(distributional=True)


class Rainbow(RainbowDQN):
    """All six together, with 3 steps and alpha 0.5 (Hessel et al. 2018). Arguments: ``RainbowDQN``'s."""

    __init__ = with_defaults(
        double=True, dueling=True, prioritized=True, noisy=True, distributional=True, n_steps=3, alpha=0.5
    )
