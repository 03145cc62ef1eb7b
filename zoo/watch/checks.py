"""Checks of what a browser sends; each says in words what it refuses."""

from collections.abc import Callable
from typing import Any


class MessageError(ValueError):
    """What is wrong with a message, in words for whoever sent it."""


def number(name: str, low: float, high: float, above: bool = False) -> Callable[[Any], float]:
    """A check for a number in a range, without its lower end if ``above``."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise MessageError(f"{name} must be a number, got {short(value)}")
        if not low <= value <= high or (above and value == low):
            raise MessageError(
                f"{name} must lie {'above' if above else 'from'} {low:g} to {high:g}, got {short(value)}"
            )
        return float(value)

    return check


def whole(name: str, low: int, high: int) -> Callable[[Any], int]:
    """A check for a whole number in a range."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise MessageError(f"{name} must be a whole number, got {short(value)}")
        if not low <= value <= high:
            raise MessageError(f"{name} must lie from {low} to {high}, got {short(value)}")
        return value

    return check


def choice(name: str, known: tuple[str, ...]) -> Callable[[Any], str]:
    """A check for one of some names."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise MessageError(f"{name} must be one of {', '.join(known)}, got {short(value)}")
        return value

    return check


def short(value: Any) -> str:
    """A value for a message, not too long."""
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a very long number"
    return text if len(text) <= 60 else text[:57] + "..."


def json_object(name: str, value: Any) -> dict[str, Any]:
    """The value, if it is an object of JSON."""
    if not isinstance(value, dict):
        raise MessageError(f"{name} must be an object, got {short(value)}")
    return value


def json_list(name: str, value: Any, least: int, most: int) -> list[Any]:
    """The value, if it is a list of such a length."""
    if not isinstance(value, list) or not least <= len(value) <= most:
        raise MessageError(f"{name} must be a list of {least} to {most}, got {short(value)}")
    return value


def refuse_unknown(name: str, value: dict[str, Any], known: set[str]) -> None:
    """Refuses an object with a name that is not known."""
    unknown = sorted(set(value) - known)
    if unknown:
        raise MessageError(f"{name} has no {short(unknown[0])}; it may have {', '.join(sorted(known))}")


def refuse_constant(name: str) -> float:
    """Refuses NaN and Infinity, which Python's parser takes for numbers."""
    raise ValueError(f"{name} is no number of JSON")
