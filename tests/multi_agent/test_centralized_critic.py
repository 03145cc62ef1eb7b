"""The critic sees the state, the actor only its own observation."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_ext.multi_agent import CentralizedCriticPolicy


class Guess(gym.Env):
    """The reward is the hidden half of the state, whatever the action: only a critic that sees it can foretell it."""

    observation_space = gym.spaces.Dict(observation=gym.spaces.Box(-1, 1, (2,)), state=gym.spaces.Box(-1, 1, (4,)))
    action_space = gym.spaces.Discrete(3)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 4).astype(np.float32)
        return {"observation": self.state[:2], "state": self.state}, {}

    def step(self, action):
        return {"observation": self.state[:2], "state": self.state}, float(self.state[3]), True, False, {}


def trained(algorithm=PPO, n_timesteps=256, **kwargs):
    kwargs = {"n_steps": 32, **kwargs}
    env = make_vec_env(Guess, n_envs=4, seed=0)
    return algorithm(CentralizedCriticPolicy, env, seed=0, **kwargs).learn(n_timesteps)


def seen(model, observation, state):
    """Action probabilities, and the value."""
    tensors = {"observation": torch.tensor([observation]), "state": torch.tensor([state])}
    with torch.no_grad():
        return model.policy.get_distribution(tensors).distribution.probs[0], model.policy.predict_values(tensors).item()


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_the_state_moves_the_value_and_never_the_actor(algorithm):
    model = trained(algorithm)
    here, there = (seen(model, [0.5, -0.5], state) for state in ([0.5, -0.5, 1.0, 1.0], [0.5, -0.5, -1.0, -1.0]))
    assert torch.equal(here[0], there[0])
    assert here[1] != there[1]
    assert not torch.equal(here[0], seen(model, [-0.9, 0.9], [0.5, -0.5, 1.0, 1.0])[0])


def test_the_critic_learns_what_only_the_state_tells():
    model = trained(n_timesteps=20_000, learning_rate=3e-3, ent_coef=0.0)
    values = [seen(model, [0.0, 0.0], [0.0, 0.0, 0.0, hidden])[1] for hidden in (-0.8, 0.0, 0.8)]
    np.testing.assert_allclose(values, [-0.8, 0.0, 0.8], atol=0.15)


def test_acting_needs_no_state():
    model = trained()
    own = np.array([0.3, -0.3], np.float32)
    with_state, _ = model.predict({"observation": own, "state": np.ones(4, np.float32)}, deterministic=True)
    without, _ = model.predict({"observation": own}, deterministic=True)
    alone, _ = model.predict(own, deterministic=True)
    assert with_state == without == alone
    assert model.predict(np.stack([own] * 5))[0].shape == (5,)


def test_save_and_load(tmp_path):
    model = trained(policy_kwargs={"net_arch": {"pi": [8], "vf": [16, 16]}})
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model")
    for one, other in zip(model.policy.parameters(), loaded.policy.parameters(), strict=True):
        assert torch.equal(one, other)
    assert [layer.out_features for layer in loaded.policy.mlp_extractor.value_net if hasattr(layer, "bias")] == [16, 16]


def test_every_parameter_is_trained():
    """The networks that SB3 made before ours must not be left over."""
    model = trained(n_timesteps=128)
    registered = {id(parameter) for group in model.policy.optimizer.param_groups for parameter in group["params"]}
    assert registered == {id(parameter) for parameter in model.policy.parameters()}
    assert model.policy.mlp_extractor.policy_net[0].in_features == 2
    assert model.policy.mlp_extractor.value_net[0].in_features == 6


def test_other_observations_are_refused():
    with pytest.raises(ValueError, match="needs a Dict observation with the keys 'observation' and 'state'"):
        PPO(CentralizedCriticPolicy, "CartPole-v1")


def test_the_two_cannot_share_features():
    with pytest.raises(ValueError, match="cannot share"):
        PPO(CentralizedCriticPolicy, make_vec_env(Guess), policy_kwargs={"share_features_extractor": True})
