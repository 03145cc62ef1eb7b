"""Advantages and baselines against worked examples, slow definitions, and exact expectations of tiny problems."""

import itertools

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.common import (
    discounted_returns,
    generalized_advantage_estimation,
    leave_one_out_baseline,
    policy_gradient_loss,
    rescale,
    standardize,
)

FEW = settings(max_examples=80, deadline=None)
numbers = st.floats(-10, 10)

# ---------------------------------------------------------------------------------------------------------------- GAE


def gae(rewards, discounts, values, next_values, ends, lambda_):
    return generalized_advantage_estimation(rewards, discounts, values, next_values, ends, lambda_)


@st.composite
def trajectories(draw):
    """Rewards, discounts, values, next values, ends of several episodes, terminated or truncated, [T, n_envs]."""
    shape = (draw(st.integers(1, 7)), draw(st.integers(1, 3)))
    floats, flags = arrays(np.float64, shape, elements=numbers), arrays(bool, shape)
    ends, terminated = draw(flags), draw(flags)
    discounts = np.where(ends & terminated, 0.0, draw(arrays(np.float64, shape, elements=st.floats(0, 1))))
    values, next_values = draw(floats), draw(floats)
    next_values[:-1] = np.where(ends[:-1], next_values[:-1], values[1:])
    return draw(floats), discounts, values, next_values, ends


def slow_gae(rewards, discounts, values, next_values, ends, lambda_):
    """Equation 16 of Schulman et al.: the sum of the TD errors up to the end, weighted by (gamma lambda)^l."""
    advantages = np.zeros_like(rewards)
    for t, column in np.ndindex(rewards.shape):
        weight = 1.0
        for step in range(t, len(rewards)):
            here = step, column
            advantages[t, column] += weight * (rewards[here] + discounts[here] * next_values[here] - values[here])
            weight *= discounts[here] * lambda_
            if ends[here]:
                break
    return advantages


def test_gae_worked_example():
    """Five steps, a reward of 10 at the end: deltas, and the advantage of the first action at lambda = 0.95."""
    rewards, values, gamma = [1.0, 0.0, 0.0, 0.0, 10.0], [5.0, 4.0, 3.0, 2.0, 1.0], 0.99
    arguments = rewards, [gamma] * 4 + [0.0], values, [*values[1:], 0.0]
    deltas = generalized_advantage_estimation(*arguments, lambda_=0.0)
    np.testing.assert_allclose(deltas, [-0.04, -1.03, -1.02, -1.01, 9.0], atol=1e-12)
    advantages = generalized_advantage_estimation(*arguments, lambda_=0.95)
    decay = gamma * 0.95
    assert advantages[0] == pytest.approx(sum(decay**l * delta for l, delta in enumerate(deltas)))  # noqa: E741
    assert advantages[0] == pytest.approx(4.2905, abs=5e-5)
    assert decay**4 == pytest.approx(0.782, abs=5e-4)


@FEW
@given(trajectories(), st.floats(0, 1))
def test_gae_is_the_weighted_sum_of_td_errors(steps, lambda_):
    np.testing.assert_allclose(gae(*steps, lambda_), slow_gae(*steps, lambda_), atol=1e-9)


@FEW
@given(trajectories())
def test_gae_limits(steps):
    rewards, discounts, values, next_values, ends = steps
    np.testing.assert_allclose(gae(*steps, 0.0), rewards + discounts * next_values - values, atol=1e-12)
    returns = discounted_returns(rewards, discounts, ends, next_values)
    np.testing.assert_allclose(gae(*steps, 1.0), returns - values, atol=1e-12)


@FEW
@given(trajectories(), st.floats(0, 1))
def test_gae_columns_are_independent(steps, lambda_):
    together = gae(*steps, lambda_)
    for column in range(together.shape[1]):
        np.testing.assert_array_equal(together[:, column], gae(*(array[:, column] for array in steps), lambda_))


