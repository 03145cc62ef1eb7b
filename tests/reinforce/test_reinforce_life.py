"""The life of a model: seeds, saving, loading, going on; schedules; callbacks; loggers."""

import inspect
import re

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from helpers_reinforce import Endless, Match, RandomLength, Recorder, parameters, small, vec
from stable_baselines3.common import callbacks as cb
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecNormalize

from sb3_ext import REINFORCE, episodic
from sb3_ext.vec_env import make_vec_env


def cartpole(**kwargs):
    return small(make_vec_env("CartPole-v1", 4, backend="gymnasium"), **kwargs)


# ---- The same seed, the same run ----------------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
def test_the_same_seed_gives_the_same_run_bit_for_bit(baseline):
    runs = [parameters(cartpole(seed=seed, baseline=baseline).learn(1000)) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_dummy_and_subproc_and_the_fast_backend_agree():
    envs = [
        sb3_make_vec_env("CartPole-v1", 2, vec_env_cls=DummyVecEnv),
        sb3_make_vec_env("CartPole-v1", 2, vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "spawn"}),
        make_vec_env("CartPole-v1", 2, backend="gymnasium"),
    ]
    runs = [parameters(small(env, seed=3).learn(600)) for env in envs]
    for env in envs:
        env.close()
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_allclose(runs[0], runs[2], atol=1e-5)


# ---- Save, load, go on --------------------------------------------------------------------------------------------


def test_save_and_load_give_the_same_predictions(tmp_path):
    model = cartpole().learn(500)
    model.save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model")
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.testing.assert_array_equal(
        model.predict(observations, deterministic=True)[0], loaded.predict(observations, deterministic=True)[0]
    )
    np.testing.assert_array_equal(parameters(model), parameters(loaded))
    assert evaluate_policy(loaded, make_vec_env("CartPole-v1", 2, seed=0), n_eval_episodes=4)[0] > 0


def half(progress):
    return 0.5 * progress


EVERYTHING = {
    "learning_rate": half,
    "n_episodes": 6,
    "gamma": 0.5,
    "returns": "total",
    "baseline": "value",
    "discounted_gradient": False,
    "normalize_advantage": False,
    "ent_coef": half,
    "n_value_updates": 3,
    "max_grad_norm": 0.25,
    "max_episode_steps": 77,
    "advantage": None,
    "stats_window_size": 5,
    "tensorboard_log": None,
    "policy_kwargs": {"net_arch": [3]},
    "verbose": 0,
    "seed": 9,
}


@pytest.mark.parametrize("others", [{}, {"returns": "to_go", "discounted_gradient": True}])
def test_load_keeps_every_argument(tmp_path, others):
    parameters_of_init = set(inspect.signature(REINFORCE.__init__).parameters)
    assert parameters_of_init - {"self", "policy", "env", "device", "_init_setup_model"} == set(EVERYTHING)
    arguments = {**EVERYTHING, **others}
    small(vec(Match, 2), **arguments).learn(10).save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model", vec(Match, 3))
    for name, value in arguments.items():
        found = getattr(loaded, "_stats_window_size" if name == "stats_window_size" else name)
        assert (found(0.6) == half(0.6)) if callable(value) else (found == value), name
    assert loaded.n_envs == 3
    assert loaded.learn(10).rollout_buffer.episodes().n_episodes == 6


def test_optimiser_state_survives(tmp_path):
    model = cartpole(baseline="value").learn(500)
    model.save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model", make_vec_env("CartPole-v1", 4))
    saved, found = (m.policy.optimizer.state_dict()["state"] for m in (model, loaded))
    assert saved.keys() == found.keys() != set()
    for key, state in saved.items():
        assert state["step"] == found[key]["step"] > 0
        assert th.equal(state["exp_avg"], found[key]["exp_avg"])
        assert th.equal(state["exp_avg_sq"], found[key]["exp_avg_sq"])
    assert (loaded._n_updates, loaded.num_timesteps) == (model._n_updates, model.num_timesteps)


