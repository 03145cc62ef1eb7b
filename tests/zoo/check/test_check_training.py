"""``sb3-ext check --train``: the learner's function in its slot, beside ours."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch as th
from PIL import Image

from sb3_ext.zoo.__main__ import main
from sb3_ext.zoo.check import comparison, training
from sb3_ext.zoo.check.exercises import EXERCISES

FILE = """
def td_target(reward, gamma, next_value, terminated):
    return reward + gamma * next_value * (1 - terminated)

def q_learning_update(q_value, reward, next_q_values, terminated, learning_rate, gamma):
    if reward == -100:
        raise KeyError("the cliff")
    return q_value

def kl_penalty(log_probs, ref_log_probs):
    return log_probs
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_file.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("name", training.TRAININGS)
def test_every_slot_takes_a_right_function(name, monkeypatch):
    th.set_num_threads(1)
    shorter = replace(training.TRAININGS[name], n_timesteps=1500)
    shorter = replace(
        shorter, settings={**shorter.settings, "learning_starts": 300} if "dqn" in name else shorter.settings
    )
    monkeypatch.setitem(training.TRAININGS, name, shorter)
    steps = []
    timesteps, returns = training.train(name, EXERCISES[name].with_slips(), seed=0, progress=steps.append)
    assert len(timesteps) == len(returns)
    assert sum(steps) > 1000
    assert len(training.train(name, None, seed=0)[0]) > 0 or name in ("potential", "group_advantages")


@pytest.mark.slow
def test_a_right_function_learns_as_ours_does(file, tmp_path, capfd):
    assert (
        main(
            [
                "check",
                str(file),
                "--function",
                "td_target",
                "--train",
                "td_target",
                "--seeds",
                "2",
                "--output",
                str(tmp_path / "out"),
                "--json",
            ]
        )
        == 0
    )
    report = json.loads(capfd.readouterr().out)
    (run,) = report["training"]
    assert run["final"]["yours"] == run["final"]["ours"]
    assert len(run["final"]["yours"]) == 2
    pixels = np.asarray(Image.open(run["picture"]).convert("L"))
    assert np.unique(pixels).size > 10


@pytest.mark.slow
def test_a_crash_in_training_is_told_in_a_line(file, tmp_path, capfd):
    assert (
        main(
            [
                "check",
                str(file),
                "--function",
                "q_learning_update",
                "--train",
                "q_learning_update",
                "--output",
                str(tmp_path),
            ]
        )
        == 1
    )
    printed = capfd.readouterr()
    assert "the training with yours (seed 0) raises KeyError: 'the cliff' in line 7" in printed.out
    assert "Traceback" not in printed.out + printed.err


@pytest.mark.slow
def test_what_has_no_training_says_so(file, tmp_path, capfd):
    assert (
        main(["check", str(file), "--function", "td_target", "--train", "kl_penalty", "--output", str(tmp_path)]) == 1
    )
    assert "there is no training for kl_penalty" in capfd.readouterr().out


def test_the_picture_shows_both_and_bears_with_runs_that_are_missing():
    run = ([100, 200, 300], [1.0, 2.0, 3.0])
    figure = comparison.draw("gae", {"yours": [run, ([], [])], "ours": []})
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["yours (mean of 1)"]
    assert comparison.draw("gae", {"yours": [], "ours": []}).axes[0].get_legend() is None


def test_the_final_return_is_the_mean_of_the_last_episodes():
    assert comparison.final_return([0.0] * 10 + [2.0] * comparison.N_LAST) == 2.0
    assert comparison.final_return([1.0, 2.0]) == 1.5
    assert comparison.final_return([]) is None
