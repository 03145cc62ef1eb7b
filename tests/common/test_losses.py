"""Losses: their values and gradients by hand, and by exact expectations."""

import math

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.common import categorical_entropy, entropy_loss, policy_gradient_loss

FEW = settings(max_examples=60, deadline=None)
LOGITS = arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 5)), elements=st.floats(-20, 20))


def gradient(loss, parameters):
    return th.autograd.grad(loss, parameters)[0]


# -------------------------------------------------------------------------------------------------- policy gradient


def test_policy_gradient_loss_by_hand():
    log_probs = th.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = th.tensor([3.0, -1.0, 2.0])
    loss = policy_gradient_loss(log_probs, advantages, n_episodes=2)
    assert loss.item() == pytest.approx(-(-3.0 + 2.0 - 1.0) / 2)
    th.testing.assert_close(gradient(loss, log_probs), th.tensor([-1.5, 0.5, -1.0]))


def test_policy_gradient_of_a_softmax_by_hand():
    # d log pi(a) / d logits = onehot(a) - pi, and pi = (1/4, 3/4)
    logits = th.tensor([0.0, math.log(3.0)], dtype=th.float64, requires_grad=True)
    log_pi = th.log_softmax(logits, dim=0)
    loss = policy_gradient_loss(log_pi[[0, 1, 1]], th.tensor([2.0, 1.0, -4.0], dtype=th.float64))
    ascent = 2.0 * np.array([0.75, -0.75]) + (1.0 - 4.0) * np.array([-0.25, 0.25])
    np.testing.assert_allclose(gradient(loss, logits).numpy(), -ascent)


@FEW
@given(st.data(), st.integers(1, 9))
def test_policy_gradient_loss_is_the_sum_over_counted_steps(data, n_episodes):
    shape = data.draw(st.tuples(st.integers(0, 4), st.integers(1, 3)))
    log_probs, advantages = (data.draw(arrays(np.float64, shape, elements=st.floats(-9, 9))) for _ in range(2))
    mask = data.draw(arrays(bool, shape))
    leaf = th.tensor(log_probs, requires_grad=True)
    loss = policy_gradient_loss(leaf, th.tensor(advantages), n_episodes, th.tensor(mask))
    slow = -sum(log_probs[i] * advantages[i] for i in np.ndindex(shape) if mask[i]) / n_episodes
    assert loss.item() == pytest.approx(slow, abs=1e-9)
    np.testing.assert_allclose(gradient(loss, leaf).numpy(), np.where(mask, -advantages / n_episodes, 0.0))


def test_advantages_are_data():
    log_probs = th.tensor([-1.0, -2.0], requires_grad=True)
    values = th.tensor([0.5, 1.0], requires_grad=True)
    policy_gradient_loss(log_probs, 3.0 - values).backward()
    assert values.grad is None
    th.testing.assert_close(log_probs.grad, th.tensor([-2.5, -2.0]))


def test_masked_steps_do_not_count_even_if_not_finite():
    log_probs = th.tensor([-1.0, -math.inf, -2.0], requires_grad=True)
    advantages = th.tensor([1.0, 0.0, math.nan])
    loss = policy_gradient_loss(log_probs, advantages, mask=th.tensor([1.0, 0.0, 0.0]))
    assert loss.item() == 1.0
    th.testing.assert_close(gradient(loss, log_probs), th.tensor([-1.0, 0.0, 0.0]))


@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (1,), ()])
def test_broadcasting_is_refused(shape):
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'advantages'"):
        policy_gradient_loss(th.zeros(3), th.zeros(shape))
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'mask'"):
        policy_gradient_loss(th.zeros(3), th.zeros(3), mask=th.ones(shape))


@pytest.mark.parametrize("n_episodes", [0, -2])
def test_a_batch_has_episodes(n_episodes):
    with pytest.raises(ValueError, match=f"n_episodes must be at least 1, got {n_episodes}"):
        policy_gradient_loss(th.zeros(3), th.zeros(3), n_episodes)


# ------------------------------------------------------------------------------------------------------------ entropy


def test_categorical_entropy_by_hand():
    quarter = categorical_entropy(th.tensor([0.0, math.log(3.0)], dtype=th.float64))
    assert quarter.item() == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))


@FEW
@given(LOGITS)
def test_categorical_entropy_agrees_with_torch(array):
    ours, theirs = th.tensor(array, requires_grad=True), th.tensor(array, requires_grad=True)
    entropy = categorical_entropy(ours)
    expected = th.distributions.Categorical(logits=theirs).entropy()
    th.testing.assert_close(entropy, expected)
    th.testing.assert_close(gradient(entropy.sum(), ours), gradient(expected.sum(), theirs), atol=1e-9, rtol=1e-6)


@FEW
@given(LOGITS, st.floats(-100, 100))
def test_categorical_entropy_bounds_and_shift(array, shift):
    entropy = categorical_entropy(th.tensor(array))
    assert (entropy >= -1e-12).all()
    assert (entropy <= math.log(array.shape[1]) + 1e-12).all()
    th.testing.assert_close(categorical_entropy(th.tensor(array + shift)), entropy, atol=1e-9, rtol=1e-9)


def test_actions_that_are_ruled_out_add_nothing():
    logits = th.tensor([[0.0, -math.inf, 1.0], [-math.inf, 2.0, -math.inf]], requires_grad=True)
    entropy = categorical_entropy(logits)
    th.testing.assert_close(entropy[0], categorical_entropy(th.tensor([0.0, 1.0])))
    assert entropy[1].item() == 0.0

    short = th.tensor([0.0, 1.0], requires_grad=True)
    expected = gradient(categorical_entropy(short), short)
    found = gradient(entropy.sum(), logits)
    th.testing.assert_close(found[0], th.stack([expected[0], th.tensor(0.0), expected[1]]))
    th.testing.assert_close(found[1], th.zeros(3))


def test_extreme_logits_stay_finite():
    logits = th.tensor([1e4, -1e4, 0.0], requires_grad=True)
    entropy = categorical_entropy(logits)
    assert entropy.item() == 0.0
    th.testing.assert_close(gradient(entropy, logits), th.zeros(3))


def test_entropy_loss_is_minus_the_mean():
    entropy = th.tensor([1.0, 3.0], requires_grad=True)
    loss = entropy_loss(entropy, th.tensor([-9.0, -9.0]))
    assert loss.item() == -2.0
    th.testing.assert_close(gradient(loss, entropy), th.tensor([-0.5, -0.5]))


def test_sampled_entropy_loss_is_right_in_value_and_gradient_on_average():
    """Over all actions, weighted by their probability: the entropy and its gradient, neither more nor less."""
    logits = th.tensor([0.3, -1.0, 0.9], dtype=th.float64, requires_grad=True)
    log_pi = th.log_softmax(logits, dim=0)
    losses = [entropy_loss(None, log_pi[[action]]) for action in range(3)]
    pi = log_pi.detach().exp()
    value = sum(p * loss.detach() for p, loss in zip(pi, losses, strict=True))
    slope = sum(p * th.autograd.grad(loss, logits, retain_graph=True)[0] for p, loss in zip(pi, losses, strict=True))

    entropy = categorical_entropy(logits)
    th.testing.assert_close(value, -entropy.detach())
    th.testing.assert_close(slope, -gradient(entropy, logits))
    assert slope.norm() > 0.1
