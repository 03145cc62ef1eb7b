"""Each algorithm by hand on a line of three states, and against the book's boxes written out in plain Python."""

import itertools
import math

import numpy as np
import pytest
from helpers_tabular import LINE, RATES, VARIANTS, build, random_mdp, tabular
from slow_agent import SlowAgent

from sb3_ext.common.exploration import UCB, Boltzmann, EpsilonGreedy
from sb3_ext.tabular import (
    SARSA,
    DoubleQLearning,
    DynaQ,
    ExpectedSARSA,
    MonteCarloControl,
    QLearning,
    TabularMDP,
    learning,
)
from sb3_ext.tabular import agent as agents
from sb3_ext.tabular.engine import act_all, learn_all

TD = [(QLearning, {}), (SARSA, {}), (ExpectedSARSA, {})]
td = pytest.mark.parametrize(("cls", "options"), TD, ids=["Q", "SARSA", "Expected SARSA"])


def on_the_line(cls, episodes, mdp=LINE, limit=None, **kwargs):
    """Q after so many episodes of the line of three states; alpha = gamma = 1/2, Q = 0 at first."""
    kwargs = {"learning_rate": 0.5, "gamma": 0.5, "initial_value": 0.0, "engine": "step", **kwargs}
    model = build(cls, tabular(mdp, limit), **kwargs)
    model.learn(min(limit or 3, 3) * episodes)
    return model.policy.q_table[:, 0].tolist()


# ---- By hand --------------------------------------------------------------------------------------------------------


@td
def test_one_step_by_hand(cls, options):
    assert on_the_line(cls, 1, **options) == [0.5, 1.0, 2.0]
    # 0.5 + (1 + 0.5 * 1 - 0.5) / 2, 1 + (2 + 0.5 * 2 - 1) / 2, 2 + (4 - 2) / 2
    assert on_the_line(cls, 2, **options) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("cls", [SARSA, ExpectedSARSA])
@pytest.mark.parametrize(
    ("n_steps", "values"),
    [
        (2, [1.0, 2.0, 2.0]),  # G = 1 + 2/2 (+ Q(2)/4 = 0), 2 + 4/2, 4
        (3, [1.5, 2.0, 2.0]),  # G = 1 + 2/2 + 4/4, 2 + 4/2, 4: the whole returns
        (4, [1.5, 2.0, 2.0]),
        (1000, [1.5, 2.0, 2.0]),
    ],
)
def test_n_steps_by_hand(cls, n_steps, values):
    assert on_the_line(cls, 1, n_steps=n_steps) == values


def test_two_steps_in_the_second_episode_bootstrap():
    # G_0 = 1 + 2/2 + Q(2)/4 = 2.5 with Q(2) = 2, before the third step
    assert on_the_line(SARSA, 2, n_steps=2) == [1.0 + (2.5 - 1.0) / 2, 2.0 + (4.0 - 2.0) / 2, 2.0 + (4.0 - 2.0) / 2]


@pytest.mark.parametrize("visits", ["first", "every"])
def test_monte_carlo_by_hand(visits):
    assert on_the_line(MonteCarloControl, 1, visits=visits) == [1.5, 2.0, 2.0]
    assert on_the_line(MonteCarloControl, 2, visits=visits) == [2.25, 3.0, 3.0]


ROUND = TabularMDP.from_arrays(  # one state, visited over and over; episodes are cut off
    [[0]], [[1.0]], [[False]]
)


def test_first_and_every_visit_differ():
    """Rewards 1, 1, 1, cut off after three steps: G = 1.75 + Q/8 first, then (from the end) 1 + Q/2, 1.5 + Q/4."""
    assert on_the_line(MonteCarloControl, 1, ROUND, 3, initial_value=8.0)[0] == 8 + (2.75 - 8) / 2
    value = 8.0
    for target in (1 + 4.0, 1.5 + 2.0, 1.75 + 1.0):
        value += (target - value) / 2
    assert on_the_line(MonteCarloControl, 1, ROUND, 3, initial_value=8.0, visits="every")[0] == value


