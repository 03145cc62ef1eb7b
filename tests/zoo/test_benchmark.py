"""``sb3-ext benchmark``: what it keeps, that it goes on where it was, what a crash costs, what it reports."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import gymnasium as gym
import numpy as np
import psutil
import pytest
import yaml
from stable_baselines3 import PPO

from sb3_ext.algos import TABLE
from sb3_ext.tabular import QLearning, TabularMDP, value_iteration
from sb3_ext.zoo import parallel, training
from sb3_ext.zoo.__main__ import main as program
from sb3_ext.zoo.benchmark import command, report, results, runs, suite
from sb3_ext.zoo.benchmark.runs import Failure, Job, Run, is_done, perform, read_curve, read_run
from sb3_ext.zoo.recipes import Recipe
from sb3_ext.zoo.training import evaluate

LAKE = Recipe("q_learning", 2_000, hyperparams={"policy": "TabularPolicy"})
SMALL = ["--algos", "q_learning", "--envs", "FrozenLake-v1", "-n", "1000", "--seeds", "2", "--eval-episodes", "4"]

BREAKING = """
import os, signal
import gymnasium as gym

class Breaking(gym.Env):
    observation_space, action_space = gym.spaces.Discrete(2), gym.spaces.Discrete(2)

    def __init__(self, kind="error"):
        self.kind = kind

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.seed_given = 0, seed
        return 0, {}

    def step(self, action):
        self.steps += 1
        if self.kind == "error":
            raise RuntimeError("the environment broke\\non two lines")
        os.kill(os.getpid(), signal.SIGKILL)

