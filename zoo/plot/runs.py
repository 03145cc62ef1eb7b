"""Finds runs in folders and files, and says which algorithm and environment each is of."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sb3_ext.algos import TABLE
from sb3_ext.zoo.plot.readers import Log, read_benchmark, read_evaluations, read_monitors, read_tensorboard

Read = Callable[[list[str]], Log]
Source = tuple[Path, list[Read]]
"""Of one run: where it is, and readers to try, the best first."""

UNKNOWN = "unknown environment"
GENERIC = ("", "seed", "run", "trial", "logs", "log", "results", "eval", "tensorboard", "tb", "monitor", "runs")
KNOWN = {name: name for name in TABLE} | {each.path.rpartition(":")[2].lower(): name for name, each in TABLE.items()}


@dataclass(frozen=True)
class Run:
    """One training."""

    algo: str
    env: str
    name: str
    """of the run among those of the same algorithm: "seed 3", "run 3" """
    folder: str
    """of the command line in which it was found; its subfolder if there was only one"""
    place: Path
    log: Log


def find_runs(paths: Sequence[Path], problems: list[str]) -> list[Run]:
    """Every run in the folders and files; what cannot be read is appended to ``problems``.

    Raises:
        ValueError: for a path that is not there, or a file that is no log.
    """
    runs: dict[Path, Run] = {}
    for path, shown in zip(paths, _distinct(paths), strict=True):
        for place, readers in sources(path):
            if place.resolve() not in runs and (log := _first(readers, problems)) is not None:
                inside = place.relative_to(path).parts
                folder = inside[0] if len(paths) == 1 and inside else shown
                algo, env, name = labels(place, path)
                runs[place.resolve()] = Run(log.algo or algo, log.env or env or UNKNOWN,
                                            log.name or name or place.name, folder, place, log)  # fmt: skip
    unnamed = sum(run.env == UNKNOWN for run in runs.values())
    if unnamed:
        problems.append(f"runs whose path names no environment (such as CartPole-v1), together as one: {unnamed}")
    full = {run.env.replace("/", "-"): run.env for run in runs.values() if "/" in run.env}  # as files cannot be called
    return [replace(run, env=full.get(run.env, run.env)) for run in runs.values()]


def _distinct(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many more as tell them apart."""
    every = [path.resolve().parts for path in paths]
    for n_parts in range(1, max(map(len, every), default=0) + 1):
        shown = ["/".join(parts[-n_parts:]) for parts in every]
        if len(set(shown)) == len(set(every)):
            return shown
    return [str(path) for path in paths]


def _first(readers: Sequence[Read], problems: list[str]) -> Log | None:
    for read in readers:
        try:
            return read(problems)
        except ValueError as error:
            problems += [str(error)] if str(error) not in problems else []
    return None


# ---- Where runs are -------------------------------------------------------------------------------------------------


def sources(path: Path) -> Iterator[Source]:
    """What may be a run in a folder and all below it, or a single log file.

    Raises:
        ValueError: if the path is not there, or no log.
    """
    if path.is_dir():
        yield from _below(path)
    elif not path.exists():
        raise ValueError(f"{path} is not there")
    elif path.name == "run.json":
        yield path.parent, [partial(read_benchmark, path.parent)]
    elif path.suffix == ".npz":
        yield path, [partial(read_evaluations, path)]
    elif path.suffix == ".csv":
        yield path, [partial(read_monitors, [path])]
    elif "tfevents" in path.name:
        yield path, [partial(read_tensorboard, path)]
    else:
        raise ValueError(f"{path} is no log that can be read: run.json, evaluations.npz, *.monitor.csv, *tfevents*")


def _below(root: Path) -> Iterator[Source]:
    taken: list[Path] = []
    for here, folders, names in os.walk(root):
        folders.sort()
        place = Path(here)
        inside = any(other in place.parents for other in taken)
        for found in _here(place, sorted(names), inside):
            taken.append(found[0])
            yield found


def _here(place: Path, names: Sequence[str], inside: bool) -> Iterator[Source]:
    """The runs of one folder: one, and one more for each Monitor file that has a name instead of a number."""
    readers: list[Read] = []
    if {"run.json", "error.txt", ".begun"} & set(names):
        readers.append(partial(read_benchmark, place))
    if "evaluations.npz" in names:
        readers.append(partial(read_evaluations, place / "evaluations.npz"))
    monitors = [name for name in names if name.endswith("monitor.csv")]
    numbered = [name for name in monitors if re.fullmatch(r"(\d+\.)?monitor\.csv", name)]
    if numbered:
        readers.append(partial(read_monitors, [place / name for name in numbered]))
    if not inside and any("tfevents" in name for name in names):  # inside of a run they are its own
        readers.append(partial(read_tensorboard, place))
    if readers:
        yield place, readers
    for name in monitors:
        if name not in numbered:
            yield place / name, [partial(read_monitors, [place / name])]


# ---- What they are called -------------------------------------------------------------------------------------------


def labels(place: Path, root: Path) -> tuple[str, str | None, str | None]:
    """Algorithm, environment and name of a run by its path, of which the nearest part counts first.

    An environment ends with -v0 or the like. An algorithm is one of ours, SB3's or contrib's, else the nearest part
    below the root that says something. A number at the end, as in _3 or seed3, is that of the run.

    Example:
        >>> labels(Path("logs/ppo/CartPole-v1_3"), Path("logs")), labels(Path("CartPole-v1/PPO_2"), Path("CartPole-v1"))
        (('ppo', 'CartPole-v1', 'run 3'), ('ppo', 'CartPole-v1', 'run 2'))
        >>> labels(Path("ppo_Taxi-v4/seed_1"), Path("ppo_Taxi-v4")), labels(Path("ppo_big/Taxi-v4/0"), Path("ppo_big"))
        (('ppo', 'Taxi-v4', 'run 1'), ('ppo_big', 'Taxi-v4', 'run 0'))
    """
    algo = other = env = number = None
    parts = place.resolve().parts
    for depth in range(len(parts), max(len(parts) - 4, 0), -1):
        part = re.sub(r"\.?monitor\.csv$|\.csv$|(evaluations)?\.npz$", "", parts[depth - 1])
        known, rest = _known_in_front(part)
        world = re.fullmatch(r"(.+-v\d+)(?:_(?:seed_?|run_?)?(.+))?", rest)
        counted = re.fullmatch(r"(?:(.*)_)?(?:seed|run|trial)?_?(\d+)", rest)
        if world:
            env, number = env or world[1], number or world[2]
            rest = ""
        elif counted:
            number, rest = number or counted[2], counted[1] or ""
        if known:
            algo = algo or (f"{known}_{rest}" if rest else known)
        elif depth >= len(root.resolve().parts) and rest not in GENERIC:
            other = other or rest
    return algo or other or root.resolve().name, env, f"run {number}" if number else None


def _known_in_front(part: str) -> tuple[str | None, str]:
    """The algorithm with which a part of a path begins, and what comes after it."""
    for name in sorted(KNOWN, key=len, reverse=True):
        if re.match(rf"{name}([_-]|$)", part.lower()):
            return KNOWN[name], part[len(name) + 1 :]
    return None, part
