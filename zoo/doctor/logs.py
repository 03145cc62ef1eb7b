"""Reads what trainings left behind: progress.csv, monitor.csv, TensorBoard, ``sb3-ext benchmark``'s curve.csv.

Each folder that holds some of these is a run. What is wrong with a file is appended to ``problems`` and the rest is
read: lines that are cut, a header alone, numbers that are none.
"""

import csv
import math
from pathlib import Path

import numpy as np

from sb3_ext.envs.wrappers.reward_terms import RETURN_KEYS
from sb3_ext.zoo.doctor.record import Record

STEPS = "time/total_timesteps"
MONITORS = ("*.monitor.csv", "monitor.csv")
COLUMNS = {"r": "return", "l": "length", **{key: key for key in RETURN_KEYS}}
EVENTS = "events.out.tfevents*"


def read_logs(place: Path, problems: list[str]) -> dict[Path, Record]:
    """The records of all runs in a folder and below it, by their folders.

    Args:
        place: the folder.
        problems: what could not be read is added.

    Raises:
        ValueError: if there is no such folder, or no log in it.
    """
    if not place.exists():
        raise ValueError(f"there is no folder {place}")
    if not place.is_dir():
        raise ValueError(f"{place} is a file; give the folder that it is in")
    files = [file for pattern in ("progress.csv", "curve.csv", *MONITORS, EVENTS) for file in place.rglob(pattern)]
    if not files:
        raise ValueError(f"{place} holds no progress.csv, monitor.csv, curve.csv or TensorBoard log")
    records = {folder: read_run(folder, problems) for folder in sorted({file.parent for file in files})}
    found = {folder: record for folder, record in records.items() if record.series}
    if not found:
        raise ValueError(f"{place}: nothing could be read; {'; '.join(problems)}")
    return found


def read_run(folder: Path, problems: list[str]) -> Record:
    """What one folder says of its run."""
    record = Record()
    if (folder / "progress.csv").exists():
        read_progress(folder / "progress.csv", record, problems)
    if not record.series and any(folder.glob(EVENTS)):
        read_tensorboard(folder, record, problems)
    monitors = sorted({file for pattern in MONITORS for file in folder.glob(pattern)})
    if monitors:
        read_monitors(monitors, record, problems)
    elif (folder / "curve.csv").exists():
        read_curve(folder / "curve.csv", record, problems)
    record.n_timesteps = int(record.last_step)
    return record


def read_progress(file: Path, record: Record, problems: list[str]) -> None:
    """SB3's CSV log: a line for each time it logged, blank where a number was not logged."""
    table = read_table(file, problems)
    steps = table.pop(STEPS, None)
    if steps is None:
        if table:
            problems.append(f"{file} has no column {STEPS}; its lines were counted instead")
        steps = [float(number) for number in range(1, 1 + max((len(each) for each in table.values()), default=0))]
    for name, values in table.items():
        for step, value in zip(steps, values, strict=True):
            if value is not None and step is not None:
                add(record, step, name, value)


def read_monitors(files: list[Path], record: Record, problems: list[str]) -> None:
    """SB3's Monitor files, one for each environment of a run, which step together."""
    episodes: list[tuple[float, dict[str, float]]] = []
    for file in files:
        table, step = read_table(file, problems), 0.0
        missing = [name for name in ("r", "l") if name not in table]
        if missing:
            if table:
                problems.append(f"{file} has no column {' and '.join(missing)}")
            continue
        known = [name for name in COLUMNS if name in table]
        for row in zip(*(table[name] for name in known), strict=True):
            numbers = {name: value for name, value in zip(known, row, strict=True) if value is not None}
            step += numbers.get("l", 0.0) * len(files)
            episodes.append((step, numbers))
    for step, numbers in sorted(episodes, key=lambda episode: episode[0]):
        for name, value in numbers.items():
            add(record, step, f"episode/{COLUMNS[name]}", value)


def read_curve(file: Path, record: Record, problems: list[str]) -> None:
    """``timestep`` and ``return`` of each training episode."""
    table = read_table(file, problems)
    for step, value in zip(table.get("timestep", []), table.get("return", []), strict=True):
        if step is not None and value is not None:
            add(record, step, "episode/return", value)


def read_tensorboard(folder: Path, record: Record, problems: list[str]) -> None:
    """Every scalar of TensorBoard's logs."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError:
        problems.append(f"{folder}: reading TensorBoard logs needs TensorBoard; pip install tensorboard")
        return
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    if not events.Tags()["scalars"]:
        problems.append(f"{folder}: no number in its TensorBoard log")
    for tag in events.Tags()["scalars"]:
        for event in sorted(events.Scalars(tag), key=lambda event: event.step):
            add(record, float(event.step), tag, float(event.value))


def add(record: Record, step: float, name: str, value: float) -> None:
    """One number; NaN and infinity are counted under their own name."""
    record.add(step, {name: value})
    if not math.isfinite(value) and name != "train/explained_variance" and f"nonfinite/{name}" not in record:
        record.add(step, {f"nonfinite/{name}": 1.0})


def read_table(file: Path, problems: list[str]) -> dict[str, list[float | None]]:
    """The columns of a CSV file; None for a blank. Lines that are cut or damaged are left out."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        problems.append(f"{file}: {error.strerror}")
        return {}
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        problems.append(f"{file} is empty")
        return {}
    if len(lines) > 1 and not text.endswith("\n"):
        lines.pop()
        problems.append(f"{file}: its last line is cut and was left out; a run that was killed, or still goes on?")
    try:
        rows = list(csv.reader(lines))
    except csv.Error as error:
        problems.append(f"{file} cannot be read: {error}")
        return {}
    head, body = rows[0], rows[1:]
    whole = [row for row in body if len(row) == len(head)]
    if len(whole) < len(body):
        problems.append(f"{file}: damaged lines were left out, {len(body) - len(whole)} of {len(body)}")
    if not whole:
        problems.append(f"{file}: only a header, no line of numbers")
    return {name: [number(row[column]) for row in whole] for column, name in enumerate(head)}


def number(cell: str) -> float | None:
    """A cell as a number, None for a blank or text."""
    try:
        return float(np.float64(cell))
    except ValueError:
        return None