def test_load_with_another_number_of_environments(tmp_path):
    small(vec(Match, 4), n_episodes=8).learn(30).save(tmp_path / "model")
    for n_envs in (1, 3, 16):
        model = REINFORCE.load(tmp_path / "model", vec(Match, n_envs)).learn(50)
        assert model.rollout_buffer.episodes().n_episodes == n_envs * -(-8 // n_envs)


def test_get_and_set_parameters(tmp_path):
    model, other = cartpole().learn(300), cartpole(seed=1)
    other.set_parameters(model.get_parameters())
    np.testing.assert_array_equal(parameters(model), parameters(other))
    model.learn(300).save(tmp_path / "model")
    other.set_parameters(str(tmp_path / "model"))
    np.testing.assert_array_equal(parameters(model), parameters(other))


def test_set_env_starts_over_with_fresh_episodes():
    model = small(vec(lambda: Endless(5), 2), n_episodes=2).learn(1, Recorder(stop_at=3))
    model.set_env(vec(lambda: Endless(5), 2))
    model.learn(1, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.rollout_buffer.episodes().lengths, 5)


# ---- Schedules ----------------------------------------------------------------------------------------------------


class Logged(Recorder):
    """What the logger holds after each update."""

    def __init__(self):
        super().__init__()
        self.values = []

    def _on_rollout_start(self):
        if self.model._n_updates:
            self.values.append(dict(self.model.logger.name_to_value))


def test_schedules_see_the_progress_and_go_on_after_a_load(tmp_path):
    """Batches of 10 steps (2 environments, 5 steps): after k batches of 40 planned steps, 1 - k / 4 is left."""

    def seen(model, total, **kwargs):
        logged = Logged()
        model.learn(total, logged, log_interval=10**9, **kwargs)
        last = dict(model.logger.name_to_value)
        return [(v["train/learning_rate"], v["train/ent_coef"]) for v in [*logged.values[-3:], last]]

    model = small(vec(lambda: Endless(5), 2), n_episodes=2, learning_rate=lambda p: 0.1 * p, ent_coef=lambda p: 0.2 * p)
    expected = [(0.1 * left, 0.2 * left) for left in (0.75, 0.5, 0.25, 0.0)]
    np.testing.assert_allclose(seen(model, 40), expected, atol=1e-12)
    assert model.policy.optimizer.param_groups[0]["lr"] == 0.0
    model.save(tmp_path / "model")
    loaded = REINFORCE.load(tmp_path / "model", vec(lambda: Endless(5), 2))
    # 40 steps more: of 80 in all, 50, 60, 70 and 80 are done after the four updates
    expected = [(0.1 * left, 0.2 * left) for left in (30 / 80, 20 / 80, 10 / 80, 0.0)]
    np.testing.assert_allclose(seen(loaded, 40, reset_num_timesteps=False), expected, atol=1e-12)
    assert loaded.num_timesteps == 80


def test_a_schedule_never_sees_less_than_nothing():
    """A batch of whole episodes may end long after total_timesteps; a rate below 0 would unlearn."""
    model = small(vec(lambda: Endless(50), 4), learning_rate=lambda p: 0.01 * p).learn(10)
    assert model.num_timesteps == 400
    assert model.logger.name_to_value["train/learning_rate"] == 0.0


# ---- Callbacks ----------------------------------------------------------------------------------------------------


def test_every_hook_is_called():
    recorder = Recorder()
    small(vec(lambda: Endless(3), 2), n_episodes=2).learn(12, recorder)
    rollout = ["rollout_start", "step", "step", "step", "rollout_end"]
    assert recorder.hooks == ["training_start", *rollout, *rollout, "training_end"]


@pytest.mark.parametrize("stop_at", [1, 4, 6, 7])
def test_a_callback_stops_at_once_and_half_a_batch_is_not_learned_from(stop_at):
    recorder = Recorder(stop_at=stop_at)
    model = small(vec(Match, 2), n_episodes=4)  # six steps a rollout
    before = parameters(model)
    model.learn(1000, recorder)
    assert model.num_timesteps == 2 * stop_at
    assert recorder.hooks[-2:] == ["step", "training_end"]
    assert model._n_updates == (stop_at - 1) // 6
    assert np.array_equal(before, parameters(model)) == (stop_at <= 6)


def test_a_function_as_callback():
    steps = []

    def stop_after_five(locals_, globals_):
        steps.append(locals_["dones"].shape)
        return len(steps) < 5

    model = small(vec(Match, 2)).learn(100, stop_after_five)
    assert steps == [(2,)] * 5
    assert model.num_timesteps == 10


def test_eval_and_checkpoint_callbacks(tmp_path):
    evaluation = cb.EvalCallback(vec(Match), n_eval_episodes=4, eval_freq=30, log_path=tmp_path, verbose=0,
                                 best_model_save_path=tmp_path / "best")  # fmt: skip
    checkpoint = cb.CheckpointCallback(save_freq=30, save_path=tmp_path, name_prefix="cp")
    small(vec(Match, 2)).learn(200, [evaluation, checkpoint])
    results = np.load(tmp_path / "evaluations.npz")
    np.testing.assert_array_equal(results["timesteps"], [60, 120, 180])
    assert 0 <= evaluation.best_mean_reward <= 3
    for name in ("best/best_model", "cp_60_steps", "cp_120_steps", "cp_180_steps"):
        assert REINFORCE.load(tmp_path / f"{name}.zip").predict(np.eye(2, dtype=np.float32))[0].shape == (2,)


def test_callbacks_that_stop():
    reward = cb.EvalCallback(vec(Match), eval_freq=10, callback_on_new_best=cb.StopTrainingOnRewardThreshold(-1.0),
                             verbose=0)  # fmt: skip
    assert small(vec(Match, 2)).learn(10_000, reward).num_timesteps == 20
    patience = cb.StopTrainingOnNoModelImprovement(max_no_improvement_evals=2)
    stuck = cb.EvalCallback(vec(lambda: Endless(5)), eval_freq=10, callback_after_eval=patience, verbose=0)
    assert small(vec(lambda: Endless(5), 2)).learn(10_000, stuck).num_timesteps == 80  # the best of 4 is the first
    model = small(vec(Match, 2)).learn(10_000, cb.StopTrainingOnMaxEpisodes(max_episodes=7))
    assert model.num_timesteps == 2 * 3 * 7


def test_every_n_timesteps_and_log_every_n_timesteps(tmp_path):
    calls = []
    record = cb.ConvertCallback(lambda locals_, _: calls.append(locals_["self"].num_timesteps) or True)
    every = cb.EveryNTimesteps(20, record)
    model = small(vec(Match, 2))
    model.set_logger(configure(str(tmp_path), ["csv"]))
    model.learn(100, [every, cb.LogEveryNTimesteps(40)], log_interval=10**9)
    assert calls == [20, 40, 60, 80, 100, 120]  # the fifth batch of 24 steps ends at 120
    logged = (tmp_path / "progress.csv").read_text().splitlines()
    assert len(logged) == 4
    column = logged[0].split(",").index("time/total_timesteps")
    assert [line.split(",")[column] for line in logged[1:]] == ["40", "80", "120"]


def test_progress_bar():
    model = small(vec(lambda: Endless(10), 2))
    assert model.learn(30, progress_bar=True).num_timesteps == 80
    model.learn(30, progress_bar=True, reset_num_timesteps=False)


@pytest.mark.parametrize("method", ["evaluate", "callback"])
def test_evaluation_does_not_disturb_the_training(method):
    """Greedy evaluation draws no random numbers: the run is the same with and without it."""
    plain = cartpole(seed=1).learn(600)
    watched = cartpole(seed=1)
    if method == "callback":
        watched.learn(600, cb.EvalCallback(make_vec_env("CartPole-v1", 1, seed=9), eval_freq=50, verbose=0))
    else:
        evaluate_policy(watched, make_vec_env("CartPole-v1", 1, seed=9), n_eval_episodes=2)
        watched.learn(600)
    np.testing.assert_array_equal(parameters(plain), parameters(watched))


# ---- Loggers ------------------------------------------------------------------------------------------------------

OF_SB3 = {"rollout/ep_rew_mean", "rollout/ep_len_mean", "rollout/success_rate", "time/fps", "time/iterations",
          "time/time_elapsed", "time/total_timesteps"}  # fmt: skip


def test_every_key_logged_is_documented_and_every_key_documented_is_logged(tmp_path):
    logged = set()
    for baseline in ("none", "mean", "value"):
        for n, env in enumerate((vec(Match, 2), make_vec_env("Pendulum-v1", 2))):
            folder = tmp_path / f"{baseline}{n}"
            model = small(env, baseline=baseline, n_episodes=2)
            model.set_logger(configure(str(folder), ["csv"]))
            model.learn(500 if n else 30, log_interval=1)
            header, *rows = (folder / "progress.csv").read_text().splitlines()
            logged |= set(header.split(","))
            assert len(rows) >= 1
            logged |= set(model.logger.name_to_value)
            assert all(np.isfinite(v) for k, v in model.logger.name_to_value.items() if k != "train/explained_variance")
    documented = set(re.findall(r"``((?:train|rollout)/\w+)``", REINFORCE.__doc__)) - OF_SB3
    assert logged - OF_SB3 == documented


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    small(vec(Match, 2), tensorboard_log=str(tmp_path), n_episodes=2).learn(60, log_interval=1)
    events = EventAccumulator(str(tmp_path / "REINFORCE_1"))
    events.Reload()
    scalars = events.Tags()["scalars"]
    assert {"rollout/ep_rew_mean", "train/grad_variance", "train/policy_loss", "time/fps"} <= set(scalars)
    assert [event.step for event in events.Scalars("rollout/ep_rew_mean")] == list(range(6, 61, 6))


# ---- Learning -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("returns", ["total", "to_go"])
@pytest.mark.parametrize("baseline", ["none", "mean", "value"])
def test_every_combination_solves_a_contextual_bandit(baseline, returns):
    model = small(vec(Match, 8), baseline=baseline, returns=returns, n_episodes=16, learning_rate=0.05)
    first = evaluate_policy(model, vec(Match), n_eval_episodes=50, deterministic=False)[0]
    model.learn(4800)
    np.testing.assert_array_equal(model.predict(np.eye(2, dtype=np.float32), deterministic=True)[0], [0, 1])
    sampled = evaluate_policy(model, vec(Match), n_eval_episodes=50, deterministic=False)[0]
    assert sampled > 2.5 > first  # of 3


def test_a_gaussian_finds_its_target():
    class Target(gym.Env):
        observation_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)
        action_space = gym.spaces.Box(-2.0, 2.0, (1,), np.float32)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.ones(1, np.float32), {}

        def step(self, action):
            return np.ones(1, np.float32), -float((action[0] - 0.7) ** 2), True, False, {}

    model = small(vec(Target, 8), n_episodes=32, learning_rate=0.02).learn(6000)
    assert model.predict(np.ones(1, np.float32), deterministic=True)[0][0] == pytest.approx(0.7, abs=0.15)
    assert model.logger.name_to_value["train/std"] < 0.7


