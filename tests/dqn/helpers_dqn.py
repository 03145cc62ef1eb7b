"""Small environments and models for the tests of ``sb3_ext.dqn``."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.env_util import make_vec_env

from sb3_ext.dqn import RainbowDQN

LONG = 10**9  # a log interval that leaves the values in the logger
SMALL = {"buffer_size": 300, "learning_starts": 40, "target_update_interval": 60, "learning_rate": 1e-3,
         "exploration_fraction": 0.5, "seed": 3, "device": "cpu"}  # fmt: skip
KINDS = {"vector": "MlpPolicy", "dict": "MultiInputPolicy", "image": "CnnPolicy"}
SWITCHES = {
    "double": {"double": True},
    "dueling": {"dueling": True},
    "prioritized": {"prioritized": True},
    "noisy": {"noisy": True},
    "distributional": {"distributional": True},
    "n_steps": {"n_steps": 3},
    "no replay": {"replay": False},
    "no target network": {"target_network": False},
    "all": {"double": True, "dueling": True, "prioritized": True, "noisy": True, "distributional": True, "n_steps": 3},
}


class Chase(gym.Env):
    """The reward is how near the action is to what the observation says; ends by chance, or is cut off by a limit."""

    def __init__(self, kind="vector", p_end=0.05):
        self.action_space = spaces.Discrete(3)
        box, self.kind, self.p_end = spaces.Box(-2.0, 2.0, (3,), np.float32), kind, p_end
        image = spaces.Box(0, 255, (1, 36, 36), np.uint8)
        self.observation_space = {"vector": box, "image": image,
                                  "dict": spaces.Dict({"a": box, "b": spaces.Discrete(3)})}[kind]  # fmt: skip

    def _observe(self):
        self.state = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        if self.kind == "image":
            return self.np_random.integers(0, 256, (1, 36, 36), np.uint8)
        return {"a": self.state, "b": int(self.np_random.integers(3))} if self.kind == "dict" else self.state

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        reward = -abs(float(action) - 3 * float(self.state.sum())) / 10
        return self._observe(), reward, bool(self.np_random.random() < self.p_end), False, {}


class Counter(gym.Env):
    """Observations count on: 0, 1, 2, ..., over all episodes; the reward is the number that was left."""

    def __init__(self, first=0.0, lengths=(3, 5, 1, 7), as_dict=False):
        self.action_space, self.as_dict = spaces.Discrete(2), as_dict
        box = spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.observation_space = spaces.Dict({"x": box}) if as_dict else box
        self.number, self.lengths, self.episode, self.t = first - 1, lengths, -1, 0

    def _observe(self):
        self.number += 1
        observation = np.array([self.number])
        return {"x": observation} if self.as_dict else observation

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._observe(), {}

    def step(self, action):
        reward, self.t = self.number, self.t + 1
        ended = self.t == self.lengths[self.episode % len(self.lengths)]
        return self._observe(), reward, ended, False, {}


def chase(kind="vector", n_envs=2):
    """Monitored environments that are often cut off: after 10 steps."""
    return make_vec_env(lambda: TimeLimit(Chase(kind), 10), n_envs, seed=0)


def build(env=None, cls=RainbowDQN, kind="vector", **kwargs):
    """A small model."""
    env = chase(kind) if env is None else env
    policy_kwargs = {"net_arch": [16], **kwargs.pop("policy_kwargs", {})}
    if kind == "image":
        policy_kwargs.setdefault("features_extractor_kwargs", {"features_dim": 16})
    policy = kwargs.pop("policy", KINDS[kind])
    return cls(policy, env, **{**SMALL, "policy_kwargs": policy_kwargs, **kwargs})


def parameters(model):
    """All parameters of the policy as one vector, target network included."""
    return np.concatenate([value.detach().numpy().ravel() for value in model.policy.state_dict().values()])
