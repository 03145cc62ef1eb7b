"""The reader of hyperparameter files, the log of episodes, training and evaluation."""

import inspect
import json
import time

import numpy as np
import pytest
import torch
import yaml
from stable_baselines3 import PPO
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ext import REINFORCE
from sb3_ext.vec_env import make_vec_env
from sb3_ext.zoo.hyperparameters import default_file
from sb3_ext.zoo.recipes import UNSUPPORTED, Recipe, read_recipe
from sb3_ext.zoo.training import EpisodeLog, UpdateLog, evaluate, train

OURS = default_file("reinforce")
ENTRIES = yaml.safe_load(OURS.read_text())


@pytest.fixture
def hyperparameter_file(tmp_path):
    """Writes a file with one entry, "CartPole-v1", from lines of YAML."""

    def write(*lines):
        file = tmp_path / "algo.yml"
        file.write_text("CartPole-v1:\n  n_timesteps: !!float 1e3\n" + "".join(f"  {line}\n" for line in lines))
        return file

    return write


def read(file):
    return read_recipe("ppo", "CartPole-v1", file)


# ---- Reading --------------------------------------------------------------------------------------------------------


def test_an_entry_of_rl_zoo_is_read_as_it_stands():
    recipe = read_recipe("ppo", "CartPole-v1")
    entry = yaml.safe_load(default_file("ppo").read_text())["CartPole-v1"]
    assert (recipe.n_timesteps, recipe.n_envs) == (entry.pop("n_timesteps"), entry.pop("n_envs"))
    assert recipe.hyperparams == entry
    assert recipe.normalize is None


def test_schedules_fall_linearly_to_zero(hyperparameter_file):
    schedule = read(hyperparameter_file("learning_rate: lin_2.5e-4", "clip_range: 0.2")).arguments()["learning_rate"]
    assert isinstance(schedule, LinearSchedule)
    assert [schedule(left) for left in (1.0, 0.5, 0.0)] == pytest.approx([2.5e-4, 1.25e-4, 0.0])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("normalize: true", {}),
        ("normalize: false", None),
        ("normalize: \"{'norm_obs': False, 'norm_reward': True}\"", {"norm_obs": False, "norm_reward": True}),
        ('normalize: "dict(norm_obs=True, norm_reward=False)"', {"norm_obs": True, "norm_reward": False}),
        ("normalize: {norm_obs: false}", {"norm_obs": False}),
    ],
)
def test_normalize(hyperparameter_file, line, expected):
    assert read(hyperparameter_file(line)).normalize == expected


def test_policy_kwargs_may_nest(hyperparameter_file):
    file = hyperparameter_file('policy_kwargs: "dict(log_std_init=-2, net_arch=dict(pi=[8], vf=[8, 4]))"')
    assert read(file).hyperparams["policy_kwargs"] == {"log_std_init": -2, "net_arch": {"pi": [8], "vf": [8, 4]}}


CODE = "__import__('os').system('touch {target}')"


@pytest.mark.parametrize("key", ["normalize", "policy_kwargs", "learning_rate", "gamma", "policy"])
@pytest.mark.parametrize("form", [CODE, f"dict(x={CODE})", f"[{CODE}]"])
def test_code_is_refused_and_not_run(hyperparameter_file, tmp_path, key, form):
    target = tmp_path / "ran"
    file = hyperparameter_file(f'{key}: "{form.format(target=target)}"')
    with pytest.raises(ValueError, match=r"CartPole-v1.*(code is not run|not a schedule|not the dotted name)"):
        read(file)
    assert not target.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("normalize: 3", "normalize must be"),
        ("env_kwargs: 3", "env_kwargs must be a mapping"),
        ("learning_rate: 1e-4", r"'1e-4' is not a schedule; write a number \(!!float 1e-3\)"),  # YAML takes it for text
        ("learning_rate: lin_fast", "lin_fast"),
        ("policy_kwargs: 'dict(activation_fn=nn.Nothing)'", "no attribute 'Nothing'"),
        ("policy_kwargs: 'dict(**{})'", "policy_kwargs: .* is not a literal"),
        ("policy: my.module.Policy", "my.module.Policy is not in"),
        (
            "env_wrapper: gymnasium.wrappers.FlattenObservation",
            "env_wrapper is not supported here",
        ),
    ],
)
def test_what_cannot_be_read_is_named(hyperparameter_file, line, message):
    with pytest.raises(ValueError, match=message):
        read(hyperparameter_file(line))


def test_a_missing_entry_is_named_beside_those_there_are():
    with pytest.raises(ValueError, match=r"no entry 'Nowhere-v0'; it has CartPole-v1, Acrobot-v1"):
        read_recipe("reinforce", "Nowhere-v0", OURS)


def test_an_environment_that_our_files_do_not_list_gets_the_fallback():
    recipe = read_recipe("reinforce", "MountainCar-v0")
    assert recipe == Recipe("reinforce", 100_000, 8, None, {"policy": "MlpPolicy"})


def test_arguments_of_the_environment_are_those_of_the_file():
    assert read_recipe("q_learning", "CliffWalking-v1").env_kwargs == {"max_episode_steps": 500}


