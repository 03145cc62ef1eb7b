"""Prediction against hand-computed numbers, against the book's boxes written out in plain Python, and exact values."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ext.common.returns import discounted_returns, lambda_returns
from sb3_ext.envs.textbook.random_walk import random_walk_mdp, random_walk_values
from sb3_ext.tabular import TabularMDP, prediction_loops, prediction_rules
from sb3_ext.tabular.batch_prediction import Experience, batch_monte_carlo, batch_td, sample_episodes
from sb3_ext.tabular.planning import policy_evaluation
from sb3_ext.tabular.prediction import (
    importance_sampling,
    monte_carlo_prediction,
    td_lambda_prediction,
    td_prediction,
)

WALK = random_walk_mdp()
STAY = np.zeros(7, dtype=int)  # the random walk's only action
LINE = TabularMDP.from_arrays(  # 0 -> 1 -> 2 -> end, rewards 1, 2, 4
    [[1], [2], [2]], [[1.0], [2.0], [4.0]], [[False], [False], [True]], start=[1.0, 0.0, 0.0]
)
ENDLESS = TabularMDP.from_arrays([[0, 0]], [[1.0, 0.0]])
COIN = TabularMDP.from_arrays([[[0, 0]]], [[[1.0, 1.0]]], [[[False, True]]], [[[0.5, 0.5]]])  # each step pays 1
EXAMPLE_5_5 = TabularMDP.from_arrays(  # left: 0.9 round again, 0.1 the end with reward 1; right: the end
    [[[0, 0], [0, 0]]], [[[0.0, 1.0], [0.0, 0.0]]], [[[False, True], [True, True]]], [[[0.9, 0.1], [1.0, 0.0]]]
)


def random_mdp(seed, n_states=5, n_actions=2, n_outcomes=3):
    """The last outcome ends the episode, so that every episode ends."""
    rng = np.random.default_rng(seed)
    shape = (n_states, n_actions, n_outcomes)
    probability = rng.dirichlet([3.0, 3.0, 1.0], size=shape[:2])
    probability[0, 0] = np.eye(n_outcomes)[1]  # some outcomes are impossible
    terminated = np.arange(n_outcomes) == n_outcomes - 1
    return TabularMDP.from_arrays(rng.integers(n_states, size=shape), rng.normal(size=shape), terminated, probability)


def random_policy(seed, mdp):
    return np.random.default_rng(seed).dirichlet(np.ones(mdp.n_actions), size=mdp.n_states)


# ---- The boxes of the book, slowly ----------------------------------------------------------------------------------


def uniforms(seed):
    """Splitmix64 in Python's own integers."""
    state, mask = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]), 2**64 - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        bits = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        bits = ((bits ^ (bits >> 27)) * 0x94D049BB133111EB) & mask
        yield ((bits ^ (bits >> 31)) >> 11) / 2**53


def pick(choices, uniform):
    """The choice that the number falls on; choices are (probability, value)."""
    total = 0.0
    for probability, value in choices:
        total += probability
        if uniform < total:
            return value
    return choices[-1][1]


def slow_episodes(mdp, policy, n_episodes, seed, limit=None):
    """Episodes as lists of (state, action, reward, next state, terminated)."""
    P, random, episodes = mdp.to_P(), uniforms(seed), []
    starts = [(p, s) for s, p in enumerate(mdp.start) if p > 0]
    for _ in range(n_episodes):
        state, episode = pick(starts, next(random)), []
        while not (episode and (episode[-1][-1] or len(episode) == limit)):
            choices = [
                (policy[state][action] * p, (state, action, reward, next_state, terminated))
                for action in P[state]
                for p, next_state, reward, terminated in P[state][action]
                if policy[state][action] > 0
            ]
            episode.append(pick(choices, next(random)))
            state = episode[-1][3]
        episodes.append(episode)
    return episodes


def rate(learning_rate, counts, state):
    counts[state] += 1
    return learning_rate or 1 / counts[state]


