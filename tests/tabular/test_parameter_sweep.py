"""Many trainings at once are the single trainings, bit for bit."""

import itertools

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit, TransformReward
from helpers_tabular import CLASSES, EXPLORATIONS, RATES, VARIANTS, WORLDS, build, random_mdp, vec
from stable_baselines3.common.utils import LinearSchedule

from sb3_ext.common.exploration import EpsilonGreedy
from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular import DoubleQLearning, QLearning, TabularMDP, sweep

QUIET = {"progress_bar": False, "n_threads": 1}
ENDLESS = random_mdp(0, p_end=0.0)


def alone(cls, make, seed, total, n_envs=1, **parameters):
    """The same training by an SB3 model: its episodes, table and steps."""
    env = vec(make, n_envs)
    model = build(cls, env, seed=seed, engine="step", **parameters).learn(total)
    returns = [single.episode_returns for single in env.envs]
    lengths = [single.episode_lengths for single in env.envs]
    return returns, lengths, model.policy.q_table, model.num_timesteps


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("place", ["lake", "grid", "tabular"])
def test_a_sweep_is_its_single_trainings(variant, place):
    cls, options = VARIANTS[variant]
    explorations, rates = list(EXPLORATIONS.values()), [RATES["written"], RATES["schedule"]]
    found = sweep(
        cls, WORLDS[place], {"exploration": explorations, "learning_rate": rates}, seeds=[5, 0], total_timesteps=300,
        **QUIET, **options,
    )  # fmt: skip
    assert found.returns.shape[:2] == found.lengths.shape[:2] == (6, 2)
    assert found.seeds == [5, 0]
    assert [each["learning_rate"] for each in found.configurations] == rates * 3  # the last one changes fastest
    for row, configuration in enumerate(found.configurations):
        for column, seed in enumerate(found.seeds):
            (returns,), (lengths,), table, steps = alone(cls, WORLDS[place], seed, 300, **configuration, **options)
            n = len(returns)
            assert found.returns[row, column, :n].tolist() == returns
            assert found.lengths[row, column, :n].tolist() == lengths
            assert np.isnan(found.returns[row, column, n:]).all()
            assert np.isnan(found.lengths[row, column, n:]).all()
            assert np.array_equal(found.q_tables[row, column], table)
            assert found.timesteps[row, column] == steps == 300


@pytest.mark.parametrize("cls", CLASSES)
def test_several_environments(cls):
    found = sweep(cls, WORLDS["lake"], seeds=2, total_timesteps=500, n_envs=3, **QUIET)
    for seed in range(2):
        returns, lengths, table, steps = alone(cls, WORLDS["lake"], seed, 500, n_envs=3)
        assert found.timesteps[0, seed] == steps == 501
        assert np.array_equal(found.q_tables[0, seed], table)
        n = sum(map(len, returns))
        assert sorted(found.lengths[0, seed, :n]) == sorted(itertools.chain(*lengths))
        assert sorted(found.returns[0, seed, :n]) == sorted(itertools.chain(*returns))


