"""``DoctorCallback``: it changes nothing, works with every algorithm, says each thing once, and in time."""

from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.algos import TABLE, load
from sb3_ext.envs import RewardTerms
from sb3_ext.envs.wrappers.reward_hacking import ForgetfulProgress, RewardHacking, forgetful_corridor
from sb3_ext.tabular import QLearning
from sb3_ext.zoo.doctor import DoctorCallback
from sb3_ext.zoo.doctor.environment_faults import BrokenReward
from sb3_ext.zoo.doctor.ladder_settings import SETTINGS
from sb3_ext.zoo.doctor.worlds import MatchState

OFF_POLICY = {"learning_starts": 50, "buffer_size": 1_000, "batch_size": 16}
LEARNERS = {
    "ppo": (PPO, "CartPole-v1", {"n_steps": 64}),
    "a2c": (A2C, "CartPole-v1", {}),
    "dqn": (DQN, "CartPole-v1", OFF_POLICY),
    "sac": (SAC, "Pendulum-v1", OFF_POLICY),
    "td3": (TD3, "Pendulum-v1", OFF_POLICY),
}


def trained(name, callback, n_timesteps=150):
    algorithm, env_id, settings = LEARNERS[name]
    arguments = {"policy_kwargs": {"net_arch": [16]}, "seed": 0, "device": "cpu", **settings}
    return algorithm("MlpPolicy", env_id, **arguments).learn(n_timesteps, callback=callback)


def small(algo, **others):
    """Any algorithm, in the smallest world."""
    setting = SETTINGS[algo]
    env = make_vec_env(
        MatchState, setting.n_envs, seed=0, env_kwargs={"actions": setting.actions, "tabular": setting.tabular}
    )
    arguments = {"policy": setting.policy, "seed": 0, "device": "cpu", **deepcopy(setting.arguments), **others}
    return load(algo)(env=env, **arguments)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_training_is_the_same_without_it(name):
    with_it, without = trained(name, DoctorCallback(0)), trained(name, None)
    drawn = np.random.random(), th.rand(1).item()  # noqa: NPY002  (what SB3 draws from)
    again = trained(name, None)
    assert (np.random.random(), th.rand(1).item()) == drawn  # noqa: NPY002
    for one, other in ((with_it, without), (again, without)):
        for name_, value in one.policy.state_dict().items():
            assert th.equal(value, other.policy.state_dict()[name_]), name_


@pytest.mark.parametrize("algo", TABLE)
def test_it_watches_every_algorithm(algo):
    doctor = DoctorCallback(0)
    small(algo).learn(200, callback=doctor)
    assert len(doctor.record.values("episode/return")) >= 20
    if SETTINGS[algo].tabular:
        return
    assert doctor.record.values("doctor/step").max() > 0
    assert doctor.record.values("doctor/observations").max() == pytest.approx(1)
    assert algo == "ars" or doctor.record.values("doctor/gradient").max() > 0


def test_every_algorithm_has_a_setting():
    assert set(SETTINGS) == set(TABLE)


@pytest.mark.parametrize("algo", ["dqn", "qrdqn", "c51", "sac", "td3", "tqc", "crossq"])
def test_it_sees_the_values_of_every_critic(algo):
    doctor = DoctorCallback(0)
    buffer = small(algo, learning_starts=20).learn(150, callback=doctor).replay_buffer
    record = doctor.record
    assert record.values("doctor/values").max() > 0
    assert record.values("doctor/largest_reward")[-1] == np.abs(buffer.rewards[: buffer.size()]).max()
    assert not record.values("doctor/truncations").any()
    assert ("doctor/target_step" in record) == (algo != "crossq")


def test_the_tabular_algorithms_stay_compiled():
    doctor = DoctorCallback(0)
    QLearning("TabularPolicy", "FrozenLake-v1", engine="compiled", seed=0).learn(20_000, callback=doctor)
    assert doctor.record.n_timesteps == 20_000
    assert len(doctor.record.values("episode/return")) > 200


def test_it_looks_a_hundred_times():
    doctor = DoctorCallback(0)
    trained("dqn", doctor, 1_000)
    assert 100 <= len(doctor.record.values("doctor/observations")) <= 102


def test_a_training_that_breaks_off_has_been_commented(capsys):
    doctor = DoctorCallback()
    model = PPO("MlpPolicy", BrokenReward(gym.make("CartPole-v1"), every=50), n_steps=64, n_epochs=1, device="cpu")
    with pytest.raises(ValueError, match="nan"):
        model.learn(512, callback=doctor)
    assert [finding.sign for finding in doctor.findings] == ["NaN"]
    assert "step 50" in capsys.readouterr().out


