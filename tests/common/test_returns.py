"""Returns against hand-computed numbers, against their definitions written out slowly, and against known limits."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.common import discounted_returns, lambda_returns, n_step_returns

FEW = settings(max_examples=80, deadline=None)
lambdas = st.floats(0.0, 1.0)


class Steps(NamedTuple):
    rewards: np.ndarray
    discounts: np.ndarray
    next_values: np.ndarray
    ends: np.ndarray


@st.composite
def trajectories(draw, max_columns=3):
    """Several episodes side by side: some terminated (discount 0), some truncated (discount kept)."""
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, max_columns)))
    numbers = arrays(np.float64, shape, elements=st.floats(-10, 10))
    flags = arrays(bool, shape)
    ends, terminated = draw(flags), draw(flags)
    discounts = np.where(ends & terminated, 0.0, draw(arrays(np.float64, shape, elements=st.floats(0, 1))))
    return Steps(draw(numbers), discounts, draw(numbers), ends)


def slow_n_step(steps, t, column, n):
    """Equation 7.1: n discounted rewards, or those up to the end of the episode, then the value of the state there."""
    total, weight = 0.0, 1.0
    for step in range(t, min(t + n, len(steps.rewards))):
        total += weight * steps.rewards[step, column]
        weight *= steps.discounts[step, column]
        if steps.ends[step, column]:
            break
    return total + weight * steps.next_values[step, column]


def slow_lambda(steps, t, column, lambda_):
    """Equation 12.3: the average of the n-step returns with weights (1 - lambda) lambda^(n-1), the rest on the last."""
    left = 1
    while t + left < len(steps.rewards) and not steps.ends[t + left - 1, column]:
        left += 1
    weights = [(1 - lambda_) * lambda_ ** (n - 1) for n in range(1, left)] + [lambda_ ** (left - 1)]
    return sum(weight * slow_n_step(steps, t, column, n) for n, weight in enumerate(weights, start=1))


def everywhere(slow, steps, parameter):
    rows, columns = steps.rewards.shape
    return np.array([[slow(steps, t, column, parameter) for column in range(columns)] for t in range(rows)])


# -------------------------------------------------------------------------------------------------- numbers by hand


def test_discounted_returns_by_hand():
    # backwards: 3; 2 + 0.9 * 3 = 4.7; 1 + 0.9 * 4.7 = 5.23
    np.testing.assert_allclose(discounted_returns([1, 2, 3], [0.9, 0.9, 0.0]), [5.23, 4.7, 3.0])


def test_termination_has_no_future_and_truncation_has():
    rewards, next_values, ends = [1.0, 1.0, 1.0], [7.0, 10.0, 20.0], [False, True, True]
    terminated = discounted_returns(rewards, [0.5, 0.0, 0.0], ends, next_values)
    np.testing.assert_allclose(terminated, [1.5, 1.0, 1.0])
    truncated = discounted_returns(rewards, [0.5, 0.5, 0.5], ends, next_values)
    np.testing.assert_allclose(truncated, [1 + 0.5 * (1 + 0.5 * 10), 1 + 0.5 * 10, 1 + 0.5 * 20])
    as_it_ended = discounted_returns(rewards, [0.5, 0.5, 0.5], ends)
    np.testing.assert_allclose(as_it_ended, [1.5, 1.0, 1.0])


def test_n_step_returns_by_hand():
    # 1 + 0.5 * 2 + 0.25 * 20 = 7;  2 + 0.5 * 4 + 0.25 * 40 = 14;  the last step has one reward left: 4 + 0.5 * 40 = 24
    returns = n_step_returns([1, 2, 4], [0.5, 0.5, 0.5], next_values=[10, 20, 40], n=2)
    np.testing.assert_allclose(returns, [7.0, 14.0, 24.0])


def test_lambda_returns_by_hand():
    # G_2 = 3; G_1 = 2 + 0.5 (0.75 * 8 + 0.25 * 3) = 5.375; G_0 = 1 + 0.5 (0.75 * 4 + 0.25 * 5.375) = 3.171875
    returns = lambda_returns([1, 2, 3], [0.5, 0.5, 0.0], next_values=[4, 8, 0], lambda_=0.25)
    np.testing.assert_allclose(returns, [3.171875, 5.375, 3.0])


# ------------------------------------------------------------------------------------------------ slow definitions


@FEW
@given(trajectories(), st.integers(1, 9))
def test_n_step_returns_are_n_rewards_and_a_value(steps, n):
    np.testing.assert_allclose(n_step_returns(*steps, n=n), everywhere(slow_n_step, steps, n), atol=1e-9)


@FEW
@given(trajectories(), lambdas)
def test_lambda_returns_average_the_n_step_returns(steps, lambda_):
    np.testing.assert_allclose(lambda_returns(*steps, lambda_), everywhere(slow_lambda, steps, lambda_), atol=1e-9)


@FEW
@given(trajectories())
def test_discounted_returns_add_up_the_whole_episode(steps):
    returns = discounted_returns(steps.rewards, steps.discounts, steps.ends, steps.next_values)
    np.testing.assert_allclose(returns, everywhere(slow_n_step, steps, len(steps.rewards)), atol=1e-9)
    without_values = steps._replace(next_values=np.zeros_like(steps.rewards))
    returns = discounted_returns(steps.rewards, steps.discounts, steps.ends)
    np.testing.assert_allclose(returns, everywhere(slow_n_step, without_values, len(steps.rewards)), atol=1e-9)


# ------------------------------------------------------------------------------------------------------- properties


@FEW
@given(trajectories())
def test_limits_are_td_and_monte_carlo(steps):
    td_target = steps.rewards + steps.discounts * steps.next_values
    np.testing.assert_array_equal(n_step_returns(*steps, n=1), td_target)
    np.testing.assert_allclose(lambda_returns(*steps, lambda_=0.0), td_target, atol=1e-12)

    monte_carlo = discounted_returns(steps.rewards, steps.discounts, steps.ends, steps.next_values)
    np.testing.assert_allclose(lambda_returns(*steps, lambda_=1.0), monte_carlo, atol=1e-12)
    for n in (len(steps.rewards), len(steps.rewards) + 3, 10**9):
        np.testing.assert_allclose(n_step_returns(*steps, n=n), monte_carlo, atol=1e-9)


FUNCTIONS = [
    pytest.param(lambda r, d, v, e: discounted_returns(r, d, e, v), id="discounted"),
    pytest.param(lambda r, d, v, e: lambda_returns(r, d, v, e, 0.7), id="lambda"),
    pytest.param(lambda r, d, v, e: n_step_returns(r, d, v, e, 3), id="n_step"),
]
each_function = pytest.mark.parametrize("function", FUNCTIONS)


@each_function
@FEW
@given(trajectories())
def test_columns_are_independent_and_equal_the_flat_call(function, steps):
    together = function(*steps)
    for column in range(steps.rewards.shape[1]):
        np.testing.assert_array_equal(together[:, column], function(*(array[:, column] for array in steps)))


@each_function
@FEW
@given(trajectories(), st.floats(-100, 100))
def test_the_value_of_a_terminal_state_does_not_matter(function, steps, value):
    terminated = steps.ends & (steps.discounts == 0)
    changed = steps._replace(next_values=np.where(terminated, value, steps.next_values))
    np.testing.assert_array_equal(function(*steps), function(*changed))


@each_function
@FEW
@given(trajectories(max_columns=1), st.data())
def test_nothing_leaks_from_the_next_episode(function, steps, data):
    cut = data.draw(st.integers(0, len(steps.rewards) - 1))
    steps.ends[cut] = True
    first_only = function(*(array[: cut + 1] for array in steps))
    later = np.arange(len(steps.rewards))[:, None] > cut
    changed = steps._replace(rewards=np.where(later, 1e6, steps.rewards), next_values=np.where(later, -1e6, 0) + 0.0)
    changed.next_values[: cut + 1] = steps.next_values[: cut + 1]
    np.testing.assert_array_equal(function(*steps)[: cut + 1], first_only)
    np.testing.assert_array_equal(function(*changed)[: cut + 1], first_only)


@each_function
def test_a_truncation_keeps_its_bootstrap_value(function):
    rewards, ends = np.ones(4), np.array([False, True, False, True])
    discounts, next_values = np.full(4, 0.5), np.zeros(4)
    base = function(rewards, discounts, next_values, ends)
    next_values[1] = 8.0
    difference = function(rewards, discounts, next_values, ends) - base
    assert difference[1] == pytest.approx(0.5 * 8)
    assert difference[0] > 0
    np.testing.assert_array_equal(difference[2:], 0.0)


@each_function
def test_the_last_step_is_an_end_whatever_is_said(function):
    steps = [np.array([1.0, 2.0]), np.array([0.5, 0.5]), np.array([3.0, 4.0])]
    np.testing.assert_array_equal(function(*steps, None), function(*steps, [False, False]))
    np.testing.assert_array_equal(function(*steps, None), function(*steps, [False, True]))


# ----------------------------------------------------------------------------------------------- types, edges, errors


@each_function
def test_float32_stays_float32_and_the_rest_becomes_float64(function):
    single = [np.ones((4, 2), dtype=np.float32)] * 3
    assert function(*single, None).dtype == np.float32
    assert function(single[0], np.ones((4, 2)), single[2], None).dtype == np.float64
    assert function([1, 2], [1, 0], [0, 0], None).dtype == np.float64


def test_discounted_returns_of_float32_without_values_stay_float32():
    ones = np.ones(3, dtype=np.float32)
    assert discounted_returns(ones, ones).dtype == np.float32


@each_function
def test_inputs_are_left_alone(function):
    rng = np.random.default_rng(0)
    steps = Steps(rng.normal(size=(5, 2)), rng.random((5, 2)), rng.normal(size=(5, 2)), rng.random((5, 2)) < 0.3)
    copies = [array.copy() for array in steps]
    returns = function(*steps)
    returns += 1.0
    for array, copy in zip(steps, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@each_function
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_no_steps_have_no_returns(function, shape):
    empty = np.zeros(shape)
    assert function(empty, empty, empty, None).shape == shape
    assert function(empty, empty, empty, empty.astype(bool)).shape == shape


@each_function
def test_different_shapes_are_refused_not_broadcast(function):
    ones = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"share one shape.*'discounts': \(3,\)"):
        function(ones, np.ones(3), ones, None)
    with pytest.raises(ValueError, match="share one shape"):
        function(ones, ones, np.ones((3, 1)), None)
    with pytest.raises(ValueError, match="share one shape"):
        function(1.0, 1.0, 1.0, None)
    with pytest.raises(ValueError, match=r"ends must have the shape of rewards, \(3, 2\); got \(3,\)"):
        function(ones, ones, ones, np.zeros(3, dtype=bool))


@each_function
@pytest.mark.parametrize("discount", [-0.1, 1.1, np.nan, np.inf])
def test_discounts_outside_the_unit_interval_are_refused(function, discount):
    with pytest.raises(ValueError, match=rf"discounts must lie in \[0, 1\], got {discount}"):
        function([1.0, 1.0], [0.5, discount], [0.0, 0.0], None)


@pytest.mark.parametrize("lambda_", [-0.1, 1.1, np.nan])
def test_lambda_outside_the_unit_interval_is_refused(lambda_):
    with pytest.raises(ValueError, match=rf"lambda_ must lie in \[0, 1\], got {lambda_}"):
        lambda_returns([1.0], [0.5], [0.0], lambda_=lambda_)


@pytest.mark.parametrize("n", [0, -1])
def test_n_below_one_is_refused(n):
    with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
        n_step_returns([1.0], [0.5], [0.0], n=n)
