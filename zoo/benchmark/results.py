"""What ships with the project, ``zoo/results/``: for each algorithm on each environment its scores and a model.

In ``<algo>/<Env>_1/``, where ``sb3-ext enjoy`` looks:

    <Env>.zip, <Env>/config.yml   the run with the median score, if its model is small
    result.json                   command, settings, versions, the score of every seed, the curve
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sb3_ext.zoo.benchmark.report import by_pair
from sb3_ext.zoo.benchmark.runs import Curve, Run, read_curve, slug

FOLDER = Path(__file__).parents[1] / "results"
LARGEST_MODEL = 1_500_000  # bytes; larger ones are left out
N_POINTS = 50
WINDOW = 100  # episodes in a mean


def publish(runs: Iterable[Run], output: Path, command: str, folder: Path = FOLDER) -> list[Path]:
    """Write the results of every pair that has runs.

    Args:
        runs: finished runs.
        output: the folder of the benchmark that holds them.
        command: that made them.
        folder: to write to; other pairs' results in it stay.

    Returns:
        The folders of the pairs.
    """
    return [_publish(group, output, command, folder) for group in by_pair(runs).values()]


def _publish(group: Sequence[Run], output: Path, command: str, folder: Path) -> Path:
    first = min(group, key=lambda run: run.seed)
    name = slug(first.env_id)
    sources = {run.seed: output / first.algo / f"{name}_{run.seed + 1}" for run in group}
    median = sorted(group, key=lambda run: (run.score, run.seed))[len(group) // 2]
    target = folder / first.algo / f"{name}_1"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    model = sources[median.seed] / f"{name}.zip"
    if model.stat().st_size <= LARGEST_MODEL:
        shutil.copy(model, target)
        shutil.copytree(sources[median.seed] / name, target / name)
    curve = thinned([read_curve(source) for source in sources.values()], first.n_timesteps)
    result = {
        "algo": first.algo, "env_id": first.env_id, "command": command,
        "scores": {str(run.seed): run.score for run in sorted(group, key=lambda run: run.seed)},
        "model": f"seed {median.seed}, the median of the scores",
        "n_timesteps": first.n_timesteps, "seconds": round(sum(run.seconds for run in group) / len(group), 1),
        "curve": curve, "settings": first.settings, "versions": first.versions,
    }  # fmt: skip
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items())
    (target / "result.json").write_text(f"{{\n{lines}\n}}\n")
    return target


def thinned(curves: Sequence[Curve], n_timesteps: int) -> dict[str, list[Any]]:
    """Median, lowest and highest of the seeds' mean return of the last 100 episodes, at 50 points of the training.

    A point before every seed has ended an episode is null.
    """
    import numpy as np

    from sb3_ext.zoo.curves import rolling_mean

    grid = np.linspace(0, n_timesteps, N_POINTS + 1)[1:]
    means = np.array([rolling_mean(([t for t, _ in curve], [r for _, r in curve]), grid) for curve in curves])
    begun = ~np.isnan(means).any(axis=0)
    values = {"median": np.median(means, axis=0), "lowest": means.min(axis=0), "highest": means.max(axis=0)}
    return {
        "timesteps": [round(float(point)) for point in grid],
        **{name: [float(f"{value:.5g}") if there else None for value, there in zip(row, begun, strict=True)]
           for name, row in values.items()},
    }  # fmt: skip


def shipped(folder: Path = FOLDER) -> list[Run]:
    """Every run that the shipped results tell of."""
    runs = []
    for file in sorted(folder.glob("*/*/result.json")):
        found = json.loads(file.read_text())
        runs += [
            Run(found["algo"], found["env_id"], int(seed), score, found["n_timesteps"], found["seconds"],
                found["settings"], found["versions"])
            for seed, score in found["scores"].items()
        ]  # fmt: skip
    return runs
