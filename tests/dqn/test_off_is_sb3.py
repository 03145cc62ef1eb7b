"""With all switches off, RainbowDQN is SB3's DQN: not nearly, but to the last bit."""

import inspect

import numpy as np
import pytest
import torch as th
from helpers_dqn import KINDS, LONG, build, chase, parameters
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.dqn import RainbowDQN, RainbowPolicy

MORE = {"train/q_mean", "train/overestimation"}


class BatchNorm(BaseFeaturesExtractor):
    """Statistics that the target network has to get."""

    def __init__(self, observation_space):
        super().__init__(observation_space, 3)
        self.norm = th.nn.BatchNorm1d(3)

    def forward(self, observations):
        return self.norm(observations)


OPTIONS = {
    "defaults": {},
    "gradient steps": {"gradient_steps": 3, "batch_size": 17},
    "as many gradient steps as steps": {"gradient_steps": -1, "train_freq": 3},
    "three-step returns": {"n_steps": 3},
    "soft target": {"tau": 0.1, "target_update_interval": 6},
    "tight gradients": {"max_grad_norm": 1e-3, "gamma": 0.5},
    "exploration": {"exploration_initial_eps": 0.5, "exploration_final_eps": 0.2},
    "batch norm": {"policy_kwargs": {"features_extractor_class": BatchNorm}},
    "time limits as ends": {"replay_buffer_kwargs": {"handle_timeout_termination": False}},
    "little memory": {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}},
    "a buffer of one's own": {"replay_buffer_class": ReplayBuffer},
    "schedule": {"learning_rate": lambda p: 1e-2 * p},
}


def assert_same(make_env, total=400, **kwargs):
    """Parameters, moments of the optimiser, buffer, log."""
    both = [build(make_env(), cls, **kwargs) for cls in (RainbowDQN, DQN)]
    for model in both:
        model.set_random_seed(3)
        model.learn(total, log_interval=LONG)
    ours, theirs = both
    assert ours._n_updates == theirs._n_updates > 10
    np.testing.assert_array_equal(parameters(ours), parameters(theirs))
    moments = [model.policy.optimizer.state_dict()["state"] for model in both]
    for mine, other in zip(moments[0].values(), moments[1].values(), strict=True):
        assert all(th.equal(mine[name], other[name]) for name in other)
    for name in ("actions", "rewards", "dones", "timeouts"):
        np.testing.assert_array_equal(getattr(ours.replay_buffer, name), getattr(theirs.replay_buffer, name))
    assert type(ours.replay_buffer) is type(theirs.replay_buffer)
    logs = [{k: v for k, v in model.logger.name_to_value.items() if not k.startswith("time/")} for model in both]
    assert {key: value for key, value in logs[0].items() if key not in MORE} == logs[1]
    assert ours.policy.state_dict().keys() == theirs.policy.state_dict().keys()
    return ours, theirs


@pytest.mark.filterwarnings("ignore:The number of environments used is greater")
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("options", OPTIONS)
def test_same_parameters_after_training(options, n_envs):
    kind = {"kind": "vector"}
    assert_same(lambda: chase(n_envs=n_envs), **kind, **OPTIONS[options])


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("kind", ["dict", "image"])
def test_same_parameters_after_training_on(kind, n_envs):
    assert_same(lambda: chase(kind, n_envs), 200, kind=kind)


def test_same_with_vec_normalize_and_whole_episodes():
    assert_same(lambda: VecNormalize(chase()))
    assert_same(lambda: chase(n_envs=1), train_freq=(1, "episode"))


@pytest.mark.filterwarnings("ignore:The last trajectory in the replay buffer")
@pytest.mark.parametrize("options", ["defaults", "little memory"])
def test_same_when_learn_is_called_again(options):
    both = [build(chase(), cls, **OPTIONS[options]) for cls in (RainbowDQN, DQN)]
    for model in both:
        model.set_random_seed(3)
        model.learn(150).learn(150)
    np.testing.assert_array_equal(*map(parameters, both))


def test_same_with_sb3_s_defaults():
    both = [cls("MlpPolicy", "CartPole-v1", seed=0, device="cpu", buffer_size=5000) for cls in (RainbowDQN, DQN)]
    for model in both:
        model.set_random_seed(0)
        model.learn(1500)
    np.testing.assert_array_equal(*map(parameters, both))


def test_the_log_s_diagnostics_change_nothing():
    """They read the buffer and the networks, at every episode's end."""
    quiet, talkative = (build() for _ in range(2))
    for model, log_interval in ((quiet, LONG), (talkative, 1)):
        model.set_random_seed(3)
        model.learn(300, log_interval=log_interval)
    np.testing.assert_array_equal(parameters(quiet), parameters(talkative))


def test_greedy_and_exploring_actions_are_sb3_s():
    ours, theirs = assert_same(chase)
    observations = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    for deterministic in (True, False):
        drawn = []
        for model in (ours, theirs):
            model.set_random_seed(5)
            drawn.append([model.predict(observations, deterministic=deterministic)[0] for _ in range(20)])
        np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_sb3_s_dqn_goes_on_here(kind, tmp_path):
    theirs = build(chase(kind), DQN, kind=kind).learn(100)
    theirs.save(tmp_path / "dqn")
    ours = RainbowDQN.load(tmp_path / "dqn", chase(kind))
    np.testing.assert_array_equal(parameters(ours), parameters(theirs))
    assert ours.learn(100, reset_num_timesteps=False).num_timesteps >= 200


def test_parameters_and_defaults_are_sb3_s():
    theirs, own = (inspect.signature(cls).parameters for cls in (DQN, RainbowDQN))
    shared = [name for name in own if name in theirs]
    assert {name: own[name].default for name in shared} == {name: theirs[name].default for name in shared}
    positional = [name for name, p in own.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == list(theirs)[: len(positional)]
    with pytest.raises(TypeError, match="batchsize"):
        build(batchsize=3)


def test_the_policy_alone_is_sb3_s(tmp_path):
    model = build()
    model.policy.save(tmp_path / "policy")
    loaded = RainbowPolicy.load(tmp_path / "policy")
    assert type(loaded.q_net) is type(build(cls=DQN).policy.q_net)
