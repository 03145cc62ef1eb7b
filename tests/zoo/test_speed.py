"""``sb3-ext speed``: what it measures, reports and keeps. How fast things are is not a test's business."""

import csv
import math
import re

import numpy as np
import pytest

from sb3_ext.zoo import speed, speed_planning, speed_tabular, speed_worlds
from sb3_ext.zoo.recipes import Recipe
from sb3_ext.zoo.speed import SECTIONS, Job


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.01)


def rows(output):
    with (output / "speed.csv").open(newline="") as opened:
        return list(csv.DictReader(opened))


def fake_section(values):
    """A section whose measurements are these: {(variant, repeat): seconds}; an exception is raised."""

    def measure(value):
        if isinstance(value, BaseException):
            raise value
        return value

    def jobs(options):
        for (variant, repeat), value in values.items():
            yield Job("reinforce", "CartPole-v1", variant, repeat, lambda value=value: measure(value), "s")

    return speed.Section("Title", "REINFORCE", "PPO", jobs)


@pytest.fixture
def use(monkeypatch):
    """Puts measurements in the place of the section "reinforce"."""

    def replace(values):
        monkeypatch.setitem(SECTIONS, "reinforce", fake_section(values))
        monkeypatch.setattr(speed, "warm_up", lambda: None)

    return replace


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit) as stop:
        speed.main(["--help"])
    assert stop.value.code == 0
    assert "sb3-ext speed steps --repeats 5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fast"], "there is no 'fast'; choose from steps, worlds, tabular, planning, reinforce, training"),
        (["--seeds", "0"], "must be at least 1, got 0"),
        (["--fraction", "1.5"], "must lie above 0 and be at most 1, got 1.5"),
        (["--fraction", "nan"], "must lie above 0"),
    ],
)
def test_bad_arguments_end_with_status_2(capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        speed.main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_steps_measures_ours_and_sb3s_by_turns(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed, "missing", lambda env_id: "not here" if env_id == "LunarLander-v3" else None)
    assert speed.main(["steps", "--repeats", "2", "--output", str(tmp_path)]) == 0
    measured = rows(tmp_path)
    assert [row["variant"] for row in measured] == ["make_vec_env", "DummyVecEnv"] * 6
    assert {row["task"] for row in measured} == {f"CartPole-v1, n_envs={n}" for n in (1, 8, 256)}
    assert all(float(row["value"]) > 0 and row["unit"] == "steps/s" for row in measured)
    printed = capsys.readouterr().out
    assert "LunarLander-v3 is left out: not here" in printed
    assert "CPUs" in printed


def test_what_is_missing_is_said_with_the_way_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'sb3-ext[box2d,envpool]'" in speed.missing("LunarLander-v3")
    assert speed.missing("CartPole-v1") is None


def test_steps_counts_every_environment(monkeypatch):
    """With a clock that ticks once a look: 10 ticks are the 9 steps of 4 environments in between."""
    ticks = iter(range(100))
    monkeypatch.setattr(speed, "SECONDS", 10)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(ticks))
    assert speed.steps_per_second(lambda: speed.vec_env("CartPole-v1", 4, "auto")) == 9 * 4 / 10


