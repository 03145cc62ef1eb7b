"""The exercises of ``sb3-ext check``: references pass, every known mistake is told from every other."""

from itertools import combinations

import numpy as np
import pytest

from sb3_ext.zoo.check.diagnosis import id_of, play_all
from sb3_ext.zoo.check.exercise import agree
from sb3_ext.zoo.check.exercises import EXERCISES
from sb3_ext.zoo.check.grading import Mistake, grade, observe_all, quiet
from sb3_ext.zoo.check.signatures import NAMES, PARAMETERS

SLIPS = [(name, slip) for name, exercise in EXERCISES.items() for slip in exercise.mistakes]


def test_there_is_an_exercise_for_each_name():
    assert tuple(EXERCISES) == NAMES
    assert all(exercise.parameters == PARAMETERS[name] for name, exercise in EXERCISES.items())


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_and_the_solution_without_slips_are_right(name):
    exercise = EXERCISES[name]
    for function in (exercise.reference, exercise.with_slips()):
        verdict = grade(exercise, function)
        assert verdict.passed, verdict
        assert verdict.n_cases >= 5
        assert verdict.mistake is None


@pytest.mark.parametrize("name", NAMES)
def test_what_is_known_by_hand_or_from_the_oracle_is_what_the_reference_gives(name):
    exercise = EXERCISES[name]
    known = 0
    for case in exercise.cases():
        given = exercise.play(case, exercise.reference)
        for part, number in case.known.items():
            np.testing.assert_allclose(given.parts[part], number, rtol=1e-4, atol=1e-4, err_msg=f"{case.name}, {part}")
            known += 1
    assert known >= 3 or name == "potential"


@pytest.mark.parametrize(("name", "slip"), SLIPS)
def test_every_known_mistake_is_named(name, slip):
    exercise = EXERCISES[name]
    verdict = grade(exercise, exercise.with_slips(slip))
    assert not verdict.passed
    assert verdict.mistake == Mistake(id_of(slip), exercise.sentence(slip))
    assert 1 <= len(verdict.failures) <= 3


@pytest.mark.parametrize("name", NAMES)
def test_no_two_mistakes_give_the_same(name):
    exercise = EXERCISES[name]
    observations = observe_all(exercise, exercise.reference)
    with quiet():
        played = {slip: play_all(exercise, observations, (slip,)) for slip in exercise.mistakes}
    for slip, other in combinations(played, 2):
        if id_of(slip) == id_of(other):
            continue
        same = [
            a is b if a is None or b is None else agree(a, b, exercise.tolerance)
            for a, b in zip(played[slip], played[other], strict=True)
        ]
        assert not all(same), f"{slip} and {other}"


@pytest.mark.parametrize("name", NAMES)
def test_cases_are_the_same_every_time(name):
    first, second = (EXERCISES[name].cases() for _ in range(2))
    for case, again in zip(first, second, strict=True):
        assert case.name == again.name
        for argument, value in case.arguments.items():
            assert np.array_equal(value, again.arguments[argument])
    assert len({case.name for case in first}) == len(first)
