"""PPO, A2C and DQN from scratch learn what SB3's learn, accept what they accept, and are short."""

import ast
import inspect
import io
import sys
import tokenize
import types
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch as th
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext import from_scratch
from sb3_ext.common.actor_critic_losses import a2c_policy_loss, ppo_policy_loss
from sb3_ext.common.advantages import generalized_advantage_estimation
from sb3_ext.common.clipped_losses import importance_ratios
from sb3_ext.common.td_losses import double_dqn_targets, dqn_targets, td_loss, td_target
from sb3_ext.from_scratch import A2CScratch, DQNScratch, PPOScratch

SB3_OF = {A2CScratch: sb3.A2C, PPOScratch: sb3.PPO, DQNScratch: sb3.DQN}
SLOT_OF = {A2CScratch: "loss", PPOScratch: "loss", DQNScratch: "target"}
LONG = 10**9  # a log interval that leaves the values in the logger

SMALL = {
    A2CScratch: {"n_steps": 8},
    PPOScratch: {"n_steps": 32, "batch_size": 16, "n_epochs": 3},
    DQNScratch: {"buffer_size": 500, "learning_starts": 40, "target_update_interval": 60, "learning_rate": 1e-3,
                 "exploration_fraction": 0.5},
}  # fmt: skip


class Chase(gym.Env):
    """The reward is how near the action is to what the observation says; ends by chance, or is cut off by a limit."""

    def __init__(self, action_space: spaces.Space, as_dict: bool = False):
        self.action_space = action_space
        box = spaces.Box(-2.0, 2.0, (3,), np.float32)
        self.as_dict = as_dict
        self.observation_space = spaces.Dict({"a": box, "b": spaces.Discrete(3)}) if as_dict else box

    def _observe(self):
        self.state = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return {"a": self.state, "b": int(self.np_random.integers(3))} if self.as_dict else self.state

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._observe(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        reward = -abs(float(np.sum(action)) - 3 * float(self.state.sum()))
        return self._observe(), reward, bool(self.np_random.random() < 0.05), False, {}


ACTIONS = {
    "Discrete": spaces.Discrete(3),
    "Box": spaces.Box(-1.0, 2.0, (2,), np.float32),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2),
}


def chase(actions="Discrete", n_envs=2, as_dict=False):
    """Monitored environments that are often cut off: after 10 steps."""
    return make_vec_env(lambda: TimeLimit(Chase(ACTIONS[actions], as_dict), 10), n_envs, seed=0)


class Recorder(BaseCallback):
    """The parameters at every step."""

    def __init__(self):
        super().__init__()
        self.parameters = []

    def _on_step(self):
        self.parameters.append(parameters(self.model))
        return True


def parameters(model):
    """All parameters and statistics of the policy as one vector, target network included."""
    return np.concatenate([value.detach().double().numpy().ravel() for value in model.policy.state_dict().values()])


def build(algorithm, env, policy="MlpPolicy", **kwargs):
    policy_kwargs = {"net_arch": [16], **kwargs.pop("policy_kwargs", {})}
    small = SMALL.get(algorithm) or SMALL[next(ours for ours, theirs in SB3_OF.items() if theirs is algorithm)]
    return algorithm(policy, env, **{**small, "policy_kwargs": policy_kwargs, "seed": 3, "device": "cpu", **kwargs})


def learned(model, total):
    """What a training leaves: parameters step by step, the optimiser, the log."""
    recorder = Recorder()
    model.set_random_seed(3)
    model.learn(total, recorder, log_interval=LONG)
    train = {key: value for key, value in model.logger.name_to_value.items() if not key.startswith("time/")}
    return np.array(recorder.parameters), model, train