def slow_n_step(episodes, n_states, learning_rate, gamma, n):
    """Box in section 7.1, line by line."""
    V, counts = np.zeros(n_states), np.zeros(n_states)
    for episode in episodes:
        S = [episode[0][0], *(step[3] for step in episode)]
        R = [None, *(step[2] for step in episode)]
        terminated = episode[-1][4]
        T, t, tau = np.inf, 0, -1
        while tau != T - 1:
            if t < T and t + 1 == len(episode):
                T = t + 1
            tau = t - n + 1
            if tau >= 0:
                last = min(tau + n, T)
                G = sum(gamma ** (i - tau - 1) * R[i] for i in range(tau + 1, int(last) + 1))
                if tau + n < T or not terminated:
                    G += gamma ** (last - tau) * V[S[int(last)]]
                V[S[tau]] += rate(learning_rate, counts, S[tau]) * (G - V[S[tau]])
            t += 1
    return V


def slow_td_lambda(episodes, n_states, learning_rate, gamma, lambda_, replacing):
    """Box in section 12.2, with one feature a state."""
    V, counts = np.zeros(n_states), np.zeros(n_states)
    for episode in episodes:
        z = np.zeros(n_states)
        for state, _, reward, next_state, terminated in episode:
            rate(learning_rate, counts, state)
            z *= gamma * lambda_
            z[state] = 1 if replacing else z[state] + 1
            delta = reward + (0 if terminated else gamma * V[next_state]) - V[state]
            V += (learning_rate or 1 / np.maximum(counts, 1)) * delta * z
    return V


def slow_monte_carlo(episodes, n_states, learning_rate, gamma, every):
    """Box in section 5.1, with lists of returns for the means."""
    V, returns = np.zeros(n_states), [[] for _ in range(n_states)]
    for episode in episodes:
        G = 0.0 if episode[-1][4] else V[episode[-1][3]]
        for t in reversed(range(len(episode))):
            state, _, reward, _, _ = episode[t]
            G = gamma * G + reward
            if every or state not in [step[0] for step in episode[:t]]:
                returns[state].append(G)
                if learning_rate:
                    V[state] += learning_rate * (G - V[state])
                else:
                    V[state] = np.mean(returns[state])
    return V


def slow_importance_sampling(episodes, pi, b, gamma, weighted):
    """Equations 5.5 and 5.6 as sums over the whole episodes."""
    ratios, returns = [], []
    for episode in episodes:
        ratios.append(np.prod([pi[s][a] / b[s][a] for s, a, *_ in episode]))
        returns.append(sum(gamma**t * step[2] for t, step in enumerate(episode)))
    total = sum(ratios) if weighted else len(episodes)
    return np.dot(ratios, returns) / total


alphas = st.one_of(st.none(), st.floats(0.01, 1.0))
worlds = st.integers(0, 40)
unit = st.floats(0.0, 1.0)
limits = st.one_of(st.none(), st.integers(1, 6))


