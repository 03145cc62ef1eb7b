"""``sb3-ext plot``: what runs say together, in pictures and one page."""

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ext.zoo.options import folder, not_negative, one_of

if TYPE_CHECKING:
    from rich.table import Table

    from sb3_ext.zoo.plot.comparison import Comparison, Range
    from sb3_ext.zoo.plot.runs import Run

EXAMPLE = """A FOLDER and all below it are searched for
  sb3-ext benchmark    run.json, curve.csv
  EvalCallback         evaluations.npz
  Monitor              monitor.csv, *.monitor.csv; those of one folder with numbers (0.monitor.csv) are one run
  RL Zoo               its log folders, ALGO/ENV_N, which hold the two above
  TensorBoard          *tfevents*: eval/mean_reward, else rollout/ep_rew_mean  (needs: pip install tensorboard)
Of one run the first of these is taken. Algorithm, environment and number of a run are read from its path, such as
ppo/CartPole-v1_3, CartPole-v1/PPO_3 or my_idea/CartPole-v1/seed3.

It writes to OUTPUT: index.html, one page that needs no other file, and its pictures as PNG: learning curves and final
scores of each environment; over all environments interquartile mean, mean, optimality gap, performance profiles and
probability of improvement; all with 95 % intervals. What is wrong with the data is said, and the rest is drawn.

examples:
  sb3-ext benchmark --algos q_learning sarsa --envs CliffWalking-v1 FrozenLake-v1
  sb3-ext plot runs/benchmark                       then open runs/plot/index.html
  sb3-ext plot logs/old logs/new --by folder        the same algorithm before and after a change
  sb3-ext plot logs --range CartPole-v1 0 500       what counts as 0 and 1 where environments are taken together"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext plot",
        description="Compare runs: learning curves, scores, and how sure a difference is, in pictures and one page.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of runs, or single log files")
    add(
        "--by", type=one_of(("algo", "folder")), default="algo", help="what is compared: algo or folder (default: algo)"
    )
    add("--measure", type=one_of(("iqm", "mean")), default="iqm",
        help="of curves and scores: iqm, the mean of the middle half of the runs, or mean (default: iqm)")  # fmt: skip
    add("--range", nargs=3, action="append", default=[], metavar=("ENV", "LOW", "HIGH"),
        help="returns that count as 0 and 1 (default: the lowest and the highest mean); several times")  # fmt: skip
    add("--seed", type=not_negative, default=0, help="of the bootstrap (default: 0)")
    add("--output", type=folder, default="runs/plot", help="folder (default: runs/plot)")
    return options


def main(arguments: list[str]) -> int:
    """Read, compare, draw; 2 for a mistake, or if there is nothing to draw."""
    options = parser().parse_args(arguments)
    from rich.console import Console

    from sb3_ext.zoo.plot.comparison import compare
    from sb3_ext.zoo.plot.runs import find_runs

    label: Callable[[Run], str] = (lambda run: run.folder) if options.by == "folder" else (lambda run: run.algo)
    problems: list[str] = []
    try:
        with Console(stderr=True).status("reading"):
            ranges = read_ranges(options.range)
            runs = find_runs(options.folders, problems)
            if not runs:
                raise ValueError(nothing(options.folders, problems))
            found = compare(runs, label, options.measure, ranges, options.seed, problems)
    except ValueError as error:
        print(f"sb3-ext plot: {error}", file=sys.stderr)
        return 2
    Console().print(table(found))
    for problem in problems:
        print(f"note: {problem}", file=sys.stderr)
    labelled = [(label(run), run) for run in runs]
    command = f"sb3-ext plot {shlex.join(arguments)}"
    n_pictures = write(found, labelled, problems, options.by, command, options.output)
    print(f"pictures  {options.output}/*.png ({n_pictures})\npage      {options.output / 'index.html'}")
    return 0


def read_ranges(given: Sequence[Sequence[str]]) -> "dict[str, Range]":
    """From ``--range ENV LOW HIGH``.

    Raises:
        ValueError: unless low and high are finite, different numbers, of each environment once.
    """
    ranges: dict[str, Range] = {}
    for env, *ends in given:
        try:
            low, high = (float(end) for end in ends)
        except ValueError:
            raise ValueError(f"--range {env}: LOW and HIGH must be numbers, got {' '.join(ends)}") from None
        if not (math.isfinite(low) and math.isfinite(high)) or low == high:
            raise ValueError(f"--range {env}: LOW and HIGH must be finite and different, got {' '.join(ends)}")
        if env in ranges:
            raise ValueError(f"--range {env} is given twice")
        ranges[env] = (low, high)
    return ranges


def nothing(folders: Sequence[Path], problems: Sequence[str]) -> str:
    """Why there are no runs."""
    where = ", ".join(map(str, folders))
    if problems:
        return f"no run in {where} can be read:\n" + "\n".join(f"  {problem}" for problem in problems)
    return f"no runs in {where}: no run.json, evaluations.npz, monitor.csv or *tfevents* there; --help says more"


def table(found: "Comparison") -> "Table":
    """A line for each label on each environment."""
    import numpy as np
    from rich.markup import escape
    from rich.table import Table

    lines = Table("environment", "", found.measure, "95 % interval", "lowest to highest", "runs")
    for env, by_label in found.scores.items():
        for label, (values, (estimate, low, high)) in by_label.items():
            sure = f"{low:.4g} to {high:.4g}" if np.isfinite(low) else "-"
            spread = f"{values.min():.4g} to {values.max():.4g}"
            lines.add_row(escape(env), escape(label), f"{estimate:.4g}", sure, spread, str(len(values)))
    return lines


def write(
    found: "Comparison", runs: "Sequence[tuple[str, Run]]", problems: Sequence[str], by: str, command: str, output: Path
) -> int:
    """Write pictures and page; returns how many pictures."""
    from tqdm import tqdm

    from sb3_ext.zoo.plot import figures
    from sb3_ext.zoo.plot.page import Told, page

    drawn = figures.pictures(found)
    for name, figure in tqdm(drawn.items(), desc="drawing", unit="picture", leave=False):
        figures.write_png(figure, output / f"{name}.png")
    told = Told(runs, problems, "algorithm" if by == "algo" else "folder", command)
    new = output / ".index.html.new"
    new.write_text(page(found, told, drawn), encoding="utf-8")
    new.replace(output / "index.html")
    return len(drawn)
