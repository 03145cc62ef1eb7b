"""Clipped losses: values and gradients by hand, in plain loops, against SB3's PPO, and by exact expectations."""

import itertools
import math

import numpy as np
import pytest
import torch as th
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.common import policy_gradient_loss
from sb3_ext.common.clipped_losses import (
    aggregation_weights,
    cispo_loss,
    clip_fraction,
    clipped_surrogate_loss,
    episode_importance_ratios,
    importance_ratios,
)
from sb3_ext.common.group_advantages import group_relative_advantages

FEW = settings(max_examples=80, deadline=None)
clip_ranges = st.floats(0, 0.9)
SHAPES = [(3, 1), (1, 3), (1,), ()]


def vectors(n, low=-5.0, high=5.0):
    return arrays(np.float64, n, elements=st.floats(low, high)).map(th.tensor)


@st.composite
def steps(draw):
    """Log-probabilities (new and old), advantages and weights of N steps."""
    n = draw(st.integers(1, 8))
    return (*(draw(vectors(n, -2, 0)) for _ in range(2)), draw(vectors(n)), draw(vectors(n, 0, 3)))


def gradient(loss, parameters):
    return th.autograd.grad(loss, parameters, retain_graph=True)[0]


# ---------------------------------------------------------------------------------------------------------- ratios


def test_importance_ratios_by_hand():
    log_probs = th.tensor([0.5, 0.1, 0.3], dtype=th.float64).log().requires_grad_()
    ratios = importance_ratios(log_probs, th.tensor([0.25, 0.2, 0.3], dtype=th.float64).log())
    np.testing.assert_allclose(ratios.detach().numpy(), [2.0, 0.5, 1.0])
    np.testing.assert_allclose(gradient(ratios.sum(), log_probs).numpy(), [2.0, 0.5, 1.0])  # d r / d log pi = r


def test_old_log_probs_are_data():
    """Where the same tensor comes in twice, the ratio is 1 and still has a gradient."""
    log_probs = th.tensor([-1.0, -2.0], requires_grad=True)
    for ratios in (
        importance_ratios(log_probs, log_probs),
        episode_importance_ratios(log_probs, log_probs, th.tensor([0, 1]), 2),
    ):
        th.testing.assert_close(ratios, th.ones(2))
        th.testing.assert_close(gradient(ratios.sum(), log_probs), th.ones(2))


def test_episode_ratios_by_hand():
    """Episodes of two steps and of one, mixed: sqrt(2 * 8) = 4, and 3."""
    log_probs = th.tensor([2.0, 3.0, 8.0], dtype=th.float64).log()
    ratios = episode_importance_ratios(log_probs, th.zeros(3, dtype=th.float64), th.tensor([1, 0, 1]), 2)
    np.testing.assert_allclose(ratios.numpy(), [4.0, 3.0, 4.0])


@st.composite
def episodes(draw):
    """Steps and the episode of each, in any order; some episodes have no step."""
    log_probs, old_log_probs, advantages, weights = draw(steps())
    n_episodes = draw(st.integers(1, 5))
    episode = draw(arrays(np.int64, len(log_probs), elements=st.integers(0, n_episodes - 1)))
    return log_probs, old_log_probs, advantages, weights, th.tensor(episode), n_episodes


@FEW
@given(episodes())
def test_episode_ratios_are_geometric_means(case):
    log_probs, old_log_probs, _, _, episode, n_episodes = case
    found = episode_importance_ratios(log_probs, old_log_probs, episode, n_episodes)
    for i in range(len(episode)):
        own = [j for j in range(len(episode)) if episode[j] == episode[i]]
        product = math.prod(math.exp(log_probs[j]) / math.exp(old_log_probs[j]) for j in own)
        assert found[i].item() == pytest.approx(product ** (1 / len(own)))


@FEW
@given(episodes())
def test_gspo_s_gradient(case):
    """d/d log pi_t of sum_i w_i s_i A_i = s / L * (sum of w A over the episode): each step pulls all the others."""
    log_probs, old_log_probs, advantages, weights, episode, n_episodes = case
    log_probs.requires_grad_()
    ratios = episode_importance_ratios(log_probs, old_log_probs, episode, n_episodes)
    found = gradient(clipped_surrogate_loss(ratios, advantages, 1e9, 1e9, weights), log_probs)
    for i in range(len(episode)):
        own = [j for j in range(len(episode)) if episode[j] == episode[i]]
        pull = sum(weights[j].item() * advantages[j].item() for j in own)
        assert found[i].item() == pytest.approx(-ratios[i].item() * pull / len(own), abs=1e-9)


