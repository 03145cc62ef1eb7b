"""GRPO as an SB3 algorithm: spaces, policies, save and load, repetition, wrong input."""

import inspect
import math
import re

import numpy as np
import pytest
from gymnasium import spaces
from helpers_grpo import Deaf, Endless, Match, Ragged, parameters, play, ragged, script, scripted, small, vec
from stable_baselines3 import PPO
from stable_baselines3.common import callbacks as cb
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


def test_every_documented_key_is_logged():
    found = set()
    for action_space in ("Discrete", "Box"):
        model = small(ragged(4, action_space=SPACES[action_space]), kl_coef=0.1).learn(50)
        found |= set(model.logger.name_to_value)
        assert all(np.isfinite(value) for value in model.logger.name_to_value.values())
    assert set(re.findall(r"``((?:train|rollout)/\w+)``", GRPO.__doc__)) <= found


def test_tensorboard_has_a_point_for_each_update(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    small(vec(*[Match] * 4), tensorboard_log=str(tmp_path)).learn(60, log_interval=1)
    events = EventAccumulator(str(tmp_path / "GRPO_1"))
    events.Reload()
    assert {"rollout/zero_variance_fraction", "train/policy_loss", "time/fps"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("rollout/ep_rew_mean")] == list(range(12, 61, 12))


# ---- Save, load, go on -----------------------------------------------------------


def half(progress):
    return 0.5 * progress


EVERYTHING = {
    "learning_rate": half, "group_size": 4, "n_groups": 3, "n_epochs": 2, "n_minibatches": 3, "gamma": 0.5,
    "supervision": "process", "scale_rewards": "batch", "leave_one_out": True, "dynamic_sampling": True,
    "loss_type": "cispo", "ratio": "episode", "clip_range": half, "clip_range_high": 3.0, "kl_coef": half,
    "kl_in": "reward", "reference_update_interval": 5, "reference_mixture": 0.25, "ent_coef": half,
    "max_grad_norm": 0.25, "group_start": "unmatched", "transition_noise": "common", "max_episode_steps": 77,
    "advantage": None,
    "stats_window_size": 5, "tensorboard_log": None, "policy_kwargs": {"net_arch": [3]}, "verbose": 0, "seed": 9,
}  # fmt: skip


def test_load_keeps_every_argument(tmp_path):
    others = {"self", "policy", "env", "device", "reference_policy", "_init_setup_model"}
    assert set(inspect.signature(GRPO.__init__).parameters) - others == set(EVERYTHING)
    small(vec(*[Match] * 4), **EVERYTHING).learn(10).save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", vec(*[Match] * 2))
    for name, value in EVERYTHING.items():
        found = getattr(loaded, "_stats_window_size" if name == "stats_window_size" else name)
        assert (found(0.6) == half(0.6)) if callable(value) else (found == value), name
    assert loaded.learn(10).rollout_buffer.episodes().n_episodes == 12


def test_save_and_load_give_the_same_predictions(tmp_path):
    model = small(vec(*[Match] * 4)).learn(200)
    model.save(tmp_path / "model")
    model.policy.save(tmp_path / "policy")
    loaded = GRPO.load(tmp_path / "model")
    observations = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    expected = model.predict(observations, deterministic=True)[0]
    np.testing.assert_array_equal(loaded.predict(observations, deterministic=True)[0], expected)
    policy = ActorPolicy.load(tmp_path / "policy", device="cpu")
    np.testing.assert_array_equal(policy.predict(observations, deterministic=True)[0], expected)
    np.testing.assert_array_equal(parameters(model), parameters(loaded))
    assert 0 <= evaluate_policy(loaded, vec(Match), 3)[0] <= 3


@pytest.mark.parametrize("given", [False, True])
def test_a_loaded_model_goes_on_with_its_own_reference(given, tmp_path):
    """Not with the policy as it is when loaded, nor with the one that was given when it was made."""
    other = PPO("MlpPolicy", ragged(1), policy_kwargs={"net_arch": [8]}, seed=9, device="cpu").policy
    options = {"reference_policy": other} if given else {}
    model = small(ragged(4), kl_coef=0.5, reference_update_interval=7, **options).learn(200)
    model.save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", ragged(4), device="cpu")
    loaded._setup_learn(1)
    batch, again = play(model), loaded.prepare(model.rollout_buffer.episodes())
    np.testing.assert_array_equal(batch.reference_log_probs, again.reference_log_probs)
    assert not np.allclose(batch.reference_log_probs, batch.old_log_probs)
    assert not any(parameter.requires_grad for parameter in loaded.reference.parameters())
    assert loaded._n_updates == model._n_updates
    assert loaded.policy.optimizer.state_dict()["state"][0]["step"] == model._n_updates
    loaded.learn(1, reset_num_timesteps=False)
    assert loaded.logger.name_to_value["train/kl"] > 0


def test_load_with_another_number_of_environments(tmp_path):
    small(ragged(4), group_size=4).learn(30).save(tmp_path / "model")
    for n_envs, expected in ((1, 8), (2, 8), (8, 8), (12, 12)):
        model = GRPO.load(tmp_path / "model", ragged(n_envs)).learn(30)
        assert model.rollout_buffer.episodes().n_episodes == expected
    with pytest.raises(ValueError, match="3 environments do not divide into groups of 4"):
        GRPO.load(tmp_path / "model", ragged(3))


def test_a_penalty_can_be_added_when_loading(tmp_path):
    """Fine-tuning: the reference is the policy as it was saved."""
    model = small(ragged(4)).learn(100)
    model.save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", ragged(4), kl_coef=0.1)
    found = [parameter.numpy().ravel() for parameter in loaded.reference.parameters()]
    np.testing.assert_array_equal(np.concatenate(found), parameters(model))


def test_a_penalty_can_be_taken_off_when_loading(tmp_path):
    model = small(ragged(4), kl_coef=0.1).learn(100)
    model.save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", ragged(4), kl_coef=0.0)
    np.testing.assert_array_equal(parameters(model), parameters(loaded))


def test_another_reference_can_be_given_when_loading(tmp_path):
    other = PPO("MlpPolicy", ragged(1), policy_kwargs={"net_arch": [8]}, seed=9, device="cpu").policy
    small(ragged(4), kl_coef=0.1).learn(100).save(tmp_path / "model")
    loaded = GRPO.load(tmp_path / "model", ragged(4), reference_policy=other)
    np.testing.assert_array_equal(loaded.reference.action_net.weight, other.action_net.weight.detach())


def test_get_and_set_parameters(tmp_path):
    model, other = small(ragged(4), kl_coef=0.1).learn(100), small(ragged(4), kl_coef=0.1, seed=1)
    assert set(model.get_parameters()) == {"policy", "policy.optimizer", "reference"}
    assert set(small(ragged(4)).get_parameters()) == {"policy", "policy.optimizer"}
    other.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(parameters(model), parameters(other))
    np.testing.assert_array_equal(model.reference.action_net.weight, other.reference.action_net.weight)
    model.learn(100).save(tmp_path / "model")
    other.set_parameters(str(tmp_path / "model"))
    np.testing.assert_array_equal(parameters(model), parameters(other))


def test_learning_twice_goes_on():
    model = small(ragged(4)).learn(100)
    n_timesteps, n_updates = model.num_timesteps, model._n_updates
    model.learn(100, reset_num_timesteps=False)
    assert model.num_timesteps == 2 * n_timesteps
    assert model._n_updates == 2 * n_updates
    assert model.learn(50).num_timesteps == 64
    assert model.learn(0).num_timesteps == 0


def test_new_environments_and_stepped_ones_start_afresh():
    model = small(scripted(4, 4), n_epochs=1).learn(1)
    env = scripted(4, 8)
    env.seed(0)
    env.reset()
    model.set_env(env)
    for column in (0, 4):
        model.learn(1, reset_num_timesteps=False)
        batch = model.rollout_buffer.episodes()
        assert batch.rewards[batch.episode == 0].tolist() == script(column)
        for _ in range(2):
            env.step([0] * 4)


# ---- The same seed, the same run -------------------------------------------------


@pytest.mark.parametrize(
    ("n_envs", "options"),
    [
        (4, {"n_minibatches": 2, "kl_coef": 0.1, "reference_update_interval": 2}),
        (1, {"group_size": 4, "dynamic_sampling": True}),
        (2, {"group_size": 4, "transition_noise": "common"}),
        (4, {"group_start": "unmatched"}),
    ],
    ids=str,
)
def test_runs_repeat_bit_for_bit(n_envs, options):
    runs = []
    for seed in (5, 5, 6):
        model = small(vec(*[lambda: Match(4)] * n_envs), seed=seed, **options).learn(300)
        runs.append(np.append(parameters(model), model.logger.name_to_value["train/grad_norm"]))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("method", ["evaluate", "callback"])
def test_evaluation_does_not_disturb_the_training(method):
    plain = small(vec(*[Match] * 4)).learn(300)
    watched = small(vec(*[Match] * 4))
    if method == "callback":
        watched.learn(300, cb.EvalCallback(vec(Match), eval_freq=10, verbose=0))
    else:
        evaluate_policy(watched, vec(Match), n_eval_episodes=2)
        watched.learn(300)
    np.testing.assert_array_equal(parameters(plain), parameters(watched))


# ---- Callbacks -------------------------------------------------------------------


def test_every_hook_is_called():
    class Hooks(cb.BaseCallback):
        def __init__(self):
            super().__init__()
            self.hooks = []

        def _on_training_start(self):
            self.hooks.append("training_start")

        def _on_rollout_start(self):
            self.hooks.append("rollout_start")

        def _on_step(self):
            self.hooks.append(f"step of {len(self.locals['dones'])}")
            return True

        def _on_rollout_end(self):
            self.hooks.append("rollout_end")

        def _on_training_end(self):
            self.hooks.append("training_end")

    hooks = Hooks()
    small(vec(Match, Match), n_groups=2).learn(13, hooks)
    rollout = ["rollout_start", *["step of 2"] * 6, "rollout_end"]
    assert hooks.hooks == ["training_start", *rollout, *rollout, "training_end"]


@pytest.mark.parametrize("stop_at", [1, 3, 4, 6, 7])
def test_half_a_batch_is_not_learned_from(stop_at):
    """Two rounds of three steps; after a stop the next learning begins groups of its own."""
    model = small(vec(Match, Match), n_epochs=1)
    before = parameters(model)
    model.learn(1000, lambda locals_, _: locals_["callback"].n_calls < stop_at)
    assert model.num_timesteps == 2 * stop_at
    assert model._n_updates == (stop_at - 1) // 6
    assert np.array_equal(before, parameters(model)) == (stop_at <= 6)
    model.learn(12)
    assert model.rollout_buffer.episodes().lengths.tolist() == [3] * 4


def test_callbacks_that_stop(tmp_path):
    reward = cb.EvalCallback(vec(Match), eval_freq=10, callback_on_new_best=cb.StopTrainingOnRewardThreshold(-1.0),
                             best_model_save_path=tmp_path, verbose=0)  # fmt: skip
    assert small(vec(*[Match] * 4)).learn(10_000, reward).num_timesteps == 40
    assert GRPO.load(tmp_path / "best_model").predict(np.eye(2, dtype=np.float32))[0].shape == (2,)
    model = small(vec(*[Match] * 4)).learn(10_000, cb.StopTrainingOnMaxEpisodes(max_episodes=7))
    assert model.num_timesteps == 4 * 3 * 7


def test_checkpoints_go_on(tmp_path):
    model = small(vec(*[Match] * 4), kl_coef=0.1)
    model.learn(100, cb.CheckpointCallback(10, str(tmp_path), name_prefix="cp"))
    loaded = GRPO.load(tmp_path / "cp_40_steps", vec(*[Match] * 4))
    assert loaded.num_timesteps == 40
    assert loaded.learn(100, reset_num_timesteps=False).num_timesteps == 148


def test_vec_normalize_is_the_same_for_all_members():
    env = VecNormalize(vec(*[Match] * 4), norm_reward=False)
    model = small(env).learn(100)
    episodes = play(model).episodes
    first = episodes.observations[episodes.time == 0]
    np.testing.assert_array_equal(first[[0, 2]], first[[1, 3]])
    assert not set(np.unique(first)) <= {0.0, 1.0}  # normalised
    assert set(np.unique(episodes.rewards)) <= {0.0, 1.0}
    assert model.get_vec_normalize_env() is env


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
    assert GRPO("MlpPolicy", make_vec_env("CartPole-v1", 8)).episode_limit == 500
    assert small(ragged(4)).episode_limit == 10_000


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
