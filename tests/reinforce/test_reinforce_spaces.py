"""Policies, spaces and wrappers that REINFORCE takes, and what it says to those that it does not."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from helpers_reinforce import Match, Recorder, parameters, small, vec
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from sb3_ext import REINFORCE
from sb3_ext.vec_env import make_vec_env

ACTION_SPACES = {
    "discrete": spaces.Discrete(2),
    "multidiscrete": spaces.MultiDiscrete([2, 3]),
    "multibinary": spaces.MultiBinary(2),
    "box": spaces.Box(-1.0, 2.0, (1,), np.float32),
    "matrix": spaces.Box(0.0, 1.0, (2, 2), np.float32),
}


def trains(model, n_steps=60):
    before = parameters(model)
    model.learn(n_steps)
    assert model.num_timesteps >= n_steps
    assert np.isfinite(parameters(model)).all()
    assert not np.array_equal(before, parameters(model))
    assert all(np.isfinite(model.logger.name_to_value[f"train/{key}"]) for key in ("policy_loss", "grad_norm"))


@pytest.mark.parametrize("baseline", ["mean", "value"])
@pytest.mark.parametrize("action_space", ACTION_SPACES.values(), ids=ACTION_SPACES)
@pytest.mark.parametrize("n_envs", [1, 3, 16])
def test_action_spaces(action_space, n_envs, baseline):
    """The environment itself asserts that each action lies in its space."""
    model = small(vec(lambda: Match(action_space=action_space), n_envs), baseline=baseline, n_episodes=4)
    trains(model)
    for deterministic in (False, True):
        action, _ = model.predict(model.env.reset(), deterministic=deterministic)
        assert action.shape == (n_envs, *action_space.shape)


@pytest.mark.parametrize("baseline", ["mean", "value"])
@pytest.mark.parametrize(
    ("policy", "observation"),
    [("MlpPolicy", "number"), ("CnnPolicy", "image"), ("MultiInputPolicy", "dict"), ("MlpPolicy", "vector")],
)
def test_policies_and_observations(policy, observation, baseline):
    """Every episode of Match is cut by its length, so the value baseline looks at terminal observations too."""
    model = small(vec(lambda: Match(observation=observation), 3), policy, baseline=baseline, n_episodes=3)
    trains(model, 30)
    batch = model.rollout_buffer.episodes()
    assert not batch.terminated.any()
    space = model.observation_space
    last = batch.last_observations
    if isinstance(space, spaces.Dict):
        assert {key: value.shape[1:] for key, value in last.items()} == {k: s.shape for k, s in space.items()}
    else:
        assert last.shape[1:] == space.shape
    action, _ = model.predict(Match(observation=observation).reset(seed=0)[0])
    assert int(action) in (0, 1)
    assert evaluate_policy(model, model.env, n_eval_episodes=3)[0] >= 0


def test_frame_stack_and_image_transpose():
    env = VecFrameStack(vec(lambda: Match(observation="image"), 2), 4)
    model = small(env, "CnnPolicy", baseline="value", n_episodes=2)
    assert model.observation_space.shape == (4, 36, 36)
    trains(model, 20)
    assert model.rollout_buffer.episodes().last_observations.shape == (2, 4, 36, 36)


def test_vec_normalize():
    env = VecNormalize(vec(Match, 3))
    recorder = Recorder()
    model = small(env, baseline="value", n_episodes=3).learn(150, recorder)
    assert env.obs_rms.count > 150
    batch = recorder.batches[-1]
    assert not set(np.unique(batch.observations)) <= {0.0, 1.0}  # normalised
    assert not set(np.unique(batch.last_observations)) <= {0.0, 1.0}
    assert not set(np.unique(batch.rewards)) <= {0.0, 1.0}
    assert model.get_vec_normalize_env() is env
    assert all(info["r"] == int(info["r"]) for info in model.ep_info_buffer)  # Monitor shows the raw reward


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCarContinuous-v0"])
def test_environments_of_gymnasium(env_id):
    model = small(make_vec_env(env_id, 2, seed=0), baseline="value", n_episodes=2)
    trains(model, 100)
    assert len(model.ep_info_buffer) == 2 * model._n_updates


def test_environment_by_name_and_unwrapped():
    for env in ("CartPole-v1", gym.make("CartPole-v1")):
        model = small(env, n_episodes=3)
        trains(model)
        assert len(model.ep_info_buffer) == 3 * model._n_updates


def test_mlp_policy_stays_on_the_cpu():
    assert REINFORCE("MlpPolicy", "CartPole-v1").device.type == "cpu"


@pytest.mark.parametrize(
    ("n_episodes", "n_envs", "expected"), [(8, 1, 8), (8, 3, 9), (8, 8, 8), (8, 16, 16), (1, 2, 2)]
)
def test_episodes_per_update_are_shared_out_equally(n_episodes, n_envs, expected):
    model = small(vec(Match, n_envs), n_episodes=n_episodes).learn(1)
    batch = model.rollout_buffer.episodes()
    assert batch.n_episodes == expected == model.logger.name_to_value["rollout/episodes"]
    np.testing.assert_array_equal(batch.lengths, 3)


# ---- What is refused ----------------------------------------------------------------------------------------------


class Odd(gym.Env):
    """An environment that is nothing but its spaces."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, True, False, {}


