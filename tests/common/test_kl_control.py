"""The KL penalty of RLHF: rewards of tokens, and beta that steers to a target."""

import math

import pytest
import torch as th

from sb3_ext.common import adapted_beta, kl_penalised_rewards


def example():
    log_probs = th.tensor([[-1.0, -2.0, -9.0], [-0.5, -0.5, -0.5]])
    ref = th.tensor([[-2.0, -1.5, -1.0], [-0.5, -1.0, -0.25]])
    return log_probs, ref, th.tensor([[1, 1, 0], [1, 1, 1]])


def test_rewards_by_hand():
    log_probs, ref, mask = example()
    rewards = kl_penalised_rewards(th.tensor([1.0, -2.0]), log_probs, ref, mask, beta=0.1)
    expected = th.tensor([[-0.1, 0.05 + 1.0, 0.0], [0.0, -0.05, 0.025 - 2.0]])
    th.testing.assert_close(rewards, expected)


def test_their_sum_is_the_score_minus_beta_times_the_log_ratio_of_the_response():
    log_probs, ref, mask = example()
    scores = th.tensor([1.0, -2.0])
    rewards = kl_penalised_rewards(scores, log_probs, ref, mask, beta=0.3)
    th.testing.assert_close(rewards.sum(1), scores - 0.3 * ((log_probs - ref) * mask).sum(1))


def test_no_gradient_flows_through_rewards():
    log_probs, ref, mask = example()
    log_probs.requires_grad_()
    assert not kl_penalised_rewards(th.zeros(2), log_probs, ref, mask, beta=0.1).requires_grad


def test_bad_input_is_named():
    log_probs, ref, mask = example()
    with pytest.raises(ValueError, match="beta must be 0 or more, got -1"):
        kl_penalised_rewards(th.zeros(2), log_probs, ref, mask, beta=-1)
    with pytest.raises(ValueError, match="shapes must be equal"):
        kl_penalised_rewards(th.zeros(2), log_probs, ref[:, :2], mask, beta=0.1)
    with pytest.raises(ValueError, match="shapes must be equal"):
        kl_penalised_rewards(th.zeros(3), log_probs, ref, mask, beta=0.1)
    with pytest.raises(ValueError, match="every response needs a token"):
        kl_penalised_rewards(th.zeros(2), log_probs, ref, th.zeros_like(mask), beta=0.1)


@pytest.mark.parametrize(
    ("kl", "expected"),
    [(6.0, 0.5), (6.6, 0.5 * 1.01), (100.0, 0.5 * 1.02), (0.0, 0.5 * 0.98), (-5.0, 0.5 * 0.98)],
)
def test_beta_moves_towards_the_target_by_a_bounded_step(kl, expected):
    assert adapted_beta(0.5, kl, target=6.0) == pytest.approx(expected)


def test_beta_settles_where_the_target_is_met():
    beta = 0.01
    for _ in range(3000):
        beta = adapted_beta(beta, kl=1.0 / beta, target=4.0)  # the larger beta, the smaller KL
    assert beta == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0, 1.0), "beta and target must be above 0"),
        ((0.1, 1.0, 0.0), "beta and target must be above 0"),
        ((0.1, 1.0, 1.0, 5.0), r"gain in \(0, 5\)"),
        ((0.1, math.nan, 1.0), "kl must be finite, got nan"),
    ],
)
def test_bad_numbers_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        adapted_beta(*arguments)
