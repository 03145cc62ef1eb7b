"""The exact gradient against complex-step and central differences of a plain J, and against all episodes one by one."""

from copy import deepcopy
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO
from torch import nn

from sb3_ext import GRPO
from sb3_ext.envs import GridWorld
from sb3_ext.envs.textbook.short_corridor import (
    BEST_PROBABILITY,
    policy_value,
    policy_value_gradient,
    short_corridor_mdp,
)
from sb3_ext.oracle import (
    SoftmaxTable,
    exact_policy_gradient,
    policy_probabilities,
    solve_policy,
    state_occupancy,
    weighted_gradient,
)
from sb3_ext.tabular import TabularMDP, expected_return, policy_evaluation

th.set_num_threads(1)
LAKE = TabularMDP.from_env(gym.make("FrozenLake-v1"))
ENDLESS = TabularMDP.from_arrays([[0, 1], [1, 0]], [[1.0, 0.5], [0.0, 2.0]])


def random_mdp(seed, n_states=4, n_actions=3, n_outcomes=2, p_end=0.2, ends=False):
    """A random world; with ``ends``, the first outcome of action 0 ends the episode in every state."""
    rng = np.random.default_rng(seed)
    shape = (n_states, n_actions, n_outcomes)
    terminated = rng.random(shape) < p_end
    terminated[:, 0, 0] |= ends
    return TabularMDP.from_arrays(
        rng.integers(n_states, size=shape),
        rng.normal(size=shape),
        terminated,
        rng.dirichlet(np.ones(n_outcomes), size=shape[:2]),
        rng.dirichlet(np.ones(n_states)),
    )


def random_table(mdp, seed=0, scale=1.0):
    return SoftmaxTable(scale * np.random.default_rng(seed).normal(size=(mdp.n_states, mdp.n_actions)))


def gradient_of(mdp, table, gamma, *args, observations=None, **kwargs):
    return exact_policy_gradient(mdp, table(observations), table.parameters(), gamma, *args, **kwargs).numpy()


# ---- Oracles: plain NumPy, entry by entry, and good for complex numbers ---------------------------------------------


def softmax(logits):
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


def plain_values(mdp, policy, gamma, horizon=None, last=0.0):
    """V [S] at time 0."""
    transitions, rewards = np.zeros((mdp.n_states, mdp.n_states), policy.dtype), np.zeros(mdp.n_states, policy.dtype)
    for state, action, outcome in product(range(mdp.n_states), range(mdp.n_actions), range(mdp.n_outcomes)):
        place = (state, action, outcome)
        chance = policy[state, action] * mdp.probability[place]
        rewards[state] += chance * mdp.reward[place]
        if not mdp.terminated[place]:
            transitions[state, mdp.next_state[place]] += chance
    if horizon is None:
        return np.linalg.solve(np.eye(mdp.n_states) - gamma * transitions, rewards)
    values = np.full(mdp.n_states, last) if np.ndim(last) == 0 else np.asarray(last)
    for _ in range(horizon):
        values = rewards + gamma * transitions @ values
    return values


def complex_step(function, logits):
    """The gradient of a real-analytic function, without subtraction and so exact to rounding (Squire & Trapp 1998)."""
    gradient = np.empty(logits.shape)
    for index in np.ndindex(*logits.shape):
        moved = logits.astype(complex)
        moved[index] += 1e-30j
        gradient[index] = function(moved).imag / 1e-30
    return gradient.ravel()


def central_difference(function, step=1e-2):
    """The derivative at 0, of order six: an error of about step^6 f7 / 140 and of 1e-16 f / step by rounding."""
    weights = [(1, 45), (2, -9), (3, 1)]
    return sum(w * (function(k * step) - function(-k * step)) for k, w in weights) / (60 * step)


