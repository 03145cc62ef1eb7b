"""Temporal differences: targets and loss by hand, in plain loops, and against the expressions in SB3's DQN."""

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.nn import functional as F

from sb3_ext.common.td_losses import double_dqn_targets, dqn_targets, td_loss, td_target

FEW = settings(max_examples=80, deadline=None)
WRONG_SHAPES = [(3, 1), (1, 3), (1,), ()]
NUMBERS = st.floats(-8, 8, width=32)


@st.composite
def batches(draw):
    """Rewards, discounts, Q values of two networks, and terminated, of N steps."""
    n, n_actions = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    vector, table = arrays(np.float32, n, elements=NUMBERS), arrays(np.float32, (n, n_actions), elements=NUMBERS)
    discounts = arrays(np.float32, n, elements=st.floats(0, 1, width=32))
    terminated = arrays(np.float32, n, elements=st.sampled_from([0.0, 1.0]))
    return [th.tensor(draw(part)) for part in (vector, discounts, table, terminated, table)]


# ------------------------------------------------------------------------------------------------------------- targets


def test_td_target_by_hand():
    rewards, next_values = th.tensor([1.0, -1.0, 2.0]), th.tensor([10.0, 20.0, 30.0])
    assert td_target(rewards, 0.5, next_values, th.tensor([0.0, 1.0, 0.0])).tolist() == [6.0, -1.0, 17.0]
    assert td_target(rewards, 0.5, next_values, th.tensor([False, True, False])).tolist() == [6.0, -1.0, 17.0]
    discounts = th.tensor([1.0, 1.0, 0.1])
    np.testing.assert_allclose(td_target(rewards, discounts, next_values, th.zeros(3)), [11.0, 19.0, 5.0])


def test_dqn_and_double_dqn_by_hand():
    """The online network prefers action 0, which the target network holds to be worth less: 2, not 4."""
    rewards, terminated = th.tensor([1.0, 1.0]), th.tensor([0.0, 1.0])
    target, online = th.tensor([[2.0, 4.0], [9.0, 9.0]]), th.tensor([[5.0, 3.0], [0.0, 0.0]])
    assert dqn_targets(rewards, 0.5, target, terminated).tolist() == [3.0, 1.0]
    assert double_dqn_targets(rewards, 0.5, target, terminated, online).tolist() == [2.0, 1.0]


@FEW
@given(batches())
def test_targets_in_plain_loops(batch):
    rewards, discounts, target, terminated, online = batch
    single, double = dqn_targets(*batch[:4]), double_dqn_targets(*batch)
    for i in range(len(rewards)):
        future = 0.0 if terminated[i] else discounts[i].item()
        best = max(range(target.shape[1]), key=lambda a: online[i, a].item())  # the first of equals
        assert single[i].item() == pytest.approx(rewards[i].item() + future * max(target[i].tolist()), abs=1e-4)
        assert double[i].item() == pytest.approx(rewards[i].item() + future * target[i, best].item(), abs=1e-4)
    assert (double <= single).all()
    assert th.equal(double_dqn_targets(*batch[:4], target), single)  # two networks that agree


@FEW
@given(batches(), st.booleans())
def test_dqn_s_targets_are_sb3_s(batch, n_steps):
    rewards, discounts, target, terminated, _ = batch
    used = discounts if n_steps else 0.99
    column = discounts.reshape(-1, 1) if n_steps else 0.99
    next_q_values = target.max(dim=1)[0].reshape(-1, 1)
    theirs = rewards.reshape(-1, 1) + (1 - terminated.reshape(-1, 1)) * column * next_q_values
    assert th.equal(dqn_targets(rewards, used, target, terminated), theirs.flatten())


def test_double_dqn_overestimates_less():
    """All actions are worth 0, the estimates are noise: the maximum of 10 is about 1.54 on average, not 0."""
    target, online = th.randn(2, 20_000, 10, generator=th.Generator().manual_seed(0))
    nothing = th.zeros(20_000)
    assert dqn_targets(nothing, 1.0, target, nothing).mean().item() == pytest.approx(1.54, abs=0.02)
    assert double_dqn_targets(nothing, 1.0, target, nothing, online).mean().item() == pytest.approx(0.0, abs=0.03)


def test_targets_are_data():
    inputs = [th.ones(2, requires_grad=True), th.ones(2, 3, requires_grad=True)]
    for targets in (
        td_target(inputs[0], 0.9, inputs[0], th.zeros(2)),
        dqn_targets(inputs[0], 0.9, inputs[1], th.zeros(2)),
        double_dqn_targets(inputs[0], 0.9, inputs[1], th.zeros(2), inputs[1]),
    ):
        assert targets.shape == (2,)
        assert not targets.requires_grad


# ---------------------------------------------------------------------------------------------------------------- loss


def test_td_loss_by_hand():
    values = th.tensor([1.0, 1.0, 1.0], requires_grad=True)
    loss = td_loss(values, th.tensor([1.5, 4.0, -9.0]))  # errors 0.5, 3 and -10
    loss.backward()
    assert loss.item() == pytest.approx((0.125 + 2.5 + 9.5) / 3)
    np.testing.assert_allclose(values.grad, np.array([-0.5, -1.0, 1.0]) / 3, rtol=1e-6)


@FEW
@given(batches())
def test_td_loss_is_sb3_s(batch):
    found, expected = [], []
    for loss, column in ((td_loss, False), (F.smooth_l1_loss, True)):
        values, targets = batch[0].clone().requires_grad_(), batch[3] * 5
        result = loss(*(v.reshape(-1, 1) if column else v for v in (values, targets)))
        (expected if column else found).extend([result.detach(), th.autograd.grad(result, values)[0]])
    for ours, theirs in zip(found, expected, strict=True):
        th.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-6)


def test_no_gradient_flows_through_the_targets_of_the_loss():
    values, targets = th.zeros(2, requires_grad=True), th.ones(2, requires_grad=True)
    td_loss(values, targets).backward()
    assert targets.grad is None


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("shape", WRONG_SHAPES)
def test_broadcasting_is_refused(shape):
    right, wrong, table = th.zeros(3), th.zeros(shape), th.zeros(3, 2)
    for call in (
        lambda: td_target(right, 0.9, wrong, right),
        lambda: td_target(right, 0.9, right, wrong),
        lambda: td_target(right, wrong, right, right),
        lambda: dqn_targets(wrong, 0.9, table, right),
        lambda: double_dqn_targets(right, 0.9, table, wrong, table),
        lambda: td_loss(right, wrong),
    ):
        with pytest.raises(ValueError, match="shapes must be equal"):
            call()


@pytest.mark.parametrize("shape", [(3,), (3, 2, 1), (3, 0)])
def test_q_values_are_a_table(shape):
    zeros, wrong = th.zeros(3), th.zeros(shape)
    with pytest.raises(ValueError, match=r"next_q_values must be \[N, n_actions\], got"):
        dqn_targets(zeros, 0.9, wrong, zeros)
    with pytest.raises(ValueError, match=r"next_q_values must be \[N, n_actions\], got"):
        double_dqn_targets(zeros, 0.9, wrong, zeros, wrong)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*next_online_q_values"):
        double_dqn_targets(zeros, 0.9, th.zeros(3, 2), zeros, wrong)
