"""A function against the cases of its exercise: what came out of each, and the verdict."""

import inspect
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sb3_ext.zoo.check.exercise import Case, Exercise, Function, Outcome, Problem, agree, has_shape_of, text_of

MOST_FAILURES = 3  # that are told in full
MOST_NUMBERS = 1000  # of an array that is told in full


@dataclass(eq=False)
class Observation:
    """A case and what came of it.

    Attributes:
        case: what was called.
        expected: what should come out.
        outcome: what came out, if it is something that can be compared.
        problem: (id, sentence) of what is wrong besides numbers that differ; None if nothing is.
        right: whether all is right.
    """

    case: Case
    expected: Outcome
    outcome: Outcome | None = None
    problem: tuple[str, str] | None = None
    right: bool = False


@dataclass(frozen=True)
class Mistake:
    """What is wrong.

    Attributes:
        id: stable; two mistakes at once are joined with "+".
        sentence: for the learner.
        certain: False if it explains only some of what came out.
    """

    id: str
    sentence: str
    certain: bool = True


@dataclass(frozen=True)
class Verdict:
    """How a function was graded.

    Attributes:
        name: of the function.
        status: "right", "wrong", "not done" or "not there".
        n_cases: how many cases it was called with.
        n_failed: how many of them came out wrong.
        mistake: what it looks like; None if right, or if it looks like nothing that is known.
        failures: of the first cases that failed: "case", "inputs", "got" and "expected", as plain data.
    """

    name: str
    status: str
    n_cases: int = 0
    n_failed: int = 0
    mistake: Mistake | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether it is right."""
        return self.status == "right"


def grade(
    exercise: Exercise,
    function: Any,
    file: str = "",
    begin: Callable[[dict[str, Any]], None] = lambda case: None,
    finish: Callable[[Verdict], None] = lambda verdict: None,
    call: Callable[[str], None] = lambda event: None,
) -> Verdict:
    """Call a function with every case and judge what comes out.

    Args:
        exercise: what it should be.
        function: the learner's.
        file: where it is from, to find the line in which it fails.
        begin: is told of each case before the function is called.
        finish: is told the verdict without a mistake when all cases are through, before it is found out what is wrong.
        call: is told "calling" and "called" around each call while it is found out what is wrong.
    """
    from sb3_ext.zoo.check.diagnosis import diagnose, wrong_signature

    mistake = wrong_signature(exercise, function)
    if mistake is not None:
        return Verdict(exercise.name, "wrong", mistake=mistake)
    observations = observe_all(exercise, function, file, begin)
    failed = [one for one in observations if not one.right]
    if not failed:
        return Verdict(exercise.name, "right", len(observations))
    not_done = all(one.problem is not None and one.problem[0] == "not-done-yet" for one in failed)
    status = "not done" if not_done else "wrong"
    told = [] if not_done else [describe(one) for one in failed[:MOST_FAILURES]]
    verdict = Verdict(exercise.name, status, len(observations), len(failed), None, told)
    finish(verdict)
    return replace(verdict, mistake=diagnose(exercise, observations, watched(function, call)))


def watched(function: Function, call: Callable[[str], None]) -> Function:
    """A function that tells when it is called and when that is over."""

    def called(*arguments: Any) -> Any:
        call("calling")
        try:
            return function(*arguments)
        finally:
            call("called")

    called.__wrapped__ = function  # type: ignore[attr-defined]  # has its signature
    return called


def observe_all(
    exercise: Exercise, function: Function, file: str = "", begin: Callable[[dict[str, Any]], None] = lambda case: None
) -> list[Observation]:
    """Every case in turn; no more of them once the function says that it is not done yet."""
    observations = []
    for case in exercise.cases():
        with quiet():
            expected = exercise.expected(case)
            begin({"case": case.name, "inputs": plain(dict(case.arguments)), "expected": shown(expected)})
            observations.append(observe(exercise, case, expected, function, file))
        if observations[-1].problem is not None and observations[-1].problem[0] == "not-done-yet":
            break
    return observations


@contextmanager
def quiet() -> Iterator[None]:
    """Within, divisions by 0 and the like are no warnings: what comes of them is seen in the result."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def observe(exercise: Exercise, case: Case, expected: Outcome, function: Function, file: str = "") -> Observation:
    """Call a function twice with a case."""
    seen = Observation(case, expected)
    try:
        seen.outcome = exercise.play(case, function)
        again = exercise.play(case, function)
    except Problem as problem:
        seen.problem = problem.id, problem.sentence
    except NotImplementedError:
        seen.problem = "not-done-yet", "is not done yet: it raises NotImplementedError"
    except BaseException as error:
        seen.problem = raised(error, file)
    else:
        seen.problem = what_is_odd(exercise, seen.outcome, again, expected)
        right = exercise.accepts or (lambda outcome, _: agree(outcome, expected, exercise.tolerance))
        seen.right = seen.problem is None and right(seen.outcome, case)
    return seen


