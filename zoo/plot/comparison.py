"""What runs say together: curves on a common grid, final scores, measures over environments, each with its interval."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sb3_ext.zoo import statistics
from sb3_ext.zoo.plot.groups import grouped, kinds_of, labels_of
from sb3_ext.zoo.plot.runs import Run
from sb3_ext.zoo.statistics import MEASURES, Interval, interval

Floats = npt.NDArray[np.float64]
Range = tuple[float, float]
"""The scores that become 0 and 1."""

N_POINTS = 100  # of a learning curve, and of a profile
MEASURES_OF_ALL: dict[str, statistics.Measure] = {
    "interquartile mean": statistics.interquartile_mean,
    "mean": statistics.mean,
    "optimality gap": statistics.optimality_gap,
}


class Curve(NamedTuple):
    """Of several runs of one algorithm on one environment."""

    timesteps: Floats
    """[n_points]"""
    runs: Floats
    """mean return of each [n_runs, n_points]"""
    middle: Floats
    """their measure [n_points]"""
    low: Floats
    """lower end of its interval [n_points]; not a number for a single run"""
    high: Floats


class Scores(NamedTuple):
    """Final scores of one algorithm on one environment."""

    values: Floats
    """[n_runs]"""
    interval: Interval
    """of their measure"""


class Pair(NamedTuple):
    """How probably a run of the one scores more than one of the other."""

    better: str
    worse: str
    interval: Interval


class Profile(NamedTuple):
    """The share of one label's runs that score more than each threshold, with its interval; each [n_points]."""

    shares: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Comparison:
    """Everything that is drawn and told. Labels are what is compared: algorithms, or folders."""

    measure: str
    """of curves and scores: "iqm" or "mean" """
    labels: list[str]
    envs: list[str]
    curves: dict[str, dict[str, Curve]]
    """environment, label"""
    scores: dict[str, dict[str, Scores]]
    """environment, label"""
    drawn: dict[str, str]
    """of each environment, what curves are made of: ``EPISODES``, ``EVALUATIONS`` or both"""
    scored_by: dict[str, str]
    """likewise scores"""
    ranges: dict[str, Range] = field(default_factory=dict)
    """of each environment over which labels are compared"""
    normalized: dict[str, Floats] = field(default_factory=dict)
    """of each label [n_runs, len(ranges)]; empty if there is no such environment"""
    of_all: dict[str, dict[str, Interval]] = field(default_factory=dict)
    """measure, label"""
    pairs: list[Pair] = field(default_factory=list)
    """of any two labels"""
    thresholds: Floats = field(default_factory=lambda: np.empty(0))
    """normalised scores [n_points]"""
    profiles: dict[str, Profile] = field(default_factory=dict)
    """label"""


def compare(
    runs: Sequence[Run],
    label: Callable[[Run], str],
    measure: str,
    ranges: Mapping[str, Range],
    seed: int,
    problems: list[str],
) -> Comparison:
    """Compare runs; what makes them hard to compare is appended to ``problems``.

    Args:
        runs: at least one.
        label: what of them is compared.
        measure: "iqm" or "mean", of curves and scores.
        ranges: for some environments, the scores that become 0 and 1. Else the lowest and the highest mean over runs.
        seed: of the bootstrap.
        problems: is added to.

    Raises:
        ValueError: for a range of an environment that no run is of.
    """
    groups = grouped(runs, label, problems)
    unknown = set(ranges) - set(groups)
    if unknown:
        raise ValueError(f"--range: no run is of {', '.join(sorted(unknown))}, but of {', '.join(groups)}")
    measured = partial(interval, measure=MEASURES[measure], seed=seed)
    curves, scores = {}, {}
    for env, by_label in groups.items():
        drawn = {name: curve_of(name, env, group, measured, problems) for name, group in by_label.items()}
        curves[env] = {name: curve for name, curve in drawn.items() if curve is not None}
        values = {name: _finals(group) for name, group in by_label.items()}
        scores[env] = {name: Scores(each, measured(each)) for name, each in values.items() if len(each)}
    found = Comparison(
        measure, labels_of(groups), list(groups), curves, scores,
        drawn={env: kinds_of(by_label, lambda log: log.drawn) for env, by_label in groups.items()},
        scored_by={env: kinds_of(by_label, lambda log: log.scored_by) for env, by_label in groups.items()},
    )  # fmt: skip
    return over_environments(found, ranges, seed, problems)


# ---- One environment ------------------------------------------------------------------------------------------------


def _finals(group: Sequence[Run]) -> Floats:
    return np.array([run.log.score for run in group if run.log.score is not None])