def episodes(mdp, policy, horizon):
    """All courses of at most ``horizon`` steps: probability, [(state, action, reward), ...], last state or None."""
    courses = [(p, [], state) for state, p in enumerate(mdp.start) if p > 0]
    for _ in range(horizon):
        longer = []
        for chance, steps, state in courses:
            if state is None:
                longer.append((chance, steps, None))
                continue
            for action, outcome in product(range(mdp.n_actions), range(mdp.n_outcomes)):
                place = (state, action, outcome)
                p = chance * policy[state, action] * mdp.probability[place]
                after = None if mdp.terminated[place] else int(mdp.next_state[place])
                if p > 0:
                    longer.append((p, [*steps, (state, action, mdp.reward[place])], after))
        courses = longer
    return courses


def mean_over_episodes(mdp, policy, gamma, horizon, last, discounted):
    """J, and the mean of REINFORCE's estimate sum_t [gamma^t] grad log pi(A_t | S_t) G_t for a table of logits."""
    start_value, gradient = 0.0, np.zeros_like(policy)
    for chance, steps, state in episodes(mdp, policy, horizon):
        to_go = 0.0 if state is None else last[state]
        for t, (seen, action, reward) in reversed(list(enumerate(steps))):
            to_go = reward + gamma * to_go
            score = (np.arange(mdp.n_actions) == action) - policy[seen]
            gradient[seen] += chance * (gamma**t if discounted else 1.0) * to_go * score
        start_value += chance * to_go
    return start_value, gradient.ravel()


# ---- The gradient ---------------------------------------------------------------------------------------------------


