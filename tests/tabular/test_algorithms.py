"""SB3's contract for all six classes, and bad input."""

import copy
import math
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_tabular import (
    CLASSES,
    VARIANTS,
    Rows,
    build,
    knowledge,
    random_mdp,
    statistics,
    tabular,
    vec,
    world,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import ConstantSchedule, FloatSchedule, LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ext.common.exploration import UCB, Boltzmann, EpsilonGreedy
from sb3_ext.envs import GridWorld
from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular import (
    SARSA,
    DoubleQLearning,
    DynaQ,
    ExpectedSARSA,
    MonteCarloControl,
    QLearning,
    TabularMDP,
    TabularPolicy,
    policy_evaluation,
    sweep,
    value_iteration,
)
from sb3_ext.tabular.parameters import read_learning_rate

ENGINES = ["step", "compiled"]
every_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
every_engine = pytest.mark.parametrize("engine", ENGINES)


class Counted(gym.Env):
    """Discrete spaces that start anywhere: action ``a`` of ``n`` in state ``s`` goes on to the next; the last pays."""

    def __init__(self, n_states=4, first_state=0, n_actions=2, first_action=0, reward=1.0):
        self.observation_space = spaces.Discrete(n_states, start=first_state)
        self.action_space = spaces.Discrete(n_actions, start=first_action)
        self.reward, self.received = reward, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return self.place + int(self.observation_space.start), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.received.append(int(action))
        up = int(action) == int(self.action_space.start)
        self.place += 1 if up else 0
        last = self.place == self.observation_space.n - 1
        reward = self.reward if last else 0.0
        return self.place + int(self.observation_space.start), reward, last, False, {}


# ---- Learning something ---------------------------------------------------------------------------------------------


@every_class
def test_the_defaults_find_the_best_policy_of_a_small_world(cls):
    """A grid with chance in it; the worst of three seeds comes within 5 % of the optimum."""
    grid = GridWorld("Obstacles5x5", slip=0.1)
    best = value_iteration(grid.mdp, 0.99)
    start = int(grid.mdp.start.argmax())
    for seed in range(3):
        make = lambda: gym.make("sb3_ext/GridWorld-v0", map="Obstacles5x5", slip=0.1, max_episode_steps=100)  # noqa: E731
        model = build(cls, vec(make), seed=seed).learn(60_000)
        policy = model.policy.action_probabilities(np.arange(grid.mdp.n_states)).argmax(axis=1)
        value = policy_evaluation(grid.mdp, policy, 0.99).values[start]
        assert value > best.values[start] - 0.05 * abs(best.values[start])


@every_class
def test_evaluate_policy(cls):
    """The line of four states is walked greedily, in three steps."""
    model = build(cls, vec(Counted), gamma=0.9).learn(3000)
    returns, lengths = evaluate_policy(model, vec(Counted), 5, return_episode_rewards=True)
    assert returns == [1.0] * 5
    assert lengths == [3] * 5


@every_class
@every_engine
def test_any_string_and_any_env_that_sb3_takes(cls, engine):
    for env in ("FrozenLake-v1", gym.make("FrozenLake-v1"), world("lake", 2)):
        model = cls("TabularPolicy", env, engine=engine).learn(20)
        assert model.num_timesteps == 20
        assert model.policy.q_table.shape == (16, 4)
    assert isinstance(cls(TabularPolicy, "FrozenLake-v1").policy, TabularPolicy)
    assert cls("TabularPolicy", None, _init_setup_model=False).policy_class is TabularPolicy


@every_class
def test_unknown_policies(cls):
    with pytest.raises(ValueError, match="MlpPolicy"):
        cls("MlpPolicy", "FrozenLake-v1")


# ---- Counts ---------------------------------------------------------------------------------------------------------


@every_engine
@pytest.mark.parametrize(("n_envs", "total", "steps"), [(1, 0, 0), (1, 1, 1), (3, 1, 3), (3, 100, 102), (3, 99, 99)])
def test_total_timesteps_is_a_lower_bound(engine, n_envs, total, steps):
    model = build(QLearning, world("lake", n_envs), engine=engine).learn(total)
    assert model.num_timesteps == steps
    assert model.policy.arrays()["visits"].sum() == steps


@every_engine
@pytest.mark.parametrize("total", [-1, -(10**9), math.nan])
def test_negative_totals(engine, total):
    with pytest.raises(ValueError, match="total_timesteps must be 0 or more"):
        build(QLearning, world("lake"), engine=engine).learn(total)


@every_engine
def test_nothing_is_learned_in_no_time(engine):
    model = build(QLearning, world("lake"), engine=engine, initial_value=0.25)
    before = model.policy.q_table.copy()
    model.learn(0).learn(0, reset_num_timesteps=False)
    assert np.array_equal(model.policy.q_table, before)
    assert (before == 0.25).all()
    model.learn(50)
    assert model.num_timesteps == 50


@every_engine
@every_class
def test_visits_count_each_step_once(engine, cls):
    options = {"visits": "every"} if cls is MonteCarloControl else {}
    model = build(cls, world("tabular", 2), engine=engine, **options).learn(2000)
    waiting = sum(len(env.rewards) for env in model.env.envs) if options else 0  # of episodes that are not over
    assert model.policy.arrays()["visits"].sum() == 2000 - waiting


@every_engine
def test_two_trainings_and_a_training_that_goes_on(engine):
    model = build(QLearning, world("lake", 2), engine=engine).learn(100)
    episodes = model._episode_num
    model.learn(100, reset_num_timesteps=False)
    assert model.num_timesteps == 200
    assert model._episode_num >= episodes > 0
    assert model.policy.arrays()["clock"].tolist() == [200, 200]
    model.learn(60)
    assert model.num_timesteps == 60
    assert model.policy.arrays()["visits"].sum() == 260
    assert sum(env.total_steps for env in model.env.envs) == 260


@every_engine
def test_another_environment_may_be_set(engine):
    model = build(QLearning, world("lake", 2), engine=engine).learn(101)
    model.set_env(vec(lambda: gym.make("FrozenLake-v1", is_slippery=False), 2))
    model.learn(100, reset_num_timesteps=False)
    assert model.num_timesteps == 202
    with pytest.raises(AssertionError, match="number of environments"):
        model.set_env(world("lake", 3))
    with pytest.raises(ValueError, match="spaces do not match"):
        model.set_env(world("cliff", 2))


# ---- Random numbers -------------------------------------------------------------------------------------------------


@every_class
@every_engine
def test_the_same_seed_gives_the_same_run(cls, engine):
    runs = [knowledge(build(cls, world("tabular", 2), seed=s, engine=engine).learn(600)) for s in (4, 4, 5)]
    assert runs[0] == runs[1]
    assert runs[0]["q_tables"] != runs[2]["q_tables"]


@every_engine
def test_without_a_seed_runs_differ(engine):
    runs = [build(QLearning, world("tabular"), seed=None, engine=engine).learn(600).policy.q_table for _ in range(2)]
    assert not np.array_equal(*runs)


# ---- predict --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    return build(QLearning, world("lake"), exploration=0.5).learn(5000)


@pytest.mark.parametrize(
    ("observation", "shape"),
    [
        (3, ()), (np.int64(3), ()), (np.array(3), ()), (np.array([3]), (1,)), (np.array([3, 4, 5]), (3,)),
        (np.array([3, 4], dtype=np.int32), (2,)), (np.array([3, 4], dtype=np.uint8), (2,)),
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("deterministic", [True, False])
def test_predict_takes_a_state_or_many(trained, observation, shape, deterministic):
    actions, state = trained.predict(observation, deterministic=deterministic)
    assert state is None
    assert np.shape(actions) == shape
    assert np.asarray(actions).dtype.kind == "i"
    assert ((np.asarray(actions) >= 0) & (np.asarray(actions) < 4)).all()
    assert int(np.ravel(actions)[0]) in range(4)


@pytest.mark.parametrize("observation", [16, -1, np.array([0, 16]), np.array([-1]), 10**6])
def test_states_that_do_not_exist(trained, observation):
    with pytest.raises(ValueError, match="is not in Discrete"):
        trained.predict(observation)


@pytest.mark.parametrize("observation", [np.zeros((2, 2), int), np.array([[3]])])
def test_observations_of_another_shape(trained, observation):
    with pytest.raises(ValueError, match=r"shape|Discrete"):
        trained.predict(observation)


def test_greedy_actions_are_best_and_always_the_same(trained):
    states = np.arange(16)
    table = trained.policy.q_table
    first, _ = trained.predict(states, deterministic=True)
    for _ in range(5):
        assert np.array_equal(trained.predict(states, deterministic=True)[0], first)
    assert np.array_equal(table[states, first], table.max(axis=1))
    assert [int(trained.predict(s, deterministic=True)[0]) for s in states] == first.tolist()


def test_ties_of_greedy_actions_are_spread():
    """Among the actions by the state, and by the seed; each is taken about as often."""
    model = build(QLearning, tabular(random_mdp(0, n_states=4000, n_actions=4, n_outcomes=1)), seed=1)
    actions, _ = model.predict(np.arange(4000), deterministic=True)
    assert (abs(np.bincount(actions, minlength=4) - 1000) < 5 * math.sqrt(750)).all()
    table = model.policy.arrays()["q_tables"]
    table[0, :, [0, 3]] = -1.0
    two, _ = model.predict(np.arange(4000), deterministic=True)
    assert set(two.tolist()) == {1, 2}
    assert abs((two == 1).sum() - 2000) < 5 * math.sqrt(1000)
    other = build(QLearning, tabular(random_mdp(0, n_states=4000, n_actions=4, n_outcomes=1)), seed=2)
    assert (other.predict(np.arange(4000), deterministic=True)[0] != actions).mean() > 0.5


@pytest.mark.parametrize("exploration", [EpsilonGreedy(0.4), Boltzmann(0.5), UCB(0.3)])
def test_actions_that_explore_come_as_often_as_they_should(exploration):
    model = build(QLearning, world("lake"), exploration=exploration).learn(2000)
    state = 4
    promised = model.policy.action_probabilities(np.array([state]), deterministic=False)[0]
    counts = model.policy.visits.numpy()[0, state]
    np.testing.assert_allclose(promised, exploration.probabilities(model.policy.q_table[state], counts))
    drawn, _ = model.predict(np.full(8000, state))
    found = np.bincount(drawn, minlength=4) / 8000
    assert (abs(found - promised) <= 5 * np.sqrt(promised * (1 - promised) / 8000) + 1e-9).all()


def test_exploration_stands_where_training_stands():
    model = build(QLearning, world("lake"), exploration=EpsilonGreedy(1.0, 0.0))
    chances = lambda: model.policy.action_probabilities(np.array([0]), deterministic=False)[0]  # noqa: E731
    np.testing.assert_allclose(chances(), 0.25)
    model.learn(1000)
    assert chances().max() == 1.0


def test_exploration_may_be_written():
    written = build(SARSA, world("lake"), exploration="lin_0.5").learn(1000)
    assert written.exploration == EpsilonGreedy(0.5, 0.0)
    assert knowledge(written) == knowledge(build(SARSA, world("lake"), exploration=EpsilonGreedy(0.5, 0.0)).learn(1000))


@pytest.mark.parametrize("text", ["0.5", "lin_", "lin_-1", "lin_x", "1/N", ""])
def test_exploration_that_says_nothing(text):
    with pytest.raises(ValueError, match="exploration must be"):
        build(QLearning, world("lake"), exploration=text)


def test_double_q_learning_acts_by_the_mean():
    model = build(DoubleQLearning, world("lake"))
    tables = model.policy.arrays()["q_tables"]
    tables[0, 0], tables[1, 0] = [0, 5, 0, 0], [0, 0, 9, 0]
    assert model.policy.q_table[0].tolist() == [0, 2.5, 4.5, 0]
    assert int(model.predict(0, deterministic=True)[0]) == 2


# ---- Spaces that start anywhere -------------------------------------------------------------------------------------


@every_class
@pytest.mark.parametrize(("first_state", "first_action"), [(5, 0), (0, 3), (-2, 7)])
def test_states_and_actions_may_begin_anywhere(cls, first_state, first_action):
    env = DummyVecEnv([lambda: Counted(4, first_state, 2, first_action)] * 2)
    plain = DummyVecEnv([Counted] * 2)
    model, expected = (build(cls, each, gamma=0.9).learn(400) for each in (env, plain))
    assert knowledge(model) == knowledge(expected)
    assert set(env.envs[0].received) == {first_action, first_action + 1}
    actions, _ = model.predict(np.arange(4) + first_state, deterministic=True)
    assert np.array_equal(actions - first_action, expected.predict(np.arange(4), deterministic=True)[0])
    drawn, _ = model.predict(np.full(50, first_state))
    assert set(drawn.tolist()) <= {first_action, first_action + 1}
    for wrong in (first_state - 1, first_state + 4):
        with pytest.raises(ValueError, match="is not in Discrete"):
            model.predict(wrong)
    with pytest.raises(ValueError, match="counted from 0"):
        build(cls, env, engine="compiled").learn(1)


# ---- Copies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_goes_on_as_the_model_does(variant, how):
    cls, options = VARIANTS[variant]
    model = build(cls, world("tabular", 2), **options).learn(301)
    other = copy.deepcopy(model) if how == "deepcopy" else pickle.loads(pickle.dumps(model))
    before = knowledge(other)
    model.learn(301, reset_num_timesteps=False)
    assert knowledge(other) == before  # nothing is shared
    other.learn(301, reset_num_timesteps=False)
    assert knowledge(other) == knowledge(model)


@every_class
def test_parameters_go_from_one_model_to_another(cls):
    one, other = (build(cls, world("lake"), seed=seed).learn(500) for seed in (1, 2))
    assert not np.array_equal(one.policy.q_table, other.policy.q_table)
    saved = copy.deepcopy(one.get_parameters())
    other.set_parameters(saved)
    states = np.arange(16)
    assert np.array_equal(one.policy.q_table, other.policy.q_table)
    assert np.array_equal(*(model.predict(states, deterministic=True)[0] for model in (one, other)))
    vector = th.nn.utils.parameters_to_vector(one.policy.parameters()).numpy()
    other.policy.load_from_vector(vector * 2)
    np.testing.assert_allclose(other.policy.q_table, 2 * one.policy.q_table)
    with pytest.raises((KeyError, ValueError, RuntimeError)):
        other.set_parameters({"q_tables": saved["policy"]})
    other.learn(100)


@pytest.mark.parametrize("variant", ["Dyna-Q", "Dyna-Q latest", "Dyna-Q+", "Sweeping", "Sweeping+", "Sweeping latest"])
def test_a_model_of_the_world_goes_from_one_model_to_another(variant):
    """And is planned with, though the other had learned of other pairs."""
    cls, options = VARIANTS[variant]
    one = build(cls, world("lake"), **options).learn(3000)
    fresh = build(cls, world("lake"), **options)
    other = build(cls, world("lake"), seed=9, **options).learn(30)
    for model in (fresh, other):
        model.set_parameters(copy.deepcopy(one.get_parameters()))
        model.learn(400)
        memory = model._memory
        known = memory.tried > 0
        if model.kappa:
            known = np.broadcast_to(known.any(axis=1, keepdims=True), known.shape)
        assert set(memory.pairs[: memory.n_pairs[0]]) == set(np.flatnonzero(known))
        assert memory.n_pairs[0] == known.sum()
        assert np.isfinite(memory.q_tables).all()
        if options.get("prioritized"):
            links = sum(len(list(walk(memory, state))) for state in range(16))
            assert links == (memory.model_weight > 0).sum()


def walk(memory, state):
    outcome, n_seen = memory.first_link[state], 0
    while outcome >= 0:
        assert memory.model_next.flat[outcome] == state
        assert n_seen <= memory.next_link.size
        yield outcome
        outcome, n_seen = memory.next_link[outcome], n_seen + 1


# ---- Logs -----------------------------------------------------------------------------------------------------------


@every_class
@every_engine
def test_what_is_logged(cls, engine):
    rows = Rows()
    build(
        cls, world("grid"), rows, engine=engine, exploration=EpsilonGreedy(0.8, 0.2), learning_rate="lin_0.5/N"
    ).learn(1000, log_interval=5)
    steps, last = rows.rows[-1]
    assert set(last) == {
        "time/episodes", "time/total_timesteps", "rollout/ep_rew_mean", "rollout/ep_len_mean", "rollout/success_rate",
        "rollout/exploration_rate", "train/learning_rate", "train/td_error",
    }  # fmt: skip
    assert [row["time/episodes"] for _, row in rows.rows] == list(range(5, 5 * len(rows.rows) + 1, 5))
    assert last["time/total_timesteps"] == steps <= 1000
    assert last["rollout/exploration_rate"] == pytest.approx(0.8 - 0.6 * steps / 1000)
    assert last["train/learning_rate"] == pytest.approx(0.5 - 0.5 * steps / 1000)
    assert last["train/td_error"] > 0


@every_engine
@pytest.mark.parametrize("interval", [None, 0])
def test_logs_may_be_left_out(engine, interval):
    rows = Rows()
    model = build(QLearning, world("lake"), rows, engine=engine).learn(1000, log_interval=interval)
    assert rows.rows == []
    assert model._episode_num > 0


@every_engine
def test_the_error_that_is_logged(engine):
    """One step an episode, reward 1, Q: 0, 1/2, 3/4, ...; the mean of two errors each."""
    rows, mdp = Rows(), TabularMDP.from_arrays([[0]], [[1.0]], [[True]])
    build(QLearning, tabular(mdp), rows, engine=engine, learning_rate=0.5, initial_value=0.0).learn(4, log_interval=2)
    assert [row["train/td_error"] for _, row in rows.rows] == [(1 + 0.5) / 2, (0.25 + 0.125) / 2]


@every_engine
def test_tensorboard(engine, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    build(QLearning, world("lake"), engine=engine, tensorboard_log=str(tmp_path)).learn(2000, log_interval=20)
    events = EventAccumulator(str(tmp_path / "QLearning_1"))
    events.Reload()
    assert {"rollout/ep_rew_mean", "rollout/exploration_rate", "train/td_error"} <= set(events.Tags()["scalars"])
    assert events.Scalars("rollout/ep_len_mean")[0].step > 0


def test_it_says_why_it_steps(capsys):
    build(QLearning, world("lake"), engine="step", verbose=1).learn(10)
    assert "Step engine: it was asked for" in capsys.readouterr().out
    build(QLearning, vec(Counted), verbose=1).learn(10)
    assert "Step engine: Counted is not known" in capsys.readouterr().out


# ---- Learning rates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (0.1, ((0.1, 0.1, 1.0), 0.0)), (0, ((0.0, 0.0, 1.0), 0.0)), (1, ((1.0, 1.0, 1.0), 0.0)),
        ("0.3", ((0.3, 0.3, 1.0), 0.0)), (".3", ((0.3, 0.3, 1.0), 0.0)), ("lin_0.3", ((0.3, 0.0, 1.0), 0.0)),
        ("1/N", ((1.0, 1.0, 1.0), 1.0)), ("0.5/N", ((0.5, 0.5, 1.0), 1.0)), ("1/N^0.8", ((1.0, 1.0, 1.0), 0.8)),
        ("lin_1/N^0.5", ((1.0, 0.0, 1.0), 0.5)), (" lin_1 / N ^ .5 ", ((1.0, 0.0, 1.0), 0.5)),
        ("1/N^0", ((1.0, 1.0, 1.0), 0.0)), (LinearSchedule(0.5, 0.1, 0.3), ((0.5, 0.1, 0.3), 0.0)),
        (ConstantSchedule(0.2), ((0.2, 0.2, 1.0), 0.0)), (FloatSchedule(0.2), ((0.2, 0.2, 1.0), 0.0)),
        (FloatSchedule(LinearSchedule(0.5, 0.1, 0.3)), ((0.5, 0.1, 0.3), 0.0)),
        (np.float32(0.5), ((0.5, 0.5, 1.0), 0.0)),
    ],
    ids=str,
)  # fmt: skip
def test_learning_rates_are_read(written, read):
    assert read_learning_rate(written) == read


@pytest.mark.parametrize(
    "wrong",
    [
        -0.1, 1.1, math.nan, math.inf, "", "1/n", "1/N^", "N", "fast", "-0.1", "1e-3", "lin", "lin_", "1/N^-1", "2/N",
        "0.1/M", "lin_1.5", "0..1", LinearSchedule(1.5, 0.1, 0.5), LinearSchedule(0.5, -0.1, 0.5),
        LinearSchedule(0.5, 0.1, 0.0), None, [0.1],
    ],
    ids=str,
)  # fmt: skip
def test_learning_rates_that_say_nothing(wrong):
    with pytest.raises(ValueError, match="learning_rate"):
        QLearning("TabularPolicy", "FrozenLake-v1", learning_rate=wrong)


@pytest.mark.parametrize("rate", [0.5, "0.5", FloatSchedule(0.5), ConstantSchedule(0.5), lambda left: 0.5])
def test_the_same_rate_said_in_other_words(rate):
    tables = [build(QLearning, world("lake"), learning_rate=each).learn(400).policy.q_table for each in (0.5, rate)]
    assert np.array_equal(*tables)


def test_a_function_steps():
    model = build(QLearning, world("lake"), learning_rate=lambda left: 0.3 * left)
    with pytest.raises(ValueError, match="only Python can call; SB3's LinearSchedule"):
        build(QLearning, world("lake"), learning_rate=lambda left: 0.3, engine="compiled").learn(1)
    rows = Rows()
    other = build(QLearning, world("lake"), rows, learning_rate=lambda left: 0.3 * left).learn(1000, log_interval=10)
    assert rows.rows[-1][1]["train/learning_rate"] == pytest.approx(0.3 * (1 - rows.rows[-1][0] / 1000))
    assert np.array_equal(other.policy.q_table, model.learn(1000).policy.q_table)


# ---- Bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "arguments", "words"),
    [
        (QLearning, {"gamma": -0.1}, r"gamma must lie in \[0, 1\], got -0.1"),
        (SARSA, {"gamma": 1.1}, r"gamma must lie in \[0, 1\], got 1.1"),
        (DynaQ, {"gamma": math.nan}, "gamma must lie"),
        (QLearning, {"initial_value": math.inf}, "initial_value must be finite, got inf"),
        (QLearning, {"initial_value": math.nan}, "initial_value must be finite"),
        (QLearning, {"engine": "fast"}, "engine must be 'auto', 'step' or 'compiled', got 'fast'"),
        (QLearning, {"exploration": 1.5}, "epsilon must be at least 0 and at most 1, got start=1.5"),
        (QLearning, {"exploration": -0.5}, "epsilon must be at least 0"),
        (QLearning, {"exploration": math.nan}, "epsilon must be at least 0"),
        (QLearning, {"lambda_": -0.1}, r"lambda_ must lie in \[0, 1\], got -0.1"),
        (SARSA, {"lambda_": 1.1}, r"lambda_ must lie in \[0, 1\], got 1.1"),
        (SARSA, {"lambda_": math.nan}, "lambda_ must lie"),
        (QLearning, {"traces": "dutch"}, "traces must be 'accumulating' or 'replacing', got 'dutch'"),
        (SARSA, {"traces": "dutch", "lambda_": 0.5}, "traces must be"),
        (SARSA, {"n_steps": 2, "lambda_": 0.5}, "choose n_steps or lambda_, got n_steps=2 and lambda_=0.5"),
        (SARSA, {"n_steps": 0}, "n_steps must be a whole number, at least 1, got 0"),
        (SARSA, {"n_steps": 2.0}, "n_steps must be a whole number"),
        (SARSA, {"n_steps": True}, "n_steps must be a whole number"),
        (ExpectedSARSA, {"n_steps": -3}, "n_steps must be a whole number, at least 1, got -3"),
        (MonteCarloControl, {"visits": "last"}, "visits must be 'first' or 'every', got 'last'"),
        (DynaQ, {"planning_steps": -1}, "planning_steps must be a whole number, at least 0, got -1"),
        (DynaQ, {"planning_steps": 1.5}, "planning_steps must be a whole number"),
        (DynaQ, {"model": "neural"}, "model must be 'frequencies' or 'latest', got 'neural'"),
        (DynaQ, {"kappa": -0.1}, "kappa must be at least 0 and finite, got -0.1"),
        (DynaQ, {"kappa": math.inf}, "kappa must be at least 0 and finite"),
        (DynaQ, {"threshold": -1e-9}, "threshold must be at least 0"),
        (DynaQ, {"threshold": math.nan}, "threshold must be at least 0"),
    ],
    ids=str,
)
def test_parameters_out_of_range(cls, arguments, words):
    with pytest.raises(ValueError, match=words):
        cls("TabularPolicy", "FrozenLake-v1", **arguments)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (DoubleQLearning, {"lambda_": 0.5}), (ExpectedSARSA, {"lambda_": 0.5}), (QLearning, {"n_steps": 3}),
        (MonteCarloControl, {"n_steps": 3}), (QLearning, {"planning_steps": 3}),
    ],
    ids=str,
)  # fmt: skip
def test_options_of_another_class(cls, arguments):
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        cls("TabularPolicy", "FrozenLake-v1", **arguments)


