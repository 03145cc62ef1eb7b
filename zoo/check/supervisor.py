"""Grades a file in processes of their own: what hangs, crashes or exits costs its own function, and nothing else."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sb3_ext.zoo.check.signatures import NAMES

START_LIMIT = 300.0  # seconds for loading NumPy and PyTorch, on a machine that is busy
JUDGING_LIMIT = 120.0  # seconds for finding out what is wrong
BOOTSTRAP = "import sys; sys.path.append({root!r}); from sb3_ext.zoo.check.worker import main; main()"


class CannotGrade(Exception):
    """Nothing can be graded; the message says why."""


class NoAnswer(Exception):
    """The process said nothing in time."""


@dataclass
class Report:
    """How a file was graded.

    Attributes:
        file: its path.
        functions: verdicts, as ``grading.Verdict`` has them, as plain data, in the order of the exercise sheet.
        not_there: names that were looked for and not found, unless they were asked for.
        hints: of these, name -> a function of the file that may be meant.
    """

    file: str
    functions: list[dict[str, Any]] = field(default_factory=list)
    not_there: list[str] = field(default_factory=list)
    hints: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether everything that was graded is right."""
        return all(verdict["status"] == "right" for verdict in self.functions)


def grade_file(
    file: Path,
    names: Sequence[str] | None = None,
    time_limit: float = 10.0,
    progress: Callable[[str], None] = lambda name: None,
) -> Report:
    """Grade the functions of a file.

    Args:
        file: the learner's.
        names: functions that are asked for. Default: all that are there.
        time_limit: seconds for importing the file, and for each function.
        progress: is told the name of each function that is begun.

    Raises:
        CannotGrade: if the file cannot be imported or has none of the functions.
    """
    report = Report(str(file))
    verdicts: dict[str, dict[str, Any]] = {}
    left = None if names is None else list(names)
    found: list[str] = []
    others: list[str] = []
    while left is None or left:
        with process({"file": str(file.resolve()), "functions": left}) as events:
            try:
                found, others = imported(events, time_limit)
            except (CannotGrade, RuntimeError) as error:
                if not verdicts:
                    raise
                again = f"another function ended the process, and then {error}"
                verdicts |= {name: _not_graded(name, again) for name in left or []}
                break
            left = [name for name in found if name in (left or found) and name not in verdicts]
            verdicts |= _grade_until_it_dies(events, left, time_limit, progress)
        left = [name for name in left if name not in verdicts]
    if not found:
        known = ", ".join(NAMES)
        near = f"; it has {', '.join(others[:8])}" if others else ""
        raise CannotGrade(f"none of the functions is there{near}. Looked for: {known}")
    missing = [name for name in NAMES if name not in found]
    for name in missing:
        close = get_close_matches(name, others, n=1, cutoff=0.7)
        report.hints |= {name: close[0]} if close else {}
        if names is not None and name in names:
            verdicts[name] = _verdict(name, "not there", "not-there", f"is not there: no {name} in {file.name}")
    report.not_there = [name for name in missing if names is None]
    report.functions = [verdicts[name] for name in NAMES if name in verdicts]
    return report


