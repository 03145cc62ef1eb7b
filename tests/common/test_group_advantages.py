"""Group-relative advantages against worked examples, slow definitions and exact expectations of a small bandit."""

import itertools
import math

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.common.group_advantages import group_relative_advantages, zero_variance_groups

FEW = settings(max_examples=80, deadline=None)
SCALES = ["group", "batch", "none"]
few_numbers = st.sampled_from([-3.7, 0.1, 0.1, 0.1, 2.0])  # often equal, and not exact in binary


@st.composite
def groups(draw, time_axis=None, with_mask=True):
    """Returns of groups, [n_groups, n_members] or with a time axis, and a mask of any pattern."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(2, 5)))
    if draw(st.booleans()) if time_axis is None else time_axis:
        shape += (draw(st.integers(1, 4)),)
    elements = draw(st.sampled_from([few_numbers, st.integers(-50, 50).map(float)]))
    mask = draw(arrays(bool, shape)) if with_mask else np.ones(shape, dtype=bool)
    return draw(arrays(np.float64, shape, elements=elements)), mask


def slow_advantages(returns, mask, scale_rewards, leave_one_out, epsilon):
    """One member at a time, from the definition."""
    advantages = np.zeros_like(returns)
    batch = [returns[i] for i in np.ndindex(returns.shape) if mask[i]]
    for own in np.ndindex(returns.shape):
        rivals = [(own[0], member, *own[2:]) for member in range(returns.shape[1])]
        group = [returns[i] for i in rivals if mask[i]]
        if not mask[own] or len(set(group)) <= 1:
            continue
        others = [returns[i] for i in rivals if mask[i] and i != own]
        baseline = sum(others) / len(others) if leave_one_out else sum(group) / len(group)
        scale = {"group": group, "batch": batch}.get(scale_rewards)
        deviation = 1.0 if scale is None else slow_deviation(scale) + epsilon
        advantages[own] = (returns[own] - baseline) / deviation
    return advantages


def slow_deviation(sample):
    mean = sum(sample) / len(sample)
    return math.sqrt(sum((x - mean) ** 2 for x in sample) / (len(sample) - 1))


# ---------------------------------------------------------------------------------------------------------- by hand


def test_outcome_by_hand():
    # means 3 and 4; sample variances (4 + 1 + 9) / 2 = 7 and (1 + 1) / 2 = 1
    returns = [[1.0, 2.0, 6.0], [3.0, 4.0, 5.0]]
    found = group_relative_advantages(returns, epsilon=0.0)
    np.testing.assert_allclose(found, [np.array([-2, -1, 3]) / math.sqrt(7), [-1, 0, 1]])
    found = group_relative_advantages(returns, epsilon=1.0)
    np.testing.assert_allclose(found, [np.array([-2, -1, 3]) / (math.sqrt(7) + 1), [-0.5, 0, 0.5]])
    # the mean of all is 3.5, their squares' sum 6.25 + 2.25 + 6.25 + 0.25 + 0.25 + 2.25 = 17.5, over 5
    found = group_relative_advantages(returns, scale_rewards="batch", epsilon=0.0)
    np.testing.assert_allclose(found, np.array([[-2, -1, 3], [-1, 0, 1]]) / math.sqrt(3.5))
    found = group_relative_advantages(returns, scale_rewards="none")
    np.testing.assert_array_equal(found, [[-2, -1, 3], [-1, 0, 1]])


def test_the_default_is_trl_s():
    """Two members: the deviation of a sample is |a - b| / sqrt(2), and 1e-4 is added to it."""
    expected = 1.0 / (math.sqrt(2) + 1e-4)
    np.testing.assert_allclose(group_relative_advantages([[0.0, 2.0]]), [[-expected, expected]], rtol=1e-12)
    assert group_relative_advantages([[0.0, 2e-9]])[0, 1] == pytest.approx(1e-5, rel=1e-3)  # no noise blown up


def test_leave_one_out_by_hand():
    found = group_relative_advantages([[1.0, 2.0, 6.0]], scale_rewards="none", leave_one_out=True)
    np.testing.assert_allclose(found, [[1 - 4, 2 - 3.5, 6 - 1.5]])
    found = group_relative_advantages([[1.0, 2.0, 6.0]], leave_one_out=True, epsilon=0.0)
    np.testing.assert_allclose(found, np.array([[-3, -1.5, 4.5]]) / math.sqrt(7))


def test_process_by_hand():
    """Three members of the lengths 2, 3 and 1: three, two, one are compared."""
    returns = [[[6.0, 2.0, 0.0], [3.0, 4.0, 9.0], [0.0, 0.0, 0.0]]]
    mask = [[[1, 1, 0], [1, 1, 1], [1, 0, 0]]]
    found = group_relative_advantages(returns, mask, epsilon=0.0)
    half = 1 / math.sqrt(2)
    np.testing.assert_allclose(found, [[[1, -half, 0], [0, half, 0], [-1, 0, 0]]])
    found = group_relative_advantages(returns, mask, scale_rewards="none", leave_one_out=True)
    np.testing.assert_allclose(found, [[[4.5, -2, 0], [0, 2, 0], [-4.5, 0, 0]]])
    # the returns that count: 6, 2, 3, 4, 9, 0; their mean 4, their squares' sum 4 + 4 + 1 + 0 + 25 + 16 = 50, over 5
    found = group_relative_advantages(returns, mask, scale_rewards="batch", epsilon=0.0)
    np.testing.assert_allclose(found, np.array([[[3, -1, 0], [0, 1, 0], [-3, 0, 0]]]) / math.sqrt(10))


# ----------------------------------------------------------------------------------------------------- in general


@FEW
@given(groups(), st.sampled_from(SCALES), st.booleans(), st.sampled_from([1e-4, 0.0, 2.0]))
def test_advantages_are_as_defined(case, scale_rewards, leave_one_out, epsilon):
    returns, mask = case
    found = group_relative_advantages(
        returns, mask, scale_rewards=scale_rewards, leave_one_out=leave_one_out, epsilon=epsilon
    )
    expected = slow_advantages(returns, mask, scale_rewards, leave_one_out, epsilon)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@FEW
@given(groups(), st.sampled_from(SCALES), st.booleans())
def test_equal_returns_and_lone_members_have_exactly_no_advantage(case, scale_rewards, leave_one_out):
    returns, mask = case
    found = group_relative_advantages(
        returns, mask, scale_rewards=scale_rewards, leave_one_out=leave_one_out, epsilon=0.0
    )
    for place in np.ndindex(returns.shape):
        rivals = (place[0], slice(None), *place[2:])
        equal = len(set(returns[rivals][mask[rivals]])) <= 1
        if equal or not mask[place]:
            assert found[place] == 0.0


@pytest.mark.parametrize("n_members", [2, 3, 7])
@pytest.mark.parametrize("value", [0.1, 1e9 / 3, -3.7])
@pytest.mark.parametrize("scale_rewards", SCALES)
def test_a_rounded_mean_makes_no_advantage(n_members, value, scale_rewards):
    returns = np.stack([np.full(n_members, value), np.arange(n_members, dtype=float)])
    for dtype in (np.float64, np.float32):
        found = group_relative_advantages(returns.astype(dtype), scale_rewards=scale_rewards, epsilon=0.0)
        np.testing.assert_array_equal(found[0], 0.0)
        assert found[1, -1] > 0


@FEW
@given(groups(with_mask=False), st.sampled_from(SCALES))
def test_a_group_s_advantages_sum_to_zero_and_are_that_much_smaller_than_leave_one_out(case, scale_rewards):
    returns, _ = case
    plain = group_relative_advantages(returns, scale_rewards=scale_rewards)
    np.testing.assert_allclose(plain.sum(axis=1), 0.0, atol=1e-9)
    leave_one_out = group_relative_advantages(returns, scale_rewards=scale_rewards, leave_one_out=True)
    np.testing.assert_allclose((1 - 1 / returns.shape[1]) * leave_one_out, plain, rtol=1e-12, atol=1e-12)


@FEW
@given(groups(time_axis=False, with_mask=False), st.sampled_from([0.5, 3.0]), st.integers(-9, 9))
def test_shifts_and_scales(case, scale, shift):
    """What every episode of a group gets does not matter, nor (but for epsilon) the unit of reward."""
    returns, _ = case
    plain = group_relative_advantages(returns, scale_rewards="none")
    np.testing.assert_allclose(
        group_relative_advantages(scale * returns + shift, scale_rewards="none"), scale * plain, rtol=1e-9, atol=1e-12
    )
    scaled = group_relative_advantages(returns, epsilon=0.0)
    np.testing.assert_allclose(group_relative_advantages(scale * returns, epsilon=0.0), scaled, rtol=1e-9, atol=1e-12)
    spread = [len(set(group)) > 1 for group in returns]
    np.testing.assert_allclose(scaled[spread].std(axis=1, ddof=1), 1.0)


@FEW
@given(groups(time_axis=True), st.sampled_from(["group", "none"]))
def test_groups_and_times_are_independent(case, scale_rewards):
    returns, mask = case
    together = group_relative_advantages(returns, mask, scale_rewards=scale_rewards)
    for group, time in np.ndindex(returns.shape[0], returns.shape[2]):
        here = np.s_[group : group + 1, :, time]
        alone = group_relative_advantages(returns[here], mask[here], scale_rewards=scale_rewards)
        np.testing.assert_allclose(together[here], alone, rtol=1e-12, atol=1e-12)


@FEW
@given(groups(), st.sampled_from(SCALES), st.sampled_from([np.nan, np.inf, 1e300]))
def test_masked_returns_do_not_count_even_if_not_finite(case, scale_rewards, junk):
    returns, mask = case
    changed = np.where(mask, returns, junk)
    np.testing.assert_array_equal(
        group_relative_advantages(changed, mask, scale_rewards=scale_rewards),
        group_relative_advantages(returns, mask, scale_rewards=scale_rewards),
    )


# ------------------------------------------------------------------------------------------------ zero variance


def test_zero_variance_by_hand():
    np.testing.assert_array_equal(zero_variance_groups([[0.1, 0.1, 0.1], [0.1, 0.1, 0.2]]), [True, False])
    returns, mask = [[[1.0, 5.0], [1.0, 7.0]], [[1.0, 5.0], [2.0, 7.0]]], [[[1, 1], [1, 0]], [[1, 1], [1, 0]]]
    np.testing.assert_array_equal(zero_variance_groups(returns, mask), [True, False])
    np.testing.assert_array_equal(zero_variance_groups(returns), [False, False])
    assert zero_variance_groups(np.zeros((0, 2))).shape == (0,)


@FEW
@given(groups(), st.sampled_from(SCALES), st.booleans())
def test_zero_variance_groups_are_those_without_advantages(case, scale_rewards, leave_one_out):
    returns, mask = case
    advantages = group_relative_advantages(returns, mask, scale_rewards=scale_rewards, leave_one_out=leave_one_out)
    found = zero_variance_groups(returns, mask)
    assert found.dtype == bool
    np.testing.assert_array_equal(found, [not group.any() for group in advantages])


# ------------------------------------------------------------------------------------------- types, edges, errors


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("scale_rewards", SCALES)
def test_the_floating_point_type_is_kept(dtype, scale_rewards):
    assert group_relative_advantages(np.eye(2, dtype=dtype), scale_rewards=scale_rewards).dtype == dtype


def test_whole_numbers_become_floats_and_inputs_stay_as_they_are():
    returns, mask = np.array([[1, 3], [5, 5]]), np.array([[True, True], [True, False]])
    found = group_relative_advantages(returns, mask, scale_rewards="none")
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[-1, 1], [0, 0]])
    found[:] = 9.0
    np.testing.assert_array_equal(returns, [[1, 3], [5, 5]])
    np.testing.assert_array_equal(mask, [[True, True], [True, False]])


@pytest.mark.parametrize("scale_rewards", SCALES)
@pytest.mark.parametrize("shape", [(0, 2), (3, 2, 0)])
def test_nothing_in_nothing_out(scale_rewards, shape):
    assert group_relative_advantages(np.zeros(shape), scale_rewards=scale_rewards).shape == shape


@pytest.mark.parametrize("function", [group_relative_advantages, zero_variance_groups])
def test_errors(function):
    for shape in [(), (3,), (1, 2, 3, 4)]:
        with pytest.raises(ValueError, match=r"returns must be \[n_groups, n_members\] or .* got the shape"):
            function(np.zeros(shape))
    with pytest.raises(ValueError, match=r"at least two members, got returns of shape \(4, 1\)"):
        function(np.zeros((4, 1)))
    for shape in [(3, 1), (2, 3), (3,), (3, 2, 1)]:
        with pytest.raises(ValueError, match=r"mask must have the shape of returns, \(3, 2\); got"):
            function(np.zeros((3, 2)), np.ones(shape, dtype=bool))
    for wrong in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=f"returns must be finite, got {wrong} in group 1"):
            function([[0.0, 1.0], [0.0, wrong]])


@pytest.mark.parametrize("scale_rewards", ["std", "Group", True, None])
def test_unknown_scale(scale_rewards):
    with pytest.raises(ValueError, match=r"scale_rewards must be one of \('group', 'batch', 'none'\), got"):
        group_relative_advantages([[0.0, 1.0]], scale_rewards=scale_rewards)


@pytest.mark.parametrize("epsilon", [-1e-4, np.nan])
def test_epsilon_is_not_negative(epsilon):
    with pytest.raises(ValueError, match=f"epsilon must be 0 or more, got {epsilon}"):
        group_relative_advantages([[0.0, 1.0]], epsilon=epsilon)


# ------------------------------------------------------- unbiased or not: exact expectations, nothing is sampled here


def expected_gradient(logits, rewards, n_members, **options):
    """The policy gradient that groups of n_members give on average, by going through every possible group."""
    log_pi = th.log_softmax(logits, dim=0)
    total = th.zeros_like(logits)
    for arms in itertools.product(range(len(rewards)), repeat=n_members):
        advantages = th.as_tensor(group_relative_advantages([[rewards[arm] for arm in arms]], **options)[0])
        chosen = log_pi[list(arms)]
        ascent = th.autograd.grad((chosen * advantages).mean(), logits, retain_graph=True)[0]
        total += chosen.detach().sum().exp() * ascent
    return total


@pytest.mark.parametrize("n_members", [2, 3, 4])
def test_only_leave_one_out_without_scaling_is_unbiased(n_members):
    logits = th.tensor([0.3, -0.5, 0.8], dtype=th.float64, requires_grad=True)
    rewards = [1.0, -2.0, 5.0]
    exact = th.autograd.grad((th.softmax(logits, dim=0) * th.tensor(rewards)).sum(), logits)[0]

    found = expected_gradient(logits, rewards, n_members, scale_rewards="none", leave_one_out=True)
    th.testing.assert_close(found, exact, rtol=0, atol=1e-12)
    found = expected_gradient(logits, rewards, n_members, scale_rewards="none")
    th.testing.assert_close(found, (1 - 1 / n_members) * exact, rtol=0, atol=1e-12)
    scaled = expected_gradient(logits, rewards, n_members, leave_one_out=True)
    assert th.cosine_similarity(scaled, exact, dim=0) < 0.999
