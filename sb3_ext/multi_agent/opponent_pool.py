"""Snapshots of a learner on disk, from which self-play draws its opponents.

Playing only the newest self can go round in circles (rock beats scissors, paper beats rock, ...); a pool of earlier
selves punishes what was forgotten. ``sampling`` says how an opponent is drawn:

- ``"latest"``: the newest snapshot.
- ``"uniform"``: each with equal chance (fictitious self-play, Heinrich et al. 2015).
- ``"prioritized"``: with chance proportional to (1 - w)^p, w the learner's win rate against it (prioritised fictitious
  self-play, Vinyals et al. 2019, AlphaStar): hard opponents often, beaten ones hardly.

The folder is the whole state: ``index.json`` (replaced as a whole, never half-written) and one model file for each
snapshot. One process writes (the training's :class:`SelfPlayCallback`); any number of environments, in its process or
in others, read and notice changes. A training that goes on with the same folder goes on with its opponents and ratings.
"""

import importlib
import io
import json
import multiprocessing
import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_ext.multi_agent.elo import INITIAL_ELO, updated_elo
from sb3_ext.multi_agent.opponents import ModelOpponent, Opponent, RandomOpponent

_FORGETTING = 0.99  # of older games, a game: the learner that played them is no more (AlphaStar's payoff matrix)


@dataclass
class Snapshot:
    """What the index knows of one snapshot.

    Attributes:
        algorithm: Class of the model, ``"module:Name"``.
        steps: The learner's time steps when it was made.
        elo: The learner's rating then.
        games: Games against it, older ones weighing less.
        points: The learner's points from them: win 1, draw 1/2.
    """

    algorithm: str
    steps: int
    elo: float
    games: float = 0.0
    points: float = 0.0

    @property
    def win_rate(self) -> float:
        """The learner's share of the points, 0 to 1; 1/2 before the first game.

        >>> Snapshot("module:Name", steps=0, elo=1000.0, games=4.0, points=3.0).win_rate
        0.75
        """
        return self.points / self.games if self.games else 0.5