@pytest.mark.parametrize("cls", [QLearning, SARSA])
def test_traces_by_hand(cls):
    """lambda = 1/2: a trace fades to a quarter a step. Errors 1, 2, 4 in the first episode."""
    expected = [0.5 + 0.5 * 2 / 4 + 0.5 * 4 / 16, 1.0 + 0.5 * 4 / 4, 2.0]
    for traces in ("accumulating", "replacing"):
        assert on_the_line(cls, 1, lambda_=0.5, traces=traces) == expected


@pytest.mark.parametrize("cls", [QLearning, SARSA])
@pytest.mark.parametrize(("traces", "second"), [("accumulating", 1.25), ("replacing", 1.0)])
def test_traces_of_a_pair_visited_twice(cls, traces, second):
    """Errors: 1 + 0 - 0 = 1, Q = 1/2; then 1 + 1/4 - 1/2 = 3/4 with the trace 1 or 1 + 1/4."""
    assert on_the_line(cls, 1, ROUND, 2, lambda_=0.5, traces=traces)[0] == 0.5 + 0.5 * 0.75 * second


def test_lambda_of_one_with_small_steps_is_monte_carlo():
    """Section 12.3: with alpha -> 0, TD(1) updates by the whole returns."""
    tiny = {"learning_rate": 1e-9, "gamma": 0.5}
    found = on_the_line(SARSA, 1, lambda_=1.0, **tiny)
    np.testing.assert_allclose(found, on_the_line(MonteCarloControl, 1, **tiny), rtol=1e-8)


def fork(then=0.0):
    """State 0: action 0 goes to state 1 for 0, action 1 for 1; from there any action ends with ``then``."""
    return TabularMDP.from_arrays(
        [[1, 1], [1, 1]], [[0.0, 1.0], [then, then]], [[False, False], [True, True]], start=[1, 0]
    )


def one_step_each(settings, memory, steps):
    """Feeds steps (state, action, reward, next state, terminated, truncated) to the compiled rules."""
    for step in steps:
        kinds = (np.int64, np.int64, np.float32, np.int64, np.bool_, np.bool_)
        columns = (np.array([value], dtype=kind) for value, kind in zip(step, kinds, strict=True))
        assert learn_all(settings, memory, *columns) == -1


def memory_for(settings, n_states=3, n_actions=2, n_envs=1, initial=0.0, seed=0, ring=10_000, total=1000):
    kept = {
        name: np.zeros(shape, agents.KEPT[name])
        for name, shape in agents.kept_shapes(settings, n_states, n_actions).items()
    }
    kept["q_tables"][:] = initial
    memory = agents.make_memory(settings, kept, n_envs, seed, ring)
    memory.clock[1] = total
    return memory


def test_watkins_cuts_at_an_action_that_is_not_greedy():
    settings = agents.Settings(rule=agents.Q_LEARNING, gamma=0.5, learning_rate=(0.5, 0.5, 1.0), lambda_=0.5)
    memory = memory_for(settings, initial=0.0)
    memory.q_tables[0, 1] = [0.0, 4.0]
    step, end = (0, 0, 1.0, 1, False, False), (1, 0, 8.0, 2, True, False)  # action 0 is not greedy in state 1
    one_step_each(settings, memory, [step, end])
    assert memory.q_tables[0, 0, 0] == 1.5  # (1 + 4/2) / 2: the reward of 8 says nothing about the greedy policy
    assert memory.q_tables[0, 1, 0] == 4.0
    greedy = memory_for(settings, initial=0.0)
    greedy.q_tables[0, 1] = [4.0, 4.0]  # of two that are best, each is greedy
    one_step_each(settings, greedy, [step, end])
    assert greedy.q_tables[0, 0, 0] == 1.5 + 0.5 * (8 - 4) * 0.25


def test_sarsa_does_not_cut():
    settings = agents.Settings(
        rule=agents.SARSA, gamma=0.5, learning_rate=(0.5, 0.5, 1.0), lambda_=0.5, exploration_number=(0.0, 0.0, 1.0)
    )
    memory = memory_for(settings)
    memory.q_tables[0, 1] = [0.0, 4.0]
    one_step_each(settings, memory, [(0, 0, 1.0, 1, False, False), (1, 0, 8.0, 2, True, False)])
    assert memory.q_tables[0, 0, 0] == 1.5 + 0.5 * 8 * 0.25


