"""Maximisation bias: why Q-learning is fooled by noise, in two states.

Left from A leads to many actions whose rewards are noisy and a little negative on average; right ends with 0 (Sutton &
Barto, 2nd ed., example 6.7, figure 6.5). The best of many noisy estimates looks positive, so Q-learning goes
left for a long time; double Q-learning does not. Exact solution: left is worth -0.1, right 0. ``apparent_value`` says
exactly how good left looks. Read next: ``short_corridor.py``.
"""

import math
from typing import Any, SupportsInt

import numpy as np
from numpy.typing import NDArray

from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular.mdp import TabularMDP

A, B, END = 0, 1, 2


def maximization_bias_mdp(n_actions: int = 10, mean: float = -0.1) -> TabularMDP:
    """The world as arrays, with mean rewards: states A, B and the end; in A, even actions are left and odd ones right.

    Raises:
        ValueError: If n_actions is not even and positive, or the mean is not finite.
    """
    if n_actions < 2 or n_actions % 2:
        raise ValueError(f"n_actions must be even and positive, so that A has as many lefts as rights; got {n_actions}")
    left = np.arange(n_actions) % 2 == 0
    always = np.ones(n_actions, dtype=bool)
    return TabularMDP.from_arrays(
        next_state=np.stack([np.where(left, B, END), np.full(n_actions, END), np.full(n_actions, END)]),
        reward=np.array([[0.0], [mean], [0.0]]) * always,
        terminated=np.stack([~left, always, always]),
        start=[1.0, 0.0, 0.0],
    )


def apparent_value(n_actions: int = 10, n_samples: int = 1, mean: float = -0.1, std: float = 1.0) -> float:
    """E[max_a Q(B, a)] when every Q(B, a) is the average of n_samples rewards: the value that left seems to have.

    The largest of m standard normal numbers has the mean ``integral of x m phi(x) Phi(x)^(m - 1) dx``; averages of n
    rewards scatter with std / sqrt(n). The true value is ``mean``; what is above it is the maximisation bias.

    Args:
        n_actions: m, actions in B.
        n_samples: n, rewards seen of each.
        mean: Mean of the rewards.
        std: Their standard deviation.

    Returns:
        Mean of the largest estimate.

    Raises:
        ValueError: If n_actions or n_samples is below 1.

    Example:
        >>> [round(apparent_value(n_samples=n), 3) for n in (1, 10, 100, 1000)]
        [1.439, 0.387, 0.054, -0.051]
    """
    if min(n_actions, n_samples) < 1:
        raise ValueError(f"n_actions and n_samples must be at least 1, got {n_actions} and {n_samples}")
    x, width = np.linspace(-10.0, 10.0, 4001, retstep=True)
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    cumulative = np.array([0.5 * (1 + math.erf(point / math.sqrt(2))) for point in x])
    largest = float((x * n_actions * density * cumulative ** (n_actions - 1)).sum() * width)
    return mean + std / math.sqrt(n_samples) * largest


class MaximizationBias(TabularEnv):
    """Two states, and noise that looks like reward.

    ## Description
    From A, right ends the episode; left leads to B, where every action ends it with a noisy reward.

    ## Action Space
    `Discrete(n_actions)`. In A, even actions are left and odd ones right, so that a random action is as likely to go
    left as in the book, where A has only two. `action_masks()` marks the book's own: 0 and 1 in A, all in B.

    ## Observation Space
    `Discrete(3)`: 0 is A, 1 is B, 2 the end.

    ## Rewards
    Drawn from N(mean, std^2) in B; 0 in A. `env.mdp` holds the mean.

    ## Starting State
    A.

    ## Episode End
    Termination after right in A, and after any action in B.

    ## Arguments
    - `n_actions=10`: actions, even (the book: "many").
    - `mean=-0.1`, `std=1.0`: of the rewards in B.

    ## References
    Sutton & Barto, Reinforcement Learning, 2nd ed., example 6.7 and figure 6.5; van Hasselt (2010), Double Q-learning.
    """

    def __init__(self, n_actions: int = 10, mean: float = -0.1, std: float = 1.0) -> None:
        if not 0 <= std < math.inf:
            raise ValueError(f"std must be finite and not negative, got {std}")
        super().__init__(maximization_bias_mdp(n_actions, mean))
        self.mean, self.std = mean, std

    def exact_values(self) -> NDArray[np.float64]:
        """v*(A), v*(B), v*(end) for gamma = 1: A is worth the better of left and right."""
        return np.array([max(self.mean, 0.0), self.mean, 0.0])

    def action_masks(self) -> NDArray[np.bool_]:
        """The book's actions [n_actions] in the present state, by the name that sb3-contrib's MaskablePPO asks for."""
        return (np.arange(self.mdp.n_actions) < 2) | (self.state != A)

    def step(self, action: SupportsInt) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Moves, and adds the noise to the mean reward that the arrays hold."""
        noisy = self.state == B
        next_state, reward, terminated, truncated, info = super().step(action)
        if noisy:
            reward += self.std * self.np_random.standard_normal()
        return next_state, reward, terminated, truncated, info
