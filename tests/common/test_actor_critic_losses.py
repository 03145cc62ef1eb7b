"""Actor and critic losses: values and gradients by hand, and against the expressions in SB3's A2C and PPO."""

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional as F

from sb3_ext.common.actor_critic_losses import (
    a2c_policy_loss,
    clipped_value_loss,
    normalize_advantages,
    ppo_policy_loss,
    value_loss,
)
from sb3_ext.common.losses import policy_gradient_loss

FEW = settings(max_examples=80, deadline=None)
WRONG_SHAPES = [(3, 1), (1, 3), (1,), ()]


@st.composite
def vectors(draw, n_vectors, least=1):
    """Vectors of one length, in single precision."""
    n = draw(st.integers(least, 9))
    numbers = st.floats(-4, 4, width=32)
    return tuple(th.tensor(draw(arrays(np.float32, n, elements=numbers))) for _ in range(n_vectors))


def loss_and_gradient(function, leaf):
    """The loss as a function of one vector, and its gradient."""
    leaf = leaf.clone().requires_grad_()
    loss = function(leaf)
    return loss.detach(), th.autograd.grad(loss, leaf)[0]


def assert_same(ours, theirs, leaf):
    for found, expected in zip(loss_and_gradient(ours, leaf), loss_and_gradient(theirs, leaf), strict=True):
        th.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


# ------------------------------------------------------------------------------------------------ normalize advantages


def test_normalized_advantages_by_hand():
    found = normalize_advantages(th.tensor([1.0, 5.0, 3.0, 7.0]))  # mean 4, variance 20/3
    np.testing.assert_allclose(found, np.array([-3, 1, -1, 3]) / np.sqrt(20 / 3), rtol=1e-6)


@FEW
@given(vectors(1, least=2))
def test_normalized_advantages_are_sb3_s(case):
    (advantages,) = case
    theirs = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    assert th.equal(normalize_advantages(advantages), theirs)


def test_one_advantage_comes_back_as_it_is():
    assert normalize_advantages(th.tensor([3.0])).tolist() == [3.0]
    assert normalize_advantages(th.tensor([])).tolist() == []


# -------------------------------------------------------------------------------------------------------------- actors


def test_a2c_policy_loss_by_hand():
    log_probs, advantages = th.tensor([-1.0, -2.0, -0.5]), th.tensor([3.0, -1.0, 2.0])
    loss, gradient = loss_and_gradient(lambda leaf: a2c_policy_loss(leaf, advantages), log_probs)
    assert loss.item() == pytest.approx((3.0 - 2.0 + 1.0) / 3)
    th.testing.assert_close(gradient, th.tensor([-1.0, 1 / 3, -2 / 3]))


@FEW
@given(vectors(2))
def test_a2c_policy_loss_is_sb3_s_and_reinforce_s_divided_by_steps(case):
    log_probs, advantages = case
    assert_same(lambda leaf: a2c_policy_loss(leaf, advantages), lambda leaf: -(advantages * leaf).mean(), log_probs)
    summed = policy_gradient_loss(log_probs, advantages) / len(log_probs)
    th.testing.assert_close(a2c_policy_loss(log_probs, advantages), summed, atol=1e-5, rtol=1e-5)


def test_ppo_policy_loss_by_hand():
    """Ratios 1.5, 1.5, 0.5, 0.5: the clip takes the gradient away where the step went the advantage's way."""
    log_probs = th.tensor([1.5, 1.5, 0.5, 0.5]).log()
    advantages = th.tensor([1.0, -1.0, 1.0, -1.0])
    loss, gradient = loss_and_gradient(lambda leaf: ppo_policy_loss(leaf, th.zeros(4), advantages, 0.2), log_probs)
    assert loss.item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)
    th.testing.assert_close(gradient, th.tensor([0.0, 1.5 / 4, -0.5 / 4, 0.0]))


@FEW
@given(vectors(3), st.floats(0.01, 0.9))
def test_ppo_policy_loss_is_sb3_s(case, clip_range):
    log_probs, old_log_probs, advantages = case

    def theirs(leaf):
        ratio = th.exp(leaf - old_log_probs)
        clipped = advantages * th.clamp(ratio, 1 - clip_range, 1 + clip_range)
        return -th.min(advantages * ratio, clipped).mean()

    assert_same(lambda leaf: ppo_policy_loss(leaf, old_log_probs, advantages, clip_range), theirs, log_probs)


def test_at_the_first_step_ppo_s_gradient_is_a2c_s():
    log_probs, advantages = th.tensor([-1.0, -2.0, -0.5]), th.tensor([3.0, -1.0, 2.0])
    ppo = loss_and_gradient(lambda leaf: ppo_policy_loss(leaf, leaf, advantages), log_probs)[1]
    a2c = loss_and_gradient(lambda leaf: a2c_policy_loss(leaf, advantages), log_probs)[1]
    th.testing.assert_close(ppo, a2c)


