"""Environments that break: a clear error that names the environment, or a bounded training and a warning."""

import math
import warnings

import numpy as np
import pytest
from helpers_reinforce import Endless, Match, Recorder, Script, Scripted, parameters, small, vec
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper

from sb3_ext import REINFORCE

BAD = [math.nan, math.inf, -math.inf]


def second_of_three(**broken):
    """Three environments of five steps; number 1 breaks."""
    makes = [lambda: Monitor(Endless(5)), lambda: Monitor(Endless(5, **broken)), lambda: Monitor(Endless(5))]
    if broken.get("as_dict"):
        makes[0] = makes[2] = lambda: Monitor(Endless(5, as_dict=True))
    return DummyVecEnv(makes)


@pytest.mark.parametrize("baseline", ["none", "value"])
@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"broken_step": 3, "reward": ...}, "environment 1 gave the reward {}, which is not finite"),
        ({"broken_step": 3, "value": ...}, "environment 1 gave the observation [{}], which is not finite"),
        ({"broken_step": 5, "value": ...}, "environment 1 gave the terminal observation [{}], which is not finite"),
        ({"broken_step": 0, "value": ...}, "environment 1 gave the observation [{}], which is not finite"),
    ],
    ids=["reward", "observation", "terminal observation", "first observation"],
)
def test_numbers_that_are_not_finite(broken, words, bad, baseline):
    broken = {key: bad if value is ... else value for key, value in broken.items()}
    model = small(second_of_three(**broken), n_episodes=3, baseline=baseline)
    before = parameters(model)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        model.learn(100)
    assert words.format(bad) in str(error.value)
    np.testing.assert_array_equal(before, parameters(model))


@pytest.mark.parametrize(("step", "what"), [(3, "observation 'b'"), (5, "terminal observation 'b'")])
def test_dict_observations_that_are_not_finite(step, what):
    env = second_of_three(broken_step=step, value=math.nan, as_dict=True)
    with pytest.raises(ValueError, match=f"environment 1 gave the {what} .*nan"):
        small(env, "MultiInputPolicy", n_episodes=3).learn(100)


def test_rewards_too_large_to_add_up_are_not_learned_from():
    env = vec(lambda: Scripted([Script([3e38, 3e38])] * 9))
    model = small(env, n_episodes=2, gamma=1.0, baseline="none", normalize_advantage=False)
    before = parameters(model)
    with pytest.raises(RuntimeError, match="non-finite"), np.errstate(over="ignore", invalid="ignore"):
        model.learn(1)
    np.testing.assert_array_equal(before, parameters(model))


@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
@pytest.mark.parametrize("n_episodes", [3, 6])
def test_an_endless_environment_is_cut_with_a_warning(n_episodes, baseline):
    model = small(vec(Endless, 3), n_episodes=n_episodes, max_episode_steps=20, baseline=baseline)
    with pytest.warns(UserWarning, match=r"cut after max_episode_steps=20 .* time limit"):
        model.learn(1)
    assert model.num_timesteps == 20 * n_episodes
    batch = model.rollout_buffer.episodes()
    np.testing.assert_array_equal(batch.lengths, 20)
    assert not batch.terminated.any()
    assert np.isfinite(parameters(model)).all()
    assert model.learn(1, reset_num_timesteps=False).num_timesteps == 40 * n_episodes


def test_one_endless_environment_of_several():
    env = DummyVecEnv([lambda length=length: Monitor(Endless(length)) for length in (5, math.inf, 7)])
    model = small(env, n_episodes=6, max_episode_steps=20)
    with pytest.warns(UserWarning, match="max_episode_steps=20"):
        model.learn(1)
    np.testing.assert_array_equal(model.rollout_buffer.episodes().lengths, [5, 20, 7, 5, 20, 7])
    assert model.num_timesteps == 3 * 40


def test_an_environment_with_that_very_limit_is_not_warned_about():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = small(vec(lambda: Endless(20), 2), n_episodes=4, max_episode_steps=20).learn(1)
    np.testing.assert_array_equal(model.rollout_buffer.episodes().lengths, 20)


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
@pytest.mark.parametrize("rewards", [[1.0], [0.0], [0.0, 0.0, 0.0]], ids=["one step", "one step, reward 0", "reward 0"])
def test_dull_environments(rewards, baseline, truncated):
    model = small(vec(lambda: Scripted([Script(rewards, truncated)] * 999), 2), n_episodes=4, baseline=baseline)
    before = parameters(model)
    model.learn(40)
    assert np.isfinite(parameters(model)).all()
    assert model.logger.name_to_value["train/grad_norm"] < 100
    if rewards[0] == 0 and baseline != "value":
        np.testing.assert_array_equal(before, parameters(model))  # nothing to learn from


class WithoutTimeLimits(VecEnvWrapper):
    """Infos as an environment gives them that knows no time limit, and keeps no last observation."""

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        observations, rewards, dones, infos = self.venv.step_wait()
        keys = ("TimeLimit.truncated", "terminal_observation", "episode")
        return observations, rewards, dones, [{k: v for k, v in info.items() if k not in keys} for info in infos]


def test_infos_without_time_limits_mean_termination():
    model = small(WithoutTimeLimits(vec(Match, 2)), baseline="value").learn(20)
    assert model.rollout_buffer.episodes().terminated.all()
    assert not model.ep_info_buffer


@pytest.mark.parametrize("step", [1, 4, 25])
def test_interrupted_training_leaves_a_model_that_predicts_saves_and_goes_on(step, tmp_path):
    model = small(vec(Match, 2), n_episodes=4)
    with pytest.raises(KeyboardInterrupt):
        model.learn(1000, Recorder(stop_at=step, raises=KeyboardInterrupt))
    assert model.num_timesteps == 2 * step
    observation = model.env.observation_space.sample()
    action, _ = model.predict(observation, deterministic=True)
    model.save(tmp_path / "model")
    assert REINFORCE.load(tmp_path / "model").predict(observation, deterministic=True)[0] == action
    before = parameters(model)
    model.learn(100, reset_num_timesteps=False)
    assert model.num_timesteps >= 2 * step + 100
    assert not np.array_equal(before, parameters(model))


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
@pytest.mark.parametrize("raises", [None, KeyboardInterrupt])
def test_after_a_stop_the_next_rollout_has_whole_episodes(stop_at, raises):
    """Wherever it was stopped: at the first step of an episode, amid one, or at its end."""
    model = small(vec(lambda: Scripted([Script([1.0, 1.0, 1.0])] * 99), 1), n_episodes=2)
    try:
        model.learn(100, Recorder(stop_at=stop_at, raises=raises))
    except KeyboardInterrupt:
        assert raises
    recorder = Recorder()
    model.learn(1, recorder, reset_num_timesteps=False)
    batch = recorder.batches[0]
    np.testing.assert_allclose(batch.observations[:, 2], 0.1 * batch.time, rtol=1e-6)
    np.testing.assert_array_equal(batch.lengths, 3)
