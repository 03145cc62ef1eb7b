"""``sb3-ext check``: grade functions that a learner wrote, say what is wrong with them, and train with them."""

import argparse
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sb3_ext.zoo.check.signatures import NAMES, PARAMETERS
from sb3_ext.zoo.options import folder, one_of, positive

ALL = "all"

EXAMPLE = """The file runs as your own code, with all that you may do: in a process of its own, with a
time limit, so that what hangs or crashes does not stop the grading. But nothing here is a
sandbox. A teacher should run the files of strangers in a container.

exit status: 0 all functions that are there (or asked for) are right, 1 something is wrong or
not done yet, or a training failed, 2 nothing can be graded: no file, it cannot be imported, none is there.

--json: {"file", "version": 1, "functions": [{"name", "passed", "status", "n_cases", "n_failed",
"mistake": {"id", "sentence", "certain"} or null, "failures": [{"case", "inputs", "got",
"expected"}, at most 3]}], "not_there", "passed"}, or with "error" where nothing can be graded.

examples:
  sb3-ext check --sheet my_file.py                    write the exercise sheet, to be filled in
  sb3-ext check my_file.py                            grade what is there
  sb3-ext check my_file.py --function gae td_target   only these
  sb3-ext check my_file.py --json                     for a program
  sb3-ext check my_file.py --train gae                and train with it, beside ours"""


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    functions = "\n".join(f"  {name}({', '.join(names)})" for name, names in PARAMETERS.items())
    options = argparse.ArgumentParser(
        "sb3-ext check",
        description="Grade functions of your own, found by their names:\n\n" + functions + "\n\n"
        "The exercise sheet says what each of them is to do.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("file", nargs="?", type=Path, help="the Python file")
    options.add_argument("--function", nargs="+", type=one_of(NAMES), metavar="NAME", help="grade only these")
    options.add_argument("--json", action="store_true", help="print JSON")
    options.add_argument("--time-limit", type=_seconds, default=10.0, metavar="SECONDS",
                         help="for importing the file, and for each function (default: 10)")  # fmt: skip
    options.add_argument("--sheet", type=Path, metavar="FILE", help="write the exercise sheet to a new file, and end")
    trained = "train with this function in the place of ours (default: with each that is there)"
    options.add_argument("--train", nargs="?", const=ALL, type=one_of((*NAMES, ALL)), metavar="FUNCTION", help=trained)
    options.add_argument("--seeds", type=positive, default=3, help="trainings of each kind (default: 3)")
    options.add_argument("--output", type=Path, default="runs/check", help="of the pictures (default: runs/check)")
    return options


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number


def main(arguments: list[str]) -> int:
    """Grade a file, or write the sheet; returns the exit status."""
    checked = parser()
    options = checked.parse_args(arguments)
    if options.sheet is not None:
        return _write_sheet(options.sheet)
    if options.file is None:
        checked.error("a file is needed: sb3-ext check my_file.py (or --sheet my_file.py, which writes one)")
    if options.train is not None:
        try:
            options.output = folder(str(options.output))
        except argparse.ArgumentTypeError as error:
            checked.error(f"argument --output: {error}")
    with _ending_by_signals():
        return _check(options)


@contextmanager
def _ending_by_signals() -> Iterator[None]:
    """Within, a signal to end is an exception: processes that were started are ended on the way."""

    def end(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    handlers = {}
    if threading.current_thread() is threading.main_thread():
        names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        handlers = {number: signal.signal(number, end) for number in (getattr(signal, name) for name in names)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _check(options: argparse.Namespace) -> int:
    """Grade a file, and train if that is asked for; returns the exit status."""
    from sb3_ext.zoo.check import report, supervisor

    try:
        if not options.file.is_file():
            raise supervisor.CannotGrade("there is no such file")
        graded = _grade(options)
    except (supervisor.CannotGrade, RuntimeError) as error:
        if options.json:
            print(report.error_as_json(str(options.file), str(error)))
        else:
            print(f"sb3-ext check: {options.file}: {error}", file=sys.stderr)
        return 2
    from rich.console import Console

    if not options.json:
        report.show(Console(), graded)
    training = None if options.train is None else _train(options)
    if options.json:
        print(report.as_json(graded, training))
    return 0 if graded.passed and not any(run["error"] for run in training or []) else 1


def _write_sheet(file: Path) -> int:
    from sb3_ext.zoo.check.sheet import write_sheet

    try:
        write_sheet(file)
    except FileExistsError:
        print(f"sb3-ext check: {file} is there already; take another name, or move it away", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"sb3-ext check: cannot write {file}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{file}: fill it in, then: sb3-ext check {file}")
    return 0


def _grade(options: argparse.Namespace) -> Any:
    """Grade, and say what is being graded where somebody is looking."""
    from rich.console import Console

    from sb3_ext.zoo.check.supervisor import grade_file

    with Console(stderr=True).status("importing") as status:
        return grade_file(options.file, options.function, options.time_limit, lambda name: status.update(name))


def _train(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train with functions of the file; draws and prints unless JSON is asked for."""
    from sb3_ext.zoo.check.comparison import compare

    chosen = NAMES if options.train == ALL else (options.train,)
    return compare(options.file, chosen, options.seeds, options.output, options.time_limit, quiet=options.json)