@pytest.mark.parametrize("rule", [agents.Q_LEARNING, agents.SARSA])
def test_traces_end_with_the_episode(rule):
    settings = agents.Settings(rule=rule, gamma=1.0, learning_rate=(0.5, 0.5, 1.0), lambda_=1.0)
    for terminated in (True, False):
        memory = memory_for(settings)
        one_step_each(settings, memory, [(0, 0, 0.0, 1, terminated, not terminated), (1, 0, 8.0, 2, True, False)])
        assert memory.q_tables[0, 0].tolist() == [0.0, 0.0]
        assert not memory.traces.any()


def test_traces_of_one_environment_are_not_those_of_another():
    settings = agents.Settings(rule=agents.SARSA, gamma=1.0, learning_rate=(0.5, 0.5, 1.0), lambda_=1.0)
    memory = memory_for(settings, n_envs=2)
    states, actions, none = np.array([0, 1]), np.array([0, 1]), np.zeros(2, dtype=np.bool_)
    rewards, twice = np.array([8.0, 0.0], dtype=np.float32), np.array([2, 2])
    learn_all(settings, memory, states, actions, rewards * 0, twice, none, none)
    learn_all(settings, memory, twice, actions, rewards, twice, ~none, none)
    assert memory.q_tables[0].tolist() == [[4.0, 0.0], [0.0, 0.0], [4.0, 0.0]]


def test_double_q_learning_updates_one_table_by_the_other():
    settings = agents.Settings(rule=agents.DOUBLE_Q, gamma=0.5, learning_rate=(0.5, 0.5, 1.0))
    sides = set()
    for seed in range(20):
        memory = memory_for(settings, seed=seed)
        memory.q_tables[0, 1], memory.q_tables[1, 1] = [1.0, 2.0], [16.0, 4.0]
        one_step_each(settings, memory, [(0, 0, 1.0, 1, False, False)])
        # the first chooses action 1, which the second thinks worth 4; the second chooses 0, worth 1
        side = memory.q_tables[:, 0, 0].tolist()
        assert side in ([(1 + 0.5 * 4) / 2, 0.0], [0.0, (1 + 0.5 * 1) / 2])
        assert memory.visits[:, 0, 0].tolist() == [int(x > 0) for x in side]
        sides.add(tuple(side))
    assert len(sides) == 2


def test_double_q_learning_counts_each_table_s_visits():
    settings = agents.Settings(rule=agents.DOUBLE_Q, gamma=0.0, learning_rate=(1.0, 1.0, 1.0), visit_power=1.0)
    memory = memory_for(settings, initial=100.0)
    rewards = np.random.default_rng(0).normal(size=60).astype(np.float32)
    for reward in rewards:
        before = memory.visits[:, 0, 0].copy()
        one_step_each(settings, memory, [(0, 0, reward, 1, True, False)])
        assert (memory.visits[:, 0, 0] - before).sum() == 1
    assert memory.visits[:, 0, 0].sum() == 60
    assert memory.visits[:, 0, 0].min() > 10
    averages, weights = memory.q_tables[:, 0, 0], memory.visits[:, 0, 0]
    assert averages @ weights == pytest.approx(rewards.sum(dtype=float))


def test_dyna_plans_with_what_it_saw():
    settings = agents.Settings(rule=agents.DYNA_Q, gamma=0.5, learning_rate=(0.5, 0.5, 1.0), planning_steps=1)
    memory = memory_for(settings)
    one_step_each(settings, memory, [(0, 0, 4.0, 1, False, False)])
    assert memory.q_tables[0, 0].tolist() == [3.0, 0.0]  # from the step 2, from the one pair known 3
    assert memory.tried[0].tolist() == [1, 0]
    assert memory.visits[0, 0].tolist() == [1, 0]  # planning does not count as a visit


@pytest.mark.parametrize(("latest", "value"), [(False, 4.0), (True, 8.0)])
def test_dyna_holds_frequencies_or_the_latest(latest, value):
    """Three outcomes of 0 and one of 16 (frequency 1/4), or the latest, which is 8."""
    settings = agents.Settings(
        rule=agents.DYNA_Q, gamma=0.0, learning_rate=(0.0, 0.0, 1.0), planning_steps=0, latest=latest
    )
    memory = memory_for(settings)
    rewards = [0.0, 16.0, 0.0, 0.0] if not latest else [0.0, 16.0, 0.0, 8.0]
    one_step_each(settings, memory, [(0, 0, reward, 1, False, False) for reward in rewards])
    assert learning.model_target(settings, memory, 0, 0) == pytest.approx(value)
    assert memory.model_weight[0, 0].sum() == pytest.approx(1.0)


