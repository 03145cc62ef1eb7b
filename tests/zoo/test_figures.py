"""``sb3-ext figures``: what it measures, that it goes on where it was, and what it reports."""

import csv
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from sb3_ext.zoo import figures, parallel
from sb3_ext.zoo.figures import Figure, Job, Result
from sb3_ext.zoo.recipes import Recipe

TINY = Figure("Tiny", "CartPole-v1", Recipe("reinforce", 2000, n_envs=4), 3, "something", figures.mean)


@pytest.fixture
def tiny(monkeypatch):
    """Puts one small figure in the place of all, and runs its seeds in this process."""
    monkeypatch.setattr(figures, "NAMES", ("tiny",))
    monkeypatch.setattr(figures, "figures", lambda: {"tiny": TINY})
    monkeypatch.setattr(parallel, "run_parallel", lambda function, jobs, *_: map(function, jobs))


@pytest.fixture
def measured(monkeypatch):
    """The seeds that are measured, in place of measuring them; the one in ``measured.stop_at`` is interrupted."""

    class Seeds(list):
        stop_at = None

    seeds = Seeds()

    def measure(job):
        if job.seed == seeds.stop_at:
            raise KeyboardInterrupt
        seeds.append(job.seed)
        job.curve.parent.mkdir(parents=True, exist_ok=True)
        job.curve.write_text("timestep,return\n20,20.0\n60,40.0\n")
        return Result(job.name, job.figure.env_id, job.seed, 100.0 + job.seed, 1.0, figures.settings(job.figure))

    monkeypatch.setattr(figures, "measure", measure)
    return seeds


def rows(output):
    with (output / "figures.csv").open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        figures.main(["--help"])
    assert stop.value.code == 0
    assert "sb3-ext figures cartpole --jobs 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cartpole", "pong"], "choose from cartpole, slm, lunarlander, acrobot, pendulum, shaping"),
        (["--jobs", "0"], "must be at least 1, got 0"),
    ],
)
def test_bad_arguments_end_with_status_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        figures.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_the_figures_are_those_of_the_readme():
    all_of_them = figures.figures()
    assert tuple(dict.fromkeys(map(figures.group, all_of_them))) == figures.NAMES
    assert [figure.n_seeds for figure in all_of_them.values()] == [20, 8, 5, 5, 5, *[10] * 4]
    assert [all_of_them[name].recipe.n_envs for name in ("cartpole", "slm")] == [16, 4]
    assert [all_of_them[name].recipe.n_timesteps for name in ("cartpole", "slm")] == [500_000, 200_000]
    for name in ("cartpole", "slm"):  # the class's own defaults
        assert all_of_them[name].recipe.hyperparams == {"policy": "MlpPolicy"}


