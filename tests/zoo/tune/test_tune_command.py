"""``sb3-ext tune`` from outside: what it writes, what it says, and that nothing is lost whatever is killed."""

import json
import os
import signal

import numpy as np
import optuna
import pytest
from helpers_tune import assert_exactly, trials, until, worker_ids
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from sb3_ext import QLearning
from sb3_ext.zoo.tune import command, report, storage

NAME = "q_learning-SlowChain-v0"


def tune(folder, environments, *arguments, env="QuickChain-v0"):
    """The command in this process, its workers in theirs."""
    return command.main(
        ["--algo", "q_learning", "--env", env, "-n", "200", "--gym-packages", environments, "--output", str(folder),
         "--n-seeds", "2", "--eval-episodes", "3", "--top-k", "2", "--retrain-seeds", "3", "--workers", "1", *arguments]
    )  # fmt: skip


def states(url, name):
    return [trial.state for trial in trials(url, name)]


# ---- What it writes -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_search_to_best_and_on_again(tmp_path, environments, capsys, monkeypatch):
    url, name = f"sqlite:///{tmp_path / 'study.db'}", "q_learning-QuickChain-v0"
    assert tune(tmp_path, environments, "--n-trials", "4", "--workers", "2") == 0
    assert_exactly(url, name, 4)
    found = json.loads((tmp_path / "summary.json").read_text())
    assert found["trials"] == {"asked": 4, "complete": 4, "run_again": 0}
    assert [len(candidate["values"]) for candidate in found["candidates"]] == [3, 3]
    means = [candidate["mean"] for candidate in found["candidates"]]
    assert means == sorted(means, reverse=True)
    kinds = [f"{name}.{kind}" for name in ("history", "slices") for kind in ("png", "html")]
    for file in ("best.yml", "best_model.zip", "summary.md", *kinds):
        assert (tmp_path / file).stat().st_size > 100, file
    QLearning.load(tmp_path / "best_model.zip")
    out = capsys.readouterr().out
    assert f"--conf-file {tmp_path / 'best.yml'}" in out

    assert tune(tmp_path, environments, "--n-trials", "6") == 0  # more of the same study
    assert_exactly(url, name, 6)

    started = []
    monkeypatch.setattr("sb3_ext.zoo.tune.crew.Member", started.append)
    assert tune(tmp_path, environments, "--n-trials", "6") == 0  # nothing is left to do
    assert started == []

    capsys.readouterr()
    assert tune(tmp_path, environments, "--n-trials", "6", "--n-seeds", "3") == 2
    error = capsys.readouterr().err
    assert "n_seeds was 2, is now 3" in error
    assert "another --study-name" in error


