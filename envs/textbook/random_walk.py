"""The random walk: the smallest world in which prediction methods differ.

A chain of states, steps left or right by a coin, an end on either side (Sutton & Barto, 2nd ed., examples 6.2, 7.1).
Nothing is chosen, so there is one action, and Q(s, 0) = V(s): SARSA, expected SARSA and Q-learning are all TD(0) here.
Exact solution: without discount the values rise evenly from one end's reward to the other's, k/6 in example 6.2.
Read next: ``maximization_bias.py``, where choosing comes in.
"""

import numpy as np
from numpy.typing import NDArray

from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular.mdp import TabularMDP


def random_walk_mdp(n_states: int = 5, left_reward: float = 0.0, right_reward: float = 1.0) -> TabularMDP:
    """The walk as arrays: states 0 and n_states + 1 are the ends, 1 to n_states lie between, the start is the middle.

    Raises:
        ValueError: If n_states is not odd and positive.

    Example:
        >>> random_walk_mdp(n_states=1).to_P()[1][0]
        [(0.5, 0, 0.0, True), (0.5, 2, 1.0, True)]
    """
    if n_states < 1 or n_states % 2 == 0:
        raise ValueError(f"n_states must be odd and positive, so that there is a middle to start from; got {n_states}")
    right_end = n_states + 1
    states = np.arange(right_end + 1)
    next_state = np.stack([np.maximum(states - 1, 0), np.minimum(states + 1, right_end)], axis=-1)[:, None, :]
    inside = ((states > 0) & (states < right_end))[:, None, None]
    reward = np.where(next_state == 0, left_reward, np.where(next_state == right_end, right_reward, 0.0))
    return TabularMDP.from_arrays(
        next_state=np.where(inside, next_state, states[:, None, None]),
        reward=np.where(inside, reward, 0.0),
        terminated=~inside | (next_state == 0) | (next_state == right_end),
        probability=0.5,
        start=states == right_end // 2,
    )


def random_walk_values(n_states: int = 5, left_reward: float = 0.0, right_reward: float = 1.0) -> NDArray[np.float64]:
    """The true values, undiscounted: ``v(k) = left + (right - left) k / (n_states + 1)``, and 0 at the ends.

    A straight line solves the Bellman equation ``v(k) = (v(k - 1) + v(k + 1)) / 2`` (4.4); its ends are the rewards.

    Returns:
        [n_states + 2], state by state.

    Example:
        >>> random_walk_values(3)
        array([0.  , 0.25, 0.5 , 0.75, 0.  ])
    """
    values = np.linspace(left_reward, right_reward, n_states + 2)
    values[[0, -1]] = 0.0
    return values


class RandomWalk(TabularEnv):
    """A walk on a line that the agent can watch but not steer.

    ## Description
    From the middle of a chain, each step goes left or right with equal probability, until an end is reached.

    ## Action Space
    `Discrete(1)`: the one action is to let the walk go on. There is nothing to control: the task is to predict.

    ## Observation Space
    `Discrete(n_states + 2)`: the position; 0 is the left end, n_states + 1 the right one, both seen only at the end.

    ## Rewards
    `left_reward` on reaching the left end, `right_reward` on reaching the right one, otherwise 0.

    ## Starting State
    The middle, (n_states + 1) / 2.

    ## Episode End
    Termination at either end, after ((n_states + 1) / 2)^2 steps on average. No time limit: none is needed.

    ## Arguments
    - `n_states=5`: positions between the ends, odd.
    - `left_reward=0.0`, `right_reward=1.0`: rewards of the ends; -1 and 1 in the 19-state walk.

    ## References
    Sutton & Barto, Reinforcement Learning, 2nd ed., example 6.2 (5 states) and example 7.1, figure 7.2 (19 states).
    """

    def __init__(self, n_states: int = 5, left_reward: float = 0.0, right_reward: float = 1.0) -> None:
        super().__init__(random_walk_mdp(n_states, left_reward, right_reward))
        self.left_reward, self.right_reward = left_reward, right_reward

    def exact_values(self) -> NDArray[np.float64]:
        """The true value of every state [n_states + 2] for gamma = 1."""
        return random_walk_values(self.mdp.n_states - 2, self.left_reward, self.right_reward)