def what_is_odd(exercise: Exercise, outcome: Outcome, again: Outcome, expected: Outcome) -> tuple[str, str] | None:
    """What is wrong with an outcome apart from the numbers, the gravest first."""
    if outcome.changed:
        return "changes-its-inputs", f"changes its inputs in place: {', '.join(outcome.changed)}; work on a copy"
    if not agree(outcome, again, exercise.tolerance):
        return "not-repeatable", (
            "gives another result when called again with the same inputs: random numbers, or something it remembers"
        )
    if not has_shape_of(outcome, expected):
        shapes = [list(each.parts["result"].shape) for each in (outcome, expected)]
        return "wrong-shape", f"returns the shape {shapes[0]} where {shapes[1] or 'one number'} is expected"
    if not all(np.isfinite(part).all() for part in outcome.parts.values()):
        return "not-finite", "gives numbers that are not finite (nan or inf): look for a division by 0, a log or an exp"
    if exercise.tensors and not outcome.is_tensor:
        return "not-a-tensor", "returns no tensor: drop .item(), .numpy(), float() and the like; th.stack a list"
    return None


def raised(error: BaseException, file: str) -> tuple[str, str]:
    """The id and a sentence for what a function raised, with the line of the learner's file."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    where = f" in line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
    if isinstance(error, RecursionError):
        return "endless-recursion", f"calls itself without an end{where}"
    if isinstance(error, SystemExit):
        return "ends-the-process", f"ends the program (sys.exit or exit){where}"
    if isinstance(error, MemoryError):
        return "out-of-memory", f"takes too much memory{where}"
    message = text_of(error, 1000).strip().splitlines()
    return "raises", f"raises {type(error).__name__}{': ' + message[0][:200] if message else ''}{where}"


def describe(seen: Observation) -> dict[str, Any]:
    """What went into a case, what came out and what was expected, as plain data."""
    if seen.outcome is None:
        assert seen.problem is not None
        got = seen.problem[1]
    else:
        got = shown(seen.outcome)
    described = {"case": seen.case.name, "inputs": plain(dict(seen.case.arguments)), "got": got}
    if seen.problem is not None and seen.outcome is not None:
        described["problem"] = seen.problem[1]
    return {**described, "expected": shown(seen.expected)}


def shown(outcome: Outcome) -> Any:
    """An outcome as plain data: the result alone, where that is all."""
    if outcome.shown is not None:
        return plain(outcome.shown)
    parts = plain(dict(outcome.parts))
    return parts["result"] if len(parts) == 1 else parts


def plain(value: Any) -> Any:
    """Numbers, arrays and dictionaries of them as JSON has them; numbers that are not finite as text."""
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray) and value.size > MOST_NUMBERS:
        return f"array of shape {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.7g}") + 0.0 if np.isfinite(value) else str(value)
    return value


def parameters_of(function: Any) -> inspect.Signature | None:
    """The signature, None where Python does not tell it."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None