def test_dyna_gives_up_the_rarest_outcome_when_there_are_too_many():
    settings = agents.Settings(
        rule=agents.DYNA_Q, gamma=0.0, learning_rate=(0.0, 0.0, 1.0), planning_steps=1, threshold=0.0
    )
    memory = memory_for(settings, n_states=40)
    often = [(0, 0, float(k), k + 1, False, False) for k in range(agents.MODEL_OUTCOMES) for _ in range(k + 2)]
    one_step_each(settings, memory, often)
    assert sorted(memory.model_next[0, 0]) == list(range(1, 17))
    one_step_each(settings, memory, [(0, 0, 99.0, 30, False, False)])
    assert sorted(memory.model_next[0, 0]) == [*range(2, 17), 30]
    assert memory.model_weight[0, 0].sum() == pytest.approx(1.0)
    links = {s: linked(memory, s) for s in range(40)}
    assert {s for s, outcomes in links.items() if outcomes} == {*range(2, 17), 30}
    assert all(memory.model_next.flat[k] == s for s, outcomes in links.items() for k in outcomes)


def linked(memory, state):
    """The outcomes in a state's list, both ways the same."""
    forwards, outcome = [], memory.first_link[state]
    while outcome >= 0:
        forwards.append(int(outcome))
        outcome = memory.next_link[outcome]
    for before, after in itertools.pairwise(forwards):
        assert memory.previous_link[after] == before
    return forwards


def test_dyna_q_plus_pays_for_what_was_not_tried_for_long():
    settings = agents.Settings(
        rule=agents.DYNA_Q, gamma=0.5, learning_rate=(0.5, 0.5, 1.0), planning_steps=0, kappa=0.5
    )
    memory = memory_for(settings)
    one_step_each(settings, memory, [(0, 0, 4.0, 1, False, False)])
    memory.clock[0] = 16
    assert learning.model_target(settings, memory, 0, 0) == 4.0 + 0.5 * 4.0
    memory.q_tables[0, 0, 1] = 3.0
    assert learning.model_target(settings, memory, 0, 1) == 0.5 * 4.0 + 0.5 * 3.0  # leads back to where it was
    assert memory.pairs[: memory.n_pairs[0]].tolist() == [0, 1]  # all actions of a state that is known


def test_prioritized_sweeping_goes_backwards_from_the_surprise():
    """A corridor that is known but worth nothing; then its end pays: one step, three planned updates."""
    settings = agents.Settings(
        rule=agents.DYNA_Q, gamma=0.5, learning_rate=(1.0, 1.0, 1.0), planning_steps=3, threshold=1e-4
    )
    memory = memory_for(settings, n_states=5)
    corridor = [(0, 0, 0.0, 1, False, False), (1, 0, 0.0, 2, False, False), (2, 0, 0.0, 3, False, False)]
    one_step_each(settings, memory, corridor)
    assert not memory.q_tables.any()
    one_step_each(settings, memory, [(3, 0, 8.0, 4, True, False)])
    assert memory.q_tables[0, :, 0].tolist() == [0.0, 2.0, 4.0, 8.0, 0.0]
    one_step_each(settings, memory, [(3, 0, 8.0, 4, True, False)])  # nothing new there, but state 0 is waiting
    assert memory.q_tables[0, :, 0].tolist() == [1.0, 2.0, 4.0, 8.0, 0.0]


def test_prioritized_sweeping_leaves_small_errors_alone():
    settings = agents.Settings(
        rule=agents.DYNA_Q, gamma=0.5, learning_rate=(1.0, 1.0, 1.0), planning_steps=9, threshold=0.5
    )
    memory = memory_for(settings)
    one_step_each(settings, memory, [(0, 0, 0.5, 1, True, False)])
    assert memory.q_tables[0, 0, 0] == 0.0
    one_step_each(settings, memory, [(0, 0, 0.75, 1, True, False)] * 9)
    assert memory.q_tables[0, 0, 0] > 0.5


# ---- Ends -----------------------------------------------------------------------------------------------------------


