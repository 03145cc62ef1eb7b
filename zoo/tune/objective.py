"""What a trial is worth: one training for each of several seeds, evaluated on the same episodes in every trial."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import optuna
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.zoo.recipes import Recipe
from sb3_ext.zoo.search_spaces import SEARCH_SPACES
from sb3_ext.zoo.training import SPACING, evaluate, train

OBJECTIVES = ("final", "best", "auc", "steps-to-threshold")

# Three kinds of episodes that never meet: a trial's trainings begin at --seed, fresh trainings a million further on,
# evaluations ten millions further on. Trainings are SPACING apart, because environment i gets the seed + i.
FRESH = 1_000_000


class NonFinite(Exception):
    """A training came upon NaN or infinity: the one reason to prune a trial that has nothing to do with its return."""


@dataclass(frozen=True)
class Task:
    """What decides the value of a trial, apart from its hyperparameters; plain data."""

    recipe: Recipe
    """what is not searched"""
    env_id: str
    objective: str = "final"
    threshold: float | None = None
    """mean return of an evaluation that counts as solved, for "steps-to-threshold" """
    n_seeds: int = 3
    n_evaluations: int = 1
    eval_episodes: int = 20
    seed: int = 0

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Whether more is better."""
        return "minimize" if self.objective == "steps-to-threshold" else "maximize"

    def settings(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return asdict(self)

    def with_hyperparams(self, hyperparams: dict[str, Any]) -> Recipe:
        """The recipe of a trial."""
        return replace(self.recipe, hyperparams={**self.recipe.hyperparams, **hyperparams})


class Outcome(NamedTuple):
    """What one training came to."""

    value: float
    """by the objective"""
    final: float
    """mean return of the last evaluation"""
    means: list[float]
    """mean return of each evaluation, equally spaced over the training"""


def run_trial(trial: optuna.Trial, task: Task) -> float:
    """Train and evaluate every seed of a trial; the mean of their values.

    Between seeds the pruner is asked. It sees the mean so far, or, as the Wilcoxon test compares seed by seed, the
    single values.

    Raises:
        optuna.TrialPruned: if the pruner says so, or if a training came upon NaN or infinity.
    """
    recipe = task.with_hyperparams(SEARCH_SPACES[task.recipe.algo](trial))
    paired = isinstance(trial.study.pruner, optuna.pruners.WilcoxonPruner)
    outcomes: list[Outcome] = []
    for index in range(task.n_seeds):
        try:
            outcomes.append(measure(task, recipe, task.seed + SPACING * index, evaluation=0))
        except NonFinite as error:
            trial.set_user_attr("non_finite", str(error))
            raise optuna.TrialPruned(str(error)) from error
        values = [outcome.value for outcome in outcomes]
        trial.set_user_attr("values", values)
        trial.set_user_attr("returns", [outcome.final for outcome in outcomes])
        trial.report(values[-1] if paired else float(np.mean(values)), step=index + 1)
        if index + 1 < task.n_seeds and trial.should_prune():
            raise optuna.TrialPruned(f"after {index + 1} seeds")
    return float(np.mean(values))


def measure_fresh(task: Task, recipe: Recipe, index: int, save_to: Path | None = None) -> Outcome:
    """A training with a seed, and evaluated on episodes, that no trial has seen.

    Args:
        task: the task.
        recipe: hyperparameters included.
        index: number of the fresh seed.
        save_to: folder for the model, ``model.zip``, and the statistics of ``VecNormalize``, ``vecnormalize.pkl``.
    """
    return measure(task, recipe, task.seed + FRESH + SPACING * index, FRESH + SPACING * index, save_to)


def measure(task: Task, recipe: Recipe, seed: int, evaluation: int, save_to: Path | None = None) -> Outcome:
    """One training and its evaluations.

    Args:
        task: the task.
        recipe: hyperparameters included.
        seed: of the training.
        evaluation: which episodes to evaluate on; the same number, the same episodes.
        save_to: folder for the model.

    Raises:
        NonFinite: if a number in the training or in the result is NaN or infinite.
        Exception: whatever else the training raises.
    """
    callback = Evaluations(task, partial(mean_return, task=task, evaluation=evaluation))
    try:
        model, env = train(recipe, task.env_id, seed, callback=callback)
    except Exception as error:
        if is_non_finite(error, getattr(callback, "model", None)):
            raise NonFinite(
                f"training seed {seed}: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
            ) from error
        raise
    try:
        means = [*callback.means, mean_return(model, task, evaluation)]
        if not np.isfinite(means).all() or not all_finite(model):
            raise NonFinite(f"training seed {seed}: the policy or its return is not finite")
        if save_to is not None:
            save(model, save_to)
    finally:
        env.close()
    return Outcome(value_of(task, means), means[-1], means)


def value_of(task: Task, means: list[float]) -> float:
    """The objective, from the mean returns of the evaluations.

    "steps-to-threshold" is the number of steps at the first evaluation that reached it; twice the training if none did.

    Example:
        >>> task = Task(Recipe("ppo", 1000), "CartPole-v1", objective="best")
        >>> value_of(task, [10.0, 30.0, 20.0])
        30.0
        >>> value_of(replace(task, objective="auc"), [10.0, 30.0, 20.0])
        20.0
        >>> value_of(replace(task, objective="steps-to-threshold", threshold=25.0), [1.0, 30.0, 2.0, 9.0])
        500.0
    """
    if task.objective == "best":
        return max(means)
    if task.objective == "auc":
        return float(np.mean(means))
    if task.objective == "steps-to-threshold":
        assert task.threshold is not None
        n_timesteps = task.recipe.n_timesteps
        reached = [index for index, mean in enumerate(means, 1) if mean >= task.threshold]
        return n_timesteps * reached[0] / len(means) if reached else 2.0 * n_timesteps
    return means[-1]


class Evaluations(BaseCallback):
    """Evaluates at equal intervals during a training; the last evaluation, after it, is the caller's.

    Args:
        task: says how often.
        evaluate: the mean return of a model.
    """

    def __init__(self, task: Task, evaluate: Callable[[BaseAlgorithm], float]) -> None:
        super().__init__()
        self._due = [task.recipe.n_timesteps * i // task.n_evaluations for i in range(1, task.n_evaluations)]
        self._evaluate = evaluate
        self.means: list[float] = []

    def _on_step(self) -> bool:
        while len(self.means) < len(self._due) and self.num_timesteps >= self._due[len(self.means)]:
            self.means.append(self._evaluate(self.model))
        return True

    def calls_until_due(self) -> float:
        """For the compiled engine of the tabular algorithms: it may play on until then."""
        if len(self.means) == len(self._due):
            return math.inf
        return max(-(-(self._due[len(self.means)] - self.model.num_timesteps) // self.training_env.num_envs), 1)

    def _on_training_end(self) -> None:
        """Evaluations that a training which ended early has left out."""
        while len(self.means) < len(self._due):
            self.means.append(self._evaluate(self.model))


def mean_return(model: BaseAlgorithm, task: Task, evaluation: int) -> float:
    """Of one evaluation."""
    env_kwargs = task.recipe.env_kwargs
    return float(np.mean(evaluate(model, task.env_id, task.eval_episodes, evaluation, env_kwargs=env_kwargs)))


def save(model: BaseAlgorithm, folder: Path) -> None:
    """Write ``model.zip`` and, if there is one, ``vecnormalize.pkl``, each as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "new.zip")
    normalization = model.get_vec_normalize_env()
    if normalization is not None:
        normalization.save(str(folder / "new.pkl"))
        (folder / "new.pkl").replace(folder / "vecnormalize.pkl")
    (folder / "new.zip").replace(folder / "model.zip")


# ---- NaN and infinity -----------------------------------------------------------------------------------------------


def is_non_finite(error: BaseException, model: BaseAlgorithm | None) -> bool:
    """Whether NaN or infinity is what ended a training: in the policy, or in what the environment gave.

    Everything else that can go wrong is an error, to be seen: an exception's type or its text prove nothing.
    """
    if model is not None and getattr(model, "policy", None) is not None and not all_finite(model):
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_code.co_name == "refuse_non_finite"  # sb3_ext.common


def all_finite(model: BaseAlgorithm) -> bool:
    """Whether every number of the policy is."""
    numbers = (value for value in model.policy.state_dict().values() if isinstance(value, torch.Tensor))
    return all(bool(torch.isfinite(value).all()) for value in numbers if value.is_floating_point())