BOX, TWO = spaces.Box(-1.0, 1.0, (2,), np.float32), spaces.Discrete(2)


@pytest.mark.parametrize(
    ("policy", "observation_space", "action_space", "words"),
    [
        ("MlpPolicy", BOX, spaces.Tuple([TWO, TWO]), "only supports .*Tuple"),
        ("MlpPolicy", BOX, spaces.Dict({"a": TWO}), "only supports .*Dict"),
        ("MlpPolicy", BOX, spaces.Text(3), "only supports .*Text"),
        ("MlpPolicy", BOX, spaces.Box(-np.inf, np.inf, (2,), np.float32), "finite lower and upper bound"),
        ("MlpPolicy", BOX, spaces.Discrete(2, start=1), r"counts from 0, but the action_space is Discrete\(2, start=1"),
        ("MlpPolicy", BOX, spaces.MultiDiscrete([2, 2], start=[0, 1]), "counts from 0, but the action_space"),
        ("MlpPolicy", spaces.Discrete(2, start=-1), TWO, "counts from 0, but the observation_space"),
        (
            "MultiInputPolicy",
            spaces.Dict({"a": spaces.Discrete(2, start=5)}),
            TWO,
            "counts from 0, but the observation",
        ),
        ("MlpPolicy", spaces.Tuple([TWO, BOX]), TWO, "Tuple.* not supported"),
        ("MlpPolicy", spaces.Dict({"a": BOX}), TWO, "must use `MultiInputPolicy`"),
        ("CnnPolicy", spaces.Dict({"a": BOX}), TWO, "must use `MultiInputPolicy`"),
        ("CnnPolicy", BOX, TWO, "NatureCNN only with images"),
        ("MultiInputPolicy", BOX, TWO, r"MultiInputPolicy needs a Dict observation space, got Box\("),
        ("TablePolicy", BOX, TWO, "Policy TablePolicy unknown"),
    ],
)
def test_wrong_spaces(policy, observation_space, action_space, words):
    with pytest.raises((ValueError, AssertionError, NotImplementedError), match=words):
        small(DummyVecEnv([lambda: Monitor(Odd(observation_space, action_space))]), policy)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"n_episodes": 0}, "n_episodes must be a whole number, at least 1, got 0"),
        ({"n_value_updates": 0}, "n_value_updates must be a whole number, at least 1, got 0"),
        ({"max_episode_steps": -5}, "max_episode_steps must be a whole number, at least 1, got -5"),
        ({"baseline": "average"}, r"baseline must be one of \('none', 'mean', 'value'\), got 'average'"),
        ({"returns": "n_step"}, r"returns must be one of \('total', 'to_go'\), got 'n_step'"),
        ({"gamma": 1.01}, r"gamma must lie in \[0, 1\], got 1.01"),
        ({"gamma": -0.1}, r"gamma must lie in \[0, 1\], got -0.1"),
        ({"gamma": float("nan")}, "gamma must lie"),
        ({"n_episodes": 1}, 'baseline="mean" compares episodes .* at least 2, got 1'),
        ({"max_grad_norm": -1.0}, "max_grad_norm must be above 0 .*, got -1.0"),
        ({"max_grad_norm": 0.0}, "max_grad_norm must be above 0 .*, got 0.0"),
    ],
)
def test_wrong_arguments_and_the_same_through_load(kwargs, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        small(vec(Match), **kwargs)
    small(vec(Match)).save(tmp_path / "model")
    with pytest.raises(ValueError, match=words):
        REINFORCE.load(tmp_path / "model", **kwargs)


def test_one_episode_is_enough_without_the_mean():
    for baseline in ("none", "value"):
        trains(small(vec(Match), n_episodes=1, baseline=baseline), 3)


def test_negative_total_timesteps():
    model = small(vec(Match))
    with pytest.raises(ValueError, match="total_timesteps must be 0 or more, got -1"):
        model.learn(-1)
    before = parameters(model)
    assert model.learn(0).num_timesteps == 0
    np.testing.assert_array_equal(before, parameters(model))
