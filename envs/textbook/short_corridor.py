"""The short corridor: where the best policy is a random one.

Three states that look alike, and in the middle one left and right are swapped (Sutton & Barto, 2nd ed., example 13.1).
A method that learns action values must choose one action everywhere and does badly; a policy gradient finds the best
probability. Exact solution: the value of going right with probability p,

    J(p) = (2p - 4) / (p (1 - p)),    best at p = 2 - sqrt(2) = 0.586,    J = -6 - 4 sqrt(2) = -11.66

(0.586 is the book's 0.59, and -11.66 its -11.6). Read next: ``sb3_ext/reinforce/reinforce.py``, which climbs this J.
"""

from typing import Any, SupportsInt

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular.mdp import TabularMDP

LEFT, RIGHT = 0, 1
GOAL = 3
BEST_PROBABILITY = 2 - np.sqrt(2)


def short_corridor_mdp() -> TabularMDP:
    """The corridor as arrays: states 0, 1, 2 from left to right, then 3, the goal; in state 1 the moves are swapped."""
    return TabularMDP.from_arrays(
        next_state=[[0, 1], [2, 0], [1, GOAL], [GOAL, GOAL]],
        reward=[[-1.0, -1.0], [-1.0, -1.0], [-1.0, -1.0], [0.0, 0.0]],
        terminated=[[False, False], [False, False], [False, True], [True, True]],
        start=[1.0, 0.0, 0.0, 0.0],
    )


def policy_value(p: ArrayLike) -> NDArray[np.float64]:
    """J(p), the value of the start under the policy that goes right with probability p (the curve of example 13.1).

    The Bellman equations of the three states (eq. 4.4) are

        v0 = -1 + p v1 + (1 - p) v0,    v1 = -1 + p v0 + (1 - p) v2,    v2 = -1 + (1 - p) v1

    and their solution is ``v0 = (2p - 4) / (p (1 - p))``.

    Args:
        p: Probability of going right, in [0, 1]; any shape.

    Returns:
        J(p), same shape; -inf for p = 0 and p = 1, where the goal is never reached.

    Raises:
        ValueError: If a probability lies outside [0, 1].

    Example:
        >>> policy_value([0.05, 0.95]).round(1)  # the two epsilon-greedy policies, epsilon = 0.1
        array([-82.1, -44.2])
    """
    p = _probability(p)
    with np.errstate(divide="ignore"):
        return (2 * p - 4) / (p * (1 - p))


def policy_value_gradient(p: ArrayLike) -> NDArray[np.float64]:
    """dJ/dp = 2 (p^2 - 4p + 2) / (p (1 - p))^2, which is 0 at p = 2 - sqrt(2).

    For a policy p = sigmoid(theta) the policy gradient is ``dJ/dtheta = p (1 - p) dJ/dp``.

    Args:
        p: Probability of going right, in (0, 1); any shape.

    Returns:
        The slope, same shape; infinite for p = 0 and p = 1.

    Raises:
        ValueError: If a probability lies outside [0, 1].

    Example:
        >>> policy_value_gradient([0.5, 0.7]).round(3)  # more right, less right
        array([  8.   , -14.059])
    """
    p = _probability(p)
    with np.errstate(divide="ignore"):
        return 2 * (p**2 - 4 * p + 2) / (p * (1 - p)) ** 2


def _probability(p: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(p, dtype=np.float64)
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"p is a probability and must lie in [0, 1], got {array}")
    return array


class ShortCorridor(TabularEnv):
    """Three states in a row that the agent cannot tell apart.

    ## Description
    The goal is three steps to the right. In the middle state the moves are swapped: left goes right, right goes left.

    ## Action Space
    `Discrete(2)`: 0 is left, 1 is right. Going left in the first state leaves the agent where it is.

    ## Observation Space
    `Discrete(1)`: always 0, for all states look alike. With `aliased=False`, `Discrete(4)`: the state (3 is the goal).

    ## Rewards
    -1 a step.

    ## Starting State
    The left end, state 0.

    ## Episode End
    - Termination: the goal is reached.
    - Truncation: after 1000 steps, if made by its id (going left for ever never arrives).

    ## Arguments
    - `aliased=True`: False shows the state; the best policy is then a plain one, of value -3.

    ## References
    Sutton & Barto, Reinforcement Learning, 2nd ed., example 13.1 and figures 13.1 and 13.2.
    """

    def __init__(self, aliased: bool = True) -> None:
        super().__init__(short_corridor_mdp())
        self.aliased = aliased
        if aliased:
            self.observation_space = spaces.Discrete(1)

    def exact_values(self) -> NDArray[np.float64]:
        """The value of every state [4], gamma = 1, under the best policy that sees only what the agent sees."""
        if not self.aliased:
            return np.array([-3.0, -2.0, -1.0, 0.0])
        p = BEST_PROBABILITY
        first = float(policy_value(p))
        middle = first + 1 / p  # the Bellman equations of ``policy_value``, solved for v1 and v2
        return np.array([first, middle, -1 + (1 - p) * middle, 0.0])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Begins at the left end."""
        state, info = super().reset(seed=seed, options=options)
        return self._observation(state), info

    def step(self, action: SupportsInt) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Goes left or right."""
        state, reward, terminated, truncated, info = super().step(action)
        return self._observation(state), reward, terminated, truncated, info

    def _observation(self, state: int) -> int:
        return 0 if self.aliased else state