def _grade_until_it_dies(
    events: "Events", names: list[str], time_limit: float, progress: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """The verdicts on these functions, up to one that takes the process with it, or too long."""
    verdicts: dict[str, dict[str, Any]] = {}
    for name in names:
        progress(name)
        case: dict[str, Any] = {}
        judged: dict[str, Any] | None = None  # the verdict before it was found out what is wrong
        deadline = judging = time.monotonic() + time_limit
        began, called_for = 0.0, 0.0  # seconds, of calls while it is found out what is wrong
        try:
            while name not in verdicts:
                event = events.next(deadline)
                if event is None:
                    ended = f"ends the process {events.ending()}"
                    verdicts[name] = judged or _verdict(name, "wrong", "ends-the-process", ended, case)
                    return verdicts
                if event.get("function", name) != name:
                    continue
                if event["event"] == "case":
                    case = event
                elif event["event"] == "judging":
                    judged = event["verdict"]
                    deadline = judging = time.monotonic() + JUDGING_LIMIT
                elif event["event"] == "calling":
                    began = time.monotonic()
                    deadline = min(judging, began + time_limit - called_for)
                elif event["event"] == "called":
                    called_for += time.monotonic() - began
                    deadline = judging
                elif event["event"] == "verdict":
                    verdicts[name] = event["verdict"]
        except NoAnswer:
            sentence = f"gives no answer within {time_limit:g} s: a loop without an end?"
            verdicts[name] = judged or _verdict(name, "wrong", "no-answer", sentence, case)
            return verdicts
        except RuntimeError as error:
            verdicts[name] = judged or _not_graded(name, str(error).strip().splitlines()[-1])
            return verdicts
    return verdicts


def _not_graded(name: str, reason: str) -> dict[str, Any]:
    """A verdict on what may be right or wrong."""
    verdict = _verdict(name, "wrong", "could-not-be-graded", f"could not be graded: {reason}")
    verdict["mistake"]["certain"] = False
    return verdict


def _verdict(name: str, status: str, id: str, sentence: str, case: dict[str, Any] | None = None) -> dict[str, Any]:
    """A verdict on what could not be graded to its end."""
    failures = []
    if case:
        failures = [{"case": case["case"], "inputs": case["inputs"], "got": sentence, "expected": case["expected"]}]
    mistake = {"id": id, "sentence": sentence, "certain": True}
    counts = {"n_cases": len(failures), "n_failed": len(failures)}
    return {"name": name, "status": status, **counts, "mistake": mistake, "failures": failures}


def imported(events: "Events", time_limit: float) -> tuple[list[str], list[str]]:
    """Wait until the file is imported; the functions that are there, and the others.

    Raises:
        CannotGrade: if it cannot be.
    """
    try:
        if events.next(time.monotonic() + START_LIMIT) is None:
            raise RuntimeError(f"the process that should grade did not start {events.ending()}")
        event = events.next(time.monotonic() + time_limit)
    except NoAnswer:
        raise CannotGrade(f"importing it takes more than {time_limit:g} s") from None
    if event is None:
        raise CannotGrade(f"importing it ends the process {events.ending()}")
    if event["event"] == "failed":
        raise CannotGrade(event["reason"])
    return event["found"], event["others"]


# ---- The process ----------------------------------------------------------------------------------------------------


class Events:
    """What a process tells, one event after the other."""

    def __init__(self, running: "subprocess.Popen[str]") -> None:
        self._running = running
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._running.stdout is not None
        try:
            for line in self._running.stdout:
                self._lines.put(line)
        except ValueError:  # closed
            pass
        self._lines.put(None)

    def next(self, deadline: float) -> dict[str, Any] | None:
        """The next event; None once the process has ended.

        Raises:
            NoAnswer: if there is none by the deadline, by ``time.monotonic()``.
            RuntimeError: if the grader itself failed.
        """
        try:
            line = self._lines.get(timeout=max(deadline - time.monotonic(), 0.01))
        except queue.Empty:
            raise NoAnswer from None
        event = None if line is None else json.loads(line)
        if event is not None and event["event"] == "broken":
            raise RuntimeError(f"the grader failed, which is its own fault:\n{event['reason']}")
        return event

    def ending(self) -> str:
        """How the process ended, in brackets."""
        try:
            status = self._running.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "(without a word)"
        if status >= 0:
            return f"(os._exit or the like, exit status {status})"
        try:
            return f"(it crashed: {signal.Signals(-status).name})"
        except ValueError:  # a signal without a name
            return f"(it crashed: signal {-status})"


@contextmanager
def process(request: dict[str, Any]) -> Iterator[Events]:
    """A worker with a request; it and all that it started are gone afterwards.

    Nothing is written to its standard input. That this pipe is closed tells it that we have been killed.
    """
    import sb3_ext

    root = str(Path(sb3_ext.__file__).parents[1])
    command = [sys.executable, "-P", "-c", BOOTSTRAP.format(root=root), json.dumps(request)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    running = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        encoding="utf-8", start_new_session=True, env=environment,
    )  # fmt: skip
    try:
        yield Events(running)
    finally:
        _end(running)


def _end(running: "subprocess.Popen[str]") -> None:
    """End a process and those that it started."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(running.pid, signal.SIGKILL)
        else:
            running.kill()
    except (ProcessLookupError, PermissionError):
        pass
    running.wait()
    if running.stdin is not None:
        running.stdin.close()
