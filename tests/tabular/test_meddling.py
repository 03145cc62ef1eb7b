"""What else may go wrong: callbacks that change environments, observations that do not exist, no folder for a cache."""

import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback, EveryNTimesteps
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext.envs.tabular_env import TabularEnv
from sb3_ext.tabular import DynaQ, OptimalityGapCallback, QLearning, TabularMDP, sweep
from sb3_ext.tabular.callback_schedule import may_touch_environments, must_see_every_step
from sb3_ext.tabular.engine import calls_at_once
from sb3_ext.tabular.worlds import ExactWorld, find_world


class Meddles(BaseCallback):
    """Does something to the environments of the training."""

    def __init__(self, deed):
        super().__init__()
        self.deed = deed

    def _on_step(self):
        self.deed(self.training_env)
        return True


def change_the_table(env):
    for action in range(4):
        env.envs[0].unwrapped.P[0][action] = [(1.0, 15, 1.0, True)]


def shorten(env):
    env.envs[0].get_wrapper_attr("env")  # the monitor's
    env.envs[0].env._max_episode_steps = 3


def reward_more(env):
    env.envs[0] = gym.wrappers.TransformReward(env.envs[0], lambda reward: reward + 1.0)


DEEDS = {
    "the table": change_the_table,
    "a reset": lambda env: env.reset(),
    "other random numbers": lambda env: setattr(env.envs[0].unwrapped, "np_random", np.random.default_rng(5)),
    "the time limit": shorten,
    "a wrapper": reward_more,
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())
@pytest.mark.parametrize("n_envs", [1, 2])
def test_what_a_callback_does_to_the_environments_is_seen_by_both_engines(deed, n_envs):
    seen = []
    for engine in ("step", "compiled"):
        env = make_vec_env("FrozenLake-v1", n_envs)
        if n_envs == 2 and deed is change_the_table:
            pytest.skip("environments of different tables are stepped anyway")
        model = QLearning("TabularPolicy", env, seed=3, engine=engine)
        model.learn(2003, EveryNTimesteps(500, Meddles(deed)))
        seen.append((model.policy.q_table, model._episode_num, [i["r"] for i in model.ep_info_buffer], model._last_obs))
    np.testing.assert_array_equal(seen[0][0], seen[1][0])
    assert seen[0][1:3] == seen[1][1:3]
    np.testing.assert_array_equal(seen[0][3], seen[1][3])


def test_evaluation_on_the_environments_of_the_training_is_the_same_for_both_engines():
    seen = []
    for engine in ("step", "compiled"):
        model = QLearning("TabularPolicy", make_vec_env("FrozenLake-v1", 1), seed=3, engine=engine)
        model.learn(2003, EvalCallback(model.get_env(), eval_freq=100, n_eval_episodes=2, verbose=0))
        seen.append((model.policy.q_table.tolist(), model._episode_num, model.get_env().envs[0].episode_returns))
    assert seen[0] == seen[1]


def test_environments_that_were_moved_between_two_trainings_are_the_same_for_both_engines():
    seen = []
    for engine in ("step", "compiled"):
        model = QLearning("TabularPolicy", "CliffWalking-v1", seed=3, engine=engine).learn(50)
        model.get_env().reset()
        seen.append(model.learn(500, reset_num_timesteps=False).policy.q_table)
    np.testing.assert_array_equal(*seen)


def test_who_is_not_known_may_touch_the_environments():
    model = QLearning("TabularPolicy", "FrozenLake-v1")

    def touches(callback):
        callback.init_callback(model)
        return may_touch_environments(callback)

    assert touches(EveryNTimesteps(9, Meddles(print)))
    assert touches(EvalCallback(model.get_env(), verbose=0))
    assert not touches(EvalCallback(make_vec_env("FrozenLake-v1", 1), verbose=0))
    assert not touches(EveryNTimesteps(9, OptimalityGapCallback()))


class SeesMore(OptimalityGapCallback):
    """Wants every step, though its base sleeps."""

    def _on_step(self):
        return super()._on_step()


def test_a_subclass_that_looks_at_every_step_is_called_at_every_step():
    assert must_see_every_step(SeesMore()) == "SeesMore"
    assert must_see_every_step(OptimalityGapCallback()) is None
    callback = SeesMore(eval_freq=500)
    with pytest.warns(UserWarning, match="SeesMore must see every step"):
        QLearning("TabularPolicy", "FrozenLake-v1", seed=0).learn(300, callback)
    assert callback.n_calls == 300


