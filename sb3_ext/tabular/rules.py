"""The update rules of temporal-difference learning, each beside its equation in Sutton & Barto (2nd ed.).

Every rule moves an estimate towards a target:

    Q(S, A) <- Q(S, A) + alpha [target - Q(S, A)]                                                    eq. 2.4, 2.5

    SARSA             R + gamma Q(S', A')                       what the agent will do               eq. 6.7
    Q-learning        R + gamma max_a Q(S', a)                  the best that it could do            eq. 6.8
    Expected SARSA    R + gamma sum_a pi(a|S') Q(S', a)         what it does on average              eq. 6.9
    Double Q          R + gamma Q_2(S', argmax_a Q_1(S', a))    one table chooses, one judges        eq. 6.10

``discount`` is gamma, or 0 where S' is terminal: a terminated state has no future, a truncated one has. The functions
are compiled (``common/compiling.py``); the loop that calls them is ``learning.py``.
"""

import math

import numpy as np
import numpy.typing as npt

from sb3_ext.common.compiling import inlined
from sb3_ext.common.exploration import highest

Floats = npt.NDArray[np.float64]


@inlined
def moved(value: float, step_size: float, target: float) -> float:
    """The estimate after a step towards the target (eq. 2.5): ``value + step_size (target - value)``.

    Example:
        >>> moved(1.0, 0.5, 3.0)
        2.0
    """
    return value + step_size * (target - value)


@inlined
def sarsa_target(reward: float, discount: float, next_value: float) -> float:
    """SARSA (eq. 6.7): ``R + gamma Q(S', A')``, with the value of the action that will be taken.

    Example:
        >>> sarsa_target(1.0, 0.5, 4.0)
        3.0
    """
    return reward + discount * next_value


@inlined
def q_learning_target(reward: float, discount: float, next_values: Floats) -> float:
    """Q-learning (eq. 6.8): ``R + gamma max_a Q(S', a)``, next_values being Q(S', .) [A].

    Example:
        >>> q_learning_target(1.0, 0.5, np.array([4.0, 2.0]))
        3.0
    """
    return reward + discount * highest(next_values)


@inlined
def expected_sarsa_target(reward: float, discount: float, next_values: Floats, next_probabilities: Floats) -> float:
    """Expected SARSA (eq. 6.9): ``R + gamma sum_a pi(a|S') Q(S', a)``, both arrays [A].

    Example:
        >>> expected_sarsa_target(1.0, 0.5, np.array([4.0, 2.0]), np.array([0.75, 0.25]))
        2.75
    """
    return reward + discount * expectation(next_values, next_probabilities)


@inlined
def double_q_target(reward: float, discount: float, other_values: Floats, best_action: int) -> float:
    """Double Q-learning (eq. 6.10): ``R + gamma Q_2(S', A*)``, where A* is the best action by the other table Q_1.

    Example:
        >>> double_q_target(1.0, 0.5, np.array([4.0, 2.0]), 1)
        2.0
    """
    return reward + discount * other_values[best_action]


@inlined
def expectation(values: Floats, probabilities: Floats) -> float:
    """``sum_a p(a) v(a)``, added up from the first to the last.

    Example:
        >>> expectation(np.array([4.0, 2.0]), np.array([0.75, 0.25]))
        3.5
    """
    total = 0.0
    for action in range(len(values)):
        total += probabilities[action] * values[action]
    return total


@inlined
def visit_step_size(scale: float, power: float, n_visits: int) -> float:
    """``scale / N(s, a)^power``: 1/N averages; a power in (1/2, 1] meets the Robbins-Monro conditions (eq. 2.7).

    Example:
        >>> visit_step_size(1.0, 0.5, 4)
        0.5
    """
    if power == 0:
        return scale
    if power == 1:
        return scale / n_visits
    if power == 0.5:
        return scale / math.sqrt(n_visits)
    return scale * math.pow(n_visits, -power)


@inlined
def exploration_bonus(kappa: float, n_steps: int) -> float:
    """Dyna-Q+ (section 8.3): ``kappa sqrt(tau)``, tau being the steps since the pair was last tried in the world.

    Example:
        >>> exploration_bonus(0.5, 16)
        2.0
    """
    return kappa * math.sqrt(n_steps)
