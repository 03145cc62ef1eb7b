"""``--train``: runs the trainings in a process of their own, draws both learning curves and prints a table."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_ext.zoo.check.supervisor import CannotGrade, Events, NoAnswer, imported, process

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOW = 20  # episodes in the mean
N_LAST = 50  # episodes of a run that its final return is the mean of
PATIENCE = 60.0  # seconds on top of the time limit, without a sign of life


def compare(
    file: Path, names: Sequence[str], n_seeds: int, output: Path, time_limit: float, quiet: bool = False
) -> list[dict[str, Any]]:
    """Train with each of the functions that is there, and with ours.

    Args:
        file: the learner's.
        names: functions; if it is one only, something is said where it cannot be trained with.
        n_seeds: trainings of each kind.
        output: folder of the pictures.
        time_limit: seconds for importing the file; a training may not be silent for a minute longer.
        quiet: print nothing.

    Returns:
        Of each: "function", "error" (or None), "picture", and "final", the final return of each run.
    """
    from rich.console import Console

    from sb3_ext.zoo.check.training import TRAININGS

    console = Console(quiet=quiet)
    done = []
    for name in names:
        run: dict[str, Any] = {"function": name, "picture": None, "final": {}, "error": None}
        if name not in TRAININGS:
            run["error"] = f"there is no training for {name}; there is for {', '.join(TRAININGS)}"
        else:
            runs = _train(file, name, n_seeds, time_limit, run, quiet)
            if run["error"] is None or any(runs.values()):
                run["final"] = {whose: [final_return(returns) for _, returns in each] for whose, each in runs.items()}
                run["picture"] = str(output / f"{name}.png")
                draw(name, runs).savefig(run["picture"], dpi=120)
        if len(names) > 1 and run["error"] is not None and run["picture"] is None and not run.pop("is_there", False):
            continue  # it was not asked for by its name
        run.pop("is_there", None)
        done.append(run)
        show(console, run)
    return done


def _train(
    file: Path, name: str, n_seeds: int, time_limit: float, run: dict[str, Any], quiet: bool
) -> dict[str, list[Any]]:
    """The runs, "yours" and "ours"; what stopped them is noted in ``run``."""
    from tqdm import tqdm

    from sb3_ext.zoo.check.training import TRAININGS

    runs: dict[str, list[Any]] = {"yours": [], "ours": []}
    total = 2 * n_seeds * TRAININGS[name].n_timesteps
    with process({"file": str(file.resolve()), "functions": None, "train": name, "seeds": n_seeds}) as events:
        try:
            found, _ = imported(events, time_limit)
        except (CannotGrade, RuntimeError) as error:
            run["error"] = str(error)
            return runs
        if name not in found:
            run["error"] = f"{name} is not there"
            return runs
        run["is_there"] = True
        with tqdm(total=total, desc=name, unit="step", unit_scale=True, leave=False, disable=quiet or None) as progress:
            try:
                run["error"] = _listen(events, runs, progress, time_limit + PATIENCE)
            except RuntimeError as error:
                run["error"] = str(error)
    return runs


def _listen(events: Events, runs: dict[str, list[Any]], progress: Any, patience: float) -> str | None:
    """Collect runs until all are done; what stopped them, or None."""
    where = "the training"
    while True:
        try:
            event = events.next(time.monotonic() + patience)
        except NoAnswer:
            return f"{where} stood still for {patience:g} s"
        if event is None:
            return f"{where} ended the process {events.ending()}"
        kind = event["event"]
        if kind == "run":
            where = f"the training with {event['whose']} (seed {event['seed']})"
        elif kind == "progress":
            progress.update(event["steps"])
        elif kind == "trained":
            runs[event["whose"]].append((event["timesteps"], event["returns"]))
        elif kind == "stopped":
            return f"{where} {event['reason']}"
        elif kind == "done":
            return None


def final_return(returns: Sequence[float]) -> float | None:
    """The mean of the last episodes; None if none was finished."""
    last = list(returns[-N_LAST:])
    return round(sum(last) / len(last), 2) if last else None


def show(console: Any, run: dict[str, Any]) -> None:
    """Both in a small table, and where the picture is."""
    from rich.table import Table

    from sb3_ext.zoo.check.training import TRAININGS

    if run["final"]:
        what = TRAININGS[run["function"]]
        title = f"{run['function']} in {what.algo} on {what.env_id.rpartition(':')[2]}, {what.n_timesteps:,} steps"
        console.print(title, highlight=False, soft_wrap=True)
        table = Table("", "mean", "each seed")
        for whose, finals in run["final"].items():
            finished = [number for number in finals if number is not None]
            mean = f"{sum(finished) / len(finished):.2f}" if finished else "-"
            table.add_row(whose, mean, "  ".join("-" if number is None else f"{number:.2f}" for number in finals))
        console.print(table)
        console.print(f"return, mean of the last {N_LAST} training episodes", highlight=False)
        console.print(f"picture  {run['picture']}", highlight=False, soft_wrap=True)
    if run["error"] is not None:
        console.print(f"{run['function']}: {run['error']}", markup=False, highlight=False, soft_wrap=True)


def draw(name: str, runs: dict[str, list[Any]]) -> "Figure":
    """The mean over the runs of each kind, and each run behind it."""
    import numpy as np
    from matplotlib.figure import Figure

    from sb3_ext.zoo.check.training import TRAININGS

    what = TRAININGS[name]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    grid = np.linspace(0, what.n_timesteps, 200)
    for color, style, (whose, each) in zip(("C0", "C1"), ("-", "--"), reversed(list(runs.items())), strict=True):
        curves = np.array([_smooth(timesteps, returns, grid) for timesteps, returns in each if timesteps])
        for curve in curves:
            axes.plot(grid, curve, color=color, alpha=0.3, linewidth=1)
        if len(curves):
            begun = ~np.isnan(curves).any(axis=0)
            axes.plot(grid[begun], curves[:, begun].mean(axis=0), style, color=color, linewidth=2.2,
                      label=f"{whose} (mean of {len(curves)})")  # fmt: skip
    axes.set(title=f"{name}: {what.algo} on {what.env_id.rpartition(':')[2]}", xlabel="environment steps",
             ylabel=f"return, mean of {WINDOW} episodes")  # fmt: skip
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    return figure


def _smooth(timesteps: Sequence[int], returns: Sequence[float], grid: Any) -> Any:
    """Mean return of the last episodes that had ended by each point of the grid; not a number before the first."""
    import numpy as np

    sums = np.concatenate([[0.0], np.cumsum(returns)])
    n_ended = np.searchsorted(timesteps, grid, side="right")
    n_averaged = np.minimum(n_ended, WINDOW)
    with np.errstate(invalid="ignore"):
        return (sums[n_ended] - sums[n_ended - n_averaged]) / n_averaged