@pytest.mark.parametrize("n_threads", [1, 2, 7])
def test_threads_change_nothing(n_threads):
    cases = {"grid": {"learning_rate": [0.1, 0.5, "1/N"], "gamma": [0.9, 0.99]}, "seeds": 4, "total_timesteps": 2000}
    expected = sweep(QLearning, "FrozenLake-v1", **cases, progress_bar=False, n_threads=1)
    found = sweep(QLearning, "FrozenLake-v1", **cases, progress_bar=False, n_threads=n_threads)
    for name in ("returns", "lengths", "q_tables", "timesteps"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_number_of_episodes():
    found = sweep(QLearning, "FrozenLake-v1", seeds=3, n_episodes=40, exploration=0.2, learning_rate=0.1, **QUIET)
    assert found.returns.shape == found.lengths.shape == (1, 3, 40)
    assert not np.isnan(found.returns).any()
    assert np.array_equal(found.timesteps[0], found.lengths[0].sum(axis=1))
    for seed in range(3):
        steps = int(found.timesteps[0, seed])
        (returns,), _, table, _ = alone(QLearning, WORLDS["lake"], seed, steps, exploration=0.2, learning_rate=0.1)
        assert found.returns[0, seed].tolist() == returns
        assert np.array_equal(found.q_tables[0, seed], table)


def test_more_episodes_than_are_reported_at_once():
    make = lambda: TabularEnv(TabularMDP.from_arrays([[0]], [[1.0]], [[True]]))  # noqa: E731
    for n_episodes in (4095, 4096, 4097, 9000):
        found = sweep(QLearning, make, seeds=1, n_episodes=n_episodes, exploration=0.1, learning_rate=0.1, **QUIET)
        assert found.returns.shape == (1, 1, n_episodes)
        assert found.timesteps.tolist() == [[n_episodes]]
        assert (found.returns == 1).all()


def test_steps_and_episodes_whichever_comes_first():
    short = sweep(QLearning, "FrozenLake-v1", seeds=3, n_episodes=5, total_timesteps=10**6, **QUIET)
    assert short.returns.shape == (1, 3, 5)
    assert (short.timesteps < 2000).all()
    long = sweep(QLearning, "FrozenLake-v1", seeds=3, n_episodes=10**6, total_timesteps=500, **QUIET)
    assert (long.timesteps == 500).all()


def test_no_episode_at_all():
    found = sweep(QLearning, lambda: TabularEnv(ENDLESS), seeds=2, total_timesteps=50, **QUIET)
    assert found.returns.shape == (1, 2, 0)
    assert (found.timesteps == 50).all()


def test_arguments_of_the_environment():
    found = sweep(
        QLearning, "CliffWalking-v1", seeds=2, total_timesteps=400, env_kwargs={"max_episode_steps": 7}, **QUIET
    )
    assert np.nanmax(found.lengths) == 7
    make = lambda: gym.make("CliffWalking-v1", max_episode_steps=7)  # noqa: E731
    assert np.array_equal(found.q_tables[0, 1], alone(QLearning, make, 1, 400)[2])


def test_double_q_learning_gives_the_mean_of_its_tables():
    found = sweep(DoubleQLearning, "FrozenLake-v1", seeds=1, total_timesteps=100, **QUIET)
    assert found.q_tables.shape == (1, 1, 16, 4)
    assert found.configurations == [{}]


def test_without_a_grid_there_is_one_configuration():
    for empty in (None, {}):
        assert sweep(QLearning, "FrozenLake-v1", empty, seeds=1, total_timesteps=9, **QUIET).configurations == [{}]


def test_the_progress_bar(capsys):
    sweep(QLearning, "FrozenLake-v1", seeds=2, total_timesteps=9, n_threads=1)
    assert "2/2" in capsys.readouterr().err


def with_reward():
    return TransformReward(gym.make("FrozenLake-v1"), lambda reward: 2 * reward)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "give total_timesteps or n_episodes"),
        ({"total_timesteps": 0}, "total_timesteps must be a whole number, at least 1, got 0"),
        ({"total_timesteps": 1.5}, "total_timesteps must be a whole number"),
        ({"n_episodes": -1}, "n_episodes must be a whole number, at least 1, got -1"),
        ({"total_timesteps": 9, "n_envs": 0}, "n_envs must be a whole number, at least 1"),
        ({"total_timesteps": 9, "seeds": 0}, "seeds must name at least one"),
        ({"total_timesteps": 9, "seeds": []}, "seeds must name at least one"),
        ({"total_timesteps": 9, "seeds": -2}, "seeds"),
        ({"total_timesteps": 9, "gamma": 2.0}, "gamma must lie"),
        ({"total_timesteps": 9, "grid": {"lambda_": [0.5, 1.5]}}, "lambda_ must lie"),
        ({"total_timesteps": 9, "grid": {"gamma": []}}, "gamma"),
        ({"n_episodes": 9, "exploration": 0.1}, "schedule of learning_rate from 1.0 to 0.0 needs total_timesteps"),
        (
            {"n_episodes": 9, "learning_rate": 0.1, "exploration": EpsilonGreedy(0.5, 0.1)},
            "schedule of exploration from 0.5 to 0.1 needs total_timesteps",
        ),
        ({"n_episodes": 9, "exploration": 0.1, "learning_rate": LinearSchedule(0.5, 0.1, 1)}, "needs total_timesteps"),
        ({"total_timesteps": 9, "env": with_reward}, "nothing but a transition table: the wrapper TransformReward"),
        ({"total_timesteps": 9, "env": "CartPole-v1"}, "Box"),
        ({"total_timesteps": 9, "learning_rate": lambda left: 0.5}, "learning_rate"),
        ({"total_timesteps": 9, "grid": {"learning_rate": [0.1, lambda left: 0.5]}}, "learning_rate"),
        ({"total_timesteps": 9, "gamma": 1.0, "env": lambda: TimeLimit(TabularEnv(ENDLESS), 9)}, "gamma=1"),
        (
            {"n_episodes": 9, "exploration": 0.1, "learning_rate": 0.1, "env": lambda: TabularEnv(ENDLESS)},
            "end|total_timesteps",
        ),
    ],
    ids=lambda value: None if isinstance(value, dict) else value,
)  # fmt: skip
@pytest.mark.timeout(200)  # the first may have to compile
def test_bad_input(arguments, words):
    arguments = {"env": "FrozenLake-v1", "seeds": 1, **arguments}
    with pytest.raises(ValueError, match=words):
        sweep(QLearning, **arguments, **QUIET)


def test_hyperparameters_that_do_not_exist():
    with pytest.raises(TypeError, match="speed"):
        sweep(QLearning, "FrozenLake-v1", {"speed": [1]}, seeds=1, total_timesteps=9, **QUIET)


def test_a_name_that_is_both_swept_and_fixed_is_swept():
    found = sweep(QLearning, "FrozenLake-v1", {"gamma": [0.5, 0.9]}, seeds=1, total_timesteps=900, gamma=0.1, **QUIET)
    assert not np.array_equal(found.q_tables[0], found.q_tables[1])
    assert [each["gamma"] for each in found.configurations] == [0.5, 0.9]


def test_the_environment_given_by_the_caller_is_not_touched():
    """Each run plays its own copy, from its seed; a sweep leaves no trace in the next one."""
    first, second = (sweep(QLearning, WORLDS["grid"], seeds=3, total_timesteps=500, **QUIET) for _ in range(2))
    assert np.array_equal(first.q_tables, second.q_tables)
    assert not np.array_equal(first.q_tables[0, 0], first.q_tables[0, 1])