class Spaces(gym.Env):
    """Whatever spaces."""

    def __init__(self, observation_space=None, action_space=None):
        self.observation_space = observation_space or spaces.Discrete(3)
        self.action_space = action_space or spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


@every_class
def test_continuous_spaces(cls):
    with pytest.raises(
        ValueError, match=r"needs a Discrete observation space, got Box.*DiscretizeObservation"
    ) as error:
        cls("TabularPolicy", "CartPole-v1")
    assert cls.__name__ in str(error.value)
    with pytest.raises(ValueError, match="needs a Discrete action space, got Box"):
        cls("TabularPolicy", Spaces(action_space=spaces.Box(-1, 1, (1,), np.float32)))


@pytest.mark.parametrize(
    "space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3), spaces.Dict({"a": spaces.Discrete(2)})], ids=str
)
def test_other_spaces(space):
    with pytest.raises(ValueError, match="FlattenDiscrete"):
        QLearning("TabularPolicy", Spaces(space))


@every_class
def test_huge_tables(cls):
    with pytest.raises(ValueError, match=r"needs [\d,.]+ GB for 1,000,000,000 states x 2 actions") as error:
        cls("TabularPolicy", Spaces(spaces.Discrete(10**9)))
    assert "DiscretizeObservation" in str(error.value)


