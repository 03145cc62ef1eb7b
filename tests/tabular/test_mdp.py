"""TabularMDP: the same model as Gymnasium's tables, and no impossible one."""

import pickle

import gymnasium as gym
import numpy as np
import pytest
from scipy import sparse

from sb3_ext.tabular import TabularMDP
from sb3_ext.tabular.mdp import pick_outcome
from sb3_ext.tabular.planning import look_ahead

TOY_TEXTS = ["FrozenLake-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1", "Taxi-v4"]


def two_states(**changes):
    """State 0 goes on or ends, each by chance; state 1 is the end."""
    arrays = {
        "next_state": [[[0, 1], [1, 1]], [[1, 1], [1, 1]]],
        "probability": [[[0.25, 0.75], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]],
        "reward": [[[-1.0, 2.0], [5.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]],
        "terminated": [[[False, True], [True, False]], [[True, True], [True, True]]],
        "start": [1.0, 0.0],
    }
    return TabularMDP.from_arrays(**{**arrays, **changes})


@pytest.mark.parametrize("env_id", TOY_TEXTS)
def test_from_env_and_back_to_P(env_id):
    env = gym.make(env_id).unwrapped
    mdp = TabularMDP.from_env(env)
    assert (mdp.n_states, mdp.n_actions) == (env.observation_space.n, env.action_space.n)
    np.testing.assert_allclose(mdp.start, env.initial_state_distrib)
    table = mdp.to_P()
    for state in range(mdp.n_states):
        for action in range(mdp.n_actions):
            assert table[state][action] == [outcome for outcome in env.P[state][action] if outcome[0] > 0]


def test_from_env_takes_wrapped_environments_and_our_own_models():
    mdp = two_states()
    env = gym.make("FrozenLake-v1")
    assert TabularMDP.from_env(env).n_states == 16
    env.unwrapped.mdp = mdp
    assert TabularMDP.from_env(env) is mdp
    with pytest.raises(ValueError, match="CartPoleEnv has no transition table"):
        TabularMDP.from_env(gym.make("CartPole-v1"))


def test_expected_reward_is_the_mean_over_outcomes():
    np.testing.assert_allclose(two_states().expected_reward, [[0.25 * -1 + 0.75 * 2, 5.0], [0.0, 0.0]])


def test_sample_draws_outcomes_as_often_as_they_are_probable():
    mdp, n_draws = two_states(), 40_000
    next_state, reward, terminated = mdp.sample(np.zeros(n_draws, dtype=int), 0, np.random.default_rng(1))
    deviation = (next_state == 1).mean() - 0.75
    assert abs(deviation) < 5 * np.sqrt(0.25 * 0.75 / n_draws)
    np.testing.assert_array_equal(terminated, next_state == 1)
    np.testing.assert_array_equal(reward, np.where(next_state == 1, 2.0, -1.0))


def test_sample_start_never_draws_an_impossible_state():
    mdp = two_states(start=[0.3, 0.7])
    starts = mdp.sample_start(np.random.default_rng(2), 40_000)
    assert abs((starts == 1).mean() - 0.7) < 5 * np.sqrt(0.3 * 0.7 / 40_000)
    assert set(two_states().sample_start(np.random.default_rng(2), 1000).tolist()) == {0}
    assert two_states().sample_start(np.random.default_rng(2)).shape == ()


def test_pick_outcome_at_the_edges():
    thirds = np.array([1 / 3, 1 / 3, 1 / 3, 0.0])
    assert pick_outcome(thirds, np.array([0.0, 0.34, np.nextafter(1.0, 0.0)])).tolist() == [0, 1, 2]


def test_arrays_are_read_only_and_counted_once():
    next_state = np.zeros((1000, 4, 3), dtype=np.int32)
    mdp = TabularMDP.from_arrays(next_state, np.float32(-1.0), probability=np.array([0.5, 0.25, 0.25]))
    assert mdp.nbytes == next_state.nbytes + 3 * 8 + 4 + 1 + 8000
    assert mdp.reward.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        mdp.next_state[0, 0, 0] = 1
    next_state[0] = 1  # the caller's array stays writeable
    copy = pickle.loads(pickle.dumps(two_states()))
    np.testing.assert_array_equal(copy.probability, two_states().probability)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"next_state": [[[0, 2], [1, 1]], [[1, 1], [1, 1]]]},
            "state 0, action 0: next_state must lie .* 1, got 2",
        ),
        ({"next_state": [[[0, -1], [1, 1]], [[1, 1], [1, 1]]]}, "state 0, action 0: .* got -1"),
        ({"probability": [[[0.25, 0.75], [0.9, 0.0]], [[1, 0], [1, 0]]]}, "state 0, action 1: .* sum to 1, got 0.9"),
        ({"probability": [[[-0.25, 1.25], [1, 0]], [[1, 0], [1, 0]]]}, "state 0, action 0: .* negative .*, got -0.25"),
        ({"probability": [[[np.nan, 1], [1, 0]], [[1, 0], [1, 0]]]}, "state 0, action 0: .* NaN.*, got nan"),
        ({"probability": None}, "2 outcomes per action: give their probability"),
        ({"reward": [[[0, 0], [0, 0]], [[0, np.inf], [0, 0]]]}, "state 1, action 0: a reward must be finite, got inf"),
        ({"reward": [0.0, 1.0, 2.0]}, r"reward has the shape \[3\], next_state has \[2, 2, 2\]"),
        ({"start": [0.5, 0.4]}, "start must be a distribution, got sum 0.9"),
        ({"start": [1.0]}, "one probability for each of 2 states"),
        ({"next_state": [[0.5]]}, "next_state must be integers"),
    ],
)
def test_impossible_models_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        two_states(**changes)