def assert_learns_the_same(ours, theirs, total):
    """Parameters at every step of the training, moments of the optimiser, log, number of updates, buffer."""
    parameters_of_ours, ours, log_of_ours = learned(ours, total)
    parameters_of_theirs, theirs, log_of_theirs = learned(theirs, total)
    assert len(np.unique(parameters_of_theirs, axis=0)) > 3  # several updates
    np.testing.assert_allclose(parameters_of_ours, parameters_of_theirs, rtol=0, atol=1e-6)
    np.testing.assert_allclose(parameters(ours), parameters(theirs), rtol=0, atol=1e-6)
    assert ours._n_updates == theirs._n_updates > 0
    assert ours.num_timesteps == theirs.num_timesteps
    assert log_of_ours.keys() == log_of_theirs.keys()
    for key, value in log_of_theirs.items():
        assert log_of_ours[key] == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True), key
    for found, expected in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert (found.grad is None) == (expected.grad is None)
        if found.grad is not None:  # of the last gradient step
            np.testing.assert_allclose(found.grad.numpy(), expected.grad.numpy(), rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------------------------------------- the same as SB3's

PPO_OPTIONS = {
    "defaults": {},
    "clipped value": {"clip_range_vf": 0.05},
    "schedules": {"learning_rate": lambda p: 1e-3 * p, "clip_range": lambda p: 0.3 * p, "clip_range_vf": lambda p: p},
    "plain advantages": {"normalize_advantage": False, "gae_lambda": 0.5, "gamma": 0.9},
    "entropy and value": {"ent_coef": 0.05, "vf_coef": 1.5},
    "tight gradients": {"max_grad_norm": 1e-3},
    "loose gradients, large steps": {"max_grad_norm": 100.0, "learning_rate": 0.01, "clip_range": 0.05},
    "a last minibatch of one": {"n_steps": 33, "batch_size": 13},
    "sgd": {"policy_kwargs": {"optimizer_class": th.optim.SGD}, "learning_rate": 0.1},
}
A2C_OPTIONS = {
    "defaults": {},
    "adam": {"use_rms_prop": False},
    "another epsilon": {"rms_prop_eps": 0.1},
    "policy_kwargs have priority": {"policy_kwargs": {"optimizer_class": th.optim.SGD}},
    "normalized": {"normalize_advantage": True, "gae_lambda": 0.9},
    "entropy and value": {"ent_coef": 0.05, "vf_coef": 1.5, "gamma": 0.9},
    "tight gradients": {"max_grad_norm": 1e-3},
    "schedule": {"learning_rate": lambda p: 1e-2 * p},
}


class BatchNorm(BaseFeaturesExtractor):
    """Statistics that the target network has to get."""

    def __init__(self, observation_space):
        super().__init__(observation_space, 3)
        self.norm = th.nn.BatchNorm1d(3)

    def forward(self, observations):
        return self.norm(observations)


DQN_OPTIONS = {
    "defaults": {},
    "three gradient steps": {"gradient_steps": 3},
    "as many gradient steps as steps": {"gradient_steps": -1, "train_freq": 3},
    "episodes": {"train_freq": (1, "episode")},
    "three-step returns": {"n_steps": 3},
    "soft target": {"tau": 0.1, "target_update_interval": 1},
    "tight gradients": {"max_grad_norm": 1e-3, "gamma": 0.5},
    "exploration": {"exploration_initial_eps": 0.5, "exploration_final_eps": 0.2, "exploration_fraction": 0.9},
    "batch norm": {"policy_kwargs": {"features_extractor_class": BatchNorm}},
    "time limits as ends": {"replay_buffer_kwargs": {"handle_timeout_termination": False}},
    "little memory": {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}},
    "another buffer": {"replay_buffer_class": ReplayBuffer},
    "schedule": {"learning_rate": lambda p: 1e-2 * p},
}


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize("actions", ["Discrete", "Box"])
@pytest.mark.parametrize("options", PPO_OPTIONS)
def test_ppo_learns_what_sb3_s_learns(options, actions):
    models = (build(algorithm, chase(actions), **PPO_OPTIONS[options]) for algorithm in (PPOScratch, sb3.PPO))
    assert_learns_the_same(*models, 320)


@pytest.mark.parametrize("actions", ["Discrete", "Box"])
def test_ppo_stops_early_where_sb3_s_does(actions):
    ours, theirs = (
        build(algorithm, chase(actions), target_kl=2e-3, learning_rate=3e-3, n_epochs=10)
        for algorithm in (PPOScratch, sb3.PPO)
    )
    assert_learns_the_same(ours, theirs, 300)
    assert 5 < ours._n_updates < 50  # of five rollouts, each of up to ten epochs


@pytest.mark.parametrize("actions", ["Discrete", "Box"])
@pytest.mark.parametrize("options", A2C_OPTIONS)
def test_a2c_learns_what_sb3_s_learns(options, actions):
    models = (build(algorithm, chase(actions), **A2C_OPTIONS[options]) for algorithm in (A2CScratch, sb3.A2C))
    assert_learns_the_same(*models, 300)