def test_the_report_has_medians_and_the_ratio_with_its_range(tmp_path, use, capsys):
    use({("REINFORCE", 0): 1, ("PPO", 0): 4, ("REINFORCE", 1): 2, ("PPO", 1): 10, ("REINFORCE", 2): 3, ("PPO", 2): 6})
    assert speed.main(["reinforce", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"3\.00 .*\n +2\.00 to 5\.00", printed)
    assert "asked" in printed


def test_who_never_gets_there_is_reported_and_kept(tmp_path, use, capsys):
    use({("REINFORCE", 0): 1, ("PPO", 0): math.inf, ("REINFORCE", 1): math.inf, ("PPO", 1): 8})
    speed.main(["reinforce", "--output", str(tmp_path)])
    assert [float(row["value"]) for row in rows(tmp_path)] == [1, math.inf, math.inf, 8]
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.count("1 of 2") == 2
    assert "never" in printed


@pytest.mark.parametrize(
    ("unit", "ours", "theirs", "faster"),
    [("s", 2, 8, 4), ("steps/s", 8, 2, 4), ("s", math.inf, 8, 0), ("s", 2, math.inf, math.inf)],
)
def test_ratio_is_how_many_times_faster_ours_is(unit, ours, theirs, faster):
    assert speed.times_faster(unit, ours, theirs) == faster


def test_worlds_compares_many_and_one_by_turns_and_then_makes_a_big_map(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed_worlds, "N_ENVS", 4)
    monkeypatch.setattr(speed_worlds, "SIDE", 20)
    monkeypatch.setattr(speed_worlds, "N_OBSTACLES", 50)
    speed_worlds.big_map.cache_clear()
    assert speed.main(["worlds", "--repeats", "2", "--output", str(tmp_path)]) == 0
    speed_worlds.big_map.cache_clear()
    measured = rows(tmp_path)
    assert [(row["variant"], row["unit"]) for row in measured] == [
        *([("GridWorld", "steps/s"), ("other", "steps/s")] * 6),
        *([("GridWorld", "s"), ("GridWorld", "s"), ("GridWorld", "MB")] * 2),
    ]
    assert all(float(row["value"]) > 0 for row in measured)
    assert {row["task"] for row in measured} <= {*speed.ASKED, speed.MONITORED_WORLDS}
    assert "< 200 MB" in capsys.readouterr().out


def test_both_many_worlds_make_the_same_steps(monkeypatch):
    monkeypatch.setattr(speed_worlds, "N_ENVS", 3)
    ours, theirs = speed_worlds.grid_world_vec_env(), speed_worlds.dummy_vec_env()
    for env in (ours, theirs):
        env.seed(0)
    assert (ours.reset() == theirs.reset()).all()
    for action in np.random.default_rng(0).integers(4, size=(600, 3)):  # beyond the time limit
        (observation, reward, done, _), expected = ours.step(action), theirs.step(action)
        assert (observation == expected[0]).all()
        assert (reward == expected[1]).all()
        assert (done == expected[2]).all()


def test_one_world_counts_its_steps(monkeypatch):
    """With a clock that ticks once a look: 2 ticks are the 2 x 5000 steps before the third look."""
    ticks = iter(range(100))
    monkeypatch.setattr(speed_worlds.time, "perf_counter", lambda: next(ticks))
    assert speed_worlds.single_steps_per_second("FrozenLake-v1", seconds=3) == 2 * 5000 / 3


def test_the_arrays_of_a_map_are_counted_in_full(monkeypatch):
    """10 x 10 cells: int32 next state, float64 reward and bool terminated for 4 actions; start; letters and wind."""
    monkeypatch.setattr(speed_worlds, "big_map", lambda: "\n".join(["S" + "." * 9, *["." * 10] * 8, "." * 9 + "G"]))
    least = 100 * 4 * (4 + 8 + 1) + 100 * 8 + 100 * 4
    assert least <= 1e6 * speed_worlds.megabytes(0) <= least + 100 * 4 + 8


def test_an_interruption_keeps_and_reports_what_was_measured(tmp_path, use, capsys):
    use({("REINFORCE", 0): 2, ("PPO", 0): 8, ("REINFORCE", 1): 1, ("PPO", 1): KeyboardInterrupt()})
    assert speed.main(["reinforce", "--output", str(tmp_path)]) == 130
    assert len(rows(tmp_path)) == 3
    printed = capsys.readouterr().out
    assert "interrupted after 3 of 4 measurements" in printed
    assert "4.00 to 4.00" in printed


def test_reinforce_is_compared_with_ppo_as_rl_zoo_tuned_it():
    jobs = list(SECTIONS["reinforce"].jobs(speed.parser().parse_args(["--seeds", "2"])))
    assert [(job.variant, job.repeat) for job in jobs] == [("REINFORCE", 0), ("PPO", 0), ("REINFORCE", 1), ("PPO", 1)]
    (ours, _, backend), (theirs, _, their_backend) = jobs[0].measure.args, jobs[1].measure.args
    assert (backend, their_backend) == ("auto", "dummy")
    assert ours.hyperparams == {"policy": "MlpPolicy"}
    assert (theirs.algo, theirs.n_envs, theirs.hyperparams["n_epochs"]) == ("ppo", 8, 20)


def test_a_training_that_ends_before_the_target_counts_as_never():
    assert speed.seconds_to_solve(Recipe("reinforce", 1000, n_envs=4), 0, "auto") == math.inf


def test_training_takes_the_same_recipe_to_both(monkeypatch):
    monkeypatch.setattr(speed, "missing", lambda env_id: None)
    jobs = list(SECTIONS["training"].jobs(speed.parser().parse_args(["--fraction", "0.01"])))
    assert len(jobs) == 2 * 2 * 2 * 3
    for ours, theirs in zip(jobs[::2], jobs[1::2], strict=True):
        assert ours.measure.args[:2] == theirs.measure.args[:2]
        assert (ours.measure.args[2], theirs.measure.args[2]) == ("auto", "dummy")
    assert jobs[0].measure.args[0].n_timesteps == 1000
    assert jobs[0].measure() > 0


@pytest.mark.slow
def test_tabular_measures_every_algorithm_the_step_engine_and_a_sweep(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(speed_tabular, "N_STEPS", 1000)
    monkeypatch.setattr(speed_tabular, "first_call_seconds", lambda: 0.4)
    monkeypatch.setattr(speed_tabular, "sweep_seconds", lambda: 2.0)
    assert speed.main(["tabular", "--repeats", "1", "--output", str(tmp_path)]) == 0
    measured = rows(tmp_path)
    assert [row["variant"] for row in measured[:12]] == ["sb3-ext", "other"] * 6
    assert {row["task"] for row in measured} <= set(speed.ASKED)
    assert all(float(row["value"]) > 0 for row in measured)
    assert "vs hand-written" in capsys.readouterr().out


def test_the_hand_written_loop_learns():
    """It must be a fair opponent: the algorithm itself, with the same hyperparameters."""
    table = speed_tabular.hand_written_q_table(20_000)[1]
    assert table.shape == (16, 4)
    assert 0.5 < table[14].max() <= 1.0  # beside the goal; the exact value is 0.863
    assert table[0].max() < 0.95  # the start's is 0.542, and all began at 1


@pytest.mark.slow
def test_planning_is_compared_with_quantecon_on_the_same_world(monkeypatch):
    pytest.importorskip("quantecon")
    problem = speed_planning.quantecon_problem(6)
    theirs = problem.solve("policy_iteration").v[:-1]
    ours = speed_planning.solve(speed_planning.slippery_grid(6)).values
    np.testing.assert_allclose(ours[:-1], theirs[:-1], atol=2e-6)  # the goal's own value is of no account
    jobs = list(SECTIONS["planning"].jobs(speed.parser().parse_args(["planning", "--repeats", "2"])))
    assert [job.variant for job in jobs] == ["sb3-ext", "other"] * 2 + ["sb3-ext"] * 3
    assert {job.task for job in jobs} <= set(speed.ASKED)
