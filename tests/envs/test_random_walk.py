"""The random walk: the book's numbers, the Bellman equation, and TD(0) on it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.envs.textbook.random_walk import RandomWalk, random_walk_mdp, random_walk_values
from sb3_ext.tabular import policy_evaluation


def test_the_books_numbers():
    np.testing.assert_allclose(RandomWalk().exact_values()[1:-1], np.arange(1, 6) / 6)
    walk19 = RandomWalk(n_states=19, left_reward=-1.0)
    np.testing.assert_allclose(walk19.exact_values()[1:-1], np.arange(-9, 10) / 10, atol=1e-15)


@given(st.integers(0, 6).map(lambda k: 2 * k + 1), st.floats(-5, 5), st.floats(-5, 5))
@settings(max_examples=40, deadline=None)
def test_the_straight_line_solves_the_linear_bellman_equations(n_states, left, right):
    """(I - P) v = r for the states in between, solved as it stands."""
    inner = np.arange(n_states)
    system = np.eye(n_states)
    system[inner[1:], inner[:-1]] -= 0.5
    system[inner[:-1], inner[1:]] -= 0.5
    reward = np.zeros(n_states)
    reward[0] += left / 2
    reward[-1] += right / 2
    np.testing.assert_allclose(
        random_walk_values(n_states, left, right)[1:-1], np.linalg.solve(system, reward), atol=1e-9
    )


@pytest.mark.parametrize("arguments", [(5, 0.0, 1.0), (19, -1.0, 1.0), (1, 2.0, 3.0)])
def test_planning_on_the_arrays_finds_the_same(arguments):
    mdp = random_walk_mdp(*arguments)
    policy = np.ones((mdp.n_states, 1))
    values = policy_evaluation(mdp, policy, gamma=1.0).values
    np.testing.assert_allclose(values, random_walk_values(*arguments), atol=1e-6)


def test_a_walk_begins_in_the_middle_and_takes_nine_steps_on_average():
    env = RandomWalk()
    lengths = []
    for episode in range(2000):
        state, _ = env.reset(seed=0 if episode == 0 else None)
        assert state == 3
        terminated, length = False, 0
        while not terminated:
            next_state, reward, terminated, truncated, _ = env.step(0)
            assert abs(next_state - state) == 1
            assert not truncated
            assert reward == float(next_state == 6)
            state, length = next_state, length + 1
        assert state in (0, 6)
        lengths.append(length)
    assert np.mean(lengths) == pytest.approx(9.0, abs=4 * np.std(lengths) / np.sqrt(len(lengths)))


def test_td_learns_the_values():
    """Example 6.2: TD(0), alpha 0.05, 200 walks from 0.5 everywhere; the root mean square error falls below 0.1."""
    env, errors = RandomWalk(), []
    env.reset(seed=0)
    for _ in range(10):
        values = np.full(7, 0.5)
        for _ in range(200):
            state, _ = env.reset()
            terminated = False
            while not terminated:
                next_state, reward, terminated, _, _ = env.step(0)
                target = reward + (0.0 if terminated else values[next_state])
                values[state] += 0.05 * (target - values[state])
                state = next_state
        errors.append(np.sqrt(np.mean((values - env.exact_values())[1:-1] ** 2)))
    assert np.mean(errors) < 0.1


@pytest.mark.parametrize("n_states", [0, -1, 2, 20])
def test_a_walk_needs_a_middle(n_states):
    with pytest.raises(ValueError, match=f"n_states must be odd and positive.*{n_states}"):
        RandomWalk(n_states=n_states)
