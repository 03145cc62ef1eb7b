"""Exact solutions against numbers computed elsewhere, against brute force, and against their own guarantees."""

import subprocess
import sys
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.envs import GridWorld
from sb3_ext.envs.textbook.car_rental import car_rental_mdp
from sb3_ext.envs.textbook.gambler import gambler_mdp, gambler_values
from sb3_ext.tabular import TabularMDP, planning, policy_evaluation, value_iteration
from sb3_ext.tabular.planning import (
    expected_return,
    look_ahead,
    modified_policy_iteration,
    optimal_actions,
    policy_iteration,
)

FROZEN_LAKE = TabularMDP.from_env(gym.make("FrozenLake-v1"))
CLIFF = TabularMDP.from_env(gym.make("CliffWalking-v1"))
ENDLESS = TabularMDP.from_arrays([[0, 0]], [[1.0, 0.5]])
METHODS = [value_iteration, modified_policy_iteration, policy_iteration]
by_all_methods = pytest.mark.parametrize("solve", METHODS)


def random_mdp(seed, n_states=7, n_actions=3, n_outcomes=2, p_end=0.2):
    rng = np.random.default_rng(seed)
    shape = (n_states, n_actions, n_outcomes)
    return TabularMDP.from_arrays(
        rng.integers(n_states, size=shape),
        rng.normal(size=shape),
        rng.random(shape) < p_end,
        rng.dirichlet(np.ones(n_outcomes), size=shape[:2]),
    )


# ---- Oracles: nothing but NumPy, slow and plain ---------------------------------------------------------------------


def chain_of(mdp, policy):
    """Probabilities [S, S] of going on and mean rewards [S] under actions [S], entry by entry."""
    transitions, rewards = np.zeros((mdp.n_states, mdp.n_states)), np.zeros(mdp.n_states)
    for state, action in enumerate(policy):
        for outcome in range(mdp.n_outcomes):
            place = (state, action, outcome)
            rewards[state] += mdp.probability[place] * mdp.reward[place]
            if not mdp.terminated[place]:
                transitions[state, mdp.next_state[place]] += mdp.probability[place]
    return transitions, rewards


def value_of(mdp, policy, gamma):
    transitions, rewards = chain_of(mdp, policy)
    return np.linalg.solve(np.eye(mdp.n_states) - gamma * transitions, rewards)


def all_policies(mdp):
    return product(range(mdp.n_actions), repeat=mdp.n_states)


def brute_force(mdp, gamma):
    """v* as the best of all deterministic policies."""
    return np.max([value_of(mdp, policy, gamma) for policy in all_policies(mdp)], axis=0)


def howard(mdp, gamma):
    """v* by policy iteration with dense matrices."""
    policy = np.zeros(mdp.n_states, dtype=int)
    while True:
        values = value_of(mdp, policy, gamma)
        q_values = look_ahead(mdp, values, gamma)
        if (q_values.max(axis=1) <= q_values[np.arange(mdp.n_states), policy] + 1e-10).all():
            return values
        policy = q_values.argmax(axis=1)


# ---- Known numbers --------------------------------------------------------------------------------------------------


@by_all_methods
@pytest.mark.parametrize(("gamma", "value"), [(0.9, 0.0689), (0.95, 0.1805), (0.99, 0.5420), (0.999, 0.7855)])
def test_frozen_lake_has_its_known_value(gamma, value, solve):
    assert solve(FROZEN_LAKE, gamma).values[0] == pytest.approx(value, abs=5e-5)


@by_all_methods
@pytest.mark.parametrize(("env_id", "value"), [("CliffWalking-v1", -13.0), ("CliffWalkingSlippery-v1", -64.709)])
def test_cliff_walking_has_its_known_return(env_id, value, solve):
    mdp = TabularMDP.from_env(gym.make(env_id))
    solution = solve(mdp, 1.0)
    assert solution.values[36] == pytest.approx(value, abs=5e-4)
    assert expected_return(mdp, solution.policy, 1.0) == pytest.approx(solution.values[36])


