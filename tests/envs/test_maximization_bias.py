"""Maximisation bias: exact values, the size of the bias, and figure 6.5: Q-learning fooled, double Q-learning not."""

import numpy as np
import pytest

from sb3_ext.envs.textbook.maximization_bias import END, A, B, MaximizationBias, apparent_value, maximization_bias_mdp
from sb3_ext.tabular import value_iteration


def test_exact_values():
    np.testing.assert_array_equal(MaximizationBias().exact_values(), [0.0, -0.1, 0.0])
    np.testing.assert_array_equal(MaximizationBias(mean=0.2).exact_values(), [0.2, 0.2, 0.0])


@pytest.mark.parametrize("mean", [-0.1, 0.2])
def test_planning_on_the_arrays_finds_the_same(mean):
    values = value_iteration(maximization_bias_mdp(4, mean), gamma=1.0).values
    np.testing.assert_allclose(values, MaximizationBias(4, mean).exact_values(), atol=1e-9)


@pytest.mark.parametrize(("n_actions", "largest"), [(1, 0.0), (2, 0.564190), (3, 0.846284), (10, 1.538753)])
def test_the_apparent_value_against_tables_of_order_statistics(n_actions, largest):
    assert apparent_value(n_actions, mean=0.0) == pytest.approx(largest, abs=1e-6)


def test_the_apparent_value_against_simulation():
    rewards = np.random.default_rng(0).normal(-0.1, 2.0, size=(20_000, 10, 4))
    best = rewards.mean(axis=-1).max(axis=-1)
    exact = apparent_value(10, n_samples=4, std=2.0)
    assert best.mean() == pytest.approx(exact, abs=4 * best.std() / np.sqrt(best.size))


def test_moves():
    env = MaximizationBias(n_actions=4)
    for action, place in enumerate([B, END, B, END]):
        assert env.reset(seed=action)[0] == A
        next_state, reward, terminated, truncated, _ = env.step(action)
        assert (int(next_state), reward, terminated, truncated) == (place, 0.0, place == END, False)
        if place == B:
            assert env.step(action)[2]


def test_rewards_in_b_are_gaussian():
    env, rewards = MaximizationBias(), []
    env.reset(seed=0)
    for _ in range(4000):
        env.reset()
        env.step(0)
        rewards.append(env.step(7)[1])
    assert np.mean(rewards) == pytest.approx(-0.1, abs=4 / np.sqrt(4000))
    assert np.std(rewards) == pytest.approx(1.0, abs=0.05)


def test_action_masks():
    env = MaximizationBias(n_actions=4)
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True, True, False, False]
    env.step(0)
    assert env.action_masks().tolist() == [True] * 4


def share_of_left(env, double, rng, n_runs=300, n_episodes=300, alpha=0.1, epsilon=0.1):
    """Share of episodes that begin with left, [n_episodes], under Q-learning or double Q-learning (figure 6.5)."""
    lefts = np.zeros(n_episodes)
    for _ in range(n_runs):
        tables = np.zeros((2 if double else 1, 3, env.mdp.n_actions))
        for episode in range(n_episodes):
            state, terminated = env.reset()[0], False
            while not terminated:
                allowed = np.flatnonzero(env.action_masks())
                scores = tables.sum(axis=0)[state, allowed]
                best = rng.choice(allowed[scores == scores.max()])
                action = rng.choice(allowed) if rng.random() < epsilon else best
                next_state, reward, terminated, _, _ = env.step(action)
                one, other = rng.permutation(len(tables)) if double else (0, 0)
                chosen = tables[one, next_state].argmax()
                target = reward + (0.0 if terminated else tables[other, next_state, chosen])
                tables[one, state, action] += alpha * (target - tables[one, state, action])
                lefts[episode] += state == A and next_state == B
                state = next_state
    return lefts / n_runs


@pytest.mark.slow
def test_figure_6_5():
    """Q-learning goes left in most early episodes, double Q-learning does not; the exact optimum is 5 %."""
    env, rng = MaximizationBias(), np.random.default_rng(0)
    env.reset(seed=0)
    q_learning = share_of_left(env, double=False, rng=rng)
    double_q = share_of_left(env, double=True, rng=rng)
    assert q_learning[:100].max() > 0.7
    assert double_q.max() < 0.65  # at the start, a coin
    assert q_learning[20:100].mean() > double_q[20:100].mean() + 0.3
    assert double_q[-50:].mean() < q_learning[-50:].mean() < 0.35


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_actions": 3}, "n_actions must be even and positive.*3"),
        ({"n_actions": 0}, "n_actions must be even and positive.*0"),
        ({"std": -1.0}, r"std must be finite and not negative, got -1\.0"),
        ({"mean": float("nan")}, "state 1, action 0: a reward must be finite, got nan"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaximizationBias(**arguments)


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
def test_the_apparent_value_needs_samples(numbers):
    with pytest.raises(ValueError, match="must be at least 1"):
        apparent_value(*numbers)
