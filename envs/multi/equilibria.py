"""Nash equilibria of small games: pairs of strategies from which nobody gains by deviating alone (Nash 1951).

Payoffs are arrays [n, A_0, ..., A_{n-1}]: what each of n players gets for each joint action.

* ``pure_equilibria`` tries all joint actions;
* ``mixed_equilibrium`` solves the 2 x 2 game in which each makes the other indifferent;
* ``zero_sum_equilibrium`` solves the linear program of von Neumann's minimax theorem (1928).
"""

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog

Floats = npt.NDArray[np.float64]


def check_payoffs(payoffs: npt.ArrayLike) -> Floats:
    """The payoffs as an array [n, A_0, ..., A_{n-1}].

    Raises:
        ValueError: If the shape is another, or a number is not finite.
    """
    try:
        array = np.asarray(payoffs, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"payoffs must be numbers [n, A_0, ..., A_n-1], equally many in each row, got {payoffs!r}"
        ) from None
    if array.ndim < 2 or array.ndim != len(array) + 1 or 0 in array.shape:
        raise ValueError(
            "payoffs must have the shape [n, A_0, ..., A_n-1], for two players [2, A_0, A_1] (what the first gets, "
            f"what the second gets, for each pair of actions), got {list(array.shape)}"
        )
    if not np.isfinite(array).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise ValueError(f"player {place[0]}, actions {place[1:]}: a payoff must be finite, got {array[place]}")
    return array


def pure_equilibria(payoffs: npt.ArrayLike) -> list[tuple[int, ...]]:
    """All joint actions from which no player gains by deviating alone.

    Args:
        payoffs: [n, A_0, ..., A_{n-1}].

    Raises:
        ValueError: If the payoffs have another shape or are not finite.

    Example:
        >>> pure_equilibria([[[3, 0], [5, 1]], [[3, 5], [0, 1]]])  # the prisoner's dilemma: both defect
        [(1, 1)]
    """
    array = check_payoffs(payoffs)
    is_best = np.all([own == own.max(axis=player, keepdims=True) for player, own in enumerate(array)], axis=0)
    return [tuple(int(action) for action in actions) for actions in np.argwhere(is_best)]


def mixed_equilibrium(payoffs: npt.ArrayLike) -> tuple[Floats, Floats] | None:
    """The equilibrium of a 2 x 2 game in which both players play both actions.

    Each player mixes so that the other is indifferent: with p the first player's probability of action 0 and B the
    second one's payoffs, ``p B_00 + (1 - p) B_10 = p B_01 + (1 - p) B_11``.

    Args:
        payoffs: [2, 2, 2].

    Returns:
        The players' strategies, [2] each, or None if there is no such equilibrium.

    Raises:
        ValueError: If the payoffs have another shape or are not finite.

    Example:
        >>> mixed_equilibrium([[[4, 0], [3, 3]], [[4, 3], [0, 3]]])  # a stag hunt
        (array([0.75, 0.25]), array([0.75, 0.25]))
    """
    array = check_payoffs(payoffs)
    if array.shape != (2, 2, 2):
        raise ValueError(
            f"mixed_equilibrium needs payoffs [2, 2, 2], got {list(array.shape)}; zero_sum_equilibrium solves zero-sum "
            "games of any size"
        )
    first, second = _indifferent(array[1]), _indifferent(array[0].T)
    return None if first is None or second is None else (first, second)


def _indifferent(other: Floats) -> Floats | None:
    """The strategy over the rows that makes the player who chooses among the two columns indifferent."""
    slope = other[0, 0] - other[1, 0] - other[0, 1] + other[1, 1]
    if slope == 0:
        return None
    p = (other[1, 1] - other[1, 0]) / slope
    return np.array([p, 1 - p]) if 0 < p < 1 else None


def zero_sum_equilibrium(payoffs: npt.ArrayLike) -> tuple[float, Floats, Floats]:
    """The value of a zero-sum game and a best strategy of each player.

    The first player's strategy x gets the most, v, that is certain whatever the second one plays:
    maximise v subject to ``sum_a x_a M_ab >= v`` for each b. The second one's is the solution of the dual program.

    Args:
        payoffs: M [A, B], what the first player gets and the second one pays.

    Returns:
        v, the first player's strategy [A], the second one's [B].

    Raises:
        ValueError: If M is not a matrix of finite numbers.

    Example:
        >>> value, x, y = zero_sum_equilibrium([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])  # rock-paper-scissors
        >>> round(value, 6) + 0.0, x.round(3), y.round(3)
        (0.0, array([0.333, 0.333, 0.333]), array([0.333, 0.333, 0.333]))
    """
    matrix = np.asarray(payoffs, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape or not np.isfinite(matrix).all():
        raise ValueError(f"a zero-sum game needs a matrix [A, B] of finite payoffs, got {matrix.tolist()}")
    n_rows, n_columns = matrix.shape
    result = linprog(
        c=np.append(np.zeros(n_rows), -1.0),  # linprog minimises: -v
        A_ub=np.hstack([-matrix.T, np.ones((n_columns, 1))]),
        b_ub=np.zeros(n_columns),
        A_eq=np.append(np.ones(n_rows), 0.0)[None],
        b_eq=[1.0],
        bounds=[*[(0, None)] * n_rows, (None, None)],
    )
    assert result.success, result.message  # a finite game has a value
    return float(-result.fun), _distribution(result.x[:-1]), _distribution(-result.ineqlin.marginals)


def _distribution(weights: Floats) -> Floats:
    """Without the rounding errors of the solver."""
    weights = np.maximum(weights, 0.0)
    return weights / weights.sum()
