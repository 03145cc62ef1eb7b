"""What several runs say together: robust means, comparisons, and intervals that hold with few seeds.

Scores are [n_runs, n_tasks] or [n_runs]: a row for each run (seed), a column for each task (environment); tasks are
made comparable before (:func:`normalized`). The measures are those of Agarwal et al., 2021 ("Deep RL at the Edge of the
Statistical Precipice", arXiv 2108.13264); rliable draws their intervals without obeying a seed, and with few runs they
are too narrow. The intervals here:

    interval      percentiles of the stratified bootstrap, but further out: Student's quantile for the normal one, times
                  sqrt(n / (n - 1)) for the bootstrap's own bias (Hesterberg, 2015, "What Teachers Should Know About
                  the Bootstrap"). They never leave the range of the runs, which with n < 6 holds even a median in
                  fewer than 95 %: there estimate +- quantile x sqrt(n / (n - 1)) x deviation of the bootstrap
    improvement   Newcombe, 2006, part 2, method 5: where all runs of one are better, a bootstrap is certain
    profile       Wilson, 1927: where all runs lie above a threshold, or none, likewise

The last two give an interval for each task; that of their mean over tasks squares and adds what lies between estimate
and end (Zou & Donner, 2008). How often all of them hold: ``python -m sb3_ext.zoo.statistics``.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from scipy.stats import t as student_t

Floats = npt.NDArray[np.float64]
Measure = Callable[[Floats], Floats]
"""From scores [..., n_runs, n_tasks] to their measure [...]."""


class Interval(NamedTuple):
    """An estimate, and where the truth is with the given confidence."""

    estimate: float
    low: float
    high: float


# ---- Measures -------------------------------------------------------------------------------------------------------


def mean(scores: Floats) -> Floats:
    """Over runs and tasks [..., n_runs, n_tasks]."""
    return scores.mean(axis=(-2, -1))


def interquartile_mean(scores: Floats) -> Floats:
    """IQM: the mean of what is left of all runs of all tasks without the lowest and the highest quarter of them.

    A quarter that is no whole number of scores is rounded down, as in scipy's ``trim_mean``.

    Args:
        scores: [..., n_runs, n_tasks]

    Returns:
        [...]

    Example:
        >>> float(interquartile_mean(np.array([[0.0], [1.0], [2.0], [60.0]])))
        1.5
    """
    ordered = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = ordered.shape[-1] // 4
    return ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1)


def optimality_gap(scores: Floats, target: float = 1.0) -> Floats:
    """How far runs stay below the target, on average; what lies above it does not make up for others.

    Example:
        >>> float(optimality_gap(np.array([[0.5], [2.0]])))
        0.25
    """
    return mean(np.maximum(target - scores, 0.0))


def performance_profile(scores: Floats, thresholds: Floats) -> Floats:
    """The share of runs that score more than each threshold, averaged over tasks [n_thresholds].

    Example:
        >>> performance_profile(np.array([[0.2], [0.6]]), np.array([0.0, 0.5, 1.0])).tolist()
        [1.0, 0.5, 0.0]
    """
    return (scores[..., None] > thresholds).mean(axis=(-3, -2))


def probability_of_improvement(ours: Floats, theirs: Floats) -> Floats:
    """How probably a run of ours scores more than one of theirs, a tie counting half; the mean over tasks.

    Args:
        ours: [..., n_runs, n_tasks]
        theirs: [..., m_runs, n_tasks]

    Example:
        >>> float(probability_of_improvement(np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]])))
        0.625
    """
    first, second = ours[..., :, None, :], theirs[..., None, :, :]
    return ((first > second) + 0.5 * (first == second)).mean(axis=(-3, -2, -1))


def normalized(scores: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """(score - low) / (high - low) of each task: 0 is a random policy, say, and 1 the best that is known.

    Raises:
        ValueError: where low and high are equal.
    """
    span = np.asarray(high, dtype=float) - low
    if np.any(span == 0):
        raise ValueError(f"low and high must differ in every task, got {low} and {high}")
    return (scores - low) / span


# ---- Intervals ------------------------------------------------------------------------------------------------------


def resampled(scores: Floats, n_samples: int, generator: np.random.Generator) -> Floats:
    """Bootstrap samples [n_samples, n_runs, n_tasks]: in each task runs are drawn with replacement, by itself."""
    n_runs, n_tasks = scores.shape
    drawn = generator.integers(n_runs, size=(n_samples, n_runs, n_tasks))
    return scores[drawn, np.arange(n_tasks)]


def interval(
    scores: Floats,
    measure: Measure = interquartile_mean,
    confidence: float = 0.95,
    n_samples: int = 2000,
    seed: int = 0,
) -> Interval:
    """A measure of the scores and its interval.

    Args:
        scores: [n_runs, n_tasks] or [n_runs]
        measure: of scores [..., n_runs, n_tasks].
        confidence: between 0 and 1.
        n_samples: of the bootstrap.
        seed: of the bootstrap; the same seed, the same interval.

    Returns:
        The estimate, from, to; infinitely wide for a single run.

    Raises:
        ValueError: for scores of another shape, none, or such as are not finite.

    Example:
        >>> result = interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
        >>> float(result.estimate), result.low < 2.0, result.high > 4.0
        (3.0, True, True)
    """
    scores = _checked(scores)
    estimate, n_runs = float(measure(scores)), len(scores)
    if n_runs < 2:
        return Interval(estimate, -np.inf, np.inf)
    samples = measure(resampled(scores, n_samples, np.random.default_rng(seed)))
    reach = student_t.ppf((1 + confidence) / 2, n_runs - 1) * np.sqrt(n_runs / (n_runs - 1))
    if 1 - 2.0 ** (1 - n_runs) < confidence:  # how often the lowest and the highest run enclose the median
        half = reach * samples.std(ddof=1)
        return Interval(estimate, float(estimate - half), float(estimate + half))
    low, high = np.quantile(samples, [norm.cdf(-reach), norm.cdf(reach)])
    return Interval(estimate, float(low), float(high))


def improvement(ours: Floats, theirs: Floats, confidence: float = 0.95) -> Interval:
    """The probability of improvement and its interval.

    Args:
        ours: [n_runs, n_tasks] or [n_runs]
        theirs: [m_runs, n_tasks] or [m_runs]
        confidence: between 0 and 1.

    Raises:
        ValueError: as :func:`interval`, and for different tasks.

    Example:
        >>> [round(value, 2) for value in improvement(np.array([3.0, 4.0, 5.0]), np.array([0.0, 1.0, 2.0]))]
        [1.0, 0.34, 1.0]
    """
    ours, theirs = _checked(ours), _checked(theirs)
    if ours.shape[1] != theirs.shape[1]:
        raise ValueError(f"both must have the same tasks, got {ours.shape[1]} and {theirs.shape[1]}")
    found = np.array([_newcombe(*task, confidence) for task in zip(ours.T, theirs.T, strict=True)])
    return Interval(*(float(value) for value in _over_tasks(*found.T)))


def _newcombe(ours: Floats, theirs: Floats, confidence: float) -> Interval:
    """The probability q of one task, and all q that lie within a quantile x their own deviation V(q)^(1/2) of it.

    V is q (1 - q) times a factor: that of exponential scores (Hanley & McNeil, 1982), symmetric in both sides, or, if
    it is larger, as where one side scatters more, that of the scores (DeLong et al., 1988). The quantile is Student's.
    """
    n, m = len(ours), len(theirs)
    wins = (ours[:, None] > theirs) + 0.5 * (ours[:, None] == theirs)
    estimate = float(wins.mean())
    if n + m < 3:
        return Interval(estimate, 0.0, 1.0)
    q = np.linspace(0, 1, 10_001)
    factor = (1 + ((n + m) / 2 - 1) * ((1 - q) / (2 - q) + q / (1 + q))) / (n * m)
    if min(n, m) > 1 and 0 < estimate < 1:
        scattered = wins.mean(axis=1).var(ddof=1) / n + wins.mean(axis=0).var(ddof=1) / m
        factor = np.maximum(factor, scattered / (estimate * (1 - estimate)))
    reach = student_t.ppf((1 + confidence) / 2, n + m - 2)
    held = q[(q - estimate) ** 2 <= reach**2 * q * (1 - q) * factor + 1e-12]
    return Interval(estimate, float(held[0]), float(held[-1]))


def profile(scores: Floats, thresholds: Floats, confidence: float = 0.95) -> tuple[Floats, Floats, Floats]:
    """The performance profile and its interval at each threshold by itself.

    Args:
        scores: [n_runs, n_tasks] or [n_runs]
        thresholds: [n_thresholds]
        confidence: between 0 and 1.

    Returns:
        Shares, their lower and their upper ends, each [n_thresholds].
    """
    scores = _checked(scores)
    n, z = len(scores), norm.ppf((1 + confidence) / 2)
    shares = (scores[..., None] > thresholds).mean(axis=0)  # [n_tasks, n_thresholds]
    middle = (shares + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(shares * (1 - shares) / n + (z / (2 * n)) ** 2)
    return _over_tasks(shares, middle - half, middle + half)


def _over_tasks(estimates: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats, Floats]:
    """Intervals [n_tasks, ...] of independent estimates become that of their mean [...]."""
    middle, n_tasks = estimates.mean(axis=0), len(estimates)
    below, above = (np.sqrt(((ends - estimates) ** 2).sum(axis=0)) / n_tasks for ends in (low, high))
    return middle, middle - below, middle + above


def _checked(scores: Floats) -> Floats:
    scores = np.asarray(scores, dtype=float)
    scores = scores[:, None] if scores.ndim == 1 else scores
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"scores must be [n_runs] or [n_runs, n_tasks], got the shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite; leave out runs that failed, and say so")
    return scores


# ---- How often the intervals hold -----------------------------------------------------------------------------------

SIZES = (3, 5, 10, 20, 50, 100)

COVERAGE: dict[str, dict[int, tuple[int, int]]] = {
    "iqm": {3: (93, 100), 5: (97, 97), 10: (96, 98), 20: (95, 97), 50: (94, 96), 100: (94, 96)},
    "mean": {3: (76, 99), 5: (71, 97), 10: (90, 96), 20: (92, 95), 50: (93, 95), 100: (94, 95)},
    "improvement": {3: (98, 100), 5: (96, 99), 10: (96, 98), 20: (96, 98), 50: (96, 97), 100: (95, 97)},
    "profile": {3: (92, 100), 5: (93, 97), 10: (94, 97), 20: (96, 97), 50: (93, 95), 100: (94, 96)},
}
"""Of 95 % intervals, how many in a hundred hold with so many runs: in the worst and in the best of ``cases``."""


def measured_coverage(kind: str, n_runs: int) -> tuple[int, int] | None:
    """What ``COVERAGE`` says of the nearest number of runs that is not larger; None below 3 runs.

    Example:
        >>> measured_coverage("iqm", 2) is None, measured_coverage("iqm", 7) == COVERAGE["iqm"][5]
        (True, True)
    """
    return COVERAGE[kind][max(size for size in SIZES if size <= n_runs)] if n_runs >= SIZES[0] else None


MEASURES: dict[str, Measure] = {"iqm": interquartile_mean, "mean": mean}
Draw = Callable[[np.random.Generator, int], Floats]
"""So many runs: [n] or [n, n_tasks]."""
DISTRIBUTIONS: dict[str, Draw] = {
    "normal": lambda generator, n: generator.normal(size=n),
    "skewed (exponential)": lambda generator, n: generator.exponential(size=n),
    "two groups (1 in 5 fails)": lambda generator, n: (
        np.where(generator.random(n) < 0.2, 0.0, 1.0) + 0.1 * generator.normal(size=n)
    ),
    "five skewed tasks": lambda generator, n: (
        generator.exponential(np.linspace(0.5, 1, 5), size=(n, 5)) + np.linspace(0, 1, 5)
    ),
}


class Case(NamedTuple):
    """A kind of interval on simulated scores."""

    kind: str
    """"iqm", "mean", "improvement" or "profile" """
    scores: str
    draw: Draw
    truth: float
    find: Callable[..., Interval]
    """from scores and ``seed``"""


def cases(n_truth: int = 2_000_000) -> Iterator[Case]:
    """What the intervals are tried on; where no formula has the truth, that many scores are drawn for it."""
    for measure, scores in product(MEASURES, DISTRIBUTIONS):
        truth = float(MEASURES[measure](_many(scores, n_truth)))
        yield Case(measure, scores, DISTRIBUTIONS[scores], truth, partial(interval, measure=MEASURES[measure]))
    for spread, apart in product((1.0, 6.0), ((0.0,), (1.0,), (2.0,), (0.0, 1.0, 2.0))):
        truth = float(norm.cdf(np.array(apart) / np.hypot(1, spread)).mean())
        scores = f"normal, deviations 1 and {spread:g}, tasks: {len(apart)}, truth {truth:.2f}"
        yield Case("improvement", scores, partial(_two_sides, apart, spread), truth, _improvement_of_halves)
    for scores, threshold in (("normal", 0.0), ("normal", -1.0), ("five skewed tasks", 1.0)):
        truth = float(performance_profile(_many(scores, n_truth), np.array([threshold]))[0])
        find = partial(_profile_at, threshold)
        yield Case("profile", f"{scores}, truth {truth:.2f}", DISTRIBUTIONS[scores], truth, find)


def _many(scores: str, n_runs: int) -> Floats:
    return DISTRIBUTIONS[scores](np.random.default_rng(1), n_runs).reshape(n_runs, -1)


def _two_sides(apart: tuple[float, ...], spread: float, generator: np.random.Generator, n_runs: int) -> Floats:
    """In the first half of the columns ours, in the second theirs."""
    means, deviations = np.array([apart, np.zeros(len(apart))]), np.array([[spread], [1.0]])
    return (means + deviations * generator.normal(size=(n_runs, *means.shape))).reshape(n_runs, -1)


def _improvement_of_halves(runs: Floats, seed: int) -> Interval:
    ours, theirs = np.split(runs, 2, axis=1)
    return improvement(ours, theirs)


def _profile_at(threshold: float, runs: Floats, seed: int) -> Interval:
    return Interval(*(float(value[0]) for value in profile(runs, np.array([threshold]))))


def coverage(case: Case, n_runs: int, repetitions: int) -> float:
    """The share of repetitions whose interval holds the truth."""
    generator = np.random.default_rng(0)
    held = 0
    for repetition in range(repetitions):
        found = case.find(case.draw(generator, n_runs), seed=repetition)
        held += found.low <= case.truth <= found.high
    return held / repetitions


def main() -> None:
    """Print the coverage over 1,000 repetitions; three minutes."""
    print("| interval | scores |" + " | ".join(f"n = {n}" for n in SIZES) + " |\n" + "|---" * (2 + len(SIZES)) + "|")
    for case in cases():
        shares = [f"{100 * coverage(case, n_runs, 1000):.1f} %" for n_runs in SIZES]
        print(f"| {case.kind} | {case.scores} | " + " | ".join(shares) + " |", flush=True)


if __name__ == "__main__":
    main()
