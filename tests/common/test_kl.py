"""Estimates of the KL divergence: their values and gradients in expectation, by adding up all actions."""

import math

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.common.clipped_losses import importance_ratios
from sb3_ext.common.kl import kl_k1, kl_k3

FEW = settings(max_examples=60, deadline=None)
LOGITS = st.integers(2, 5).flatmap(lambda n: arrays(np.float64, (2, n), elements=st.floats(-4, 4)))
CLOSE = {"rtol": 1e-7, "atol": 1e-9}


def policy_and_reference(logits):
    """Parameters of the policy, its log-probabilities and those of the reference."""
    parameters = th.tensor(logits[0], requires_grad=True)
    return parameters, th.log_softmax(parameters, dim=0), th.log_softmax(th.tensor(logits[1]), dim=0)


def divergence(log_p, log_q):
    """KL(p || q), from its definition."""
    return (log_p.exp() * (log_p - log_q)).sum()


def expected(estimates, log_pi):
    """The mean over actions drawn from pi; like a sample, the drawing itself has no gradient."""
    return (log_pi.detach().exp() * estimates).sum()


def gradient(loss, parameters):
    return th.autograd.grad(loss, parameters, retain_graph=True)[0]


# ---------------------------------------------------------------------------------------------------------- by hand


def test_by_hand():
    log_probs, ref_log_probs = th.tensor([0.5, 0.5, 0.2]).log(), th.tensor([0.5, 0.25, 0.4]).log()
    th.testing.assert_close(kl_k1(log_probs, ref_log_probs), th.tensor([0.0, math.log(2), -math.log(2)]))
    expected_k3 = th.tensor([0.0, 0.5 + math.log(2) - 1, 2 - math.log(2) - 1])
    th.testing.assert_close(kl_k3(log_probs, ref_log_probs), expected_k3)


def test_gradients_by_hand():
    """d k1 / d log pi = 1;  d k3 / d log pi = 1 - ref/pi."""
    log_probs = th.tensor([0.5, 0.5, 0.2]).log().requires_grad_()
    ref_log_probs = th.tensor([0.5, 0.25, 0.4]).log()
    th.testing.assert_close(gradient(kl_k1(log_probs, ref_log_probs).sum(), log_probs), th.ones(3))
    th.testing.assert_close(gradient(kl_k3(log_probs, ref_log_probs).sum(), log_probs), th.tensor([0.0, 0.5, -1.0]))


