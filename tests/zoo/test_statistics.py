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


def test_the_interval_of_a_mean_is_students_with_few_runs():
    """Where theory knows the answer: mean +- t s / sqrt(n)."""
    scores = np.random.default_rng(0).normal(size=5)
    found = interval(scores, mean, n_samples=200_000)
    half = 2.7764 * scores.std(ddof=1) / np.sqrt(5)
    assert found.high - found.estimate == pytest.approx(half, rel=0.01)
    assert found.estimate - found.low == pytest.approx(half, rel=0.01)


@pytest.mark.parametrize(("n_runs", "quantile"), [(8, 2.3646), (50, 2.0096)])
def test_the_interval_of_a_mean_is_nearly_as_wide_as_students(n_runs, quantile):
    scores = np.random.default_rng(0).normal(size=n_runs)
    found = interval(scores, mean, n_samples=200_000)
    assert found.high - found.low == pytest.approx(2 * quantile * scores.std(ddof=1) / np.sqrt(n_runs), rel=0.07)


@pytest.mark.parametrize("n_runs", [6, 10, 30])
def test_from_six_runs_on_an_interval_stays_within_the_range_of_the_runs(n_runs):
    scores = np.r_[np.zeros(n_runs - 2), 1.0, 1.0]
    for measure in (mean, interquartile_mean):
        found = interval(scores, measure)
        assert 0 <= found.low <= found.estimate <= found.high <= 1


def test_a_higher_confidence_is_a_wider_interval():
    scores = np.random.default_rng(0).normal(size=20)
    narrow, wide = (interval(scores, confidence=confidence) for confidence in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.slow
@pytest.mark.parametrize("n_runs", statistics.SIZES)
@pytest.mark.parametrize("case", list(statistics.cases(50_000)), ids=lambda case: f"{case.kind}, {case.scores}")
def test_intervals_hold_as_often_as_the_table_says(case, n_runs):
    """The percentile bootstrap of an IQM holds in about 74 and 89 % with 3 and 5 runs."""
    low, high = statistics.COVERAGE[case.kind][n_runs]
    share = 100 * statistics.coverage(case, n_runs, repetitions=200)
    error = 100 * np.sqrt(0.05 * 0.95 / 200)
    assert low - 3 * error < share < high + 3 * error


@pytest.mark.parametrize("kind", ["iqm", "improvement", "profile"])
def test_intervals_hold_about_as_often_as_they_say(kind):
    case = next(case for case in statistics.cases(100_000) if case.kind == kind)
    assert 0.9 < statistics.coverage(case, 20, repetitions=300) < 0.99


# ---- Improvement and profiles ---------------------------------------------------------------------------------------


def test_improvement_is_newcombes():
    """Solved by hand, with the normal quantile instead of Student's: n = m = 5, all better, 1 - q = z^2 V / (1 - q)."""
    found = statistics.improvement(np.arange(5.0) + 10, np.arange(5.0))
    q, t = found.low, 2.3060  # Student's quantile with 8 degrees of freedom
    variance = q * (1 - q) / 25 * (1 + 4 * ((1 - q) / (2 - q) + q / (1 + q)))
    assert (1 - q) ** 2 == pytest.approx(t**2 * variance, rel=2e-3)
    assert found[::2] == (1.0, 1.0)


def test_improvement_is_symmetric():
    ours, theirs = np.array([3.0, 4.0, 5.0, 1.5]), np.array([1.0, 2.0, 0.0, 1.0, 7.0])
    found, other = statistics.improvement(ours, theirs), statistics.improvement(theirs, ours)
    assert found.estimate == pytest.approx(float(probability_of_improvement(ours[:, None], theirs[:, None])))
    assert other == pytest.approx((1 - found.estimate, 1 - found.high, 1 - found.low), abs=1e-3)
    assert 0 < found.low < found.estimate < found.high < 1


def test_improvement_knows_that_one_side_scatters_more():
    """DeLong's variance: a few wide scores against many narrow ones in their middle say little."""
    theirs = np.linspace(-0.01, 0.01, 50)
    wide, alike = (
        statistics.improvement(np.array(ours), theirs)
        for ours in ([-3.0, -2.0, 2.0, 3.0], [-0.007, -0.003, 0.003, 0.007])
    )
    assert wide.estimate == alike.estimate == 0.5
    assert wide.high - wide.low > 1.1 * (alike.high - alike.low)


def test_improvement_over_tasks_is_surer_than_in_one():
    ours, theirs = np.array([[3.0], [4.0], [1.5]]), np.array([[1.0], [2.0], [3.5]])
    one, four = (statistics.improvement(np.tile(ours, n), np.tile(theirs, n)) for n in (1, 4))
    assert four.estimate == pytest.approx(one.estimate)
    assert four.high - four.estimate == pytest.approx((one.high - one.estimate) / 2)  # sqrt(4)


def test_improvement_of_single_runs_says_nothing_but_is_an_interval():
    assert statistics.improvement(np.array([2.0]), np.array([1.0])) == (1.0, 0.0, 1.0)


def test_improvement_needs_the_same_tasks():
    with pytest.raises(ValueError, match="the same tasks, got 2 and 3"):
        statistics.improvement(np.zeros((5, 2)), np.zeros((5, 3)))


def test_the_profile_has_wilsons_interval():
    """Of 10 runs 9 above the threshold: 0.596 to 0.982 (Wilson, 1927)."""
    shares, low, high = statistics.profile(np.arange(10.0), np.array([0.5]))
    assert (shares[0], round(low[0], 3), round(high[0], 3)) == (0.9, 0.596, 0.982)


def test_the_profile_is_never_certain():
    scores = np.random.default_rng(0).random((5, 3))
    shares, low, high = statistics.profile(scores, np.array([-1.0, 0.5, 2.0]))
    np.testing.assert_allclose(shares, statistics.performance_profile(scores, np.array([-1.0, 0.5, 2.0])))
    assert (shares[0], high[0], shares[2], low[2]) == (1, 1, 0, 0)
    assert low[0] < 0.9
    assert high[2] > 0.1


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
