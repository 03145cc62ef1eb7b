"""Curves on one grid, measures with intervals, and what makes runs hard to compare is said."""

from dataclasses import replace

import numpy as np
import pytest

from sb3_ext.zoo import statistics
from sb3_ext.zoo.plot.comparison import compare
from sb3_ext.zoo.plot.readers import EPISODES


def compared(runs, measure="iqm", ranges=None, seed=0):
    """The comparison of algorithms, and its problems."""
    problems = []
    return compare(runs, lambda run: run.algo, measure, ranges or {}, seed, problems), problems


def test_runs_without_a_fault_are_compared_without_a_word(many):
    found, problems = compared(many)
    assert problems == []
    assert (found.labels, found.envs) == (["dqn", "ppo"], ["CartPole-v1", "sb3_ext/Maze-v0"])


@pytest.mark.parametrize(("measure", "middle"), [("mean", 22.0), ("iqm", 3.0)])
def test_the_curve_is_the_measure_over_runs_at_each_point(measure, middle, run):
    found, _ = compared([run(number=i, score=score) for i, score in enumerate([1, 2, 3, 4, 100])], measure)
    curve = found.curves["CartPole-v1"]["ppo"]
    np.testing.assert_allclose(curve.middle, middle * curve.timesteps / 1000)
    assert (curve.low <= curve.middle).all()
    assert (curve.high >= curve.middle).all()
    assert found.scores["CartPole-v1"]["ppo"].interval.estimate == middle


def test_a_run_that_broke_off_early_does_not_take_the_curve_with_it(run):
    found, problems = compared([run(number=1), run(number=2), run(number=3, length=200.0)])
    assert found.curves["CartPole-v1"]["ppo"].timesteps[-1] == 1_000
    assert len(found.scores["CartPole-v1"]["ppo"].values) == 3
    assert any("its curve is without the runs that end before step 500, 1 of 3" in problem for problem in problems)


def test_runs_of_different_length_end_with_the_shortest_and_it_is_said(run):
    found, problems = compared([run(number=1), run(number=2), run(number=3, length=500.0)])
    assert found.curves["CartPole-v1"]["ppo"].timesteps[-1] == 500
    assert any("runs of 500 to 1,000 steps" in problem for problem in problems)


def test_runs_that_share_no_step_have_no_curve_but_scores(run):
    late = run(number=2, length=900.0, timesteps=np.array([800.0, 900.0]), returns=np.array([1.0, 2.0]))
    found, problems = compared([run(number=1, length=500.0), late])
    assert found.curves["CartPole-v1"] == {}
    assert len(found.scores["CartPole-v1"]["ppo"].values) == 2
    assert any("no curve" in problem for problem in problems)


def test_missing_runs_are_named(many):
    found, problems = compared(
        [run for run in many if (run.algo, run.env, run.name) != ("dqn", "CartPole-v1", "run 3")]
    )
    assert "dqn on CartPole-v1: 4 runs where others have 5: run 3 missing" in problems
    assert len(found.scores["CartPole-v1"]["dqn"].values) == 4
    assert "dqn: where environments are taken together, only the first 4 runs of each" in problems


def test_a_single_run_has_no_interval_and_it_is_said(run):
    found, problems = compared([run()])
    assert found.scores["CartPole-v1"]["ppo"].interval.low == -np.inf
    assert np.isnan(found.curves["CartPole-v1"]["ppo"].low).all()
    assert any("too few runs" in problem and "ppo on CartPole-v1" in problem for problem in problems)


def test_runs_that_may_be_one_are_said(run):
    _, problems = compared([run(number=1), run(number=1), run(number=2)])
    assert any("more than one run 1" in problem for problem in problems)


def test_algorithms_that_are_taken_together_are_said(run):
    problems = []
    compare([run(), run("dqn")], lambda run: run.folder, "iqm", {}, 0, problems)
    assert "logs on CartPole-v1: runs of dqn, ppo are taken together" in problems