def curve_of(
    label: str, env: str, group: Sequence[Run], measured: Callable[[Floats], Interval], problems: list[str]
) -> Curve | None:
    """The learning curve of a group, up to the end of its shortest run, without those that broke off early.

    None if there is no common point.
    """
    every = [run.log for run in group if len(run.log.timesteps)]
    if not every:
        return None
    half = float(np.median([log.length for log in every])) / 2
    logs = [log for log in every if log.length >= half]
    if len(logs) < len(every):
        problems.append(f"{label} on {env}: its curve is without the runs that end before step {half:,.0f}, "
                        f"{len(every) - len(logs)} of {len(every)}; its scores are not")  # fmt: skip
    shortest = min(logs, key=lambda log: log.length)
    longest = max(log.length for log in logs)
    if longest > 1.1 * shortest.length:
        problems.append(f"{label} on {env}: runs of {shortest.length:,.0f} to {longest:,.0f} steps; "
                        "the curve ends with the shortest, the scores are of each run's own end")  # fmt: skip
    grid = np.linspace(0, shortest.length, N_POINTS + 1)[1:]
    means = np.array([log.mean_return(grid) for log in logs])
    begun = ~np.isnan(means).any(axis=0)
    if not begun.any():
        problems.append(f"{label} on {env}: no curve, the first run ends before the last one's first return")
        return None
    grid, means = grid[begun], means[:, begun]
    ends = np.array([measured(column) for column in means.T])
    ends[np.isinf(ends)] = np.nan
    return Curve(grid, means, *ends.T)


# ---- Over environments ----------------------------------------------------------------------------------------------


def over_environments(found: Comparison, ranges: Mapping[str, Range], seed: int, problems: list[str]) -> Comparison:
    """The comparison with all measures over those environments on which every label has scores."""
    used = {}
    for env in found.envs:
        if len(found.scores[env]) < len(found.labels):
            problems.append(f"{env} is left out where environments are taken together: not all have scores on it")
            continue
        low, high = ranges.get(env) or observed_range(found, env)
        if low == high:
            problems.append(
                f"{env} is left out where environments are taken together: every mean is {low:g}; say what is 0 and "
                f"what is 1 with --range {env} LOW HIGH"
            )
            continue
        used[env] = (low, high)
    if not used:
        return found
    normalized = {label: _matrix(found, label, used, problems) for label in found.labels}
    of_all = {
        name: {label: interval(normalized[label], measure, seed=seed) for label in found.labels}
        for name, measure in MEASURES_OF_ALL.items()
    }
    of_all["optimality gap"] = {
        label: each._replace(low=max(each.low, 0.0)) if np.isfinite(each.low) else each
        for label, each in of_all["optimality gap"].items()
    }  # it is never negative
    edge = np.concatenate([*(scores.ravel() for scores in normalized.values()), [0.0, 1.0]])
    thresholds = np.linspace(edge.min() - 0.02, edge.max() + 0.02, N_POINTS)
    profiles = {label: Profile(*statistics.profile(normalized[label], thresholds)) for label in found.labels}
    return replace(found, ranges=used, normalized=normalized, of_all=of_all, pairs=improvements(normalized),
                   thresholds=thresholds, profiles=profiles)  # fmt: skip


def improvements(normalized: Mapping[str, Floats]) -> list[Pair]:
    """Of any two labels how probably a run of the better one scores more, the most probable first."""
    pairs = []
    for ours, theirs in combinations(normalized, 2):
        one = statistics.improvement(normalized[ours], normalized[theirs])
        other = Interval(1 - one.estimate, 1 - one.high, 1 - one.low)
        pairs.append(Pair(ours, theirs, one) if one.estimate >= 0.5 else Pair(theirs, ours, other))
    return sorted(pairs, key=lambda pair: -pair.interval.estimate)


def observed_range(found: Comparison, env: str) -> Range:
    """The lowest and the highest mean over runs, of any label, during the training or at its end."""
    curves = [curve.runs.mean(axis=0) for curve in found.curves[env].values()]
    means = np.concatenate([*curves, [scores.values.mean() for scores in found.scores[env].values()]])
    return float(means.min()), float(means.max())


def _matrix(found: Comparison, label: str, ranges: Mapping[str, Range], problems: list[str]) -> Floats:
    """Normalised scores [n_runs, n_envs], as many runs of each environment as all of them have."""
    columns = [found.scores[env][label].values for env in ranges]
    counts = [len(column) for column in columns]
    if min(counts) < max(counts):
        problems.append(f"{label}: where environments are taken together, only the first {min(counts)} runs of each")
    scores = np.column_stack([column[: min(counts)] for column in columns])
    low, high = np.array(list(ranges.values())).T
    return statistics.normalized(scores, low, high)
