"""The gambler's problem: a tiny world whose best policy looks strange.

A gambler stakes part of his capital on coin flips until he has 0 or 100 (Sutton & Barto, 2nd ed., example 4.3).
Exact solution, without iteration (Dubins & Savage 1965, How to Gamble If You Must): if the coin is against the gambler,
bold play is optimal (stake all, or what is missing to the goal); if it favours him, timid play is (stake 1 for ever).
The spikes of figure 4.3 are ties: ``optimal_stakes`` lists every stake that is as good as the best.
Read next: ``car_rental.py``, dynamic programming where nothing has a closed form.
"""

import numpy as np
from numpy.typing import NDArray

from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular.mdp import TabularMDP

TIE = 1e-12  # values that differ by less are equal up to rounding


def stakes(goal: int) -> NDArray[np.int64]:
    """The stake of each action in each state: action a stakes a + 1, or as much as is possible and of use.

    Returns:
        [goal + 1, goal // 2]; the limit is min(s, goal - s), as in the book, and 0 in the two terminal states.

    Example:
        >>> stakes(4).tolist()
        [[0, 0], [1, 1], [1, 2], [1, 1], [0, 0]]
    """
    capital = np.arange(goal + 1)[:, None]
    return np.minimum(np.arange(1, goal // 2 + 1), np.minimum(capital, goal - capital))


def gambler_mdp(goal: int = 100, p_heads: float = 0.4, start: int | None = None) -> TabularMDP:
    """The problem as arrays: state s is the capital, 0 and ``goal`` end the game, the reward is 1 for the goal.

    Raises:
        ValueError: If goal < 2, p_heads lies outside [0, 1], or start outside 1 .. goal - 1.
    """
    if goal < 2:
        raise ValueError(f"goal must be at least 2, got {goal}")
    if not 0 <= p_heads <= 1:
        raise ValueError(f"p_heads is a probability and must lie in [0, 1], got {p_heads}")
    if start is not None and not 0 < start < goal:
        raise ValueError(f"start must be a capital in 1 .. {goal - 1}, or None for any of them, got {start}")
    capital, stake = np.arange(goal + 1), stakes(goal)
    inside = (capital > 0) & (capital < goal)
    next_state = capital[:, None, None] + np.stack([stake, -stake], axis=-1)
    return TabularMDP.from_arrays(
        next_state=next_state,
        reward=inside[:, None, None] & (next_state == goal),
        terminated=(next_state == 0) | (next_state == goal),
        probability=np.array([p_heads, 1 - p_heads]),
        start=inside / (goal - 1) if start is None else capital == start,
    )


def gambler_values(goal: int = 100, p_heads: float = 0.4) -> NDArray[np.floating]:
    """v*(s), the probability of reaching the goal under optimal play (upper half of figure 4.3).

    For a coin against the gambler: the value of bold play, from its linear Bellman equations
    ``v(s) = p v(s + stake) + (1 - p) v(s - stake)`` with v(0) = 0 and v(goal) = 1 here. For a coin in his favour:
    that of timid play, the gambler's ruin formula ``(1 - r^s) / (1 - r^goal)`` with ``r = (1 - p) / p``.

    Returns:
        [goal + 1]; 0 in both terminal states, for nothing is won after the end.

    Example:
        >>> gambler_values()[[25, 50, 75]].round(6)
        array([0.16, 0.4 , 0.64])
    """
    capital = np.arange(goal + 1)
    if p_heads > 0.5:
        ruin = (1 - p_heads) / p_heads
        values: NDArray[np.floating] = (1 - ruin**capital) / (1 - ruin**goal)
    else:
        bold, inside = np.minimum(capital, goal - capital), slice(1, goal)
        system = np.eye(goal + 1)
        system[capital[inside], (capital + bold)[inside]] -= p_heads
        system[capital[inside], (capital - bold)[inside]] -= 1 - p_heads
        values = np.linalg.solve(system, capital == goal)
    values[goal] = 0.0
    return values


class Gambler(TabularEnv):
    """Bets on a coin, from any capital to 100.

    ## Description
    Heads wins the stake, tails loses it. The game ends with an empty purse or at the goal.

    ## Action Space
    `Discrete(goal // 2)`: action a stakes a + 1, at most what the gambler has and what is missing to the goal. The book
    also allows a stake of 0; it is left out, for it ties with every action of the best policy and never ends.

    ## Observation Space
    `Discrete(goal + 1)`: the capital; 0 and the goal are seen only at the end.

    ## Rewards
    1 for reaching the goal, otherwise 0: the value of a state is the probability of winning.

    ## Starting State
    Any capital from 1 to goal - 1, all equally likely, or `start`.

    ## Episode End
    Termination at 0 or at the goal, which comes with probability 1. No time limit.

    ## Arguments
    - `goal=100`: what to reach.
    - `p_heads=0.4`: probability of winning a flip.
    - `start=None`: the first capital; None draws it.

    ## References
    Sutton & Barto, Reinforcement Learning, 2nd ed., example 4.3 and figure 4.3.
    """

    def __init__(self, goal: int = 100, p_heads: float = 0.4, start: int | None = None) -> None:
        super().__init__(gambler_mdp(goal, p_heads, start))
        self.goal, self.p_heads = goal, p_heads

    def exact_values(self) -> NDArray[np.floating]:
        """v*(s) [goal + 1] for gamma = 1."""
        return gambler_values(self.goal, self.p_heads)

    def optimal_stakes(self, capital: int) -> list[int]:
        """Every optimal stake, smallest first: where figure 4.3 (lower half) shows one, there are often several.

        Raises:
            ValueError: If capital lies outside 1 .. goal - 1.

        Example:
            >>> Gambler().optimal_stakes(50), Gambler().optimal_stakes(15)
            ([50], [10, 15])
        """
        if not 0 < capital < self.goal:
            raise ValueError(f"capital must lie in 1 .. {self.goal - 1}, got {capital}")
        chance = self.exact_values()
        chance[self.goal] = 1.0
        stake = np.arange(1, min(capital, self.goal - capital) + 1)
        value = self.p_heads * chance[capital + stake] + (1 - self.p_heads) * chance[capital - stake]
        return stake[value >= value.max() - TIE].tolist()
