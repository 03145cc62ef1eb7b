"""The short corridor: J(p) against simulation, planning and the book, its slope against differences."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.envs.textbook.short_corridor import (
    BEST_PROBABILITY,
    LEFT,
    RIGHT,
    ShortCorridor,
    policy_value,
    policy_value_gradient,
    short_corridor_mdp,
)
from sb3_ext.tabular import policy_evaluation, value_iteration

probabilities = st.floats(0.05, 0.95)


def test_the_best_probability():
    assert pytest.approx(0.5858, abs=1e-4) == BEST_PROBABILITY
    assert policy_value(BEST_PROBABILITY) == pytest.approx(-6 - 4 * np.sqrt(2))
    assert policy_value(BEST_PROBABILITY) == pytest.approx(-11.657, abs=1e-3)
    assert policy_value_gradient(BEST_PROBABILITY) == pytest.approx(0.0, abs=1e-9)
    grid = np.linspace(0.01, 0.99, 9801)
    assert grid[policy_value(grid).argmax()] == pytest.approx(BEST_PROBABILITY, abs=1e-4)


def test_the_books_two_epsilon_greedy_policies():
    np.testing.assert_allclose(policy_value([0.05, 0.95]), [-82, -44], atol=0.25)


@given(probabilities)
@settings(max_examples=50, deadline=None)
def test_the_value_solves_the_bellman_equations(p):
    """The three equations written as a matrix, and solved."""
    system = np.array([[p, -p, 0.0], [-p, 1.0, -(1 - p)], [0.0, -(1 - p), 1.0]])
    assert policy_value(p) == pytest.approx(np.linalg.solve(system, [-1.0, -1.0, -1.0])[0])


@given(probabilities)
@settings(max_examples=50, deadline=None)
def test_the_gradient_is_the_slope(p):
    step = 1e-6
    slope = (policy_value(p + step) - policy_value(p - step)) / (2 * step)
    assert policy_value_gradient(p) == pytest.approx(slope, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("p", [0.2, 0.5, 0.9])
def test_planning_on_the_arrays_finds_the_same(p):
    policy = np.tile([1 - p, p], (4, 1))
    assert policy_evaluation(short_corridor_mdp(), policy, gamma=1.0).values[0] == pytest.approx(
        policy_value(p), abs=1e-5
    )


def test_who_sees_the_state_needs_three_steps():
    values = value_iteration(short_corridor_mdp(), gamma=1.0).values
    np.testing.assert_allclose(values, [-3.0, -2.0, -1.0, 0.0])
    env = ShortCorridor(aliased=False)
    assert env.observation_space == spaces.Discrete(4)
    assert env.reset()[0] == 0
    steps = [env.step(action) for action in (RIGHT, LEFT, RIGHT)]
    assert [int(step[0]) for step in steps] == [1, 2, 3]
    assert [step[2] for step in steps] == [False, False, True]
    np.testing.assert_array_equal(env.exact_values(), [-3.0, -2.0, -1.0, 0.0])


def test_all_states_look_alike():
    env = ShortCorridor()
    assert env.observation_space == spaces.Discrete(1)
    assert env.reset(seed=0)[0] == 0
    assert [int(env.step(action)[0]) for action in (LEFT, RIGHT, LEFT, RIGHT)] == [0, 0, 0, 0]
    assert env.exact_values()[0] == pytest.approx(-11.657, abs=1e-3)


@pytest.mark.parametrize("p", [0.4, BEST_PROBABILITY])
def test_played_returns_average_to_the_value(p):
    env, rng, returns = ShortCorridor(), np.random.default_rng(0), []
    env.reset(seed=0)
    for _ in range(1500):
        env.reset()
        return_, terminated = 0.0, False
        while not terminated:
            _, reward, terminated, _, _ = env.step(int(rng.random() < p))
            return_ += reward
        returns.append(return_)
    assert np.mean(returns) == pytest.approx(policy_value(p), abs=4 * np.std(returns) / np.sqrt(len(returns)))


def test_the_ends_of_the_curve():
    np.testing.assert_array_equal(policy_value([0.0, 1.0]), [-np.inf, -np.inf])
    np.testing.assert_array_equal(policy_value_gradient([0.0, 1.0]), [np.inf, -np.inf])


@pytest.mark.parametrize("function", [policy_value, policy_value_gradient])
@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_probabilities_only(function, p):
    with pytest.raises(ValueError, match=f"must lie in.*{p}"):
        function(p)
