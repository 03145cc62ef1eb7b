"""Losses on preferences: numbers by hand, minima where the theory has them, gradients, TRL where it is installed."""

import math
from collections import defaultdict
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.common import bradley_terry_loss, dpo_loss, ipo_loss, kto_loss, orpo_loss
from sb3_ext.common.preferences import check_beta

PAIR_LOSSES = {"dpo": dpo_loss, "ipo": ipo_loss, "orpo": orpo_loss}
ratios = st.floats(-5, 5, width=32)
betas = st.floats(0.05, 5)


def log_sigmoid(x):
    return -math.log1p(math.exp(-x)) if x > -30 else x


def test_bradley_terry_by_hand():
    chosen, rejected = th.tensor([2.0, 0.0]), th.tensor([0.0, 1.0])
    expected = -(log_sigmoid(2) + log_sigmoid(-1)) / 2
    assert bradley_terry_loss(chosen, rejected).item() == pytest.approx(expected, rel=1e-6)


def test_bradley_terry_with_an_exact_probability_is_the_cross_entropy():
    chosen, rejected = th.tensor([2.0]), th.tensor([0.0])
    loss = bradley_terry_loss(chosen, rejected, probability=th.tensor([0.3]))
    assert loss.item() == pytest.approx(-0.3 * log_sigmoid(2) - 0.7 * log_sigmoid(-2), rel=1e-6)


@given(ratios, ratios, betas, st.floats(0, 0.49))
@settings(max_examples=50, deadline=None)
def test_dpo_by_hand(chosen, rejected, beta, smoothing):
    loss = dpo_loss(th.tensor([chosen]).double(), th.tensor([rejected]).double(), beta, smoothing)
    margin = beta * (chosen - rejected)
    expected = -(1 - smoothing) * log_sigmoid(margin) - smoothing * log_sigmoid(-margin)
    assert loss.item() == pytest.approx(expected, rel=1e-9)


