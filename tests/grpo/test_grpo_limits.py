"""What GRPO asks its environments: how long an episode may be, whether they have noise of their own; and going on."""

import time
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit, TransformReward
from helpers_grpo import Endless, Match, play, ragged, small, vec
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from sb3_ext import GRPO, episodic
from sb3_ext.reinforce import REINFORCE
from sb3_ext.vec_env import GymnasiumVecEnv, SameStepCartPole, make_vec_env

FOUR_ROOMS = "sb3_ext.envs:sb3_ext/FourRooms-v0"


# ---- The time limit


def limited(limit, n_envs=2):
    return DummyVecEnv([lambda: TimeLimit(Endless(), limit)] * n_envs)


def test_a_time_limit_around_an_unregistered_environment_counts():
    assert small(limited(50)).episode_limit == 50
    model = small(limited(10_050), n_groups=1).learn(1)
    assert model.rollout_buffer.episodes().lengths.tolist() == [10_050] * 2


def test_environments_of_different_limits_may_play_the_longest():
    env = DummyVecEnv([lambda limit=limit: TimeLimit(Endless(), limit) for limit in (5, 30)])
    assert small(env).learn(1).episode_limit == 30


@pytest.mark.parametrize("backend", ["auto", "dummy", "gymnasium", "native"])
def test_four_rooms_say_their_limit_on_every_backend(backend):
    for env_kwargs, limit in (({}, 500), ({"max_episode_steps": 100}, 100)):
        env = make_vec_env(FOUR_ROOMS, 2, env_kwargs=env_kwargs, backend=backend)
        assert small(env, loss_type="dr_grpo").episode_limit == limit


@pytest.mark.parametrize("backend", ["dummy", "gymnasium", "envpool"])
def test_cartpole_says_its_limit_on_every_backend(backend):
    if backend == "envpool":
        pytest.importorskip("envpool")
    env = make_vec_env("CartPole-v0", 2, backend=backend)
    assert small(env, transition_noise="common").episode_limit == 200
    assert small(VecNormalize(env), transition_noise="common").episode_limit == 200
    assert small(GymnasiumVecEnv(SameStepCartPole(2, 77))).episode_limit == 77
    assert small(GymnasiumVecEnv(SameStepCartPole(2, 2**31 - 1))).episode_limit == 10_000


def half_reward():
    return TransformReward(gym.make("CartPole-v1"), lambda reward: reward / 2)


@pytest.mark.slow
def test_a_spec_that_does_not_pickle_is_not_asked_for():
    env = SubprocVecEnv([half_reward] * 2)
    assert small(env).learn(10).episode_limit == 500
    env.close()


def test_the_limit_follows_the_environment_and_the_argument_stays(tmp_path):
    model = small(limited(20))
    model.save(tmp_path / "model")
    for other in (GRPO.load(tmp_path / "model", limited(30)), model):
        other.set_env(limited(30))
        assert (other.max_episode_steps, other.episode_limit) == (None, 30)
        other.learn(1)
    given = small(limited(20), max_episode_steps=25)
    given.set_env(limited(24))
    assert (given.max_episode_steps, given.episode_limit) == (25, 25)
    assert GRPO.load(tmp_path / "model").episode_limit == 10_000


def test_reinforce_keeps_to_its_argument():
    model = REINFORCE("MlpPolicy", limited(30), max_episode_steps=9, n_episodes=2)
    assert model.episode_limit == 9
    with pytest.warns(UserWarning, match="max_episode_steps=9"):
        model.learn(1)


# ---- Noise of one's own


def test_environments_without_noise_of_their_own_are_refused_at_once():
    pytest.importorskip("envpool")
    env = make_vec_env("Acrobot-v1", 2, backend="envpool")
    with pytest.raises(ValueError, match=r"EnvPoolVecEnv.*transition_noise='common'"):
        small(env)
    model = small(sb3_make_vec_env("Acrobot-v1", 2))
    before = model.env
    with pytest.raises(ValueError, match=r"EnvPoolVecEnv.*transition_noise='common'"):
        model.set_env(env)
    assert model.env is before
    small(env, transition_noise="common")
    small(env, group_start="unmatched")


# ---- Going on


def starts(model):
    """The first observations of the next rollout."""
    episodes = play(model).episodes
    return episodes.observations[episodes.time == 0]


@pytest.mark.parametrize("seed", [0, 7, None])
def test_a_model_that_goes_on_plays_other_starts(seed, tmp_path):
    model = small(ragged(4), seed=seed)
    first = starts(model)
    order = model.shuffling.permutation(20)
    model.learn(40)
    model.save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", ragged(4))
    loaded._setup_learn(1, reset_num_timesteps=False)
    again = starts(loaded)
    assert not (first == again)[:, 0].any()
    assert not np.array_equal(loaded.shuffling.permutation(20), order)
    repeated = starts(GRPO.load(tmp_path / "model", ragged(4)))
    assert np.array_equal(again, repeated) == (seed is not None)


def test_generators_and_cloned_states_are_not_saved(tmp_path):
    class Native:
        def __deepcopy__(self, memo):
            return self

        def __reduce__(self):
            raise TypeError("cannot pickle a native state")

    class Cloned(Match):
        def clone_state(self):
            return Native()

        def restore_state(self, state):
            self.context = 0

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.zeros(2, np.float32), {}

    model = small(vec(*[Cloned] * 4), group_start="state").learn(20)
    model.save(tmp_path / "model")
    assert not {"group_starts", "shuffling"} - set(model._excluded_save_params())
    assert GRPO.load(tmp_path / "model", vec(*[Cloned] * 4)).learn(20).num_timesteps >= 20


# ---- Groups in rounds


class Flat(Match):
    """Pays 1 a step, whatever is done."""

    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, 1.0, *rest


@pytest.mark.parametrize("n_envs", [1, 2, 4])
def test_equal_episodes_say_nothing_under_vec_normalize(n_envs):
    env = VecNormalize(vec(*[partial(Flat, 20)] * n_envs))
    model = small(env, group_size=4)
    for _ in range(3):
        batch = play(model)
        np.testing.assert_array_equal(batch.advantages, 0.0)
        first = batch.episodes.observations[[own[0] for own in batch.steps]]
        np.testing.assert_array_equal(first, np.repeat(first[::4], 4, axis=0))
    assert env.obs_rms.count > 3 * 2 * 4 * 20


def test_statistics_move_again_after_a_callback_stopped():
    env = VecNormalize(vec(Match))
    small(env).learn(100, lambda locals_, _: locals_["callback"].n_calls < 4)
    assert "moving" not in vars(env.obs_rms) | vars(env.ret_rms)


def test_parts_of_many_short_episodes_take_no_quadratic_time(monkeypatch):
    model = small(ragged(4))
    batch = play(model)
    many = batch._replace(steps=[np.array([0])] * 40_000)
    monkeypatch.setattr(episodic, "CHUNK_SIZE", 20_000)
    began = time.process_time()
    parts = list(model._whole_episodes(many, np.arange(40_000)))
    assert [len(part) for part in parts] == [20_000, 20_000]
    assert time.process_time() - began < 1.0