@FEW
@given(trajectories(), numbers)
def test_gae_ignores_the_value_of_terminal_states(steps, value):
    rewards, discounts, values, next_values, ends = steps
    changed = np.where(ends & (discounts == 0), value, next_values)
    np.testing.assert_array_equal(gae(*steps, 0.9), gae(rewards, discounts, values, changed, ends, 0.9))


def test_gae_bootstraps_a_time_limit_and_cuts_the_trace_there():
    ones = np.ones(4)
    ends = np.array([False, True, False, True])
    base = gae(ones, ones * 0.5, ones * 0, ones * 0, ends, 1.0)
    np.testing.assert_allclose(base, [1.5, 1.0, 1.5, 1.0])
    bootstrapped = gae(ones, ones * 0.5, ones * 0, np.array([0.0, 8.0, 0.0, 0.0]), ends, 1.0)
    np.testing.assert_allclose(bootstrapped, [1.5 + 0.25 * 8, 1.0 + 0.5 * 8, 1.5, 1.0])


def test_gae_types_edges_and_errors():
    single = np.ones((3, 2), dtype=np.float32)
    assert generalized_advantage_estimation(single, single, single, single).dtype == np.float32
    empty = np.zeros((0, 2))
    assert generalized_advantage_estimation(empty, empty, empty, empty).shape == (0, 2)
    with pytest.raises(ValueError, match=r"'values': \(3, 1\)"):
        generalized_advantage_estimation(single, single, np.ones((3, 1)), single)
    with pytest.raises(ValueError, match=r"lambda_ must lie in \[0, 1\], got 1.5"):
        generalized_advantage_estimation(single, single, single, single, lambda_=1.5)
    with pytest.raises(ValueError, match=r"discounts must lie in \[0, 1\], got nan"):
        generalized_advantage_estimation(single, single * np.nan, single, single)


# ------------------------------------------------------------------------------------------------ leave-one-out mean