class BadReward(Counted):
    """The tenth reward is a bad one."""

    def __init__(self, bad):
        super().__init__()
        self.bad = bad

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, self.bad if len(self.received) == 10 else reward, *rest


@every_class
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_rewards_that_are_not_finite(cls, bad):
    model = build(cls, DummyVecEnv([Counted, lambda: BadReward(bad)]))
    with pytest.raises(ValueError, match=f"environment 1 gave the reward {bad}, which is not finite"):
        model.learn(1000)
    assert model.env.envs[1].received[9:10] == model.env.envs[1].received[-1:]  # at once
    assert np.isfinite(model.policy.q_table).all()


@every_class
@pytest.mark.parametrize("engine", ["auto", "compiled", "step"])
def test_gamma_of_one_where_nothing_ends(cls, engine):
    with pytest.raises(ValueError, match="gamma=1 needs episodes that end"):
        build(cls, tabular(random_mdp(0, p_end=0.0), 10), gamma=1.0, engine=engine).learn(10)
    build(cls, tabular(random_mdp(0, p_end=0.2), 10), gamma=1.0, engine=engine).learn(100)
    build(cls, tabular(random_mdp(0, p_end=0.0), 10), gamma=0.99, engine=engine).learn(100)


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8, np.float32])
def test_observations_of_other_types(kind):
    """Learned from as the numbers they are."""

    class Typed(Counted):
        def reset(self, **kwargs):
            observation, info = super().reset(**kwargs)
            return kind(observation), info

        def step(self, action):
            observation, *rest = super().step(action)
            return kind(observation), *rest

    models = [build(QLearning, DummyVecEnv([env] * 2)).learn(300) for env in (Counted, Typed)]
    assert knowledge(models[0]) == knowledge(models[1])


