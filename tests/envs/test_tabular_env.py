"""TabularEnv plays exactly what its TabularMDP says."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from sb3_ext.envs import TabularEnv
from sb3_ext.tabular import TabularMDP

FROZEN_LAKE = TabularMDP.from_env(gym.make("FrozenLake-v1"))


def test_both_checkers_pass():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(TabularEnv(FROZEN_LAKE), skip_render_check=True)
        sb3_check_env(TabularEnv(FROZEN_LAKE))


def test_frequencies_are_the_probabilities():
    mdp = TabularMDP.from_arrays(
        next_state=[[[0, 1, 2, 0]], [[1, 1, 1, 1]], [[2, 2, 2, 2]]],
        reward=[[[0.0, 1.0, 2.0, 9.0]], [[0.0] * 4], [[0.0] * 4]],
        terminated=[[[False, True, True, True]], [[True] * 4], [[True] * 4]],
        probability=[[[0.5, 0.3, 0.2, 0.0]], [[1.0, 0, 0, 0]], [[1.0, 0, 0, 0]]],
        start=[1.0, 0.0, 0.0],
    )
    env, n_steps = TabularEnv(mdp), 20_000
    env.reset(seed=0)
    rewards = []
    for _ in range(n_steps):
        state, reward, terminated, truncated, info = env.step(0)
        assert (state, terminated) == {0.0: (0, False), 1.0: (1, True), 2.0: (2, True)}[reward]
        assert (truncated, info) == (False, {})
        rewards.append(int(reward))
        if terminated:
            env.reset()
    chances = np.array([0.5, 0.3, 0.2])
    deviation = np.bincount(rewards) - n_steps * chances
    assert (np.abs(deviation) < 5 * np.sqrt(n_steps * chances * (1 - chances))).all()


def test_starts_follow_their_distribution():
    mdp = TabularMDP.from_arrays([[0], [1], [2]], 0.0, True, start=[0.2, 0.0, 0.8])
    env = TabularEnv(mdp)
    env.reset(seed=0)
    starts = np.bincount([env.reset()[0] for _ in range(5000)], minlength=3)
    assert starts[1] == 0
    assert abs(starts[0] - 1000) < 5 * np.sqrt(5000 * 0.2 * 0.8)


def test_an_outcome_beyond_rounding_is_never_drawn():
    tenths = np.full((1, 1, 11), 0.1)
    tenths[..., 10] = 0.0  # ten times 0.1 is a little less than 1
    env = TabularEnv(TabularMDP.from_arrays(np.zeros((1, 1, 11), dtype=int), np.arange(11.0), False, tenths))
    env.reset(seed=0)

    class AlmostOne:
        def random(self):
            return np.nextafter(1.0, 0.0)

    env.np_random = AlmostOne()
    assert env.step(0)[1] == 9.0


def test_misuse_is_refused():
    env = TabularEnv(FROZEN_LAKE)
    with pytest.raises(RuntimeError, match=r"call reset\(\)"):
        env.step(0)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="the actions are 0 to 3, got 4"):
        env.step(4)