def test_a_rate_by_visits_is_left_to_the_tables(hyperparameter_file):
    file = hyperparameter_file("learning_rate: lin_0.5/N^0.8")
    assert read_recipe("q_learning", "CartPole-v1", file).arguments()["learning_rate"] == "lin_0.5/N^0.8"


def test_classes_in_policy_kwargs_are_looked_up_not_run(hyperparameter_file):
    recipe = read(hyperparameter_file('policy_kwargs: "dict(activation_fn=nn.ReLU, net_arch=dict(pi=[8], vf=[8]))"'))
    json.dumps(recipe.hyperparams)  # plain data
    arguments = recipe.arguments()["policy_kwargs"]
    assert arguments == {"activation_fn": torch.nn.ReLU, "net_arch": {"pi": [8], "vf": [8]}}


@pytest.mark.parametrize("algo", ["a2c", "ddpg", "dqn", "ppo", "qrdqn", "sac", "td3", "tqc", "trpo", "ars"])
def test_every_entry_of_rl_zoos_files_is_read_or_refused_by_name(algo):
    entries = yaml.safe_load(default_file(algo).read_text())
    read = 0
    for env_id in entries:
        if entries[env_id].keys() & set(UNSUPPORTED):
            with pytest.raises(ValueError, match="is not supported here"):
                read_recipe(algo, env_id, default_file(algo))
        else:
            read_recipe(algo, env_id, default_file(algo)).arguments()
            read += 1
    assert read > 0


def test_ours_has_an_entry_for_each_task():
    assert {"CartPole-v1", "LunarLander-v3", "Acrobot-v1", "InvertedPendulum-v5", "Pendulum-v1"} <= set(ENTRIES)


@pytest.mark.parametrize("env_id", ENTRIES)
def test_every_entry_of_ours_makes_a_reinforce(env_id):
    stand_in = "Pendulum-v1" if "Pendulum" in env_id else "CartPole-v1"  # same kind of actions, always installed
    recipe = read_recipe("reinforce", env_id)
    env = make_vec_env(stand_in, n_envs=recipe.n_envs)
    if recipe.normalize is not None:
        env = VecNormalize(env, **recipe.normalize)
    model = REINFORCE(env=env, **recipe.arguments())
    for key, value in recipe.hyperparams.items():
        if key != "policy" and not str(value).startswith("lin_"):
            assert getattr(model, key) == value
    assert recipe.n_timesteps >= 100_000


def test_a_linear_schedule_reaches_the_model():
    recipe = read_recipe("reinforce", "LunarLander-v3")
    model = REINFORCE(env=make_vec_env("CartPole-v1", n_envs=4), **recipe.arguments())
    assert recipe.hyperparams["learning_rate"] == "lin_0.005"
    assert [model.lr_schedule(progress) for progress in (1.0, 0.5, 0.0)] == [0.005, 0.0025, 0.0]


@pytest.mark.parametrize("env_id", ENTRIES)
def test_rl_zoo_understands_our_normalize(env_id):
    """RL Zoo evaluates the string; both readings must agree."""
    raw = ENTRIES[env_id].get("normalize", False)
    assert raw is False or eval(raw) == read_recipe("reinforce", env_id).normalize


def test_settings_hold_the_defaults_and_what_overrides_them():
    settings = Recipe("reinforce", 10, hyperparams={"policy": "MlpPolicy", "gamma": 0.5}).settings()
    assert settings["gamma"] == 0.5
    assert settings["n_episodes"] == inspect.signature(REINFORCE).parameters["n_episodes"].default
    assert settings["n_timesteps"] == 10


# ---- Training and evaluation ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("recipe_gamma", "expected"), [({"gamma": 0.9}, 0.9), ({}, 0.99)])
def test_rewards_are_normalised_with_the_gamma_of_the_agent(recipe_gamma, expected):
    recipe = Recipe("reinforce", 1, 2, {"norm_obs": False}, {"policy": "MlpPolicy", **recipe_gamma})
    model, env = train(recipe, "CartPole-v1", seed=0)
    env.close()
    assert isinstance(env, VecNormalize)
    assert env.gamma == model.gamma == expected


def test_the_same_seed_gives_the_same_training():
    recipe = Recipe("reinforce", 1000, n_envs=4)
    logs = [EpisodeLog(), EpisodeLog(), EpisodeLog()]
    for log, seed in zip(logs, (1, 1, 2), strict=True):
        train(recipe, "CartPole-v1", seed, callback=log)[1].close()
    assert logs[0].returns == logs[1].returns != logs[2].returns


def test_the_backend_dummy_is_sb3s_own():
    env = train(Recipe("reinforce", 1, n_envs=2), "CartPole-v1", seed=0, backend="dummy")[1]
    assert type(env) is DummyVecEnv


