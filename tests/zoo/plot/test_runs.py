"""Runs are found where people have them, once each, under the right names."""

from pathlib import Path

import pytest

from sb3_ext.zoo.plot.runs import UNKNOWN, find_runs, labels


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("logs/ppo/CartPole-v1_3", ("ppo", "CartPole-v1", "run 3")),  # RL Zoo
        ("logs/tb/CartPole-v1/PPO_2", ("ppo", "CartPole-v1", "run 2")),  # its TensorBoard logs
        ("logs/CartPole-v1/QLearning_4", ("q_learning", "CartPole-v1", "run 4")),
        ("logs/ppo_lr1e-3/CartPole-v1_1", ("ppo_lr1e-3", "CartPole-v1", "run 1")),
        ("logs/my_idea/CartPole-v1/seed3", ("my_idea", "CartPole-v1", "run 3")),
        ("logs/my_idea/ALE-Pong-v5_seed_12", ("my_idea", "ALE-Pong-v5", "run 12")),
        ("logs/dqn/Taxi-v4/seed_1/evaluations.npz", ("dqn", "Taxi-v4", "run 1")),
        ("logs/dqn/Taxi-v4/7.monitor.csv", ("dqn", "Taxi-v4", "run 7")),
        ("logs/baseline/3", ("baseline", None, "run 3")),
        ("logs", ("logs", None, None)),
    ],
)
def test_names_are_read_from_the_path(place, expected):
    assert labels(Path("/data", place), Path("/data/logs")) == expected


def test_one_run_with_several_logs_is_one_run(monitor, evaluations, tmp_path):
    folder = evaluations(tmp_path / "ppo/CartPole-v1_1", [100, 200], [5, 6])
    monitor(folder / "0.monitor.csv", [(1, 10)])
    monitor(folder / "1.monitor.csv", [(1, 10)])
    (folder / "tb").mkdir()
    (folder / "tb/events.out.tfevents.1").write_bytes(b"x")
    (found,) = find_runs([tmp_path], problems := [])
    assert (found.algo, found.env, found.name, found.log.score) == ("ppo", "CartPole-v1", "run 1", 6)
    assert problems == []


def test_if_the_best_log_is_broken_the_next_is_taken_and_said(monitor, tmp_path):
    monitor(tmp_path / "ppo/CartPole-v1_1/0.monitor.csv", [(7, 10)])
    (tmp_path / "ppo/CartPole-v1_1/evaluations.npz").touch()
    (found,) = find_runs([tmp_path], problems := [])
    assert found.log.score == 7
    assert "was cut" in problems[0]


def test_named_monitor_files_of_one_folder_are_runs_of_their_own(monitor, tmp_path):
    for name in ("seed1.monitor.csv", "seed2.monitor.csv"):
        monitor(tmp_path / "ppo" / name, [(1, 10)])
    assert [(run.name, run.algo) for run in find_runs([tmp_path], [])] == [("run 1", "ppo"), ("run 2", "ppo")]


def test_a_run_that_is_given_twice_counts_once(benchmark, tmp_path):
    benchmark(tmp_path, "sarsa", "Taxi-v4", [1.0, 2.0])
    assert len(find_runs([tmp_path, tmp_path / "sarsa", tmp_path / "sarsa/Taxi-v4_1/run.json"], [])) == 2


def test_a_crashed_run_costs_one_run(benchmark, tmp_path):
    benchmark(tmp_path, "sarsa", "Taxi-v4", [1.0, 2.0])
    (tmp_path / "sarsa/Taxi-v4_1/error.txt").write_text("ValueError: no\n")
    (found,) = find_runs([tmp_path], problems := [])
    assert found.name == "seed 1"
    assert "crashed: ValueError: no" in problems[0]


def test_folders_are_told_apart(benchmark, tmp_path):
    for folder in ("old/logs", "new/logs"):
        benchmark(tmp_path / folder, "sarsa", "Taxi-v4", [1.0])
    found = find_runs([tmp_path / "old/logs", tmp_path / "new/logs"], [])
    assert [run.folder for run in found] == ["old/logs", "new/logs"]
    assert [run.folder for run in find_runs([tmp_path], [])] == ["new", "old"]  # of one folder its subfolders


def test_an_environment_with_a_slash_is_the_same_as_in_files(benchmark, monitor, tmp_path):
    monitor(tmp_path / "ppo/sb3_ext-GridWorld-v0_1/0.monitor.csv", [(1, 5)], env="sb3_ext/GridWorld-v0")
    monitor(tmp_path / "dqn/sb3_ext-GridWorld-v0_1/0.monitor.csv", [(1, 5)], env="None")
    assert {run.env for run in find_runs([tmp_path], [])} == {"sb3_ext/GridWorld-v0"}


def test_runs_of_an_unknown_environment_are_said(monitor, tmp_path):
    monitor(tmp_path / "ppo/0.monitor.csv", [(1, 5)], env=None)
    (found,) = find_runs([tmp_path], problems := [])
    assert found.env == UNKNOWN
    assert "names no environment" in problems[0]


def test_what_is_not_there_or_no_log(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not there"):
        find_runs([tmp_path / "nowhere"], [])
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"notes\.txt is no log that can be read"):
        find_runs([tmp_path / "notes.txt"], [])