@st.composite
def problems(draw):
    """A world, a table, a discount, and a time limit or none."""
    gamma = draw(st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
    sizes = [draw(st.integers(1, highest)) for highest in (5, 4, 3)]
    mdp = random_mdp(draw(st.integers(0, 10**6)), *sizes, draw(st.sampled_from([0.0, 0.3])), ends=gamma == 1)
    return mdp, random_table(mdp, draw(st.integers(0, 10**6))), gamma, draw(st.none() | st.integers(1, 8))


@settings(deadline=None, max_examples=150)
@given(problems(), st.sampled_from([False, True, "own"]))
def test_it_is_the_derivative_of_j(problem, bootstrap):
    """With a time limit, of the limited J; what is bootstrapped is a constant."""
    mdp, table, gamma, horizon = problem
    logits = table.logits.detach().numpy()
    own = np.linspace(-1, 2, mdp.n_states)
    last = {False: 0.0, True: plain_values(mdp, softmax(logits), gamma), "own": own}[bootstrap]
    bootstrap = False if horizon is None else own if bootstrap == "own" else bootstrap
    expected = complex_step(lambda x: mdp.start @ plain_values(mdp, softmax(x), gamma, horizon, last), logits)
    found = gradient_of(mdp, table, gamma, horizon, bootstrap)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("horizon", [None, 3])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_a_central_difference_of_j(seed, horizon):
    mdp = random_mdp(seed)
    table = random_table(mdp, seed)
    direction = np.random.default_rng(seed).normal(size=table.logits.shape)
    logits = table.logits.detach().numpy()

    def start_value(step):
        return mdp.start @ plain_values(mdp, softmax(logits + step * direction), 0.9, horizon)

    slope = gradient_of(mdp, table, 0.9, horizon) @ direction.ravel()
    assert slope == pytest.approx(central_difference(start_value), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("discounted", [False, True])
@pytest.mark.parametrize("bootstrap", [False, True, "own"])
@pytest.mark.parametrize("gamma", [0.0, 0.7, 1.0])
def test_it_is_the_mean_of_reinforce_over_all_episodes(gamma, bootstrap, discounted):
    mdp = random_mdp(1, n_states=3, n_actions=2, p_end=0.3, ends=True)
    table = random_table(mdp)
    policy = softmax(table.logits.detach().numpy())
    own = np.array([5.0, -1.0, 2.0])
    last = {False: np.zeros(3), True: plain_values(mdp, policy, gamma), "own": own}[bootstrap]
    given_values = own if bootstrap == "own" else bootstrap
    start_value, expected = mean_over_episodes(mdp, policy, gamma, 4, last, discounted)
    assert solve_policy(mdp, policy, gamma, 4, given_values).start_value == pytest.approx(start_value, abs=1e-12)
    found = gradient_of(mdp, table, gamma, 4, given_values, discounted_gradient=discounted)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("discounted", [False, True])
def test_without_a_limit_it_is_the_mean_over_all_episodes_too_where_none_is_long(discounted):
    states = np.arange(4)[:, None, None]
    nexts = np.minimum(states + np.array([[1, 2], [2, 3]]), 3)
    mdp = TabularMDP.from_arrays(
        nexts, np.random.default_rng(0).normal(size=(4, 2, 2)), nexts == 3, np.full((4, 2, 2), 0.5), [1.0, 0, 0, 0]
    )
    table = random_table(mdp)
    policy = softmax(table.logits.detach().numpy())
    start_value, expected = mean_over_episodes(mdp, policy, 0.8, 3, np.full(4, np.nan), discounted)
    assert solve_policy(mdp, policy, 0.8).start_value == pytest.approx(start_value, abs=1e-12)
    np.testing.assert_allclose(gradient_of(mdp, table, 0.8, discounted_gradient=discounted), expected, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.8, 1.0])
def test_bootstrapping_leaves_out_how_the_bootstrapped_value_changes(gamma):
    mdp, horizon = random_mdp(2, ends=True), 3
    table = random_table(mdp)
    policy = softmax(table.logits.detach().numpy())
    at_the_end = state_occupancy(mdp, policy, gamma, horizon + 1)[-1]  # gamma^T P(S_T = s)
    left_out = complex_step(lambda x: at_the_end @ plain_values(mdp, softmax(x), gamma), table.logits.detach().numpy())
    whole = gradient_of(mdp, table, gamma)
    assert np.abs(left_out).max() > 1e-3
    np.testing.assert_allclose(gradient_of(mdp, table, gamma, horizon, True) + left_out, whole, atol=1e-12)


def test_a_distant_time_limit_is_none():
    mdp = random_mdp(4)
    table = random_table(mdp)
    for bootstrap in (False, True):
        limited = gradient_of(mdp, table, 0.8, 200, bootstrap)
        np.testing.assert_allclose(limited, gradient_of(mdp, table, 0.8), atol=1e-12)


def test_dropping_gamma_to_the_t_matters_only_with_discount():
    mdp = random_mdp(5, ends=True)
    table = random_table(mdp)
    for horizon in (None, 5):
        with_it, without = (gradient_of(mdp, table, 1.0, horizon, discounted_gradient=d) for d in (True, False))
        np.testing.assert_array_equal(with_it, without)
    with_it, without = (gradient_of(mdp, table, 0.5, discounted_gradient=d) for d in (True, False))
    assert np.abs(with_it - without).max() > 0.01


def test_the_corridor_is_best_at_two_minus_the_root_of_two():
    mdp, alike = short_corridor_mdp(), [0, 0, 0, 0]
    for p in (0.05, 0.5, BEST_PROBABILITY, 0.7, 0.95):
        table = SoftmaxTable([[0.0, np.log(p / (1 - p))]])
        solution = solve_policy(mdp, table(alike), 1.0)
        assert solution.start_value == pytest.approx(float(policy_value(p)), rel=1e-12)
        slope = p * (1 - p) * float(policy_value_gradient(p))
        np.testing.assert_allclose(gradient_of(mdp, table, 1.0, observations=alike), [-slope, slope], atol=1e-10)
    best = SoftmaxTable(np.log([[1 - BEST_PROBABILITY, BEST_PROBABILITY]]))
    assert abs(gradient_of(mdp, best, 1.0, observations=alike)).max() < 1e-12


@pytest.mark.parametrize("gamma", [0.95, 1.0])
def test_frozen_lake(gamma):
    table = random_table(LAKE, 3)
    logits = table.logits.detach().numpy()
    solution = solve_policy(LAKE, table(), gamma)
    assert solution.start_value == pytest.approx(expected_return(LAKE, softmax(logits), gamma), abs=1e-9)
    expected = complex_step(lambda x: LAKE.start @ plain_values(LAKE, softmax(x), gamma), logits)
    found = gradient_of(LAKE, table, gamma)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    uphill = softmax(logits + found.reshape(logits.shape))
    assert expected_return(LAKE, uphill, gamma) > solution.start_value


def test_a_baseline_changes_nothing():
    mdp = random_mdp(6)
    table = random_table(mdp)
    solution = solve_policy(mdp, table(), 0.9)
    by_q = weighted_gradient(table(), solution.occupancy[:, None] * solution.q_values, table.logits)
    np.testing.assert_allclose(by_q, gradient_of(mdp, table, 0.9), atol=1e-12)


def test_probabilities_can_be_used_again():
    table = random_table(ENDLESS)
    probabilities = table()
    first, second = (exact_policy_gradient(ENDLESS, probabilities, table.parameters(), 0.9) for _ in range(2))
    assert (first == second).all()


# ---- J, V, Q, A and the occupancy -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(problems())
def test_values_and_occupancy_fit_each_other(problem):
    mdp, table, gamma, horizon = problem
    policy = table().detach().numpy()
    solution = solve_policy(mdp, policy, gamma, horizon)
    scale = 1e-10 * max(1.0, np.abs(solution.q_values).max())
    first = solution.values if horizon is None else solution.values[0]
    np.testing.assert_allclose(first, plain_values(mdp, policy, gamma, horizon), atol=scale)
    np.testing.assert_allclose((policy * solution.q_values).sum(axis=-1), solution.values, atol=scale)
    np.testing.assert_allclose((policy * solution.advantages).sum(axis=-1), 0.0, atol=scale)
    earned = (solution.occupancy * (policy * mdp.expected_reward).sum(axis=1)).sum()
    assert solution.start_value == pytest.approx(mdp.start @ first) == pytest.approx(earned, abs=100 * scale)
    time = () if horizon is None else (horizon,)
    assert solution.values.shape == solution.occupancy.shape == (*time, mdp.n_states)
    assert solution.q_values.shape == solution.advantages.shape == (*time, mdp.n_states, mdp.n_actions)
    if horizon is None:
        q_values = policy_evaluation(mdp, policy, gamma).q_values
        np.testing.assert_allclose(solution.q_values, q_values, atol=1e-8 * max(1.0, np.abs(q_values).max()))
        terms = state_occupancy(mdp, policy, gamma, 60)
        if gamma <= 0.9:
            rest = gamma**60 / (1 - gamma)
            np.testing.assert_allclose(terms.sum(axis=0), solution.occupancy, atol=rest + 1e-12)


def test_with_bootstrapping_the_limit_changes_no_value():
    mdp = random_mdp(7, ends=True)
    policy = random_table(mdp)().detach().numpy()
    for gamma in (0.9, 1.0):
        free, limited = solve_policy(mdp, policy, gamma), solve_policy(mdp, policy, gamma, 5, bootstrap=True)
        np.testing.assert_allclose(limited.q_values, np.broadcast_to(free.q_values, (5, 4, 3)), atol=1e-12)
        assert limited.start_value == pytest.approx(free.start_value, abs=1e-12)
        assert limited.occupancy.sum() < free.occupancy.sum()


def test_after_termination_there_is_neither_reward_nor_state():
    """One step, then the end, whose 'next state' would earn 7 for ever; a truncated one goes there."""
    mdp = TabularMDP.from_arrays([[1], [1]], [[1.0], [7.0]], [[True], [False]], start=[1.0, 0.0])
    always = [[1.0], [1.0]]
    for horizon, bootstrap in ((None, False), (1, False), (5, True), (2, np.array([50.0, 50.0]))):
        solution = solve_policy(mdp, always, 0.5, horizon, bootstrap)
        assert (solution.start_value, solution.occupancy.sum()) == (1.0, 1.0)
    going_on = TabularMDP.from_arrays([[1], [1]], [[1.0], [7.0]], [[False], [False]], start=[1.0, 0.0])
    assert solve_policy(going_on, always, 0.5, 1).start_value == 1.0
    assert solve_policy(going_on, always, 0.5, 1, True).start_value == 1.0 + 0.5 * 14.0
    assert solve_policy(going_on, always, 0.5, 1, [0.0, 4.0]).start_value == 3.0


def test_gamma_one_with_walls_and_states_where_nothing_is_earned():
    mdp = GridWorld(["S.#", "..G"], slip=0.2).mdp
    table = random_table(mdp)
    expected = complex_step(
        lambda x: plain_values(mdp, softmax(x), 1.0, 4000)[mdp.start.argmax()], table.logits.detach().numpy()
    )
    np.testing.assert_allclose(gradient_of(mdp, table, 1.0), expected, rtol=1e-8, atol=1e-10)
    absorbing = TabularMDP.from_arrays([[1], [1]], [[-1.0], [0.0]], start=[1.0, 0.0])
    solution = solve_policy(absorbing, [[1.0], [1.0]], 1.0)
    assert solution.start_value == -1.0
    assert solution.occupancy.tolist() == [1.0, 1.0]
    lasting = random_table(absorbing)
    assert gradient_of(absorbing, lasting, 0.9, discounted_gradient=False).tolist() == [0.0, 0.0]


def test_actions_and_tensors_are_policies_too():
    mdp = random_mdp(8)
    by_action = solve_policy(mdp, np.array([0, 2, 1, 1]), 0.9)
    one_hot = th.eye(3, dtype=th.float64)[[0, 2, 1, 1]].requires_grad_()
    np.testing.assert_array_equal(by_action.q_values, solve_policy(mdp, one_hot, 0.9).q_values)


# ---- Networks -------------------------------------------------------------------------------------------------------


def world(observation="one_hot"):
    return GridWorld(["S.#", "..G"], slip=0.2, observation=observation)


def network(env, algorithm=PPO, **kwargs):
    """A policy in float64, shaken: SB3's own begin close to uniform."""
    policy = "MultiInputPolicy" if isinstance(env.observation_space, gym.spaces.Dict) else "MlpPolicy"
    model = algorithm(policy, gym.wrappers.TimeLimit(env, 20), seed=0, policy_kwargs={"net_arch": [8]}, **kwargs)
    double = deepcopy(model.policy).double()
    generator = th.Generator().manual_seed(1)
    with th.no_grad():
        for parameter in double.parameters():
            parameter += 0.5 * th.randn(parameter.shape, generator=generator, dtype=th.float64)
    return double


@pytest.mark.parametrize(("gamma", "horizon"), [(0.9, None), (1.0, None), (0.9, 4)])
@pytest.mark.parametrize(
    ("observation", "algorithm"),
    [("one_hot", PPO), ("index", PPO), ("coordinates", PPO), ("goal", PPO), ("one_hot", A2C), ("one_hot", GRPO)],
)
def test_a_network_in_double_precision(observation, algorithm, gamma, horizon):
    env = world(observation)
    policy, seen = network(env, algorithm), env.observe(np.arange(6))
    found = exact_policy_gradient(env.mdp, policy_probabilities(policy, seen), policy.parameters(), gamma, horizon)
    assert found.dtype == th.float64
    here = nn.utils.parameters_to_vector(policy.parameters()).detach()
    generator = th.Generator().manual_seed(2)
    for _ in range(4):
        direction = th.randn(here.shape, generator=generator, dtype=th.float64)
        direction /= direction.norm()

        def start_value(step, direction=direction):
            nn.utils.vector_to_parameters(here + step * direction, policy.parameters())
            probabilities = policy_probabilities(policy, seen).detach().numpy()
            return float(env.mdp.start @ plain_values(env.mdp, probabilities, gamma, horizon))

        assert float(found @ direction) == pytest.approx(central_difference(start_value, 5e-3), rel=1e-9, abs=1e-9)
    nn.utils.vector_to_parameters(here, policy.parameters())
    assert found.abs().max() > 1e-3


def test_it_is_what_sb3_says_and_leaves_the_policy_alone():
    env = world()
    policy = PPO("MlpPolicy", env, seed=0).policy
    seen = env.observe(np.arange(6))
    policy.set_training_mode(True)
    single = policy_probabilities(policy, seen)
    assert policy.training
    gradient = exact_policy_gradient(env.mdp, single, policy.parameters(), 0.9)
    assert all(parameter.grad is None for parameter in policy.parameters())
    double = deepcopy(policy).double()
    own = policy.get_distribution(policy.obs_to_tensor(seen)[0]).distribution.probs
    assert single.dtype == th.float32
    assert (single == own).all()
    precise = exact_policy_gradient(env.mdp, policy_probabilities(double, seen), double.parameters(), 0.9)
    assert gradient.dtype == th.float32
    np.testing.assert_allclose(gradient, precise, atol=1e-5 * float(precise.abs().max()))
    sizes = [parameter.numel() for parameter in policy.parameters()]
    for (name, _), part in zip(policy.named_parameters(), precise.split(sizes), strict=True):
        assert (part == 0).all() == ("value" in name), name
    with pytest.raises(RuntimeError, match="dtype"):  # nothing that was hooked in stays
        double.get_distribution(double.obs_to_tensor(seen)[0])


def test_any_module_and_any_function_is_a_policy():
    mdp = random_mdp(9)
    torch_policy = nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1)).double()
    seen = np.random.default_rng(0).normal(size=(4, 2))
    probabilities = policy_probabilities(torch_policy, seen)
    assert exact_policy_gradient(mdp, probabilities, torch_policy.parameters(), 0.9).shape == (9,)
    p = th.tensor(0.3, dtype=th.float64, requires_grad=True)
    by_hand = policy_probabilities(lambda o: th.stack([p, 0.2 + 0 * p, 0.8 - p]).expand(len(o), 3), np.arange(4))
    expected = central_difference(
        lambda x: mdp.start @ plain_values(mdp, np.tile([0.3 + x, 0.2, 0.5 - x], (4, 1)), 0.9)
    )
    assert float(exact_policy_gradient(mdp, by_hand, p, 0.9)) == pytest.approx(expected, rel=1e-9)


