"""What is known of a training: numbers over environment steps, under SB3's names and some more.

Beside what SB3 logs (``train/loss``, ``rollout/ep_rew_mean``, ...) a record may hold

    episode/return, episode/length             one point for each episode that was seen
    episode/raw_return, episode/shaped_return  likewise, where ``RewardTerms`` report them
    doctor/...                                 what only a running training shows, see ``probes.py``
    nonfinite/...                              where something was NaN or infinite

A log has fewer of them than a running training. Signs say nothing about what is missing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Series(NamedTuple):
    """A number over time."""

    steps: list[float]
    """environment steps so far, in order"""
    values: list[float]


@dataclass
class Record:
    """A training.

    Attributes:
        n_timesteps: environment steps that it is to take; of a log, those that it took.
        series: by name.
        facts: what does not change, by name: ``gamma``, ``target_update_interval``, ...
    """

    n_timesteps: int = 0
    series: dict[str, Series] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def add(self, step: float, values: Mapping[str, float]) -> None:
        """Note values at one time, not before the latest."""
        for name, value in values.items():
            if name not in self.series:
                self.series[name] = Series([], [])
            self.series[name].steps.append(step)
            self.series[name].values.append(float(value))

    def __contains__(self, name: str) -> bool:
        return name in self.series

    def points(self, name: str, since: float = 0.0) -> tuple[Floats, Floats]:
        """Steps and finite values of a series, each [n].

        Args:
            name: of the series; one that is not there is empty.
            since: share of the training so far, from 0 to 1, from which on points count.

        Example:
            >>> record = Record(100)
            >>> for step in (10, 20, 30, 40):
            ...     record.add(step, {"train/loss": step / 10})
            >>> record.points("train/loss", since=0.5)[1].tolist()
            [2.0, 3.0, 4.0]
        """
        if name not in self.series:
            return np.empty(0), np.empty(0)
        steps, values = self.series[name]
        low = bisect_left(steps, since * self.last_step) if since > 0 else 0
        part = np.array([steps[low:], values[low:]], dtype=float)
        part = part[:, np.isfinite(part[1])]
        return part[0], part[1]

    def values(self, name: str, since: float = 0.0) -> Floats:
        """As :meth:`points`, without the steps."""
        return self.points(name, since)[1]

    def episodes(self, what: str) -> Floats:
        """The "return" or the "length" of each episode; where a log has no episodes, their running means."""
        if f"episode/{what}" in self:
            return self.values(f"episode/{what}")
        return self.values({"return": "rollout/ep_rew_mean", "length": "rollout/ep_len_mean"}[what])

    @property
    def learns_by_gradient(self) -> bool:
        """Whether it is a network that is trained: tables have no loss."""
        return any(
            name in self for name in ("train/loss", "train/value_loss", "train/critic_loss", "train/policy_loss")
        )

    @property
    def last_step(self) -> float:
        """The latest step of any series."""
        return max((series.steps[-1] for series in self.series.values()), default=0.0)

    @property
    def progress(self) -> float:
        """Share of the training that is done, from 0 to 1."""
        return min(self.last_step / max(self.n_timesteps, 1), 1.0)

    def until(self, step: float) -> "Record":
        """The record as it was at a step."""
        cut = {}
        for name, (steps, values) in self.series.items():
            n = bisect_right(steps, step)
            if n:
                cut[name] = Series(steps[:n], values[:n])
        return Record(self.n_timesteps, cut, self.facts)


def first_and_last(values: Floats) -> tuple[Floats, Floats]:
    """The first tenth and the last quarter, at least ten of each."""
    return values[: max(len(values) // 10, 10)], values[-max(len(values) // 4, 10) :]