def test_each_finding_is_printed_once_in_two_lines(capsys):
    env = make_vec_env("CartPole-v1", 1, seed=0)
    doctor = DoctorCallback()
    PPO("MlpPolicy", env, n_steps=32, n_epochs=1, learning_rate=1.0, seed=0, device="cpu").learn(640, callback=doctor)
    shown = capsys.readouterr().out
    assert shown.count("steps too large: ") == 1
    assert len(shown.splitlines()) == 2 * len(doctor.findings)
    assert len({finding.sign for finding in doctor.findings}) == len(doctor.findings)


def test_verbose_0_prints_nothing(capsys):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, learning_rate=1.0, seed=0, device="cpu")
    model.learn(128, callback=DoctorCallback(0))
    assert capsys.readouterr().out == ""


def test_another_training_begins_anew_and_a_longer_one_goes_on():
    doctor = DoctorCallback(0)
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, n_epochs=1, learning_rate=1.0, seed=0, device="cpu")
    model.learn(128, callback=doctor)
    assert doctor.findings != []
    n_points = len(doctor.record.values("doctor/step"))
    model.learn(128, callback=doctor, reset_num_timesteps=False)
    assert doctor.record.last_step == 256
    assert len(doctor.record.values("doctor/step")) > n_points
    PPO("MlpPolicy", "CartPole-v1", n_steps=32, n_epochs=1, seed=0, device="cpu").learn(128, callback=doctor)
    assert doctor.record.last_step == 128
    assert doctor.findings == []


@pytest.mark.parametrize("inside", [False, True], ids=["wrapper inside Monitor", "outside"])
def test_raw_and_shaped_returns_are_noted(inside):
    if inside:
        env = make_vec_env(lambda: RewardTerms(forgetful_corridor()), 2)
    else:
        env = make_vec_env(lambda: TimeLimit(RewardHacking(), 20), 2, wrapper_class=ForgetfulProgress)
    doctor = DoctorCallback(0)
    A2C("MlpPolicy", env, seed=0, device="cpu").learn(400, callback=doctor)
    raw, shaped = (doctor.record.values(f"episode/{name}_return") for name in ("raw", "shaped"))
    assert len(raw) == len(shaped) >= 8
    assert (shaped >= raw).all()
    assert (shaped > raw).any()


def test_normalised_and_dict_observations_are_understood():
    space = gym.spaces.Dict({"seen": gym.make("CartPole-v1").observation_space})
    env = make_vec_env(
        lambda: gym.wrappers.TransformObservation(gym.make("CartPole-v1"), lambda seen: {"seen": seen}, space), 2
    )
    for algorithm, settings in ((PPO, {"n_steps": 32}), (DQN, {"learning_starts": 20, "buffer_size": 500})):
        doctor = DoctorCallback(0)
        model = algorithm("MultiInputPolicy", VecNormalize(env), seed=0, device="cpu", **settings)
        model.learn(200, callback=doctor)
        assert doctor.record.values("doctor/rewards").max() > 0
        assert "NaN" not in [finding.sign for finding in doctor.findings]


class BonusAtTheEnd(gym.Wrapper):
    """Pays for a fall, outside of Monitor."""

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, float(reward) + 10.0 * terminated, terminated, truncated, info


def test_what_is_paid_outside_of_monitor_is_told_apart_from_what_is_meant():
    doctor = DoctorCallback(0)
    env = BonusAtTheEnd(Monitor(gym.make("CartPole-v1")))
    PPO("MlpPolicy", env, n_steps=64, seed=0, device="cpu").learn(512, callback=doctor)
    raw, shaped = doctor.record.values("episode/raw_return"), doctor.record.values("episode/shaped_return")
    assert len(raw) >= 10
    np.testing.assert_allclose(shaped - raw, 10)


def test_where_both_are_the_same_nothing_is_noted():
    doctor = DoctorCallback(0)
    trained("ppo", doctor, 512)
    assert "episode/raw_return" not in doctor.record


def test_steps_too_large_are_told_before_the_training_dies_of_them():
    doctor = DoctorCallback(0)
    with pytest.raises(ValueError, match="satisfy the constraint"):
        SAC("MlpPolicy", "Pendulum-v1", learning_rate=0.3, seed=0, device="cpu").learn(2_000, callback=doctor)
    assert "steps too large" in [finding.sign for finding in doctor.findings]
