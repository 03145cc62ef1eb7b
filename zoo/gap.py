"""``sb3-ext gap``: how far from the optimum each tabular algorithm ends, exactly.

Every algorithm trains with its class's own defaults on every task; then J* - J of its greedy policy is computed from
the task's model (gamma = 0.99), as a share of |J*|. The seeds are from 1000 on; nothing was tuned on those.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sb3_ext.zoo.options import folder, one_of, positive

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from rich.table import Table

EXAMPLE = """examples:
  sb3-ext gap                                              every algorithm, every task, 20 seeds: two minutes
  sb3-ext gap --algos sarsa q_learning --tasks CliffWalking-v1
  sb3-ext gap --discretized                                CartPole and MountainCar cut into bins as well: minutes"""

ALGOS = ("q_learning", "double_q_learning", "sarsa", "expected_sarsa", "monte_carlo", "dyna_q")
TASKS = {
    "FrozenLake-v1": 600_000,
    "FrozenLake8x8-v1": 600_000,
    "CliffWalking-v1": 600_000,
    "Taxi-v4": 3_000_000,
    "sb3_ext/Blackjack-v0": 600_000,
    "sb3_ext/Obstacles5x5-v0": 600_000,
    "sb3_ext/FourRooms-v0": 600_000,
    "sb3_ext/DynaMaze-v0": 600_000,
    "sb3_ext/WindyGridWorld-v0": 600_000,
    "sb3_ext/KeyDoor-v0": 600_000,
}
"""Environment steps of a training on each task."""
WITHIN = {"FrozenLake-v1": 100, "FrozenLake8x8-v1": 200, "Taxi-v4": 200}
"""Tasks whose mean undiscounted return within the time limit is shown, too."""
DISCRETIZED = {"CartPole-v1": 600_000, "MountainCar-v0": 1_000_000}
FIRST_SEED, GAMMA, CLOSE = 1000, 0.99, 5.0  # percent


class Gap(NamedTuple):
    """What one training came to.

    Attributes:
        task: Id of the environment.
        algo: Short name of the algorithm.
        seed: Its seed.
        gap: 100 (J* - J) / |J*|; not a number where J* is not known.
        return_: Mean undiscounted return of an episode within the time limit; not a number where it is not asked for.
    """

    task: str
    algo: str
    seed: int
    gap: float
    return_: float


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext gap",
        description="Train the tabular algorithms with their defaults and compute how far from the optimum they end.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--algos", nargs="+", type=one_of(ALGOS), default=list(ALGOS), help="default: all six")
    options.add_argument("--tasks", nargs="+", type=one_of(TASKS), default=list(TASKS), help="default: all ten")
    options.add_argument("--seeds", type=positive, default=20, help="trainings of each (default: 20)")
    options.add_argument("--discretized", action="store_true", help="CartPole and MountainCar too, with 3 seeds")
    options.add_argument("--output", type=folder, default="runs/gap", help="folder to write (default: runs/gap)")
    return options


def main(arguments: list[str]) -> int:
    """Measure, print, draw; 130 if interrupted (what is finished is kept)."""
    options = parser().parse_args(arguments)
    from rich.console import Console
    from tqdm import tqdm

    pairs = [(task, algo) for task in options.tasks for algo in options.algos]
    if options.discretized:
        pairs += [(task, algo) for task in DISCRETIZED for algo in options.algos]
    gaps: list[Gap] = []
    file, interrupted = options.output / "gap.csv", False
    try:
        with tqdm(pairs, unit="task") as progress:
            for task, algo in progress:
                progress.set_description(f"{algo} on {task}")
                measure = measure_discretized if task in DISCRETIZED else measure_exactly
                gaps += measure(task, algo, options.seeds)
                write(file, gaps)
    except KeyboardInterrupt:
        interrupted = True
    console = Console()
    for table in tables(gaps):
        console.print(table)
    if gaps:
        picture = options.output / "gap.png"
        draw(gaps).savefig(picture, dpi=120)
        console.print(f"picture       {picture}\nmeasurements  {file}", highlight=False, soft_wrap=True)
    return 130 if interrupted else 0


def measure_exactly(task: str, algo: str, n_seeds: int) -> list[Gap]:
    """Trains all seeds at once, and evaluates their greedy policies with the model."""
    import gymnasium as gym
    import numpy as np

    import sb3_ext.envs  # noqa: F401  registers the ids
    from sb3_ext.algos import load
    from sb3_ext.tabular import TabularMDP, expected_return, sweep, value_iteration
    from sb3_ext.zoo.pictures import greedy_policy, return_within

    mdp = TabularMDP.from_env(gym.make(task))
    best = float(mdp.start @ value_iteration(mdp, GAMMA).values)
    seeds = range(FIRST_SEED, FIRST_SEED + n_seeds)
    tables = sweep(load(algo), task, seeds=seeds, total_timesteps=TASKS[task], progress_bar=False).q_tables[0]
    policies = greedy_policy(tables)
    earned = [expected_return(mdp, policy, GAMMA) for policy in policies]
    returns = return_within(mdp, WITHIN[task], policies) if task in WITHIN else np.full(n_seeds, np.nan)
    rows = zip(seeds, earned, returns, strict=True)
    return [Gap(task, algo, seed, 100 * (best - j) / abs(best), float(return_)) for seed, j, return_ in rows]


def measure_discretized(task: str, algo: str, n_seeds: int) -> list[Gap]:
    """Trains on a task cut into bins (the step engine, one seed after the other), and plays 100 episodes."""
    import gymnasium as gym
    import numpy as np
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    from sb3_ext.algos import load
    from sb3_ext.envs import DiscretizeObservation

    def make() -> gym.Env[Any, Any]:
        return DiscretizeObservation(Monitor(gym.make(task)))

    gaps = []
    for seed in range(FIRST_SEED, FIRST_SEED + min(n_seeds, 3)):
        model = load(algo)("TabularPolicy", make(), seed=seed).learn(DISCRETIZED[task])
        env = make()
        env.reset(seed=10_000 + seed)
        return_, _ = evaluate_policy(model, env, n_eval_episodes=100)
        gaps.append(Gap(task, algo, seed, np.nan, float(return_)))  # type: ignore[arg-type]
    return gaps


def write(file: Path, gaps: list[Gap]) -> None:
    """One training a row."""
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([Gap._fields, *gaps])


def tables(gaps: list[Gap]) -> Iterator["Table"]:
    """The gaps, and the returns where they are asked for; a row for each task, a column for each algorithm."""
    import numpy as np
    from rich import box
    from rich.table import Table

    def gap_cell(values: "np.ndarray") -> str:
        return f"{values.mean():.1f}, {values.max():.1f}\n{(values <= CLOSE).sum()} of {len(values)}"

    def return_cell(values: "np.ndarray") -> str:
        return f"{values.mean():.4g}\n{values.min():.4g} to {values.max():.4g}"

    wanted = {
        "gap": (f"100 (J* - J) / |J*|: mean, worst; seeds within {CLOSE:g} percent", gap_cell),
        "return_": ("Undiscounted return within the time limit: mean; lowest to highest", return_cell),
    }
    for field, (title, cell) in wanted.items():
        known = [gap for gap in gaps if not np.isnan(getattr(gap, field))]
        algos = list(dict.fromkeys(gap.algo for gap in known))
        table = Table("task", *algos, title=title, box=box.SIMPLE_HEAD)
        for task in dict.fromkeys(gap.task for gap in known):
            of = {algo: [getattr(g, field) for g in known if (g.task, g.algo) == (task, algo)] for algo in algos}
            table.add_row(task.removeprefix("sb3_ext/"), *(cell(np.array(v)) if v else "" for v in of.values()))
        if known:
            yield table


def draw(gaps: list[Gap]) -> "Figure":
    """A panel for each task with a dot for each seed; the scale is linear up to 5 percent and logarithmic beyond."""
    import numpy as np
    from matplotlib.figure import Figure

    known = [gap for gap in gaps if not np.isnan(gap.gap)]
    tasks, algos = (list(dict.fromkeys(getattr(gap, name) for gap in known)) for name in ("task", "algo"))
    n_columns = min(5, max(len(tasks), 1))
    n_rows = -(-max(len(tasks), 1) // n_columns)
    figure = Figure(figsize=(2.6 * n_columns + 1, 2.9 * n_rows), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True, sharex=True).ravel()
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    for axes, task in zip(panels, tasks, strict=False):
        for column, algo in enumerate(algos):
            values = np.array([gap.gap for gap in known if (gap.task, gap.algo) == (task, algo)])
            places = column + np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else [column]
            axes.scatter(places, np.maximum(values, 0), s=14, alpha=0.7, linewidth=0, color=f"C{column}")
        axes.axhline(CLOSE, color="0.4", linestyle="--", linewidth=1)
        axes.set_yscale("symlog", linthresh=CLOSE)
        axes.set_yticks([0, 5, 50, 500], ["0", "5", "50", "500"])
        axes.set_ylim(-0.5, 2000)
        axes.set_title(task.removeprefix("sb3_ext/"), fontsize=10)
        axes.set_xticks(range(len(algos)), [algo.replace("_", " ") for algo in algos], rotation=60, ha="right")
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("below the optimum, percent", fontsize=10)
    return figure
