"""The best few trials again, on fresh seeds: what was best on the seeds of the search was partly lucky on them.

A re-training is a trial of a second study, "<name>/retrain", so that it is as safe as any trial: shared between
machines, run again if its worker dies, kept when the command is interrupted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from scipy.stats import t as student_t

from sb3_ext.zoo.recipes import Recipe
from sb3_ext.zoo.search_spaces import SEARCH_SPACES
from sb3_ext.zoo.tune import slots
from sb3_ext.zoo.tune.crew import Crew
from sb3_ext.zoo.tune.objective import Task
from sb3_ext.zoo.tune.study import open_study
from sb3_ext.zoo.tune.worker import Work

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Candidate:
    """One of the best trials, and what it came to on fresh seeds."""

    number: int
    """of the trial"""
    value: float
    """of the trial, on the seeds of the search"""
    hyperparams: dict[str, Any]
    recipe: Recipe
    values: tuple[float, ...] = ()
    """of the re-trainings, by fresh seed; infinitely bad where one came upon NaN"""
    returns: tuple[float, ...] = ()
    """mean return of each re-trained model"""

    @property
    def mean(self) -> float:
        """Of the re-trainings' values."""
        return float(np.mean(self.values))

    def confidence(self) -> tuple[float, float]:
        """Where the true mean over all seeds is, with 95 %."""
        return interval(self.values)

    def prediction(self, n_candidates: int) -> tuple[float, float]:
        """Where the mean of as many fresh trainings will be, with 95 % for all candidates together (Bonferroni).

        Together, because the best is chosen among them: for the one that came out on top an interval of its own would
        promise too much.
        """
        return interval(self.values, n_new=len(self.values), confidence=1 - (1 - CONFIDENCE) / n_candidates)


def interval(values: Sequence[float], n_new: int | None = None, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Student's interval for the true mean, or for the mean of ``n_new`` further values.

    mean +- t s sqrt(1/n + 1/m): a confidence interval is m = infinity. It knows where the true mean is, and misses the
    mean of new values in one case out of six or so, as that scatters just as much.

    Args:
        values: [n], independent.
        n_new: m; None for the true mean.
        confidence: between 0 and 1.

    Returns:
        From, to; infinitely wide for a single value.

    Example:
        >>> [round(end, 2) for end in interval([1.0, 2.0, 3.0])]
        [-0.48, 4.48]
        >>> [round(end, 2) for end in interval([1.0, 2.0, 3.0], n_new=3)]
        [-1.51, 5.51]
    """
    n = len(values)
    if n < 2 or not np.isfinite(values).all():
        return -math.inf, math.inf
    share = 1 / n + (0.0 if n_new is None else 1 / n_new)
    half = student_t.ppf((1 + confidence) / 2, n - 1) * np.std(values, ddof=1) * math.sqrt(share)
    return float(np.mean(values) - half), float(np.mean(values) + half)


def best_trials(study: optuna.Study, names: Sequence[str], task: Task, k: int) -> list[Candidate]:
    """The best k completed trials with different hyperparameters, the best first; fewer if there are no more."""
    complete = [trial for trial in slots.finished(slots.trials_of(study), names) if trial.state == TrialState.COMPLETE]
    sign = -1 if task.direction == "maximize" else 1
    found: list[Candidate] = []
    for trial in sorted(complete, key=lambda each: (sign * _value(each), each.number)):
        hyperparams = SEARCH_SPACES[task.recipe.algo](FixedTrial(trial.params))
        if all(hyperparams != candidate.hyperparams for candidate in found):
            recipe = task.with_hyperparams(hyperparams)
            found.append(Candidate(trial.number, _value(trial), hyperparams, recipe))
        if len(found) == k:
            break
    return found


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def retrain(
    study: optuna.Study, candidates: list[Candidate], work: Work, n_seeds: int, crew: Crew, models: Path
) -> list[Candidate]:
    """Re-train every candidate on the same fresh seeds.

    Args:
        study: the search.
        candidates: what to re-train.
        work: of the search.
        n_seeds: fresh seeds of each.
        crew: the workers.
        models: folder for the models that are trained on this machine, ``<trial>-<index>/model.zip``.

    Returns:
        The candidates with their results, the best mean first.
    """
    task = work.task
    again = open_study(study._storage, f"{study.study_name}/retrain", task.direction, task.settings(), {})
    names = [f"{candidate.number}:{index}" for candidate in candidates for index in range(n_seeds)]
    recipes = {candidate.number: candidate.recipe for candidate in candidates}
    todo = replace(work, study_name=again.study_name, slots=names, recipes=recipes, models=models)
    crew.run(again, todo, "re-training")
    results = {trial.user_attrs[slots.SLOT]: trial for trial in slots.finished(slots.trials_of(again), names)}
    worst = -math.inf if task.direction == "maximize" else math.inf
    ranked = []
    for candidate in candidates:
        own = [results[f"{candidate.number}:{index}"] for index in range(n_seeds)]
        values = tuple(worst if trial.value is None else trial.value for trial in own)
        returns = tuple(trial.user_attrs.get("return", -math.inf) for trial in own)
        ranked.append(replace(candidate, values=values, returns=returns))
    return sorted(ranked, key=lambda candidate: candidate.mean, reverse=task.direction == "maximize")