def test_evaluation_sees_raw_rewards_and_leaves_the_statistics_alone():
    recipe = Recipe("reinforce", 500, 4, {"norm_obs": True, "norm_reward": True})
    model, env = train(recipe, "CartPole-v1", seed=0)
    assert isinstance(env, VecNormalize)
    mean, count = env.obs_rms.mean.copy(), env.obs_rms.count
    returns = evaluate(model, "CartPole-v1", n_episodes=30, seed=0, n_envs=4)
    assert returns.shape == (30,)
    assert np.all(returns == returns.astype(int))  # CartPole pays 1 for each step; a normalised reward is no integer
    assert np.all(returns >= 8)
    assert env.obs_rms.count == count
    assert np.array_equal(env.obs_rms.mean, mean)
    assert np.array_equal(returns, evaluate(model, "CartPole-v1", n_episodes=30, seed=0, n_envs=4))


def test_evaluation_uses_the_statistics_of_the_training():
    recipe = Recipe("reinforce", 20_000, 8, {"norm_obs": True, "norm_reward": False})
    model, env = train(recipe, "CartPole-v1", seed=0)
    before = evaluate(model, "CartPole-v1", n_episodes=20).mean()
    env.obs_rms.mean = env.obs_rms.mean + 100  # as if another training's
    assert evaluate(model, "CartPole-v1", n_episodes=20).mean() < before / 2


# ---- The log of episodes --------------------------------------------------------------------------------------------


def play(log, returns):
    """Feed the callback one environment that ends an episode at every step; how many steps until it stops, or None."""
    log.model = PPO("MlpPolicy", "CartPole-v1", n_steps=2, batch_size=2, device="cpu")
    for step, return_ in enumerate(returns, start=1):
        log.num_timesteps = step
        log.locals = {"dones": np.array([True]), "infos": [{"episode": {"r": return_}}]}
        if not log._on_step():
            return step
    return None


def test_the_clock_stops_when_the_mean_of_exactly_the_window_reaches_the_target():
    # the mean of the last 4 is 5 for the first time after the seventh episode: (2 + 6 + 6 + 6) / 4
    log = EpisodeLog(target=5, window=4)
    assert play(log, [0, 0, 2, 2, 6, 6, 6, 9]) == 7
    assert log.seconds is not None
    assert log.returns == [0, 0, 2, 2, 6, 6, 6]


def test_the_clock_waits_for_a_full_window():
    assert play(EpisodeLog(target=5, window=4), [9, 9, 9]) is None
    assert play(EpisodeLog(target=5, window=4), [9, 9, 9, 9]) == 4


def test_the_clock_counts_from_the_beginning():
    log = EpisodeLog(target=1, window=1)
    time.sleep(0.05)
    play(log, [1])
    assert 0.05 <= log.seconds < 5


def test_the_log_is_what_sb3_reports():
    """The mean of the log's last 100 is ``rollout/ep_rew_mean``, for an algorithm of SB3's and for ours."""
    ppo = Recipe("ppo", 16_000, 4, None, {"policy": "MlpPolicy", "n_steps": 64})
    for recipe in (ppo, Recipe("reinforce", 16_000, 4)):
        log = EpisodeLog()
        model, env = train(recipe, "CartPole-v1", seed=0, callback=log)
        env.close()
        assert len(log.returns) > 100
        assert np.mean(log.returns[-100:]) == pytest.approx(np.mean([episode["r"] for episode in model.ep_info_buffer]))
        assert log.timesteps == sorted(log.timesteps)
        assert sum(log.returns) <= log.timesteps[-1] <= model.num_timesteps


def test_a_training_stops_at_the_target():
    log = EpisodeLog(target=20, window=10)
    model, env = train(Recipe("reinforce", 200_000, n_envs=4), "CartPole-v1", seed=0, callback=log)
    env.close()
    assert np.mean(log.returns[-10:]) >= 20
    assert model.num_timesteps < 50_000


# ---- The log of updates ---------------------------------------------------------------------------------------------


def test_each_row_holds_the_steps_and_what_the_last_update_logged():
    """10 epochs with one minibatch on each 256 steps; the first row precedes the second rollout."""
    log = UpdateLog("train/n_updates", "train/no_such_value")
    recipe = Recipe("ppo", 1_280, 4, None, {"policy": "MlpPolicy", "n_steps": 64, "batch_size": 256, "n_epochs": 10})
    train(recipe, "CartPole-v1", seed=0, callback=log)[1].close()
    steps, _, updates, missing = log.table.T
    assert steps.tolist() == [256, 512, 768, 1024]
    assert updates.tolist() == [10, 20, 30, 40]
    assert np.isnan(missing).all()


@pytest.mark.parametrize("algo", ["a2c", "reinforce"])
def test_its_returns_are_the_mean_of_the_last_100_episodes(algo):
    updates, episodes = UpdateLog(), EpisodeLog()
    recipe = Recipe(algo, 16_000, 16, None, {"policy": "MlpPolicy"})
    train(recipe, "CartPole-v1", seed=0, callback=[updates, episodes])[1].close()
    ended = np.searchsorted(episodes.timesteps, updates.table[:, 0], side="right")
    assert ended[-1] > 100
    expected = [np.mean(episodes.returns[max(0, n - 100) : n]) for n in ended]
    np.testing.assert_allclose(updates.table[:, 1], expected)


def test_a_log_of_updates_is_empty_before_the_first_episode():
    assert UpdateLog("train/loss").table.shape == (0, 3)
