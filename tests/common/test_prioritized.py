"""Priorities and importance weights: by hand, and that the weights undo the priorities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.common.prioritized import annealed_beta, importance_weights, priorities, stratified_targets

FEW = settings(max_examples=100, deadline=None)


def test_priorities_by_hand():
    np.testing.assert_allclose(priorities([2.0, -2.0, 0.0], alpha=1.0), [2.000001, 2.000001, 1e-6])
    np.testing.assert_allclose(priorities([2.0, -2.0, 0.0], alpha=0.0), [1.0, 1.0, 1.0])


@FEW
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=9), st.floats(0, 1))
def test_the_larger_the_error_the_higher_the_priority(errors, alpha):
    found = priorities(errors, alpha)
    assert (found > 0).all()
    order = np.argsort(np.abs(errors))
    assert (np.diff(found[order]) >= 0).all()


@FEW
@given(st.integers(1, 64), st.floats(1e-3, 1e6), st.data())
def test_one_target_in_each_part(n, total, data):
    uniform = data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=n, max_size=n))
    found = stratified_targets(total, uniform)
    parts = np.arange(n + 1) * (total / n)
    assert (found >= parts[:-1]).all()
    assert (found <= parts[1:] * (1 + 1e-12)).all()


def test_full_weights_undo_the_priorities():
    """What is drawn more often weighs less: the weighted mean over draws is the plain mean over all."""
    rng, values = np.random.default_rng(0), np.array([1.0, 10.0, 100.0])
    p = priorities([0.5, 1.0, 3.0], alpha=0.7)
    p /= p.sum()
    drawn = rng.choice(3, size=200_000, p=p)
    weights = importance_weights(p[drawn], n=3, beta=1.0)
    assert np.average(values[drawn], weights=weights) == pytest.approx(values.mean(), rel=0.02)
    assert np.average(values[drawn]) > 1.5 * values.mean()


@FEW
@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=9), st.integers(1, 10**6), st.floats(0, 1))
def test_weights_lie_in_0_to_1_and_the_rarest_has_1(probabilities, n, beta):
    weights = importance_weights(probabilities, n, beta)
    assert (weights > 0).all()
    assert weights.max() == 1
    assert weights[np.argmin(probabilities)] == 1


def test_no_correction_and_its_way_to_a_full_one():
    assert importance_weights([0.1, 0.9], 10, beta=0.0).tolist() == [1.0, 1.0]
    assert [annealed_beta(0.4, p) for p in (-0.5, 0.0, 1.0, 1.5)] == [0.4, 0.4, 1.0, 1.0]


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_shares_out_of_range(share):
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\]"):
        priorities([1.0], share)
    with pytest.raises(ValueError, match=r"beta must lie in \[0, 1\]"):
        importance_weights([1.0], 1, share)


def test_numbers_that_would_poison_a_buffer():
    with pytest.raises(ValueError, match="TD errors must be finite, got nan: has training diverged"):
        priorities([1.0, np.nan], 0.5)
    with pytest.raises(ValueError, match=r"above 0, got 0\.0"):
        importance_weights([0.5, 0.0], 2, 0.5)
