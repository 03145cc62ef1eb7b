"""Bandits: the learners' equations by hand, the figures of chapter 2 within their spread, one bandit to play."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_ext.envs.textbook.bandit_learners import (
    Memory,
    blank_memory,
    epsilon_greedy,
    gradient_bandit,
    greedy,
    softmax,
    thompson,
    ucb,
    update_estimates,
    update_preferences,
)
from sb3_ext.envs.textbook.bandits import Bandit, play_testbed

EXPECTED_MAXIMUM = 1.538753  # of ten standard normal numbers (tables of order statistics)


def memory_of(values, counts, mean_reward=0.0):
    return Memory(np.array(values, dtype=float), np.array(counts), np.array(mean_reward))


def shares(arms, n_arms):
    return np.bincount(arms, minlength=n_arms) / len(arms)


def many(memory, n=20_000):
    """The same memory for n learners side by side."""
    return Memory(*(np.broadcast_to(part, (n, *part.shape)) for part in memory))


# --- select ---------------------------------------------------------------------------------------------------------


def test_greedy_breaks_ties_evenly_and_only_ties():
    arms = greedy(many(memory_of([1.0, 0.0, 1.0, 1.0], [0] * 4)).values, np.random.default_rng(0))
    np.testing.assert_allclose(shares(arms, 4), [1 / 3, 0, 1 / 3, 1 / 3], atol=0.02)


def test_greedy_takes_negative_scores():
    assert greedy(np.array([-3.0, -1.0, -2.0]), np.random.default_rng(0)) == 1


def test_epsilon_greedy_explores_as_often_as_it_says():
    arms = epsilon_greedy(many(memory_of([0.0, 5.0, 0.0, 0.0], [1] * 4)), np.random.default_rng(0), epsilon=0.2)
    np.testing.assert_allclose(shares(arms, 4), [0.05, 0.85, 0.05, 0.05], atol=0.02)


def test_ucb_by_hand():
    """t = 12: 1 + 2 sqrt(ln 12 / 10) = 1.997 against 0.2 + 2 sqrt(ln 12 / 1) = 3.353; with c = 0.5, 1.249 and 0.988."""
    memory = memory_of([1.0, 0.2], [10, 1])
    rng = np.random.default_rng(0)
    assert ucb(memory, rng, c=2.0) == 1
    assert ucb(memory, rng, c=0.5) == 0
    assert ucb(memory_of([9.0, 0.0], [10, 0]), rng, c=0.5) == 1  # never pulled comes first


def test_gradient_bandit_samples_its_softmax():
    arms = gradient_bandit(many(memory_of(np.log([1.0, 2.0, 5.0]), [0] * 3)), np.random.default_rng(0))
    np.testing.assert_allclose(shares(arms, 3), [0.125, 0.25, 0.625], atol=0.02)


def test_thompson_chooses_with_the_probability_of_being_best():
    """Posteriors N(0.75, 1/4) after 3 pulls of mean 1, N(0, 1) before any: P(best) = Phi(0.75 / sqrt(1.25)) = 0.749."""
    arms = thompson(many(memory_of([1.0, 0.0], [3, 0])), np.random.default_rng(0))
    assert shares(arms, 2)[0] == pytest.approx(0.7488, abs=0.015)


@given(arrays(np.float64, (3, 4), elements=st.floats(-700, 700)))
@settings(max_examples=50, deadline=None)
def test_softmax_is_a_distribution_and_ignores_shifts(preferences):
    probability = softmax(preferences)
    np.testing.assert_allclose(probability.sum(axis=-1), 1.0)
    np.testing.assert_allclose(softmax(preferences + 3.0), probability, atol=1e-9)


# --- update ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-10, 10)), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_sample_averages_are_averages(pulls):
    memory = blank_memory((3,), initial_value=7.0)
    for arm, reward in pulls:
        memory = update_estimates(memory, np.array(arm), np.array(reward))
    for arm in range(3):
        seen = [reward for pulled, reward in pulls if pulled == arm]
        assert memory.counts[arm] == len(seen)
        assert memory.values[arm] == pytest.approx(np.mean(seen) if seen else 7.0, abs=1e-9)
    assert memory.mean_reward == pytest.approx(np.mean([reward for _, reward in pulls]), abs=1e-9)


def test_a_constant_step_size_weights_recent_rewards_more():
    """Eq. 2.6: Q = (1 - alpha)^2 Q1 + alpha (1 - alpha) R1 + alpha R2."""
    memory = blank_memory((2,), initial_value=5.0)
    for reward in (1.0, 3.0):
        memory = update_estimates(memory, np.array(0), np.array(reward), step_size=0.1)
    np.testing.assert_allclose(memory.values, [0.81 * 5 + 0.09 * 1 + 0.1 * 3, 5.0])


def test_the_gradient_update_ascends_the_expected_reward_on_average():
    """Averaged over arms, eq. 2.12 is alpha dE[R]/dH (the book's derivation), with and without a baseline."""
    preferences, means = np.array([0.3, -0.2, 1.0]), np.array([1.0, 4.0, 2.0])
    pi = softmax(preferences)
    exact = pi * (means - pi @ means)
    memory = memory_of(preferences, [1, 1, 1], mean_reward=0.0)
    updates = [update_preferences(memory, np.array(a), means[a], 0.5, baseline=False).values for a in range(3)]
    np.testing.assert_allclose(pi @ (np.array(updates) - preferences), 0.5 * exact)


def test_the_baseline_is_the_average_reward_so_far():
    memory = memory_of([0.0, 0.0], [1, 1], mean_reward=3.0)  # then 6.0: average 4.0, advantage 2.0
    np.testing.assert_allclose(update_preferences(memory, np.array(0), np.array(6.0), 0.1).values, [0.1, -0.1])


def test_updates_leave_their_input_alone_and_treat_every_bandit_apart():
    memory = blank_memory((2, 3))
    after = update_estimates(memory, np.array([0, 2]), np.array([1.0, 2.0]))
    assert memory.values.sum() == 0
    np.testing.assert_array_equal(after.values, [[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    np.testing.assert_array_equal(after.counts, [[1, 0, 0], [0, 0, 1]])


# --- the figures of chapter 2 -----------------------------------------------------------------------------------------

FIGURES = [  # share of optimal pulls in the last hundred steps, as read off the book's curves
    pytest.param(partial(epsilon_greedy, epsilon=0.1), update_estimates, {}, 0.80, id="2.2 epsilon 0.1"),
    pytest.param(partial(epsilon_greedy, epsilon=0.01), update_estimates, {}, 0.60, id="2.2 epsilon 0.01"),
    pytest.param(partial(epsilon_greedy, epsilon=0.0), update_estimates, {}, 0.36, id="2.2 greedy"),
    pytest.param(
        partial(epsilon_greedy, epsilon=0.0),
        partial(update_estimates, step_size=0.1),
        {"initial_value": 5.0},
        0.85,
        id="2.3 optimistic",
    ),
    pytest.param(gradient_bandit, update_preferences, {"mean": 4.0}, 0.86, id="2.5 gradient, baseline"),
    pytest.param(
        gradient_bandit,
        partial(update_preferences, baseline=False),
        {"mean": 4.0},
        0.50,
        id="2.5 gradient, no baseline",
    ),
]


@pytest.mark.parametrize(("select", "update", "options", "book"), FIGURES)
def test_figures_of_chapter_2(select, update, options, book):
    run = play_testbed(select, update, np.random.default_rng(0), n_bandits=1000, **options)
    share = run.optimal[-100:].mean(axis=0)
    standard_error = share.std() / np.sqrt(share.size)
    assert share.mean() == pytest.approx(book, abs=4 * standard_error + 0.02)  # 0.02: the width of the printed line


def test_ucb_beats_epsilon_greedy_and_thompson_beats_both():
    """Figure 2.4's order; regret over 1000 steps is exact, so its spread is that of the bandits alone."""
    players = {"epsilon": partial(epsilon_greedy, epsilon=0.1), "ucb": ucb, "thompson": thompson}
    regret = {
        name: play_testbed(select, update_estimates, np.random.default_rng(1), n_bandits=500).regret.sum(axis=0)
        for name, select in players.items()
    }
    error = {name: total.std() / np.sqrt(total.size) for name, total in regret.items()}
    for worse, better in (("epsilon", "ucb"), ("ucb", "thompson")):
        assert regret[worse].mean() - regret[better].mean() > 4 * np.hypot(error[worse], error[better])


def test_constant_steps_follow_drifting_means_better():
    """Exercise 2.5, at 3000 steps: a constant step size ends with less regret than the sample average."""

    def late_regret(step_size):
        update = partial(update_estimates, step_size=step_size)
        run = play_testbed(epsilon_greedy, update, np.random.default_rng(2), n_bandits=300, n_steps=3000, drift=0.01)
        return run.regret[-1000:].mean(axis=0)

    averaged, constant = late_regret(None), late_regret(0.1)
    error = np.hypot(averaged.std(), constant.std()) / np.sqrt(averaged.size)
    assert averaged.mean() - constant.mean() > 4 * error


def test_the_regret_of_random_play_is_the_expected_maximum():
    run = play_testbed(
        partial(epsilon_greedy, epsilon=1.0), update_estimates, np.random.default_rng(0), n_bandits=4000, n_steps=20
    )
    per_bandit = run.regret.mean(axis=0)
    error = per_bandit.std() / np.sqrt(per_bandit.size)
    assert run.regret.mean() == pytest.approx(EXPECTED_MAXIMUM, abs=4 * error)
    assert run.optimal.mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / run.optimal.size))
    assert run.reward.mean() == pytest.approx(0.0, abs=4 * np.sqrt(2 / 4000))


def test_the_testbed_repeats_with_its_seed():
    one, two, other = (
        play_testbed(ucb, update_estimates, np.random.default_rng(seed), n_bandits=5, n_steps=50, drift=0.1)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one.reward, two.reward)
    assert not np.array_equal(one.reward, other.reward)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bandits": 0}, "n_bandits must be at least 1, got 0"),
        ({"n_steps": -1}, "n_steps must be at least 1, got -1"),
        ({"n_arms": 0}, "n_arms must be at least 1, got 0"),
        ({"drift": -0.1}, "drift is a standard deviation.*-0.1"),
        ({"drift": float("nan")}, "drift is a standard deviation.*nan"),
    ],
)
def test_the_testbed_refuses_bad_numbers(options, message):
    with pytest.raises(ValueError, match=message):
        play_testbed(ucb, update_estimates, np.random.default_rng(0), **options)


