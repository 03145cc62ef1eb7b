"""``sb3-ext book``: measure the figures of Sutton & Barto (2nd ed.) again, beside the numbers that they should have."""

import argparse
import csv
import inspect
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sb3_ext.zoo.options import folder, one_of, positive

if TYPE_CHECKING:
    from rich.table import Table

NAMES = (
    "figure-4.3", "figure-5.2", "figure-5.3", "example-6.2-errors", "example-6.2-values", "figure-6.2", "figure-6.3",
    "example-6.5", "figure-6.5", "example-6.6", "figure-7.2", "figure-8.2", "figure-8.4", "figure-8.5", "figure-12.6",
    "example-13.1",
)  # fmt: skip

EXAMPLE = """Everything takes about a minute on two cores, half of it figure-6.3. The numbers are in
book.csv: a figure that is measured again replaces its rows, the others stay. Runs are seeds
0, 1, 2, ...

examples:
  sb3-ext book --list                       what there is
  sb3-ext book                              all of it
  sb3-ext book example-6.6 figure-6.5       two of them
  sb3-ext book figure-8.2 --runs 1000       with a narrower band"""


class Line(NamedTuple):
    """One row of book.csv: a figure's name, then what ``Row`` has."""

    figure: str
    what: str
    measured: float
    standard_error: float
    reference: float | None
    kind: str
    n_runs: int


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext book",
        description="Measure figures of Sutton & Barto's book (2nd ed.) again: a table of what was measured beside\n"
        "what is known from elsewhere, and a picture of each.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("figure", nargs="*", type=one_of(NAMES), help="what to measure (default: everything)")
    options.add_argument("--runs", type=_at_least_two, help="runs of each (default: each figure's own, see --list)")
    options.add_argument("--output", type=Path, default="runs/book", help="folder to write (default: runs/book)")
    options.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="threads (default: all CPUs)")
    options.add_argument("--list", action="store_true", help="list the figures and end")
    return options


def _at_least_two(text: str) -> int:
    number = positive(text)
    if number < 2:
        raise argparse.ArgumentTypeError(f"must be at least 2, for a standard error, got {number}")
    return number


def main(arguments: list[str]) -> int:
    """Measure, draw, write and report; 130 if it was interrupted, with what was finished."""
    checked = parser()
    options = checked.parse_args(arguments)
    from rich.console import Console

    console = Console()
    if options.list:
        console.print(overview())
        return 0
    try:
        options.output = folder(options.output)
        read(options.output / "book.csv")
    except (argparse.ArgumentTypeError, ValueError) as error:
        checked.error(f"argument --output: {error}")
    chosen = [name for name in NAMES if name in (options.figure or NAMES)]
    lines: list[Line] = []
    interrupted = False
    try:
        for measured in measure_all(chosen, options):
            lines += measured
    except KeyboardInterrupt:
        interrupted = True

    console.print(table(lines))
    done = [name for name in chosen if any(line.figure == name for line in lines)]
    if done:
        console.print(f"pictures  {options.output}/{{{','.join(done)}}}.png", highlight=False, soft_wrap=True)
        console.print(f"numbers   {options.output / 'book.csv'}", highlight=False, soft_wrap=True)
    if interrupted:
        console.print(f"interrupted: {len(done)} of {len(chosen)} figures are finished and kept")
    return 130 if interrupted else 0


def measure_all(names: list[str], options: argparse.Namespace) -> Iterator[list[Line]]:
    """Each figure in turn: measured, drawn, and its numbers put into book.csv."""
    from tqdm import tqdm

    from sb3_ext.zoo.book.references import all_figures

    figures, file = all_figures(), options.output / "book.csv"
    with tqdm(names, unit="figure") as progress:
        for name in progress:
            progress.set_description(name)
            measure, draw, rows_of = figures[name]
            curves = measure(**accepted(measure, n_runs=options.runs, n_threads=options.jobs))
            draw(curves).savefig(options.output / f"{name}.png", dpi=120)
            lines = [Line(name, *row) for row in rows_of(curves)]
            write(file, [line for line in read(file) if line.figure != name] + lines)
            yield lines


def accepted(function: object, **options: int | None) -> dict[str, int]:
    """Those of the options that are given and that a function takes."""
    takes = inspect.signature(function).parameters  # type: ignore[arg-type]
    return {name: value for name, value in options.items() if name in takes and value is not None}


def read(file: Path) -> list[Line]:
    """Earlier numbers; none if there is no file.

    Raises:
        ValueError: If it is not a file that this command wrote.
    """
    if not file.exists():
        return []
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            return [
                Line(row["figure"], row["what"], float(row["measured"]), float(row["standard_error"]),
                     float(row["reference"]) if row["reference"] else None, row["kind"], int(row["n_runs"]))
                for row in csv.DictReader(opened)
            ]  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{file} was not written by this version; delete it or take another folder") from error


def write(file: Path, lines: list[Line]) -> None:
    """Replace the file as a whole: an interruption leaves the old one or the new one."""
    order = {name: place for place, name in enumerate(NAMES)}
    new = file.with_suffix(".new")
    with new.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([Line._fields, *sorted(lines, key=lambda line: order.get(line.figure, -1))])
    new.replace(file)


# ---- Show -----------------------------------------------------------------------------------------------------------


def overview() -> "Table":
    """Every figure, what it shows, and how many runs it is made of."""
    from rich.table import Table

    from sb3_ext.zoo.book.references import all_figures

    shown = Table("figure", "what", "runs", title="Figures of Sutton & Barto, 2nd ed.")
    for name, (measure, *_) in all_figures().items():
        summary = (inspect.getdoc(measure) or "").split("\n\n")[0].replace("\n", " ")
        runs = inspect.signature(measure).parameters.get("n_runs")
        shown.add_row(name, summary.partition(": ")[2] or summary, "1 (exact)" if runs is None else str(runs.default))
    return shown


def table(lines: list[Line]) -> "Table":
    """What was measured beside what is known, under the name of each figure."""
    from itertools import groupby

    from rich.table import Table

    shown = Table("what", title="Sutton & Barto, 2nd ed., measured again: mean ± standard error")
    for column in ("measured", "reference"):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, of_figure in groupby(lines, key=lambda line: line.figure):
        shown.add_row(name, style="bold")
        for line in of_figure:
            reference = "-" if line.reference is None else f"{line.reference:.4g} ({line.kind})"
            shown.add_row(line.what, with_error(line.measured, line.standard_error), reference)
        shown.add_section()
    return shown


def with_error(mean: float, standard_error: float) -> str:
    """A mean to the second digit of its standard error; four digits, if nothing was random.

    Example:
        >>> with_error(-26.9312, 0.3234), with_error(511.99, 47.84), with_error(-11.656854, 0.0)
        ('-26.93 ± 0.32', '512 ± 48', '-11.66')
    """
    if not 0 < standard_error < math.inf:
        return f"{mean:.4g}"
    decimals = max(1 - math.floor(math.log10(standard_error)), 0)
    return f"{mean:.{decimals}f} ± {standard_error:.{decimals}f}"
