"""What is drawn is what is promised, and what is promised is the book's equation."""

import copy
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.utils import LinearSchedule

from sb3_ext.common.exploration import (
    UCB,
    Boltzmann,
    EpsilonGreedy,
    choose_action,
    greedy_action,
    linear,
    ucb_score,
)

quick = settings(deadline=None, max_examples=60)
values_lists = st.lists(st.sampled_from([-3.0, 0.0, 0.5, 2.0, 1e6]) | st.floats(-10, 10), min_size=1, max_size=6)
everything = st.one_of(
    st.floats(0, 1).map(EpsilonGreedy), st.floats(0, 5).map(Boltzmann), st.floats(0, 5).map(UCB)
)  # fmt: skip


def generator(seed):
    return np.array([seed], dtype=np.uint64)


def drawn(exploration, values, counts=None, n=6000, seed=1):
    """How often each action is drawn."""
    values, state = np.array(values, dtype=np.float64), generator(seed)
    counts = np.zeros(len(values)) if counts is None else np.array(counts, dtype=np.float64)
    scratch, kind, number = np.empty(len(values)), exploration.kind, exploration.value(0.0)
    actions = [choose_action(kind, number, values, counts, scratch, state) for _ in range(n)]
    return np.bincount(actions, minlength=len(values)) / n


# ---- Probabilities --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exploration", "values", "counts", "probabilities"),
    [
        (EpsilonGreedy(0.0), [1, 3, 2], None, [0, 1, 0]),
        (EpsilonGreedy(0.3), [1, 3, 2], None, [0.1, 0.8, 0.1]),
        (EpsilonGreedy(0.3), [3, 3, 2], None, [0.45, 0.45, 0.1]),
        (EpsilonGreedy(1.0), [1, 3, 2], None, [1 / 3, 1 / 3, 1 / 3]),
        (Boltzmann(2.0), [0, 2 * math.log(3)], None, [0.25, 0.75]),
        (Boltzmann(0.0), [5, 1, 5], None, [0.5, 0, 0.5]),
        (Boltzmann(1e-300), [5, 1, 6], None, [0, 0, 1]),
        (Boltzmann(1.0), [1e308, -1e308], None, [1, 0]),
        (UCB(1.0), [0.0, 0.0], [0, 5], [1, 0]),
        (UCB(1.0), [0.0, 9.0, 9.0], [0, 0, 5], [0.5, 0.5, 0]),
        (UCB(0.0), [1.0, 2.0], [7, 7], [0, 1]),
        (UCB(2.0), [0.0, 1.0], [1, 100], [1, 0]),  # 0 + 2 sqrt(ln 101) = 4.3; 1 + 2 sqrt(ln 101 / 100) = 1.4
        (UCB(0.1), [0.0, 1.0], [1, 100], [0, 1]),
    ],
)
def test_probabilities_by_hand(exploration, values, counts, probabilities):
    np.testing.assert_allclose(exploration.probabilities(values, counts), probabilities, atol=1e-12)


@quick
@given(everything, values_lists, st.data())
def test_probabilities_are_probabilities(exploration, values, data):
    counts = data.draw(st.lists(st.integers(0, 9), min_size=len(values), max_size=len(values)))
    found = exploration.probabilities(values, counts)
    assert found.sum() == pytest.approx(1.0)
    assert (found >= 0).all()
    many = exploration.probabilities([values, values[::-1]], [counts, counts[::-1]])
    np.testing.assert_array_equal(many[0], found)
    np.testing.assert_allclose(many[1], found[::-1], atol=1e-12)


@quick
@given(everything, st.lists(st.integers(-20, 20), min_size=1, max_size=6), st.integers(-100, 100))
def test_a_constant_added_to_all_values_changes_nothing(exploration, values, constant):
    """Whole numbers, so that nothing is rounded."""
    moved = [value + constant for value in values]
    np.testing.assert_array_equal(exploration.probabilities(moved), exploration.probabilities(values))


def test_the_arguments_are_left_alone():
    values, counts = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    for exploration in (EpsilonGreedy(0.5), Boltzmann(1.0), UCB(1.0)):
        exploration.probabilities(values, counts)
    assert values.tolist() == [1.0, 2.0]
    assert counts.tolist() == [3.0, 4.0]


def test_ucb_is_equation_2_10():
    assert ucb_score(0.5, 4.0, 20.0, 3.0) == pytest.approx(0.5 + 3 * math.sqrt(math.log(20) / 4))
    assert ucb_score(0.5, 0.0, 20.0, 0.0) == math.inf
    assert ucb_score(0.5, 0.0, 0.0, 1.0) == math.inf


# ---- Draws ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exploration", "values", "counts"),
    [
        (EpsilonGreedy(0.4), [1.0, 3.0, 2.0, 0.0], None),
        (EpsilonGreedy(0.4), [3.0, 0.0, 3.0, 3.0], None),
        (EpsilonGreedy(1.0), [3.0, 0.0, 3.0], None),
        (EpsilonGreedy(0.0), [3.0, 0.0, 3.0], None),
        (EpsilonGreedy(1e-9), [3.0, 0.0, 3.0], None),
        (Boltzmann(1.0), [1.0, 3.0, 2.0, 0.0], None),
        (Boltzmann(0.0), [1.0, 1.0, 0.0], None),
        (Boltzmann(1e9), [1.0, 3.0], None),
        (UCB(1.0), [1.0, 1.0, 0.0], [5, 5, 5]),
        (UCB(1.0), [1.0, 1.0, 0.0], [0, 5, 0]),
        (EpsilonGreedy(0.5), [7.0], None),
        (Boltzmann(0.5), [7.0], None),
        (UCB(0.5), [7.0], [3]),
    ],
)
def test_actions_come_as_often_as_promised(exploration, values, counts):
    """Within five standard deviations; what has probability 0 never comes, what has 1 always."""
    promised = exploration.probabilities(values, counts)
    found = drawn(exploration, values, counts)
    deviation = np.sqrt(promised * (1 - promised) / 6000)
    assert (abs(found - promised) <= 5 * deviation + 1e-12).all(), (found, promised)


