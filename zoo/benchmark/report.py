"""What is told of a benchmark: scores.csv, a table for the terminal, one for the README."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ext.zoo.benchmark import suite
from sb3_ext.zoo.benchmark.runs import Run

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("algo", "env_id", "seed", "score", "n_timesteps", "seconds")


def write_scores(file: Path, runs: Iterable[Run]) -> None:
    """Tidy: a line for each run. The file is replaced as a whole."""
    new = file.with_suffix(".new")
    with new.open("w", newline="") as opened:
        rows = [[getattr(run, column) for column in COLUMNS] for run in sorted(runs, key=lambda run: run[:3])]
        csv.writer(opened).writerows([COLUMNS, *rows])
    new.replace(file)


def by_pair(runs: Iterable[Run]) -> dict[tuple[str, str], list[Run]]:
    """The runs of each algorithm on each environment."""
    pairs: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        pairs.setdefault((run.algo, run.env_id), []).append(run)
    return pairs


def table(runs: Sequence[Run]) -> "Table":
    """A line for each pair: the mean over seeds, its 95 % interval, the lowest and the highest seed."""
    import numpy as np
    from rich.table import Column, Table

    from sb3_ext.zoo.tune.retrain import interval

    lines = Table(
        Column("environment", overflow="fold"),
        Column("algorithm", overflow="fold"),
        "mean",
        "95 % interval",
        "lowest to highest",
        "seeds",
        "steps",
    )
    for (algo, env_id), group in sorted(by_pair(runs).items(), key=lambda pair: pair[0][::-1]):
        scores = [run.score for run in group]
        low, high = interval(scores)
        spread = "-" if len(scores) < 2 else f"{low:.4g} to {high:.4g}"
        lines.add_row(env_id, algo, f"{np.mean(scores):.4g}", spread, f"{min(scores):.4g} to {max(scores):.4g}",
                      str(len(scores)), f"{max(run.n_timesteps for run in group):,}")  # fmt: skip
    return lines


def markdown(runs: Sequence[Run]) -> str:
    """The tables of the README: environments x algorithms, the mean over seeds ± half of its 95 % interval.

    One for the worlds whose best is known exactly, one for the others.
    """
    pairs = by_pair(runs)
    known = {algo for algo, _ in pairs}
    order = [algo for algo in (*suite.TABULAR, *suite.NETWORKS) if algo in known]
    order += sorted(known - set(order))
    rows = {row.env_id: row.published for row in suite.SUITE}
    rows.update((env_id, "") for _, env_id in sorted(pairs) if env_id not in rows)
    best = {env_id: suite.best_return(env_id) for env_id in rows if any((algo, env_id) in pairs for algo in order)}
    exact = {env_id: f"{value:.3g}" for env_id, value in best.items() if value is not None}
    published = {env_id: rows[env_id] for env_id, value in best.items() if value is None}
    parts = [(exact, "best possible"), (published, "published")]
    return "\n\n".join(_markdown(pairs, order, last, heading) for last, heading in parts if last)


def _markdown(pairs: dict[tuple[str, str], list[Run]], algos: Sequence[str], last: dict[str, str], heading: str) -> str:
    """One table; the last column is given by environment."""
    columns = [algo for algo in algos if any((algo, env_id) in pairs for env_id in last)]
    lines = [f"| environment | {' | '.join(columns)} | {heading} |", "|---" * (len(columns) + 2) + "|"]
    for env_id, text in last.items():
        cells = [_cell([run.score for run in pairs.get((algo, env_id), [])]) for algo in columns]
        lines.append(f"| {env_id.removeprefix('sb3_ext/')} | {' | '.join(cells)} | {text} |")
    return "\n".join(lines)


def _cell(scores: Sequence[float]) -> str:
    import numpy as np

    from sb3_ext.zoo.tune.retrain import interval

    if not scores:
        return "-"
    mean = float(np.mean(scores))
    digits = 1 if abs(mean) >= 10 else 2 if abs(mean) >= 2 else 3
    text = f"{mean:.{digits}f}"
    return text if len(scores) < 2 else f"{text} ± {(interval(scores)[1] - mean):.{digits}f}"