gym.register("BreakingByError-v0", entry_point=Breaking, kwargs={"kind": "error"}, max_episode_steps=20)
gym.register("BreakingByDeath-v0", entry_point=Breaking, kwargs={"kind": "death"}, max_episode_steps=20)
"""


@pytest.fixture
def in_process(monkeypatch):
    """Runs the jobs in this process."""
    monkeypatch.setattr(parallel, "run_parallel", lambda function, jobs, *_: map(function, jobs))


@pytest.fixture
def breaking(tmp_path, monkeypatch):
    """Name of a module with environments that break."""
    (tmp_path / "breaking_environments.py").write_text(BREAKING)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "breaking_environments"


def made(algo="q_learning", env_id="FrozenLake-v1", seed=0, score=1.0):
    return Run(algo, env_id, seed, score, 100, 1.0, {}, {})


def sb3_ext(*arguments, **settings):
    """``sb3-ext benchmark`` in a process of its own."""
    line = [sys.executable, "-m", "sb3_ext.zoo", "benchmark", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, **settings)


# ---- One run --------------------------------------------------------------------------------------------------------


def test_a_run_is_kept_with_all_that_belongs_to_it(tmp_path):
    job = Job(LAKE, "FrozenLake-v1", 3, 10, tmp_path)
    run = perform(job)
    assert job.folder == tmp_path / "q_learning" / "FrozenLake-v1_4"
    assert read_run(job.folder) == run
    model = QLearning.load(job.folder / "FrozenLake-v1.zip")
    assert run.score == evaluate(model, "FrozenLake-v1", 10, 3000).mean()
    entry = yaml.safe_load((job.folder / "FrozenLake-v1" / "config.yml").read_text())
    assert entry == {"n_timesteps": 2_000, "n_envs": 1, "policy": "TabularPolicy"}
    assert run.settings["gamma"] == 0.99
    assert set(run.versions) == {"python", *runs.PACKAGES}


@pytest.mark.parametrize(
    ("recipe", "env_id"),
    [
        (LAKE, "FrozenLake-v1"),
        (Recipe("ppo", 256, 4, hyperparams={"policy": "MlpPolicy", "n_steps": 64}), "CartPole-v1"),
    ],
)
def test_the_curve_holds_every_training_episode(tmp_path, recipe, env_id):
    """Their lengths add up to the steps, but for the episodes that were going on at the end."""
    job = Job(recipe, env_id, 0, 2, tmp_path)
    perform(job)
    timesteps, returns = zip(*read_curve(job.folder), strict=True)
    assert list(timesteps) == sorted(timesteps)
    assert 0 < timesteps[0] < timesteps[-1] <= recipe.n_timesteps
    if env_id == "CartPole-v1":
        assert 0 <= recipe.n_timesteps - sum(returns) < 500 * 4  # a step is worth 1
    else:
        assert set(returns) <= {0.0, 1.0}
        assert recipe.n_timesteps - timesteps[-1] < 100


def test_the_curve_of_a_table_is_that_of_the_slow_engine(tmp_path):
    compiled, stepped = (
        Job(replace(LAKE, hyperparams={**LAKE.hyperparams, "engine": engine}), "FrozenLake-v1", 0, 1, tmp_path / engine)
        for engine in ("compiled", "step")
    )
    perform(compiled), perform(stepped)
    assert read_curve(compiled.folder) == read_curve(stepped.folder)


def test_statistics_of_normalisation_are_kept_beside_the_model(tmp_path):
    recipe = Recipe("ppo", 128, 2, {"norm_reward": False}, {"policy": "MlpPolicy", "n_steps": 64})
    job = Job(recipe, "CartPole-v1", 0, 2, tmp_path)
    assert isinstance(perform(job), Run)
    assert (job.folder / "CartPole-v1" / "vecnormalize.pkl").exists()
    assert PPO.load(job.folder / "CartPole-v1.zip").num_timesteps == 128


def test_scores_of_different_seeds_share_no_episode(tmp_path, monkeypatch):
    """Else their mean is as noisy as a single one, and its interval too narrow: environment i has the seed + i."""
    seeds = []
    original = training.make_vec_env

    def noted(env_id, n_envs, seed, **kwargs):
        seeds.append(set(range(seed, seed + n_envs)))
        return original(env_id, n_envs=n_envs, seed=seed, **kwargs)

    monkeypatch.setattr(training, "make_vec_env", noted)
    for seed in range(3):
        perform(Job(LAKE, "FrozenLake-v1", seed, 100, tmp_path))
    assert [len(each) for each in seeds] == [20, 20, 20]
    assert not seeds[0] & seeds[1]
    assert not seeds[1] & seeds[2]


def test_a_finished_run_with_other_settings_is_done_again(tmp_path):
    job = Job(LAKE, "FrozenLake-v1", 0, 2, tmp_path)
    assert not is_done(job)
    perform(job)
    assert is_done(job)
    assert not is_done(job._replace(n_episodes=3))
    assert not is_done(job._replace(recipe=replace(LAKE, n_timesteps=3_000)))
    assert not is_done(job._replace(recipe=replace(LAKE, env_kwargs={"is_slippery": False})))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"algo": "ppo"}'])
def test_half_of_a_run_is_none(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    assert read_run(tmp_path) is None


def test_an_error_is_told_and_kept(tmp_path, breaking):
    __import__(breaking)
    job = Job(LAKE, "BreakingByError-v0", 0, 2, tmp_path)
    outcome = perform(job)
    assert outcome == Failure(job, "RuntimeError: the environment broke")
    assert "Traceback" in (job.folder / "error.txt").read_text()
    assert not is_done(job)
    assert not job.begun.exists()


# ---- The command ----------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_done_again(tmp_path, in_process, capsys):
    arguments = [*SMALL, "--output", str(tmp_path)]
    assert command.main(arguments) == 0
    first = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/*/run.json")}
    assert len(first) == 2
    assert command.main([*arguments, "--seeds", "3"]) == 0
    assert {file: file.stat().st_mtime_ns for file in first} == first
    rows = list(csv.DictReader((tmp_path / "scores.csv").open()))
    assert [row["seed"] for row in rows] == ["0", "1", "2"]
    assert all(0 <= float(row["score"]) <= 1 for row in rows)
    assert "q_learning" in capsys.readouterr().out


def test_the_same_command_gives_the_same_scores(tmp_path, in_process):
    for name in ("a", "b"):
        command.main([*SMALL, "--output", str(tmp_path / name)])
    scores = [[float(row["score"]) for row in csv.DictReader((tmp_path / name / "scores.csv").open())] for name in "ab"]
    assert scores[0] == scores[1]


def test_ctrl_c_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    def interrupted(function, jobs, *_):
        yield function(jobs[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "run_parallel", interrupted)
    assert command.main([*SMALL, "--output", str(tmp_path)]) == 130
    assert "runs to go: 1" in capsys.readouterr().out
    assert len(list(tmp_path.glob("*/*/run.json"))) == 1


@pytest.mark.slow
def test_ctrl_c_in_earnest(tmp_path, popen):
    line = [sys.executable, "-m", "sb3_ext.zoo", "benchmark", "--algos", "ppo", "--envs", "CartPole-v1", "--seeds", "2",
            "-n", "3000000", "--jobs", "2", "--output", str(tmp_path)]  # fmt: skip
    process = popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("*/*/.begun")):
        assert process.poll() is None
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "runs to go: 2" in out
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_crash_and_a_killed_process_cost_one_run_each(tmp_path, breaking):
    envs = [f"{breaking}:BreakingByDeath-v0", f"{breaking}:BreakingByError-v0", "FrozenLake-v1"]
    done = sb3_ext("--algos", "q_learning", "--envs", *envs, "-n", "1000", "--seeds", "3", "--jobs", "2",
                   "--eval-episodes", "2", "--output", str(tmp_path / "out"), env=os.environ)  # fmt: skip
    assert done.returncode == 1
    assert len(list(tmp_path.glob("out/*/FrozenLake*/run.json"))) == 3
    assert done.stderr.count("its process was killed") == 3
    assert done.stderr.count("RuntimeError: the environment broke") == 3
    assert "Traceback" not in done.stderr


def test_an_environment_of_ones_own_in_the_working_folder(tmp_path, in_process, monkeypatch):
    (tmp_path / "lake_of_ones_own.py").write_text(
        "import gymnasium\ngymnasium.register('Own-v0', gymnasium.spec('FrozenLake-v1').entry_point)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    status = program(["benchmark", "--algos", "q_learning", "--envs", "lake_of_ones_own:Own-v0", "-n", "100",
                      "--seeds", "1", "--eval-episodes", "2", "--output", "out"])  # fmt: skip
    assert status == 0
    assert (tmp_path / "out" / "q_learning" / "Own-v0_1" / "run.json").exists()


def test_a_pair_that_is_named_twice_is_one(tmp_path, in_process, capsys):
    twice = ["--algos", "q_learning", "q_learning", "--envs", "FrozenLake-v1", "FrozenLake-v1"]
    command.main([*twice, "-n", "100", "--seeds", "1", "--eval-episodes", "2", "--output", str(tmp_path)])
    assert capsys.readouterr().out.count("q_learning") == 1


@pytest.mark.slow
def test_kill_9_leaves_no_process_that_trains_on(tmp_path, popen):
    line = [sys.executable, "-m", "sb3_ext.zoo", "benchmark", "--algos", "ppo", "--envs", "CartPole-v1", "--seeds", "1",
            "-n", "3000000", "--jobs", "1", "--output", str(tmp_path)]  # fmt: skip
    process = popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (begun := list(tmp_path.glob("*/*/.begun"))):
        assert process.poll() is None
        time.sleep(0.2)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while alive := [each for each in workers if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < until, alive
        time.sleep(0.2)
    assert begun[0].exists()  # so that the next command knows of it


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algos", "ppo", "--envs", "no_such_module:X-v0"], "ModuleNotFoundError: No module named 'no_such_module'"),
        ([], "say --algos and --envs, or --suite"),
        (["--algos", "ppo"], "say --algos and --envs"),
        (
            ["--algos", "ppo", "--envs", "CartPole-v9"],
            "there is no environment 'CartPole-v9'; did you mean CartPole-v1",
        ),
        (["--suite", "--algos", "sac"], "leave nothing of the suite"),
        (["--algos", "ppo", "--envs", "CartPole-v1", "--conf-file", "nowhere.yml"], "cannot read nowhere.yml"),
    ],
)
def test_mistakes_are_named(tmp_path, capsys, arguments, message):
    assert command.main([*arguments, "--output", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--algos", "poo"], ["--seeds", "0"], ["--jobs", "0"], ["--format", "html"]])
def test_bad_options(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert arguments[1] in capsys.readouterr().err


def test_a_hyperparameter_that_the_class_does_not_take(tmp_path, capsys):
    file = tmp_path / "mine.yml"
    file.write_text("CartPole-v1:\n  n_timesteps: 100\n  policy: MlpPolicy\n  n_stepz: 5\n")
    arguments = ["--algos", "ppo", "--envs", "CartPole-v1", "--conf-file", str(file), "--output", str(tmp_path)]
    assert command.main(arguments) == 2
    assert "PPO does not take 'n_stepz'" in capsys.readouterr().err


# ---- The suite and its tables ---------------------------------------------------------------------------------------


def test_the_suite_knows_its_algorithms_and_environments():
    assert {algo for row in suite.SUITE for algo in row.n_seeds} <= set(TABLE)
    for row in suite.SUITE:
        assert row.env_id in gym.registry


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "CliffWalking-v1", "Taxi-v4"])
def test_the_best_possible_is_that_of_value_iteration_where_time_does_not_run_out(env_id):
    env = gym.make(env_id).unwrapped
    mdp = TabularMDP.from_P(env.P, env.initial_state_distrib)
    exact = mdp.start @ value_iteration(mdp, 1.0, 1e-9).values
    assert suite.best_in(mdp, 5_000) == pytest.approx(exact, abs=1e-6)


def test_the_best_possible_counts_the_time_limit():
    assert suite.best_return("FrozenLake-v1") == pytest.approx(0.7442, abs=5e-5)  # a published value: 100 steps
    assert suite.best_return("CliffWalking-v1") == -13
    assert suite.best_return("CartPole-v1") is None


def test_the_table_for_the_readme():
    scores = {("q_learning", "FrozenLake-v1"): [0.7, 0.74], ("ppo", "CartPole-v1"): [500.0]}
    made_runs = [made(*pair, seed, score) for pair, values in scores.items() for seed, score in enumerate(values)]
    lines = report.markdown(made_runs).splitlines()
    assert lines[0] == "| environment | q_learning | best possible |"
    assert lines[2] == "| FrozenLake-v1 | 0.720 ± 0.254 | 0.744 |"  # 12.706 sd / sqrt(2)
    assert lines[4] == "| environment | ppo | published |"
    assert lines[6].startswith("| CartPole-v1 | 500.0 | RL Zoo")


def test_what_ships_is_read_as_it_was_measured(tmp_path, in_process):
    arguments = [*SMALL, "--seeds", "3", "--output", str(tmp_path / "runs"), "--publish", str(tmp_path / "results")]
    assert command.main(arguments) == 0
    folder = tmp_path / "results" / "q_learning" / "FrozenLake-v1_1"
    result = json.loads((folder / "result.json").read_text())
    kept = [read_run(file.parent) for file in (tmp_path / "runs").glob("*/*/run.json")]
    assert {int(seed): score for seed, score in result["scores"].items()} == {run.seed: run.score for run in kept}
    assert sorted(results.shipped(tmp_path / "results"))[0].score == min(kept).score
    median = sorted(kept, key=lambda run: (run.score, run.seed))[1]
    assert result["model"].startswith(f"seed {median.seed},")
    model, original = (QLearning.load(path / "FrozenLake-v1.zip") for path in
                       (folder, tmp_path / "runs" / "q_learning" / f"FrozenLake-v1_{median.seed + 1}"))  # fmt: skip
    np.testing.assert_array_equal(model.policy.q_table, original.policy.q_table)
    assert result["command"] == "sb3-ext benchmark " + " ".join([*SMALL, "--seeds", "3"])  # no place on this machine


def test_the_curve_of_several_seeds():
    curves = [[(10, 1.0), (50, 3.0)], [(20, 2.0), (60, 6.0)]]
    thin = results.thinned(curves, 100)
    at = dict(zip(thin["timesteps"], zip(thin["lowest"], thin["median"], thin["highest"], strict=True), strict=True))
    assert at[10] == (None, None, None)
    assert at[20] == (1.0, 1.5, 2.0)
    assert at[100] == (2.0, 3.0, 4.0)