@pytest.mark.filterwarnings("ignore:The number of environments used is greater")
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("options", DQN_OPTIONS)
def test_dqn_learns_what_sb3_s_learns(options, n_envs):
    if options == "episodes" and n_envs > 1:
        pytest.skip("SB3 counts episodes in one environment only")
    models = [build(algorithm, chase(n_envs=n_envs), **DQN_OPTIONS[options]) for algorithm in (DQNScratch, sb3.DQN)]
    assert_learns_the_same(*models, 400)
    for name in ("actions", "rewards", "dones", "observations"):
        found, expected = (getattr(model.replay_buffer, name) for model in models)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("actions", ["MultiDiscrete", "MultiBinary"])
@pytest.mark.parametrize("ours", [PPOScratch, A2CScratch])
def test_other_action_spaces(ours, actions):
    assert_learns_the_same(*(build(algorithm, chase(actions)) for algorithm in (ours, SB3_OF[ours])), 200)


@pytest.mark.parametrize("ours", SB3_OF)
def test_dict_observations(ours):
    models = (build(algorithm, chase(as_dict=True), "MultiInputPolicy") for algorithm in (ours, SB3_OF[ours]))
    assert_learns_the_same(*models, 200)


@pytest.mark.parametrize("ours", SB3_OF)
def test_vec_normalize(ours):
    assert_learns_the_same(*(build(algorithm, VecNormalize(chase())) for algorithm in (ours, SB3_OF[ours])), 200)


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("ours", [PPOScratch, A2CScratch])
def test_state_dependent_exploration(ours, squash):
    options = {"use_sde": True, "sde_sample_freq": 4, "policy_kwargs": {"squash_output": squash}}
    models = (build(algorithm, chase("Box"), **options) for algorithm in (ours, SB3_OF[ours]))
    assert_learns_the_same(*models, 200)


@pytest.mark.parametrize("ours", SB3_OF)
@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_defaults_on_classic_control(ours, env_id):
    if ours is DQNScratch and env_id == "Pendulum-v1":
        pytest.skip("DQN needs discrete actions")
    options = {"learning_starts": 100, "buffer_size": 10_000} if ours is DQNScratch else {}
    both = [
        algorithm("MlpPolicy", make_vec_env(env_id, 2, seed=0), seed=0, device="cpu", **options)
        for algorithm in (ours, SB3_OF[ours])
    ]
    total = 2 * 4096 if ours is PPOScratch else 1000
    for model in both:
        model.set_random_seed(0)
        model.learn(total, log_interval=LONG)
    np.testing.assert_allclose(parameters(both[0]), parameters(both[1]), rtol=0, atol=1e-6)


def test_an_entropy_without_a_closed_form_gets_its_right_gradient():
    """The one difference to SB3: the same value in the log, another gradient."""
    options = {"use_sde": True, "policy_kwargs": {"squash_output": True}, "ent_coef": 0.5}
    found = [learned(build(algorithm, chase("Box"), **options), 16) for algorithm in (A2CScratch, sb3.A2C)]
    assert found[0][2]["train/entropy_loss"] == pytest.approx(found[1][2]["train/entropy_loss"], rel=1e-5)
    assert not np.allclose(parameters(found[0][1]), parameters(found[1][1]), atol=1e-5)


class Advantages(BaseCallback):
    """At the end of each rollout, the buffer's advantages and those of the pure function."""

    def __init__(self):
        super().__init__()
        self.pairs, self.n_ends = [], 0

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        buffer, model = self.model.rollout_buffer, self.model
        ends = np.concatenate([buffer.episode_starts[1:], self.locals["dones"][None]]).astype(bool)
        next_values = np.concatenate([buffer.values[1:], self.locals["values"].numpy().T])
        discounts = model.gamma * ~ends  # also 0 where truncated: gamma V of the state reached is in the reward there
        found = generalized_advantage_estimation(
            buffer.rewards, discounts, buffer.values, next_values, ends, model.gae_lambda
        )
        self.pairs.append((found, buffer.advantages.copy()))
        self.n_ends += ends.sum()


