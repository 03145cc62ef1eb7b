"""Which mistake a wrong function looks like.

Each known mistake is played as the learner's function was. It is named if it gives the same as the learner's in every
case; failing that, in every case in which the learner's gave numbers at all. Then come what is odd about all that
failed (its shape, an exception, the order of its parameters, ...), and two mistakes at once. What is left is said to
look most like the mistake that explains most of it.
"""

from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

import numpy as np

from sb3_ext.zoo.check.exercise import Exercise, Function, Outcome, agree, close, has_shape_of, text_of
from sb3_ext.zoo.check.grading import Mistake, Observation, observe, parameters_of, quiet

ENOUGH = 0.4  # of what is wrong has to be explained by a mistake that is offered without being certain
ALIKE = 1e-4  # how far, relatively, a learner's form of a mistake may be from ours
NEARLY = 1e-2  # how far what is nearly right may be from what is right
Played = list[Outcome | None]  # of each case; None where it raised


def diagnose(exercise: Exercise, observations: list[Observation], function: Function) -> Mistake | None:
    """The mistake that explains what came out, if one does.

    Args:
        exercise: what the function should be.
        observations: all cases; some are not right.
        function: the learner's.
    """
    failed = [one for one in observations if not one.right]
    if failed[0].problem is not None and failed[0].problem[0] == "not-done-yet":
        return Mistake(*failed[0].problem)
    with quiet():
        steps: list[Callable[[], Mistake | None]] = [
            lambda: parameters_by_name(exercise, function),
            lambda: recognised(exercise, observations),
            lambda: first_match(exercise, observations, [(slip,) for slip in exercise.mistakes]),
            lambda: what_all_share(failed),
            lambda: two_parameters_swapped(exercise, function),
            lambda: whole_numbers(observations),
            lambda: constant_factor(observations),
            lambda: imprecise(observations),
            lambda: first_match(exercise, observations, pairs(exercise)),
            lambda: most_like(exercise, observations),
            lambda: first_problem(failed),
        ]
        return next((mistake for mistake in (step() for step in steps) if mistake is not None), None)


# ---- Known mistakes -------------------------------------------------------------------------------------------------


def play_all(exercise: Exercise, observations: Iterable[Observation], slips: tuple[str, ...]) -> Played:
    """What the solution with these slips makes of every case."""
    return [play(exercise, one, slips) for one in observations]


def play(exercise: Exercise, observation: Observation, slips: tuple[str, ...]) -> Outcome | None:
    """What it makes of one case; None if it raises."""
    try:
        return exercise.play(observation.case, exercise.with_slips(*slips))
    except Exception:
        return None


def pairs(exercise: Exercise) -> list[tuple[str, ...]]:
    """Two mistakes at once; not two forms of one."""
    return [pair for pair in combinations(exercise.mistakes, 2) if len({id_of(slip) for slip in pair}) == 2]


def id_of(slip: str) -> str:
    """A mistake's id, that of all its forms."""
    return slip.partition("/")[0]


def first_match(exercise: Exercise, observations: list[Observation], tried: list[tuple[str, ...]]) -> Mistake | None:
    """The first mistake that gives the same in every case; else in every case that gave finite numbers.

    Args:
        exercise: what the function should be.
        observations: all cases.
        tried: mistakes, alone or together.
    """
    finite = [one for one in observations if one.outcome is not None and is_finite(one.outcome)]
    for chosen in [observations] if len(finite) == len(observations) else [observations, finite]:
        ordered = sorted(chosen, key=lambda one: one.right)  # what failed first: most mistakes are out at once
        if not ordered or ordered[0].right:
            continue
        for slips in tried:
            same = all(is_same(exercise, one, play(exercise, one, slips)) for one in ordered)
            if same and _explains(exercise, ordered, slips):
                return named(exercise, slips)
    return None


def _explains(exercise: Exercise, observations: list[Observation], slips: tuple[str, ...]) -> bool:
    """Whether the slips give the numbers of at least one case that is not right."""
    failed = (one for one in observations if not one.right and one.outcome is not None)
    return any(play(exercise, one, slips) is not None for one in failed)


def is_same(exercise: Exercise, observation: Observation, outcome: Outcome | None) -> bool:
    """Whether a mistake does what the learner's function did; an exception is as good as nan."""
    learners = observation.outcome
    if learners is None or outcome is None:
        return all(one is None or not is_finite(one) for one in (learners, outcome))
    return agree(learners, outcome, max(exercise.tolerance, ALIKE))


def is_finite(outcome: Outcome) -> bool:
    """Whether all of its numbers are."""
    return all(np.isfinite(part).all() for part in outcome.parts.values())


def named(exercise: Exercise, slips: tuple[str, ...], certain: bool = True) -> Mistake:
    """One mistake, or two at once."""
    sentences = "; and it ".join(exercise.sentence(slip) for slip in slips)
    return Mistake("+".join(id_of(slip) for slip in slips), sentences, certain)


def most_like(exercise: Exercise, observations: list[Observation]) -> Mistake | None:
    """The mistake that explains most of what is wrong, if that is enough."""
    shares = {
        slip: explained_share(exercise, observations, play_all(exercise, observations, (slip,)))
        for slip in exercise.mistakes
    }
    best = max(shares, key=lambda slip: shares[slip])
    return named(exercise, (best,), certain=False) if shares[best] >= ENOUGH else None