@by_all_methods
@pytest.mark.parametrize("p_heads", [0.25, 0.4, 0.55])
def test_the_gambler_wins_as_often_as_is_known(p_heads, solve):
    np.testing.assert_allclose(solve(gambler_mdp(100, p_heads), 1.0).values, gambler_values(100, p_heads), atol=1e-8)


@by_all_methods
def test_car_rental_has_the_value_of_dense_policy_iteration(solve):
    mdp = car_rental_mdp()
    solution = solve(mdp, 0.9, 1e-6)
    values, policy = np.zeros(mdp.n_states), solution.policy
    weights = mdp.probability[np.arange(mdp.n_states), policy]  # K = S: the outcomes are the states themselves
    values = np.linalg.solve(np.eye(mdp.n_states) - 0.9 * weights, mdp.expected_reward[np.arange(441), policy])
    np.testing.assert_allclose(solution.values, values, atol=1e-6)
    assert (look_ahead(mdp, values, 0.9).max(axis=1) <= values + 1e-7).all()  # and no action is better


@by_all_methods
@pytest.mark.parametrize("map_name", ["FourRooms", "KeyDoor", "CliffWalking"])
@pytest.mark.parametrize("gamma", [0.95, 1.0])
def test_grid_worlds_agree_with_dense_policy_iteration(map_name, gamma, solve):
    mdp = GridWorld(map_name, slip=0.2).mdp
    solution = solve(mdp, gamma, 1e-9)
    np.testing.assert_allclose(solution.values, best_value_of(mdp, gamma, solution.policy), atol=1e-8)


def best_value_of(mdp, gamma, policy):
    """The values of a policy, after a check that no action is better."""
    values = value_of(mdp, policy, gamma)
    assert (look_ahead(mdp, values, gamma).max(axis=1) <= values + 1e-9).all()
    return values


def test_the_first_exercise_of_the_book():
    """Example 4.1: a 4x4 grid, -1 a step, two corners are the end; v of the random policy (figure 4.1)."""
    cells = np.arange(16).reshape(4, 4)
    padded = np.pad(cells, 1, mode="edge")
    moves = np.stack([padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2]], axis=-1).reshape(16, 4)
    known = [0, -14, -20, -22, -14, -18, -20, -20, -20, -20, -18, -14, -22, -20, -14, 0]
    ends = np.isin(cells.ravel(), (0, 15))
    with_flags = TabularMDP.from_arrays(
        np.where(ends[:, None], cells.reshape(-1, 1), moves), np.where(ends, 0.0, -1.0)[:, None] * np.ones(4),
        np.isin(moves, (0, 15)) | ends[:, None],
    )  # fmt: skip
    absorbing = TabularMDP.from_arrays(
        np.where(ends[:, None], cells.reshape(-1, 1), moves), np.where(ends, 0.0, -1.0)[:, None] * np.ones(4)
    )
    for mdp in (with_flags, absorbing):
        np.testing.assert_allclose(policy_evaluation(mdp, np.full((16, 4), 0.25), 1.0).values, known, atol=1e-9)
        assert value_iteration(mdp, 1.0).values.tolist() == [
            0,
            -1,
            -2,
            -3,
            -1,
            -2,
            -3,
            -2,
            -2,
            -3,
            -2,
            -1,
            -3,
            -2,
            -1,
            0,
        ]


# ---- Guarantees for gamma < 1 ---------------------------------------------------------------------------------------


@st.composite
def small_mdps(draw, p_end=0.2):
    n_states, n_actions, n_outcomes = (draw(st.integers(1, highest)) for highest in (4, 3, 3))
    return random_mdp(draw(st.integers(0, 10**6)), n_states, n_actions, n_outcomes, draw(st.sampled_from([0, p_end])))


