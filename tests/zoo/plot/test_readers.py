"""Each format is read as its writer means it; what is damaged in it is said, and the rest is used."""

import sys

import numpy as np
import pytest

from sb3_ext.zoo.plot.readers import (
    EPISODES,
    EVALUATIONS,
    read_benchmark,
    read_evaluations,
    read_monitors,
    read_tensorboard,
)


def test_environments_of_one_run_step_together(monitor, tmp_path):
    files = [monitor(tmp_path / "0.monitor.csv", [(1, 10), (3, 20)]), monitor(tmp_path / "1.monitor.csv", [(2, 15)])]
    log = read_monitors(files, [])
    assert log.timesteps.tolist() == [20, 30, 60]
    assert log.returns.tolist() == [1, 2, 3]
    assert (log.length, log.env) == (60, "CartPole-v1")


def test_a_score_of_training_episodes_is_the_mean_of_the_last_100(monitor, tmp_path):
    log = read_monitors([monitor(tmp_path / "monitor.csv", [(0, 1)] * 50 + [(6, 1)] * 50 + [(0, 1)] * 50)], [])
    assert (log.score, log.scored_by) == (3.0, EPISODES)
    np.testing.assert_allclose(log.mean_return(np.array([50.0, 100.0, 150.0])), [0, 3, 3])


def test_a_line_that_is_cut_is_left_out_and_said(monitor, tmp_path):
    file = monitor(tmp_path / "monitor.csv", [(1, 10), (2, 10), (300, 10)])
    file.write_text(file.read_text()[:-10])  # 300.0 became 3
    problems = []
    assert read_monitors([file], problems).returns.tolist() == [1, 2]
    assert len(problems) == 1
    assert "cut" in problems[0]


@pytest.mark.parametrize("line", ["1.0", "one,2,3", "1,nan,3", "1,2,3,4", "\0\0"])
def test_a_damaged_line_is_left_out_and_said(line, monitor, tmp_path):
    file = monitor(tmp_path / "monitor.csv", [(1, 10), (2, 10)])
    file.write_text(file.read_text() + f"{line}\n3,10,9.0\n")
    problems = []
    assert read_monitors([file], problems).returns.tolist() == [1, 2, 3]
    assert "1 of 4" in problems[0]


@pytest.mark.parametrize("content", ["", "#{}\n", "#{}\nr,l,t\n", "a,b\n1,2\n", "\xff\xfe\0"])
def test_a_monitor_file_without_an_episode(content, tmp_path):
    file = tmp_path / "monitor.csv"
    file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=r"monitor\.csv"):
        read_monitors([file], [])


def test_one_broken_file_of_several_does_not_spoil_the_others(monitor, tmp_path):
    files = [monitor(tmp_path / "0.monitor.csv", [(1, 10)]), tmp_path / "1.monitor.csv"]
    files[1].touch()
    problems = []
    assert read_monitors(files, problems).timesteps.tolist() == [20]
    assert "1.monitor.csv is empty" in problems[0]


def test_returns_that_are_not_finite_are_left_out_and_said(evaluations, tmp_path):
    problems = []
    log = read_evaluations(evaluations(tmp_path, [10, 20, 30], [1.0, np.nan, np.inf]) / "evaluations.npz", problems)
    assert (log.returns.tolist(), log.score, log.length) == ([1.0], None, 30.0)
    assert "2 of 3" in problems[0]
    assert "final score is inf" in problems[1]


def test_evaluations_are_means_over_their_episodes(tmp_path):
    np.savez(tmp_path / "evaluations.npz", timesteps=[100, 200], results=[[1, 2, 3], [5, 6, 10]])
    log = read_evaluations(tmp_path / "evaluations.npz", [])
    assert (log.timesteps.tolist(), log.returns.tolist()) == ([100, 200], [2, 7])
    assert (log.score, log.scored_by) == (7, EVALUATIONS)
    np.testing.assert_allclose(log.mean_return(np.array([50.0, 150.0, 200.0])), [np.nan, 4.5, 7])


@pytest.mark.parametrize("cut", [0, 100, -30])
def test_evaluations_that_are_cut(cut, evaluations, tmp_path):
    file = evaluations(tmp_path, [1, 2], [3, 4]) / "evaluations.npz"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"evaluations\.npz was cut"):
        read_evaluations(file, [])


def test_a_run_of_a_benchmark(benchmark, tmp_path):
    log = read_benchmark(benchmark(tmp_path, "sarsa", "Taxi-v4", [7.5]) / "sarsa/Taxi-v4_1", [])
    assert (log.algo, log.env, log.name, log.score, log.length) == ("sarsa", "Taxi-v4", "seed 0", 7.5, 1000)
    assert (log.timesteps[-1], log.scored_by, log.drawn) == (1000, EVALUATIONS, EPISODES)


