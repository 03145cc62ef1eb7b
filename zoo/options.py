"""Checks of command-line values, for argparse's ``type``: a bad value ends the command with status 2 and the reason."""

import argparse
import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryFile


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """One of the names. (``choices`` would refuse an empty list where ``nargs="*"``.)"""
    known = tuple(names)

    def check(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"there is no {text!r}; choose from {', '.join(known)}")
        return text

    return check


def nearest_of(what: str, names: Iterable[str]) -> Callable[[str], str]:
    """One of many names; for another, the nearest are suggested."""
    known = tuple(names)

    def check(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(unknown(what, text, known))
        return text

    return check


def unknown(what: str, text: str, names: Iterable[str]) -> str:
    """That there is no such thing, and which one may be meant."""
    lower = {name.lower(): name for name in names}
    near = [lower[each] for each in difflib.get_close_matches(text.lower(), lower, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(lower.values())}"
    return f"there is no {what} {text!r}; {hint}"


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _whole_number(text, at_least=1)


def not_negative(text: str) -> int:
    """A whole number of at least 0."""
    return _whole_number(text, at_least=0)


def _whole_number(text: str, at_least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}") from None
    if number < at_least:
        raise argparse.ArgumentTypeError(f"must be at least {at_least}, got {number}")
    return number


def folder(text: str) -> Path:
    """A folder to write to, made if it is not there."""
    path = Path(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=path).close()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"cannot write to {text}: {error.strerror}") from None
    return path


def share(text: str) -> float:
    """A number above 0 and up to 1."""
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must lie above 0 and be at most 1, got {text}")
    return number


def add_engine(options: argparse.ArgumentParser) -> None:
    """Options of the commands that can spread their work over a cluster."""
    options.add_argument("--engine", type=one_of(("local", "ray")), default="local",
                         help="local processes, or a ray cluster (default: local)")  # fmt: skip
    options.add_argument(
        "--address", help="HOST:PORT of the cluster's head, or auto (default: a cluster of this machine)"
    )


def check_engine(options: argparse.Namespace) -> None:
    """Whether the engine's options go together.

    Raises:
        ValueError: if not.
    """
    if options.address is not None and options.engine != "ray":
        raise ValueError("--address belongs to --engine ray")