@settings(deadline=None, max_examples=100)
@given(small_mdps(), st.sampled_from([0.0, 0.5, 0.9, 0.99]), st.sampled_from(METHODS), st.booleans())
def test_all_methods_find_the_best_of_all_policies(mdp, gamma, solve, directly):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "LARGEST_DIRECT_SOLVE", 2000 if directly else 0)
        solution = solve(mdp, gamma, 1e-8)
    exact = brute_force(mdp, gamma)
    np.testing.assert_allclose(solution.values, exact, atol=1e-8)
    np.testing.assert_allclose(value_of(mdp, solution.policy, gamma), exact, atol=1e-8)
    np.testing.assert_allclose(solution.q_values, look_ahead(mdp, solution.values, gamma), atol=1e-12)


@by_all_methods
@pytest.mark.parametrize("tolerance", [10.0, 0.5, 1e-3, 1e-9])
@pytest.mark.parametrize(("n_states", "p_end", "gamma"), [(7, 0.2, 0.95), (60, 0.0, 0.99), (60, 0.001, 0.999)])
def test_the_error_and_the_loss_are_at_most_what_is_proved_and_that_at_most_the_tolerance(
    n_states, p_end, gamma, tolerance, solve, monkeypatch
):
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 0)
    for seed in range(4):
        mdp = random_mdp(seed, n_states, p_end=p_end)
        exact = howard(mdp, gamma)
        found = solve(mdp, gamma, tolerance)
        assert np.abs(found.values - exact).max() <= found.error_bound + 1e-11
        assert (exact - value_of(mdp, found.policy, gamma)).max() <= found.loss_bound + 1e-11
        rounding = 1e-14 * np.abs(exact).max() / (1 - gamma)
        assert max(found.error_bound, found.loss_bound) <= max(tolerance, rounding)


def test_a_tolerance_beyond_rounding_ends_and_says_what_was_reached():
    solution = value_iteration(random_mdp(0), 0.99, 1e-300)
    assert 1e-300 < solution.error_bound < 1e-10


def test_on_a_line_a_small_last_change_proves_nothing_and_is_not_taken_for_the_error():
    n_states = 3000  # ends at 0 for 1000; each step costs nothing, so what is learned of it moves a state a sweep
    states = np.arange(n_states)
    line = TabularMDP.from_arrays(
        np.maximum(states - 1, 0)[:, None], np.where(states == 0, 1000.0, 0.0)[:, None], (states == 0)[:, None]
    )
    for shuffled in (False, True):
        order = np.random.default_rng(0).permutation(n_states) if shuffled else states
        mdp = TabularMDP.from_arrays(
            np.argsort(order)[line.next_state[order]], line.reward[order], line.terminated[order]
        )
        solution = value_iteration(mdp, 0.999, 1e-6)
        np.testing.assert_allclose(solution.values, 1000 * 0.999 ** states[order], atol=1e-6)
        assert solution.n_sweeps <= 4


@by_all_methods
def test_a_slippery_grid_beyond_the_direct_solve(solve, monkeypatch):
    mdp = GridWorld(["S" + "." * 24, *["." * 25] * 23, "." * 24 + "G"], slip=0.2).mdp
    solution = solve(mdp, 0.999, 1e-6)
    np.testing.assert_allclose(value_of(mdp, solution.policy, 0.999), solution.values, atol=1e-6)
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 100)
    np.testing.assert_allclose(solve(mdp, 0.999, 1e-6).values, solution.values, atol=2e-6)


@by_all_methods
def test_rewards_that_go_on_for_ever_reach_their_limit_soon(solve):
    """Nothing ends: without extrapolation all values stay off by the same for a hundred thousand sweeps."""
    solution = solve(random_mdp(3, n_states=3000, p_end=0.0), 0.9999, 1e-6)
    assert solution.error_bound <= 1e-6
    assert solution.n_sweeps < 10_000


# ---- Evaluation -----------------------------------------------------------------------------------------------------


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
    assert repeated.error_bound <= 1e-10


