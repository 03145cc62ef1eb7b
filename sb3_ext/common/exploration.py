"""How to choose an action from the values of all: greedily, and how to explore.

    EpsilonGreedy    a random action with probability epsilon, else the best      Sutton & Barto (2nd ed.), section 2.2
    Boltzmann        the better, the more likely                                  eq. 2.11, with Q / temperature
    UCB              the best that it could be                                    eq. 2.10

Each is a small object that holds a schedule (constant, or linear from ``start`` to ``end`` over a fraction of training)
and names a row of the compiled functions below, which an agent's loop calls: ``choose_action`` draws an action,
``action_probabilities`` says how likely each one is. Ties are broken at random.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sb3_ext.common.compiling import inlined
from sb3_ext.common.random_numbers import RandomState, splitmix64_uniform

Floats = npt.NDArray[np.float64]
EPSILON_GREEDY, BOLTZMANN, UPPER_CONFIDENCE = 0, 1, 2


@dataclass(frozen=True)
class Exploration:
    """The base of the three: a number that may change in the course of training.

    Args:
        start: The number at the start.
        end: The number at the end; None keeps the first.
        fraction: The share of training, above 0 and up to 1, after which ``end`` is reached.
    """

    start: float
    end: float | None = None
    fraction: float = 1.0
    kind: ClassVar[int]
    number: ClassVar[str]
    highest: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.schedule[1])):
            if not 0 <= value <= self.highest or math.isinf(value):
                bound = "" if math.isinf(self.highest) else f" and at most {self.highest:g}"
                raise ValueError(f"{type(self).__name__}: {self.number} must be at least 0{bound}, got {name}={value}")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"{type(self).__name__}: fraction must be above 0 and at most 1, got {self.fraction}")

    @property
    def schedule(self) -> tuple[float, float, float]:
        """(start, end, fraction), as :func:`linear` takes them."""
        return float(self.start), float(self.start if self.end is None else self.end), float(self.fraction)

    def value(self, progress: float) -> float:
        """The number at a point of training, ``progress`` going from 0 to 1."""
        return linear(*self.schedule, progress)

    def probabilities(
        self, q_values: npt.ArrayLike, counts: npt.ArrayLike | None = None, progress: float = 0.0
    ) -> Floats:
        """The probability of each action.

        Args:
            q_values: Values of the actions in one state [A] or in many [n, A].
            counts: How often each was tried, likewise; 0 if left out (only UCB looks at them).
            progress: The point of training, from 0 to 1.

        Returns:
            Probabilities, of the shape of ``q_values``.

        Example:
            >>> EpsilonGreedy(0.1).probabilities([0.0, 1.0])
            array([0.05, 0.95])
        """
        values = np.asarray(q_values, dtype=np.float64)
        tried = np.zeros(values.shape) if counts is None else np.asarray(counts, dtype=np.float64)
        chances = np.empty(values.shape)
        rows = (array.reshape(-1, values.shape[-1]) for array in (values, tried, chances))
        for row, count, chance in zip(*rows, strict=True):
            action_probabilities(self.kind, self.value(progress), row, count, chance)
        return chances


class EpsilonGreedy(Exploration):
    """With probability epsilon any action, all alike; else the best.

    Example:
        >>> EpsilonGreedy(1.0, 0.1, fraction=0.5).value(progress=0.25)  # from 1 to 0.1 in the first half of training
        0.55
    """

    kind, number, highest = EPSILON_GREEDY, "epsilon", 1.0


class Boltzmann(Exploration):
    """Softmax: pi(a) is proportional to exp(Q(a) / temperature); temperature 0 is greedy.

    Example:
        >>> Boltzmann(1.0).probabilities([0.0, np.log(3.0)])
        array([0.25, 0.75])
    """

    kind, number = BOLTZMANN, "temperature"


class UCB(Exploration):
    """Upper confidence bound: argmax of Q(s, a) + c sqrt(ln N(s) / N(s, a)); what was never tried comes first.

    Example:
        >>> UCB(2.0).probabilities([0.9, 1.0], counts=[1, 50])  # the action that is less known
        array([1., 0.])
    """

    kind, number = UPPER_CONFIDENCE, "c"


@inlined
def linear(start: float, end: float, fraction: float, progress: float) -> float:
    """SB3's ``LinearSchedule``, bit for bit: from ``start`` to ``end`` while ``progress`` goes from 0 to ``fraction``.

    Example:
        >>> linear(1.0, 0.0, 0.5, 0.25)
        0.5
    """
    if progress > fraction:
        return end
    return start + progress * (end - start) / fraction


@inlined
def highest(values: Floats) -> float:
    """The largest of the values [A].

    Example:
        >>> highest(np.array([1.0, 3.0, 2.0]))
        3.0
    """
    best = values[0]
    for action in range(1, len(values)):
        best = max(best, values[action])
    return best


@inlined
def greedy_action(values: Floats, random_state: RandomState) -> int:
    """The action of the highest value, ties broken at random (one number is drawn where there is a tie).

    Args:
        values: Of each action, [A].
        random_state: Of a splitmix64 generator, uint64 [1].

    Example:
        >>> greedy_action(np.array([0.0, 2.0, 1.0]), np.zeros(1, np.uint64))
        1
    """
    best, action, n_best = highest(values), 0, 0
    for other in range(len(values) - 1, -1, -1):  # without a branch that the processor would have to guess
        is_best = values[other] == best
        n_best += int(is_best)
        action = other if is_best else action
    if n_best == 1:
        return action
    place = int(splitmix64_uniform(random_state) * n_best)
    for other in range(action, len(values)):
        if values[other] == best:
            if place == 0:
                return other
            place -= 1
    return action


@inlined
def ucb_score(value: float, count: float, total: float, c: float) -> float:
    """Q(s, a) + c sqrt(ln N(s) / N(s, a)), equation 2.10 for one state; infinite for what was never tried.

    Example:
        >>> ucb_score(0.0, 4.0, math.e, 2.0)
        1.0
    """
    return value + c * math.sqrt(math.log(total) / count) if count > 0 else math.inf


@inlined
def ucb_scores(values: Floats, counts: Floats, c: float, scores: Floats) -> None:
    """``ucb_score`` of each action, written into ``scores``; all arrays [A]."""
    total = 0.0
    for action in range(len(values)):
        total += counts[action]
    for action in range(len(values)):
        scores[action] = ucb_score(values[action], counts[action], total, c)


@inlined
def action_probabilities(kind: int, number: float, values: Floats, counts: Floats, probabilities: Floats) -> None:
    """The probability of each action, written into ``probabilities``.

    Args:
        kind: EPSILON_GREEDY, BOLTZMANN or UPPER_CONFIDENCE.
        number: epsilon, temperature or c.
        values: Q(s, a) [A].
        counts: N(s, a) [A].
        probabilities: [A], overwritten.
    """
    n_actions = len(values)
    for action in range(n_actions):
        probabilities[action] = values[action]
    if kind == BOLTZMANN and number > 0:
        best, total = highest(values), 0.0
        for action in range(n_actions):
            probabilities[action] = math.exp((values[action] - best) / number)
            total += probabilities[action]
        for action in range(n_actions):
            probabilities[action] /= total
        return
    if kind == UPPER_CONFIDENCE:
        ucb_scores(values, counts, number, probabilities)
    epsilon = number if kind == EPSILON_GREEDY else 0.0
    best, n_best = highest(probabilities), 0
    for action in range(n_actions):
        n_best += probabilities[action] == best
    for action in range(n_actions):
        share = (1 - epsilon) / n_best if probabilities[action] == best else 0.0
        probabilities[action] = epsilon / n_actions + share


@inlined
def choose_action(
    kind: int, number: float, values: Floats, counts: Floats, scratch: Floats, random_state: RandomState
) -> int:
    """Draws an action.

    Args:
        kind: EPSILON_GREEDY, BOLTZMANN or UPPER_CONFIDENCE.
        number: epsilon, temperature or c.
        values: Q(s, a) [A].
        counts: N(s, a) [A].
        scratch: [A], overwritten.
        random_state: Of a splitmix64 generator, uint64 [1].
    """
    if kind == EPSILON_GREEDY:
        uniform = splitmix64_uniform(random_state)
        if uniform < number:  # then uniform / epsilon is uniform once more
            return min(int(uniform / number * len(values)), len(values) - 1)
        return greedy_action(values, random_state)
    if kind == UPPER_CONFIDENCE:
        ucb_scores(values, counts, number, scratch)
        return greedy_action(scratch, random_state)
    if number == 0:
        return greedy_action(values, random_state)
    action_probabilities(kind, number, values, counts, scratch)
    uniform, action = splitmix64_uniform(random_state), 0
    while action < len(values) - 1 and uniform >= scratch[action]:
        uniform -= scratch[action]
        action += 1
    return action
