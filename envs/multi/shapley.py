"""The exact solution of a game between two sides in a world of states: Shapley's value iteration.

    v(s) <- val_ab [ r(s, a, b) + gamma sum_s' p(s' | s, a, b) v(s') ]

It is value iteration (Sutton & Barto, 2nd ed., equation 4.10) with the maximum replaced by the value of a matrix game
(Shapley 1953, "Stochastic games"); minimax-Q (Littman 1994) is what Q-learning becomes by the same replacement. Each
sweep brings v closer to the one solution by a factor gamma.

``fix_policy`` turns a game into the decision process of one side when the other one's policy is known; its solution is
the best response, and shows by how much a learned policy can be exploited.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_ext.envs.multi.equilibria import zero_sum_equilibrium
from sb3_ext.tabular.mdp import TabularMDP

Floats = npt.NDArray[np.float64]
MAX_SWEEPS = 100_000


class MarkovGameSolution(NamedTuple):
    """What ``markov_game_values`` found."""

    values: Floats
    """v [S], what the first side gets if both play their best"""
    row_policy: Floats
    """[S, A], the first side's best strategy in each state"""
    column_policy: Floats
    """[S, B], the second side's"""
    n_sweeps: int
    error_bound: float
    """no value is further than this from the exact one"""


def markov_game_values(
    mdp: TabularMDP, n_columns: int, gamma: float = 0.99, tolerance: float = 1e-6
) -> MarkovGameSolution:
    """The value of a zero-sum Markov game, and a best strategy for each side.

    In a sweep, each state in which no pure strategy is best costs a linear program, some 2 ms: for ``Tag`` with one
    chaser that makes a second, with two on 4 x 4 cells a minute.

    Args:
        mdp: Its actions are pairs, ``a * n_columns + b``, and its reward is what the first side gets and the second
            pays.
        n_columns: B, how many actions the second side has.
        gamma: Discount in [0, 1).
        tolerance: Largest error of a value, above 0.

    Raises:
        ValueError: If the actions are no pairs, or a number is out of range.

    Example:
        >>> pennies = TabularMDP.from_arrays([[0, 0, 0, 0]], [[1.0, -1.0, -1.0, 3.0]], True)
        >>> solution = markov_game_values(pennies, n_columns=2)
        >>> solution.values.round(3), solution.row_policy.round(3)
        (array([0.333]), array([[0.667, 0.333]]))
    """
    _check(mdp, n_columns, gamma, tolerance)
    from sb3_ext.tabular.planning import look_ahead

    values, change, n_sweeps = np.zeros(mdp.n_states), np.inf, 0
    while gamma * change > tolerance * (1 - gamma) and n_sweeps < MAX_SWEEPS:
        games = look_ahead(mdp, values, gamma).reshape(mdp.n_states, -1, n_columns)
        new_values = _game_values(games)
        change = float(np.abs(new_values - values).max())
        values, n_sweeps = new_values, n_sweeps + 1
    solved = [zero_sum_equilibrium(game) for game in games]
    row_policy, column_policy = (np.stack([solution[side] for solution in solved]) for side in (1, 2))
    return MarkovGameSolution(values, row_policy, column_policy, n_sweeps, gamma * change / (1 - gamma))


def fix_policy(
    mdp: TabularMDP, *, row_policy: npt.ArrayLike | None = None, column_policy: npt.ArrayLike | None = None
) -> TabularMDP:
    """What a zero-sum Markov game is for one side once the other one's policy is known.

    Args:
        mdp: The game, as for ``markov_game_values``.
        row_policy: The first side's probabilities [S, A]: the process is the second side's, which gets minus the
            reward.
        column_policy: The second side's probabilities [S, B]: the process is the first side's. Give one of the two.

    Raises:
        ValueError: If not just one policy is given, or it is none of this game.

    Example:
        >>> pennies = TabularMDP.from_arrays([[0, 0, 0, 0]], [[1.0, -1.0, -1.0, 1.0]], True)
        >>> fix_policy(pennies, column_policy=[[0.75, 0.25]]).expected_reward  # heads is the best response
        array([[ 0.5, -0.5]])
    """
    if (row_policy is None) == (column_policy is None):
        raise ValueError("give one of row_policy and column_policy")
    policy = np.asarray(column_policy if row_policy is None else row_policy, dtype=np.float64)
    n_states, n_own = mdp.n_states, policy.shape[-1] if policy.ndim == 2 else 0
    if policy.shape != (n_states, n_own) or not n_own or mdp.n_actions % n_own:
        raise ValueError(
            f"a policy of one side must be probabilities [{n_states}, n], n a divisor of the {mdp.n_actions} pairs of "
            f"actions, got {list(policy.shape)}"
        )
    shape = (-1, n_own) if row_policy is None else (n_own, -1)

    def arranged(array: npt.NDArray) -> npt.NDArray:
        """[S, A * B, K] -> [S, the other side's actions, this side's actions times K]."""
        pairs = array.reshape(n_states, *shape, mdp.n_outcomes)
        pairs = pairs if row_policy is None else pairs.swapaxes(1, 2)
        return pairs.reshape(n_states, mdp.n_actions // n_own, -1)

    weights = np.repeat(policy[:, None], mdp.n_outcomes, axis=-1)
    reward = arranged(mdp.reward) if row_policy is None else -arranged(mdp.reward)
    return TabularMDP.from_arrays(
        arranged(mdp.next_state), reward, arranged(mdp.terminated), arranged(mdp.probability) * weights, mdp.start
    )


def _game_values(games: Floats) -> Floats:
    """The values [S] of matrix games [S, A, B]; where pure strategies are best already, no program is solved."""
    certain, allowed = games.min(axis=2).max(axis=1), games.max(axis=1).min(axis=1)  # maximin, minimax
    values = certain.copy()
    for state in np.flatnonzero(allowed - certain > 1e-12):
        values[state] = zero_sum_equilibrium(games[state])[0]
    return values


def _check(mdp: TabularMDP, n_columns: int, gamma: float, tolerance: float) -> None:
    if n_columns < 1 or mdp.n_actions % n_columns:
        raise ValueError(f"{mdp.n_actions} actions are no pairs (a, b) with {n_columns} values of b")
    if not 0 <= gamma < 1:
        raise ValueError(f"gamma must be in [0, 1), where Shapley's value iteration converges, got {gamma}")
    if not tolerance > 0:
        raise ValueError(f"tolerance must be above 0, got {tolerance}")