def test_ties_do_not_favour_the_first():
    state = generator(3)
    picked = np.bincount([greedy_action(np.zeros(4), state) for _ in range(8000)], minlength=4) / 8000
    assert (abs(picked - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 8000)).all()


@pytest.mark.parametrize(("values", "n_draws"), [([1.0, 2.0, 0.0], 0), ([2.0, 2.0, 0.0], 1), ([-math.inf, 0.0], 0)])
def test_a_number_is_drawn_only_where_there_is_a_tie(values, n_draws):
    from sb3_ext.common.random_numbers import splitmix64_uniform

    state, other = generator(9), generator(9)
    greedy_action(np.array(values), state)
    for _ in range(n_draws):
        splitmix64_uniform(other)
    assert state[0] == other[0]


@quick
@given(values_lists, st.integers(0, 2**64 - 1))
def test_the_greedy_action_is_a_best_one(values, seed):
    assert values[greedy_action(np.array(values), generator(seed))] == max(values)


@quick
@given(everything, values_lists, st.integers(0, 2**64 - 1), st.data())
def test_an_action_that_is_drawn_is_possible_and_the_same_in_plain_python(exploration, values, seed, data):
    counts = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(values), max_size=len(values))), np.float64)
    values, chances = np.array(values), exploration.probabilities(values, counts)
    scratch, compiled, plain = np.empty(len(values)), generator(seed), generator(seed)
    action = choose_action(exploration.kind, exploration.start, values, counts, scratch, compiled)
    with np.errstate(over="ignore"):
        same = choose_action.py_func(exploration.kind, exploration.start, values, counts, scratch, plain)
    assert action == same
    assert compiled[0] == plain[0]
    assert chances[action] > 0 or exploration.start < 1e-300


# ---- Schedules ------------------------------------------------------------------------------------------------------


@quick
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1), st.floats(0, 1))
def test_schedules_are_sb3_s_bit_for_bit(start, end, fraction, remaining):
    expected = LinearSchedule(start, end, fraction)(remaining)
    assert linear(start, end, fraction, 1 - remaining) == expected
    assert EpsilonGreedy(start, end, fraction).value(1 - remaining) == expected


@pytest.mark.parametrize(("progress", "value"), [(0, 1.0), (0.1, 0.82), (0.25, 0.55), (0.5, 0.1), (0.6, 0.1), (1, 0.1)])
def test_a_schedule_by_hand(progress, value):
    assert EpsilonGreedy(1.0, 0.1, fraction=0.5).value(progress) == pytest.approx(value)


@pytest.mark.parametrize("kind", [EpsilonGreedy, Boltzmann, UCB])
def test_without_an_end_it_is_constant(kind):
    assert [kind(0.3).value(progress) for progress in (0.0, 0.3, 0.99, 1.0)] == pytest.approx([0.3] * 4, abs=0)
    assert kind(0.3, 0.0).value(1.0) == 0.0  # an end of 0 is an end


def test_probabilities_follow_the_schedule():
    exploration = EpsilonGreedy(1.0, 0.0)
    assert exploration.probabilities([0, 1], progress=0.5).tolist() == [0.25, 0.75]


# ---- Objects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [EpsilonGreedy, Boltzmann, UCB])
@pytest.mark.parametrize(
    "arguments", [(-0.1,), (0.5, -0.1), (math.nan,), (0.5, math.nan), (math.inf,), (0.5, math.inf), (-math.inf,)]
)
def test_numbers_out_of_range(kind, arguments):
    with pytest.raises(ValueError, match=f"{kind.__name__}: .* must be at least 0"):
        kind(*arguments)


@pytest.mark.parametrize("arguments", [(1.1,), (0.5, 1.1)])
def test_epsilon_is_a_probability(arguments):
    with pytest.raises(ValueError, match=r"epsilon must be at least 0 and at most 1, got \w+=1\.1"):
        EpsilonGreedy(*arguments)
    assert UCB(*arguments).start == arguments[0]


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.1, math.nan])
def test_fractions_out_of_range(fraction):
    with pytest.raises(ValueError, match="fraction must be above 0 and at most 1"):
        Boltzmann(1.0, 0.1, fraction)


def test_they_are_values():
    one = EpsilonGreedy(0.5, 0.1, 0.3)
    assert one == EpsilonGreedy(0.5, 0.1, fraction=0.3)
    assert one != EpsilonGreedy(0.5, 0.1)
    assert UCB(0.5) != Boltzmann(0.5)
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    assert {one: 1}[EpsilonGreedy(0.5, 0.1, 0.3)] == 1
    with pytest.raises(AttributeError):
        one.start = 0.1
    assert repr(one).startswith("EpsilonGreedy(start=0.5")
