"""``epsilon_greedy``: how likely each action is."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_ext.common import EpsilonGreedy
from sb3_ext.zoo.check.exercise import Case, Exercise, Floats, Outcome, Slips, generator

MISTAKES = {
    "best-without-its-share": "gives the best action 1 - epsilon alone: a random action may be the best one too, so it "
    "gets its epsilon/A besides",
    "epsilon-over-the-others": "shares epsilon among the other actions, epsilon/(A - 1): all A actions get epsilon/A",
    "epsilon-not-divided": "gives every action the whole epsilon: it should be shared among all A",
    "first-of-ties": "gives everything to the first of several best actions (argmax): equal ones should share",
    "last-of-ties": "gives everything to the last of several best actions: equal ones should share",
    "every-best-gets-all": "gives each of several best actions the whole 1 - epsilon: they should share it",
    "swapped": "has epsilon and 1 - epsilon the wrong way round",
    "ignores-epsilon": "does not explore: epsilon is not used",
    "always-explores": "does not look at the values: every action is as likely",
    "best-is-lowest": "favours the action of the lowest value",
    "not-normalised": "favours the best with weight 1 besides epsilon/A: the probabilities do not add up to 1",
    "softmax": "is a softmax of the values: that is Boltzmann exploration",
    "softmax/epsilon": "",
    "in-proportion": "shares out 1 - epsilon in proportion to the values",
    "returns-action": "gives an action (or its number): asked for are the probabilities of all actions",
}


def choice_with(slips: Slips, q_values: Floats, epsilon: float) -> Any:
    """Give epsilon / A to all, and the rest to the best, who share it equally."""
    n = len(q_values)
    values = -q_values if "best-is-lowest" in slips else q_values
    if "returns-action" in slips:
        return int(values.argmax())
    explore, greedy = (1 - epsilon, epsilon) if "swapped" in slips else (epsilon, 1 - epsilon)
    explore, greedy = (0.0, 1.0) if "ignores-epsilon" in slips else (explore, greedy)
    explore, greedy = (1.0, 0.0) if "always-explores" in slips else (explore, greedy)
    greedy = 1.0 if "not-normalised" in slips else greedy
    best = values == values.max()
    if slips & {"first-of-ties", "last-of-ties"}:
        best = np.arange(n) == (values.argmax() if "first-of-ties" in slips else n - 1 - values[::-1].argmax())
    shares = best / (1 if "every-best-gets-all" in slips else best.sum())
    if slips & {"softmax", "softmax/epsilon"}:
        powers = np.exp((values - values.max()) / (epsilon if "softmax/epsilon" in slips else 1.0))
        return powers / powers.sum()
    if "in-proportion" in slips:
        shares = values / values.sum()
    each = np.full(n, explore if "epsilon-not-divided" in slips else explore / n)
    if "best-without-its-share" in slips:
        return np.where(best, greedy * shares, each)
    if "epsilon-over-the-others" in slips:
        return np.where(best, greedy * shares, explore / max(n - best.sum(), 1))
    return each + greedy * shares


def recognise(outcomes: list[Outcome]) -> str | None:
    """An action in the place of probabilities, drawn perhaps."""
    results = [outcome.parts["result"] for outcome in outcomes]
    if all(result.size == 1 and (result == result.round()).all() for result in results):
        return "returns-action"
    return None


def _cases() -> list[Case]:
    rng = generator("epsilon_greedy")

    def case(name: str, q_values: npt.ArrayLike, epsilon: float, **known: npt.ArrayLike) -> Case:
        return Case(name, {"q_values": np.array(q_values, np.float64), "epsilon": epsilon}, known=known)

    cases = [
        case("the second of two is best", [0, 1], 0.1, result=[0.05, 0.95]),
        case("four actions", [1, 5, 2, 3], 0.2, result=[0.05, 0.85, 0.05, 0.05]),
        case("two are best", [3, 1, 3, 2], 0.2, result=[0.45, 0.05, 0.45, 0.05]),
        case("all are equal", [0, 0, 0, 0], 0.2, result=[0.25] * 4),
        case("three of four are best", [2, 2, 1, 2], 0.4, result=[0.3, 0.3, 0.1, 0.3]),
        case("epsilon 0", [1, 3, 2], 0.0, result=[0, 1, 0]),
        case("epsilon 0, a tie", [3, 1, 3], 0.0, result=[0.5, 0, 0.5]),
        case("epsilon 1", [1, 3, 2, 0], 1.0, result=[0.25] * 4),
        case("negative values", [-3, -1, -2], 0.3, result=[0.1, 0.8, 0.1]),
        case("the first is best", [5, 1, 2], 0.6, result=[0.6, 0.2, 0.2]),
        case("the last is best", [1, 2, 5], 0.6, result=[0.2, 0.2, 0.6]),
        case("one action", [2], 0.3, result=[1]),
    ]
    for n in (2, 3, 5, 8):
        epsilon = round(rng.uniform(0.05, 0.45), 2)
        cases.append(case(f"random, {n} actions", rng.normal(size=n).round(2), epsilon))
    return cases


def _reference(q_values: Floats, epsilon: float) -> Floats:
    return EpsilonGreedy(epsilon).probabilities(q_values)


EXERCISES = (Exercise("epsilon_greedy", _reference, choice_with, MISTAKES, _cases, recognise=recognise),)