@st.composite
def batches(draw, min_episodes=1):
    """Returns of ragged episodes and their mask, [T, n_episodes]."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=min_episodes, max_size=5))
    mask = np.arange(max(lengths))[:, None] < np.array(lengths)
    return np.where(mask, draw(arrays(np.float64, mask.shape, elements=numbers)), 0.0), mask


def slow_leave_one_out(returns, mask):
    baseline = np.zeros_like(returns)
    for t, own in zip(*np.nonzero(mask), strict=True):
        others = [column for column in range(mask.shape[1]) if column != own]
        same_time = [returns[t, column] for column in others if mask[t, column]]
        any_time = [returns[row, column] for column in others for row in range(len(mask)) if mask[row, column]]
        baseline[t, own] = np.mean(same_time or any_time or [0.0])
    return baseline


def test_leave_one_out_by_hand():
    returns = [[1.0, 2.0, 6.0], [0.0, 3.0, 5.0], [0.0, 4.0, 0.0]]
    mask = [[1, 1, 1], [0, 1, 1], [0, 1, 0]]
    # at time 2 episode 1 runs alone: the mean of 1, 6 and 5, all that the others returned
    np.testing.assert_allclose(leave_one_out_baseline(returns, mask), [[4.0, 3.5, 1.5], [0, 5, 3], [0, 4, 0]])


@FEW
@given(batches())
def test_leave_one_out_is_the_mean_of_the_others(batch):
    np.testing.assert_allclose(leave_one_out_baseline(*batch), slow_leave_one_out(*batch), atol=1e-9)


@FEW
@given(batches(), st.data())
def test_leave_one_out_never_sees_the_own_episode(batch, data):
    returns, mask = batch
    own = data.draw(st.integers(0, mask.shape[1] - 1))
    changed = returns.copy()
    changed[:, own] = data.draw(arrays(np.float64, len(mask), elements=st.floats(-1e20, 1e20)))
    before, after = leave_one_out_baseline(returns, mask), leave_one_out_baseline(changed, mask)
    np.testing.assert_array_equal(before[:, own], after[:, own])


@FEW
@given(batches(min_episodes=2), numbers)
def test_equal_returns_have_no_advantage(batch, value):
    _, mask = batch
    returns = np.where(mask, value, 0.0)
    np.testing.assert_allclose(returns - leave_one_out_baseline(returns, mask), 0.0, atol=1e-13)


def test_masked_entries_do_not_count_even_if_not_finite():
    baseline = leave_one_out_baseline([[1.0, 3.0], [np.nan, 5.0]], [[True, True], [False, True]])
    np.testing.assert_array_equal(baseline, [[3.0, 1.0], [0.0, 1.0]])


def test_a_single_episode_has_baseline_zero():
    np.testing.assert_array_equal(leave_one_out_baseline([[3.0], [2.0]], [[True], [True]]), 0.0)


def test_leave_one_out_types_edges_and_errors():
    returns = np.ones((3, 2), dtype=np.float32)
    assert leave_one_out_baseline(returns, returns > 0).dtype == np.float32
    assert leave_one_out_baseline(np.zeros((0, 2)), np.zeros((0, 2), dtype=bool)).shape == (0, 2)
    with pytest.raises(ValueError, match=r"must both be \[T, n_episodes\]; got \(3, 2\) and \(3, 1\)"):
        leave_one_out_baseline(returns, np.ones((3, 1), dtype=bool))
    with pytest.raises(ValueError, match=r"must both be \[T, n_episodes\]; got \(3,\)"):
        leave_one_out_baseline(np.ones(3), np.ones(3, dtype=bool))


# ------------------------------------------------------- unbiased or not: exact expectations, nothing is sampled here


def expected_gradient(parameters, trajectories, n_episodes, baseline):
    """The policy gradient that batches of n_episodes give on average, by going through every possible batch.

    ``trajectories(parameters)`` lists all trajectories as (log pi of each step, reward of each step).
    """
    total = th.zeros_like(parameters)
    for batch in itertools.product(trajectories(parameters), repeat=n_episodes):
        mask = np.arange(max(len(r) for _, r in batch))[:, None] < np.array([len(r) for _, r in batch])
        rewards, log_probs = np.zeros(mask.shape), th.zeros(mask.shape, dtype=th.float64)
        for column, (log_pi, reward) in enumerate(batch):
            rewards[: len(reward), column] = reward
            log_probs[: len(reward), column] = th.stack(log_pi)
        returns = discounted_returns(rewards, mask.astype(float))
        advantages = th.as_tensor(returns - baseline(returns, mask))
        loss = policy_gradient_loss(log_probs, advantages, n_episodes, mask=th.as_tensor(mask))
        probability = log_probs.detach().sum().exp()
        total -= probability * th.autograd.grad(loss, parameters, retain_graph=True)[0]
    return total


def exact_gradient(parameters, trajectories):
    """The gradient of the expected return, from its definition."""
    objective = sum(th.stack(log_pi).sum().exp() * sum(reward) for log_pi, reward in trajectories(parameters))
    return th.autograd.grad(objective, parameters)[0]


def bandit(logits):
    """Three arms, one step."""
    log_pi = th.log_softmax(logits, dim=0)
    return [([log_pi[arm]], [reward]) for arm, reward in enumerate([1.0, -2.0, 5.0])]


def two_steps(logits):
    """The first action ends the episode or goes on to a second one: episodes of lengths 1 and 2."""
    first, second = th.log_softmax(logits[:2], dim=0), th.log_softmax(logits[2:], dim=0)
    return [([first[0]], [3.0]), ([first[1], second[0]], [1.0, -1.0]), ([first[1], second[1]], [1.0, 7.0])]


def no_baseline(returns, mask):
    return np.zeros_like(returns)


def mean_with_own_sample(returns, mask):
    return np.broadcast_to(returns.mean(axis=1, keepdims=True), returns.shape)


@pytest.mark.parametrize("problem", [bandit, two_steps])
@pytest.mark.parametrize("n_episodes", [1, 2, 3])
@pytest.mark.parametrize("baseline", [no_baseline, leave_one_out_baseline])
def test_leave_one_out_leaves_the_expected_gradient_alone(problem, n_episodes, baseline):
    logits = th.tensor([0.3, -0.5, 0.8, 0.1][: 3 if problem is bandit else 4], dtype=th.float64, requires_grad=True)
    found = expected_gradient(logits, problem, n_episodes, baseline)
    th.testing.assert_close(found, exact_gradient(logits, problem), rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_episodes", [2, 3, 4])
def test_a_mean_with_the_own_sample_shrinks_the_gradient(n_episodes):
    logits = th.tensor([0.3, -0.5, 0.8], dtype=th.float64, requires_grad=True)
    found = expected_gradient(logits, bandit, n_episodes, mean_with_own_sample)
    expected = (1 - 1 / n_episodes) * exact_gradient(logits, bandit)
    th.testing.assert_close(found, expected, rtol=0, atol=1e-12)


# ---------------------------------------------------------------------------------------------------------- scaling

values_and_mask = st.integers(1, 20).flatmap(
    lambda size: st.tuples(arrays(np.float64, size, elements=st.floats(-1e3, 1e3)), arrays(bool, size))
)


@FEW
@given(values_and_mask)
def test_standardize_gives_mean_zero_and_deviation_one(case):
    values, mask = case
    scaled = standardize(values, mask)
    np.testing.assert_array_equal(scaled[~mask], 0.0)
    if mask.any() and values[mask].std() > 1e-3:
        assert scaled[mask].mean() == pytest.approx(0.0, abs=1e-7)
        assert scaled[mask].std() == pytest.approx(1.0, abs=1e-4)
        np.testing.assert_allclose(scaled[mask], standardize(values[mask]))


@FEW
@given(values_and_mask)
def test_rescale_gives_root_mean_square_one_and_keeps_direction(case):
    values, mask = case
    scaled = rescale(values, mask)
    np.testing.assert_array_equal(scaled[~mask], 0.0)
    assert (scaled * values >= 0).all()
    size = np.sqrt(np.mean(values[mask] ** 2)) if mask.any() else 0.0
    if size > 1e-3:
        assert np.sqrt(np.mean(scaled[mask] ** 2)) == pytest.approx(1.0, abs=1e-4)
        np.testing.assert_allclose(scaled[mask] * (size + 1e-8), values[mask], atol=1e-9)


def test_scaling_by_hand():
    np.testing.assert_allclose(standardize([1, 2, 3], epsilon=0.0), [-np.sqrt(1.5), 0.0, np.sqrt(1.5)])
    np.testing.assert_allclose(rescale([3.0, -4.0], epsilon=0.0), [3 / np.sqrt(12.5), -4 / np.sqrt(12.5)])
    np.testing.assert_allclose(rescale([3.0, 99.0, -4.0], [1, 0, 1]), rescale([3.0, 0.0, -4.0], [1, 0, 1]))


@pytest.mark.parametrize("scale", [standardize, rescale])
def test_scaling_edges(scale):
    np.testing.assert_array_equal(scale([0.0, 0.0]), 0.0)
    np.testing.assert_array_equal(scale([1.0, 2.0], [False, False]), 0.0)
    assert scale(np.zeros(0)).shape == (0,)
    assert np.isfinite(scale([1.0, np.nan, 3.0], [True, False, True])).all()
    assert scale(np.arange(3, dtype=np.float32), np.array([True, True, False])).dtype == np.float32
    with pytest.raises(ValueError, match=r"mask must have the shape of values, \(2,\); got \(2, 1\)"):
        scale([1.0, 2.0], [[True], [True]])
    values, mask = np.arange(4.0), np.array([True, False, True, True])
    scale(values, mask)[:] = 9.0
    np.testing.assert_array_equal(values, np.arange(4.0))
    np.testing.assert_array_equal(mask, [True, False, True, True])


@pytest.mark.parametrize("value", [0.1, 1e9, -3.7])
def test_standardized_equal_values_are_exactly_zero(value):
    np.testing.assert_array_equal(standardize(np.full(7, value)), 0.0)
    np.testing.assert_array_equal(standardize(np.array([value, 5.0, value]), [True, False, True]), 0.0)
