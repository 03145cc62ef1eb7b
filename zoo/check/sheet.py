"""The exercise sheet: ``exercise_sheet.py``, copied to where a learner wants it."""

from pathlib import Path

SHEET = Path(__file__).with_name("exercise_sheet.py")


def write_sheet(file: Path) -> None:
    """Copy the sheet.

    Raises:
        FileExistsError: if there is such a file already; it may be filled in.
        OSError: if it cannot be written.
    """
    with file.open("x", encoding="utf-8") as opened:
        opened.write(SHEET.read_text(encoding="utf-8"))