@pytest.mark.parametrize("kind", [int, np.float64, np.float32, np.int64, bool])
def test_rewards_of_other_types(kind):
    class Typed(Counted):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, kind(reward), *rest

    models = [build(QLearning, DummyVecEnv([env] * 2)).learn(300) for env in (Counted, Typed)]
    assert knowledge(models[0]) == knowledge(models[1])


def test_normalised_rewards_are_learned_from():
    env = VecNormalize(world("lake", 2), norm_obs=False)
    model = build(QLearning, env).learn(500)
    assert np.isfinite(model.policy.q_table).all()
    assert model.get_vec_normalize_env() is env


def test_no_warnings_in_an_ordinary_training():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for cls in CLASSES:
            model = build(cls, world("lake", 2)).learn(200)
            assert statistics(model)["num_timesteps"] == 200


# ---- Convergence ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [QLearning, DoubleQLearning])
def test_robbins_monro(cls):
    """max|Q - Q*| under alpha = 1/N^0.8, which meets the conditions (eq. 2.7); actions at random.

    The noise that is left after N visits is of the order of sqrt(alpha) = N^-0.4: a hundred times the steps should
    divide it by 100^0.4 = 6.3. Bound: the mean over ten seeds falls at least by 4 and at most by 10.
    """
    make = lambda: gym.make("sb3_ext/GridWorld-v0", map=["S..", "...", "..G"], slip=0.2, max_episode_steps=50)  # noqa: E731
    mdp, gamma = GridWorld(["S..", "...", "..G"], slip=0.2).mdp, 0.5
    exact = value_iteration(mdp, gamma, 1e-12).q_values
    errors = []
    for total in (10_000, 1_000_000):
        found = sweep(
            cls, make, seeds=10, total_timesteps=total, learning_rate="1/N^0.8", exploration=1.0, gamma=gamma,
            initial_value=0.0, n_threads=1, progress_bar=False,
        )  # fmt: skip
        reached = np.arange(mdp.n_states) != 8  # nothing is ever done in the goal
        errors.append(abs(found.q_tables[0] - exact)[:, reached].max(axis=(1, 2)).mean())
    print(cls.__name__, errors, errors[0] / errors[1])
    assert 4 < errors[0] / errors[1] < 10


