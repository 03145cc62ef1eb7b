"""``sb3-ext doctor`` and ``DoctorCallback``: what is wrong with an environment, an algorithm or a training.

    signs.py        the warning signs of a training, in signs_of_*.py: small functions of its record, with thresholds
    finding.py      what a sign is, and what is found
    record.py       what is known of a training: numbers over time
    callback.py     fills a record while an algorithm trains
    probes.py       what it looks at beyond the logs: weights, gradients, values, advantages
    logs.py         fills records from progress.csv, monitor.csv and TensorBoard
    environment.py  examines an environment; replay.py: plays the same again
    ladder.py       examines an algorithm: one transition, two, a trivial world, a known one
    worlds.py       the worlds that this takes; ladder_settings.py: how each algorithm climbs
    faults.py       trainings with planted faults, environment_faults.py: environments; healthy.py: both without
    self_check.py   which of these faults are found, and how many false alarms there are
    cost.py         what share of a training the callback takes
    report.py       findings in the terminal
    command.py      the command line

``DoctorCallback`` and ``Finding`` are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_ext.zoo.doctor.callback import DoctorCallback
    from sb3_ext.zoo.doctor.finding import Finding

__all__ = ["DoctorCallback", "Finding", "main"]

_HOME_OF = {"DoctorCallback": "sb3_ext.zoo.doctor.callback", "Finding": "sb3_ext.zoo.doctor.finding"}


def main(arguments: list[str]) -> int:
    """``sb3-ext doctor``, see ``command.py``."""
    from sb3_ext.zoo.doctor import command

    return command.main(arguments)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME_OF[name]), name)
