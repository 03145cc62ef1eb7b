"""The KL-regularised optimum: it is one, and the gap to it is beta times a divergence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax

from sb3_ext.common import kl_divergence, kl_objective, optimal_log_probs


def draw(seed, n_prompts=3, n_responses=7):
    generator = np.random.default_rng(seed)
    ref, pi = log_softmax(2 * generator.normal(size=(2, n_prompts, n_responses)), axis=-1)
    return ref, pi, generator.normal(size=(n_prompts, n_responses))


@given(st.integers(0, 1000), st.floats(0.05, 10))
@settings(max_examples=50, deadline=None)
def test_what_a_policy_misses_is_beta_times_its_divergence_from_the_optimum(seed, beta):
    ref, pi, rewards = draw(seed)
    best = optimal_log_probs(ref, rewards, beta)
    np.testing.assert_allclose(np.exp(best).sum(axis=-1), 1)
    gap = kl_objective(best, ref, rewards, beta) - kl_objective(pi, ref, rewards, beta)
    np.testing.assert_allclose(gap, beta * kl_divergence(pi, best), rtol=1e-6, atol=1e-9)


def test_a_large_beta_keeps_to_the_reference_and_a_small_one_takes_the_best():
    ref, _, rewards = draw(0)
    np.testing.assert_allclose(optimal_log_probs(ref, rewards, 1e6), ref, atol=1e-4)
    greedy = np.exp(optimal_log_probs(ref, rewards, 1e-3))
    np.testing.assert_array_equal(greedy.argmax(-1), rewards.argmax(-1))
    np.testing.assert_allclose(greedy.max(-1), 1, atol=1e-6)


def test_large_rewards_do_not_overflow():
    best = optimal_log_probs(np.log([[0.5, 0.5]]), [[1000.0, 0.0]], beta=0.01)
    assert np.exp(best[0]).tolist() == [1.0, 0.0]


def test_divergence_by_hand():
    assert kl_divergence(np.log([0.5, 0.5]), np.log([0.9, 0.1])) == pytest.approx(0.5 * np.log(0.5**2 / 0.09))


def test_what_cannot_happen_adds_nothing_but_what_the_other_rules_out_is_infinite():
    with np.errstate(divide="ignore"):
        certain, even = np.log([1.0, 0.0]), np.log([0.5, 0.5])
    assert kl_divergence(certain, even) == pytest.approx(np.log(2))
    assert kl_divergence(certain, certain) == 0
    assert kl_divergence(even, certain) == np.inf


def test_bad_input_is_named():
    ref, _, rewards = draw(0)
    with pytest.raises(ValueError, match="beta must be above 0, got 0"):
        optimal_log_probs(ref, rewards, 0)
    with pytest.raises(ValueError, match="shapes must be equal"):
        optimal_log_probs(ref, rewards[:, :2], 1.0)
    with pytest.raises(ValueError, match="rewards must be finite, got nan"):
        optimal_log_probs(ref, rewards * np.nan, 1.0)


def test_nan_is_not_taken_for_no_probability():
    assert np.isnan(kl_divergence([np.nan, 0.0], np.log([0.5, 0.5])))