@settings(deadline=None, max_examples=60)
@given(small_mdps(p_end=0.6), st.sampled_from([0.0, 0.9, 1.0]), st.integers(0, 10**6), st.booleans())
def test_evaluation_agrees_with_linear_algebra(mdp, gamma, seed, directly):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(mdp.n_actions, 0.5), size=mdp.n_states)
    actions = rng.integers(mdp.n_actions, size=mdp.n_states)
    chains = [chain_of(mdp, np.full(mdp.n_states, action)) for action in range(mdp.n_actions)]
    transitions, rewards = (
        sum(probabilities[:, [a]].reshape(-1, *[1] * (part[a].ndim - 1)) * part[a] for a in range(mdp.n_actions))
        for part in zip(*chains, strict=True)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "LARGEST_DIRECT_SOLVE", 2000 if directly else 0)
        for policy, (matrix, reward) in ((probabilities, (transitions, rewards)), (actions, chain_of(mdp, actions))):
            if gamma == 1 and np.linalg.matrix_power(matrix, 2**12).max() > 1e-6:
                with pytest.raises(ValueError, match="ends every episode"):
                    policy_evaluation(mdp, policy, gamma)
                continue
            found = policy_evaluation(mdp, policy, gamma, 1e-9)
            exact = np.linalg.solve(np.eye(mdp.n_states) - gamma * matrix, reward)
            assert np.abs(found.values - exact).max() <= found.error_bound + 1e-12 * np.abs(exact).max()
            assert found.error_bound <= 1e-9 * max(1.0, np.abs(exact).max())
            assert expected_return(mdp, policy, gamma) == pytest.approx(mdp.start @ exact, abs=1e-8)


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


def test_the_greedy_policy_of_an_evaluation_is_an_improvement_with_a_bounded_loss():
    uniform = policy_evaluation(FROZEN_LAKE, np.full((16, 4), 0.25), 0.9)
    improved, best = (policy_evaluation(FROZEN_LAKE, policy, 0.9) for policy in (uniform.policy, brute_lake().policy))
    assert (improved.values >= uniform.values - 1e-12).all()
    assert (best.values - improved.values).max() <= uniform.loss_bound


def brute_lake():
    return policy_iteration(FROZEN_LAKE, 0.9)


def test_ties_are_kept():
    solution = value_iteration(CLIFF, 1.0)
    assert optimal_actions(solution.q_values)[0].tolist() == [False, True, True, False]  # right and down


# ---- gamma = 1 ------------------------------------------------------------------------------------------------------


@st.composite
def undiscounted_mdps(draw):
    """Two or three states, few and small rewards, many loops: every special case comes up."""
    n_states, n_actions, n_outcomes = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    shape = (n_states, n_actions, n_outcomes)
    rng = np.random.default_rng(draw(st.integers(0, 10**9)))
    rewards = draw(st.sampled_from([(-1, 0), (0, 1), (-1, 0, 1), (-2, -1), (-2, 0, 0, 2)]))
    return TabularMDP.from_arrays(
        rng.integers(n_states, size=shape),
        np.repeat(rng.choice(rewards, size=shape[:2])[:, :, None], n_outcomes, axis=2),
        rng.random(shape) < draw(st.sampled_from([0.0, 0.2, 0.5])),
        np.full(n_outcomes, 1 / n_outcomes),
    )


def endless_classes(transitions):
    """The sets of states that a chain, once there, never leaves and goes round in."""
    reach = np.linalg.matrix_power((np.eye(len(transitions)) + (transitions > 0)), len(transitions)) > 0
    classes = {tuple(np.flatnonzero(reach[state] & reach[:, state])) for state in range(len(transitions))}
    return [list(c) for c in classes if np.allclose(transitions[np.ix_(c, c)].sum(axis=1), 1)]


def mean_reward(transitions, rewards, states):
    """Earned a step, in the long run, by going round in these states."""
    inside = transitions[np.ix_(states, states)]
    system = np.vstack([inside.T - np.eye(len(states)), np.ones(len(states))])
    weights = np.linalg.lstsq(system, np.append(np.zeros(len(states)), 1.0), rcond=None)[0]
    return weights @ rewards[states]


