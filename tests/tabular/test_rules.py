"""Each rule against numbers computed by hand, and against its equation written in another way."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.tabular import rules

numbers = st.floats(-1e6, 1e6)
discounts = st.floats(0.0, 1.0)
rows = st.lists(st.tuples(numbers, st.floats(0.01, 1.0)), min_size=1, max_size=6)
quick = settings(deadline=None, max_examples=60)


@pytest.mark.parametrize(
    ("value", "alpha", "target", "result"), [(2.0, 0.25, 6.0, 3.0), (2.0, 0.0, 6.0, 2.0), (2.0, 1.0, -6.0, -6.0)]
)
def test_moved_goes_a_share_of_the_way(value, alpha, target, result):
    assert rules.moved(value, alpha, target) == result


NEXT = np.array([4.0, -2.0, 8.0])


@pytest.mark.parametrize(
    ("target", "result"),
    [
        (rules.sarsa_target(1.0, 0.5, -2.0), 0.0),
        (rules.q_learning_target(1.0, 0.5, NEXT), 5.0),
        (rules.expected_sarsa_target(1.0, 0.5, NEXT, np.array([0.25, 0.5, 0.25])), 2.0),
        (rules.double_q_target(1.0, 0.5, NEXT, 0), 3.0),
        (rules.double_q_target(1.0, 0.5, NEXT, 1), 0.0),
        (rules.expectation(NEXT, np.array([0.5, 0.25, 0.25])), 3.5),
    ],
    ids=["SARSA", "Q-learning", "Expected SARSA", "Double Q", "Double Q, another action", "expectation"],
)
def test_targets_of_one_step(target, result):
    assert target == result


def test_without_discount_only_the_reward_counts():
    """gamma = 0, or a terminal state."""
    assert rules.sarsa_target(1.5, 0.0, 7.0) == 1.5
    assert rules.q_learning_target(1.5, 0.0, NEXT) == 1.5
    assert rules.expected_sarsa_target(1.5, 0.0, NEXT, np.full(3, 1 / 3)) == 1.5
    assert rules.double_q_target(1.5, 0.0, NEXT, 2) == 1.5


@quick
@given(numbers, discounts, rows)
def test_expected_sarsa_lies_between_the_worst_sarsa_and_q_learning(reward, discount, row):
    values, weights = np.array(row).T
    chances = weights / weights.sum()
    sarsa = [rules.sarsa_target(reward, discount, value) for value in values]
    expected = rules.expected_sarsa_target(reward, discount, values, chances)
    slack = 1e-9 * (1 + abs(np.array(sarsa)).max())
    assert min(sarsa) - slack <= expected <= rules.q_learning_target(reward, discount, values) + slack
    assert expected == pytest.approx(float(chances @ np.array(sarsa)), rel=1e-9, abs=1e-4)
    assert rules.q_learning_target(reward, discount, values) == max(sarsa)


@quick
@given(numbers, discounts, rows)
def test_expected_sarsa_of_a_greedy_policy_is_q_learning(reward, discount, row):
    values = np.array(row)[:, 0].copy()
    greedy = np.eye(len(values))[values.argmax()]
    expected = rules.expected_sarsa_target(reward, discount, values, greedy)
    assert expected == rules.q_learning_target(reward, discount, values)


@pytest.mark.parametrize(
    ("scale", "power", "visits", "result"),
    [
        (0.5, 0.0, 9, 0.5), (0.5, 1.0, 4, 0.125), (1.0, 0.5, 16, 0.25), (1.0, 1.5, 4, 0.125), (0.3, 0.7, 1, 0.3),
        (1.0, 1.0, 3, 1 / 3),
    ],
)  # fmt: skip
def test_step_sizes_by_visits(scale, power, visits, result):
    assert rules.visit_step_size(scale, power, visits) == pytest.approx(result, rel=1e-15)


@quick
@given(st.lists(numbers, min_size=1, max_size=30))
def test_a_step_size_of_one_over_n_averages(targets):
    """Section 2.4: whatever the first estimate, it is the mean of the targets."""
    value = 12345.0
    for n, target in enumerate(targets, 1):
        value = rules.moved(value, rules.visit_step_size(1.0, 1.0, n), target)
    assert value == pytest.approx(np.mean(targets), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(("kappa", "tau", "result"), [(0.0, 100, 0.0), (0.1, 0, 0.0), (0.1, 100, 1.0), (2.0, 9, 6.0)])
def test_the_bonus_of_dyna_q_plus(kappa, tau, result):
    assert rules.exploration_bonus(kappa, tau) == pytest.approx(result)


@pytest.mark.parametrize("name", ["moved", "sarsa_target", "exploration_bonus", "visit_step_size"])
def test_the_compiled_rule_is_its_source(name):
    rule, rng = getattr(rules, name), np.random.default_rng(1)
    n_arguments = rule.py_func.__code__.co_argcount
    for _ in range(50):
        arguments = [float(x) for x in rng.uniform(0.1, 9.0, n_arguments)]
        assert rule(*arguments) == rule.py_func(*arguments)
        assert math.isfinite(rule(*arguments))