def explained_share(exercise: Exercise, observations: list[Observation], outcomes: Played) -> float:
    """Of all numbers that are wrong, the learner's or the mistake's, the share that both have: mean over the cases."""
    shares = []
    for one, outcome in zip(observations, outcomes, strict=True):
        if one.outcome is None or outcome is None or not has_shape_of(one.outcome, outcome):
            if not one.right:
                shares.append(float(is_same(exercise, one, outcome)))
            continue
        same, wrong = [], []
        for name, part in one.outcome.parts.items():
            same.append(close(part, outcome.parts[name], exercise.tolerance).ravel())
            expected = one.expected.parts[name]
            if part.shape != expected.shape:
                wrong.append(np.ones(part.size, np.bool_))
                continue
            both = (close(each, expected, exercise.tolerance).ravel() for each in (part, outcome.parts[name]))
            wrong.append(~np.logical_and(*both))
        is_wrong = np.concatenate(wrong)
        if is_wrong.any():
            shares.append(float(np.concatenate(same)[is_wrong].mean()))
    return float(np.mean(shares)) if shares else 0.0


# ---- What is odd whatever the exercise ------------------------------------------------------------------------------


def wrong_signature(exercise: Exercise, function: Any) -> Mistake | None:
    """Whether it is a function that takes as many arguments as it is given."""
    if not callable(function):
        return Mistake("not-a-function", f"is no function but {type(function).__name__}: {text_of(function)}")
    signature = parameters_of(function)
    if signature is None:
        return None
    try:
        signature.bind(*exercise.parameters)
    except TypeError:
        wanted = ", ".join(exercise.parameters)
        count = len(exercise.parameters)
        return Mistake(
            "wrong-signature", f"takes {text_of(signature, 200)}, but {count} arguments are handed in: ({wanted})"
        )
    return None


def parameters_by_name(exercise: Exercise, function: Function) -> Mistake | None:
    """Whether the parameters have our names in another order, and in that order it is right."""
    signature = parameters_of(function)
    names = tuple(signature.parameters) if signature else ()
    if names == exercise.parameters or sorted(names) != sorted(exercise.parameters):
        return None
    return right_in_order(exercise, function, names)


def two_parameters_swapped(exercise: Exercise, function: Function) -> Mistake | None:
    """Whether it is right once two arguments change places."""
    for first, second in combinations(exercise.parameters, 2):
        swapped = {first: second, second: first}
        names = tuple(swapped.get(name, name) for name in exercise.parameters)
        mistake = right_in_order(exercise, function, names)
        if mistake is not None:
            return mistake
    return None


def right_in_order(exercise: Exercise, function: Function, names: tuple[str, ...]) -> Mistake | None:
    """Whether it is right if the arguments are handed in in this order."""
    order = [exercise.parameters.index(name) for name in names]

    def reordered(*arguments: Any) -> Any:
        return function(*(arguments[place] for place in order))

    for case in exercise.cases():
        if not observe(exercise, case, exercise.expected(case), reordered).right:
            return None
    given, wanted = ", ".join(names), ", ".join(exercise.parameters)
    return Mistake("order-of-parameters", f"takes its parameters as ({given}); they are handed in as ({wanted})")


def recognised(exercise: Exercise, observations: list[Observation]) -> Mistake | None:
    """What the exercise itself recognises in the outcomes."""
    outcomes = [one.outcome for one in observations if one.outcome is not None]
    slip = exercise.recognise(outcomes) if exercise.recognise is not None and outcomes else None
    return None if slip is None else named(exercise, (slip,))


def what_all_share(failed: list[Observation]) -> Mistake | None:
    """A problem of all cases that failed, or one that explains numbers that differ as well."""
    problems = [one.problem for one in failed]
    for problem in problems:
        if problem is not None and problem[0] in ("not-repeatable", "changes-its-inputs"):
            return Mistake(*problem)
    first = problems[0]
    if first is not None and all(problem is not None and problem[0] == first[0] for problem in problems):
        return Mistake(*first)
    return None


def whole_numbers(observations: list[Observation]) -> Mistake | None:
    """Whether the result is of an integer type where fractions are expected."""
    outcomes = [(one.outcome, one.expected) for one in observations]
    if not all(outcome and outcome.whole_numbers and has_shape_of(outcome, expected) for outcome, expected in outcomes):
        return None
    return Mistake("whole-numbers", "loses the fractions: the result is of an integer type")


def imprecise(observations: list[Observation]) -> Mistake | None:
    """Whether everything is nearly right."""
    outcomes = [(one.outcome, one.expected) for one in observations]
    if not all(outcome is not None and agree(outcome, expected, NEARLY) for outcome, expected in outcomes):
        return None
    return Mistake("imprecise", "is close, but not close enough: it rounds, or adds a small number somewhere")


def constant_factor(observations: list[Observation]) -> Mistake | None:
    """Whether everything is a constant times what it should be."""
    outcomes = [(one.outcome, one.expected) for one in observations]
    if not all(outcome is not None and has_shape_of(outcome, expected) for outcome, expected in outcomes):
        return None
    got, expected = (
        np.concatenate([part.ravel() for outcome in both if outcome for part in outcome.parts.values()])
        for both in zip(*outcomes, strict=True)
    )
    factor = float(np.dot(got, expected) / np.dot(expected, expected)) if expected.any() else 0.0
    if not np.isfinite(factor) or abs(factor) < 1e-6 or not close(got, factor * expected, 1e-4).all():
        return None
    return Mistake("constant-factor", f"is {factor:.4g} times what it should be, in every case")


def first_problem(failed: list[Observation]) -> Mistake | None:
    """What is odd, besides numbers that differ, about at least half of the cases that failed."""
    problems = [one.problem for one in failed if one.problem is not None]
    return Mistake(*problems[0], certain=False) if 2 * len(problems) >= len(failed) else None