def test_a_run_that_crashed_says_why(benchmark, tmp_path):
    folder = benchmark(tmp_path, "sarsa", "Taxi-v4", [7.5]) / "sarsa/Taxi-v4_1"
    (folder / "error.txt").write_text("Traceback\n  line\nMemoryError: too large\n")
    with pytest.raises(ValueError, match="crashed: MemoryError: too large"):
        read_benchmark(folder, [])


def test_a_run_that_is_not_finished_or_damaged(benchmark, tmp_path):
    folder = benchmark(tmp_path, "sarsa", "Taxi-v4", [7.5]) / "sarsa/Taxi-v4_1"
    (folder / "run.json").write_text((folder / "run.json").read_text()[:30])
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        read_benchmark(folder, [])
    (folder / "run.json").unlink()
    with pytest.raises(ValueError, match="killed, or still going on"):
        read_benchmark(folder, [])


def test_a_score_counts_without_its_curve(benchmark, tmp_path):
    folder = benchmark(tmp_path, "sarsa", "Taxi-v4", [7.5]) / "sarsa/Taxi-v4_1"
    (folder / "curve.csv").write_text("")
    problems = []
    log = read_benchmark(folder, problems)
    assert (log.score, len(log.returns)) == (7.5, 0)
    assert "its curve is missing" in problems[0]


# ---- TensorBoard ----------------------------------------------------------------------------------------------------


def events(folder, **tags):
    """Write scalars, as SB3's logger does."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for tag, values in tags.items():
            for step, value in values.items():
                writer.add_scalar(tag.replace("__", "/"), value, step)
    return folder


def test_tensorboard_evaluations_before_training_episodes(tmp_path):
    folder = events(tmp_path, rollout__ep_rew_mean={10: 1.0, 20: 2.0}, eval__mean_reward={15: 5.0, 30: 6.0})
    log = read_tensorboard(folder, [])
    assert (log.timesteps.tolist(), log.returns.tolist(), log.scored_by) == ([15, 30], [5, 6], EVALUATIONS)


def test_tensorboard_training_episodes_are_means_already(tmp_path):
    log = read_tensorboard(events(tmp_path, rollout__ep_rew_mean={10: 1.0, 20: 2.0}), [])
    assert (log.returns.tolist(), log.score, log.drawn) == ([1, 2], 2, EPISODES)
    assert log.mean_return(np.array([15.0])) == 1.5


def test_tensorboard_without_returns(tmp_path):
    with pytest.raises(ValueError, match="neither eval/mean_reward nor rollout/ep_rew_mean"):
        read_tensorboard(events(tmp_path, train__loss={1: 1.0}), [])


def test_tensorboard_that_is_cut_is_read_up_to_there(tmp_path):
    folder = events(tmp_path, rollout__ep_rew_mean={step: float(step) for step in range(10)})
    (file,) = folder.glob("*tfevents*")
    file.write_bytes(file.read_bytes()[:-20])
    assert read_tensorboard(folder, []).returns.tolist() == list(range(9))


def test_tensorboard_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        read_tensorboard(tmp_path, [])


# ---- What SB3 writes itself -----------------------------------------------------------------------------------------


def test_sb3s_own_logs_of_one_training_agree(tmp_path):
    from stable_baselines3 import A2C
    from stable_baselines3.common.callbacks import EvalCallback
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env("CartPole-v1", n_envs=2, seed=0, monitor_dir=str(tmp_path / "run"))
    evaluation = EvalCallback(make_vec_env("CartPole-v1"), eval_freq=50, n_eval_episodes=2,
                              log_path=str(tmp_path / "run"), verbose=0)  # fmt: skip
    model = A2C("MlpPolicy", env, seed=0, device="cpu", tensorboard_log=str(tmp_path / "tensorboard"))
    model.learn(300, callback=evaluation, log_interval=1)

    monitored = read_monitors(sorted((tmp_path / "run").glob("*.monitor.csv")), [])
    assert monitored.env == "CartPole-v1"
    assert 200 < monitored.length <= 300
    assert monitored.score == pytest.approx(np.mean([episode["r"] for episode in model.ep_info_buffer][-100:]))
    evaluated = read_evaluations(tmp_path / "run/evaluations.npz", [])
    assert evaluated.timesteps.tolist() == [100, 200, 300]
    shown = read_tensorboard(tmp_path / "tensorboard/A2C_1", [])
    np.testing.assert_allclose(shown.timesteps, evaluated.timesteps)
    np.testing.assert_allclose(shown.returns, evaluated.returns, rtol=1e-6)
