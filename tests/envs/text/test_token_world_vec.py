"""TokenWorldVecEnv: DummyVecEnv over TokenWorld, transition by transition."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext import GRPO
from sb3_ext.envs import TokenWorld, TokenWorldVecEnv
from sb3_ext.envs.text.tasks import TASKS
from sb3_ext.vec_env import make_vec_env

ID = "sb3_ext/TokenWorld-v0"


def dummy(n_envs, limit=None, **kwargs):
    def make():
        world = TokenWorld(**kwargs)
        return world if limit is None else gym.wrappers.TimeLimit(world, limit)

    return DummyVecEnv([make] * n_envs)


def assert_same_transitions(native, reference, n_steps=300, seed=11):
    """Steps both with the same actions; returns how many episodes terminated and how many timed out."""
    rng, ends = np.random.default_rng(seed), [0, 0]
    assert native.observation_space == reference.observation_space
    assert native.action_space == reference.action_space
    assert native.seed(seed) == reference.seed(seed)
    np.testing.assert_array_equal(native.reset(), reference.reset())
    for _ in range(n_steps):
        actions = rng.integers(native.action_space.n, size=native.num_envs)
        ours, theirs = native.step(actions), reference.step(actions)
        for mine, other in zip(ours[:3], theirs[:3], strict=True):
            np.testing.assert_array_equal(mine, other)
            assert mine.dtype == other.dtype
        for mine, other in zip(ours[3], theirs[3], strict=True):
            assert set(mine) == set(other)
            for key, value in other.items():
                np.testing.assert_array_equal(mine[key], value)
            if "terminal_observation" in other:
                ends[other["TimeLimit.truncated"]] += 1
        assert native.reset_infos == reference.reset_infos
    return ends


@pytest.mark.parametrize("task", TASKS)
def test_same_transitions_as_the_single_environment(task):
    terminated, timed_out = assert_same_transitions(TokenWorldVecEnv(5, task), dummy(5, task=task))
    assert terminated > 50
    assert timed_out == 0


def test_same_transitions_with_prompts_of_different_length_and_a_time_limit():
    kwargs = {"task": "modular_addition", "modulus": 12, "max_new_tokens": 6}
    native = TokenWorldVecEnv(4, max_episode_steps=3, **kwargs)
    terminated, timed_out = assert_same_transitions(native, dummy(4, 3, **kwargs), 400)
    assert terminated > 20
    assert timed_out > 20


def test_a_second_reset_goes_on_with_the_random_numbers():
    native, reference = TokenWorldVecEnv(3), dummy(3)
    for env in (native, reference):
        env.seed(1)
    for _ in range(3):
        np.testing.assert_array_equal(native.reset(), reference.reset())


def test_reseed_gives_the_draws_of_a_seeded_reset():
    env = TokenWorldVecEnv(3)
    env.seed(5)
    first = env.reset()
    env.reseed([5, 6, 7])
    np.testing.assert_array_equal(env.reset(), first)
    with pytest.raises(ValueError, match="got 2 seeds for 3 environments"):
        env.reseed([1, 2])


def test_make_vec_env_takes_it_by_itself():
    env = make_vec_env(ID, 4, seed=0, env_kwargs={"task": "copy", "length": 2})
    assert isinstance(env.unwrapped, TokenWorldVecEnv)
    reference = make_vec_env(ID, 4, seed=0, env_kwargs={"task": "copy", "length": 2}, backend="dummy")
    np.testing.assert_array_equal(env.reset(), reference.reset())
    assert env.get_images()[0].shape[-1] == 3


def test_worlds_of_a_group_get_the_same_prompt():
    env = make_vec_env(ID, 8, seed=0, env_kwargs={"task": "sort", "length": 4})
    model = GRPO("MlpPolicy", env, group_size=4, seed=0, device="cpu").learn(100)
    starts = model.group_starts.reset(env)
    assert (starts[:4] == starts[0]).all()
    assert (starts[4:] == starts[4]).all()
    assert (starts[0] != starts[4]).any()


def test_what_is_shared_is_said():
    env = TokenWorldVecEnv(2)
    assert env.get_attr("n_tokens") == [5, 5]
    assert env.env_method("responses")[0].shape[1] == 4
    with pytest.raises(NotImplementedError, match="cannot call 'step'"):
        env.env_method("step", 0)
    with pytest.raises(NotImplementedError, match="cannot set 'task'"):
        env.set_attr("task", None)


def test_bad_arguments_and_actions_are_named():
    with pytest.raises(ValueError, match="num_envs must be a whole number, at least 1, got 0"):
        TokenWorldVecEnv(0)
    with pytest.raises(ValueError, match="max_episode_steps must be a whole number, at least 1, got 0"):
        TokenWorldVecEnv(1, max_episode_steps=0)
    env = TokenWorldVecEnv(2)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(np.array([0, 0]))
    env.reset()
    with pytest.raises(ValueError, match="environment 1: the tokens are 0 to 4, got 5"):
        env.step(np.array([0, 5]))
    with pytest.raises(ValueError, match="needs 2 integers"):
        env.step(np.array([0.0, 0.0]))