class OpponentPool:
    """Opponents for :class:`SelfPlayEnv`: earlier snapshots of the learner.

    A snapshot that cannot be read is named in a warning and in ``broken``, left on disk, and not drawn. While there is
    none to draw, opponents play at random. One learner a folder: it holds that learner's rating.

    Args:
        folder: Made if it does not exist.
        sampling: ``"latest"``, ``"uniform"`` or ``"prioritized"``.
        max_size: The oldest snapshot is deleted when there are more.
        power: The exponent p of ``"prioritized"``.
        deterministic: Whether snapshots play their best action instead of drawing one.
        latest_share: How often the newest snapshot is drawn whatever ``sampling`` says, 0 to 1.

    Raises:
        ValueError: For an unknown ``sampling``, ``max_size`` below 1, a share that is none, or an unreadable index.
    """

    def __init__(
        self,
        folder: str | Path,
        sampling: str = "prioritized",
        max_size: int = 20,
        power: float = 2.0,
        deterministic: bool = False,
        latest_share: float = 0.0,
    ) -> None:
        if sampling not in ("latest", "uniform", "prioritized"):
            raise ValueError(f"sampling must be 'latest', 'uniform' or 'prioritized', got {sampling!r}")
        if max_size < 1:
            raise ValueError(f"a pool keeps at least one snapshot, got max_size={max_size}")
        if not 0 <= latest_share <= 1:
            raise ValueError(f"latest_share must lie between 0 and 1, got {latest_share}")
        self.folder = Path(folder)
        self.sampling = sampling
        self.max_size = max_size
        self.power = power
        self.deterministic = deterministic
        self.latest_share = latest_share
        self.snapshots: dict[str, Snapshot] = {}
        self.elo = INITIAL_ELO
        self.broken: dict[str, str] = {}
        self._players: dict[str, Opponent] = {}
        self._index_seen: tuple[int, ...] | None = None
        self.folder.mkdir(parents=True, exist_ok=True)
        self.refresh()
        for path in sorted(self.folder.glob("snapshot_*.zip")):
            if path.stem not in self.snapshots:
                warnings.warn(f"{path} is not in the pool's index and is not played", stacklevel=2)

    # --- for environments

    def sample(self, generator: np.random.Generator) -> tuple[str, Opponent]:
        """Draws an opponent; the random player while no snapshot can be read."""
        self.refresh()
        while names := [name for name in self.snapshots if name not in self.broken]:
            name = names[int(generator.choice(len(names), p=self.probabilities(names)))]
            player = self._player(name)
            if player is not None:
                return name, player
        return RandomOpponent.name, RandomOpponent()

    def probabilities(self, names: list[str]) -> np.ndarray:
        """The chance of each snapshot, float64 [len(names)], oldest first."""
        weights = np.ones(len(names))
        if self.sampling == "latest":
            weights[:-1] = 0.0
        elif self.sampling == "prioritized":
            weights = (1.0 - np.array([self.snapshots[name].win_rate for name in names])) ** self.power
            if weights.sum() == 0.0:  # all are beaten: no one is harder than another
                weights = np.ones(len(names))
        chances = (1 - self.latest_share) * weights / weights.sum()
        chances[-1] += self.latest_share
        return chances

    def refresh(self) -> None:
        """Reads the index if it changed.

        Raises:
            ValueError: If it cannot be read.
        """
        path = self.folder / "index.json"
        try:
            status = path.stat()
        except FileNotFoundError:
            return
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen == self._index_seen:
            return
        try:
            index = json.loads(path.read_text())
            self.snapshots = {name: Snapshot(**entry) for name, entry in index["snapshots"].items()}
            self.elo = float(index["elo"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is no index of an opponent pool ({error!r}); restore it, or move the folder away to start anew"
            ) from error
        self._index_seen = seen
        self._players = {name: player for name, player in self._players.items() if name in self.snapshots}

    def _player(self, name: str) -> Opponent | None:
        """The snapshot as a player, loaded once; None, and a warning, if it cannot be."""
        if name not in self._players:
            try:
                self._players[name] = self._load(name)
            except Exception as error:  # whatever unpickling a damaged file may raise
                self._index_seen = None
                self.refresh()
                if name in self.snapshots:  # else it was deleted just now, in favour of a newer one
                    self.broken[name] = repr(error)
                    warnings.warn(f"{self.folder / name}.zip cannot be read and is not played: {error!r}", stacklevel=3)
                return None
        return self._players[name]

    def _load(self, name: str) -> Opponent:
        module, _, class_name = self.snapshots[name].algorithm.partition(":")
        algorithm = getattr(importlib.import_module(module), class_name)
        # Loading seeds every global generator with the model's seed and draws initial weights: not the learner's.
        with torch.random.fork_rng(devices=[]):
            unused = {"seed": None, "buffer_size": 1}
            model = algorithm.load(self.folder / f"{name}.zip", device="cpu", custom_objects=unused)
        return ModelOpponent(model, self.deterministic, name)

    # --- for the training

    def add(self, model: BaseAlgorithm) -> str:
        """Saves the learner as it is now, deletes the oldest snapshot if there are too many, and returns its name."""
        self.refresh()
        name = f"snapshot_{self._highest_number() + 1:04d}"
        buffer = io.BytesIO()
        model.save(buffer)
        _replace(self.folder / f"{name}.zip", buffer.getvalue())
        algorithm = f"{type(model).__module__}:{type(model).__qualname__}"
        self.snapshots[name] = Snapshot(algorithm, model.num_timesteps, self.elo)
        dropped = list(self.snapshots)[: -self.max_size]
        for old in dropped:
            del self.snapshots[old]
        self._write()
        for old in dropped:
            (self.folder / f"{old}.zip").unlink(missing_ok=True)
        return name

    def record(self, games: list[tuple[str, int]], k: float = 16.0) -> None:
        """Counts games of the learner, in the order in which they ended, for its rating and its win rates.

        Args:
            games: Name of the opponent and result (1, 0, -1) of each. One that is no snapshot is rated 1000.
            k: See :func:`updated_elo`.
        """
        self.refresh()
        for name, result in games:
            snapshot = self.snapshots.get(name)
            self.elo = updated_elo(self.elo, snapshot.elo if snapshot else INITIAL_ELO, result, k)
            if snapshot:
                snapshot.games = _FORGETTING * snapshot.games + 1.0
                snapshot.points = _FORGETTING * snapshot.points + (result + 1) / 2
        self._write()

    def _highest_number(self) -> int:
        """Of the files, too: one that the index does not know is not overwritten."""
        stems = {path.stem for path in self.folder.glob("snapshot_*.zip")} | set(self.snapshots)
        numbers = [stem.removeprefix("snapshot_") for stem in stems]
        return max((int(number) for number in numbers if number.isdecimal()), default=0)

    def _write(self) -> None:
        index = {"elo": self.elo, "snapshots": {name: asdict(entry) for name, entry in self.snapshots.items()}}
        _replace(self.folder / "index.json", json.dumps(index, indent=1).encode())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_players": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if multiprocessing.parent_process():  # an environment's worker: with a thread a core each, all wait for all
            torch.set_num_threads(1)


def _replace(path: Path, content: bytes) -> None:
    """Writes a file so that a reader, or a crash, sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)  # somebody may have moved the folder away
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)