def test_measuring_again_skips_what_is_finished(tmp_path, tiny, measured, capsys):
    arguments = ["--output", str(tmp_path)]
    measured.stop_at = 2
    assert figures.main(arguments) == 130
    assert "seeds to go: 1;" in capsys.readouterr().out
    assert [row["seed"] for row in rows(tmp_path)] == ["0", "1"]

    measured.stop_at = None
    measured.clear()
    assert figures.main(arguments) == 0
    assert measured == [2]
    assert [float(row["value"]) for row in rows(tmp_path)] == [100, 101, 102]
    assert (tmp_path / "tiny.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert "mean 101.0" in printed
    assert "100.0 to 102.0" in printed
    assert "3 of 3" in printed


def test_other_settings_are_measured_again(tmp_path, tiny, measured, monkeypatch):
    figures.main(["--output", str(tmp_path)])
    measured.clear()
    other = replace(TINY, recipe=replace(TINY.recipe, hyperparams={"policy": "MlpPolicy", "gamma": 0.9}))
    monkeypatch.setattr(figures, "figures", lambda: {"tiny": other})
    figures.main(["--output", str(tmp_path)])
    assert measured == [0, 1, 2]
    assert len(rows(tmp_path)) == 3


def test_force_measures_again_and_keeps_other_figures(tmp_path, tiny, measured, monkeypatch):
    figures.main(["--output", str(tmp_path)])
    both = {"tiny": TINY, "other": TINY}
    monkeypatch.setattr(figures, "NAMES", ("tiny", "other"))
    monkeypatch.setattr(figures, "figures", lambda: both)
    figures.main(["other", "--output", str(tmp_path)])
    measured.clear()
    measured.stop_at = 1
    assert figures.main(["tiny", "--force", "--output", str(tmp_path)]) == 130
    assert [(row["figure"], row["seed"]) for row in rows(tmp_path)] == [
        *(("other", str(seed)) for seed in range(3)),
        ("tiny", "0"),
    ]


@pytest.mark.parametrize("greedy", [True, False])
def test_a_seed_is_measured_as_described(tmp_path, greedy):
    curve = tmp_path / "curves" / "tiny-5.csv"
    result = figures.measure(Job("tiny", replace(TINY, greedy=greedy), 5, curve))
    timesteps, returns = np.loadtxt(curve, delimiter=",", skiprows=1).T
    assert timesteps.max() <= 2000  # what ends later is not within the training that was asked for
    if greedy:
        assert 8 <= result.value <= 500
    else:
        assert result.value == pytest.approx(returns[-100:].mean())
    assert (result.figure, result.env_id, result.seed) == ("tiny", "CartPole-v1", 5)
    assert figures.is_done(Job("tiny", replace(TINY, greedy=greedy), 5, curve), {("tiny", 5): result})


@pytest.mark.parametrize("line", ["garbage,line", "cartpole,CartPole-v1,zero,1.0,2.0,null", "a,b,0,1.0,2.0,null,more"])
def test_damaged_lines_are_left_out_and_the_rest_is_read(tmp_path, line):
    results = {("tiny", 0): Result("tiny", "CartPole-v1", 0, 1.0, 2.0, "null")}
    figures.write(tmp_path / "figures.csv", results)
    with (tmp_path / "figures.csv").open("a") as opened:
        opened.write(line + "\n")
    with pytest.warns(UserWarning, match="damaged lines are left out"):
        assert figures.read(tmp_path / "figures.csv") == results


def test_results_survive_being_written_and_read(tmp_path):
    results = {("a", 1): Result("a", "Env-v0", 1, -3.25, 0.1, '{"x": "a,b"}')}
    figures.write(tmp_path / "figures.csv", results)
    assert figures.read(tmp_path / "figures.csv") == results
    assert figures.read(tmp_path / "nothing.csv") == {}


@pytest.mark.parametrize("n", [3, 4, 5, 8, 20])
def test_iqm_is_the_trimmed_mean_of_scipy(n):
    from scipy.stats import trim_mean

    values = np.random.default_rng(n).normal(size=n) * 100
    assert figures.iqm(values) == f"IQM {trim_mean(values, 0.25):.1f}"


def test_solved_counts_the_seeds_at_475():
    assert figures.solved(np.array([475.0, 474.9, 500.0])) == "2 of 3 seeds at 475, mean 483.3"


def test_read_run_gives_back_what_a_seed_wrote(tmp_path):
    file = tmp_path / "curve.csv"
    file.write_text("timestep,return\n10,1.5\n")
    assert figures.read_run(file) == ([10], [1.5])


def test_lunarlander_is_left_out_where_it_cannot_run(tmp_path, measured, monkeypatch, capsys):
    monkeypatch.setattr(parallel, "run_parallel", lambda function, jobs, *_: map(function, jobs))
    monkeypatch.setattr(figures, "installed", lambda *packages: False)
    assert figures.main(["lunarlander", "--output", str(tmp_path)]) == 0
    assert "pip install 'sb3-ext[box2d,envpool]'" in " ".join(capsys.readouterr().out.split())
    assert measured == []


SCRIPT = """
import sys
from dataclasses import replace
from sb3_ext.zoo import figures

cartpole = figures.figures()["cartpole"]
quick = replace(cartpole, n_seeds=3, recipe=replace(cartpole.recipe, n_timesteps=int(sys.argv[2])))
figures.figures = lambda: {"cartpole": quick}
if __name__ == "__main__":
    sys.exit(figures.main(["cartpole", "--jobs", "2", "--output", sys.argv[1]]))
"""


@pytest.mark.slow
def test_processes_end_with_ctrl_c_and_the_next_call_goes_on(tmp_path, popen):
    script, output = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(output), "60000"]
    with popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        deadline = time.monotonic() + 120
        while not (output / "figures.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "the same command goes on there" in " ".join(printed.split())
    kept = {row["seed"]: row["value"] for row in rows(output)}
    assert 1 <= len(kept) < 3

    assert subprocess.run(command, capture_output=True, timeout=200).returncode == 0
    after = {row["seed"]: row["value"] for row in rows(output)}
    assert set(after) == {"0", "1", "2"}
    assert kept.items() <= after.items()
