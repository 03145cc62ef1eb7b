"""Checks of command-line values, for argparse's ``type``: a bad value ends the command with status 2 and the reason."""

import argparse
from collections.abc import Callable, Iterable


def one_of(names: Iterable[str]) -> Callable[[str], str]:
    """One of the names. (``choices`` would refuse an empty list where ``nargs="*"``.)"""
    known = tuple(names)

    def check(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"there is no {text!r}; choose from {', '.join(known)}")
        return text

    return check


def positive(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def share(text: str) -> float:
    """A number above 0 and up to 1."""
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"must lie above 0 and be at most 1, got {text}")
    return number