def test_evaluations_beside_training_episodes_are_said(run):
    found, problems = compared([run(number=1), run(number=2), run("dqn", scored_by=EPISODES)])
    assert "CartPole-v1: some scores are of evaluations, others of training episodes, which explore" in problems
    assert found.scored_by["CartPole-v1"] == "evaluations or the last training episodes"


def test_a_run_without_a_score_is_not_compared(run):
    without = run(number=3)
    found, _ = compared([run(number=1), run(number=2), replace(without, log=without.log._replace(score=None))])
    assert len(found.scores["CartPole-v1"]["ppo"].values) == 2


# ---- Over environments ----------------------------------------------------------------------------------------------


def test_scores_are_normalised_by_the_given_range(many):
    found, _ = compared(many, ranges={"CartPole-v1": (0.0, 500.0), "sb3_ext/Maze-v0": (-1.0, 1.0)})
    values = [run.log.score for run in many if (run.algo, run.env) == ("ppo", "sb3_ext/Maze-v0")]
    np.testing.assert_allclose(found.normalized["ppo"][:, 1], (np.array(values) + 1) / 2)


def test_else_by_the_lowest_and_the_highest_mean(many):
    found, _ = compared(many)
    curves = [curve.runs.mean(axis=0) for curve in found.curves["CartPole-v1"].values()]
    assert found.ranges["CartPole-v1"] == (np.min(curves), np.max(curves))


def test_an_environment_that_not_all_have_played_is_left_out_and_said(many, run):
    found, problems = compared([*many, run("ppo", "Taxi-v4")])
    assert list(found.ranges) == ["CartPole-v1", "sb3_ext/Maze-v0"]
    assert "dqn has no run on Taxi-v4" in problems
    assert any(problem.startswith("Taxi-v4 is left out") for problem in problems)


def test_an_environment_where_all_is_equal_is_left_out_and_said(run):
    found, problems = compared([run(number=1, score=0.0), run("dqn", score=0.0)])
    assert found.ranges == {}
    assert found.of_all == {}
    assert any("every mean is 0" in problem for problem in problems)


def test_measures_of_all_are_those_of_the_statistics(many):
    found, _ = compared(many, seed=3)
    scores = found.normalized["dqn"]
    assert found.of_all["interquartile mean"]["dqn"] == statistics.interval(scores, seed=3)
    assert found.of_all["optimality gap"]["dqn"].estimate == pytest.approx(np.maximum(1 - scores, 0).mean())
    assert found.of_all["optimality gap"]["dqn"].low >= 0
    np.testing.assert_allclose(found.profiles["dqn"].shares, statistics.performance_profile(scores, found.thresholds))


def test_of_a_pair_the_first_is_the_better(many):
    (pair,) = compared(many)[0].pairs
    assert (pair.better, pair.worse) == ("ppo", "dqn")
    assert pair.interval.low <= pair.interval.estimate <= pair.interval.high
    assert pair.interval.estimate > 0.9
    renamed = {"ppo": "a", "dqn": "b"}  # the other order of names
    (other,) = compare(many, lambda run: renamed[run.algo], "iqm", {}, 0, []).pairs
    assert (other.better, other.interval) == ("a", pytest.approx(pair.interval))


def test_the_same_seed_gives_the_same_intervals(many):
    first, second, other = (compared(many, seed=seed)[0] for seed in (1, 1, 2))
    assert first.of_all == second.of_all
    assert first.of_all != other.of_all
    assert first.scores["CartPole-v1"]["ppo"].interval != other.scores["CartPole-v1"]["ppo"].interval


def test_a_range_of_an_environment_that_was_not_played(many):
    with pytest.raises(ValueError, match=r"no run is of Taxi-v4, but of CartPole-v1, sb3_ext/Maze-v0"):
        compared(many, ranges={"Taxi-v4": (0.0, 1.0)})
