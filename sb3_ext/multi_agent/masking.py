"""Action masks: where PettingZoo's environments put them, and observations without them."""

from typing import Any

import numpy as np
from gymnasium import spaces


def without_mask(observation: Any) -> Any:
    """What an agent sees: PettingZoo's ``{"observation": ..., "action_mask": ...}`` without the mask.

    Serves an observation and, entry by entry, its Dict space.

    >>> without_mask({"observation": 5, "action_mask": [0, 1]}), without_mask({"board": 1, "clock": 2}), without_mask(5)
    (5, {'board': 1, 'clock': 2}, 5)
    """
    if isinstance(observation, spaces.Dict):
        rest = without_mask(observation.spaces)
        return spaces.Dict(rest) if isinstance(rest, dict) else rest
    if not isinstance(observation, dict):
        return observation
    rest = {key: value for key, value in observation.items() if key != "action_mask"}
    return rest["observation"] if set(rest) == {"observation"} else rest


def legal_actions(
    observation: Any, info: dict[str, Any], action_space: spaces.Space[Any], agent: str
) -> np.ndarray | None:
    """The action mask of an agent that is about to act, from its observation or its info.

    Args:
        observation: As the environment gave it.
        info: Likewise.
        action_space: Of the agent.
        agent: For the error's text.

    Returns:
        bool [n_actions], all True where a Discrete environment has no mask; None where actions are not Discrete.

    Raises:
        ValueError: If no action is legal.

    >>> legal_actions({"observation": 5, "action_mask": [0, 1]}, {}, spaces.Discrete(2), "player_0").tolist()
    [False, True]
    """
    mask = info.get("action_mask")
    if isinstance(observation, dict):
        mask = observation.get("action_mask", mask)
    if mask is None:
        return np.ones(int(action_space.n), dtype=bool) if isinstance(action_space, spaces.Discrete) else None
    mask = np.asarray(mask, dtype=bool)
    if not mask.any():
        raise ValueError(
            f"the environment asks {agent} for an action, but its action mask allows none;"
            " it should end the game or pass the turn on"
        )
    return mask


def mask_size(space: spaces.Space[Any]) -> int:
    """Entries of an action mask, as MaskablePPO counts them.

    >>> mask_size(spaces.Discrete(5)), mask_size(spaces.MultiDiscrete([2, 3])), mask_size(spaces.MultiBinary(3))
    (5, 5, 6)
    """
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, spaces.MultiBinary):
        return 2 * int(np.prod(space.n))
    raise TypeError(f"action masks need actions that can be counted, got {space}")
