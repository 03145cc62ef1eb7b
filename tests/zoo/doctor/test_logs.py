"""Logs of trainings: each format read, and what is broken in them told instead of raised."""

import shutil

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor

from sb3_ext.zoo.doctor.logs import read_logs, read_table
from sb3_ext.zoo.doctor.signs import examine

HEAD = "time/total_timesteps,train/loss,rollout/ep_rew_mean\n"


def progress(folder, text):
    folder.mkdir(exist_ok=True)
    (folder / "progress.csv").write_text(text)
    return folder


def monitor(folder, rows, name="monitor.csv", head="r,l,t"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text('#{"t_start": 0.0, "env_id": "CartPole-v1"}\n' + head + "\n" + rows)
    return folder


def binary(folder, name):
    (folder / name).write_bytes(np.random.default_rng(0).bytes(2_000))
    return folder


def read(folder):
    problems = []
    records = read_logs(folder, problems)
    return list(records.values()), problems


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What SB3 writes, of a training with a learning rate of 1."""
    folder = tmp_path_factory.mktemp("trained")
    for kind, writer in (("csv", "csv"), ("board", "tensorboard")):
        env = Monitor(gym.make("CartPole-v1"), str(folder / "csv" / "0") if kind == "csv" else None)
        model = PPO("MlpPolicy", env, n_steps=64, n_epochs=2, learning_rate=1.0, seed=0, device="cpu")
        model.set_logger(configure(str(folder / kind), [writer]))
        model.learn(1_024)
    return folder


@pytest.mark.parametrize("kind", ["csv", "board"])
def test_what_sb3_writes_is_read_and_shows_what_is_wrong(trained, kind):
    [record], problems = read(trained / kind)
    assert problems == []
    assert 1_000 < record.n_timesteps <= 1_024
    assert len(record.values("train/approx_kl")) >= 10
    assert "steps too large" in [finding.sign for finding in examine(record)]
    assert ("episode/length" in record) == (kind == "csv")


def test_tensorboard_stands_in_for_a_progress_csv_that_is_empty(trained, tmp_path):
    [events] = (trained / "board").iterdir()
    shutil.copy(events, progress(tmp_path, ""))
    [record], problems = read(tmp_path)
    assert "train/approx_kl" in record
    assert len(problems) == 1


def test_episodes_of_several_environments_are_put_in_order(tmp_path):
    monitor(tmp_path, "1,10,0.1\n2,10,0.2\n", "0.monitor.csv")
    monitor(tmp_path, "3,15,0.1\n", "1.monitor.csv")
    [record], problems = read(tmp_path)
    steps, returns = record.points("episode/return")
    assert steps.tolist() == [20, 30, 40]
    assert returns.tolist() == [1, 3, 2]
    assert problems == []


def test_raw_and_shaped_returns_are_read(tmp_path):
    generator = np.random.default_rng(0)
    rows = "".join(
        f"{shaped},10,{i},{raw},{shaped}\n"
        for i, (shaped, raw) in enumerate(
            zip(np.linspace(1, 9, 100) + generator.normal(0, 0.1, 100), np.linspace(1, 0, 100), strict=True)
        )
    )
    monitor(tmp_path, rows, head="r,l,t,raw_return,shaped_return")
    [record], _ = read(tmp_path)
    assert [finding.sign for finding in examine(record)] == ["reward hacking"]


def test_a_benchmark_s_curve_is_read(tmp_path):
    (tmp_path / "curve.csv").write_text("timestep,return\n10,1.5\n20,2.5\n")
    [record], _ = read(tmp_path)
    assert record.points("episode/return")[0].tolist() == [10, 20]


def test_every_folder_below_is_a_run(tmp_path):
    progress(tmp_path / "a", HEAD + "10,1,1\n")
    progress(tmp_path / "b", HEAD + "10,1,1\n")
    records, _ = read(tmp_path)
    assert len(records) == 2


def test_blanks_are_left_out(tmp_path):
    [record], problems = read(progress(tmp_path, HEAD + "10,,1\n20,0.5,\n"))
    assert record.points("train/loss")[0].tolist() == [20]
    assert record.points("rollout/ep_rew_mean")[0].tolist() == [10]
    assert problems == []


def test_nan_in_a_log_is_a_sign(tmp_path):
    [record], _ = read(progress(tmp_path, HEAD + "10,1,1\n20,nan,1\n"))
    assert [finding.sign for finding in examine(record)] == ["NaN"]
    assert "step 20" in examine(record)[0].saw


def test_a_half_written_line_is_left_out_and_told(tmp_path):
    [record], problems = read(progress(tmp_path, HEAD + "10,1,1\n20,0."))
    assert record.values("train/loss").tolist() == [1]
    assert len(problems) == 1
    assert "its last line is cut" in problems[0]


def test_damaged_lines_are_left_out_and_counted(tmp_path):
    [record], problems = read(progress(tmp_path, HEAD + "10,1,1\n20,2\n30,3,1\n40,x,1\n"))
    assert record.values("train/loss").tolist() == [1, 3]
    assert "damaged lines were left out, 1 of 4" in problems[0]


def test_an_empty_file_beside_a_good_one_is_told(tmp_path):
    progress(tmp_path / "good", HEAD + "10,1,1\n")
    progress(tmp_path / "empty", "")
    records, problems = read(tmp_path)
    assert len(records) == 1
    assert [problem.endswith("is empty") for problem in problems] == [True]


def test_a_header_alone_is_told(tmp_path):
    problems = []
    file = progress(tmp_path, HEAD) / "progress.csv"
    assert read_table(file, problems) == {"time/total_timesteps": [], "train/loss": [], "rollout/ep_rew_mean": []}
    assert "only a header" in problems[0]


def test_without_a_column_of_steps_lines_are_counted(tmp_path):
    [record], problems = read(progress(tmp_path, "train/loss\n1\n2\n"))
    assert record.points("train/loss")[0].tolist() == [1, 2]
    assert "no column time/total_timesteps" in problems[0]


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda folder: folder / "nowhere", "there is no folder"),
        (lambda folder: folder, "holds no progress.csv"),
        (lambda folder: progress(folder, HEAD) / "progress.csv", "is a file"),
        (lambda folder: progress(folder, ""), "progress.csv is empty"),
        (lambda folder: monitor(folder, ""), "only a header"),
        (lambda folder: binary(folder, "events.out.tfevents.1"), "no number in its TensorBoard log"),
        (lambda folder: binary(folder, "monitor.csv"), "no column r and l"),
    ],
)
def test_what_holds_no_log_is_refused(tmp_path, prepare, message):
    with pytest.raises(ValueError, match=message):
        read_logs(prepare(tmp_path), [])
