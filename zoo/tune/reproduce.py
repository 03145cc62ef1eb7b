"""Does best.yml reproduce? ``python -m sb3_ext.zoo.tune.reproduce`` tunes twenty small studies and tries it.

Each study's winner is trained again on as many seeds as its interval was made of, which nobody has seen before; the
mean should lie in the prediction interval that ``sb3-ext tune`` had printed. Tens of minutes.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from sb3_ext.zoo.options import folder, positive

STUDIES = {
    "FrozenLake-v1": ("--algo", "q_learning", "-n", "50000", "--eval-episodes", "100"),
    "Acrobot-v1": ("--algo", "reinforce", "-n", "60000", "--eval-episodes", "20"),
}
SMALL = ("--n-trials", "10", "--n-seeds", "2", "--n-startup-trials", "5", "--top-k", "2", "--retrain-seeds", "8")


class Job(NamedTuple):
    """One fresh training."""

    task: Any
    recipe: Any
    number: int
    """of the fresh seed"""


def main(arguments: list[str]) -> int:
    """Tune, train again, count; 0 if at least 17 of 20 hold."""
    options = argparse.ArgumentParser("python -m sb3_ext.zoo.tune.reproduce", description=__doc__)
    options.add_argument("--seeds", type=positive, default=10, help="studies of each environment (default: 10)")
    options.add_argument("--workers", type=positive, default=os.cpu_count() or 1, help="processes (default: all CPUs)")
    options.add_argument("--output", type=folder, default="runs/reproduce", help="folder (default: runs/reproduce)")
    chosen = options.parse_args(arguments)
    held = []
    for env_id, own in STUDIES.items():
        for seed in range(chosen.seeds):
            output = folder(str(chosen.output / f"{env_id}-{seed}"))
            held.append(holds(env_id, [*own, *SMALL, "--seed", str(seed)], output, chosen.workers))
            print(f"{sum(held)} of {len(held)} hold", flush=True)
    return 0 if sum(held) >= 0.85 * len(held) else 1


def holds(env_id: str, arguments: list[str], output: Path, n_workers: int) -> bool:
    """Tune one study, and see whether fresh trainings of its winner end where it says."""
    from sb3_ext.zoo.tune import command

    workers = ["--workers", str(n_workers), "--output", str(output)]
    status = command.main(["--env", env_id, *arguments, *workers])
    if status != 0:
        raise SystemExit(status)
    found = json.loads((output / "summary.json").read_text())
    low, high = found["candidates"][0]["prediction_interval"]
    mean = again(found, n_workers)
    print(f"{output.name}: predicted {low:.4g} to {high:.4g}, fresh mean {mean:.4g}")
    return low <= mean <= high


def again(found: dict[str, Any], n_workers: int) -> float:
    """The mean value of fresh trainings of a study's winner, on the seeds after those that ranked it."""
    from sb3_ext.zoo.parallel import run_parallel
    from sb3_ext.zoo.recipes import Recipe
    from sb3_ext.zoo.tune.objective import Task

    best = found["candidates"][0]
    task = Task(**{**found["task"], "recipe": Recipe(**found["task"]["recipe"])})
    n = len(best["values"])
    jobs = [Job(task, Recipe(**best["recipe"]), index) for index in range(n, 2 * n)]
    values = list(run_parallel(measure, jobs, n_workers, n * task.recipe.n_timesteps))
    return sum(values) / n


def measure(job: Job) -> float:
    """The value of one fresh training."""
    import sb3_ext.envs  # noqa: F401  (registers ids)
    from sb3_ext.zoo.tune.objective import measure_fresh

    return measure_fresh(*job).value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