@settings(max_examples=60, deadline=None)
@given(worlds, alphas, unit, st.integers(1, 12), limits)
def test_n_step_td_is_the_box(seed, alpha, gamma, n, limit):
    mdp = random_mdp(seed)
    policy = random_policy(seed, mdp)
    episodes = slow_episodes(mdp, policy, 6, seed, limit)
    values = td_prediction(mdp, policy, alpha, gamma, n, n_episodes=6, seed=seed, max_episode_steps=limit)
    np.testing.assert_allclose(values[-1], slow_n_step(episodes, 5, alpha, gamma, n), rtol=1e-9, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(worlds, st.one_of(st.none(), st.floats(0.01, 0.3)), unit, unit, st.booleans(), limits)
def test_td_lambda_is_the_box(seed, alpha, gamma, lambda_, replacing, limit):
    mdp = random_mdp(seed)
    policy = random_policy(seed, mdp)
    traces = "replacing" if replacing else "accumulating"
    episodes = slow_episodes(mdp, policy, 6, seed, limit)
    values = td_lambda_prediction(
        mdp, policy, alpha, gamma, lambda_, traces, n_episodes=6, seed=seed, max_episode_steps=limit
    )
    slow = slow_td_lambda(episodes, 5, alpha, gamma, lambda_, replacing)
    np.testing.assert_allclose(values[-1], slow, rtol=1e-8, atol=1e-10 * max(1, np.abs(slow).max()))


@settings(max_examples=60, deadline=None)
@given(worlds, alphas, unit, st.sampled_from(["first", "every"]), limits)
def test_monte_carlo_is_the_box(seed, alpha, gamma, visits, limit):
    mdp = random_mdp(seed)
    policy = random_policy(seed, mdp)
    episodes = slow_episodes(mdp, policy, 6, seed, limit)
    values = monte_carlo_prediction(mdp, policy, alpha, gamma, visits, n_episodes=6, seed=seed, max_episode_steps=limit)
    slow = slow_monte_carlo(episodes, 5, alpha, gamma, visits == "every")
    np.testing.assert_allclose(values[-1], slow, rtol=1e-9, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(worlds, unit, st.booleans())
def test_importance_sampling_is_its_equation(seed, gamma, weighted):
    mdp = random_mdp(seed)
    pi, b = random_policy(seed, mdp), random_policy(seed + 1, mdp)
    random, episodes = uniforms(seed), []
    for _ in range(6):
        episode, state = [], 2  # no number is drawn for the start: it is given
        while not (episode and episode[-1][-1]):
            episode.append(slow_step(mdp, b, state, next(random)))
            state = episode[-1][3]
        episodes.append(episode)
    estimates = importance_sampling(mdp, pi, b, 2, None, weighted, gamma, n_episodes=6, seed=seed)
    assert estimates[-1] == pytest.approx(slow_importance_sampling(episodes, pi, b, gamma, weighted), rel=1e-9)


def slow_step(mdp, policy, state, uniform):
    P = mdp.to_P()
    choices = [
        (policy[state][action] * p, (state, action, reward, next_state, terminated))
        for action in P[state]
        for p, next_state, reward, terminated in P[state][action]
    ]
    return pick(choices, uniform)


# ---- How the methods hang together ----------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(worlds, alphas, unit, limits)
def test_one_step_and_lambda_0_are_td_0_bit_for_bit(seed, alpha, gamma, limit):
    mdp = random_mdp(seed)
    policy = random_policy(seed, mdp)
    run = {"n_episodes": 20, "seed": seed, "max_episode_steps": limit}
    td_0 = td_prediction(mdp, policy, alpha, gamma, **run)
    for traces in ("accumulating", "replacing"):
        np.testing.assert_array_equal(td_0, td_lambda_prediction(mdp, policy, alpha, gamma, 0.0, traces, **run))


def test_more_steps_than_an_episode_has_are_monte_carlo():
    """Bit for bit where no state is seen twice; by a hair (the order of the visits) in the walk."""
    for gamma in (0.5, 1.0):
        every = monte_carlo_prediction(LINE, [0, 0, 0], 0.3, gamma, "every", n_episodes=5)
        np.testing.assert_array_equal(every, td_prediction(LINE, [0, 0, 0], 0.3, gamma, 10**9, n_episodes=5))
    every = monte_carlo_prediction(WALK, STAY, 1e-4, visits="every", n_episodes=50, initial_values=0.5)
    long = td_prediction(WALK, STAY, 1e-4, n_steps=10**4, n_episodes=50, initial_values=0.5)
    assert np.abs(long - every).max() < 0.01 * np.abs(every - every[0]).max()


@pytest.mark.parametrize(("traces", "visits"), [("accumulating", "every"), ("replacing", "first")])
def test_lambda_1_is_monte_carlo_as_alpha_gets_small(traces, visits):
    run = {"n_episodes": 50, "initial_values": 0.5}
    for alpha in (1e-4, 1e-6):
        td_1 = td_lambda_prediction(WALK, STAY, alpha, lambda_=1.0, traces=traces, **run)
        monte_carlo = monte_carlo_prediction(WALK, STAY, alpha, visits=visits, **run)
        largest_change = np.abs(monte_carlo - 0.5)[:, 1:-1].max()
        assert np.abs(td_1 - monte_carlo).max() < 200 * alpha * largest_change


@settings(max_examples=40, deadline=None)
@given(worlds, unit, unit)
def test_offline_traces_are_lambda_returns(seed, gamma, lambda_):
    """Section 12.2: summed up with V held fixed, the moves by traces are those towards the lambda-returns."""
    mdp = random_mdp(seed)
    episode = sample_episodes(mdp, random_policy(seed, mdp), 1, seed)
    V = np.random.default_rng(seed).normal(size=5)
    discounts = np.where(episode.terminated, 0.0, gamma)
    returns = lambda_returns(episode.rewards, discounts, V[episode.next_states], lambda_=lambda_)
    forward, backward, z = np.zeros(5), np.zeros(5), [0.0] * 5
    for t, state in enumerate(episode.states):
        forward[state] += returns[t] - V[state]
        z = [prediction_rules.accumulating_trace(z[s], gamma, lambda_, s == state) for s in range(5)]
        delta = prediction_rules.td_error(episode.rewards[t], discounts[t], V[episode.next_states[t]], V[state])
        backward += delta * np.array(z)
    np.testing.assert_allclose(backward, forward, atol=1e-10 * (1 + len(episode.states)))


def test_hand_computed_values():
    """One episode 0 -> 1 -> 2 -> end with rewards 1, 2, 4, gamma 1/2, alpha 1/2, from V = 2."""
    run = {"n_episodes": 1, "initial_values": 2.0}
    assert td_prediction(LINE, [0, 0, 0], 0.5, 0.5, **run)[1].tolist() == [2.0, 2.5, 3.0]
    assert td_prediction(LINE, [0, 0, 0], 0.5, 0.5, 2, **run)[1].tolist() == [2.25, 3.0, 3.0]
    assert monte_carlo_prediction(LINE, [0, 0, 0], 0.5, 0.5, **run)[1].tolist() == [2.5, 3.0, 3.0]
    # deltas 0, 1, 2; traces of states 0 and 1 halve twice: 0 + 1/4 + 2/16, 1 + 2/4
    lambda_half = td_lambda_prediction(LINE, [0, 0, 0], 0.5, 0.5, 0.5, **run)
    assert lambda_half[1].tolist() == [2 + 0.5 * (0.25 + 0.125), 2 + 0.5 * 1.5, 3.0]


def test_rules():
    assert prediction_rules.updated(2.0, -4.0, 0.25) == 1.0
    assert prediction_rules.one_step_return(1.0, 0.0, 99.0) == 1.0
    assert prediction_rules.ordinary_estimate(0.0, 3.0, 2.0, 1) == 6.0
    assert prediction_rules.weighted_estimate(0.0, 3.0, 2.0, 2.0) == 3.0
    assert prediction_rules.weighted_estimate(0.5, 3.0, 0.0, 0.0) == 0.5
    assert prediction_rules.replacing_trace(0.7, 0.5, 0.5, True) == 1.0
    assert prediction_rules.accumulating_trace(0.8, 0.5, 0.5, True) == 1.2


# ---- Truth ----------------------------------------------------------------------------------------------------------

MAZE = random_mdp(3)
MAZE_POLICY = random_policy(3, MAZE)


def z_scores(estimates, truth):
    """Standard errors between the mean of independent estimates [n, ...] and the truth."""
    return (estimates.mean(axis=0) - truth) / (estimates.std(axis=0, ddof=1) / np.sqrt(len(estimates)))


def test_first_visit_monte_carlo_is_unbiased_and_every_visit_is_not():
    """COIN: T steps of reward 1, T geometric with mean 2. Over one episode, every-visit averages (T + 1) / 2."""
    run = {"n_episodes": 1, "seed": range(5_000), "n_threads": 1}
    first = monte_carlo_prediction(COIN, [0], **run)[:, -1, 0]
    every = monte_carlo_prediction(COIN, [0], visits="every", **run)[:, -1, 0]
    assert abs(z_scores(first, 2.0)) < 5
    assert abs(z_scores(every, 1.5)) < 5


@pytest.mark.parametrize("visits", ["first", "every"])
def test_monte_carlo_converges_to_the_exact_values(visits):
    truth = policy_evaluation(MAZE, MAZE_POLICY, 0.9).values
    estimates = monte_carlo_prediction(
        MAZE, MAZE_POLICY, None, 0.9, visits, n_episodes=10_000, seed=range(40), record_every=10_000
    )[:, -1]
    assert np.abs(z_scores(estimates, truth)).max() < 5
    assert np.abs(estimates - truth).max() < 0.1


@pytest.mark.parametrize("n_steps", [1, 4])
def test_td_converges_to_the_exact_values(n_steps):
    truth = policy_evaluation(MAZE, MAZE_POLICY, 0.9).values
    run = {"n_episodes": 200_000, "record_every": 200_000}
    assert np.abs(td_prediction(MAZE, MAZE_POLICY, None, 0.9, n_steps, **run)[-1] - truth).max() < 0.05
    assert np.abs(td_lambda_prediction(MAZE, MAZE_POLICY, None, 0.9, 0.8, **run)[-1] - truth).max() < 0.05


def test_the_fixed_point_of_constant_alpha_td_is_exact():
    """Without noise in the transitions, TD(0) settles on the exact values."""
    values = td_prediction(LINE, [0, 0, 0], 0.5, 0.5, n_episodes=200)[-1]
    np.testing.assert_allclose(values, policy_evaluation(LINE, [0, 0, 0], 0.5).values, atol=1e-12)


def test_actions_are_a_policy_too():
    actions = np.array([1, 0, 1, 1, 0])
    np.testing.assert_array_equal(
        td_prediction(MAZE, actions, n_episodes=30, max_episode_steps=50),
        td_prediction(MAZE, np.eye(2)[actions], n_episodes=30, max_episode_steps=50),
    )


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("action", [None, 0, 1])
def test_importance_sampling_finds_the_exact_value(weighted, action):
    exact = policy_evaluation(MAZE, MAZE_POLICY, 0.9)
    truth = exact.values[2] if action is None else exact.q_values[2, action]
    behaviour = 0.9 * MAZE_POLICY + 0.1 / 2  # ratios of at most 1 / 0.9 a step keep the variance finite
    estimates = importance_sampling(
        MAZE, MAZE_POLICY, behaviour, 2, action, weighted, 0.9, n_episodes=20_000, seed=range(40), record_every=20_000
    )[:, -1]
    assert abs(z_scores(estimates, truth)) < 5
    assert np.abs(estimates - truth).max() < 0.2


def test_on_its_own_episodes_importance_sampling_is_monte_carlo():
    truth = policy_evaluation(MAZE, MAZE_POLICY, 0.9).values[2]
    ordinary, weighted = (
        importance_sampling(MAZE, MAZE_POLICY, MAZE_POLICY, 2, None, w, 0.9, n_episodes=500) for w in (False, True)
    )
    np.testing.assert_allclose(ordinary, weighted, atol=1e-12)
    assert abs(ordinary[-1] - truth) < 0.5


def test_example_5_5():
    """Weighted: exactly 1 from the first episode on that ended on the left; ordinary: of infinite variance, mean 1."""
    uniform = [[0.5, 0.5]]
    weighted = importance_sampling(EXAMPLE_5_5, [0], uniform, 0, n_episodes=2000, seed=range(20))
    assert set(weighted[:, -1]) == {1.0}
    assert set(weighted.ravel()) <= {0.0, 1.0}
    ordinary = importance_sampling(EXAMPLE_5_5, [0], uniform, 0, weighted=False, n_episodes=2000, seed=range(20))
    assert ordinary[:, -1].std() > 0.1


# ---- Time limits ----------------------------------------------------------------------------------------------------


def test_a_time_limit_is_no_end():
    """Reward 1 for ever is worth 1 / (1 - gamma), though no episode has more than five steps."""
    run = {"n_episodes": 400, "max_episode_steps": 5}
    for values in (
        td_prediction(ENDLESS, [0], 0.5, 0.9, **run),
        td_prediction(ENDLESS, [0], 0.5, 0.9, 3, **run),
        td_lambda_prediction(ENDLESS, [0], 0.5, 0.9, 0.5, **run),
        monte_carlo_prediction(ENDLESS, [0], 0.5, 0.9, **run),
    ):
        assert values[-1, 0] == pytest.approx(10.0, abs=1e-6)
    assert monte_carlo_prediction(ENDLESS, [0], None, 0.9, n_episodes=1, max_episode_steps=2)[-1, 0] == 1.9


def test_an_endless_episode_is_refused(monkeypatch):
    monkeypatch.setattr("sb3_ext.tabular.prediction.LONGEST_EPISODE", 1000)
    methods = (td_prediction, td_lambda_prediction, monte_carlo_prediction)
    for predict in methods:
        with pytest.raises(ValueError, match="seed 3: episode 0 did not end within 1000 steps; give a time limit"):
            predict(ENDLESS, [0], seed=3)
    with pytest.raises(ValueError, match="did not end within 1000 steps; give a time limit"):
        sample_episodes(ENDLESS, [0], 2)


def test_an_endless_episode_is_refused_in_importance_sampling():
    with pytest.raises(ValueError, match="seed 0: episode 0 did not end within 1000000 steps"):
        importance_sampling(ENDLESS, [0], [0], 0)


# ---- Runs -----------------------------------------------------------------------------------------------------------


def all_methods(**run):
    """Every method once, on a small world."""
    uniform = np.full((5, 2), 0.5)
    return [
        td_prediction(MAZE, MAZE_POLICY, 0.1, 0.9, **run),
        td_prediction(MAZE, MAZE_POLICY, None, 0.9, 3, max_episode_steps=7, **run),
        td_lambda_prediction(MAZE, MAZE_POLICY, 0.1, 0.9, 0.7, **run),
        td_lambda_prediction(MAZE, MAZE_POLICY, None, 0.9, 0.7, "replacing", max_episode_steps=7, **run),
        monte_carlo_prediction(MAZE, MAZE_POLICY, None, 0.9, initial_values=[1, 2, 3, 4, 5], **run),
        monte_carlo_prediction(WALK, STAY, 0.1, 1.0, "every", initial_values=0.5, **run),
        importance_sampling(MAZE, MAZE_POLICY, uniform, 2, None, True, 0.9, **run),
        importance_sampling(MAZE, MAZE_POLICY, uniform, 2, 1, False, 0.9, **run),
    ]


def test_threads_and_company_change_nothing():
    run = {"n_episodes": 30, "seed": [5, 0, 7]}
    one, four = all_methods(**run, n_threads=1), all_methods(**run, n_threads=4)
    for alone, together in zip(one, four, strict=True):
        assert together.shape[:2] == (3, 31)
        np.testing.assert_array_equal(alone, together)
        assert not (together[0] == together[1]).all()
    for single, several in zip(all_methods(n_episodes=30, seed=7), four, strict=True):
        np.testing.assert_array_equal(single, several[2])


def test_records_every_few_episodes():
    for full, sparse in zip(all_methods(n_episodes=30), all_methods(n_episodes=30, record_every=10), strict=True):
        np.testing.assert_array_equal(full[::10], sparse)


def test_terminal_states_have_no_value():
    for values in (
        td_prediction(WALK, STAY, initial_values=0.5),
        td_prediction(WALK, STAY, initial_values=np.full(7, 0.5)),
    ):
        assert (values[:, [0, 6]] == 0).all()
        assert (values[0, 1:6] == 0.5).all()


def digests():
    """Bytes of every method's result, for a comparison between processes."""
    results = all_methods(n_episodes=12, seed=[0, 1], n_threads=1)
    experience = sample_episodes(MAZE, MAZE_POLICY, 12, seed=2)
    results += [*experience, batch_td(experience, 5, 0.9), batch_monte_carlo(experience, 5, 0.9)]
    return [result.tobytes().hex() for result in results]


def test_uncompiled_source_gives_the_same_bits(tmp_path):
    code = (
        "import warnings, runpy; warnings.simplefilter('ignore'); import numba; assert numba.config.DISABLE_JIT\n"
        f"print('\\n'.join(runpy.run_path({__file__!r})['digests']()))"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert printed.split() == digests()


# ---- Batches --------------------------------------------------------------------------------------------------------


def example_6_4():
    """Eight episodes: A 0 B 0; B 1, six times; B 0. State 0 is A, 1 is B, 2 the end."""
    states, rewards = [0, 1, *[1] * 7], [0.0, 0.0, *[1.0] * 6, 0.0]
    next_states = [1, *[2] * 8]
    terminated = np.array(next_states) == 2
    return Experience(
        np.array(states), np.zeros(9, int), np.array(rewards), np.array(next_states), terminated, terminated
    )


def test_you_are_the_predictor():
    assert batch_td(example_6_4(), 3).tolist() == pytest.approx([0.75, 0.75, 0.0], abs=1e-8)
    assert batch_monte_carlo(example_6_4(), 3).tolist() == [0.0, 0.75, 0.0]


@pytest.mark.parametrize("gamma", [0.9, 1.0])
def test_batch_td_is_the_certainty_equivalence_estimate(gamma):
    experience = sample_episodes(MAZE, MAZE_POLICY, 50, seed=1)
    n = len(experience.states)
    counts = np.bincount(experience.states, minlength=5)
    widest = counts.max()
    shape = (5, 1, widest)
    next_state, reward, terminated, probability = (
        np.zeros(shape, int),
        np.zeros(shape),
        np.zeros(shape, bool),
        np.zeros(shape),
    )
    seen = np.zeros(5, int)
    for t in range(n):
        s = experience.states[t]
        place = s, 0, seen[s]
        next_state[place], reward[place] = experience.next_states[t], experience.rewards[t]
        terminated[place], probability[place] = experience.terminated[t], 1 / counts[s]
        seen[s] += 1
    model = TabularMDP.from_arrays(next_state, reward, terminated, probability)
    exact = policy_evaluation(model, np.zeros(5, int), gamma).values
    np.testing.assert_allclose(batch_td(experience, 5, gamma, tolerance=1e-12), exact, atol=1e-9)


def test_batch_methods_are_the_limits_of_small_constant_steps():
    """Example 6.3: the increments of all steps are summed before they count, the batch is repeated until it settles."""
    experience = sample_episodes(WALK, STAY, 8, seed=4)
    discounts = 1.0 - experience.terminated
    td, mc = np.full(7, 0.5), np.full(7, 0.5)
    td[[0, 6]] = mc[[0, 6]] = 0
    returns = discounted_returns(experience.rewards, discounts, experience.ends)
    for _ in range(5_000):
        delta = experience.rewards + discounts * td[experience.next_states] - td[experience.states]
        td += 0.01 * np.bincount(experience.states, weights=delta, minlength=7)
        mc += 0.01 * np.bincount(experience.states, weights=returns - mc[experience.states], minlength=7)
    np.testing.assert_allclose(
        batch_td(experience, 7, initial_values=td[:1] + 0.5, tolerance=1e-12)[1:6], td[1:6], atol=1e-6
    )
    np.testing.assert_allclose(batch_monte_carlo(experience, 7)[1:6], mc[1:6], atol=1e-6)


def test_sampled_episodes_are_those_that_the_methods_see():
    experience = sample_episodes(MAZE, MAZE_POLICY, 20, seed=6, max_episode_steps=9)
    slow = [step for episode in slow_episodes(MAZE, MAZE_POLICY, 20, 6, 9) for step in episode]
    rows = zip(*(column.tolist() for column in experience[:5]), strict=True)
    assert list(rows) == slow
    assert experience.ends.sum() == 20
    first = experience.first_episodes(3)
    assert first.ends.sum() == 3
    assert first.ends[-1]
    assert len(experience.first_episodes(99).states) == len(slow)


def test_states_that_a_batch_never_leaves_keep_their_values():
    assert batch_td(example_6_4(), 4, initial_values=[0, 0, 0, 7.0])[3] == 7.0
    assert batch_monte_carlo(example_6_4(), 4, initial_values=7.0)[3] == 7.0


# ---- Errors ---------------------------------------------------------------------------------------------------------

TWO = [[0.5, 0.5]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: td_prediction(WALK, STAY, 0.0), r"learning_rate must lie in \(0, 1\], or be None for 1/N, got 0.0"),
        (lambda: td_prediction(WALK, STAY, float("nan")), "learning_rate must lie in .* got nan"),
        (lambda: td_lambda_prediction(WALK, STAY, 1.5), "learning_rate must lie in .* got 1.5"),
        (lambda: monte_carlo_prediction(WALK, STAY, -1), "learning_rate must lie in .* got -1"),
        (lambda: td_prediction(WALK, STAY, gamma=1.1), r"gamma must lie in \[0, 1\], got 1.1"),
        (lambda: td_prediction(WALK, STAY, n_steps=0), "n_steps must be at least 1, got 0"),
        (lambda: td_lambda_prediction(WALK, STAY, lambda_=-0.1), r"lambda_ must lie in \[0, 1\], got -0.1"),
        (lambda: td_lambda_prediction(WALK, STAY, traces="dutch"), "traces must be .* got 'dutch'"),
        (lambda: monte_carlo_prediction(WALK, STAY, visits="last"), "visits must be 'first' or 'every', got 'last'"),
        (lambda: td_prediction(WALK, [0, 0]), r"policy must be integers \[7\] or probabilities \[7, 1\]"),
        (lambda: td_prediction(ENDLESS, [[0.5, 0.4]]), "state 0: the policy's probabilities must sum to 1"),
        (lambda: td_prediction(WALK, STAY, n_episodes=0), "n_episodes must be at least 1, got 0"),
        (lambda: td_prediction(WALK, STAY, record_every=3), "record_every must divide n_episodes=100, got 3"),
        (lambda: td_prediction(WALK, STAY, record_every=0), "record_every must divide n_episodes=100, got 0"),
        (lambda: td_prediction(WALK, STAY, max_episode_steps=0), "max_episode_steps must be at least 1, got 0"),
        (lambda: td_prediction(WALK, STAY, initial_values=[1, 2]), r"initial_values must be .* \[7\] .* got \[1. 2.\]"),
        (lambda: td_prediction(WALK, STAY, initial_values=np.nan), "initial_values must be a finite number .* nan"),
        (lambda: td_prediction(WALK, STAY, seed=-1), "seed must be a number that is not negative, .* got -1"),
        (lambda: td_prediction(WALK, STAY, seed=[]), r"seed must be .* or several of them, got \[\]"),
        (lambda: td_prediction(WALK, STAY, n_threads=0), "n_threads must be at least 1, got 0"),
        (lambda: importance_sampling(ENDLESS, TWO, [0], 0), "state 0, action 1: the target policy takes it .* 0.5"),
        (lambda: importance_sampling(ENDLESS, TWO, TWO, 1), "state must lie in 0 .. 0, got 1"),
        (lambda: importance_sampling(ENDLESS, TWO, TWO, 0, 2), "action must lie in 0 .. 1, got 2"),
        (lambda: importance_sampling(ENDLESS, TWO, TWO, 0, gamma=-1), "gamma must lie in .* got -1"),
        (lambda: batch_td(example_6_4(), 2), "experience: every state must lie in 0 .. 1, got 2"),
        (lambda: batch_td(example_6_4(), 3, tolerance=0), "tolerance must be above 0, got 0"),
        (lambda: batch_monte_carlo(example_6_4(), 3, gamma=2), "gamma must lie in .* got 2"),
        (
            lambda: batch_monte_carlo(sample_episodes(ENDLESS, [0], 1, max_episode_steps=4), 1),
            "step 3: a truncated episode has no return",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_batch_td_without_a_limit_is_refused(monkeypatch):
    monkeypatch.setattr("sb3_ext.tabular.batch_prediction.MAX_SWEEPS", 100)
    with pytest.raises(ValueError, match=r"gamma=1\.0: no convergence to tolerance=1e-08 within 100 sweeps"):
        batch_td(sample_episodes(ENDLESS, [0], 1, max_episode_steps=4), 1)


def test_the_walks_exact_values_are_found():
    values = td_prediction(WALK, STAY, 0.01, n_episodes=20_000, record_every=20_000, initial_values=0.5)[-1]
    assert np.abs(values - random_walk_values()).max() < 0.1
    assert prediction_loops.LONGEST_EPISODE == 1_000_000
