"""What is told of findings: two lines each, in the terminal."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from sb3_ext.zoo.doctor.finding import Finding


def show(console: "Console", findings: Iterable["Finding"]) -> None:
    """What was seen; then what it likely means and what to try."""
    from rich.markup import escape

    for finding in findings:
        first, second = str(finding).split("\n", 1)
        name, _, saw = first.partition(": ")
        console.print(f"[bold red]{escape(name)}[/]: {escape(saw)}", highlight=False, soft_wrap=True)
        console.print(escape(second), highlight=False, soft_wrap=True)


def show_table(console: "Console", rows: Sequence[tuple[str, str]]) -> None:
    """Lines (what, value)."""
    width = max((len(what) for what, _ in rows), default=0)
    for what, value in rows:
        console.print(f"{what:<{width}}  {value}", highlight=False, soft_wrap=True, markup=False)