@pytest.mark.parametrize("ours", [PPOScratch, A2CScratch])
def test_the_buffer_s_advantages_are_those_of_the_pure_function(ours):
    callback = Advantages()
    build(ours, chase(), gae_lambda=0.9, gamma=0.8).learn(256, callback)
    assert callback.n_ends > 20
    for found, expected in callback.pairs:
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_clip_range_never_falls_below_0():
    """The last rollout may end after total_timesteps, where a schedule that falls to 0 is negative."""
    options = {"clip_range": lambda p: 0.2 * p, "clip_range_vf": lambda p: p}
    model = build(PPOScratch, chase(), **options).learn(100, log_interval=LONG)
    assert model.num_timesteps == 128
    assert model.logger.name_to_value["train/clip_range"] == 0.0
    assert model.logger.name_to_value["train/clip_range_vf"] == 0.0


# ------------------------------------------------------------------------------------------------------- what goes in


@pytest.mark.parametrize("ours", SB3_OF)
def test_parameters_and_defaults_are_sb3_s(ours):
    theirs = inspect.signature(SB3_OF[ours]).parameters
    own = inspect.signature(ours).parameters
    bases = [inspect.signature(base).parameters for base in ours.__mro__[1:3]]  # for what goes there through **kwargs
    base = {name: parameter for parameters in reversed(bases) for name, parameter in parameters.items()}
    for name, parameter in theirs.items():
        assert (own.get(name) or base[name]).default == parameter.default, name
    assert set(own) - set(theirs) == {SLOT_OF[ours], "kwargs"}
    positional = [name for name, p in own.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == list(theirs)[: len(positional)]
    assert ours.policy_aliases == SB3_OF[ours].policy_aliases


@pytest.mark.parametrize("ours", SB3_OF)
def test_unknown_parameters_are_refused(ours):
    with pytest.raises(TypeError, match="batchsize"):
        ours("MlpPolicy", chase(), batchsize=3)


def test_action_spaces_are_checked():
    with pytest.raises(AssertionError, match=r"only supports .*Discrete.* as action spaces"):
        build(DQNScratch, chase("Box"))


def test_policy_kwargs_of_the_caller_stay_as_they_are():
    policy_kwargs = {"net_arch": [4]}
    A2CScratch("MlpPolicy", chase(), policy_kwargs=policy_kwargs)
    assert policy_kwargs == {"net_arch": [4]}


@pytest.mark.parametrize("ours", SB3_OF)
def test_init_setup_model(ours):
    model = build(ours, chase(), _init_setup_model=False)
    assert getattr(model, "policy", None) is None
    model._setup_model()
    model.learn(70)


# --------------------------------------------------------------------------------------------------------------- slots


def reinforce_with_ratios(log_probs, old_log_probs, advantages, clip_range):
    """Without a clip."""
    assert log_probs.shape == old_log_probs.shape == advantages.shape == (16,)
    assert clip_range == 0.2
    return -(importance_ratios(log_probs, old_log_probs) * advantages).mean()


def test_ppo_s_slot():
    """Unclipped, it is SB3's PPO with a range that never clips."""
    ours = build(PPOScratch, chase(), loss=reinforce_with_ratios, learning_rate=0.01)
    theirs = build(sb3.PPO, chase(), clip_range=1e9, learning_rate=0.01)
    np.testing.assert_allclose(*(learned(model, 200)[0] for model in (ours, theirs)), rtol=0, atol=1e-6)
    assert not np.allclose(parameters(build(PPOScratch, chase(), learning_rate=0.01).learn(200)), parameters(ours))


def test_a2c_s_slot():
    ours = build(A2CScratch, chase(), loss=lambda log_probs, advantages: 0.25 * a2c_policy_loss(log_probs, advantages))
    theirs = build(sb3.A2C, chase(), vf_coef=2.0, max_grad_norm=0.125)  # the same but for a factor of 4 in the loss
    theirs.max_grad_norm, ours.max_grad_norm, theirs.vf_coef, ours.vf_coef = 1e9, 1e9, 2.0, 0.5
    for model in (ours, theirs):
        model.policy.optimizer = th.optim.SGD(model.policy.parameters(), lr=1.0)
    ours.lr_schedule, theirs.lr_schedule = lambda _: 4e-3, lambda _: 1e-3
    np.testing.assert_allclose(*(learned(model, 200)[0] for model in (ours, theirs)), rtol=0, atol=1e-6)


def test_dqn_s_slot_gets_vectors():
    seen = []

    def my_target(rewards, gamma, next_values, terminated):
        seen.append((rewards.shape, gamma, next_values.shape, terminated.shape, set(terminated.tolist())))
        return td_target(rewards, gamma, next_values.max(dim=1).values, terminated)

    assert_learns_the_same(build(DQNScratch, chase(), target=my_target), build(sb3.DQN, chase()), 200)
    assert [case[:4] for case in seen] == [((32,), 0.99, (32, 3), (32,))] * len(seen)
    assert set().union(*(case[4] for case in seen)) == {0.0, 1.0}

    seen.clear()
    build(DQNScratch, chase(), target=my_target, n_steps=3).learn(60)
    assert {tuple(case[1].shape) for case in seen} == {(32,)}
    assert {round(gamma, 4) for case in seen for gamma in case[1].tolist()} <= {0.99, 0.9801, 0.9703}


class DoubleDQN(sb3.DQN):
    """SB3's, with its own expressions."""

    def train(self, gradient_steps, batch_size=100):
        for _ in range(gradient_steps):
            data = self.replay_buffer.sample(batch_size)
            with th.no_grad():
                actions = self.q_net(data.next_observations).max(dim=1, keepdim=True).indices
                next_q = self.q_net_target(data.next_observations).gather(1, actions)
                target = data.rewards + (1 - data.dones) * self.gamma * next_q
            loss = td_loss(self.q_net(data.observations).gather(1, data.actions.long()), target)
            self.policy.optimizer.zero_grad()
            loss.backward()
            th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()


def test_a_fifth_parameter_makes_it_double_dqn():
    options = {**SMALL[DQNScratch], "learning_rate": 0.02, "policy_kwargs": {"net_arch": [16]}, "seed": 3}
    double = [
        learned(DQNScratch("MlpPolicy", chase(), target=double_dqn_targets, **options), 400)[0],
        learned(DoubleDQN("MlpPolicy", chase(), **options), 400)[0],
    ]
    np.testing.assert_allclose(*double, rtol=0, atol=1e-6)
    single = learned(DQNScratch("MlpPolicy", chase(), **options), 400)[0]
    assert np.abs(double[0] - single).max() > 1e-3


# ----------------------------------------------------------------------------------------------------- life of a model


@pytest.mark.parametrize("ours", SB3_OF)
def test_save_load_and_go_on(ours, tmp_path):
    """The same predictions, the same optimiser; going on leads where SB3's leads from its own file."""
    after = []
    for algorithm in (ours, SB3_OF[ours]):
        model = build(algorithm, chase()).learn(150)
        model.save(tmp_path / "model")
        loaded = algorithm.load(tmp_path / "model", chase(), device="cpu")
        np.testing.assert_array_equal(parameters(model), parameters(loaded))
        observations = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
        found = [each.predict(observations, deterministic=True)[0] for each in (model, loaded)]
        np.testing.assert_array_equal(*found)
        saved, read = (each.policy.optimizer.state_dict()["state"] for each in (model, loaded))
        assert saved.keys() == read.keys() != set()
        assert (loaded.num_timesteps, loaded._n_updates) == (model.num_timesteps, model._n_updates)
        loaded.set_random_seed(7)
        loaded.learn(150, reset_num_timesteps=False)
        assert loaded.num_timesteps > model.num_timesteps
        after.append(parameters(loaded))
    np.testing.assert_allclose(*after, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ours", SB3_OF)
def test_load_keeps_every_argument_and_takes_others(ours, tmp_path):
    options = {"learning_rate": 0.5, "gamma": 0.3, "max_grad_norm": 0.25, **SMALL[ours]}
    build(ours, chase(), **options).save(tmp_path / "model")
    loaded = ours.load(tmp_path / "model", chase(n_envs=3))
    assert {name: getattr(loaded, name) for name in options if name != "train_freq"} == options
    assert loaded.n_envs == 3
    loaded.learn(150)
    assert ours.load(tmp_path / "model", gamma=0.7).gamma == 0.7
    if ours is PPOScratch:
        loaded = ours.load(tmp_path / "model", chase(), custom_objects={"clip_range": 0.05}).learn(
            64, log_interval=LONG
        )
        assert loaded.logger.name_to_value["train/clip_range"] == 0.05


def slot_functions(ours):
    """A default, a function of this module, and one that lives nowhere."""
    factor = 3.0
    if ours is A2CScratch:
        return a2c_policy_loss, lambda log_probs, advantages: factor * a2c_policy_loss(log_probs, advantages)
    if ours is PPOScratch:
        return ppo_policy_loss, lambda new, old, advantages, clip: factor * ppo_policy_loss(new, old, advantages, clip)
    return dqn_targets, lambda rewards, gamma, q, terminated: factor * dqn_targets(rewards, gamma, q, terminated)


@pytest.mark.parametrize("ours", SB3_OF)
def test_the_slot_survives_a_file(ours, tmp_path):
    slot = SLOT_OF[ours]
    default, closure = slot_functions(ours)
    assert getattr(build(ours, chase()), slot) is default
    build(ours, chase()).save(tmp_path / "model")
    assert getattr(ours.load(tmp_path / "model"), slot) is default

    model = build(ours, chase(), **{slot: closure}).learn(70)
    model.save(tmp_path / "model")
    loaded = ours.load(tmp_path / "model", chase())
    assert getattr(loaded, slot) is not closure
    arguments = [th.full((4,), 0.5), 0.9, th.full((4, 2), 0.5), th.zeros(4)] if ours is DQNScratch else [th.ones(4)] * 2
    arguments += [th.ones(4), 0.2] if ours is PPOScratch else []
    assert th.equal(getattr(loaded, slot)(*arguments), closure(*arguments))
    assert th.equal(getattr(loaded, slot)(*arguments), 3.0 * default(*arguments))
    loaded.learn(70)
    given = ours.load(tmp_path / "model", custom_objects={slot: default})
    assert getattr(given, slot) is default


def test_a_slot_whose_module_is_gone_has_to_be_given_again(tmp_path):
    module = types.ModuleType("a_module_that_goes")
    exec("def my_loss(log_probs, advantages): return -(log_probs * advantages).mean()", module.__dict__)
    sys.modules[module.__name__] = module
    try:
        build(A2CScratch, chase(), loss=module.my_loss).save(tmp_path / "model")
        assert A2CScratch.load(tmp_path / "model").loss is module.my_loss
    finally:
        del sys.modules[module.__name__]
    with pytest.raises(ModuleNotFoundError, match="a_module_that_goes"):
        A2CScratch.load(tmp_path / "model")
    loaded = A2CScratch.load(tmp_path / "model", chase(), custom_objects={"loss": a2c_policy_loss})
    assert loaded.learn(50).loss is a2c_policy_loss


@pytest.mark.parametrize("ours", SB3_OF)
def test_a_model_of_sb3_can_be_read_on(ours, tmp_path):
    build(SB3_OF[ours], chase()).learn(100).save(tmp_path / "model")
    after = []
    for algorithm in (ours, SB3_OF[ours]):
        model = algorithm.load(tmp_path / "model", chase(), device="cpu")
        model.set_random_seed(7)
        after.append(parameters(model.learn(100)))
    np.testing.assert_allclose(*after, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ours", SB3_OF)
def test_get_and_set_parameters(ours):
    model, other = build(ours, chase()).learn(100), build(ours, chase(), seed=8)
    other.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(parameters(model), parameters(other))


@pytest.mark.parametrize("ours", SB3_OF)
def test_callbacks(ours, tmp_path):
    evaluation = EvalCallback(chase(n_envs=1), n_eval_episodes=2, eval_freq=50, verbose=0,
                              best_model_save_path=str(tmp_path))  # fmt: skip
    build(ours, chase()).learn(200, [evaluation, CheckpointCallback(50, str(tmp_path), name_prefix="cp")])
    assert np.isfinite(evaluation.best_mean_reward)
    for name in ("best_model", "cp_100_steps"):
        ours.load(tmp_path / name).predict(np.zeros(3, np.float32))
    stopped = build(ours, chase()).learn(500, lambda locals_, _: locals_["self"].num_timesteps < 30)
    assert stopped.num_timesteps == 30


@pytest.mark.parametrize("ours", SB3_OF)
@pytest.mark.parametrize("positional", [False, True])
def test_learn_takes_what_sb3_s_takes(ours, positional, tmp_path):
    model = build(ours, chase())
    model.set_logger(configure(str(tmp_path), ["csv"]))
    if positional:
        assert model.learn(200, None, 1, "name", True, False) is model
    else:
        assert model.learn(total_timesteps=200, callback=None, log_interval=1, reset_num_timesteps=True) is model
    assert len((tmp_path / "progress.csv").read_text().splitlines()) > 2


def test_log_intervals_are_sb3_s():
    for ours, theirs in SB3_OF.items():
        found = inspect.signature(ours.learn).parameters["log_interval"].default
        assert found == inspect.signature(theirs.learn).parameters["log_interval"].default


# ----------------------------------------------------------------------------------------------------------------- DQN


class Watch(BaseCallback):
    """Whether the target network moved, and epsilon, at every step."""

    def __init__(self):
        super().__init__()
        self.moved, self.rates, self.target = [], [], None

    def _on_step(self):
        target = th.cat([p.flatten() for p in self.model.policy.q_net_target.parameters()])
        self.moved.append(self.target is not None and not th.equal(self.target, target))
        self.target = target
        self.rates.append(self.model.exploration_rate)
        return True


def test_target_network_and_exploration_follow_their_schedules():
    model = build(DQNScratch, chase(n_envs=1), learning_starts=0, exploration_fraction=0.5, target_update_interval=25)
    watch = Watch()
    model.learn(100, watch)
    assert [step for step, moved in enumerate(watch.moved) if moved] == [25, 50, 75]  # seen one step later
    np.testing.assert_allclose(watch.rates[1:], [max(1 - 0.95 * n / 50, 0.05) for n in range(1, 100)], atol=1e-9)
    assert model.exploration_rate == pytest.approx(0.05)


@pytest.mark.parametrize("as_dict", [False, True])
def test_predict_explores_unless_deterministic(as_dict):
    env = chase(n_envs=4, as_dict=as_dict)
    model, theirs = (build(a, env, "MultiInputPolicy" if as_dict else "MlpPolicy") for a in (DQNScratch, sb3.DQN))
    observations = env.reset()
    single = {key: value[0] for key, value in observations.items()} if as_dict else observations[0]
    for rate in (0.0, 0.5, 1.0):
        model.exploration_rate = theirs.exploration_rate = rate
        for observation, shape in ((observations, (4,)), (single, ())):
            actions = []
            for each in (model, theirs):
                each.set_random_seed(5)
                actions.append([each.predict(observation)[0] for _ in range(40)])
                actions.append([each.predict(observation, deterministic=True)[0] for _ in range(3)])
            ours, greedy, expected, expected_greedy = map(np.array, actions)
            assert ours.shape == (40, *shape)
            np.testing.assert_array_equal(ours, expected)
            np.testing.assert_array_equal(greedy, expected_greedy)
            assert (ours == greedy[0]).all() == (rate == 0)
            assert isinstance(model.predict(observation)[0], np.ndarray)


# --------------------------------------------------------------------------------------------------------------- short


def code_lines(source: str) -> int:
    """Lines that hold code: not blank, comment, docstring or import."""
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        is_text = (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = [t for t in tokenize.generate_tokens(io.StringIO(source).readline) if t.type not in quiet]
    return len({line for t in tokens for line in range(t.start[0], t.end[0] + 1)} - skipped)


def test_the_count_counts():
    imports, code = "import os  # c\nfrom a import (\n  b,\n)\n", 'x = [\n  1,\n\n  # c\n]\ny = """a\nb"""\n'
    source = f'"""Docs\n\nof a module."""\n\n{imports}\n\n# c\n{code}'
    assert code_lines(source) == 3 + 2


@pytest.mark.parametrize("ours", SB3_OF)
def test_modules_are_short_and_say_what_they_are_for(ours):
    source = Path(inspect.getfile(ours)).read_text()
    assert code_lines(source) <= 60
    name = SB3_OF[ours].__name__
    assert source.startswith(f'"""SB3\'s ``{name}`` is for work, this one is for reading')
    assert not issubclass(ours, SB3_OF[ours])
    assert "train" in vars(ours)
    assert "__init__" in vars(ours)


def test_public_names():
    assert {getattr(from_scratch, name) for name in from_scratch.__all__} == set(SB3_OF)
