"""Overestimation against returns by hand, and against a known Q*."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_dqn import KINDS, build, chase
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.dqn import ExactOverestimation
from sb3_ext.dqn.overestimation import EpisodeTracker, overestimation


def test_the_tracker_knows_where_episodes_stand():
    tracker = EpisodeTracker(2)
    ends = [(0, 0), (1, 0), (0, 0), (1, 1), (0, 1)]
    for row, ended in enumerate(ends):
        tracker.step(np.array(ended, bool), row)
    found = {episode.env: (episode.last_row, episode.length) for episode in tracker.take(100)}
    assert found == {0: (3, 2), 1: (4, 1)}
    assert tracker.take(100) == []


def test_episodes_that_are_overwritten_are_left_out():
    tracker = EpisodeTracker(1)
    for row in range(6):
        tracker.step(np.array([row == 3]), row % 5)  # an episode of 4 steps, 2 steps after it
    assert [episode.length for episode in tracker.take(6)] == [4]
    tracker = EpisodeTracker(1)
    for row in range(6):
        tracker.step(np.array([row == 3]), row % 5)
    assert tracker.take(5) == []


def test_a_reset_starts_an_episode():
    tracker = EpisodeTracker(1)
    tracker.step(np.array([False]), 0)
    tracker.forget()
    tracker.step(np.array([True]), 1)
    assert tracker.take(10)[0].length == 1


class Five(gym.Env):
    """Five steps that pay 1, 2, 4, 8 and 16; then the end, or a time limit."""

    def __init__(self, truncates=False, observation="vector"):
        box = spaces.Box(-9, 9, (1,), np.float32)
        self.observation_space = spaces.Dict({"x": box}) if observation == "dict" else box
        self.action_space, self.truncates, self.as_dict = spaces.Discrete(2), truncates, observation == "dict"

    def _observe(self):
        found = np.array([self.t], np.float32)
        return {"x": found} if self.as_dict else found

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._observe(), {}

    def step(self, action):
        reward, self.t = 2.0**self.t, self.t + 1
        ended = self.t == 5
        return self._observe(), reward, ended and not self.truncates, ended and self.truncates, {}


RETURNS = [1 + 1 + 1 + 1 + 1, 2 + 2 + 2 + 2, 4 + 4 + 4, 8 + 8, 16]  # gamma 0.5: R 1, 2, 4, ... discounted


@pytest.mark.parametrize("observation", ["vector", "dict"])
@pytest.mark.parametrize("truncates", [False, True])
@pytest.mark.parametrize("switch", [None, "prioritized", "distributional", "noisy"])
def test_by_hand(switch, truncates, observation):
    options = {switch: True} if switch else {}
    kind = "dict" if observation == "dict" else "vector"
    model = build(Five(truncates, observation), kind=kind, gamma=0.5, learning_starts=10**6, **options).learn(12)
    (episode,) = model._tracker.take(100)
    assert (episode.last_row, episode.length) == (9, 5)
    found = overestimation(model.q_net, model.replay_buffer, episode, 0.5)

    def q(t):
        tensor = th.tensor([[float(t)]])
        return model.q_net({"x": tensor} if kind == "dict" else tensor).detach().numpy()[0]

    actions = model.replay_buffer.actions[5:10, 0, 0]
    tail = q(5).max() if truncates else 0.0
    expected = np.mean([q(t)[a] - (RETURNS[t] + 0.5 ** (5 - t) * tail) for t, a in enumerate(actions)])
    assert found == pytest.approx(expected, rel=1e-5)


def test_with_normalized_rewards():
    model = build(VecNormalize(chase()), learning_starts=10**6).learn(100)
    episode = model._tracker.take(100)[0]
    found = overestimation(model.q_net, model.replay_buffer, episode, 0.99, model.get_vec_normalize_env())
    assert np.isfinite(found)
    assert found != overestimation(model.q_net, model.replay_buffer, episode, 0.99)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_logged(kind):
    model, seen = build(chase(kind), kind=kind), {}
    model.set_logger(Logger(None, []))
    model.logger.dump = lambda step: seen.update(model.logger.name_to_value)
    model.learn(60, log_interval=1)
    assert np.isfinite(seen["train/overestimation"])


def test_against_a_known_q():
    q_star = np.array([[1.0, 2.0], [0.0, -1.0]])
    states = np.array([[0.0], [1.0]], np.float32)
    callback = ExactOverestimation(states, q_star, every=10)
    model = build(Five(), gamma=0.5).learn(50, callback)
    values = model.q_net(th.tensor(states)).detach().numpy()
    assert callback.measure() == pytest.approx((values - q_star).mean(), rel=1e-5)
    assert callback.timesteps == [1, 11, 21, 31, 41, 51]
    assert len(callback.overestimations) == 6


def test_states_of_a_tabular_world():
    class Table(Five):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Discrete(6)

        def _observe(self):
            return self.t

    callback = ExactOverestimation(np.arange(6), np.zeros((6, 2)), every=10)
    build(Table()).learn(60, callback)
    assert np.isfinite(callback.overestimations).all()


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"q_star must be \[n_states, n_actions\] for 3 states, got \(2, 4\)"):
        ExactOverestimation(np.arange(3), np.zeros((2, 4)))
