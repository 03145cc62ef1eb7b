"""Each switch does what it says, alone and with the others; life with SB3's tools; what is refused."""

import re
import warnings

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_dqn import LONG, SWITCHES, Chase, build, chase, parameters
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback, EvalCallback
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize
from torch.nn import functional as F

import sb3_ext
from sb3_ext import ALGOS
from sb3_ext.common.distributional import categorical_losses, categorical_targets
from sb3_ext.common.td_losses import double_dqn_targets, dqn_targets
from sb3_ext.dqn import C51, DoubleDQN, DuelingDQN, ExactOverestimation, NoisyDQN, PrioritizedDQN, Rainbow, RainbowDQN

PRESETS = {
    "double_dqn": (DoubleDQN, {"double": True}),
    "dueling_dqn": (DuelingDQN, {"dueling": True}),
    "per_dqn": (PrioritizedDQN, {"prioritized": True}),
    "noisy_dqn": (NoisyDQN, {"noisy": True}),
    "c51": (C51, {"distributional": True}),
    "rainbow": (Rainbow, {**SWITCHES["all"], "alpha": 0.5}),
}


class Gradients(BaseCallback):
    """Keeps what goes into every gradient step."""

    def __init__(self, model):
        super().__init__()
        self.batches, buffer = [], model.replay_buffer
        sample, gather = buffer.sample, buffer.gather if hasattr(buffer, "gather") else None

        def kept(batch):
            self.batches.append(batch)
            return batch

        if model.replay:
            buffer.sample = lambda *args, **kwargs: kept(sample(*args, **kwargs))
        else:
            buffer.gather = lambda *args: kept(gather(*args))

    def _on_step(self):
        return True


def played(n=120, **kwargs):
    """A model with a filled buffer, its networks apart."""
    model = build(learning_starts=10**6, **kwargs).learn(n, log_interval=LONG)
    with th.no_grad():
        for weights in model.q_net_target.parameters():
            weights.add_(0.3 * th.randn_like(weights))
    return model


# ---- What is learned


@pytest.mark.parametrize("target_network", [True, False])
@pytest.mark.parametrize("double", [True, False])
def test_targets(double, target_network):
    model = played(double=double, target_network=target_network, n_steps=2)
    batch = model.replay_buffer.sample(20)
    q_values, losses, errors = model._losses(batch)
    with th.no_grad():
        online = model.q_net(batch.next_observations)
        target = model.q_net_target(batch.next_observations) if target_network else online
        columns = [column.flatten() for column in (batch.rewards, batch.discounts)]
        inputs = (*columns, target, batch.dones.flatten())
        targets = double_dqn_targets(*inputs, online) if double else dqn_targets(*inputs)
        expected = model.q_net(batch.observations)[th.arange(20), batch.actions.flatten()]
    th.testing.assert_close(q_values, expected)
    th.testing.assert_close(errors, targets - expected)
    th.testing.assert_close(losses, F.smooth_l1_loss(expected, targets, reduction="none"))


@pytest.mark.parametrize("target_network", [True, False])
@pytest.mark.parametrize("double", [True, False])
def test_targets_of_distributions(double, target_network):
    model = played(double=double, target_network=target_network, n_steps=2, distributional=True, v_min=-5, v_max=1.0)
    batch = model.replay_buffer.sample(20)
    q_values, losses, errors = model._categorical_losses(batch)
    with th.no_grad():
        atoms, own = th.linspace(-5, 1, 51), model.q_net.logits(batch.next_observations).softmax(-1)
        target = model.q_net_target.logits(batch.next_observations).softmax(-1) if target_network else own
        columns = [column.flatten() for column in (batch.rewards, batch.discounts, batch.dones)]
        targets = categorical_targets(columns[0], columns[1], target, columns[2], atoms, own if double else None)
        chosen = model.q_net.logits(batch.observations)[th.arange(20), batch.actions.flatten()]
    th.testing.assert_close(losses, categorical_losses(chosen.log_softmax(-1), targets))
    th.testing.assert_close(errors, losses)
    th.testing.assert_close(q_values, chosen.softmax(-1) @ atoms)


