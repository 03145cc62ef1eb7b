"""GRPO as an SB3 algorithm: spaces, policies, save and load, repetition, wrong input."""

import math

import numpy as np
import pytest
from gymnasium import spaces
from helpers_grpo import Deaf, Endless, Ragged, parameters, ragged, small, vec
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.vec_env import SubprocVecEnv, VecNormalize

from sb3_ext import GRPO
from sb3_ext.grpo import ActorPolicy
from sb3_ext.vec_env import make_vec_env

SPACES = {
    "Discrete": spaces.Discrete(3),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2),
    "Box": spaces.Box(-1.0, 1.0, (2,)),
    "Box of a matrix": spaces.Box(-2.0, 3.0, (2, 2)),
}


@pytest.mark.parametrize("space", SPACES)
def test_every_action_space_of_ppo(space):
    model = small(ragged(4, action_space=SPACES[space]))
    before = parameters(model)
    model.learn(100)
    assert not np.array_equal(before, parameters(model))
    evaluate_policy(model, ragged(1, action_space=SPACES[space]), 2)


@pytest.mark.parametrize(("policy", "observation"), [("CnnPolicy", "image"), ("MultiInputPolicy", "dict")])
def test_images_and_dicts(policy, observation, tmp_path):
    model = small(ragged(4, observation=observation), policy, policy_kwargs={}, kl_coef=0.1)
    model.learn(40)
    model.save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", ragged(4, observation=observation))
    np.testing.assert_array_equal(parameters(model), parameters(loaded))


def test_there_is_no_critic():
    model = small(ragged(4))
    assert isinstance(model.policy, ActorPolicy)
    assert not [name for name, _ in model.policy.named_parameters() if "value" in name or "vf" in name]
    assert small(ragged(4), policy_kwargs={"net_arch": {"pi": [8], "vf": [99]}}).learn(20)
    assert small(ragged(4), ActorCriticPolicy).learn(20).num_timesteps >= 20


def test_defaults_take_one_environment():
    model = GRPO("MlpPolicy", "CartPole-v1", n_groups=1, seed=0).learn(100)
    assert model.logger.name_to_value["rollout/episodes"] == 8


def test_save_and_load_keep_policy_and_reference(tmp_path):
    model = small(ragged(4), kl_coef=0.1, reference_update_interval=3).learn(200)
    model.save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", ragged(4))
    np.testing.assert_array_equal(parameters(model), parameters(loaded))
    for mine, theirs in zip(model.reference.parameters(), loaded.reference.parameters(), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    assert loaded.learn(100, reset_num_timesteps=False).num_timesteps > model.num_timesteps
    assert GRPO.load(tmp_path / "model").predict(np.zeros(2, np.float32)) is not None


def test_the_same_seed_gives_the_same_run():
    runs = [parameters(small(ragged(4), n_minibatches=2, seed=seed).learn(300)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.slow
def test_environments_in_processes_give_the_same_run():
    makes = [lambda i=i: Ragged([i + 1]) for i in range(4)]
    runs = []
    for env in (vec(*makes), SubprocVecEnv(makes, start_method="spawn")):
        runs.append(parameters(small(env).learn(100)))
        env.close()
    np.testing.assert_array_equal(*runs)


def test_sb3_s_callbacks_normalisation_and_progress_bar(tmp_path):
    env = VecNormalize(make_vec_env("CartPole-v1", 8))
    evaluation = EvalCallback(VecNormalize(make_vec_env("CartPole-v1", 8), training=False), eval_freq=50, verbose=0)
    checkpoints = CheckpointCallback(100, str(tmp_path))
    model = GRPO("MlpPolicy", env, group_size=4, tensorboard_log=str(tmp_path / "tb"))
    model.learn(2000, callback=[evaluation, checkpoints], progress_bar=True, log_interval=1)
    assert list(tmp_path.glob("*.zip"))
    assert list((tmp_path / "tb" / "GRPO_1").iterdir())
    assert evaluation.last_mean_reward > 0


def test_every_logged_key_is_documented():
    model = small(ragged(4, action_space=SPACES["Box"]), kl_coef=0.1).learn(100)
    ours = {key for key in model.logger.name_to_value if not key.startswith("time/")}
    undocumented = {key for key in ours if key not in GRPO.__doc__} - {"rollout/ep_rew_mean", "rollout/ep_len_mean"}
    assert undocumented == set()
    assert {"train/kl", "train/clip_fraction", "rollout/zero_variance_fraction"} <= ours


# ---- Wrong input -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"group_size": 1}, "group_size must be a whole number, at least 2, got 1"),
        ({"group_size": 2.5}, "group_size must be a whole number"),
        ({"group_size": 3}, "4 environments do not divide into groups of 3"),
        ({"n_groups": 0}, "n_groups must be a whole number, at least 1"),
        ({"n_epochs": 0}, "n_epochs must be"),
        ({"n_minibatches": 5}, "n_minibatches=5 is more than the 4 episodes"),
        ({"loss_type": "ppo"}, "loss_type must be one of .*'dr_grpo'.* got 'ppo'"),
        ({"ratio": "token"}, "ratio must be one of"),
        ({"supervision": "both"}, "supervision must be one of"),
        ({"scale_rewards": True}, "scale_rewards must be one of"),
        ({"kl_in": "both"}, "kl_in must be one of"),
        ({"group_start": "none"}, "group_start must be one of .*'unmatched'"),
        ({"transition_noise": "none"}, "transition_noise must be one of"),
        ({"clip_range": -0.1}, "clip_range must be 0 or more, got -0.1"),
        ({"clip_range_high": -0.1}, "clip_range_high must be 0 or more"),
        ({"clip_range": math.nan}, "clip_range must be 0 or more, got nan"),
        ({"kl_coef": -1.0}, "kl_coef must be 0 or more"),
        ({"reference_mixture": 0.0}, r"reference_mixture must lie in \(0, 1\]"),
        ({"reference_update_interval": 0}, "reference_update_interval must be"),
        ({"gamma": 1.1}, "gamma must lie in"),
        ({"max_grad_norm": 0}, "max_grad_norm must be above 0"),
        ({"max_episode_steps": 0}, "max_episode_steps must be"),
    ],
    ids=str,
)
def test_arguments_that_make_no_sense(wrong, message):
    with pytest.raises(ValueError, match=message):
        small(ragged(4), **wrong)


def test_episodes_without_end():
    model = small(vec(Endless, Endless), max_episode_steps=20)
    with pytest.raises(ValueError, match=r"environment 0 has played 20 steps without an end.*TimeLimit"):
        model.learn(100)


def test_the_time_limit_is_the_environment_s_own():
    assert GRPO("MlpPolicy", make_vec_env("CartPole-v1", 8)).max_episode_steps == 500
    assert small(ragged(4)).max_episode_steps == 10_000


def test_numbers_that_are_not_finite():
    model = small(vec(Endless, lambda: Endless(broken=3)))
    before = parameters(model)
    with pytest.raises(ValueError, match="environment 1 gave the reward nan"):
        model.learn(100)
    np.testing.assert_array_equal(before, parameters(model))


def test_environments_that_ignore_seeds():
    model = small(vec(*[lambda: Deaf([3])] * 4))
    with pytest.raises(ValueError, match=r"does not follow its seed.*group_start='unmatched'"):
        model.learn(100)
    assert small(vec(*[lambda: Deaf([3])] * 4), group_start="unmatched").learn(100).num_timesteps >= 100


def test_actions_that_do_not_start_at_0():
    with pytest.raises(ValueError, match="GRPO counts from 0"):
        small(ragged(4, action_space=spaces.Discrete(2, start=1)))
