"""Checks of what environments hand out."""

from typing import Any

import numpy as np


def refuse_non_finite(what: str, values: Any, environment: int | None = None) -> None:
    """Raise if a number is NaN or infinite, before it poisons a network.

    Args:
        what: the numbers' name in the message.
        values: an array, or a dict of arrays, of every environment, [n_envs, ...], or of the one given. Whole numbers
            and images pass as they are.
        environment: the index of that one.

    Raises:
        ValueError: naming the environment.

    Example:
        >>> refuse_non_finite("reward", np.array([1.0, 2.0]))
    """
    if isinstance(values, dict):
        for key, part in values.items():
            refuse_non_finite(f"{what} {key!r}", part, environment)
        return
    values = np.asarray(values)
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    if environment is None:
        environment = int(np.argwhere(~np.isfinite(values))[0, 0])
        values = values[environment]
    raise ValueError(
        f"environment {environment} gave the {what} {values}, which is not finite; look there for a division by zero "
        "or an exploding state (stable_baselines3.common.vec_env.VecCheckNan finds the step)"
    )