@given(ratios, ratios, betas, st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_swapping_a_pair_and_its_probability_changes_nothing(chosen, rejected, beta, probability):
    first, second, p = (th.tensor([x]).double() for x in (chosen, rejected, probability))
    for loss in (dpo_loss, ipo_loss):
        here = loss(first, second, beta, probability=p)
        there = loss(second, first, beta, probability=1 - p)
        assert here.item() == pytest.approx(there.item(), rel=1e-9, abs=1e-12)


def test_ipo_by_hand():
    assert ipo_loss(th.tensor([1.0]), th.tensor([0.5]), beta=0.25).item() == pytest.approx((0.5 - 2) ** 2)
    smoothed = ipo_loss(th.tensor([1.0]), th.tensor([0.5]), beta=0.25, label_smoothing=0.1)
    assert smoothed.item() == pytest.approx(0.9 * 1.5**2 + 0.1 * 2.5**2)


def test_kto_by_hand():
    loss = kto_loss(th.tensor([1.0, -2.0]), th.tensor([1.0, 0.0]), 0.5, 2.0, 1.0, 3.0)
    good, bad = 1 - 1 / (1 + math.exp(-2 * 0.5)), 3 * (1 - 1 / (1 + math.exp(2 * -2.5)))
    assert loss.item() == pytest.approx((good + bad) / 2)


def test_kto_s_reference_point_is_data_and_never_below_zero():
    ratio = th.tensor([1.0], requires_grad=True)
    kl = th.tensor(0.3, requires_grad=True)
    kto_loss(ratio, th.tensor([1.0]), kl, beta=1.0).backward()
    assert kl.grad is None
    assert ratio.grad is not None
    below = kto_loss(th.tensor([1.0]), th.tensor([1.0]), -5.0, beta=1.0)
    assert below == kto_loss(th.tensor([1.0]), th.tensor([1.0]), 0.0, beta=1.0)


def test_orpo_by_hand():
    odds = (0.5 / 0.5) / (0.25 / 0.75)
    expected = -math.log(0.5) - 0.2 * log_sigmoid(math.log(odds))
    loss = orpo_loss(th.tensor([0.5]).log(), th.tensor([0.25]).log(), beta=0.2)
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_orpo_stays_finite_where_a_response_is_certain():
    certain = th.tensor([0.0], requires_grad=True)
    loss = orpo_loss(certain, th.tensor([-50.0]), beta=1.0)
    loss.backward()
    assert th.isfinite(loss)
    assert th.isfinite(certain.grad).all()


def test_dpo_is_bradley_terry_with_beta_times_the_log_ratio_as_score():
    chosen, rejected = th.randn(2, 8, generator=th.Generator().manual_seed(0))
    assert dpo_loss(chosen, rejected, 0.3) == pytest.approx(bradley_terry_loss(0.3 * chosen, 0.3 * rejected).item())


def minimise(loss, size):
    """Log-ratios that minimise a loss."""
    free = th.zeros(size, dtype=th.float64, requires_grad=True)
    optimizer = th.optim.LBFGS([free], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-10)

    def closure():
        optimizer.zero_grad()
        value = loss(free)
        value.backward()
        return value

    optimizer.step(closure)
    return free.detach()


def test_with_exact_probabilities_dpo_ends_at_the_rewards():
    """beta (log ratio) = reward + constant: the policy is the KL-regularised optimum."""
    rewards, beta = th.tensor([0.0, 1.0, -0.5, 2.0], dtype=th.float64), 0.4
    first, second = th.triu_indices(4, 4, offset=1)
    p = th.sigmoid(rewards[first] - rewards[second])
    found = minimise(lambda r: dpo_loss(r[first], r[second], beta, probability=p), 4)
    implied = beta * found
    th.testing.assert_close(implied - implied[0], rewards - rewards[0], atol=1e-4, rtol=0)


def test_with_exact_probabilities_ipo_s_margin_is_that_of_its_docstring():
    p, beta = th.tensor([0.8], dtype=th.float64), 0.5
    found = minimise(lambda r: ipo_loss(r[:1], r[1:], beta, probability=p), 2)
    assert (found[0] - found[1]).item() == pytest.approx((2 * 0.8 - 1) / (2 * beta), abs=1e-5)


def test_label_smoothing_keeps_dpo_s_margin_finite():
    found = minimise(lambda r: dpo_loss(r[:1], r[1:], 0.5, label_smoothing=0.1), 2)
    assert (found[0] - found[1]).item() == pytest.approx(math.log(9) / 0.5, abs=1e-3)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_gradients_raise_the_chosen_and_lower_the_rejected(name):
    chosen, rejected = (th.tensor([-1.0], requires_grad=True) for _ in range(2))
    PAIR_LOSSES[name](chosen, rejected, 0.5).backward()
    assert chosen.grad.item() < 0 < rejected.grad.item()


@pytest.mark.parametrize("name", PAIR_LOSSES)
@pytest.mark.parametrize("beta", [0.0, -1.0, math.nan])
def test_a_beta_that_is_not_above_zero_is_refused(name, beta):
    with pytest.raises(ValueError, match="beta must be above 0, got"):
        PAIR_LOSSES[name](-th.ones(1), -th.ones(1), beta)
    with pytest.raises(ValueError, match="beta must be above 0, got"):
        kto_loss(-th.ones(1), th.ones(1), 0.0, beta)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_shapes_and_ranges_are_checked(name):
    loss, one = PAIR_LOSSES[name], -th.ones(2)
    with pytest.raises(ValueError, match="shapes must be equal"):
        loss(one, one[:, None], 0.5)
    with pytest.raises(ValueError, match=r"label_smoothing must lie in \[0, 0.5\), got 0.5"):
        loss(one, one, 0.5, label_smoothing=0.5)
    with pytest.raises(ValueError, match=r"probabilities must lie in \[0, 1\], got 1.5 to 1.5"):
        loss(one, one, 0.5, probability=th.full((2,), 1.5))
    with pytest.raises(ValueError, match="shapes must be equal"):
        loss(one, one, 0.5, probability=th.ones(1))


def trl_dpo_loss(loss_type, log_probs, ref_log_probs, beta):
    """What TRL's trainer makes of the log-probabilities of responses of one token, [2, N]: chosen, rejected."""
    trainer = pytest.importorskip("trl.trainer.dpo_trainer", reason="an optional check").DPOTrainer
    rows = log_probs.reshape(-1, 1)
    outputs = SimpleNamespace(log_probs=rows, entropy=rows, mean_logits=rows, is_top1=rows > 0)
    model = MagicMock(return_value=outputs, training=True)
    accelerator = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)
    own = SimpleNamespace(
        model=model, accelerator=accelerator, aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=True,
        f_divergence_type="reverse_kl", loss_types=[loss_type], loss_weights=[1.0], beta=beta, label_smoothing=0.0,
        use_weighting=False, _metrics=defaultdict(lambda: defaultdict(list)), _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    tokens = th.ones(len(rows), 2, dtype=th.long)
    mask = th.tensor([[0, 1]]).repeat(len(rows), 1)
    inputs = {"input_ids": tokens, "attention_mask": tokens, "completion_mask": mask,
              "ref_chosen_logps": ref_log_probs[0], "ref_rejected_logps": ref_log_probs[1]}  # fmt: skip
    return trainer._compute_loss(own, model, inputs, False)


@pytest.mark.parametrize(("loss_type", "loss"), [("sigmoid", dpo_loss), ("ipo", ipo_loss)])
def test_same_numbers_as_trl(loss_type, loss):
    log_probs, ref_log_probs = -3 * th.rand(2, 2, 16, generator=th.Generator().manual_seed(0))
    theirs = trl_dpo_loss(loss_type, log_probs, ref_log_probs, beta=0.3)
    th.testing.assert_close(loss(*(log_probs - ref_log_probs), beta=0.3), theirs)


def test_same_odds_ratios_as_trl():
    trainer = pytest.importorskip("trl.experimental.orpo.orpo_trainer", reason="an optional check").ORPOTrainer
    chosen, rejected = -0.1 - 3 * th.rand(2, 16, generator=th.Generator().manual_seed(0))
    own = SimpleNamespace(beta=0.3, accelerator=SimpleNamespace(device="cpu"))
    theirs = -chosen.mean() - trainer.odds_ratio_loss(own, chosen, rejected)[0].mean()
    th.testing.assert_close(orpo_loss(chosen, rejected, beta=0.3), theirs)


def test_an_infinite_beta_is_refused():
    with pytest.raises(ValueError, match="beta must be finite"):
        check_beta(math.inf)
