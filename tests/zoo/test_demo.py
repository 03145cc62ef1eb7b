"""``sb3-ext demo``: what it prints, writes, and keeps when it is interrupted."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from sb3_ext import REINFORCE
from sb3_ext.zoo import baselines, training
from sb3_ext.zoo.__main__ import COMMANDS, main


def is_a_picture(path) -> bool:
    """More than one colour, and large enough to be read."""
    pixels = np.asarray(Image.open(path).convert("L"))
    return pixels.shape[0] > 300 and pixels.shape[1] > 500 and np.unique(pixels).size > 10


def test_demo_writes_the_curve_and_the_model_and_says_where(tmp_path, capsys):
    assert main(["demo", "--timesteps", "2000", "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "return, 100 greedy episodes" in shown
    assert str(tmp_path / "curve.png") in shown.replace("\n", "")
    assert is_a_picture(tmp_path / "curve.png")
    assert REINFORCE.load(tmp_path / "model").num_timesteps >= 2000


def test_the_same_seed_trains_the_same_model(tmp_path):
    for name in ("first", "second"):
        main(["demo", "--timesteps", "1000", "--seed", "3", "--output", str(tmp_path / name)])
    first, second = (REINFORCE.load(tmp_path / name / "model").get_parameters() for name in ("first", "second"))
    for key, value in first["policy"].items():
        assert value.equal(second["policy"][key])


def test_ctrl_c_saves_the_model_so_far(tmp_path, monkeypatch, capsys):
    class Interrupt(training.EpisodeLog):
        def _on_step(self):
            if self.num_timesteps > 3000:
                raise KeyboardInterrupt
            return super()._on_step()

    monkeypatch.setattr(training, "EpisodeLog", Interrupt)
    assert main(["demo", "--output", str(tmp_path)]) == 130
    assert "interrupted" in capsys.readouterr().out
    assert 3000 < REINFORCE.load(tmp_path / "model").num_timesteps < 4000


ANNOUNCED = """
import sys
from sb3_ext.zoo import __main__, training

class Announced(training.EpisodeLog):
    def _on_training_start(self):
        print("training", flush=True)

training.EpisodeLog = Announced
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_ctrl_c_before_the_first_episode_leaves_no_older_curve(tmp_path, monkeypatch, capsys):
    class Interrupt(training.EpisodeLog):
        def _on_step(self):
            raise KeyboardInterrupt

    (tmp_path / "curve.png").write_text("of an older run")
    monkeypatch.setattr(training, "EpisodeLog", Interrupt)
    assert main(["demo", "--output", str(tmp_path)]) == 130
    assert "curve.png" not in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["model.zip"]


@pytest.mark.slow
def test_a_real_ctrl_c_saves_the_model_so_far(tmp_path, popen):
    command = [sys.executable, "-c", ANNOUNCED, "demo", "--timesteps", "100000000", "--output", str(tmp_path)]
    process = popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    while "training" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(1)
    os.kill(process.pid, signal.SIGINT)
    shown, _ = process.communicate(timeout=60)
    assert process.returncode == 130, shown
    assert "interrupted" in shown
    assert "Traceback" not in shown
    assert REINFORCE.load(tmp_path / "model").num_timesteps > 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_by_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"sb3-ext {command}" in shown
    assert "example" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--timesteps", "0"],
        ["demo", "--timesteps", "1e5"],
        ["demo", "--n-envs", "-3"],
        ["demo", "--seed", "-1"],
        ["demo", "--output", __file__],
        ["nonsense"],
    ],
)
def test_bad_arguments_end_with_status_2(arguments, capsys):
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert arguments[-1] in capsys.readouterr().err


def test_algos_lists_every_algorithm(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    from sb3_ext.algos import TABLE

    assert main(["algos"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in TABLE)


def test_comparison_of_baselines(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(baselines, "BATCHES", 3)
    arguments = ["demo", "--compare-baselines", "--timesteps", "2000", "--seeds", "2", "--output", str(tmp_path)]
    assert main(arguments) == 0
    assert is_a_picture(tmp_path / "baselines.png")
    rows = (tmp_path / "gradient_variance.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * len(baselines.STAGES) * len(baselines.WAYS)
    assert "value baseline" in capsys.readouterr().out


@pytest.mark.parametrize("timesteps", [0, pytest.param(60_000, marks=pytest.mark.slow)])
def test_gradients_of_all_ways_estimate_the_same_from_the_same_episodes(timesteps):
    """gamma is 1: the means differ by no more than noise, and only the scatter shrinks; at the time limit too."""
    model, _ = baselines.train(timesteps, 16, seed=0, baseline="value", gamma=1.0)
    gradients, returns = baselines.sample_gradients(model)
    assert len(returns) == 16 * baselines.BATCHES
    assert (max(returns) == 500) == bool(timesteps)  # the trained policy reaches the time limit
    reference = gradients["mean baseline"]
    for way, samples in gradients.items():
        error = samples.var(dim=0).sum() + reference.var(dim=0).sum()
        distance = (samples.mean(dim=0) - reference.mean(dim=0)).square().sum()
        assert distance < 3 * error / baselines.BATCHES, way
    variances = {way: float(samples.var(dim=0).sum()) for way, samples in gradients.items()}
    assert variances["mean baseline"] < variances["reward-to-go"] < variances["total return"]


def test_interrupted_comparison_keeps_what_was_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(baselines, "BATCHES", 2)
    original, calls = baselines.train, []

    def train(*arguments, **settings):
        calls.append(settings)
        if len(calls) > 3:
            raise KeyboardInterrupt
        return original(*arguments, **settings)

    monkeypatch.setattr(baselines, "train", train)
    assert baselines.compare_baselines(1000, 4, range(5), tmp_path) == 130
    assert (tmp_path / "gradient_variance.csv").exists()
    assert is_a_picture(tmp_path / "baselines.png")
