"""Measures of several runs against other libraries and by hand, and how often their intervals hold."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, trim_mean

from sb3_ext.zoo import statistics
from sb3_ext.zoo.statistics import interquartile_mean, interval, mean, optimality_gap, probability_of_improvement


@pytest.mark.parametrize(("n_runs", "n_tasks"), [(1, 1), (3, 1), (5, 2), (10, 3), (7, 7)])
def test_the_interquartile_mean_is_scipys_trimmed_mean_of_all_scores(n_runs, n_tasks):
    scores = np.random.default_rng(n_runs).normal(size=(n_runs, n_tasks))
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores.ravel(), 0.25))


def test_measures_of_many_samples_at_once_are_those_of_each():
    samples = np.random.default_rng(0).normal(size=(20, 6, 3))
    for measure in (mean, interquartile_mean, optimality_gap):
        np.testing.assert_allclose(measure(samples), [measure(sample) for sample in samples])


def test_the_probability_of_improvement_is_mann_whitneys_u():
    generator = np.random.default_rng(0)
    ours, theirs = generator.integers(5, size=(9, 1)).astype(float), generator.integers(5, size=(6, 1)).astype(float)
    u = mannwhitneyu(ours[:, 0], theirs[:, 0]).statistic
    assert probability_of_improvement(ours, theirs) == pytest.approx(u / 54)


def test_the_performance_profile_by_brute_force():
    scores = np.random.default_rng(0).normal(size=(5, 3))
    thresholds = np.linspace(-2, 2, 9)
    expected = [np.mean([score > threshold for score in scores.ravel()]) for threshold in thresholds]
    np.testing.assert_allclose(statistics.performance_profile(scores, thresholds), expected)


def test_tasks_are_resampled_apart_and_within_themselves():
    scores = np.array([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0]])
    samples = statistics.resampled(scores, 500, np.random.default_rng(0))
    assert set(np.unique(samples[..., 0])) == {0.0, 1.0, 2.0}
    assert set(np.unique(samples[..., 1])) == {10.0, 11.0, 12.0}
    assert len(np.unique(samples[:, 0], axis=0)) == 9  # all pairs: the tasks' runs do not belong together


def test_the_same_seed_gives_the_same_interval_and_another_nearly_the_same():
    scores = np.random.default_rng(0).normal(size=20)
    assert interval(scores, seed=1) == interval(scores, seed=1)
    assert interval(scores, seed=1) != interval(scores, seed=2)
    assert interval(scores, seed=1).low == pytest.approx(interval(scores, seed=2).low, abs=0.1)


def test_the_interval_of_a_mean_is_students():
    """Where theory knows the answer: mean +- t s / sqrt(n)."""
    scores = np.random.default_rng(0).normal(size=8)
    found = interval(scores, mean, n_samples=200_000)
    half = 2.3646 * scores.std(ddof=1) / np.sqrt(8)
    assert found.high - found.estimate == pytest.approx(half, rel=0.01)


@pytest.mark.parametrize("n_runs", [3, 5, 50])
def test_intervals_hold_as_often_as_they_say(n_runs):
    """The percentile bootstrap holds in about 74 and 89 % with 3 and 5 runs."""
    share = statistics.coverage(n_runs, lambda generator, n: generator.normal(size=n), 0.0, repetitions=600)
    assert 0.92 < share < 0.985  # 95 % and about three standard deviations of 600 repetitions


def test_improvement_stays_within_0_and_1():
    found = statistics.improvement(np.array([3.0, 4.0, 5.0, 1.5]), np.array([1.0, 2.0, 0.0, 1.0]))
    assert found.estimate == pytest.approx(15 / 16)
    assert 0 < found.low < found.estimate < found.high == 1


def test_a_single_run_says_nothing_of_the_spread():
    assert interval(np.array([1.0])) == (1.0, -np.inf, np.inf)


@pytest.mark.parametrize(
    ("scores", "message"),
    [(np.zeros((0, 2)), "shape"), (np.zeros((2, 2, 2)), "shape"), (np.array([1.0, np.nan]), "finite")],
)
def test_scores_that_say_nothing(scores, message):
    with pytest.raises(ValueError, match=message):
        interval(scores)


def test_normalisation():
    scores = np.array([[0.0, -200.0], [50.0, -100.0]])
    np.testing.assert_allclose(
        statistics.normalized(scores, np.array([0, -200]), np.array([100, 0])), [[0, 0], [0.5, 0.5]]
    )
    with pytest.raises(ValueError, match="must differ"):
        statistics.normalized(scores, 1.0, 1.0)