@pytest.mark.slow
def test_what_it_finds_does_not_depend_on_being_interrupted(tmp_path, environments):
    """With one worker: the sampler's seed is a trial's own."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert tune(whole, environments, "--n-trials", "5", "--n-startup-trials", "2", "--top-k", "1") == 0
    for n_trials in ("2", "5"):
        assert tune(parts, environments, "--n-trials", n_trials, "--n-startup-trials", "2", "--top-k", "1") == 0
    drawn = [
        [trial.params for trial in trials(f"sqlite:///{folder / 'study.db'}", "q_learning-QuickChain-v0")]
        for folder in (whole, parts)
    ]
    assert drawn[0] == drawn[1]
    assert (whole / "best.yml").read_text() == (parts / "best.yml").read_text()


def test_the_model_is_trained_again_where_another_machine_has_it(tmp_path, environments):
    storage = ("--storage", f"sqlite:///{tmp_path / 'shared.db'}", "--n-trials", "2", "--top-k", "1")
    assert tune(tmp_path / "a", environments, *storage) == 0
    assert tune(tmp_path / "b", environments, *storage) == 0
    tables = [QLearning.load(tmp_path / folder / "best_model.zip").policy.q_table for folder in "ab"]
    np.testing.assert_array_equal(*tables)


# ---- What it says ---------------------------------------------------------------------------------------------------


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["--help"])
    assert stop.value.code == 0
    assert "sb3-ext tune --algo q_learning --env FrozenLake-v1" in capsys.readouterr().out


FROZEN_LAKE = ["--algo", "q_learning", "--env", "FrozenLake-v1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--algo", "q_lerning", "--env", "FrozenLake-v1"], "did you mean q_learning"),
        (["--algo", "ppo", "--env", "Cartpole-v1"], "did you mean CartPole-v1"),
        (["--algo", "ppo"], "required: --env"),
        ([*FROZEN_LAKE, "--n-trials", "0"], "must be at least 1, got 0"),
        ([*FROZEN_LAKE, "-n", "many"], "must be a whole number, got 'many'"),
        ([*FROZEN_LAKE, "--sampler", "bogo"], "there is no 'bogo'; choose from tpe, gp"),
        ([*FROZEN_LAKE, "--seed", "100000"], "must be at most 99999"),
        ([*FROZEN_LAKE, "--pruner", "wilcoxon"], "--n-seeds 5"),
        ([*FROZEN_LAKE, "--threshold", "1"], "belongs to --objective steps-to-threshold"),
        (["--algo", "q_learning", "--env", "CliffWalking-v1", "--objective", "steps-to-threshold"], "say --threshold"),
        ([*FROZEN_LAKE, "--conf-file", "nowhere.yml"], "cannot read nowhere.yml"),
        ([*FROZEN_LAKE, "--gym-packages", "no_such_module"], "no_such_module"),
        ([*FROZEN_LAKE, "--objective", "steps-to-threshold", "--threshold", "nan"], "must be a number, got nan"),
        (["--algo", "ddpg", "--env", "CartPole-v1"], "ddpg on CartPole-v1: "),
        (["--algo", "q_learning", "--env", "CartPole-v1"], "wrap the env in sb3_ext.envs.DiscretizeObservation"),
        (["--algo", "ppo_mask", "--env", "CartPole-v1"], "has no method `action_masks`"),
        ([*FROZEN_LAKE, "--heartbeat", "0"], "must be at least 0.05"),
        ([*FROZEN_LAKE, "--output", "/proc/here"], "cannot write to /proc/here"),
    ],
)
def test_bad_arguments_end_with_status_2_and_the_reason(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        command.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_hyperparameter_that_the_class_does_not_take_is_named_before_anything_starts(tmp_path, capsys):
    (tmp_path / "mine.yml").write_text("CartPole-v1: {n_timesteps: 100, policy: MlpPolicy, gama: 0.9}\n")
    with pytest.raises(SystemExit) as stop:
        command.main(["--algo", "ppo", "--env", "CartPole-v1", "--conf-file", str(tmp_path / "mine.yml")])
    assert stop.value.code == 2
    assert "PPO does not take 'gama'; it takes batch_size" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["postgresql://u:ge@heim@h/db", "postgresql://h/db?user=u&password=geheim", "mysql://u:geheim@h/db"]
)
def test_no_password_is_shown_or_written(url):
    assert "heim" not in " ".join(command._without_password(["--storage", url, f"--storage={url}"]))
    if "@heim" not in url:
        assert "geheim" not in storage.hidden(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg://me:secret@127.0.0.1:9/db", "onnection"),
        ("grpc://127.0.0.1:9", "imeout"),
        ("grpc://nothing", "write grpc://host:port"),
        ("nosql://x", "nosql"),
        ("no url", "parse"),
        ("sqlite:////nowhere/study.db", "unable to open database file"),
    ],
)
def test_an_unreachable_storage_is_named_without_its_password(
    tmp_path, environments, capsys, monkeypatch, url, message
):
    monkeypatch.setattr("sb3_ext.zoo.tune.storage.ANSWER", 1)
    assert tune(tmp_path, environments, "--storage", url) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error
    assert "Traceback" not in error


def test_a_read_only_storage_is_refused(tmp_path, environments, capsys):
    RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    assert tune(tmp_path, environments, "--storage", f"sqlite:///file:{tmp_path / 'study.db'}?mode=ro&uri=true") == 2
    assert "readonly database" in capsys.readouterr().err


def test_a_full_disk_is_named_and_what_is_finished_is_kept(tmp_path, environments, capsys, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(report, "write", full)
    arguments = ("--n-trials", "2", "--top-k", "1")
    assert tune(tmp_path, environments, *arguments) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert "the same command goes on there" in error
    monkeypatch.undo()
    assert_exactly(f"sqlite:///{tmp_path / 'study.db'}", "q_learning-QuickChain-v0", 2)


def test_a_study_of_somebody_else_is_left_alone(tmp_path, environments, capsys):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(storage=url, study_name="theirs").optimize(lambda trial: trial.suggest_float("x", 0, 1), 1)
    assert tune(tmp_path, environments, "--study-name", "theirs") == 2
    assert "was not made by sb3-ext tune" in capsys.readouterr().err
    assert states(url, "theirs") == [TrialState.COMPLETE]


def test_an_exception_in_a_trial_stops_everything_and_names_its_hyperparameters(tmp_path, environments, capsys):
    assert tune(tmp_path, environments, "--n-trials", "3", "--workers", "2", env="BrokenChain-v0") == 1
    error = capsys.readouterr().err
    assert "ValueError: the chain broke" in error
    assert "'exploration'" in error
    assert "Traceback" in (tmp_path / "error.txt").read_text()
    found = states(f"sqlite:///{tmp_path / 'study.db'}", "q_learning-BrokenChain-v0")
    assert TrialState.FAIL in found
    assert not {TrialState.PRUNED, TrialState.COMPLETE, TrialState.RUNNING} & set(found)


# ---- What is killed -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_leaves_no_trial_running(tmp_path, start):
    url = f"sqlite:///{tmp_path / 'runs/tune' / NAME / 'study.db'}"
    arguments = ("--n-trials", "8", "--workers", "2")
    process = start(*arguments)
    until(lambda: TrialState.COMPLETE in states(url, NAME))
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[0]
    assert process.returncode == 130, said
    assert "interrupted. What is finished is kept: the same command goes on there" in said
    assert "Traceback" not in said
    found = states(url, NAME)
    assert TrialState.COMPLETE in found
    assert TrialState.RUNNING not in found
    again = start(*arguments)
    said = again.communicate(timeout=60)[0]
    assert again.returncode == 0, said
    assert_exactly(url, NAME, 8)


@pytest.mark.slow
def test_killed_workers_are_replaced_and_a_killed_command_is_gone_on_with(tmp_path, start):
    url = f"sqlite:///{tmp_path / 'runs/tune' / NAME / 'study.db'}"
    arguments = ("--n-trials", "10", "--workers", "2")
    process = start(*arguments)
    for n_finished in (1, 3):
        until(lambda n=n_finished: states(url, NAME).count(TrialState.COMPLETE) >= n)
        until(lambda: worker_ids(process))
        os.kill(worker_ids(process)[0], signal.SIGKILL)
    until(lambda: states(url, NAME).count(TrialState.COMPLETE) >= 5)
    orphans = worker_ids(process)
    process.kill()
    process.wait()
    until(lambda: not any(os.path.exists(f"/proc/{orphan}") for orphan in orphans))  # they end by themselves
    again = start(*arguments)
    said = again.communicate(timeout=90)[0]
    assert again.returncode == 0, said
    assert_exactly(url, NAME, 10)


@pytest.mark.slow
def test_two_commands_share_a_study(tmp_path, start):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    both = [start("--storage", url, "--n-trials", "9", "--workers", "1", "--output", folder) for folder in "ab"]
    said = [process.communicate(timeout=90)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert_exactly(url, NAME, 9)
    workers = {trial.user_attrs["worker"] for trial in trials(url, NAME) if trial.state == TrialState.COMPLETE}
    assert len(workers) == 2
    found = [json.loads((tmp_path / folder / "summary.json").read_text()) for folder in "ab"]
    assert found[0]["candidates"] == found[1]["candidates"]


@pytest.mark.slow
def test_postgres_restarts_and_a_worker_is_killed(start, postgres):
    process = start("--storage", postgres.url, "--n-trials", "10", "--workers", "2")
    until(lambda: states(postgres.url, NAME).count(TrialState.COMPLETE) >= 2)
    os.kill(worker_ids(process)[0], signal.SIGKILL)
    until(lambda: states(postgres.url, NAME).count(TrialState.COMPLETE) >= 4)
    postgres.control("restart", "-m", "fast")
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert_exactly(postgres.url, NAME, 10)
    assert any("again" in trial.user_attrs for trial in trials(postgres.url, NAME))


def test_a_grpc_proxy_serves_as_storage(tmp_path, environments):
    from optuna.storages._grpc.server import make_server

    url = f"sqlite:///{tmp_path / 'study.db'}"
    server = make_server(optuna.storages.get_storage(url), "127.0.0.1", 0)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        assert tune(tmp_path, environments, "--storage", f"grpc://127.0.0.1:{port}", "--n-trials", "3") == 0
    finally:
        server.stop(None)
    assert_exactly(url, "q_learning-QuickChain-v0", 3)


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_storage_that_is_gone(start, postgres):
    process = start("--storage", postgres.url, "--n-trials", "30", "--workers", "1")
    until(lambda: TrialState.COMPLETE in states(postgres.url, NAME))
    postgres.control("stop", "-m", "immediate")
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[0]
    postgres.control("start")
    assert process.returncode == 130, said
    assert "the same command goes on there" in said
    assert "Traceback" not in said
