"""What the algorithms' parameters may say, read and checked."""

import re
from typing import Any, SupportsFloat

import numpy as np
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule

from sb3_ext.common.exploration import EpsilonGreedy, Exploration
from sb3_ext.common.slots import ActionProbabilities

_WRITTEN_EXPLORATION = re.compile(r"lin_(\d*\.?\d+(?:e-?\d+)?)")
_WRITTEN_RATE = re.compile(r"(lin_)?(\d*\.?\d+)(/N(?:\^(\d*\.?\d+))?)?")


def read_learning_rate(value: float | Schedule | str) -> tuple[tuple[float, float, float] | None, float]:
    """What ``learning_rate`` says: a linear schedule (start, end, fraction), and the power of the visits it is divided
    by.

    Returns:
        The schedule, None for a callable that only Python can call; and the power, 0 for none.

    Raises:
        ValueError: If it says nothing, or a rate lies outside [0, 1].

    Example:
        >>> read_learning_rate(0.1), read_learning_rate("0.5/N^0.8")
        (((0.1, 0.1, 1.0), 0.0), ((0.5, 0.5, 1.0), 0.8))
    """
    power = 0.0
    if isinstance(value, str):
        written = _WRITTEN_RATE.fullmatch(value.replace(" ", ""))
        if written is None:
            raise ValueError(
                f'learning_rate must be a number, a schedule or like "1/N" or "lin_0.5/N^0.8", got {value!r}'
            )
        linear, number, per_visit, exponent = written.groups()
        power = float(exponent or 1) if per_visit else 0.0
        value = LinearSchedule(float(number), 0.0, 1.0) if linear else float(number)
    if isinstance(value, FloatSchedule):
        value = value.value_schedule
    if isinstance(value, ConstantSchedule):
        value = value.val
    if isinstance(value, LinearSchedule):
        schedule = float(value.start), float(value.end), float(value.end_fraction)
    elif callable(value):
        return None, 0.0
    elif isinstance(value, SupportsFloat):
        schedule = float(value), float(value), 1.0
    else:
        raise ValueError(f"learning_rate must be a number, a schedule or written, got {value!r}")
    if not (0 <= schedule[0] <= 1 and 0 <= schedule[1] <= 1 and schedule[2] > 0):
        raise ValueError(f"learning_rate must lie in [0, 1], got {value}")
    return schedule, power


def read_exploration(value: Any) -> Exploration | ActionProbabilities:
    """What ``exploration`` says: a number is a constant epsilon, "lin_0.5" one that falls from 0.5 to 0 over training.

    Raises:
        ValueError: If it says nothing.

    Example:
        >>> read_exploration(0.1), read_exploration("lin_0.5")
        (EpsilonGreedy(start=0.1, end=None, fraction=1.0), EpsilonGreedy(start=0.5, end=0.0, fraction=1.0))
    """
    if isinstance(value, type):
        raise ValueError(f"exploration must be an object, got the class {value.__name__}")
    if hasattr(value, "probabilities"):
        return value
    written = _WRITTEN_EXPLORATION.fullmatch(value) if isinstance(value, str) else None
    if written is not None:
        return EpsilonGreedy(float(written[1]), 0.0)
    if isinstance(value, int | float | np.number):
        return EpsilonGreedy(float(value))
    raise ValueError(
        'exploration must be EpsilonGreedy, Boltzmann, UCB, a number, like "lin_0.5", or an object with a method '
        f"`probabilities` (sb3_ext.common.slots.ActionProbabilities), got {value!r}"
    )


def trace_settings(lambda_: float, traces: str) -> dict[str, Any]:
    """The part of ``Settings`` that is about eligibility traces, checked."""
    if not 0 <= lambda_ <= 1:
        raise ValueError(f"lambda_ must lie in [0, 1], got {lambda_}")
    if traces not in ("accumulating", "replacing"):
        raise ValueError(f"traces must be 'accumulating' or 'replacing', got {traces!r}")
    return {"lambda_": float(lambda_), "replacing": traces == "replacing"}


def whole_number(name: str, value: int, at_least: int) -> int:
    """A checked count."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise ValueError(f"{name} must be a whole number, at least {at_least}, got {value}")
    return int(value)
