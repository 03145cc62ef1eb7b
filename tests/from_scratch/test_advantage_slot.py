"""``advantage=`` of A2CScratch and PPOScratch."""

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env

from sb3_ext.common import generalized_advantage_estimation
from sb3_ext.from_scratch import A2CScratch, DQNScratch, PPOScratch


def gae(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
    discounts = gamma * (1.0 - terminated)
    return generalized_advantage_estimation(rewards, discounts, values, next_values, terminated | truncated, gae_lambda)


def cartpole(limit):
    return make_vec_env("CartPole-v1", 3, seed=0, wrapper_class=lambda env: gym.wrappers.TimeLimit(env, limit))


@pytest.mark.parametrize("limit", [15, 500])
@pytest.mark.parametrize("algorithm", [A2CScratch, PPOScratch])
def test_our_gae_in_the_slot_learns_the_same(algorithm, limit):
    def learned(**slot):
        model = algorithm("MlpPolicy", cartpole(limit), n_steps=32, gamma=0.9, gae_lambda=0.8, seed=0, **slot)
        before = th.nn.utils.parameters_to_vector(model.policy.parameters()).detach()
        after = th.nn.utils.parameters_to_vector(model.learn(96 * 4).policy.parameters()).detach()
        assert (before != after).any()
        return after

    assert th.allclose(learned(), learned(advantage=gae), atol=1e-5)


def test_the_function_sees_what_happened():
    calls = []

    def look(rewards, values, next_values, terminated, truncated, gamma, gae_lambda):
        calls.append((rewards, values, next_values, terminated, truncated))
        assert (gamma, gae_lambda) == (0.99, 0.95)
        return np.zeros_like(rewards)

    model = PPOScratch("MlpPolicy", cartpole(9), n_steps=64, n_epochs=1, seed=0, advantage=look).learn(64 * 3)
    assert len(calls) == 3
    for rewards, values, next_values, terminated, truncated in calls:
        np.testing.assert_allclose(rewards, 1, atol=1e-6)  # without the value that SB3 adds where time ran out
        assert truncated.any()
        assert not (terminated & truncated).any()
        ends = terminated | truncated
        assert (next_values[:-1] == values[1:])[~ends[:-1]].all()
        assert (next_values[:-1] != values[1:])[ends[:-1]].all()  # the state reached, not the one after the reset
    assert (model.rollout_buffer.returns == model.rollout_buffer.values).all()


def test_dict_observations():
    class Dicts(gym.ObservationWrapper):
        def __init__(self, env):
            super().__init__(env)
            self.observation_space = gym.spaces.Dict({"state": env.observation_space})

        def observation(self, observation):
            return {"state": observation}

    env = make_vec_env("CartPole-v1", 2, wrapper_class=Dicts)
    model = PPOScratch("MultiInputPolicy", env, n_steps=32, advantage=gae).learn(64)
    assert model.num_timesteps == 64


def test_a_wrong_function_is_named():
    def wrong(rewards, *_):
        return rewards[:-1]

    with pytest.raises(ValueError, match=r"wrong returned the shape \(4,\), expected \(5,\)"):
        A2CScratch("MlpPolicy", "CartPole-v1", advantage=wrong).learn(10)


def test_saved_and_loaded(tmp_path):
    def rewards_alone(rewards, *_):  # local: saved with its code
        return rewards

    A2CScratch("MlpPolicy", "CartPole-v1", advantage=rewards_alone).learn(10).save(tmp_path / "model")
    loaded = A2CScratch.load(tmp_path / "model", env=gym.make("CartPole-v1"))
    assert loaded.advantage(3, 4) == 3
    loaded.learn(10)


@pytest.mark.parametrize(
    ("algorithm", "slot", "function", "says"),
    [
        (PPOScratch, "loss", lambda log_probs, *_: log_probs, r"the shape \(5,\), expected \(\)"),
        (PPOScratch, "loss", lambda log_probs, *_: log_probs.detach().mean(), "no gradient"),
        (A2CScratch, "loss", lambda *_: None, "not a tensor"),
        (A2CScratch, "loss", lambda log_probs, _: log_probs.mean() * th.nan, "not finite"),
        (DQNScratch, "target", lambda rewards, *_: rewards * th.nan, "not finite"),
        (DQNScratch, "target", lambda rewards, *_: rewards.numpy(), "not a tensor"),
        (DQNScratch, "target", lambda rewards, *_: rewards.mean(), r"expected \(4,\)"),
    ],
    ids=["vector", "detached", "nothing", "nan loss", "nan target", "array", "mean"],
)
def test_what_is_no_loss_or_target_is_named(algorithm, slot, function, says):
    sizes = {PPOScratch: {"n_steps": 5, "batch_size": 5}, A2CScratch: {}, DQNScratch: {"batch_size": 4}}[algorithm]
    if algorithm is DQNScratch:
        sizes |= {"buffer_size": 100, "learning_starts": 5}
    with pytest.raises(ValueError, match=says):
        algorithm("MlpPolicy", "CartPole-v1", **sizes, **{slot: function}).learn(20)


def test_a_fifth_parameter_with_a_default_stays_the_functions_own():
    def scaled(rewards, gamma, next_q_values, terminated, scale=1.0):
        return scale * rewards

    settings = {"buffer_size": 100, "learning_starts": 5, "target": scaled}
    assert DQNScratch("MlpPolicy", "CartPole-v1", **settings).learn(20).num_timesteps == 20