def undiscounted_oracle(mdp):
    """The best values of the policies that end, or what is wrong, by looking at every policy."""
    mdp = with_absorbing_ends(mdp)
    chains = [chain_of(mdp, policy) for policy in all_policies(mdp)]
    proper = [chain for chain in chains if not endless_classes(chain[0])]
    if not proper:
        return "no policy ends"
    if any(mean_reward(*chain, states) > 1e-9 for chain in chains for states in endless_classes(chain[0])):
        return "circle"
    best = np.max([np.linalg.solve(np.eye(mdp.n_states) - matrix, rewards) for matrix, rewards in proper], axis=0)
    for matrix, rewards in chains:
        loses_nothing = np.abs(rewards + matrix @ best - best) < 1e-9
        for states in endless_classes(matrix):
            if loses_nothing[states].all() and (best[states] < -1e-9).all():
                return "never to end"
    return best


def with_absorbing_ends(mdp):
    """States from where nothing is ever earned become ends, found by following all actions for a while."""
    reach = np.eye(mdp.n_states, dtype=bool)
    for _ in range(mdp.n_states):
        for place in np.ndindex(mdp.next_state.shape):
            if not mdp.terminated[place]:
                reach[:, mdp.next_state[place]] |= reach[:, place[0]]
    never_ends = ~(reach @ mdp.terminated.any(axis=(1, 2)))
    never_earns = ~(reach @ (mdp.expected_reward != 0).any(axis=1))
    ends = never_ends & never_earns
    return TabularMDP.from_arrays(
        mdp.next_state, mdp.reward, mdp.terminated | ends[:, None, None], mdp.probability, mdp.start
    )


@settings(deadline=None, max_examples=400)
@given(undiscounted_mdps(), st.sampled_from(METHODS), st.booleans())
def test_without_discount_the_best_policy_that_ends_is_found_or_its_lack_is_named(mdp, solve, directly):
    expected = undiscounted_oracle(mdp)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "LARGEST_DIRECT_SOLVE", 2000 if directly else 0)
        if isinstance(expected, str):
            with pytest.raises(ValueError, match=rf"state \d .*{expected}"):
                solve(mdp, 1.0, 1e-8)
            return
        solution = solve(mdp, 1.0, 1e-8)
    np.testing.assert_allclose(solution.values, expected, atol=1e-8)
    ended = with_absorbing_ends(mdp)
    assert not endless_classes(chain_of(ended, solution.policy)[0])
    np.testing.assert_allclose(value_of(ended, solution.policy, 1.0), expected, atol=1e-8)


@pytest.mark.parametrize("directly", [True, False])
@by_all_methods
def test_the_error_of_an_evaluation_is_not_taken_for_a_cost(solve, directly, monkeypatch):
    """All is free; values that come out as -6e-10 are no reason never to end."""
    free = TabularMDP.from_arrays(
        [[[1, 0], [1, 0]], [[0, 1], [1, 0]]],
        [[[-1.0, -1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]],
        [[[False, False], [False, False]], [[False, False], [True, False]]],
        np.full((2, 2, 2), 0.5),
    )
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 2000 if directly else 0)
    np.testing.assert_allclose(solve(free, 1.0, 1e-8).values, 0.0, atol=1e-8)


@by_all_methods
def test_values_without_a_limit_are_refused(solve):
    with pytest.raises(ValueError, match="the value of state 0 has no limit: no policy ends"):
        solve(ENDLESS, 1.0)
    with pytest.raises(
        ValueError, match="ends every episode, from every state; this one goes on for ever from state 0"
    ):
        policy_evaluation(ENDLESS, [0], 1.0)
    assert solve(ENDLESS, 0.5).values[0] == pytest.approx(2.0)


