"""The process in which a learner's file runs: ``python -P -c ... REQUEST``, started by ``supervisor.py``.

It reports over its first standard output, one JSON object a line, and then gives print() and the like another one: what
the learner's code prints is kept apart.

    {"event": "ready"}                                   NumPy, PyTorch and the exercises are loaded
    {"event": "imported", "found": [...], "others": [...]}    names of the file; or {"event": "failed", ...}
    {"event": "start", ...}, {"event": "case", ...}, ...,          for each function, with its name as "function"
    {"event": "judging", "verdict": ...},                         what is known before the mistake is looked for
    {"event": "calling", ...}, {"event": "called", ...}, ...,     around the calls that this takes
    {"event": "verdict", "verdict": ...}
    {"event": "done"}
"""

import importlib.util
import io
import json
import os
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

MEMORY = 4 * 2**30  # bytes that the process may allocate
KEPT = 2000  # bytes of what is printed
Tell = Callable[..., None]


class Kept(io.RawIOBase):
    """The first bytes that are written; the rest is dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.first = bytearray()

    def write(self, data: Any) -> int:
        """Keep what there is room for."""
        written = bytes(data)
        self.first += written[: KEPT - len(self.first)]
        return len(written)

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """That of standard output, from which everything is dropped."""
        return 1


class Printed(io.TextIOWrapper):
    """Where print() goes, with all that standard output has."""

    def __init__(self) -> None:
        self.kept = Kept()
        super().__init__(io.BufferedWriter(self.kept), "utf-8", "replace", write_through=True)

    def clear(self) -> None:
        """Forget what was printed."""
        self.text()
        self.kept.first.clear()

    def text(self) -> str:
        """What was printed first."""
        with suppress(ValueError):  # the learner's code has closed it
            self.flush()
        return self.kept.first.decode(errors="replace")


class CannotImport(Exception):
    """The file cannot be imported; the message says why."""


def main() -> None:
    """Do what the request says, a JSON object in the first argument, and end."""
    request = json.loads(sys.argv[1])
    die_with_the_supervisor()
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    printed = Printed()
    sys.stdout = sys.stderr = printed

    worker = os.getpid()

    def tell(event: str, **more: Any) -> None:
        if os.getpid() != worker:  # the learner's code has forked: one of them grades on
            os._exit(0)
        results.write(json.dumps({"event": event, **more}, allow_nan=False) + "\n")
        results.flush()

    try:
        work(request, tell, printed)
    except BaseException:  # what the learner's code raises is caught where it is called: this is ours
        tell("broken", reason=traceback.format_exc())
    finally:
        os._exit(0)  # threads that the learner's code has left behind do not keep it


def die_with_the_supervisor() -> None:
    """End, and with it what was forked, once the supervisor has ended in whatever way; leaves standard input empty."""
    end_with_parent()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=end_with_parent)
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)

    def watch() -> None:
        while os.read(pipe, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_with_parent() -> None:
    """Have the system end this process when its parent ends (Linux)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def work(request: dict[str, Any], tell: Tell, printed: Printed) -> None:
    """Import the file, then grade or train."""
    import torch

    torch.set_num_threads(1)
    from sb3_ext.zoo.check.exercises import EXERCISES

    limit_memory()
    tell("ready")
    try:
        module = import_file(Path(request["file"]))
    except CannotImport as error:
        tell("failed", reason=str(error))
        return
    torch.set_grad_enabled(True)  # whatever the file did
    found = [name for name in EXERCISES if hasattr(module, name)]
    tell("imported", found=found, others=other_functions(module))
    if "train" in request:
        from sb3_ext.zoo.check.training import train_both

        train_both(request["train"], getattr(module, request["train"]), request, tell)
    else:
        names = [name for name in found if request["functions"] is None or name in request["functions"]]
        for name in names:
            grade_one(name, module, request["file"], tell, printed)
    tell("done")


def grade_one(name: str, module: types.ModuleType, file: str, tell: Tell, printed: Printed) -> None:
    """Grade one function and tell the verdict."""
    from sb3_ext.zoo.check.exercise import text_of
    from sb3_ext.zoo.check.exercises import EXERCISES
    from sb3_ext.zoo.check.grading import Mistake, Verdict, grade

    tell("start", function=name)
    printed.clear()
    known: list[Verdict] = []

    def finish(verdict: Verdict) -> None:
        known.append(verdict)
        tell("judging", function=name, verdict=asdict(verdict))

    try:
        graded = grade(
            EXERCISES[name],
            getattr(module, name),
            file,
            begin=lambda case: tell("case", function=name, **case),
            finish=finish,
            call=lambda event: tell(event, function=name),
        )
    except BaseException as error:
        reason = f"could not be graded: {type(error).__name__}: {text_of(error)}"
        graded = known[0] if known else Verdict(name, "wrong", mistake=Mistake("could-not-be-graded", reason, False))
    verdict = asdict(graded)
    mistake = verdict["mistake"]
    if mistake is not None and mistake["id"] == "returns-nothing" and printed.text():
        mistake["id"] = "prints-only"
        mistake["sentence"] = "prints its result and returns nothing: write `return` in the place of print"
    tell("verdict", function=name, verdict=verdict)


def import_file(path: Path) -> types.ModuleType:
    """The learner's file as a module; files beside it can be imported from it, but take no other module's place.

    Raises:
        CannotImport: with the reason and the line.
    """
    name = path.stem if path.stem.isidentifier() and path.stem not in sys.modules else "learners_file"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CannotImport(f"{path.name} is no Python file")
    sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        text = f": {error.text.strip()}" if error.text else ""
        where = Path(error.filename or path).name
        line = "" if error.lineno is None else f"line {error.lineno} of "
        raise CannotImport(f"{type(error).__name__} in {line}{where}: {error.msg}{text}") from None
    except BaseException as error:
        from sb3_ext.zoo.check.grading import raised

        raise CannotImport(f"importing it {raised(error, str(path))[1]}") from None
    return module


def other_functions(module: types.ModuleType) -> list[str]:
    """Functions of the file that have none of the names looked for."""
    from sb3_ext.zoo.check.signatures import NAMES

    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return [name for name, value in own.items() if callable(value) and name not in NAMES and not name.startswith("_")]


def limit_memory() -> None:
    """Let an allocation without bounds fail, where the system can do that."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, hard))
    except (ImportError, ValueError, OSError):
        pass
