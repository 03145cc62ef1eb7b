"""What the tests of the commands share."""

import functools
import signal
import subprocess
from collections.abc import Callable

import pytest


@pytest.fixture
def popen() -> Callable[..., subprocess.Popen]:
    """``subprocess.Popen`` of a program that Ctrl-C can end, even if the tests run in the background (nohup, CI)."""
    return functools.partial(
        subprocess.Popen, preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    )
