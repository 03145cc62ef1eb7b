"""Exact targets against loops, SB3's and the project's own targets, and biases against enumeration and closed forms."""

from itertools import product

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr
from stable_baselines3 import DQN

from sb3_ext.envs.textbook.maximization_bias import apparent_value
from sb3_ext.oracle import (
    MaximizationBias,
    all_transitions,
    bellman_optimality_residual,
    compare_targets,
    expected_double_q_target,
    expected_q_learning_target,
    gaussian_maximization_bias,
    greedy_probabilities,
    table_maximization_bias,
    target_bias,
)
from sb3_ext.tabular import TabularMDP, policy_iteration
from sb3_ext.tabular.rules import double_q_target, q_learning_target

th.set_num_threads(1)
LAKE = TabularMDP.from_env(gym.make("FrozenLake-v1"))


def random_mdp(seed, n_states=4, n_actions=3, n_outcomes=2, p_end=0.3):
    rng = np.random.default_rng(seed)
    shape = (n_states, n_actions, n_outcomes)
    return TabularMDP.from_arrays(
        rng.integers(n_states, size=shape), rng.normal(size=shape), rng.random(shape) < p_end,
        rng.dirichlet(np.ones(n_outcomes), size=shape[:2]),
    )  # fmt: skip


def random_q(mdp, seed=0):
    return np.random.default_rng(seed).normal(size=(mdp.n_states, mdp.n_actions))


@st.composite
def worlds(draw):
    mdp = random_mdp(draw(st.integers(0, 10**6)), *(draw(st.integers(1, highest)) for highest in (5, 4, 3)))
    return mdp, random_q(mdp, draw(st.integers(0, 10**6))), draw(st.sampled_from([0.0, 0.5, 0.99, 1.0]))


# ---- Targets --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(worlds())
def test_the_targets_are_the_means_of_the_rules_over_gymnasium_s_table(world):
    mdp, q_values, gamma = world
    other = random_q(mdp, 77)
    single, double = np.zeros_like(q_values), np.zeros_like(q_values)
    for state, actions in mdp.to_P().items():
        for action, outcomes in actions.items():
            for p, after, reward, terminated in outcomes:
                discount = 0.0 if terminated else gamma
                single[state, action] += p * q_learning_target(reward, discount, q_values[after])
                double[state, action] += p * double_q_target(reward, discount, other[after], q_values[after].argmax())
    np.testing.assert_allclose(expected_q_learning_target(mdp, q_values, gamma), single, atol=1e-12)
    np.testing.assert_allclose(expected_double_q_target(mdp, q_values, other, gamma), double, atol=1e-12)
    np.testing.assert_allclose(bellman_optimality_residual(mdp, q_values, gamma), single - q_values, atol=1e-12)
    assert (expected_double_q_target(mdp, other, q_values, gamma) <= single + 1e-12).all()


@pytest.mark.parametrize("gamma", [0.5, 0.95])
def test_the_residual_is_zero_for_the_best_values_and_bounds_the_distance_from_them(gamma):
    best = policy_iteration(LAKE, gamma).q_values
    assert np.abs(bellman_optimality_residual(LAKE, best, gamma)).max() < 1e-12
    wrong = best + 0.01 * random_q(LAKE)
    residual = np.abs(bellman_optimality_residual(LAKE, wrong, gamma)).max()
    assert 1e-3 < np.abs(wrong - best).max() <= residual / (1 - gamma)


def test_all_transitions_are_those_of_gymnasium_s_table():
    mdp = random_mdp(1)
    for truncated in (False, True):
        batch = all_transitions(mdp, truncated)
        expected = [
            (state, action, reward, after, terminated, truncated and not terminated, p)
            for state, actions in mdp.to_P().items()
            for action, outcomes in actions.items()
            for p, after, reward, terminated in outcomes
        ]
        assert list(zip(*batch, strict=True)) == expected
    assert len(all_transitions(LAKE).state) == sum(len(o) for actions in LAKE.to_P().values() for o in actions.values())


# ---- Comparison -----------------------------------------------------------------------------------------------------


def dqn_target(q_values, gamma, ends=lambda batch: batch.terminated):
    return lambda batch: batch.reward + gamma * ~ends(batch) * q_values[batch.next_state].max(axis=1)


@pytest.mark.parametrize("truncated", [False, True])
def test_a_right_target_has_no_error(truncated):
    mdp = random_mdp(2)
    q_values = random_q(mdp)
    found = compare_targets(mdp, dqn_target(q_values, 0.9), q_values, 0.9, truncated)
    assert found.max_error < 1e-12
    assert found.errors.shape == (4, 3)