def test_entropy_bonus_keeps_a_policy_random():
    entropies = []
    for ent_coef in (0.0, 2.0):
        model = small(vec(Match, 8), n_episodes=16, learning_rate=0.05, ent_coef=ent_coef).learn(2400)
        entropies.append(-model.logger.name_to_value["train/entropy_loss"])
    assert entropies[0] < 0.2 < 0.6 < entropies[1] <= np.log(2) + 1e-6


def test_vec_normalize_learns():
    env = VecNormalize(vec(Match, 8))
    model = small(env, n_episodes=16, learning_rate=0.05, baseline="value").learn(4800)
    env.training = False
    np.testing.assert_array_equal(
        model.predict(env.normalize_obs(np.eye(2, dtype=np.float32)), deterministic=True)[0], [0, 1]
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_defaults_solve_cartpole(seed):
    model = REINFORCE("MlpPolicy", make_vec_env("CartPole-v1", 16, seed=seed), seed=seed).learn(300_000)
    rewards, _ = evaluate_policy(model, make_vec_env("CartPole-v1", 16, seed=1000 + seed), n_eval_episodes=100)
    assert rewards >= 475


@pytest.mark.slow
def test_baselines_shrink_the_variance_of_a_frozen_policy():
    """The comparison that the class offers, of one frozen policy: return to go and a baseline make it scatter less."""
    variances = {}
    for returns, baseline in (("total", "none"), ("to_go", "none"), ("to_go", "mean")):
        logged = Logged()
        kwargs = {"learning_rate": 0.0, "normalize_advantage": False, "n_episodes": 8}
        model = small(vec(RandomLength, 8), returns=returns, baseline=baseline, gamma=1.0, **kwargs)
        model.learn(40_000, logged, log_interval=10**9)
        variances[returns, baseline] = np.mean([values["train/grad_variance"] for values in logged.values])
    assert variances["total", "none"] > variances["to_go", "none"] > variances["to_go", "mean"]


def test_continuing_starts_from_fresh_episodes_even_if_the_user_has_stepped_the_environment():
    env = sb3_make_vec_env("Pendulum-v1", 2, seed=0)
    model = REINFORCE("MlpPolicy", env, n_episodes=2, seed=0).learn(400)  # both end together, after 200 steps
    env.reset()
    for _ in range(150):
        env.step(np.zeros((2, 1), dtype=np.float32))
    model.learn(400, reset_num_timesteps=False)
    np.testing.assert_array_equal(model.rollout_buffer.episodes().lengths, [200, 200])


def test_the_batch_goes_through_the_network_in_parts_that_add_up(monkeypatch):
    """The parts' gradients add up to the batch's, for the policy and for V."""
    found = []
    for size in (8192, 7):
        monkeypatch.setattr(episodic, "CHUNK_SIZE", size)
        model = small(make_vec_env("CartPole-v1", 4), baseline="value", ent_coef=0.1, seed=0).learn(1)
        found.append(parameters(model))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-4)