@by_all_methods
@pytest.mark.parametrize("rewards", [[1.0, -1.0], [3.0, -2.0, 5.0, -6.0], [1.0, 1.0, -1.0], [-1.0]])
@pytest.mark.parametrize("directly", [True, False])
def test_a_loop_without_an_exit_is_refused(rewards, directly, solve, monkeypatch):
    n_states = len(rewards)
    loop = TabularMDP.from_arrays(
        [[(state + 1) % n_states] for state in range(n_states)], [[reward] for reward in rewards]
    )
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 2000 if directly else 0)
    with pytest.raises(ValueError, match=r"the value of state \d has no limit: no policy ends an episode"):
        solve(loop, 1.0)
    with pytest.raises(ValueError, match="goes on for ever from state 0"):
        policy_evaluation(loop, [0] * n_states, 1.0)


@by_all_methods
@pytest.mark.parametrize("directly", [True, False])
def test_the_zero_cost_circle(directly, solve, monkeypatch):
    """To stay costs nothing. Where the end pays, every number above it solves the Bellman equation, too."""
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 2000 if directly else 0)
    stay_or_end = lambda reward: TabularMDP.from_arrays([[0, 0]], [[0.0, reward]], [[False, True]])  # noqa: E731
    paid = solve(stay_or_end(1.0), 1.0)
    assert (paid.values[0], paid.policy[0]) == (1.0, 1)
    free = solve(stay_or_end(0.0), 1.0)
    assert free.values[0] == 0.0
    with pytest.raises(ValueError, match=r"from state 0 it is best never to end .* every end costs 1"):
        solve(stay_or_end(-1.0), 1.0)
    circle = TabularMDP.from_arrays([[1, 0], [0, 0]], [[2.0, 0.0], [-1.0, 0.0]], [[False, True], [False, True]])
    with pytest.raises(ValueError, match=r"the value of state \d has no limit: .* circle"):
        solve(circle, 1.0)


@by_all_methods
@pytest.mark.parametrize("tolerance", [10.0, 1e-9])
@pytest.mark.parametrize("profit", [1e-3, 0.0, -1e-3])
@pytest.mark.parametrize("directly", [True, False])
def test_a_circle_is_judged_by_what_it_earns_whatever_the_tolerance(directly, profit, tolerance, solve, monkeypatch):
    """Round three states for 1, 1 and profit - 2 (every state is left for 0.1 as well)."""
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 2000 if directly else 0)
    rewards = [[1.0, 0.1], [1.0, 0.1], [profit - 2.0, 0.1]]
    mdp = TabularMDP.from_arrays([[1, 0], [2, 1], [0, 2]], rewards, [[False, True]] * 3)
    if profit > 0:
        with pytest.raises(ValueError, match=r"the value of state \d has no limit: .* circle"):
            solve(mdp, 1.0, tolerance)
    else:
        assert solve(mdp, 1.0, tolerance).values == pytest.approx([2.1, 1.1, max(0.1, profit + 0.1)])


@by_all_methods
def test_frozen_lake_without_discount_is_won_as_often_as_is_known_and_the_policy_ends(solve):
    solution = solve(FROZEN_LAKE, 1.0)
    assert solution.values[0] == pytest.approx(14 / 17)  # 0.8235
    assert policy_evaluation(FROZEN_LAKE, solution.policy, 1.0).values[0] == pytest.approx(14 / 17)
    dry = TabularMDP.from_env(gym.make("FrozenLake-v1", is_slippery=False))  # one can walk round in circles for nothing
    solution = solve(dry, 1.0)
    assert solution.values[0] == 1.0
    assert policy_evaluation(dry, solution.policy, 1.0).values[0] == 1.0


@by_all_methods
def test_values_that_move_evenly_for_long_but_end_are_found(solve):
    waiting = TabularMDP.from_arrays([[0, 0]], [[-1.0, -5000.0]], [[False, True]])  # to leave costs 5000 waits
    assert solve(waiting, 1.0).values[0] == -5000.0
    seldom = TabularMDP.from_arrays([[[0, 0]]], [[[-1.0, -1.0]]], [[[False, True]]], [[[0.999, 0.001]]])
    assert solve(seldom, 1.0).values[0] == pytest.approx(-1000.0)