def test_the_target_of_sb3_s_dqn_is_exact():
    """As in ``DQN.train``; in float64, or up to the rounding of float32."""
    model = DQN("MlpPolicy", "FrozenLake-v1", seed=0, buffer_size=10)
    for double, tolerance in ((False, 1e-6), (True, 1e-12)):
        network = model.q_net_target.double() if double else model.q_net_target
        one_hot = th.eye(16, dtype=th.float64 if double else th.float32)

        def q_of(states, network=network, one_hot=one_hot):
            with th.no_grad():
                return network.q_net(one_hot[states])

        def target(batch, q_of=q_of):
            next_q, _ = q_of(batch.next_state).max(dim=1)
            rewards, dones = (th.as_tensor(part).reshape(-1, 1) for part in (batch.reward, batch.terminated * 1.0))
            return rewards + (1 - dones) * 0.9 * next_q.reshape(-1, 1)

        found = compare_targets(LAKE, target, q_of(np.arange(16)), 0.9, truncated=True)
        assert found.max_error < tolerance


def test_mistakes_are_found_where_they_are():
    mdp = TabularMDP.from_arrays(
        [[[0, 1], [1, 1]], [[0, 0], [1, 1]]], [[[1.0, 2.0], [0.0, 0.0]], [[3.0, 3.0], [0.0, 0.0]]],
        [[[False, True], [False, False]], [[True, True], [False, False]]], [[[0.75, 0.25], [0.5, 0.5]]] * 2,
    )  # fmt: skip
    q_values = np.array([[4.0, 1.0], [10.0, -20.0]])
    forgets_ends = compare_targets(
        mdp, dqn_target(q_values, 0.5, lambda batch: False & batch.terminated), q_values, 0.5
    )
    np.testing.assert_allclose(forgets_ends.errors, [[0.25 * 0.5 * 10, 0.0], [0.5 * 4, 0.0]])
    assert forgets_ends.where == (1, 0)
    assert forgets_ends.max_error == 2.0
    assert forgets_ends.mean_error == pytest.approx((1.25 + 2.0) / 4)
    takes_limits_for_ends = dqn_target(q_values, 0.5, lambda batch: batch.terminated | batch.truncated)
    assert compare_targets(mdp, takes_limits_for_ends, q_values, 0.5).max_error == 0
    found = compare_targets(mdp, takes_limits_for_ends, q_values, 0.5, truncated=True)
    np.testing.assert_allclose(found.errors, [[-0.75 * 0.5 * 4, -0.5 * 10], [0.0, -0.5 * 10]])
    assert found.where == (0, 1)
    assert found.mean_error == pytest.approx((1.5 + 5.0 + 5.0) / 4)
    wrong_discount = compare_targets(mdp, dqn_target(q_values, 0.6), q_values, 0.5)
    np.testing.assert_allclose(wrong_discount.errors, [[0.1 * 0.75 * 4, 0.1 * 10], [0.0, 0.1 * 10]])


def test_double_dqn_is_below_the_maximum():
    mdp = random_mdp(3)
    online, target = random_q(mdp, 1), random_q(mdp, 2)

    def double_dqn(batch):
        return (
            batch.reward + 0.9 * ~batch.terminated * target[batch.next_state, online[batch.next_state].argmax(axis=1)]
        )

    found = compare_targets(mdp, double_dqn, target, 0.9)
    expected = expected_double_q_target(mdp, online, target, 0.9) - expected_q_learning_target(mdp, target, 0.9)
    np.testing.assert_allclose(found.errors, expected, atol=1e-12)
    assert found.errors.max() <= 1e-12
    assert found.errors.min() < -0.1


# ---- Gaussian noise -------------------------------------------------------------------------------------------------


def normal_density(x):
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)


@settings(deadline=None, max_examples=100)
@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0.01, 10), st.floats(0.01, 10))
def test_two_actions_have_the_closed_form(first, second, sigma, tau):
    """Clark (1961): E[max(X, Y)] = q1 Phi(d) + q2 Phi(-d) + theta phi(d), P(X > Y) = Phi(d), d = (q1 - q2) / theta."""
    theta = np.hypot(sigma, tau)
    d = (first - second) / theta
    largest = max(first, second)
    single = first * ndtr(d) + second * ndtr(-d) + theta * normal_density(d) - largest
    bias = gaussian_maximization_bias([first, second], [sigma, tau])
    assert float(bias.single) == pytest.approx(single, abs=1e-12)
    assert float(bias.double) == pytest.approx(first * ndtr(d) + second * ndtr(-d) - largest, abs=1e-12)
    np.testing.assert_allclose(greedy_probabilities([first, second], [sigma, tau]), [ndtr(d), ndtr(-d)], atol=1e-12)


