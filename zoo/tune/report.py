"""What a study leaves behind: best.yml, the model, pictures, a summary."""

import json
import math
import shutil
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import TrialState

from sb3_ext.zoo.tune import slots
from sb3_ext.zoo.tune.objective import Task, measure_fresh
from sb3_ext.zoo.tune.retrain import Candidate

PACKAGES = ("sb3-ext", "stable-baselines3", "sb3-contrib", "gymnasium", "torch", "optuna")


def write(path: Path, text: str) -> Path:
    """Write a file as a whole: a full disk or an interruption leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    return new.replace(path)


def write_best(file: Path, task: Task, best: Candidate) -> Path:
    """Write best.yml."""
    text = yaml.safe_dump({task.env_id: best.recipe.entry()}, sort_keys=False)
    head = f"# {task.recipe.algo}, trial {best.number} of sb3-ext tune; summary.md says how good it is.\n"
    return write(file, head + text)


def write_model(folder: Path, task: Task, best: Candidate) -> Path:
    """Copy the best of the winner's re-trained models to best_model.zip; train it again if another machine has it.

    Returns:
        The file; ``vecnormalize.pkl`` lies beside it if observations or rewards were normalised.
    """
    index = max(range(len(best.returns)), key=lambda i: best.returns[i])
    trained = folder / "models" / f"{best.number}-{index}"
    if not (trained / "model.zip").exists():
        measure_fresh(task, best.recipe, index, trained)
    for source, target in (("model.zip", "best_model.zip"), ("vecnormalize.pkl", "vecnormalize.pkl")):
        if (trained / source).exists():
            shutil.copy(trained / source, folder / f".{target}.new")
            (folder / f".{target}.new").replace(folder / target)
    return folder / "best_model.zip"


# ---- Pictures -------------------------------------------------------------------------------------------------------


def draw(folder: Path, study: optuna.Study) -> list[Path]:
    """History, importance and slices of a study, as PNG and, if plotly is installed, as HTML.

    Returns:
        The files; no importance if fewer than two trials completed or all were worth the same.
    """
    values = {trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    names = {"history": "optimization_history", "slices": "slice"}
    if len(values) > 1:
        names["importance"] = "param_importances"
    written = []
    for name, function in names.items():
        written += [_png(folder / f"{name}.png", function, study), *_html(folder / f"{name}.html", function, study)]
    return written


def _png(file: Path, function: str, study: optuna.Study) -> Path:
    import matplotlib

    matplotlib.use("Agg", force=False)
    import matplotlib.pyplot as plt
    import numpy as np
    from matplotlib.axes import Axes

    before = plt.rcParams.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Attempting to set identical")  # where all trials drew the same
        axes = np.ravel(getattr(optuna.visualization.matplotlib, f"plot_{function}")(study))
    assert isinstance(axes[0], Axes)
    figure = axes[0].figure
    if function == "slice":
        figure.set_size_inches(max(4.0, 3.0 * len(axes)), 3.5)  # type: ignore[union-attr]
    figure.savefig(file, dpi=120, bbox_inches="tight")  # type: ignore[union-attr]
    plt.close(figure)  # type: ignore[arg-type]
    plt.rcParams.update(before)  # Optuna sets a style for the whole process
    return file


def _html(file: Path, function: str, study: optuna.Study) -> list[Path]:
    if not optuna.visualization.is_available():
        return []
    figure = getattr(optuna.visualization, f"plot_{function}")(study)
    figure.write_html(file, include_plotlyjs="directory")  # one plotly.min.js beside them: no network is needed
    return [file]


# ---- Summary --------------------------------------------------------------------------------------------------------


def summary(study: optuna.Study, names: Sequence[str], task: Task, ranked: list[Candidate]) -> dict[str, Any]:
    """Everything that is worth keeping, as plain data; ``best`` is the first of ``candidates``."""
    trials = slots.trials_of(study)
    states = Counter(trial.state.name.lower() for trial in slots.finished(trials, names))
    return {
        "study": study.study_name,
        "task": task.settings(),
        "direction": task.direction,
        "trials": {"asked": len(names), **states, "run_again": sum("again" in t.user_attrs for t in trials)},
        "candidates": [
            {
                "trial": candidate.number,
                "value_in_search": candidate.value,
                "mean": candidate.mean,
                "confidence_interval": candidate.confidence(),
                "prediction_interval": candidate.prediction(len(ranked)),
                "values": candidate.values,
                "returns": candidate.returns,
                "hyperparams": candidate.hyperparams,
                "recipe": asdict(candidate.recipe),
            }
            for candidate in ranked
        ],
        "versions": {package: version(package) for package in PACKAGES},
    }


def markdown(found: dict[str, Any], command: str, packages: Sequence[str] = ()) -> str:
    """The summary for people.

    Args:
        found: from :func:`summary`.
        command: that made it.
        packages: what else the command that trains by it must say.
    """
    task, best, trials = found["task"], found["candidates"][0], found["trials"]
    n_seeds = len(best["values"])
    rows = [
        f"| {c['trial']} | {c['value_in_search']:.6g} | {c['mean']:.6g} | {_range(c['confidence_interval'])} | "
        f"{_range(c['prediction_interval'])} | {min(c['values']):.6g} to {max(c['values']):.6g} |"
        for c in found["candidates"]
    ]
    better = "more" if found["direction"] == "maximize" else "less"
    return "\n".join(
        [
            f"# {found['study']}: {task['recipe']['algo']} on {task['env_id']}",
            "",
            f"{trials['asked']} trials: {trials.get('complete', 0)} complete, {trials.get('pruned', 0)} pruned"
            f" ({trials['run_again']} times one was run again). Objective: {task['objective']}, {better} is better;"
            f" {task['n_seeds']} seeds a trial, {task['eval_episodes']} episodes an evaluation.",
            "",
            f"The best, each trained again on {n_seeds} fresh seeds and evaluated on fresh episodes:",
            "",
            "| trial | in the search | mean of fresh seeds | 95 % confidence | 95 % prediction | lowest to highest |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "Confidence: where the mean over all seeds is. Prediction: where the mean of another"
            f" {n_seeds} fresh trainings will be, for all candidates at once.",
            "",
            "```yaml",
            yaml.safe_dump(best["hyperparams"], sort_keys=False).strip(),
            "```",
            "",
            "Made by:",
            "",
            f"    {command}",
            "",
            "Train by it:",
            "",
            f"    sb3-ext train --algo {task['recipe']['algo']} --env {task['env_id']} --conf-file best.yml"
            + "".join(f" {word}" for word in packages),
            "",
            ", ".join(f"{package} {number}" for package, number in found["versions"].items()),
            "",
        ]
    )


def _range(ends: Sequence[float]) -> str:
    return "unknown" if math.isinf(ends[0]) else f"{ends[0]:.6g} to {ends[1]:.6g}"


def write_summary(folder: Path, found: dict[str, Any], command: str, packages: Sequence[str] = ()) -> None:
    """Write summary.json and summary.md."""
    write(folder / "summary.json", json.dumps(_finite(found), indent=2) + "\n")
    write(folder / "summary.md", markdown(found, command, packages))


def _finite(value: Any) -> Any:
    """Plain data without infinity, which JSON does not know: null stands for it."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