def everyone(**more):
    """All variants, as (name, class, options)."""
    return pytest.mark.parametrize(
        ("cls", "options"), [(cls, {**options, **more}) for cls, options in VARIANTS.values()], ids=list(VARIANTS)
    )


@everyone()
def test_a_terminal_state_has_no_future(cls, options):
    """Its value in the table is poison; it must not be looked at."""
    poison = TabularMDP.from_arrays([[1, 1], [1, 1]], [[1.0, 1.0], [0.0, 0.0]], [[True, True]] * 2, start=[1, 0])
    model = build(cls, tabular(poison), learning_rate=0.5, gamma=1.0, initial_value=0.0, engine="step", **options)
    model.policy.arrays()["q_tables"][:, 1] = 1e9
    model.learn(40)
    assert 0 < model.policy.q_table[0].max() <= 1.0 + options.get("kappa", 0) * 7
    assert (model.policy.q_table[1] == 1e9).all()


@everyone()
def test_a_truncated_state_has_a_future(cls, options):
    """One step, cut off at state 1, whose value is 8 for every action."""
    cut = TabularMDP.from_arrays([[1, 1], [1, 1]], [[1.0, 1.0], [0.0, 0.0]], [[False, False]] * 2, start=[1, 0])
    model = build(cls, tabular(cut, 1), learning_rate=1.0, gamma=0.5, initial_value=8.0, engine="step", **options)
    model.learn(40)
    assert model._episode_num == 40
    tried = model.policy.arrays()["visits"][:, 0].sum(axis=0) > 0
    bonus = options.get("kappa", 0) * math.sqrt(40)
    assert (abs(model.policy.q_tables.numpy()[0, 0][tried] - 5.0) <= bonus).all() or cls is DoubleQLearning
    if cls is DoubleQLearning:
        visited = model.policy.arrays()["visits"] > 0
        assert (model.policy.arrays()["q_tables"][visited] == 5.0).all()


@td
def test_the_bootstrap_is_from_the_state_reached_not_from_the_one_after_the_reset(cls, options):
    """Cut off after one step at state 1 (worth 8); the next episode starts in state 0 (worth -100)."""
    cut = TabularMDP.from_arrays([[1], [1]], [[1.0], [0.0]], [[False]] * 2, start=[1, 0])
    model = build(cls, tabular(cut, 1), learning_rate=1.0, gamma=0.5, engine="step", **options)
    model.policy.arrays()["q_tables"][0] = [[-100.0], [8.0]]
    model.learn(1)
    assert model.policy.q_table[:, 0].tolist() == [5.0, 8.0]


def test_terminated_at_the_time_limit_is_terminated():
    found = on_the_line(QLearning, 1, limit=3)
    assert found == on_the_line(QLearning, 1)
    assert on_the_line(QLearning, 1, limit=2, initial_value=8.0)[:2] == [8 + (1 + 4 - 8) / 2, 8 + (2 + 4 - 8) / 2]


@pytest.mark.parametrize("options", [{}, {"n_steps": 3}, {"lambda_": 0.5}], ids=str)
def test_sarsa_draws_another_action_after_the_reset(options):
    """A' at the truncated state is used for the target, then forgotten; one that is not over is taken."""
    kwargs = {"n_steps": options.get("n_steps", 1), "lambda_": options.get("lambda_", 0.0)}
    settings = agents.Settings(rule=agents.SARSA, **kwargs)
    memory = memory_for(settings)
    before = memory.random_state.copy()
    one_step_each(settings, memory, [(0, 0, 1.0, 1, False, True)])
    assert memory.next_action[0] == -1
    assert memory.random_state != before  # but it was drawn
    one_step_each(settings, memory, [(0, 0, 1.0, 1, False, False)] * 3)
    chosen = memory.next_action[0]
    assert chosen in (0, 1)
    actions, drawn = np.empty(1, np.int64), memory.random_state.copy()
    act_all(settings, memory, np.array([1]), actions)
    assert actions[0] == chosen
    assert memory.random_state == drawn  # nothing is drawn twice
    one_step_each(settings, memory, [(1, 0, 1.0, 2, True, False)])
    assert memory.next_action[0] == -1