def test_one_gradient_step_of_prioritized_replay():
    """The loss is weighed, and what was drawn gets its new error as priority."""
    model = played(prioritized=True, alpha=1.0, beta=0.3)
    reference = played(prioritized=True, alpha=1.0, beta=0.3)
    reference.policy.load_state_dict(model.policy.state_dict())
    buffer = model.replay_buffer
    buffer.update_priorities(np.arange(100), np.random.default_rng(0).random(100))
    spy = Gradients(model)
    model.policy.optimizer = th.optim.SGD(model.q_net.parameters(), lr=0.1)
    reference.policy.optimizer = th.optim.SGD(reference.q_net.parameters(), lr=0.1)
    model._current_progress_remaining = 0.5
    model.learning_rate, model.lr_schedule = 0.1, lambda _: 0.1
    model.train(1, 16)
    (batch,) = spy.batches
    assert buffer.beta == pytest.approx(0.65)
    assert len(np.unique(batch.weights)) > 4
    values, losses, errors = reference._losses(batch)
    (losses * batch.weights).mean().backward()
    th.nn.utils.clip_grad_norm_(reference.q_net.parameters(), model.max_grad_norm)
    reference.policy.optimizer.step()
    np.testing.assert_allclose(parameters(model), parameters(reference), atol=1e-6)
    last = dict(zip(batch.leaves.tolist(), np.abs(errors.detach().numpy()) + 1e-6, strict=True))
    for leaf, priority in last.items():
        assert buffer._tree.values[leaf] == pytest.approx(priority, rel=1e-3)
    assert model.logger.name_to_value["train/loss"] == pytest.approx((losses * batch.weights).mean().item(), rel=1e-5)
    assert model.logger.name_to_value["train/q_mean"] == pytest.approx(values.mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"train_freq": 4},
        {"train_freq": 4, "gradient_steps": 3},
        {"train_freq": 1},
        {"train_freq": 2, "gradient_steps": -1},
        {"train_freq": 4, "n_steps": 3},
    ],
)
@pytest.mark.parametrize("kind", ["vector", "dict"])
def test_without_replay_every_step_is_learned_from_once(options, kind):
    """... from the first rollout after learning_starts on, in order."""
    model = build(chase(kind, 2), kind=kind, replay=False, learning_starts=0, **options)
    played, spy = [], Gradients(model)
    add = model.replay_buffer.add

    def added(obs, next_obs, action, *rest):
        parts = obs["a"] if kind == "dict" else obs
        played.extend(part[0] for part in parts)
        add(obs, next_obs, action, *rest)

    model.replay_buffer.add = added
    model.learn(80, spy)
    parts = [batch.observations["a"] if kind == "dict" else batch.observations for batch in spy.batches]
    learned = th.cat(parts)[:, 0].numpy()
    np.testing.assert_allclose(learned, played[: len(learned)])
    assert len(learned) > 70
    assert model._n_updates == len(spy.batches)


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_changes_what_is_learned(name):
    fast = {"gradient_steps": 4, "learning_rate": 1e-2}
    plain, switched = build(**fast), build(**fast, **SWITCHES[name])
    for model in (plain, switched):
        model.set_random_seed(3)
        model.learn(200, log_interval=LONG)
    a, b = parameters(plain), parameters(switched)
    assert np.isfinite(b).all()
    assert a.shape != b.shape or not np.array_equal(a, b)