def test_several_actions_have_the_integral_of_scipy():
    means, stds = np.array([0.3, -1.0, 0.5, 0.0, 0.2]), np.array([1.0, 3.0, 0.1, 0.02, 0.7])
    chances = [
        quad(
            lambda x, a=a: (
                normal_density((x - means[a]) / stds[a])
                / stds[a]
                * np.prod([ndtr((x - means[b]) / stds[b]) for b in range(5) if b != a])
            ),
            means[a] - 10 * stds[a], means[a] + 10 * stds[a], points=[0.0, 0.5], limit=500, epsabs=1e-12,
        )[0]
        for a in range(5)
    ]  # fmt: skip
    np.testing.assert_allclose(greedy_probabilities(means, stds), chances, atol=1e-9)
    bias = gaussian_maximization_bias(means, stds)
    assert float(bias.double) == pytest.approx(chances @ means - 0.5, abs=1e-9)
    rng = np.random.default_rng(0)
    draws = (means + stds * rng.normal(size=(400_000, 5))).max(axis=1)
    assert abs(draws.mean() - 0.5 - bias.single) < 5 * draws.std() / np.sqrt(len(draws))


def test_known_numbers():
    np.testing.assert_allclose(gaussian_maximization_bias(np.zeros(3), 2.0).single, 3 / np.sqrt(np.pi), atol=1e-12)
    np.testing.assert_allclose(gaussian_maximization_bias(np.zeros(10), 0.1**0.5).single - 0.1,
                               apparent_value(n_samples=10), atol=1e-9)  # fmt: skip
    hundred = quad(lambda x: 100 * x * normal_density(x) * ndtr(x) ** 99, -12, 12, epsabs=1e-13, points=[2.5])[0]
    assert float(gaussian_maximization_bias(np.zeros(100), 1.0).single) == pytest.approx(hundred, abs=1e-11)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5), st.integers(0, 10**6), st.floats(0, 1))
def test_what_holds_for_all_means_and_deviations(n_actions, seed, p_silent):
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(2, 3, n_actions))
    stds = rng.exponential(size=means.shape) * (rng.random(means.shape) >= p_silent)
    bias, chances = gaussian_maximization_bias(means, stds), greedy_probabilities(means, stds)
    assert bias.single.shape == bias.double.shape == (2, 3)
    assert (bias.single >= -1e-12).all()
    assert (bias.double <= 1e-12).all()
    assert (chances >= -1e-12).all()
    np.testing.assert_allclose(chances.sum(axis=-1), 1.0, atol=1e-12)
    moved = gaussian_maximization_bias(3 * means + 1000.0, 3 * stds)
    np.testing.assert_allclose(moved, 3 * np.array(bias), atol=1e-10)
    alone = gaussian_maximization_bias(means[1, 2], stds[1, 2])
    np.testing.assert_allclose(alone, [bias.single[1, 2], bias.double[1, 2]], atol=1e-14)


def test_noise_that_is_nearly_none_is_none_in_the_limit():
    means = np.array([1.0, 0.0, 0.9])
    quiet, silent = (np.array(gaussian_maximization_bias(means, [s, 1.0, s])) for s in (1e-9, 0.0))
    np.testing.assert_allclose(quiet, silent, atol=1e-8)
    chance = ndtr(-1.0)
    np.testing.assert_allclose(greedy_probabilities(means, [0.0, 1.0, 0.0]), [1 - chance, chance, 0.0], atol=1e-12)
    np.testing.assert_allclose(silent, [normal_density(1.0) - ndtr(-1.0), -chance], atol=1e-12)
    assert greedy_probabilities([2.0, 5.0, 5.0], 0.0).tolist() == [0.0, 1.0, 0.0]
    assert np.array(gaussian_maximization_bias([2.0, 5.0, 5.0], 0.0)).tolist() == [0.0, 0.0]


# ---- Enumeration ----------------------------------------------------------------------------------------------------


def test_tables_one_by_one():
    rng = np.random.default_rng(0)
    tables, weights = rng.normal(size=(5, 4, 3)), rng.dirichlet(np.ones(5))
    bias = table_maximization_bias(tables, weights)
    means = sum(w * table for w, table in zip(weights, tables, strict=True))
    for state in range(4):
        largest = means[state].max()
        single = sum(w * table[state].max() for w, table in zip(weights, tables, strict=True)) - largest
        double = -largest
        for (w, chooses), (v, judges) in product(zip(weights, tables, strict=True), repeat=2):
            double += w * v * judges[state, chooses[state].argmax()]
        assert bias.single[state] == pytest.approx(single, abs=1e-12)
        assert bias.double[state] == pytest.approx(double, abs=1e-12)
    assert bias.single.max() > 0.1
    assert bias.double.min() < -0.1
    np.testing.assert_allclose(table_maximization_bias(tables), table_maximization_bias(tables, np.full(5, 0.2)))


