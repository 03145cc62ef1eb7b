"""The comparison keeps what is done; the check sees differences; tune's ids stand for the rows of all agents."""

import json
from dataclasses import replace
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from mpe2 import simple_spread_v3

from sb3_ext.multi_agent import PettingZooVecEnv
from sb3_ext.vec_env import make_vec_env
from sb3_ext.zoo.__main__ import main
from sb3_ext.zoo.multi_agent import check, compare, parallel_check, training, tuning
from sb3_ext.zoo.multi_agent.examples import EXAMPLES
from sb3_ext.zoo.multi_agent.training import TeamCurves, train, with_options


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs jobs here; the list of those that ran."""
    ran = []

    def run_here(function, jobs, n_processes, n_timesteps, unit="step"):
        ran.extend(jobs)
        return map(function, jobs)

    monkeypatch.setattr(compare, "run_parallel", run_here)
    monkeypatch.setattr(compare, "N_EPISODES", 2)
    monkeypatch.setattr(check, "run_parallel", run_here)
    return ran


@pytest.fixture
def short_tutorial(monkeypatch):
    """Rollouts of 50 steps in 2 copies, learned from once."""
    hyperparams = {"policy": "MlpPolicy", "n_steps": 50, "batch_size": 150, "n_epochs": 1}
    tutorial = replace(training.TUTORIAL, n_envs=2, hyperparams=hyperparams)
    monkeypatch.setattr(training, "TUTORIAL", tutorial)
    monkeypatch.setattr(compare, "TUTORIAL", tutorial)


def test_what_is_compared_is_kept(short, short_tutorial, in_this_process, tmp_path, capsys):
    short("simple_spread", n_steps=8, batch_size=16, n_epochs=1)
    arguments = ["multi-agent", "simple_spread", "--compare", "-n", "100", "--seeds", "2", "--output", str(tmp_path)]
    assert main(arguments) == 0
    ways = ["shared", "independent", "centralized", "tutorial", "random"]
    assert [(job.way, job.seed) for job in in_this_process] == [(way, seed) for seed in range(2) for way in ways]
    printed = capsys.readouterr().out
    assert all(f"| {way} | 2 | " in printed for way in ways)
    assert (tmp_path / "compare.png").exists()
    in_this_process.clear()
    assert main(arguments) == 0
    assert in_this_process == []
    assert capsys.readouterr().out == printed
    file = tmp_path / "compare" / "shared" / "1.json"
    file.write_text(file.read_text()[:50])
    assert main([*arguments[:-4], "--seeds", "1", "--output", str(tmp_path)]) == 0
    assert in_this_process == []
    assert main(arguments) == 0
    assert [(job.way, job.seed) for job in in_this_process] == [("shared", 1)]
    in_this_process.clear()
    arguments[4] = "200"
    main(arguments)
    assert len(in_this_process) == 10


def test_seeds_differ_and_are_repeatable(short, in_this_process, tmp_path):
    short("simple_spread", n_steps=8, batch_size=16, n_epochs=1)
    scores = []
    for folder in ("a", "b"):
        for seed in range(2):
            job = compare.Job("simple_spread", "shared", seed, 50, 3, tmp_path / folder / f"{seed}.json")
            scores.append(json.loads(compare.run_one(job).file.read_text())["score"])
    assert scores[:2] == scores[2:]
    assert scores[0] != scores[1]


def test_curves_hold_every_episode_of_each_team():
    example = EXAMPLES["simple_tag"]
    models = with_options(example.ways["independent"], 200, 2)
    made = []
    trained = train(example, "independent", models, 0, made.append)
    steps, returns = trained.curves["chasers"]
    assert sum(made) >= 200
    assert steps[:4] == [50, 50, 100, 100]  # 25 steps in each of 2 copies
    chased = [episode["r"] for episode in trained.models["adversary_*"].ep_info_buffer]
    np.testing.assert_allclose(returns, np.reshape(chased, (-1, 3)).sum(axis=1), rtol=1e-6)
    ran = [episode["r"] for episode in trained.models["agent_*"].ep_info_buffer]
    np.testing.assert_allclose(trained.curves["runner"][1][: len(ran)], ran, rtol=1e-6)


def test_the_tutorials_chain_counts_steps_of_the_environment(short_tutorial):
    made = []
    trained = training.tutorial(EXAMPLES["simple_spread"], 150, 0, made.append)
    assert trained.models["*"].num_timesteps == 3 * 200
    assert sum(made) == 200
    steps, returns = trained.curves["team"]
    assert steps == [50, 50, 100, 100, 150, 150, 200, 200]
    assert len(set(returns)) == 8


def test_the_team_of_a_shared_model_is_everybody():
    env = PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=2, seed=0)
    log, teams = TeamCurves({"team": "*"}), []
    log.init_callback(SimpleNamespace(get_env=lambda: env, logger=None))
    env.reset()
    for _ in range(50):
        infos = env.step(np.zeros(6, int))[3]
        log._on_step()
        teams += [info["team_episode"]["r"] for info in infos if "team_episode" in info]
    assert log.curves["team"] == ([50, 50, 100, 100], teams)


# --- the check


def test_a_difference_is_a_line_of_the_table(in_this_process, monkeypatch, capsys):
    class Generous(simple_spread_v3.raw_env):
        def _execute_world_step(self):
            super()._execute_world_step()
            Generous.n += 1
            self.rewards["agent_0"] += Generous.n

        n = 0

    from pettingzoo.utils.conversions import parallel_wrapper_fn
    from pettingzoo.utils.wrappers import OrderEnforcingWrapper

    wrong = SimpleNamespace(
        parallel_env=parallel_wrapper_fn(lambda **kwargs: OrderEnforcingWrapper(Generous(**kwargs)))
    )
    monkeypatch.setattr(parallel_check, "ENVIRONMENTS", {"right": simple_spread_v3, "wrong": wrong})
    monkeypatch.setattr(check, "CLASSIC_IDS", ("classic/tictactoe_v3", "classic/nothing_v0"))
    assert main(["multi-agent", "--check", "-n", "40"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| right | PettingZooVecEnv | 120 | 1 |  | equal |"
    assert "**differs**: step 0, agent_0: reward" in lines[3]
    assert lines[4].startswith("| classic/tictactoe_v3 | SelfPlayEnv | 40 | ")
    assert lines[4].endswith("| equal |")
    assert "**differs**" in lines[5]
    assert lines[6].startswith("2 of 4 environments")


# --- tune


def test_an_id_of_tune_is_a_row_for_each_agent():
    env = make_vec_env("multi/simple_spread-v0", n_envs=2, seed=5)
    plain = PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=2, seed=5)
    np.testing.assert_array_equal(env.reset(), plain.reset())
    for _ in range(25):
        seen, _, dones, infos = env.step(np.ones(6, int))
        np.testing.assert_array_equal(seen, plain.step(np.ones(6, int))[0])
    assert dones.all()
    assert all(info["episode"]["l"] == 25 for info in infos)


def test_there_is_no_environment_for_one_agent_behind_it():
    with pytest.raises(ValueError, match=r"has several agents; make it with sb3_ext\.vec_env\.make_vec_env"):
        gym.make("multi/simple_spread-v0")


def test_tune_is_given_the_examples_hyperparameters(monkeypatch, tmp_path):
    import yaml

    from sb3_ext.zoo import tune

    given = []
    monkeypatch.setattr(tune, "main", lambda arguments: given.append(arguments) or 0)
    command = ["multi-agent", "simple_spread", "--tune", "7", "-n", "1000", "--jobs", "1", "--output", str(tmp_path)]
    assert main(command) == 0
    options = dict(zip(given[0][::2], given[0][1::2], strict=True))
    assert options["--n-trials"] == "7"
    assert options["--env"] == "multi/simple_spread-v0"
    entry = yaml.safe_load((tmp_path / "hyperparams.yml").read_text())["multi/simple_spread-v0"]
    assert entry["n_timesteps"] == 3000
    assert entry["gamma"] == tuning.EXAMPLES["simple_spread"].ways["shared"]["*"].hyperparams["gamma"]


@pytest.mark.slow
def test_tune_searches(tmp_path):
    command = ["simple_spread", "--tune", "1", "-n", "300", "--n-envs", "2", "--seeds", "1", "--jobs", "1"]
    assert main(["multi-agent", *command, "--output", str(tmp_path)]) == 0
    assert (tmp_path / "tune" / "best.yml").exists()