@pytest.mark.parametrize("name", ["step_wait", "step_async", "reset"])
def test_methods_replaced_on_the_vec_env_are_noticed(name):
    env = make_vec_env("FrozenLake-v1", 1)
    setattr(env, name, getattr(env, name))
    assert f"the {name} of DummyVecEnv was replaced" in find_world(env)


def test_rl_zoo_s_time_limit_is_known():
    """RL Zoo puts its own in the place of Gymnasium's, for the whole process."""
    code = (
        "import rl_zoo3, gymnasium as gym; from sb3_ext import QLearning\n"
        "model = QLearning('TabularPolicy', 'FrozenLake-v1', seed=0, engine='compiled').learn(3000)\n"
        "assert 'Patched' in str(model.get_env().envs[0]), model.get_env().envs[0]\n"
        "print(model.policy.q_table.sum().hex())"
    )
    patched = subprocess.check_output([sys.executable, "-c", code], text=True).split()[-1]
    plain = QLearning("TabularPolicy", "FrozenLake-v1", seed=0).learn(3000)
    assert patched == float(plain.policy.q_table.sum()).hex()


class Wanders(gym.Env):
    """Its observation leaves its space, now or when the episode ends."""

    observation_space, action_space = spaces.Discrete(3), spaces.Discrete(2)

    def __init__(self, observation, ends):
        self.observation, self.ends = observation, ends

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return self.observation, 1.0, self.ends, False, {}


@pytest.mark.parametrize("observation", [3, -1, 10**9])
@pytest.mark.parametrize("ends", [True, False])
def test_observations_outside_the_space_are_refused(observation, ends):
    env = DummyVecEnv([lambda: Wanders(1, False), lambda: Wanders(observation, ends)])
    words = f"environment 1 gave the observation {observation}, which is not in Discrete"
    if ends:
        with pytest.raises(ValueError, match=words):
            DynaQ("TabularPolicy", env, seed=0).learn(50)
    else:
        with pytest.raises(ValueError, match=words):
            QLearning("TabularPolicy", env, seed=0).learn(50)


def test_rewards_beyond_32_bits_are_left_to_the_step_engine_which_refuses_them():
    env = TabularEnv(TabularMDP.from_arrays([[0, 0]], [[1e39, 0.0]], [[True, True]]))
    assert "too large" in find_world(DummyVecEnv([lambda: env]))
    with pytest.raises(ValueError, match="gave the reward inf"), np.errstate(over="ignore"):
        QLearning("TabularPolicy", env, seed=0).learn(100)


def test_calls_between_two_looks_at_an_interruption_are_fewer_where_each_takes_longer():
    model = DynaQ("TabularPolicy", "FrozenLake-v1", planning_steps=99_999)
    assert calls_at_once(model.settings, 1, 10_000) == 1
    assert calls_at_once(model.settings._replace(planning_steps=0), 10, 10_000) == 1000


def test_a_world_of_another_time_limit_is_read_again():
    env = make_vec_env("FrozenLake-v1", 1)
    env.reset()
    world = find_world(env)
    assert isinstance(world, ExactWorld)
    env.envs[0].env._max_episode_steps = 7
    world.read()
    assert world.world.limits.tolist() == [7]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"grid": {"learning_rate": 0.1}}, "must list the values of learning_rate, got 0.1"),
        ({"grid": {"learning_rate": "1/N"}}, "must list the values of learning_rate"),
        ({"grid": {"seed": [1, 2]}}, "the seeds of a sweep are its argument seeds"),
        ({"seed": 1}, "the seeds of a sweep are its argument seeds"),
    ],
    ids=["a number", "a text", "seeds in the grid", "a seed"],
)
def test_a_sweep_says_what_goes_where(arguments, words):
    with pytest.raises(ValueError, match=words):
        sweep(QLearning, "FrozenLake-v1", total_timesteps=10, progress_bar=False, **arguments)


def test_files_are_found_by_the_name_they_were_saved_under(tmp_path):
    model = QLearning("TabularPolicy", "FrozenLake-v1", seed=0).learn(300)
    model.save_table(tmp_path / "table")
    other = QLearning("TabularPolicy", "FrozenLake-v1", seed=1)
    other.load_table(tmp_path / "table")
    np.testing.assert_array_equal(other.policy.q_table, model.policy.q_table)


def test_functions_are_compiled_without_a_cache_where_there_is_no_folder_for_one(monkeypatch):
    import numba

    from sb3_ext.common import compiling

    plain = numba.njit

    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return plain(**options)

    monkeypatch.setattr(compiling.numba, "njit", njit)
    assert compiling.compiled(lambda number: number + 1)(1) == 2
