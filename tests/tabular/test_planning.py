"""Exact solutions against numbers computed elsewhere and against brute force."""

import gymnasium as gym
import numpy as np
import pytest

from sb3_ext.tabular import TabularMDP, planning, policy_evaluation, value_iteration
from sb3_ext.tabular.planning import look_ahead, optimal_actions

FROZEN_LAKE = TabularMDP.from_env(gym.make("FrozenLake-v1"))
CLIFF = TabularMDP.from_env(gym.make("CliffWalking-v1"))
ENDLESS = TabularMDP.from_arrays([[0, 0]], [[1.0, 0.5]])


@pytest.mark.parametrize(("gamma", "value"), [(0.9, 0.0689), (0.95, 0.1805), (0.99, 0.5420), (0.999, 0.7855)])
def test_frozen_lake_has_its_known_value(gamma, value):
    assert value_iteration(FROZEN_LAKE, gamma).values[0] == pytest.approx(value, abs=5e-5)


@pytest.mark.parametrize(("env_id", "value"), [("CliffWalking-v1", -13.0), ("CliffWalkingSlippery-v1", -64.709)])
def test_cliff_walking_has_its_known_return(env_id, value):
    mdp = TabularMDP.from_env(gym.make(env_id))
    assert value_iteration(mdp, 1.0).values[36] == pytest.approx(value, abs=5e-4)


def random_mdp(seed, n_states=7, n_actions=3, n_outcomes=2):
    rng = np.random.default_rng(seed)
    shape = (n_states, n_actions, n_outcomes)
    return TabularMDP.from_arrays(
        rng.integers(n_states, size=shape),
        rng.normal(size=shape),
        rng.random(shape) < 0.2,
        rng.dirichlet(np.ones(n_outcomes), size=shape[:2]),
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tolerance", [0.5, 1e-3, 1e-9])
def test_the_error_is_at_most_the_tolerance(seed, tolerance):
    mdp = random_mdp(seed)
    exact = value_iteration(mdp, 0.95, 1e-12).values
    found = value_iteration(mdp, 0.95, tolerance)
    assert np.abs(found.values - exact).max() <= tolerance + 1e-11
    np.testing.assert_allclose(look_ahead(mdp, exact, 0.95).max(axis=1), exact, atol=1e-11)


@pytest.mark.parametrize("seed", range(3))
def test_direct_and_repeated_evaluation_agree_and_the_greedy_policy_is_worth_v_star(seed, monkeypatch):
    mdp = random_mdp(seed)
    optimal = value_iteration(mdp, 0.9, 1e-10)
    np.testing.assert_allclose(policy_evaluation(mdp, optimal.policy, 0.9).values, optimal.values, atol=1e-9)
    uniform = np.full((mdp.n_states, mdp.n_actions), 1 / mdp.n_actions)
    direct = policy_evaluation(mdp, uniform, 0.9)
    assert (direct.values <= optimal.values + 1e-9).all()
    np.testing.assert_allclose(direct.q_values.mean(axis=1), direct.values, atol=1e-12)
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 0)
    repeated = policy_evaluation(mdp, uniform, 0.9)
    assert repeated.n_sweeps > direct.n_sweeps == 0
    np.testing.assert_allclose(repeated.values, direct.values, atol=1e-9)


def test_evaluation_agrees_with_simulated_returns():
    rng, gamma, n_episodes = np.random.default_rng(3), 0.9, 20_000
    uniform = np.full((16, 4), 0.25)
    states, returns, alive = np.zeros(n_episodes, dtype=int), np.zeros(n_episodes), np.ones(n_episodes, dtype=bool)
    for step in range(200):
        states, rewards, terminated = FROZEN_LAKE.sample(states, rng.integers(4, size=n_episodes), rng)
        returns += gamma**step * rewards * alive
        alive &= ~terminated
    error = returns.mean() - policy_evaluation(FROZEN_LAKE, uniform, gamma).values[0]
    assert abs(error) < 5 * returns.std() / np.sqrt(n_episodes)


def test_ties_are_kept():
    solution = value_iteration(CLIFF, 1.0)
    assert optimal_actions(solution.q_values)[0].tolist() == [False, True, True, False]  # right and down


def test_values_without_a_limit_are_refused():
    with pytest.raises(ValueError, match="the value of state 0 has no limit"):
        value_iteration(ENDLESS, 1.0)
    with pytest.raises(ValueError, match="ends every episode"):
        policy_evaluation(ENDLESS, [0], 1.0)
    assert value_iteration(ENDLESS, 0.5).values[0] == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("rewards", "how"),
    [([1.0, -1.0], "goes round in a circle"), ([3.0, -2.0, 5.0, -6.0], "goes round"), ([1.0, 1.0, -1.0], "grows")],
)
def test_values_on_a_loop_are_refused_soon(rewards, how, monkeypatch):
    n_states = len(rewards)
    loop = TabularMDP.from_arrays(
        [[(state + 1) % n_states] for state in range(n_states)], [[reward] for reward in rewards]
    )
    monkeypatch.setattr(planning, "MAX_SWEEPS", 5000)
    with pytest.raises(ValueError, match=rf"the value of state \d has no limit: it {how}"):
        value_iteration(loop, 1.0)
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 0)
    with pytest.raises(ValueError, match=how):
        policy_evaluation(loop, [0] * n_states, 1.0)


def test_values_that_move_evenly_for_long_but_end_are_found():
    waiting = TabularMDP.from_arrays([[0, 0]], [[-1.0, -5000.0]], [[False, True]])  # to leave costs 5000 waits
    assert value_iteration(waiting, 1.0).values[0] == -5000.0
    seldom = TabularMDP.from_arrays([[[0, 0]]], [[[-1.0, -1.0]]], [[[False, True]]], [[[0.999, 0.001]]])
    assert value_iteration(seldom, 1.0).values[0] == pytest.approx(-1000.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: value_iteration(ENDLESS, 1.1), r"gamma must lie in \[0, 1\], got 1.1"),
        (lambda: value_iteration(ENDLESS, 0.9, 0.0), "tolerance must be above 0, got 0.0"),
        (lambda: policy_evaluation(ENDLESS, [2], 0.9), "state 0: the actions are 0 to 1, got 2"),
        (lambda: policy_evaluation(ENDLESS, [[0.5, 0.4]], 0.9), "state 0: the policy's probabilities must sum to 1"),
        (lambda: policy_evaluation(ENDLESS, [0.0], 0.9), r"policy must be integers \[1\] or probabilities \[1, 2\]"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
