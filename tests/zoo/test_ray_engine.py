"""``--engine ray``: jobs on a cluster of two nodes, one of which is lost on the way; clusters that are not there."""

import http.server
import subprocess
import sys
import threading
import time

import pytest

from sb3_ext.zoo.benchmark.runs import Failure, Job, Parcel, is_done, keep, perform_away
from sb3_ext.zoo.ray_engine import ClusterError
from sb3_ext.zoo.ray_engine import cluster as connected
from sb3_ext.zoo.recipes import Recipe

ray = pytest.importorskip("ray")
LAKE = Recipe("q_learning", 500, hyperparams={"policy": "TabularPolicy"})


def command(*arguments, **settings):
    """``sb3-ext`` in a process of its own, its output to read."""
    line = [sys.executable, "-m", "sb3_ext.zoo", *arguments]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings)


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes of one CPU."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


# ---- Without a cluster ----------------------------------------------------------------------------------------------


def test_a_run_travels_with_all_its_files(tmp_path):
    job = Job(LAKE, "FrozenLake-v1", 0, 2, tmp_path)
    parcel = perform_away(job)
    assert list(tmp_path.iterdir()) == []  # done elsewhere
    run = keep(parcel)
    assert is_done(job)
    assert run.score == parcel.result.score
    assert {file.name for file in job.folder.iterdir()} >= {"FrozenLake-v1.zip", "curve.csv", "run.json"}


def test_a_failure_travels_with_its_reason(tmp_path):
    job = Job(LAKE, "CartPole-v1", 0, 2, tmp_path)
    failure = keep(perform_away(job))
    assert isinstance(failure, Failure)
    assert failure.job == job
    assert "Discrete" in (job.folder / "error.txt").read_text()
    assert not is_done(job)


def test_what_came_before_is_replaced(tmp_path):
    job = Job(LAKE, "FrozenLake-v1", 0, 2, tmp_path)
    keep(Parcel(job, Failure(job, "lost"), {"error.txt": b"lost"}))
    keep(perform_away(job))
    assert not (job.folder / "error.txt").exists()


@pytest.mark.parametrize("name", ["benchmark", "tune"])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--engine", "ray", "--address", "127.0.0.1:1"], "--address 127.0.0.1:1: no Ray cluster answers there"),
        (["--engine", "ray", "--address", "somewhere"], "--address must be HOST:PORT or auto, got 'somewhere'"),
        (["--address", "127.0.0.1:1"], "--address belongs to --engine ray"),
        (["--engine", "rya"], "there is no 'rya'; choose from local, ray"),
    ],
)
def test_a_cluster_that_is_not_there_is_named_in_a_line(name, options, reason, tmp_path, capsys):
    from sb3_ext.zoo.benchmark.command import main as benchmark
    from sb3_ext.zoo.tune.command import main as tune

    if name == "benchmark":
        asked = ["--algos", "q_learning", "--envs", "FrozenLake-v1", "-n", "100", "--output", str(tmp_path)]
        status = outcome(benchmark, [*asked, *options])
    else:
        asked = ["--algo", "q_learning", "--env", "FrozenLake-v1", "-n", "100", "--output", str(tmp_path),
                 "--storage", f"sqlite:///{tmp_path / 'study.db'}"]  # fmt: skip
        status = outcome(tune, [*asked, *options])
    assert status == 2
    assert reason in capsys.readouterr().err


def test_a_server_that_is_no_cluster_is_told_at_once():
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        with pytest.raises(ClusterError, match="what answers there is no Ray cluster"), connected(address):
            pass


def outcome(main, arguments):
    """The status that a command ends with, by itself or by argparse."""
    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code


def test_tuning_on_several_nodes_needs_a_storage_that_they_reach(tmp_path, capsys):
    from sb3_ext.zoo.tune.command import main

    arguments = ["--algo", "q_learning", "--env", "FrozenLake-v1", "--output", str(tmp_path)]
    assert outcome(main, [*arguments, "--engine", "ray", "--address", "127.0.0.1:1"]) == 2
    assert "--address needs a --storage" in capsys.readouterr().err


# ---- With one -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_lost_node_loses_no_run(cluster, tmp_path):
    jobs = [Job(LAKE, "CartPole-v1", seed, 2, tmp_path) for seed in range(4)]
    folders = [tmp_path / "ppo" / f"CartPole-v1_{seed + 1}" for seed in range(len(jobs))]
    arguments = ("--algos", "ppo", "--envs", "CartPole-v1", "--seeds", str(len(jobs)), "-n", "8000",
                 "--eval-episodes", "2", "--output", str(tmp_path))  # fmt: skip
    running = command("benchmark", *arguments, "--engine", "ray", "--address", cluster.address)
    while running.poll() is None and not any((folder / "run.json").exists() for folder in folders):
        time.sleep(0.1)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)  # in the middle of a run
    said = running.communicate()[0]
    assert running.returncode == 0, said
    assert all((folder / "run.json").exists() for folder in folders)
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 1 + len(jobs)
    again = command("benchmark", *arguments)  # by local processes: there is nothing to do
    assert again.wait() == 0
    assert "step/s" not in again.communicate()[0]


@pytest.mark.slow
def test_a_lost_node_loses_no_trial(cluster, tmp_path):
    from optuna.storages import RDBStorage
    from optuna.trial import TrialState

    url = f"sqlite:///{tmp_path / 'shared.db'}"
    running = command(
        *("tune", "--algo", "ppo", "--env", "CartPole-v1", "-n", "3000", "--n-trials", "6", "--n-seeds", "1"),
        *("--eval-episodes", "2", "--top-k", "1", "--retrain-seeds", "2", "--sampler", "random", "--workers", "2"),
        *("--storage", url, "--output", str(tmp_path / "out"), "--engine", "ray", "--address", cluster.address),
    )
    deadline = time.monotonic() + 300
    while running.poll() is None and time.monotonic() < deadline and finished(url) < 1:
        time.sleep(0.3)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    said = running.communicate()[0]
    assert running.returncode == 0, said
    storage = RDBStorage(url)
    study = next(each for each in storage.get_all_studies() if each.study_name == "ppo-CartPole-v1")
    done = storage.get_all_trials(study._study_id, states=(TrialState.COMPLETE, TrialState.PRUNED))
    assert len(done) == 6
    assert {"best.yml", "best_model.zip", "summary.md"} <= {file.name for file in (tmp_path / "out").iterdir()}


def finished(url):
    """Trials of all studies that are finished."""
    from optuna.storages import RDBStorage

    try:
        storage = RDBStorage(url)
        return sum(trial.state.is_finished() for study in storage.get_all_studies()
                   for trial in storage.get_all_trials(study._study_id))  # fmt: skip
    except Exception:  # not made yet
        return 0