# ---- What does not fit ----------------------------------------------------------------------------------------------

HALF = np.full((2, 2), 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((HALF, 1.0), "gamma=1 needs a policy that ends every episode, from every state; this one goes on for ever"),
        ((HALF, 1.0, 3, True), "gamma=1 needs a policy that ends every episode"),
        ((HALF, 1.5), r"gamma must lie in \[0, 1\], got 1.5"),
        ((HALF, np.nan), r"gamma must lie in \[0, 1\], got nan"),
        ((HALF, 1 - 1e-15), "more than 1e\\+12 .* steps on average"),
        ((np.full((2, 3), 1 / 3), 0.9), r"probabilities \[2, 2\], got float64 \[2, 3\]"),
        (([[0.5, 0.6], [0.5, 0.5]], 0.9), r"state 0: the policy's probabilities must sum to 1, got \[0.5 0.6\]"),
        (([[0.5, 0.5], [-0.5, 1.5]], 0.9), "state 1: the policy's probabilities must sum to 1"),
        (([[0.5, 0.5], [np.nan, 0.5]], 0.9), r"state 1: the policy's probabilities must sum to 1, got \[nan 0.5\]"),
        ((HALF, 0.9, 0), "horizon must be an integer of at least 1, or None for no time limit, got 0"),
        ((HALF, 0.9, -3), "horizon must be an integer"),
        ((HALF, 0.9, 2.0), "horizon must be an integer"),
        ((HALF, 0.9, True), "horizon must be an integer"),
        ((HALF, 0.9, None, True), "so it needs a horizon"),
        ((HALF, 0.9, None, [1.0, 2.0]), "so it needs a horizon"),
        ((HALF, 0.9, 3, [1.0]), "bootstrap must be True, False or 2 finite values"),
        ((HALF, 0.9, 3, [1.0, np.nan]), "bootstrap must be True, False or 2 finite values"),
        ((HALF, 0.9, 3, 1), "bootstrap must be True, False or 2 finite values"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        solve_policy(ENDLESS, *arguments)
    tensor = th.tensor(np.asarray(arguments[0]), requires_grad=True)
    with pytest.raises(ValueError, match=message):
        exact_policy_gradient(ENDLESS, tensor, tensor, *arguments[1:])


def test_episodes_that_hardly_ever_end_are_refused():
    mdp = TabularMDP.from_arrays([[0, 0]], [[1.0, 1.0]], [[False, True]])
    assert solve_policy(mdp, SoftmaxTable([[20.0, 0.0]])(), 1.0).start_value == pytest.approx(1 + np.exp(20), rel=1e-7)
    for logit in (29.0, 36.0, 40.0, 800.0):
        with pytest.raises(ValueError, match="gamma=1"):
            solve_policy(mdp, SoftmaxTable([[logit, 0.0]])(), 1.0)


def test_visits_without_discount_need_an_end_or_a_limit():
    table = random_table(ENDLESS)
    with pytest.raises(ValueError, match="discounted_gradient=False counts visits without discount, that is, gamma=1"):
        gradient_of(ENDLESS, table, 0.9, discounted_gradient=False)
    assert np.isfinite(gradient_of(ENDLESS, table, 0.9, 10, discounted_gradient=False)).all()
    with pytest.raises(ValueError, match="gamma=1 needs"):
        state_occupancy(ENDLESS, HALF, 1.0)
    assert state_occupancy(ENDLESS, HALF, 1.0, 7).sum() == pytest.approx(7)


def test_parameters_that_play_no_part_are_refused():
    table, other = random_table(ENDLESS), random_table(ENDLESS, 1)
    with pytest.raises(ValueError, match="depend on none of the parameters"):
        exact_policy_gradient(ENDLESS, table(), other.parameters(), 0.9)
    with pytest.raises(ValueError, match="got 0 tensors"):
        exact_policy_gradient(ENDLESS, table(), [], 0.9)
    with pytest.raises(ValueError, match="requires_grad=True"):
        exact_policy_gradient(ENDLESS, table(), [table.logits, th.zeros(1)], 0.9)
    with pytest.raises(ValueError, match="probabilities have no gradient"):
        exact_policy_gradient(ENDLESS, table().detach(), table.parameters(), 0.9)
    with pytest.raises(ValueError, match=r"weights must be finite and \[2, 2\] as probabilities, got \[2\]"):
        weighted_gradient(table(), [1.0, 1.0], table.logits)
    with pytest.raises(ValueError, match="weights must be finite"):
        weighted_gradient(table(), [[1.0, 1.0], [np.nan, 1.0]], table.logits)


@pytest.mark.parametrize("logits", [[0.0, 1.0], [[]], [[0.0, np.nan]], [[np.inf, 0.0]]])
def test_logits_that_are_no_table_are_refused(logits):
    with pytest.raises(ValueError, match=r"logits must be finite numbers \[O, A\]"):
        SoftmaxTable(logits)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DQN("MlpPolicy", "FrozenLake-v1").policy, "DQNPolicy gives no action probabilities"),
        (lambda: RecurrentPPO("MlpLstmPolicy", "FrozenLake-v1").policy, "gives no action probabilities for an"),
        (lambda: PPO("MlpPolicy", "Pendulum-v1").policy, "has no Discrete actions but Box"),
        (lambda: PPO("MlpPolicy", "FrozenLake-v1"), "PPO is no policy; of a model, give model.policy"),
        (lambda: nn.Flatten(start_dim=0), r"Flatten must give action probabilities \[S, A\]"),
    ],
)
def test_policies_without_probabilities_are_refused(make, message):
    policy = make()
    seen = np.zeros((1, 3), dtype=np.float32) if "Box" in message else np.arange(16)
    with pytest.raises(ValueError, match=message):
        policy_probabilities(policy, seen)


def test_a_policy_with_masks_is_refused():
    model = MaskablePPO("MlpPolicy", "FrozenLake-v1")
    with pytest.raises(ValueError, match="MaskableActorCriticPolicy gives no action probabilities"):
        policy_probabilities(model.policy, np.arange(16))
