"""``sb3-ext figures shaping``: what is added to the reward, what counts as solved, and how it is reported."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from stable_baselines3.common.env_util import unwrap_wrapper
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext.envs import RND, CountBonus, GridWorldVecEnv, PotentialShaping
from sb3_ext.zoo import figures, parallel, shaping
from sb3_ext.zoo.figures import Job, Result


def make(added, n_envs=2, seed=0):
    return shaping.make_env(shaping.ENV_ID, n_envs, seed, added=added, settings=shaping.ADDED[added])


@pytest.mark.parametrize(("added", "wrapper"), [("distance", PotentialShaping), ("count", CountBonus)])
def test_single_environments_are_wrapped(added, wrapper):
    env = make(added)
    assert isinstance(env, DummyVecEnv)
    assert all(unwrap_wrapper(single, wrapper) is not None for single in env.envs)


def test_plain_and_rnd_are_one_batch():
    assert isinstance(make("plain").unwrapped, GridWorldVecEnv)
    rnd = make("rnd", seed=7)
    assert isinstance(rnd, RND)
    assert isinstance(rnd.unwrapped, GridWorldVecEnv)
    assert rnd.settings["seed"] == 7


def test_shaping_uses_the_discount_of_the_agent():
    assert shaping.ADDED["distance"]["gamma"] == shaping.RECIPE.hyperparams["gamma"] == shaping.ADDED["rnd"]["gamma"]


@pytest.mark.parametrize("added", shaping.ADDED)
def test_the_monitor_shows_the_raw_return_and_the_time_limit_holds(added):
    env = make(added)
    env.reset()
    for _ in range(shaping.MAX_EPISODE_STEPS):
        _, rewards, dones, infos = env.step(np.zeros(2, dtype=np.int64))  # against the wall
    assert dones.all()
    assert [(info["episode"]["r"], info["episode"]["l"]) for info in infos] == [(0.0, shaping.MAX_EPISODE_STEPS)] * 2
    assert (rewards == 0).all() == (added == "plain")


def quick(name, n_timesteps, target):
    figure = figures.figures()[f"shaping-{name}"]
    recipe = replace(figure.recipe, n_timesteps=n_timesteps)
    return replace(figure, recipe=recipe, target=target)


def test_a_seed_that_never_solves_it_is_kept_as_infinite(tmp_path):
    job = Job("shaping-plain", quick("plain", 2048, target=1.1), 0, tmp_path / "curve.csv")
    result = figures.measure(job)
    assert math.isinf(result.value)
    figures.write(tmp_path / "figures.csv", {("shaping-plain", 0): result})
    assert figures.is_done(job, figures.read(tmp_path / "figures.csv"))


def test_a_seed_that_solves_it_stops_at_that_step(tmp_path):
    """With a target of 0 it is solved as soon as there are 100 episodes."""
    result = figures.measure(Job("shaping-rnd", quick("rnd", 50_000, target=0.0), 0, tmp_path / "curve.csv"))
    timesteps, returns = np.loadtxt(tmp_path / "curve.csv", delimiter=",", skiprows=1).T
    assert result.value == timesteps[-1]
    assert 100 <= len(returns) < 100 + shaping.RECIPE.n_envs
    assert set(returns) <= {0.0, 1.0}


def test_what_is_added_is_part_of_the_settings():
    all_of_them = figures.figures()
    settings = {figures.settings(all_of_them[f"shaping-{name}"]) for name in shaping.ADDED}
    assert len(settings) == len(shaping.ADDED)
    assert json.loads(figures.settings(all_of_them["shaping-count"]))["added"]["settings"] == shaping.ADDED["count"]
    assert "added" not in json.loads(figures.settings(all_of_them["cartpole"]))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([10_000, 30_000, 20_000], "median 20,000 steps, 3 of 3 seeds solved"),
        ([10_000, math.inf, 20_000], "median 20,000 steps, 2 of 3 seeds solved"),
        ([10_000, 40_000, 20_000, math.inf], "median 30,000 steps, 3 of 4 seeds solved"),
        ([10_000, math.inf, 20_000, math.inf], "median above 20,000 steps, 2 of 4 seeds solved"),
        ([math.inf, math.inf], "median above 200,000 steps, 0 of 2 seeds solved"),
    ],
)
def test_the_median_counts_seeds_that_never_got_there(values, text):
    assert shaping.steps_until_solved(np.array(values)) == text


def test_the_picture_shows_every_seed_and_the_unsolved_beyond_the_limit():
    axes = shaping.draw_steps({"plain": [10_000, math.inf, math.inf], "RND": [20_000, 30_000, 50_000]}).axes[0]
    plain, rnd = (dots.get_offsets()[:, 0] for dots in axes.collections)
    assert plain[0] == 10_000
    assert (plain[1:] > shaping.RECIPE.n_timesteps).all()
    assert list(rnd) == [20_000, 30_000, 50_000]
    medians = [line.get_xdata()[0] for line in axes.lines[:2]]
    assert medians[0] > shaping.RECIPE.n_timesteps
    assert medians[1] == 30_000
    between = shaping.draw_steps({"plain": [10_000, math.inf]}).axes[0].lines[0].get_xdata()
    assert between[0] == 10_000
    assert between[1] > shaping.RECIPE.n_timesteps
    assert axes.get_xlim()[0] < 10_000 < plain.max() < axes.get_xlim()[1]


def test_the_command_measures_all_variants_and_draws_one_picture(tmp_path, monkeypatch, capsys):
    def measure(job):
        value = math.inf if job.seed == 0 else 20_000.0 + job.seed
        return Result(job.name, job.figure.env_id, job.seed, value, 1.0, figures.settings(job.figure))

    monkeypatch.setattr(figures, "measure", measure)
    monkeypatch.setattr(parallel, "run_parallel", lambda function, jobs, *_: map(function, jobs))
    assert figures.main(["shaping", "--output", str(tmp_path)]) == 0
    assert [file.name for file in tmp_path.glob("*.png")] == ["shaping.png"]
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("10 of 10") == len(shaping.ADDED)
    assert printed.count("to never") == len(shaping.ADDED)


def test_a_training_that_stops_early_counts_as_done_in_the_progress_bar(tmp_path, monkeypatch):
    from multiprocessing import get_context

    steps = get_context("spawn").Value("q", 0)
    monkeypatch.setattr(parallel, "_steps", steps)
    figures.measure(Job("shaping-plain", quick("plain", 20_000, target=0.0), 0, tmp_path / "curve.csv"))
    assert steps.value == 20_000