class Corridor(gym.Env):
    """Five cells; the right end pays 1, the left one 0.1: three steps of the discount decide."""

    def __init__(self):
        self.observation_space, self.action_space = spaces.Box(0, 1, (5,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.cell = 2
        return np.eye(5, dtype=np.float32)[2], {}

    def step(self, action):
        self.cell += 1 if action else -1
        reward = {0: 0.1, 4: 1.0}.get(self.cell, 0.0)
        return np.eye(5, dtype=np.float32)[self.cell], reward, self.cell in (0, 4), False, {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SWITCHES)
def test_everything_learns_a_corridor(name):
    """Q(middle, right) = gamma, Q(middle, left) = 0.1 gamma or less than by turning round."""
    settings = {
        "learning_rate": 5e-3,
        "gamma": 0.8,
        "learning_starts": 100,
        "train_freq": 1,
        "v_min": 0.0,
        "v_max": 1.0,
    }
    model = build(Corridor(), **settings, target_update_interval=20, exploration_final_eps=0.3, **SWITCHES[name])
    model.learn(1500)
    q_values = model.q_net(th.eye(5)[1:4]).detach().numpy()
    assert (q_values.argmax(axis=1) == 1).all()
    assert q_values[1, 1] == pytest.approx(0.8, abs=0.15)
    assert q_values[2, 1] == pytest.approx(1.0, abs=0.15)


class Endless(gym.Env):
    """Every step pays 1, for ever; only a time limit, of one step, cuts it off."""

    observation_space, action_space = spaces.Box(-1, 1, (1,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 1.0, False, True, {}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_time_limit_is_no_end(name):
    """With gamma 0.5 a state is worth 2; taken for an end it would be worth 1."""
    settings = {"gamma": 0.5, "learning_rate": 1e-2, "train_freq": 1, "target_update_interval": 5}
    model = build(Endless(), **settings, v_min=0.0, v_max=4.0, **SWITCHES[name]).learn(400)
    assert model.q_net(th.zeros(1, 1)).max().item() == pytest.approx(2.0, abs=0.2)


# ---- Life with SB3's tools


@pytest.mark.parametrize(("name", "kind"), [*((name, "vector") for name in SWITCHES), ("all", "dict"), ("all", "image"),
                                            ("n_steps", "dict"), ("no replay", "dict")])  # fmt: skip
def test_save_and_load(name, kind, tmp_path):
    model = build(chase(kind), kind=kind, **SWITCHES[name]).learn(60)
    model.save(tmp_path / "model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = RainbowDQN.load(tmp_path / "model", chase(kind, 1))
    np.testing.assert_array_equal(parameters(model), parameters(loaded))
    observations = chase(kind, 4).reset()
    for each in (model, loaded):
        assert each.predict(observations, deterministic=True)[0].shape == (4,)
    np.testing.assert_array_equal(*(each.predict(observations, deterministic=True)[0] for each in (model, loaded)))
    assert type(loaded.replay_buffer) is type(model.replay_buffer)
    assert loaded.n_steps == model.n_steps
    assert loaded.learn(50, reset_num_timesteps=False).num_timesteps >= 110
    RainbowDQN.load(tmp_path / "model").predict(observations)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_the_switches_they_are_named_after(name):
    cls, switches = PRESETS[name]
    assert ALGOS[name] is cls
    model, plain = build(cls=cls), build()
    changed = {key for key in vars(plain) if isinstance(vars(plain)[key], bool | int | float)
               and vars(plain)[key] != vars(model)[key]}  # fmt: skip
    assert changed - {"_n_updates", "start_time", "exploration_rate"} == set(switches)
    assert all(getattr(model, key) == value for key, value in switches.items())
    assert build(cls=cls, double=False).double is False


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_loads_what_it_saved(name, tmp_path):
    cls, _ = PRESETS[name]
    model = build(cls=cls, n_steps=2).learn(60)
    model.save(tmp_path / "model")
    loaded = cls.load(tmp_path / "model")
    np.testing.assert_array_equal(parameters(model), parameters(loaded))
    assert loaded.n_steps == 2


def test_the_same_seed_gives_the_same_run():
    runs = []
    for seed in (1, 1, 2):
        model = build(chase(), seed=seed, **SWITCHES["all"])
        runs.append(parameters(model.learn(200)))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.slow
def test_environments_in_processes_give_the_same_run():
    runs = []
    for vec_env, options in ((DummyVecEnv, {}), (SubprocVecEnv, {"start_method": "spawn"})):
        env = vec_env([lambda: gym.make("CartPole-v1")] * 2, **options)
        env.seed(0)
        runs.append(parameters(build(env, v_max=100.0, **SWITCHES["all"]).learn(200)))
        env.close()
    np.testing.assert_array_equal(*runs)


def test_callbacks_normalisation_and_progress_bar(tmp_path):
    env = VecNormalize(chase())
    evaluation = EvalCallback(VecNormalize(chase(), training=False), eval_freq=50, n_eval_episodes=3, verbose=0)
    checkpoints = CheckpointCallback(50, str(tmp_path), save_replay_buffer=True, save_vecnormalize=True)
    model = build(env, tensorboard_log=str(tmp_path / "tb"), v_min=-100.0, **SWITCHES["all"])
    model.learn(240, callback=[evaluation, checkpoints], progress_bar=True, log_interval=1)
    assert len(list(tmp_path.glob("*.zip"))) == 2
    assert list((tmp_path / "tb" / "RainbowDQN_1").iterdir())
    assert np.isfinite(evaluation.last_mean_reward)


def test_the_environment_of_these_tests_is_sound():
    check_env(Chase())
    check_env(Chase("dict"))


def test_public_names():
    assert sb3_ext.RainbowDQN is RainbowDQN
    assert issubclass(RainbowDQN, DQN)


# ---- Log


OF_SB3 = {"rollout/ep_rew_mean", "rollout/ep_len_mean"}


class Keys(KVWriter):
    """A logger's output that only remembers."""

    def __init__(self):
        self.found = {}

    def write(self, key_values, key_excluded, step=0):
        self.found |= key_values

    def close(self):
        pass


def test_every_key_logged_is_documented_and_every_key_documented_is_logged():
    found = {}
    for switches in ({}, *SWITCHES.values()):
        model, keys = build(**switches), Keys()
        model.set_logger(Logger(None, [keys]))
        callback = ExactOverestimation(np.zeros((2, 3), np.float32), np.zeros((2, 3)), 50)
        model.learn(200, callback, log_interval=2)
        found |= keys.found
    ours = {key for key in found if not key.startswith("time/")} - OF_SB3
    assert ours == set(re.findall(r"``((?:train|rollout)/\w+)``", RainbowDQN.__doc__))
    assert all(np.isfinite(value) for value in found.values())


# ---- Bad input


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"alpha": 1.1}, r"alpha must lie in \[0, 1\], got 1.1"),
        ({"alpha": -0.1}, r"alpha must lie in \[0, 1\], got -0.1"),
        ({"beta": 2}, r"beta must lie in \[0, 1\], got 2"),
        ({"beta": float("nan")}, r"beta must lie in \[0, 1\], got nan"),
        ({"v_min": 10, "v_max": 10}, "v_min must lie below v_max, both finite, got v_min=10 and v_max=10"),
        ({"v_min": 11}, "v_min must lie below v_max, both finite, got v_min=11 and v_max=10.0"),
        ({"n_atoms": 1}, "n_atoms must be a whole number, at least 2, got 1"),
        ({"buffer_size": 20}, "buffer_size=20 is smaller than batch_size=32"),
        ({"buffer_size": 20, "prioritized": True}, "buffer_size=20 is smaller than batch_size=32"),
        ({"buffer_size": 40, "n_steps": 21}, "holds 20 steps of each of 2 environments, fewer than n_steps=21"),
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"prioritized": True, "replay": False}, "nothing to draw from with replay=False"),
        ({"prioritized": True, "replay_buffer_class": ReplayBuffer}, "leave out replay_buffer_class=ReplayBuffer"),
        ({"replay": False, "replay_buffer_class": ReplayBuffer}, "replay=False brings its own buffer"),
        (
            {"policy": DQN.policy_aliases["MlpPolicy"], "noisy": True},
            "noisy=True needs a policy of sb3_ext.dqn, got",
        ),
    ],
)
def test_bad_input(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**kwargs)


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 2]), spaces.Discrete(3, start=1)])
def test_other_actions_are_refused(space):
    env = Chase()
    env.action_space = space
    with pytest.raises((ValueError, AssertionError), match=r"only supports .*Discrete|counts actions from 0, got"):
        build(env, cls=Rainbow)


