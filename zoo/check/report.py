"""The verdicts on a file, as JSON for a program and as text for a reader."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from sb3_ext.zoo.check.supervisor import Report

VERSION = 1
WIDEST = 400  # characters of what goes in or comes out
COLORS = {"right": "green", "wrong": "red", "not done": "yellow", "not there": "yellow"}


def as_json(report: "Report", training: list[dict[str, Any]] | None = None) -> str:
    """One object, see the help of the command; numbers that are not finite are the strings "nan", "inf" and "-inf"."""
    functions = [{"name": verdict["name"], "passed": verdict["status"] == "right", **verdict}
                 for verdict in report.functions]  # fmt: skip
    whole: dict[str, Any] = {"file": report.file, "version": VERSION, "functions": functions}
    whole |= {"not_there": report.not_there, "passed": report.passed}
    whole |= {} if training is None else {"training": training}
    return json.dumps(whole, allow_nan=False, indent=2)


def error_as_json(file: str, reason: str) -> str:
    """The same where nothing could be graded."""
    whole = {"file": file, "version": VERSION, "functions": [], "not_there": [], "passed": False, "error": reason}
    return json.dumps(whole, allow_nan=False, indent=2)


def show(console: "Console", report: "Report") -> None:
    """A line for each function, and below those that are wrong what is wrong."""
    for verdict in report.functions:
        show_verdict(console, verdict)
    if report.not_there:
        hints = [f"{name} (is {hint} meant to be it?)" if (hint := report.hints.get(name)) else name
                 for name in report.not_there]  # fmt: skip
        _print(console, f"\nnot there: {', '.join(hints)}")
    n_right = sum(verdict["status"] == "right" for verdict in report.functions)
    _print(console, f"\n{n_right} of {len(report.functions)} functions are right")


def show_verdict(console: "Console", verdict: dict[str, Any]) -> None:
    """One function."""
    from rich.text import Text

    status, mistake = verdict["status"], verdict["mistake"]
    counts = f"{verdict['n_cases']} cases"
    counts = counts if status == "right" else f"{verdict['n_failed']} of {counts}"
    line = Text(f"{verdict['name']:<22}").append(f"{status:<10}", style=COLORS[status])
    line.append("" if status in ("not done", "not there") or not verdict["n_cases"] else counts)
    console.print(line, soft_wrap=True)
    if status == "not done":
        return
    if mistake is not None:
        likely = "it" if mistake["certain"] or mistake["id"] == "could-not-be-graded" else "looks most like this: it"
        _print(console, f"    {likely} {mistake['sentence']}  [{mistake['id']}]", style="bold")
    elif status == "wrong":
        _print(console, "    looks like no mistake that is known here", style="bold")
    for failure in verdict["failures"]:
        _print(console, f"    case      {failure['case']}")
        went_in = ", ".join(f"{name}={short(value)}" for name, value in failure["inputs"].items())
        _print(console, f"    in        {went_in}")
        _print(console, f"    out       {short(failure['got'])}")
        if "problem" in failure and mistake is not None and failure["problem"] != mistake["sentence"]:
            _print(console, f"              it {failure['problem']}")
        _print(console, f"    expected  {short(failure['expected'])}\n")


def short(value: Any) -> str:
    """Plain data in one line, not too long."""
    if isinstance(value, dict):
        text = "; ".join(f"{name} {short(part)}" for name, part in value.items())
    else:
        text = value if isinstance(value, str) else f"{value:.6g}" if isinstance(value, float) else json.dumps(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 4]} ..."


def _print(console: "Console", text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