@FEW
@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 3)), elements=st.floats(-9, 9)))
def test_step_by_step_as_defined(log_probs):
    ref_log_probs = np.full_like(log_probs, -1.3)
    k1, k3 = (kl(th.tensor(log_probs), th.tensor(ref_log_probs)) for kl in (kl_k1, kl_k3))
    assert k1.shape == k3.shape == log_probs.shape
    for i in np.ndindex(log_probs.shape):
        ratio = math.exp(-1.3) / math.exp(log_probs[i])
        assert k1[i].item() == pytest.approx(-math.log(ratio), abs=1e-9)
        assert k3[i].item() == pytest.approx(ratio - math.log(ratio) - 1, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", [th.float32, th.float64])
def test_k3_is_never_negative_and_right_near_the_reference(dtype):
    differences = th.cat([sign * th.logspace(-30, 1, 2000, dtype=dtype) for sign in (-1, 1)])
    k3 = kl_k3(th.zeros_like(differences), differences)
    assert (k3 >= 0).all()
    small = th.tensor([1e-3, -1e-3], dtype=dtype)
    th.testing.assert_close(kl_k3(th.zeros_like(small), small), small**2 / 2, rtol=1e-3, atol=0)


# --------------------------------------------------------------------------------------------------- in expectation


@FEW
@given(LOGITS)
def test_both_values_are_those_of_kl_from_policy_to_reference(logits):
    _, log_pi, log_ref = policy_and_reference(logits)
    exact = divergence(log_pi, log_ref)
    th.testing.assert_close(expected(kl_k1(log_pi, log_ref), log_pi), exact, **CLOSE)
    th.testing.assert_close(expected(kl_k3(log_pi, log_ref), log_pi), exact, **CLOSE)


@FEW
@given(LOGITS)
def test_k1_as_a_loss_does_nothing(logits):
    parameters, log_pi, log_ref = policy_and_reference(logits)
    found = gradient(expected(kl_k1(log_pi, log_ref), log_pi), parameters)
    th.testing.assert_close(found, th.zeros_like(found), **CLOSE)


@FEW
@given(LOGITS)
def test_k1_in_the_reward_has_the_gradient_of_kl_from_policy_to_reference(logits):
    """REINFORCE with the reward -k1: its loss is log pi times k1."""
    parameters, log_pi, log_ref = policy_and_reference(logits)
    found = gradient(expected(log_pi * kl_k1(log_pi, log_ref).detach(), log_pi), parameters)
    th.testing.assert_close(found, gradient(divergence(log_pi, log_ref), parameters), **CLOSE)


@FEW
@given(LOGITS)
def test_k3_as_a_loss_has_the_gradient_of_kl_from_reference_to_policy(logits):
    parameters, log_pi, log_ref = policy_and_reference(logits)
    found = gradient(expected(kl_k3(log_pi, log_ref), log_pi), parameters)
    th.testing.assert_close(found, gradient(divergence(log_ref, log_pi), parameters), **CLOSE)


@FEW
@given(LOGITS, st.data())
def test_k3_times_the_ratio_has_value_and_gradient_of_kl_from_policy_to_reference(logits, data):
    """Also over actions that an older policy drew."""
    parameters, log_pi, log_ref = policy_and_reference(logits)
    elements = st.floats(-4, 4)
    log_old = th.log_softmax(th.tensor(data.draw(arrays(np.float64, logits.shape[1], elements=elements))), dim=0)
    loss = expected(importance_ratios(log_pi, log_old) * kl_k3(log_pi, log_ref), log_old)
    exact = divergence(log_pi, log_ref)
    th.testing.assert_close(loss, exact, **CLOSE)
    th.testing.assert_close(gradient(loss, parameters), gradient(exact, parameters), **CLOSE)


def test_the_two_directions_do_differ():
    """A policy near one of the reference's two modes: k3's gradient sends it to the other, KL(pi || ref)'s hardly."""
    parameters, log_pi, log_ref = policy_and_reference(np.log([[0.98, 0.01, 0.01], [0.495, 0.01, 0.495]]))
    as_loss = gradient(expected(kl_k3(log_pi, log_ref), log_pi), parameters)
    exact = gradient(divergence(log_pi, log_ref), parameters)
    np.testing.assert_allclose(as_loss.numpy(), [0.98 - 0.495, 0.0, 0.01 - 0.495], atol=1e-12)  # pi - ref
    assert as_loss[2] < 10 * exact[2] < 0
    assert not th.allclose(as_loss, exact, atol=0.1)


def test_k3_scatters_less_than_k1_near_the_reference():
    _, log_pi, log_ref = policy_and_reference(np.array([[0.1, -0.1, 0.2], [0.0, 0.0, 0.0]]))
    mean = divergence(log_pi, log_ref)
    k1, k3 = (expected((kl(log_pi, log_ref) - mean) ** 2, log_pi) for kl in (kl_k1, kl_k3))
    assert k3 < 0.1 * k1


# ------------------------------------------------------------------------------------------------- types and errors


@pytest.mark.parametrize("kl", [kl_k1, kl_k3])
def test_the_reference_is_data(kl):
    log_probs, ref_log_probs = th.zeros(2, requires_grad=True), th.ones(2, requires_grad=True)
    kl(log_probs, ref_log_probs).sum().backward()
    assert ref_log_probs.grad is None
    assert log_probs.grad is not None


@pytest.mark.parametrize("kl", [kl_k1, kl_k3])
@pytest.mark.parametrize("shape", [(3, 1), (1, 3), (1,), ()])
def test_broadcasting_is_refused(kl, shape):
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'ref_log_probs'"):
        kl(th.zeros(3), th.zeros(shape))
