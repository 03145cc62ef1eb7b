"""The table of algorithms tells the truth about every class in it."""

import subprocess
import sys
from inspect import signature

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_ext.algos import TABLE, load

ACTION_SPACES = {
    "Box": spaces.Box(-1, 1, (2,), np.float32),
    "Discrete": spaces.Discrete(3),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2),
}


class Idle(gym.Env):
    """Nothing happens here, for any action space."""

    def __init__(self, action_space, observation_space):
        self.action_space = action_space
        self.observation_space = observation_space
        self.nothing = np.zeros(observation_space.shape, observation_space.dtype)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.nothing, {}

    def step(self, action):
        return self.nothing, 0.0, True, False, {}

    def action_masks(self):
        return np.ones(5, dtype=bool)


@pytest.mark.parametrize("name", TABLE)
def test_action_spaces_and_policies_are_as_listed(name):
    algorithm = load(name)
    assert issubclass(algorithm, BaseAlgorithm)
    small = {"buffer_size": 100} if "buffer_size" in signature(algorithm.__init__).parameters else {}
    policy = next(iter(algorithm.policy_aliases))
    observations = spaces.Discrete(3) if policy == "TabularPolicy" else spaces.Box(-1, 1, (3,), np.float32)
    taken = set()
    for label, space in ACTION_SPACES.items():
        try:
            algorithm(policy, Idle(space, observations), device="cpu", **small)
        except (AssertionError, NotImplementedError, ValueError):
            continue
        taken.add(label)
    assert taken == set(TABLE[name].actions.split(", "))


def test_unknown_name_lists_the_choices():
    with pytest.raises(ValueError, match=r"no algorithm 'reinforc'; choose from reinforce, grpo, q_learning"):
        load("reinforc")


def test_covers_what_rl_zoo_knows():
    code = "import rl_zoo3; print(*rl_zoo3.ALGOS)"  # elsewhere: once imported, it replaces Gymnasium's TimeLimit
    names = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert {"ppo", "dqn"} <= set(names) <= set(TABLE)
