"""``sb3-ext grpo``: rows, what is kept, and the numbers it prints."""

import numpy as np
import pytest

from sb3_ext.zoo import grpo
from sb3_ext.zoo.__main__ import main
from sb3_ext.zoo.figures import read


@pytest.fixture
def short(monkeypatch):
    """Four rooms, a few hundred steps each."""
    tasks = {"FourRooms": grpo.TASKS["FourRooms"]._replace(n_timesteps=300)}
    monkeypatch.setattr(grpo, "TASKS", {**grpo.TASKS, **tasks})


def test_help_shows_sections_and_examples(capsys):
    with pytest.raises(SystemExit):
        main(["grpo", "--help"])
    printed = capsys.readouterr().out
    assert all(section in printed for section in grpo.SECTIONS)
    assert "sb3-ext grpo compare --tasks" in printed


@pytest.mark.slow
def test_what_is_finished_is_kept(short, tmp_path, capsys):
    command = ["grpo", "compare", "--tasks", "FourRooms", "--seeds", "1", "--jobs", "2", "--output", str(tmp_path)]
    assert main(command) == 0
    first = (tmp_path / "grpo.csv").read_text()
    results = read(tmp_path / "grpo.csv")
    assert {figure for figure, _ in results} == {f"compare:FourRooms:{method}" for method in grpo.METHODS}
    assert all(0 <= result.value <= 100 for result in results.values())
    assert main(command) == 0
    assert (tmp_path / "grpo.csv").read_text() == first
    assert "REINFORCE" in capsys.readouterr().out


def test_recipes_differ_in_what_their_names_say():
    task = grpo.TASKS["CartPole-v1"]
    matched, unmatched, reinforce, ppo = (grpo.recipe(task, method) for method in grpo.METHODS)
    assert (matched.algo, unmatched.algo, reinforce.algo, ppo.algo) == ("grpo", "grpo", "reinforce", "ppo")
    assert unmatched.hyperparams == {**matched.hyperparams, "group_start": "unmatched"}
    assert {how.n_timesteps for how in (matched, unmatched, reinforce, ppo)} == {200_000}
    assert matched.n_envs == unmatched.n_envs == reinforce.n_envs == 16


def test_every_task_has_every_recipe():
    for task in grpo.TASKS.values():
        for method in grpo.METHODS:
            assert grpo.recipe(task, method).n_timesteps == task.n_timesteps


def test_the_interquartile_mean_and_its_interval():
    assert grpo.interval(np.array([500.0] * 5)) == "500.0"
    text = grpo.interval(np.array([0.0, 10.0, 20.0, 1000.0]))
    assert text.startswith("15.0 (")
    low, high = (float(part) for part in text[6:-1].split(" to "))
    assert low <= 15 <= high