def test_a_seldom_end_does_not_make_the_error_larger_than_the_tolerance(monkeypatch):
    """The last change of a sweep is a thousandth of the error here."""
    monkeypatch.setattr(planning, "LARGEST_DIRECT_SOLVE", 0)
    seldom = TabularMDP.from_arrays([[[0, 0]]], [[[-1.0, -1.0]]], [[[False, True]]], [[[0.999, 0.001]]])
    for found in (policy_evaluation(seldom, [0], 1.0, 1e-4), value_iteration(seldom, 1.0, 1e-4)):
        assert abs(found.values[0] + 1000) <= found.error_bound <= 1e-4


def test_the_expected_return_does_not_depend_on_states_that_are_never_visited():
    two = TabularMDP.from_arrays([[0], [1]], [[-1.0], [-1.0]], [[True], [False]], start=[1.0, 0.0])
    assert expected_return(two, [0, 0], 1.0) == -1.0
    idle = TabularMDP.from_arrays([[0, 0]], [[0.0, 1.0]], [[False, True]])
    assert expected_return(idle, [0], 1.0) == 0.0  # for ever nothing
    assert expected_return(idle, [[0.5, 0.5]], 1.0) == 1.0
    assert expected_return(ENDLESS, [1], 1.0) == -np.inf


# ---- Bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: value_iteration(ENDLESS, 1.1), r"gamma must lie in \[0, 1\], got 1.1"),
        (lambda: policy_iteration(ENDLESS, -0.1), r"gamma must lie in \[0, 1\], got -0.1"),
        (lambda: modified_policy_iteration(ENDLESS, np.nan), r"gamma must lie in \[0, 1\], got nan"),
        (lambda: expected_return(ENDLESS, [0], 2), r"gamma must lie in \[0, 1\], got 2"),
        (lambda: value_iteration(ENDLESS, 0.9, 0.0), "tolerance must be above 0, got 0.0"),
        (lambda: policy_evaluation(ENDLESS, [0], 0.9, np.nan), "tolerance must be above 0, got nan"),
        (lambda: modified_policy_iteration(ENDLESS, 0.9, n_evaluations=-1), "n_evaluations must be at least 0, got -1"),
        (lambda: policy_evaluation(ENDLESS, [2], 0.9), "state 0: the actions are 0 to 1, got 2"),
        (lambda: policy_evaluation(ENDLESS, [[0.5, 0.4]], 0.9), "state 0: the policy's probabilities must sum to 1"),
        (lambda: policy_evaluation(ENDLESS, [[np.nan, 1]], 0.9), "state 0: the policy's probabilities must sum to 1"),
        (lambda: policy_evaluation(ENDLESS, [0.0], 0.9), r"policy must be integers \[1\] or probabilities \[1, 2\]"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_never_converges_ends_with_an_error(monkeypatch):
    monkeypatch.setattr(planning, "MAX_SWEEPS", 10)
    with pytest.raises(ValueError, match="no convergence within 10 sweeps; raise the tolerance or lower gamma="):
        value_iteration(random_mdp(0, n_states=300, p_end=1e-5), 0.9999, 1e-9)


def test_sb3_ext_tabular_does_not_load_numba_until_planning_is_used():
    script = "import sys, sb3_ext.tabular; print('numba' in sys.modules, 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False False\n"


@pytest.mark.slow
def test_a_large_slippery_grid_is_solved_alike_by_all_methods():
    mdp = GridWorld(["S" + "." * 149, *["." * 150] * 148, "." * 149 + "G"], slip=0.2).mdp
    for gamma in (0.999, 1.0):
        solutions = [solve(mdp, gamma, 1e-6) for solve in METHODS]
        for solution in solutions:
            np.testing.assert_allclose(solution.values, solutions[0].values, atol=2e-6)
            followed = policy_evaluation(mdp, solution.policy, gamma, 1e-7).values
            np.testing.assert_allclose(followed, solutions[0].values, atol=2e-6)