# ------------------------------------------------------------------------------------------------------------- critics


def test_value_loss_by_hand():
    loss, gradient = loss_and_gradient(lambda leaf: value_loss(leaf, th.tensor([0.0, 5.0])), th.tensor([1.0, 2.0]))
    assert loss.item() == 5.0
    assert gradient.tolist() == [1.0, -3.0]


@pytest.mark.parametrize(
    ("value", "pessimistic", "loss", "gradient"),
    [
        (1.2, False, 0.64, -1.6),  # within the range of 1 +- 0.5: as if there were no clip
        (1.2, True, 0.64, -1.6),
        (3.0, False, 0.25, 0.0),  # overshot: counts as 1.5, and does not come back
        (3.0, True, 1.0, 2.0),  # it does
        (0.0, False, 2.25, 0.0),  # moved the wrong way: counts as 0.5, and does not come back
        (0.0, True, 4.0, -4.0),
        (1.8, False, 0.25, 0.0),  # far enough for now
        (1.8, True, 0.25, 0.0),
    ],
)
def test_clipped_value_loss_by_hand(value, pessimistic, loss, gradient):
    """V_old = 1, the return is 2, the range 0.5."""
    found = loss_and_gradient(
        lambda leaf: clipped_value_loss(leaf, th.tensor([1.0]), th.tensor([2.0]), 0.5, pessimistic),
        th.tensor([value]),
    )
    np.testing.assert_allclose([found[0].item(), found[1].item()], [loss, gradient], atol=1e-6)


@FEW
@given(vectors(3), st.floats(0.01, 3))
def test_value_losses_are_sb3_s(case, clip_range_vf):
    values, old_values, returns = case
    assert_same(lambda leaf: value_loss(leaf, returns), lambda leaf: F.mse_loss(returns, leaf), values)

    def theirs(leaf):
        return F.mse_loss(returns, old_values + th.clamp(leaf - old_values, -clip_range_vf, clip_range_vf))

    assert_same(lambda leaf: clipped_value_loss(leaf, old_values, returns, clip_range_vf), theirs, values)


@FEW
@given(vectors(3), st.floats(0.01, 3))
def test_the_pessimistic_loss_is_that_of_openai_s_code(case, clip_range_vf):
    values, old_values, returns = case
    slow = 0.0
    for value, old, target in zip(values.tolist(), old_values.tolist(), returns.tolist(), strict=True):
        clipped = old + min(max(value - old, -clip_range_vf), clip_range_vf)
        slow += max((value - target) ** 2, (clipped - target) ** 2) / len(values)
    found = clipped_value_loss(values, old_values, returns, clip_range_vf, pessimistic=True)
    assert found.item() == pytest.approx(slow, rel=1e-4, abs=1e-5)


@FEW
@given(vectors(3))
def test_without_a_range_there_is_no_clip(case):
    values, old_values, returns = case
    assert th.equal(clipped_value_loss(values, old_values, returns), value_loss(values, returns))


# --------------------------------------------------------------------------------------------------- data and bad input


def test_all_but_the_first_argument_is_data():
    others = [th.tensor([0.5, -1.0], requires_grad=True) for _ in range(2)]
    for loss in (
        lambda leaf: a2c_policy_loss(leaf, others[0]),
        lambda leaf: ppo_policy_loss(leaf, *others),
        lambda leaf: value_loss(leaf, others[0]),
        lambda leaf: clipped_value_loss(leaf, *others, clip_range_vf=1.0),
        lambda leaf: clipped_value_loss(leaf, *others, clip_range_vf=1.0, pessimistic=True),
    ):
        leaf = th.tensor([0.2, 0.3], requires_grad=True)
        loss(leaf).backward()
        assert leaf.grad is not None
        assert [other.grad for other in others] == [None, None]


@pytest.mark.parametrize("shape", WRONG_SHAPES)
def test_broadcasting_is_refused(shape):
    right, wrong = th.zeros(3), th.zeros(shape)
    for call in (
        lambda: a2c_policy_loss(right, wrong),
        lambda: ppo_policy_loss(right, wrong, right),
        lambda: ppo_policy_loss(right, right, wrong),
        lambda: value_loss(right, wrong),
        lambda: clipped_value_loss(right, wrong, right, 0.1),
        lambda: clipped_value_loss(right, right, wrong, 0.1),
    ):
        with pytest.raises(ValueError, match="shapes must be equal"):
            call()


def test_negative_ranges_are_refused():
    zeros = th.zeros(2)
    with pytest.raises(ValueError, match=r"clip_range_vf must be 0 or more, got -0.1"):
        clipped_value_loss(zeros, zeros, zeros, -0.1)
    with pytest.raises(ValueError, match=r"clip_range_vf must be 0 or more, got nan"):
        clipped_value_loss(zeros, zeros, zeros, float("nan"))
    with pytest.raises(ValueError, match="clip ranges must be 0 or more"):
        ppo_policy_loss(zeros, zeros, zeros, -0.1)