def test_a_longer_episode_than_monte_carlo_keeps_is_learned_in_parts():
    settings = agents.Settings(
        rule=agents.MONTE_CARLO, gamma=0.5, learning_rate=(1.0, 1.0, 1.0), exploration_number=(0.0, 0.0, 1.0)
    )
    memory = memory_for(settings, n_states=4, ring=2)
    memory.q_tables[0, 2] = [8.0, 0.0]
    one_step_each(settings, memory, [(0, 0, 1.0, 1, False, False), (1, 0, 2.0, 2, False, False)])
    assert memory.q_tables[0, :2, 0].tolist() == [1 + 0.5 * 2 + 0.25 * 8, 2 + 0.5 * 8]
    one_step_each(settings, memory, [(2, 0, 4.0, 3, True, False)])
    assert memory.q_tables[0, 2, 0] == 4.0


# ---- Special cases of one another -----------------------------------------------------------------------------------


def run(cls, n_envs=2, **options):
    options = {"gamma": 0.9, "exploration": EpsilonGreedy(0.5, 0.1), **options}
    return build(cls, tabular(random_mdp(5), 9, n_envs), **options).learn(2500)


def same(one, other):
    arrays = (model.policy.arrays() for model in (one, other))
    return all(np.array_equal(a, b) for a, b in zip(*(kept.values() for kept in arrays), strict=True))


@pytest.mark.parametrize("cls", [QLearning, SARSA])
@pytest.mark.parametrize("traces", ["accumulating", "replacing"])
def test_without_lambda_it_is_one_step(cls, traces):
    """Bit for bit, also where the traces are so short that each is dropped at once (the code is another then)."""
    one_step = run(cls)
    assert same(one_step, run(cls, lambda_=0.0, traces=traces))
    assert same(one_step, run(cls, lambda_=1e-12, traces=traces))
    assert not same(one_step, run(cls, lambda_=0.5, traces=traces))


@pytest.mark.parametrize(("cls", "rule"), [(SARSA, agents.SARSA), (ExpectedSARSA, agents.EXPECTED_SARSA)])
def test_one_of_n_steps_is_one_step(cls, rule):
    """Bit for bit, and also by the code for n steps with a ring of one."""
    assert same(run(cls), run(cls, n_steps=1))
    assert not same(run(cls), run(cls, n_steps=2))
    settings = agents.Settings(rule=rule, gamma=0.9, learning_rate=(0.3, 0.3, 1.0))
    direct, ring = memory_for(settings), memory_for(settings._replace(n_steps=2))
    ring = ring._replace(**{name: getattr(ring, name)[:, :1].copy() for name in RING})
    rng = np.random.default_rng(0)
    for _ in range(300):
        ends = [(False, False), (True, False), (False, True)][rng.choice(3, p=[0.8, 0.1, 0.1])]
        step = (rng.integers(3), rng.integers(2), rng.normal(), rng.integers(3), *ends)
        one_step_each(settings, direct, [step])
        one_step_each(settings._replace(n_steps=2), ring, [step])
    assert np.array_equal(direct.q_tables, ring.q_tables)
    assert direct.random_state == ring.random_state
    assert direct.q_tables.any()


RING = ("step_state", "step_action", "step_reward")


@pytest.mark.parametrize("n_steps", [200, 10_000])
@pytest.mark.parametrize("cls", [SARSA, ExpectedSARSA])
def test_n_steps_longer_than_the_episode_are_monte_carlo(cls, n_steps):
    """With 1/N, whose averages do not depend on the order, and a policy that does not look at the table."""
    kwargs = {"exploration": EpsilonGreedy(1.0), "learning_rate": "1/N", "gamma": 0.9}
    mdp = random_mdp(5, p_end=0.3)
    ahead = build(cls, tabular(mdp), n_steps=n_steps, **kwargs).learn(3000)
    whole = build(MonteCarloControl, tabular(mdp), visits="every", **kwargs).learn(3000)
    assert max(info["l"] for info in whole.ep_info_buffer) < 200
    np.testing.assert_array_equal(ahead.policy.visits.numpy(), whole.policy.visits.numpy())
    np.testing.assert_allclose(ahead.policy.q_table, whole.policy.q_table, rtol=1e-10, atol=1e-12)


def test_expected_sarsa_of_a_greedy_agent_is_q_learning():
    assert same(run(ExpectedSARSA, exploration=0.0, n_envs=1), run(QLearning, exploration=0.0, n_envs=1))