def test_the_smallest_world_that_there_is():
    """One state, one action, one step."""
    mdp = TabularMDP.from_arrays([[0]], [[1.0]], [[True]])
    for cls in CLASSES:
        model = build(cls, DummyVecEnv([lambda: TabularEnv(mdp)]), learning_rate="1/N", initial_value=0.0).learn(60)
        assert model.policy.q_table == pytest.approx(1.0)


# ---- Changed on the way ---------------------------------------------------------------------------------------------


@every_engine
def test_a_hyperparameter_changed_between_trainings_reaches_learning(engine):
    model = QLearning("TabularPolicy", "FrozenLake-v1", seed=0, engine=engine).learn(500)
    before = model.policy.q_table
    model.learning_rate = 0.0
    model.learn(500, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.policy.q_table, before)
    model.learning_rate, model.exploration, model.lambda_ = 0.5, 0.3, 0.8
    model.learn(500, reset_num_timesteps=False)
    assert not np.array_equal(model.policy.q_table, before)
    assert model.policy.exploration == EpsilonGreedy(0.3)
    model.gamma = 1.5
    with pytest.raises(ValueError, match=r"gamma must lie in \[0, 1\], got 1\.5"):
        model.learn(500, reset_num_timesteps=False)


def test_a_change_that_needs_another_table_is_refused():
    model = DynaQ("TabularPolicy", "FrozenLake-v1", seed=0).learn(100)
    model.model = "latest"
    with pytest.raises(ValueError, match="make a new model"):
        model.learn(100)


class ReusesItsBuffer(DummyVecEnv):
    """Hands out its own array of observations, which the next step overwrites."""

    def _obs_from_buf(self):
        return self.buf_obs[None]


def test_environments_may_write_into_the_observations_they_handed_out():
    tables = [
        QLearning("TabularPolicy", cls([lambda: gym.make("FrozenLake-v1")] * 1), seed=0, engine="step").learn(500)
        for cls in (ReusesItsBuffer, DummyVecEnv)
    ]
    np.testing.assert_array_equal(tables[0].policy.q_table, tables[1].policy.q_table)
