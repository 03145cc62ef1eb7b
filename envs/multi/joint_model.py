"""The exact model of a game of several agents: one process, whose actions are those of all agents together."""

from collections.abc import Mapping
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from sb3_ext.envs.multi.board import N_ACTIONS
from sb3_ext.tabular.mdp import TabularMDP

LARGEST_MODEL = 2_000_000


def joint_index(actions: Mapping[str, SupportsIndex], n_actions: Mapping[str, int]) -> int:
    """The number of a joint action; the last agent's action counts fastest.

    Args:
        actions: Each agent's action.
        n_actions: How many actions each agent has, in the order of the agents.

    Raises:
        ValueError: If an agent is missing or unknown, or its action is none.

    Example:
        >>> joint_index({"a": 1, "b": 2}, {"a": 5, "b": 5})
        7
    """
    if set(actions) != set(n_actions):
        raise ValueError(f"step needs one action for each of {', '.join(n_actions)}, got {dict(actions)}")
    joint = 0
    for agent, count in n_actions.items():
        try:
            action = actions[agent].__index__()
        except (AttributeError, TypeError):
            raise ValueError(f"the action of {agent} must be a whole number, got {actions[agent]!r}") from None
        if not 0 <= action < count:
            raise ValueError(f"the actions of {agent} are 0 to {count - 1}, got {action}")
        joint = joint * count + action
    return joint


def check_size(n_states: int, n_agents: int) -> None:
    """Refuses a model that would not fit into memory.

    Raises:
        ValueError: If it has more than two million pairs of a joint state and a joint action.
    """
    n_pairs = n_states * N_ACTIONS**n_agents
    if n_pairs > LARGEST_MODEL:
        raise ValueError(
            f"{n_agents} agents on this map make {n_states} joint states and {N_ACTIONS**n_agents} joint actions: more "
            f"than {LARGEST_MODEL} pairs do not fit into a table; take a smaller map or fewer agents"
        )


def all_joint_actions(n_agents: int) -> npt.NDArray[np.intp]:
    """The actions of all agents in every joint action, [5 ** n_agents, n_agents].

    Example:
        >>> all_joint_actions(2)[7].tolist()
        [1, 2]
    """
    return np.stack(np.unravel_index(np.arange(N_ACTIONS**n_agents), (N_ACTIONS,) * n_agents), axis=-1)


def joint_model(
    next_state: npt.NDArray[np.intp],
    reward: npt.NDArray[np.float64],
    terminated: npt.NDArray[np.bool_],
    goes_on: npt.NDArray[np.bool_],
    first: int | None,
    probability: npt.ArrayLike = 1.0,
) -> TabularMDP:
    """A process from what each joint action does in each joint state.

    Args:
        next_state: [S, A, K], K outcomes for each joint action.
        reward: [S, A, K], of the first agent.
        terminated: bool [S, A, K].
        goes_on: bool [S], the states that can be and are not the end. In the others nothing happens any more.
        first: The state to start in; None for any that goes on, each as likely.
        probability: Of the outcomes, [K].
    """
    inert = ~goes_on[:, None, None]
    next_state = np.where(inert, np.arange(len(inert))[:, None, None], next_state)
    start = goes_on / goes_on.sum() if first is None else np.eye(1, len(goes_on), first)[0]
    return TabularMDP.from_arrays(next_state, np.where(inert, 0.0, reward), terminated | inert, probability, start)


def can_end(mdp: TabularMDP) -> bool:
    """Whether a way leads from a start to an end.

    Example:
        >>> can_end(TabularMDP.from_arrays([[1], [0]], 0.0)), can_end(TabularMDP.from_arrays([[1], [1]], 0.0, True))
        (False, True)
    """
    reached = mdp.start > 0
    while not mdp.terminated[reached].any():
        n_reached = reached.sum()
        reached[mdp.next_state[reached]] = True
        if reached.sum() == n_reached:
            return False
    return True
