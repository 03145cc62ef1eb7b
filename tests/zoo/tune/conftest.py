"""Fixtures of the tests of ``sb3-ext tune``; puts this folder's helpers on the path, and keeps torch on one core."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from helpers_tune import ENVIRONMENTS, PostgreSQL, postgres_programs

torch.set_num_threads(1)


@pytest.fixture
def environments(tmp_path, monkeypatch) -> str:
    """Name of a module with environments that worker processes can import, for --gym-packages."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "chains_for_tune.py").write_text(ENVIRONMENTS)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return "chains_for_tune"


@pytest.fixture
def start(tmp_path, popen, environments) -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts ``sb3-ext tune`` on a chain in a process of its own; what still runs at the end is killed."""
    started = []

    def begin(*arguments: str, env: str = "SlowChain-v0") -> subprocess.Popen:
        command = [sys.executable, "-m", "sb3_ext.zoo", "tune", "--algo", "q_learning", "--env", env, "-n", "150",
                   "--gym-packages", environments, "--n-seeds", "2", "--eval-episodes", "2", "--retrain-seeds", "2",
                   "--top-k", "2", "--heartbeat", "0.2", *arguments]  # fmt: skip
        started.append(popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def postgres() -> Iterator[PostgreSQL]:
    """A running PostgreSQL. Without one installed the test is skipped, but in CI it fails."""
    programs = postgres_programs()
    if programs is None:
        reason = "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    pytest.importorskip("psycopg")
    server = PostgreSQL(programs)
    try:
        yield server
    finally:
        server.remove()