def test_dyna_without_planning_is_q_learning():
    one, other = run(DynaQ, planning_steps=0), run(QLearning)
    assert np.array_equal(one.policy.q_table, other.policy.q_table)
    assert one._memory.random_state == other._memory.random_state


def test_both_tables_of_double_q_learning_find_the_values():
    """Of the only policy that there is: each learns from half of the steps."""
    double = on_the_line(DoubleQLearning, 200)
    np.testing.assert_allclose(double, [3.0, 4.0, 4.0], atol=1e-6)  # gamma = 1/2


# ---- Against the boxes of the book ----------------------------------------------------------------------------------

RULES = {QLearning: "q", DoubleQLearning: "double", SARSA: "sarsa", ExpectedSARSA: "expected",
         MonteCarloControl: "mc", DynaQ: "dyna"}  # fmt: skip
SLOW_RATES = {
    "1/N": lambda progress, n: 1 / n,
    "written": lambda progress, n: (1 - progress) / n**0.5,
    "schedule": lambda progress, n: 0.1 if progress > 0.6 else 0.5 - 0.4 * progress / 0.6,
    "constant": lambda progress, n: 0.25,
}
SLOW_EXPLORATIONS = {
    "epsilon": (EpsilonGreedy(0.6, 0.1), lambda progress: 0.6 - 0.5 * progress),
    "boltzmann": (Boltzmann(1.0, 0.2), lambda progress: 1.0 - 0.8 * progress),
    "ucb": (UCB(1.5), lambda progress: 1.5),
}
CASES = [
    (variant, exploration, rate, n_envs)
    for i, variant in enumerate(VARIANTS)
    for j, exploration in enumerate(SLOW_EXPLORATIONS)
    for rate, n_envs in [(list(SLOW_RATES)[(i + j) % 4], 1), (list(SLOW_RATES)[(i + j + 2) % 4], 2)]
]


@pytest.mark.parametrize(("variant", "exploration", "rate", "n_envs"), CASES, ids=lambda x: str(x).replace(" ", "_"))
def test_it_learns_what_the_book_s_box_learns(variant, exploration, rate, n_envs):
    """Recorded transitions with ends and time limits, other rewards each; the same actions and the same table."""
    cls, options = VARIANTS[variant]
    total, gamma, initial = 400 * n_envs, 0.9, 0.5
    explore, number = SLOW_EXPLORATIONS[exploration]
    mdp = random_mdp(11, n_states=7)
    parameters = {
        "learning_rate": RATES[rate], "gamma": gamma, "initial_value": initial, "exploration": explore, "seed": 6
    }  # fmt: skip
    model = build(cls, tabular(mdp, 11, n_envs), engine="step", **parameters, **options).learn(total)

    slow = SlowAgent(
        (7, 3, n_envs), 6, RULES[cls], SLOW_RATES[rate], (explore_kind(explore), number), gamma, initial, total,
        **options,
    )  # fmt: skip
    env = tabular(mdp, 11, n_envs)
    env.seed(6)
    states, n_cut, n_ended = env.reset().tolist(), 0, 0
    for _ in range(400):
        actions = slow.act(states)
        next_states, rewards, dones, infos = env.step(np.array(actions))
        for index in range(n_envs):
            cut = infos[index]["TimeLimit.truncated"]
            ended = bool(dones[index]) and not cut
            reached = int(infos[index].get("terminal_observation", next_states[index]))
            slow.learn(index, states[index], actions[index], float(rewards[index]), reached, ended, cut)
            n_cut, n_ended = n_cut + cut, n_ended + ended
        slow.steps += n_envs
        states = next_states.tolist()
    assert n_cut > 5
    assert n_ended > 5
    visits = np.array([[[table[s, a] for a in range(3)] for s in range(7)] for table in slow.visits])
    np.testing.assert_array_equal(model.policy.visits.numpy(), visits)
    np.testing.assert_allclose(model.policy.q_tables.numpy(), slow.q, rtol=1e-7, atol=1e-9)
    assert abs(np.array(slow.q) - initial).max() > 0.5


def explore_kind(exploration):
    return {EpsilonGreedy: "epsilon", Boltzmann: "boltzmann", UCB: "ucb"}[type(exploration)]