def test_gspo_s_objective():
    """With the weights of "grpo" and one advantage an episode: the mean over episodes of the clipped s_i A_i, eq. 5."""
    episode, advantage = th.tensor([0, 0, 0, 1]), th.tensor([2.0, -3.0])
    log_probs = th.tensor([0.1, 0.2, 0.3, -0.3], requires_grad=True)
    ratios = episode_importance_ratios(log_probs, th.zeros(4), episode, 2)
    weights = th.tensor(aggregation_weights([3, 1], "grpo"), dtype=th.float32)[episode]
    loss = clipped_surrogate_loss(ratios, advantage[episode], 0.05, 0.3, weights)
    s = [math.exp(0.2), math.exp(-0.3)]
    assert loss.item() == pytest.approx(-(2.0 * s[0] - 3.0 * 0.95) / 2)  # the second is clipped
    th.testing.assert_close(gradient(loss, log_probs), th.tensor([-s[0] / 3] * 3 + [0.0]))


@FEW
@given(episodes())
def test_episodes_of_one_step_have_that_step_s_ratio(case):
    log_probs, old_log_probs, *_ = case
    n = len(log_probs)
    found = episode_importance_ratios(log_probs, old_log_probs, th.arange(n), n)
    th.testing.assert_close(found, importance_ratios(log_probs, old_log_probs))


@pytest.mark.parametrize("shape", SHAPES)
def test_ratios_refuse_broadcasting(shape):
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'old_log_probs'"):
        importance_ratios(th.zeros(3), th.zeros(shape))
    episode = th.zeros(3, dtype=th.long)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'old_log_probs'"):
        episode_importance_ratios(th.zeros(3), th.zeros(shape), episode, 1)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'episode'"):
        episode_importance_ratios(th.zeros(3), th.zeros(3), th.zeros(shape, dtype=th.long), 1)


@pytest.mark.parametrize("episode", [th.tensor([0, 2]), th.tensor([-1, 0]), th.tensor([0.0, 1.0])])
def test_episodes_are_numbered(episode):
    with pytest.raises(ValueError, match=r"episode must hold whole numbers from 0 to 1, \[N\]"):
        episode_importance_ratios(th.zeros(2), th.zeros(2), episode, 2)


def test_episode_ratios_are_flat():
    zeros = th.zeros(2, 1)
    with pytest.raises(ValueError, match=r"episode must hold whole numbers"):
        episode_importance_ratios(zeros, zeros, zeros.long(), 1)


# ------------------------------------------------------------------------------------------------ clipped surrogate

