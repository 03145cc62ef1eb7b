"""The process in which a learner's file runs: ``python -P -c ... REQUEST``, started by ``supervisor.py``.

It reports over its first standard output, one JSON object a line, and then gives print() and the like another one: what
the learner's code prints is kept apart.

    {"event": "ready"}                                   NumPy, PyTorch and the exercises are loaded
    {"event": "imported", "found": [...], "others": [...]}    names of the file; or {"event": "failed", ...}
    {"event": "start", "function": ...}, {"event": "case", ...}, ..., {"event": "judging"},     for each function
    {"event": "verdict", ...}
    {"event": "done"}
"""

import importlib.util
import io
import json
import os
import sys
import traceback
import types
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

MEMORY = 4 * 2**30  # bytes that the process may allocate
KEPT = 2000  # characters of what is printed
Tell = Callable[..., None]


class Printed(io.TextIOBase):
    """Where print() goes: the first characters are kept, the rest is dropped."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        """Keep what there is room for."""
        self.text += text[: KEPT - len(self.text)]
        return len(text)

    def writable(self) -> bool:
        """Always."""
        return True


class CannotImport(Exception):
    """The file cannot be imported; the message says why."""


def main() -> None:
    """Do what the request says, a JSON object in the first argument, and end."""
    request = json.loads(sys.argv[1])
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    printed = Printed()
    sys.stdout = sys.stderr = printed

    def tell(event: str, **more: Any) -> None:
        results.write(json.dumps({"event": event, **more}, allow_nan=False) + "\n")
        results.flush()

    try:
        work(request, tell, printed)
    except BaseException:  # what the learner's code raises is caught where it is called: this is ours
        tell("broken", reason=traceback.format_exc())
    finally:
        os._exit(0)  # threads that the learner's code has left behind do not keep it


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
    from sb3_ext.zoo.check.exercises import EXERCISES
    from sb3_ext.zoo.check.grading import grade

    tell("start", function=name)
    printed.text = ""
    graded = grade(
        EXERCISES[name], getattr(module, name), file, lambda case: tell("case", **case), lambda: tell("judging")
    )
    verdict = asdict(graded)
    mistake = verdict["mistake"]
    if mistake is not None and mistake["id"] == "returns-nothing" and printed.text:
        mistake["id"] = "prints-only"
        mistake["sentence"] = "prints its result and returns nothing: write `return` in the place of print"
    tell("verdict", verdict=verdict)


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
        raise CannotImport(f"{type(error).__name__} in line {error.lineno} of {where}: {error.msg}{text}") from None
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