# --- one bandit as an environment -------------------------------------------------------------------------------------


def test_the_bandit_is_told_by_its_problem_not_by_the_seed():
    bandit = Bandit(problem=7)
    before = bandit.means.copy()
    bandit.reset(seed=123)
    np.testing.assert_array_equal(bandit.means, before)
    np.testing.assert_array_equal(bandit.exact_values(), [before.max()])
    assert not np.array_equal(Bandit(problem=8).means, before)
    assert bandit.action_space.n == 10


def test_rewards_scatter_around_the_means_and_regret_is_exact():
    bandit = Bandit(means=[1.0, 3.0])
    bandit.reset(seed=0)
    pulls = [bandit.step(np.int64(0)) for _ in range(4000)]
    rewards = np.array([pull[1] for pull in pulls])
    assert rewards.mean() == pytest.approx(1.0, abs=4 / np.sqrt(4000))
    assert rewards.std() == pytest.approx(1.0, abs=0.05)
    assert {pull[4]["regret"] for pull in pulls} == {2.0}
    assert all(terminated and not truncated for _, _, terminated, truncated, _ in pulls)
    assert bandit.step(np.int64(1))[4]["regret"] == 0.0


def test_drift_is_a_random_walk_that_a_seeded_reset_takes_back():
    bandit = Bandit(means=[0.0] * 2000, drift=0.1, endless=True)
    bandit.reset(seed=0)
    for _ in range(25):
        assert not bandit.step(np.int64(0))[2]
    assert bandit.means.std() == pytest.approx(0.1 * 5, rel=0.1)
    drifted = bandit.means.copy()
    bandit.reset()
    np.testing.assert_array_equal(bandit.means, drifted)
    bandit.reset(seed=1)
    np.testing.assert_array_equal(bandit.means, 0.0)


def test_a_bandit_is_an_mdp_unless_it_drifts():
    mdp = Bandit(means=[1.0, 3.0]).mdp
    np.testing.assert_array_equal(mdp.expected_reward, [[1.0, 3.0]])
    assert mdp.terminated.all()
    assert not Bandit(endless=True).mdp.terminated.any()
    with pytest.raises(ValueError, match=r"drift 0\.1 is no fixed MDP"):
        _ = Bandit(drift=0.1).mdp


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_arms": 0}, "n_arms must be at least 1, got 0"),
        ({"means": []}, "means must be a list of finite numbers"),
        ({"means": [1.0, float("nan")]}, "means must be a list of finite numbers.*nan"),
        ({"means": [[1.0]]}, "means must be a list of finite numbers"),
        ({"drift": -1.0}, r"drift is a standard deviation.*-1\.0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Bandit(**arguments)
