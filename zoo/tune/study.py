"""A study: what it is about, so that it is resumed only by the same search; its sampler and its pruner by name."""

import json
from collections.abc import Callable
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random")
PRUNERS = ("median", "hyperband", "halving", "wilcoxon", "none")
ABOUT = "sb3_ext"  # user attribute of a study: what it is about

Space = dict[str, BaseDistribution]
Direction = Literal["maximize", "minimize"]


class StudyError(Exception):
    """A study that is not this search's; the message says what differs."""


class Recorder:
    """Stands in for a trial and notes what a search space asks for."""

    def __init__(self) -> None:
        self.space: Space = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Note a number."""
        self.space[name] = FloatDistribution(low, high, log, step)
        return low

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Note a whole number."""
        self.space[name] = IntDistribution(low, high, log, step)
        return low

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Note a choice."""
        self.space[name] = CategoricalDistribution(choices)
        return choices[0]


def space_of(function: Callable[[Any], dict[str, Any]]) -> Space:
    """The distributions that a search space function asks for, by the names of its parameters."""
    recorder = Recorder()
    function(recorder)
    return recorder.space


def open_study(
    storage: BaseStorage, name: str, direction: Direction, settings: dict[str, Any], space: Space
) -> optuna.Study:
    """Make a study, or go on with the one of that name if it is the same search.

    Args:
        storage: where it lives.
        name: its name.
        direction: "maximize" or "minimize".
        settings: what decides the value of a trial, as plain data.
        space: the search space.

    Raises:
        StudyError: if there is a study of this name with other settings or another space; it says what differs.
    """
    asked = json.loads(
        json.dumps({"settings": settings, "space": {k: distribution_to_json(v) for k, v in space.items()}})
    )
    study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
    found = study.user_attrs.get(ABOUT)
    if found is None:
        if study.get_trials(deepcopy=False):
            raise StudyError(f"study {name!r} was not made by sb3-ext tune; take another --study-name")
        study.set_user_attr(ABOUT, asked)
        found = study.user_attrs[ABOUT]  # of two that start at once, both go by what was written last
    differing = [
        line
        for part in ("settings", "space")
        for line in _differences(found.get(part, {}), asked[part], part == "space")
    ]
    if differing:
        raise StudyError(
            f"study {name!r} is another search: {'; '.join(differing)}. Take another --study-name to start a new one"
        )
    return study


def _differences(old: dict[str, Any], new: dict[str, Any], of_space: bool) -> list[str]:
    """What differs between two dicts, one line a key."""
    what = "search space of " if of_space else ""
    return [
        f"{what}{key} was {_short(old.get(key))}, is now {_short(new.get(key))}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]


def _short(value: Any) -> str:
    if isinstance(value, str) and value.startswith("{"):  # a distribution
        return " ".join(
            f"{key}={number}" for key, number in json.loads(value)["attributes"].items() if number is not None
        )
    return "absent" if value is None else json.dumps(value) if isinstance(value, dict) else str(value)


# ---- By name --------------------------------------------------------------------------------------------------------


class SlotQMC(optuna.samplers.QMCSampler):
    """A Sobol sequence whose n-th point belongs to the n-th slot, on whatever machine that is run.

    Optuna counts the points in the study instead, and two workers that count at once get the same point.
    """

    def __init__(self, space: Space, slot: int, seed: int, independent_seed: int) -> None:
        random = optuna.samplers.RandomSampler(seed=independent_seed)
        super().__init__(scramble=True, seed=seed, independent_sampler=random, warn_independent_sampling=False)
        self._space, self._slot = space, slot

    def infer_relative_search_space(self, study: Any, trial: Any) -> Space:
        """The whole space, from the first trial on."""
        return self._space

    def _find_sample_id(self, study: Any, search_space: Space) -> int:
        return self._slot


def make_sampler(name: str, space: Space, seed: int, slot: int, n_startup_trials: int = 10) -> BaseSampler:
    """A sampler for one trial.

    Its seed comes from the study's and the slot: workers on all machines draw differently, a trial that is run again
    draws the same, and with one worker a study that was interrupted ends as if it had not been.

    Args:
        name: one of ``SAMPLERS``.
        space: the search space.
        seed: the study's.
        slot: number of the slot.
        n_startup_trials: random trials before TPE and GP begin to learn.
    """
    import numpy as np

    own = int(np.random.SeedSequence([seed, slot]).generate_state(1)[0])
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=own, n_startup_trials=n_startup_trials)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=own, n_startup_trials=n_startup_trials, warn_independent_sampling=False)
    if name == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=own, warn_independent_sampling=False)
    if name == "qmc":
        return SlotQMC(space, slot, seed, own)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=own)
    raise ValueError(f"there is no sampler {name!r}; choose from {', '.join(SAMPLERS)}")


def make_pruner(name: str, n_seeds: int) -> BasePruner:
    """A pruner whose steps are the seeds of a trial, 1 to ``n_seeds``."""
    if name == "median":
        return optuna.pruners.MedianPruner()
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=n_seeds, reduction_factor=2)
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    if name == "wilcoxon":
        return optuna.pruners.WilcoxonPruner()
    if name == "none":
        return optuna.pruners.NopPruner()
    raise ValueError(f"there is no pruner {name!r}; choose from {', '.join(PRUNERS)}")
