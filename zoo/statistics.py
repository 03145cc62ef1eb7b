"""What several runs say together: robust means, comparisons, and intervals that hold with few seeds.

Scores are [n_runs, n_tasks] or [n_runs]: a row for each run (seed), a column for each task (environment); tasks are
made comparable before (:func:`normalized`). The measures are those of Agarwal et al., 2021 ("Deep RL at the Edge of the
Statistical Precipice", arXiv 2108.13264); rliable draws their intervals without obeying a seed, and with few runs they
are too narrow. The intervals here are, for any measure,

    estimate +- t SE sqrt(n / (n - 1)),      SE = standard deviation over bootstrap samples, runs drawn within tasks

Student's quantile, and the factor for the bootstrap's own bias (it divides by n; Efron & Tibshirani, 1993, chapter 5),
are what the usual percentiles of the bootstrap leave out. How often they hold: ``python -m sb3_ext.zoo.statistics``.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
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
    samples = measure(resampled(scores, n_samples, np.random.default_rng(seed)))
    return _around(float(measure(scores)), samples, len(scores), confidence)


def improvement(
    ours: Floats, theirs: Floats, confidence: float = 0.95, n_samples: int = 2000, seed: int = 0
) -> Interval:
    """The probability of improvement and its interval, within 0 and 1."""
    ours, theirs = _checked(ours), _checked(theirs)
    generator = np.random.default_rng(seed)
    drawn = resampled(ours, n_samples, generator), resampled(theirs, n_samples, generator)
    estimate = float(probability_of_improvement(ours, theirs))
    n_runs = min(len(ours), len(theirs))
    found = _around(estimate, probability_of_improvement(*drawn), n_runs, confidence)
    return Interval(estimate, max(found.low, 0.0), min(found.high, 1.0))


def _around(estimate: float, samples: Floats, n_runs: int, confidence: float) -> Interval:
    if n_runs < 2:
        return Interval(estimate, -np.inf, np.inf)
    error = samples.std(ddof=1) * np.sqrt(n_runs / (n_runs - 1))
    half = student_t.ppf((1 + confidence) / 2, n_runs - 1) * error
    return Interval(estimate, float(estimate - half), float(estimate + half))


def _checked(scores: Floats) -> Floats:
    scores = np.asarray(scores, dtype=float)
    scores = scores[:, None] if scores.ndim == 1 else scores
    if scores.ndim != 2 or 0 in scores.shape:
        raise ValueError(f"scores must be [n_runs] or [n_runs, n_tasks], got the shape {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite; leave out runs that failed, and say so")
    return scores


# ---- How often the intervals hold -----------------------------------------------------------------------------------


def coverage(n_runs: int, draw: Callable[[np.random.Generator, int], Floats], truth: float, repetitions: int) -> float:
    """The share of repetitions whose interval holds the true IQM.

    Args:
        n_runs: scores in each repetition.
        draw: gives so many scores [n].
        truth: the IQM of their distribution.
        repetitions: how often.
    """
    generator = np.random.default_rng(0)
    held = 0
    for repetition in range(repetitions):
        found = interval(draw(generator, n_runs), seed=repetition, n_samples=1000)
        held += found.low <= truth <= found.high
    return held / repetitions


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda generator, n: generator.normal(size=n),
    "skewed (exponential)": lambda generator, n: generator.exponential(size=n),
    "two groups (1 in 5 fails)": lambda generator, n: (
        np.where(generator.random(n) < 0.2, 0.0, 1.0) + 0.1 * generator.normal(size=n)
    ),
}


def main() -> None:
    """Print the coverage for several distributions and numbers of runs; a minute."""
    sizes = (3, 5, 10, 20, 50, 100)
    print("| scores |" + " | ".join(f"n = {n}" for n in sizes) + " |\n|---" + "|---" * len(sizes) + "|")
    for name, draw in DISTRIBUTIONS.items():
        truth = float(interquartile_mean(draw(np.random.default_rng(1), 4_000_000)[:, None]))
        shares = [f"{100 * coverage(n, draw, truth, 1000):.1f} %" for n in sizes]
        print(f"| {name} | " + " | ".join(shares) + " |", flush=True)


if __name__ == "__main__":
    main()
