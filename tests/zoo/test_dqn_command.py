"""``sb3-ext dqn``: rows, what is kept, and the numbers it prints."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from sb3_ext.zoo.__main__ import main
from sb3_ext.zoo.dqn import command, images, overestimation, rows, speed, training
from sb3_ext.zoo.figures import Result, read
from sb3_ext.zoo.hyperparameters import FOLDER, check_arguments
from sb3_ext.zoo.recipes import read_recipe

PRESETS = ("double_dqn", "dueling_dqn", "per_dqn", "noisy_dqn", "c51", "rainbow")
SWITCHES = {"double", "dueling", "prioritized", "n_steps", "noisy", "distributional"}


def test_help_shows_sections_and_examples(capsys):
    with pytest.raises(SystemExit):
        main(["dqn", "--help"])
    printed = capsys.readouterr().out
    assert all(section in printed for section in command.SECTIONS)
    assert "sb3-ext dqn ablate --tasks CartPole-v1 --seeds 3" in printed


@pytest.mark.parametrize("arguments", [["ablat"], ["--tasks", "Pong"], ["--seeds", "0"], ["-n", "x"]])
def test_a_wrong_argument_is_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as error:
        main(["dqn", *arguments])
    assert error.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def switched_on(job):
    found = job.recipe.hyperparams
    return {name for name in SWITCHES if found[name] is True or (name == "n_steps" and found[name] > 1)}


def test_the_ablation_has_each_alone_and_each_removed():
    jobs = rows.ablation(["CartPole-v1"], 2)
    on = {job.method: switched_on(job) for job in jobs}
    assert {method: names for method, names in on.items() if method in SWITCHES} == {name: {name} for name in SWITCHES}
    for name in SWITCHES:
        assert on[f"Rainbow without {name}"] == SWITCHES - {name}
    assert on["DQN"] == on["DQN without replay"] == on["DQN without target network"] == set()
    assert on["Rainbow"] == SWITCHES
    changed = {job.method: job.recipe.hyperparams for job in jobs}
    assert changed["DQN without replay"]["replay"] is False
    assert changed["DQN without target network"]["target_network"] is False
    assert len(jobs) == 2 * len(rows.ROWS) == 2 * (1 + 6 + 1 + 6 + 2)


def test_rows_of_the_ablation_differ_in_their_switches_alone():
    jobs = rows.ablation(list(command.TASKS), 1, 1234)
    for task in command.TASKS:
        own = [job for job in jobs if job.task == task]
        apart = {*SWITCHES, "replay", "target_network"}
        others = [{k: v for k, v in job.recipe.hyperparams.items() if k not in apart} for job in own]
        assert all(each == others[0] for each in others)
        assert {job.recipe.n_timesteps for job in own} == {1234}


def test_every_job_is_one_that_its_class_takes():
    for job in [*rows.ablation(list(command.TASKS), 1), *rows.goals(list(command.TASKS), 1), *overestimation.jobs(1)]:
        check_arguments(job.recipe.algo, job.recipe.hyperparams)


def test_goals_are_the_issue_s():
    found = {job.task: (job.recipe.n_timesteps, job.asked) for job in rows.goals(list(command.TASKS))}
    assert found == {"CartPole-v1": (500_000, 488.7), "Acrobot-v1": (500_000, -87.7),
                     "MountainCar-v0": (500_000, -110.0), "LunarLander-v3": (300_000, 266.0)}  # fmt: skip
    lander = next(job for job in rows.goals(["LunarLander-v3"]))
    assert lander.recipe.algo == "per_dqn"
    assert lander.recipe.hyperparams["double"] is True
    seeds = {task: sum(job.task == task for job in rows.goals(list(command.TASKS))) for task in command.TASKS}
    assert seeds == {"CartPole-v1": 10, "Acrobot-v1": 10, "MountainCar-v0": 10, "LunarLander-v3": 4}


@pytest.mark.parametrize("algo", PRESETS)
def test_every_preset_has_a_file_with_the_four_tasks(algo):
    assert set(yaml.safe_load((FOLDER / f"{algo}.yml").read_text())) == set(command.TASKS)
    for task in command.TASKS:
        recipe = read_recipe(algo, task)
        check_arguments(algo, recipe.hyperparams)
        if algo in ("c51", "rainbow"):
            assert recipe.hyperparams["v_min"] < recipe.hyperparams["v_max"]


# ---- What is kept, and shown


def results_of(jobs, value=lambda job: 400.0 + 10 * job.seed):
    return {(job.figure, job.seed): Result(job.figure, job.env_id, job.seed, value(job), 1.0, training.settings(job))
            for job in jobs}  # fmt: skip


@pytest.mark.slow
def test_what_is_finished_is_kept(monkeypatch, tmp_path, capsys):
    few = {name: rows.ROWS[name] for name in ("DQN", "Rainbow")}
    monkeypatch.setattr(rows, "ROWS", few)
    arguments = ["dqn", "ablate", "--tasks", "CartPole-v1", "--seeds", "1", "-n", "1200", "--jobs", "1"]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    first = (tmp_path / "dqn.csv").read_text()
    assert {figure for figure, _ in read(tmp_path / "dqn.csv")} == {f"ablate:CartPole-v1:{name}" for name in few}
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    assert (tmp_path / "dqn.csv").read_text() == first
    printed = capsys.readouterr().out
    assert f"picture  {tmp_path / 'ablate.png'}" in printed
    assert (tmp_path / "ablate.png").stat().st_size > 5000


def test_results_with_other_settings_are_measured_again(tmp_path):
    jobs = rows.ablation(["CartPole-v1"], 1, 1000)
    training.write(tmp_path / "dqn.csv", results_of(jobs))
    assert len(training.done(jobs, tmp_path / "dqn.csv")) == len(jobs)
    assert training.done(rows.ablation(["CartPole-v1"], 1, 1001), tmp_path / "dqn.csv") == {}


def test_an_interruption_keeps_what_there_is(monkeypatch, tmp_path):
    jobs = rows.ablation(["CartPole-v1"], 1, 1000)[:3]

    def interrupted(*_):
        yield results_of(jobs)[jobs[0].figure, 0]
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "run_parallel", interrupted)
    assert not training.complete(jobs, tmp_path / "dqn.csv", 1)
    assert list(training.done(jobs, tmp_path / "dqn.csv")) == [(jobs[0].figure, 0)]


def test_a_line_and_a_dot_for_each_row():
    jobs = rows.ablation(["CartPole-v1", "Acrobot-v1"], 3)
    lines, figure = (make("ablate", jobs, results_of(jobs)) for make in (training.table, training.draw))
    assert lines.row_count == 2 * len(rows.ROWS)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        assert len(dots) == len(rows.ROWS)
        assert all(line.get_xdata()[0] == 410.0 for line in dots)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(rows.ROWS)


def test_missing_rows_and_single_seeds_are_shown(tmp_path):
    jobs = rows.goals(["CartPole-v1", "MountainCar-v0"], 2)
    results = results_of(jobs[:1])
    lines = training.table("goal", jobs, results)
    assert lines.row_count == 1
    assert "1 of 2" in list(lines.columns[6].cells)
    training.draw("goal", jobs, results).savefig(tmp_path / "goal.png")


def test_the_value_is_that_of_the_last_100_training_episodes(monkeypatch):
    job = rows.ablation(["CartPole-v1"], 1, 1000)[0]

    class Env:
        def close(self):
            pass

    def trained(recipe, env_id, seed, callback):
        log = callback[0]
        log.timesteps, log.returns = list(range(10, 1510, 10)), [float(i) for i in range(150)]
        return None, Env()

    monkeypatch.setattr(training, "train", trained)
    assert training.last_episodes(job) == np.mean(range(100))  # 100 episodes had ended by step 1000


# ---- Overestimation and speed


def test_exact_values_of_the_worlds():
    state_a = overestimation.exact_q(overestimation.WORLDS["state A of example 6.7 in Sutton & Barto"])
    np.testing.assert_allclose(state_a, [[-0.1, 0.0] * 5], atol=1e-8)
    lake = overestimation.exact_q(overestimation.WORLDS["slippery FrozenLake"])
    assert lake[0].max() == pytest.approx(0.1805, abs=1e-3)  # reference_values.md


@pytest.mark.slow
def test_double_dqn_overestimates_less():
    """Its claim, by the exact values, in both worlds."""
    values = {}
    for job in overestimation.jobs(2):
        short = job._replace(recipe=replace(job.recipe, n_timesteps=6000))
        values.setdefault((job.task, job.method), []).append(overestimation.measure(short))
    for task in overestimation.WORLDS:
        assert min(values[task, "DQN"]) > max(values[task, "Double DQN"])
        assert min(values[task, "DQN"]) > 0.03


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", images.ALGORITHMS)
def test_learning_from_the_grid_world_s_images(algorithm, monkeypatch):
    monkeypatch.setattr(images, "N_TIMESTEPS", 1100)
    seen = images.measure(images.Job(images.WORLDS[0], algorithm))
    assert seen.is_finite
    assert seen.n_updates > 0
    assert seen.buffer_megabytes > 0


def test_both_samplers_draw_in_proportion():
    for sampler in (speed.tree_sampler, speed.plain_sampler):
        sampler()()
    assert speed.seconds_of(lambda: None, 3) >= 0


def test_speed_is_measured_in_pairs(monkeypatch):
    seen = []

    def measured(algorithm, seed, **switches):
        seen.append((algorithm.__name__, seed))
        return 100.0 if algorithm.__name__ == "DQN" else 80.0

    monkeypatch.setattr(speed, "steps_per_second", measured)
    lines = speed.training_table(2)
    assert seen[:4] == [("DQN", 0), ("RainbowDQN", 0), ("DQN", 1), ("RainbowDQN", 1)]
    assert "1.25 (1.25 to 1.25)" in list(lines.columns[2].cells)
