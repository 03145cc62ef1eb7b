"""Which runs belong together, and what speaks against comparing them."""

from collections.abc import Callable, Mapping, Sequence

from sb3_ext.zoo.plot.readers import EPISODES, EVALUATIONS, Log
from sb3_ext.zoo.plot.runs import Run

Groups = dict[str, dict[str, list[Run]]]
"""environment, label"""


def grouped(runs: Sequence[Run], label: Callable[[Run], str], problems: list[str]) -> Groups:
    """Runs by environment and label, sorted by name; says which are missing, or may not belong together."""
    groups: Groups = {}
    for run in sorted(runs, key=lambda run: (run.env, label(run), len(run.name), run.name, str(run.place))):
        groups.setdefault(run.env, {}).setdefault(label(run), []).append(run)
    labels = labels_of(groups)
    few = [f"{name} on {env}" for env, by_label in groups.items() for name, group in by_label.items() if len(group) < 3]
    if few:
        problems.append(f"too few runs to say how sure a score is, take at least 5: {', '.join(few)}")
    for env, by_label in groups.items():
        problems += [f"{name} has no run on {env}" for name in labels if name not in by_label]
        largest = max(by_label.values(), key=len)
        for name, group in by_label.items():
            if len(group) < len(largest):
                which = _missing(group, largest)
                problems.append(f"{name} on {env}: {_count(len(group))} where others have {len(largest)}{which}")
            algos = sorted({run.algo for run in group})
            twice = sorted({run.name for run in group if [each.name for each in group].count(run.name) > 1})
            if len(algos) > 1:
                problems.append(f"{name} on {env}: runs of {', '.join(algos)} are taken together")
            elif twice:
                problems.append(f"{name} on {env}: more than one {twice[0]}, taken for different runs of the same; "
                                "if they are not, give their folders one by one and --by folder")  # fmt: skip
        for what, kinds in (("scores", kinds_of(by_label, lambda log: log.scored_by)),
                            ("curves", kinds_of(by_label, lambda log: log.drawn))):  # fmt: skip
            if kinds not in (EPISODES, EVALUATIONS):
                problems.append(f"{env}: some {what} are of evaluations, others of training episodes, which explore")
    return groups


def labels_of(groups: Groups) -> list[str]:
    """Every label, sorted."""
    return sorted({name for by_label in groups.values() for name in by_label})


def kinds_of(by_label: Mapping[str, Sequence[Run]], kind: Callable[[Log], str]) -> str:
    """``EPISODES``, ``EVALUATIONS``, or both."""
    return " or ".join(sorted({kind(run.log) for group in by_label.values() for run in group}))


def _missing(group: Sequence[Run], largest: Sequence[Run]) -> str:
    """Which runs of the largest group another one has not; nothing if its runs are called otherwise."""
    names = [run.name for run in largest if run.name not in {each.name for each in group}]
    if len(names) != len(largest) - len(group):
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return f": {', '.join(names[: 3 if more else 4])}{more} missing"


def _count(n_runs: int) -> str:
    return "1 run" if n_runs == 1 else f"{n_runs} runs"