@pytest.mark.parametrize("changed", [{"double": False}, {"dueling": False}, {"n_atoms": 21}, {"v_max": 11.0},
                                     {"prioritized": False}, {"n_steps": 2}, {"noisy": False}])  # fmt: skip
def test_loading_with_other_switches_is_refused(changed, tmp_path):
    build(cls=Rainbow).save(tmp_path / "model")
    ((name, value),) = changed.items()
    with pytest.raises(ValueError, match=rf"saved with {name}=.* and cannot be loaded with {name}={value}; train a"):
        Rainbow.load(tmp_path / "model", **changed)


def test_loading_another_preset_s_model_is_refused(tmp_path):
    build(cls=DoubleDQN).save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"saved by DoubleDQN, .* load it with DoubleDQN.load, or with RainbowDQN"):
        DuelingDQN.load(tmp_path / "model")
    assert RainbowDQN.load(tmp_path / "model").double


def test_what_is_not_a_switch_may_change_on_loading(tmp_path):
    build(cls=Rainbow).save(tmp_path / "model")
    assert Rainbow.load(tmp_path / "model", learning_starts=7, beta=0.5).beta == 0.5


@pytest.mark.parametrize(("v_min", "v_max"), [(-10.0, -0.5), (0.5, 10.0)])
def test_returns_outside_the_support_are_warned_of_once(v_min, v_max):
    model = build(distributional=True, v_min=v_min, v_max=v_max)
    with pytest.warns(
        UserWarning, match=rf"was -?\d.*outside of \[v_min, v_max\] = \[{v_min:g}, {v_max:g}\]"
    ) as caught:
        model.learn(300)
    assert len(caught) == 1


def test_a_reward_outside_the_support_is_warned_of_before_an_episode_ends():
    model = build(Endless(), distributional=True, v_min=-1.0, v_max=0.5, learning_starts=4)
    model._returns[:] = -1e9  # so that the episode's own sum cannot be what warns
    model._warn_of_support = lambda what, number: warnings.warn(what, stacklevel=1)
    with pytest.warns(UserWarning, match="reward"):
        model.learn(20)


def test_returns_within_the_support_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(distributional=True, v_min=-20.0, v_max=0.0).learn(300)