def test_many_drawn_tables_come_to_the_gaussian_biases():
    rng = np.random.default_rng(1)
    means, stds = np.array([0.0, 0.2, -0.5]), np.array([1.0, 0.5, 2.0])
    drawn = table_maximization_bias(means + stds * rng.normal(size=(200_000, 3)))
    np.testing.assert_allclose(drawn, gaussian_maximization_bias(means, stds), atol=0.02)


def test_the_bias_of_a_target_is_the_mean_of_all_targets_less_that_of_the_mean():
    mdp, rng = random_mdp(4), np.random.default_rng(2)
    tables, weights = rng.normal(size=(4, 4, 3)), rng.dirichlet(np.ones(4))
    found = target_bias(mdp, table_maximization_bias(tables, weights), 0.9)
    of_mean = expected_q_learning_target(mdp, np.tensordot(weights, tables, axes=1), 0.9)
    pairs = list(zip(weights, tables, strict=True))
    single = sum(w * expected_q_learning_target(mdp, table, 0.9) for w, table in pairs) - of_mean
    double = sum(
        w * v * expected_double_q_target(mdp, chooses, judges, 0.9)
        for (w, chooses), (v, judges) in product(pairs, repeat=2)
    )
    np.testing.assert_allclose(found.single, single, atol=1e-12)
    np.testing.assert_allclose(found.double, double - of_mean, atol=1e-12)
    assert mdp.terminated.any()


# ---- What does not fit ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        expected_q_learning_target,
        bellman_optimality_residual,
        lambda mdp, q, gamma: expected_double_q_target(mdp, q, random_q(mdp), gamma),
        lambda mdp, q, gamma: expected_double_q_target(mdp, random_q(mdp), q, gamma),
        lambda mdp, q, gamma: compare_targets(mdp, lambda batch: batch.reward, q, gamma),
    ],
)
def test_values_that_do_not_fit_are_refused(function):
    mdp = random_mdp(0)
    with pytest.raises(ValueError, match=r"Q must be finite numbers \[4, 3\], got shape \[3, 4\]"):
        function(mdp, random_q(mdp).T, 0.9)
    for wrong in (np.nan, np.inf):
        q_values = random_q(mdp)
        q_values[1, 1] = wrong
        with pytest.raises(ValueError, match="Q must be finite"):
            function(mdp, q_values, 0.9)
    for gamma in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="gamma must lie"):
            function(mdp, random_q(mdp), gamma)


@pytest.mark.parametrize(
    "wrong", [lambda batch: batch.reward[:-1], lambda batch: np.nan * batch.reward, lambda batch: 0.0]
)
def test_targets_that_are_none_are_refused(wrong):
    mdp = random_mdp(0)
    with pytest.raises(ValueError, match="target must give 24 finite numbers"):
        compare_targets(mdp, wrong, random_q(mdp), 0.9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gaussian_maximization_bias([0.0, np.nan], 1.0), "means must be finite"),
        (lambda: gaussian_maximization_bias(1.0, 1.0), "means must be finite"),
        (lambda: gaussian_maximization_bias(np.zeros((2, 0)), 1.0), "means must be finite"),
        (lambda: greedy_probabilities([0.0, 1.0], -1.0), "must be finite and not negative"),
        (lambda: greedy_probabilities([0.0, 1.0], np.nan), "must be finite and not negative"),
        (lambda: greedy_probabilities([0.0, 1.0], [1.0, 1.0, 1.0]), "do not broadcast"),
        (lambda: gaussian_maximization_bias([0.0, 1.0], [[1.0, 1.0]] * 2), "do not broadcast"),
        (lambda: table_maximization_bias([1.0, 2.0]), "tables must be finite"),
        (lambda: table_maximization_bias([[1.0, np.nan]]), "tables must be finite"),
        (lambda: table_maximization_bias(np.zeros((2, 3)), [0.5, 0.6]), "weights must be 2 probabilities"),
        (lambda: table_maximization_bias(np.zeros((2, 3)), [1.0]), "weights must be 2 probabilities"),
        (lambda: table_maximization_bias(np.zeros((2, 3)), [-0.5, 1.5]), "weights must be 2 probabilities"),
        (lambda: target_bias(LAKE, MaximizationBias(np.zeros(3), np.zeros(16)), 0.9), r"biases must be \[16\]"),
        (lambda: target_bias(LAKE, MaximizationBias(np.zeros(16), np.zeros(16)), 2.0), "gamma must lie"),
    ],
)
def test_noise_that_is_none_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