#               ratio, advantage, surrogate, its slope in the ratio; clipped to [0.8, 1.3]
CASES = [
    (1.0, 2.0, 2.0, 2.0),
    (1.25, 2.0, 2.5, 2.0),  # inside, but for the higher upper bound
    (1.5, 2.0, 2.6, 0.0),  # likelier already: nothing more to gain
    (0.5, 2.0, 1.0, 2.0),  # wrongly unlikely: the full gradient back
    (1.5, -2.0, -3.0, -2.0),  # wrongly likely
    (0.5, -2.0, -1.6, 0.0),  # unlikely already
    (0.9, -2.0, -1.8, -2.0),
    (9.0, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize(("ratio", "advantage", "surrogate", "slope"), CASES)
def test_clipped_surrogate_by_hand(ratio, advantage, surrogate, slope):
    ratios = th.tensor([ratio], dtype=th.float64, requires_grad=True)
    advantages = th.tensor([advantage], dtype=th.float64)
    loss = clipped_surrogate_loss(ratios, advantages, clip_range=0.2, clip_range_high=0.3)
    assert loss.item() == pytest.approx(-surrogate)
    assert gradient(loss, ratios).item() == pytest.approx(-slope)


def test_the_cases_together():
    ratios, advantages, surrogates, slopes = (th.tensor(column) for column in zip(*CASES, strict=True))
    weights = th.arange(1.0, len(CASES) + 1)
    ratios.requires_grad_()
    loss = clipped_surrogate_loss(ratios, advantages, 0.2, 0.3, weights)
    th.testing.assert_close(loss, -(weights * surrogates).sum())
    th.testing.assert_close(gradient(loss, ratios), -weights * slopes)
    th.testing.assert_close(clipped_surrogate_loss(ratios, advantages, 0.2, 0.3), -surrogates.mean())


@FEW
@given(steps(), clip_ranges)
def test_the_default_is_sb3_s_ppo(case, clip_range):
    """Value and gradient of the expression in stable_baselines3/ppo/ppo.py."""
    log_probs, old_log_probs, advantages, _ = case
    ours, theirs = log_probs.clone().requires_grad_(), log_probs.clone().requires_grad_()
    loss = clipped_surrogate_loss(importance_ratios(ours, old_log_probs), advantages, clip_range)

    ratio = th.exp(theirs - old_log_probs)
    policy_loss_1 = advantages * ratio
    policy_loss_2 = advantages * th.clamp(ratio, 1 - clip_range, 1 + clip_range)
    policy_loss = -th.min(policy_loss_1, policy_loss_2).mean()
    th.testing.assert_close(loss, policy_loss)
    th.testing.assert_close(gradient(loss, ours), gradient(policy_loss, theirs))


@FEW
@given(steps(), clip_ranges, clip_ranges)
def test_clipped_surrogate_is_the_weighted_sum(case, low, high):
    log_probs, old_log_probs, advantages, weights = case
    ratios = importance_ratios(log_probs, old_log_probs)
    slow = 0.0
    for r, a, w in zip(ratios.tolist(), advantages.tolist(), weights.tolist(), strict=True):
        clipped = 1 - low if r < 1 - low else 1 + high if r > 1 + high else r
        slow -= w * min(r * a, clipped * a)
    loss = clipped_surrogate_loss(ratios, advantages, low, high, weights)
    assert loss.item() == pytest.approx(slow, abs=1e-9)
    assert loss.item() >= -(weights * ratios * advantages).sum().item() - 1e-9  # a pessimist


@FEW
@given(steps(), clip_ranges)
def test_at_the_old_policy_it_is_the_policy_gradient(case, clip_range):
    log_probs, _, advantages, _ = case
    assume(clip_range > 1e-6)
    log_probs.requires_grad_()
    n = len(log_probs)
    expected = gradient(policy_gradient_loss(log_probs, advantages, n), log_probs)
    ratios = importance_ratios(log_probs, log_probs)
    th.testing.assert_close(gradient(clipped_surrogate_loss(ratios, advantages, clip_range), log_probs), expected)
    th.testing.assert_close(gradient(cispo_loss(log_probs, ratios, advantages, 5.0), log_probs), expected)


# ------------------------------------------------------------------------------------------------------------ CISPO


@FEW
@given(steps(), st.floats(0, 5))
def test_cispo_s_gradient_is_the_capped_ratio_times_the_advantage(case, cap):
    """Of every step, clipped or not, and with no lower bound."""
    log_probs, old_log_probs, advantages, weights = case
    log_probs.requires_grad_()
    ratios = importance_ratios(log_probs, old_log_probs)
    loss = cispo_loss(log_probs, ratios, advantages, cap, weights)
    found = gradient(loss, log_probs)
    value = 0.0
    for i, (log_prob, ratio) in enumerate(zip(log_probs.tolist(), ratios.tolist(), strict=True)):
        pull = weights[i].item() * min(ratio, cap) * advantages[i].item()
        assert found[i].item() == pytest.approx(-pull, abs=1e-12)
        value -= pull * log_prob
    assert loss.item() == pytest.approx(value, abs=1e-9)


def test_cispo_keeps_the_gradient_that_the_surrogate_cuts():
    log_probs = th.tensor([0.0, 0.0], requires_grad=True)
    old_log_probs, advantages = th.tensor([8.0, 0.125]).log().neg(), th.tensor([1.0, -1.0])
    ratios = importance_ratios(log_probs, old_log_probs)  # 8 and 1/8, both past their bound
    th.testing.assert_close(gradient(clipped_surrogate_loss(ratios, advantages), log_probs), th.zeros(2))
    found = gradient(cispo_loss(log_probs, ratios, advantages, 5.0), log_probs)
    th.testing.assert_close(found, th.tensor([-5.0 / 2, 0.125 / 2]))


def test_the_cap_is_the_weight_itself():
    """Not 1 + clip_range_high: a cap of 0.2 leaves a fifth of the gradient of data just played."""
    log_probs = th.tensor([-1.0, -2.0], requires_grad=True)
    loss = cispo_loss(log_probs, th.ones(2), th.tensor([1.0, -3.0]), clip_range_high=0.2, weights=th.ones(2))
    th.testing.assert_close(gradient(loss, log_probs), th.tensor([-0.2, 0.6]))


# ------------------------------------------------------------------------------------------------------ data, errors


def test_advantages_and_weights_are_data():
    log_probs, values = th.tensor([-1.0, -2.0], requires_grad=True), th.tensor([0.5, 1.0], requires_grad=True)
    ratios = importance_ratios(log_probs, th.tensor([-1.1, -2.0]))
    weights = values * 2
    for loss in (
        clipped_surrogate_loss(ratios, 3.0 - values, weights=weights),
        cispo_loss(log_probs, ratios, 3.0 - values, 5.0, weights),
    ):
        loss.backward(retain_graph=True)
        assert values.grad is None
        assert log_probs.grad.abs().sum() > 0


def test_cispo_s_ratios_are_data():
    log_probs, ratios = th.zeros(2, requires_grad=True), th.ones(2, requires_grad=True)
    cispo_loss(log_probs, ratios, th.ones(2), 5.0).backward()
    assert ratios.grad is None


@pytest.mark.parametrize("shape", SHAPES)
def test_losses_refuse_broadcasting(shape):
    flat, other = th.zeros(3), th.ones(shape)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'advantages'"):
        clipped_surrogate_loss(flat, other)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'advantages'"):
        clip_fraction(flat, other, 0.2)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'ratios'"):
        cispo_loss(flat, other, flat, 5.0)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'advantages'"):
        cispo_loss(flat, flat, other, 5.0)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'weights'"):
        clipped_surrogate_loss(flat, flat, weights=other)
    with pytest.raises(ValueError, match=r"shapes must be equal, got .*'weights'"):
        cispo_loss(flat, flat, flat, 5.0, other)


@pytest.mark.parametrize("wrong", [-0.1, math.nan])
def test_clip_ranges_are_not_negative(wrong):
    flat = th.zeros(3)
    for low, high in [(wrong, None), (wrong, 0.2), (0.2, wrong)]:
        with pytest.raises(ValueError, match=f"clip ranges must be 0 or more, got .*{wrong}"):
            clipped_surrogate_loss(flat, flat, low, high)
        with pytest.raises(ValueError, match=f"clip ranges must be 0 or more, got .*{wrong}"):
            clip_fraction(flat, flat, low, high)
    with pytest.raises(ValueError, match=f"the cap must be 0 or more, got clip_range_high={wrong}"):
        cispo_loss(flat, flat, flat, wrong)


# ---------------------------------------------------------------------------------------------------- clip fraction


def test_clip_fraction_by_hand():
    ratios, advantages, *_ = (th.tensor(column) for column in zip(*CASES, strict=True))
    assert clip_fraction(ratios, advantages, 0.2, 0.3) == pytest.approx(2 / 8)
    assert clip_fraction(ratios, advantages, 0.2) == pytest.approx(3 / 8)  # 1.25 too
    assert clip_fraction(ratios, -advantages, 0.2, 0.3) == pytest.approx(2 / 8)
    assert clip_fraction(ratios, advantages, 0.6, 8.0) == 0.0
    assert isinstance(clip_fraction(ratios, advantages, 0.2), float)
    assert math.isnan(clip_fraction(th.zeros(0), th.zeros(0), 0.2))


@FEW
@given(steps(), clip_ranges, clip_ranges)
def test_clip_fraction_counts_the_steps_that_lost_their_gradient(case, low, high):
    log_probs, old_log_probs, advantages, _ = case
    advantages = th.where(advantages.abs() < 0.1, 1.0, advantages)
    ratios = importance_ratios(log_probs, old_log_probs).requires_grad_()
    slopes = gradient(clipped_surrogate_loss(ratios, advantages, low, high), ratios)
    lost = sum(slope == 0 for slope in slopes.tolist())
    assert clip_fraction(ratios, advantages, low, high) == pytest.approx(lost / len(ratios))


# ------------------------------------------------------------------------------------------------------ aggregation


def test_aggregation_by_hand():
    lengths = [2, 3, 5]
    np.testing.assert_allclose(aggregation_weights(lengths, "grpo"), [1 / 6, 1 / 9, 1 / 15])
    np.testing.assert_allclose(aggregation_weights(lengths, "bnpo"), [1 / 10] * 3)
    np.testing.assert_allclose(aggregation_weights(lengths, "dr_grpo", max_length=20), [1 / 60] * 3)
    for loss_type in ("dapo", "cispo"):
        np.testing.assert_allclose(aggregation_weights(lengths, loss_type, mean_minibatch_steps=8), [1 / 8] * 3)


LENGTHS = arrays(np.int64, st.integers(1, 6), elements=st.integers(1, 50))


@FEW
@given(st.lists(LENGTHS, min_size=1, max_size=4))
def test_what_a_minibatch_and_a_batch_weigh(minibatches):
    """ "grpo" and "bnpo": every minibatch 1; "dapo": 1 on average; "dr_grpo": its share of the steps there could be."""
    n_steps, longest = sum(lengths.sum() for lengths in minibatches), max(lengths.max() for lengths in minibatches)
    sizes = {"max_length": longest, "mean_minibatch_steps": n_steps / len(minibatches)}
    total = dict.fromkeys(("grpo", "bnpo", "dapo", "cispo"), 0.0)
    for lengths in minibatches:
        for loss_type in total:
            weights = aggregation_weights(lengths, loss_type, **sizes)
            assert weights.shape == lengths.shape
            total[loss_type] += sum(weights * lengths)
        np.testing.assert_allclose(aggregation_weights(lengths, "grpo") * lengths, 1 / len(lengths))
        assert sum(aggregation_weights(lengths, "bnpo") * lengths) == pytest.approx(1)
        dr_grpo = sum(aggregation_weights(lengths, "dr_grpo", **sizes) * lengths)
        assert dr_grpo == pytest.approx(np.mean(lengths) / longest)
    assert total == pytest.approx(dict.fromkeys(total, len(minibatches)))


@FEW
@given(LENGTHS)
def test_a_single_minibatch_makes_dapo_bnpo(lengths):
    found = aggregation_weights(lengths, "dapo", mean_minibatch_steps=lengths.sum())
    np.testing.assert_allclose(found, aggregation_weights(lengths, "bnpo"))


def test_lengths_stay_as_they_are():
    lengths = np.array([1, 2])
    aggregation_weights(lengths, "grpo")[:] = 9.0
    np.testing.assert_array_equal(lengths, [1, 2])


def test_aggregation_errors():
    with pytest.raises(ValueError, match=r"loss_type must be one of \('grpo', .*'dr_grpo'\), got 'ppo'"):
        aggregation_weights([1, 2], "ppo")
    for lengths in ([], [0, 3], [[1, 2]], 3, [1.0, np.nan]):
        with pytest.raises(ValueError, match="lengths must be numbers of at least 1, one for each episode; got"):
            aggregation_weights(lengths, "grpo")
    for wrong in (None, 0, -1, np.nan):
        with pytest.raises(ValueError, match=f"loss_type='dr_grpo' needs max_length above 0, got {wrong}"):
            aggregation_weights([1, 2], "dr_grpo", max_length=wrong, mean_minibatch_steps=3)
        for loss_type in ("dapo", "cispo"):
            match = f"loss_type='{loss_type}' needs mean_minibatch_steps above 0, got {wrong}"
            with pytest.raises(ValueError, match=match):
                aggregation_weights([1, 2], loss_type, max_length=3, mean_minibatch_steps=wrong)


def two_lengths(logits):
    """The first action ends the episode or goes on to two more: (log pi of each step, return)."""
    first, second, third = (th.log_softmax(logits[i : i + 2], dim=0) for i in (0, 2, 4))
    episodes = [([first[0]], 3.0)]
    for i, j in itertools.product(range(2), repeat=2):
        episodes.append(([first[1], second[i], third[j]], [[-6.0, 1.0], [2.0, 9.0]][i][j]))
    return episodes


@pytest.mark.parametrize("loss_type", ["dr_grpo", "grpo", "bnpo"])
def test_only_dr_grpo_keeps_the_direction_of_the_policy_gradient(loss_type):
    """Over all pairs of episodes, on data just played: a constant divisor changes nothing but the size."""
    logits = th.tensor([0.3, -0.5, 0.8, 0.1, 0.0, 0.4], dtype=th.float64, requires_grad=True)
    total = th.zeros_like(logits)
    for pair in itertools.product(two_lengths(logits), repeat=2):
        lengths = [len(log_pi) for log_pi, _ in pair]
        log_probs = th.stack([step for log_pi, _ in pair for step in log_pi])
        advantages = group_relative_advantages([[r for _, r in pair]], scale_rewards="none", leave_one_out=True)[0]
        advantages, weights = (
            th.as_tensor(np.repeat(array, lengths))
            for array in (advantages, aggregation_weights(lengths, loss_type, max_length=3))
        )
        loss = clipped_surrogate_loss(importance_ratios(log_probs, log_probs), advantages, weights=weights)
        total -= log_probs.detach().sum().exp() * gradient(loss, logits)
    objective = sum(th.stack(log_pi).sum().exp() * return_ for log_pi, return_ in two_lengths(logits))
    exact = gradient(objective, logits)
    if loss_type == "dr_grpo":
        th.testing.assert_close(total, exact / 3, rtol=0, atol=1e-12)
    else:
        assert th.cosine_similarity(total, exact, dim=0) < 0.999  # 0.9988 for bnpo, whose bias is small
