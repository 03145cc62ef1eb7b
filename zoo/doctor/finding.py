"""What a warning sign is, and what is found where it is seen."""

from collections.abc import Callable
from typing import NamedTuple

from sb3_ext.zoo.doctor.record import Record

Look = Callable[[Record], str | None]


class Finding(NamedTuple):
    """A sign that was seen. Its text takes two lines."""

    sign: str
    """its name"""
    saw: str
    means: str
    """what is likely"""
    advice: str

    def __str__(self) -> str:
        return f"{self.sign}: {self.saw}\n    {self.means}; {self.advice}"


class Sign(NamedTuple):
    """A warning sign."""

    name: str
    means: str
    advice: str
    look: Look
    """from a record to what it saw, or None"""

    def find(self, record: Record) -> Finding | None:
        """What it finds in a record."""
        saw = self.look(record)
        return None if saw is None else Finding(self.name, saw, self.means, self.advice)


def sign(name: str, means: str, advice: str) -> Callable[[Look], Sign]:
    """Makes a function of a record a sign."""
    return lambda look: Sign(name, means, advice, look)