def test_P_with_unequal_numbers_of_actions_is_refused():
    outcome = [(1.0, 0, 0.0, True)]
    with pytest.raises(ValueError, match="state 1 has 1 actions, state 0 has 2"):
        TabularMDP.from_P({0: {0: outcome, 1: outcome}, 1: {0: outcome}})


def sparse_and_dense(seed, n_states=30, n_actions=3):
    """The same random world as A sparse matrices and by dense [A, S, S] arrays; the last state is the end."""
    rng = np.random.default_rng(seed)
    dense = rng.random((n_actions, n_states, n_states)) * (rng.random((n_actions, n_states, n_states)) < 0.1)
    dense[:, np.arange(n_states), rng.integers(n_states, size=n_states)] += 0.1
    dense /= dense.sum(axis=2, keepdims=True)
    rewards = rng.normal(size=dense.shape) * (dense > 0)
    return [sparse.csr_array(matrix) for matrix in dense], dense, rewards


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("to", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_from_sparse_is_the_dense_world(seed, to):
    matrices, dense, rewards = sparse_and_dense(seed)
    n_actions, n_states, _ = dense.shape
    ends = np.arange(n_states) == n_states - 1
    everything = TabularMDP.from_arrays(
        np.broadcast_to(np.arange(n_states), (n_states, n_actions, n_states)),
        np.where(ends[:, None, None], 0.0, rewards.swapaxes(0, 1)),
        ends[:, None, None] | ends,
        np.where(ends[:, None, None], np.eye(n_states)[-1], dense.swapaxes(0, 1)),
    )
    mdp = TabularMDP.from_sparse([to(matrix) for matrix in matrices], [to(matrix) for matrix in rewards], ends)
    assert mdp.n_outcomes < n_states / 2
    values = np.random.default_rng(seed).normal(size=n_states)
    np.testing.assert_allclose(look_ahead(mdp, values, 0.9), look_ahead(everything, values, 0.9), atol=1e-12)
    of_pairs = TabularMDP.from_sparse([to(matrix) for matrix in matrices], mdp.expected_reward, ends)
    np.testing.assert_allclose(look_ahead(of_pairs, values, 0.9), look_ahead(everything, values, 0.9), atol=1e-12)


def test_from_sparse_adds_repeated_entries_and_does_not_count_zeros():
    matrix = sparse.coo_array(([0.5, 0.25, 0.25, 0.0], ([0, 0, 0, 0], [0, 1, 1, 0])), shape=(2, 2))
    mdp = TabularMDP.from_sparse([matrix], [[-1.0], [7.0]], [False, True], start=[1, 0])
    assert mdp.to_P() == {0: {0: [(0.5, 0, -1.0, False), (0.5, 1, -1.0, True)]}, 1: {0: [(1.0, 1, 0.0, True)]}}
    assert mdp.start.tolist() == [1, 0]


def test_from_sparse_takes_a_large_world():
    n_states = 200_000
    line = sparse.diags([np.full(n_states, 0.5), np.full(n_states - 1, 0.5)], [0, 1]).tolil()
    line[-1, -1] = 1.0
    mdp = TabularMDP.from_sparse([line, line], np.zeros((n_states, 2)), np.arange(n_states) == n_states - 1)
    assert mdp.next_state.shape == (n_states, 2, 2)
    assert mdp.nbytes < 30 * mdp.next_state.size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [[0.0]]), "a sparse matrix for each action, got none"),
        (([np.eye(2)], [[0.0], [0.0]]), r"transitions\[0\] must be a SciPy sparse matrix, got ndarray"),
        (([sparse.eye(2), sparse.eye(3)], 0.0), r"transitions\[1\] has the shape \[3, 3\], not \[2, 2\]"),
        (([sparse.csr_array((2, 3))], 0.0), r"transitions\[0\] has the shape \[2, 3\], not \[2, 2\]"),
        (([sparse.eye(2), 0.9 * sparse.eye(2)], 0.0), "state 0, action 1: probabilities must sum to 1, got 0.9"),
        (([sparse.csr_array([[1.0, 0], [0, 0]])], 0.0), "state 1, action 0: probabilities must sum to 1, got 0.0"),
        (([sparse.csr_array([[1.5, -0.5], [0, 1]])], 0.0), "state 0, action 0: a probability must not be negative"),
        (([sparse.eye(2)], [[0.0], [np.nan]]), "state 1, action 0: a reward must be finite, got nan"),
        (([sparse.eye(2)], [[0.0], [0.0], [0.0]]), r"reward has the shape \[3, 1\], next_state has \[2, 1, 1\]"),
        (([sparse.eye(2)], [sparse.csr_array([[np.nan, 0], [0, 0]])]), "state 0, action 0: a reward must be finite"),
        (([sparse.eye(2)] * 2, [sparse.eye(2)]), "reward: there are 2 actions and rewards of 1"),
        (([sparse.eye(2)], [sparse.eye(3)]), r"reward\[0\] has the shape \[3, 3\], not \[2, 2\]"),
        (([sparse.eye(2)], 0.0, [True]), r"terminated has the shape \[1\]"),
    ],
)
def test_impossible_sparse_models_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TabularMDP.from_sparse(*arguments)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({0: {0: [(0.5, 0, 0.0, True)]}}, "state 0, action 0: probabilities must sum to 1, got 0.5"),
        ({0: {0: [(1.0, 0, 0.0, True)], 1: []}}, "state 0, action 1: probabilities must sum to 1, got 0.0"),
        ({0: {0: [(1.0, 0, float("nan"), True)]}}, "state 0, action 0: a reward must be finite, got nan"),
        ({0: {0: [(1.0, 7, 0.0, True)]}}, "state 0, action 0: next_state must lie in 0 .. 0, got 7"),
        ({}, "P has no states"),
        ({0: {}}, "P: state 0 has no actions"),
    ],
)
def test_impossible_tables_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        TabularMDP.from_P(table)
