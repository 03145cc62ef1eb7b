"""RL Zoo replaces Gymnasium's TimeLimit once it is imported: every test runs it in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

RUN_ALL = """
import contextlib, io, json, sys, traceback
from sb3_ext.zoo.__main__ import main

results = []
for arguments in json.load(sys.stdin):
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = ended.code
        except BaseException:
            traceback.print_exc()
            status = 1
    results.append([status, shown.getvalue()])
json.dump(results, open("results.json", "w"))
"""


@pytest.fixture
def child(tmp_path) -> Callable[..., str]:
    """Runs Python code in another process, in ``tmp_path``, on one core and without a screen; what it printed."""

    def run(code: str, text: str = "", **variables: str) -> str:
        unset = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
        environment = {**unset, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tmp_path), **variables}
        done = subprocess.run(
            [sys.executable, "-c", code], input=text, capture_output=True, text=True, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def sb3_ext(child, tmp_path) -> Callable[..., list[tuple[int, str]]]:
    """Runs some ``sb3-ext`` commands one after the other in another process; the status and output of each."""

    def run(*commands: str | list[str], **variables: str) -> list[tuple[int, str]]:
        lines = [command.split() if isinstance(command, str) else command for command in commands]
        child(RUN_ALL, json.dumps(lines), **variables)
        return [(status, shown) for status, shown in json.loads((tmp_path / "results.json").read_text())]

    return run
