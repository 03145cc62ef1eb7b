"""``group_advantages``: returns measured against those of the same group."""

from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_ext import common
from sb3_ext.zoo.check.exercise import Case, Exercise, Floats, Outcome, Slips, generator

LARGEST_EPSILON = 1e-4  # added to the standard deviation; a larger one changes the result

MISTAKES = {
    "nan-where-equal": "divides by 0 where all returns of a group are equal: the advantage is 0 there",
    "nan-where-equal/n": "",
    "std-over-all": "divides by the standard deviation of the whole batch: each group has its own",
    "std-over-all/n": "",
    "mean-over-all": "subtracts the mean of the whole batch: each group has its own",
    "mean-over-all/n": "",
    "whole-batch": "normalises over the whole batch: mean and standard deviation are those of each group",
    "whole-batch/n": "",
    "no-division": "forgot to divide by the standard deviation",
    "wrong-axis": "goes over the wrong axis: it compares the first members of all groups, then the second, ...",
    "wrong-axis/n": "",
    "std-wrong-axis": "takes the standard deviation over the wrong axis: over the groups, not within each",
    "std-wrong-axis/n": "",
    "mean-wrong-axis": "takes the mean over the wrong axis: over the groups, not within each",
    "mean-wrong-axis/n": "",
    "variance": "divides by the variance, not by its root",
    "variance/n": "",
    "multiplied": "multiplies with the standard deviation where it should divide",
    "multiplied/n": "",
    "no-mean": "forgot to subtract the mean",
    "no-mean/n": "",
    "median": "subtracts the median where it should subtract the mean",
    "median/n": "",
    "best-as-baseline": "subtracts the best return of the group where it should subtract the mean",
    "best-as-baseline/n": "",
    "leave-one-out": "leaves the member's own return out of the mean",
    "leave-one-out/n": "",
    "range": "divides by the range, highest minus lowest, where it should divide by the standard deviation",
    "absolute-deviation": "divides by the mean absolute deviation where it should divide by the standard deviation",
    "divided-by-mean": "divides by the mean where it should divide by the standard deviation",
    "root-of-std": "takes the root twice: of the standard deviation",
    "root-of-std/n": "",
    "epsilon-too-large/0.001": "adds too much to the standard deviation: 1e-4 or less keeps a division by 0 away",
    **{f"epsilon-too-large/{number}": "" for number in ("0.01", "0.1", "1", "0.001/n", "0.01/n", "0.1/n", "1/n")},
    "absolute": "loses the sign of the advantages",
    "absolute/n": "",
    "sign": "has the wrong sign: a return above the mean is an advantage",
    "sign/n": "",
    "centred-on-0-to-1": "scales to 0 for the worst and 1 for the best of the group",
    "ranks": "takes the place in the group, not the return",
}


def group_with(slips: Slips, returns: Floats) -> Any:
    """(G - mean) / std within each group; 0 where all are equal."""
    plain = {slip.removesuffix("/n") for slip in slips}
    ddof = 0 if any(slip.endswith("/n") for slip in slips) else 1
    mean = returns.mean(axis=0 if plain & {"wrong-axis", "mean-wrong-axis"} else 1, keepdims=True)
    mean = np.full_like(mean, returns.mean()) if plain & {"mean-over-all", "whole-batch"} else mean
    std = returns.std(axis=0 if plain & {"wrong-axis", "std-wrong-axis"} else 1, ddof=ddof, keepdims=True)
    std = np.full_like(std, returns.std(ddof=ddof)) if plain & {"std-over-all", "whole-batch"} else std
    deviations = returns - _baseline(plain, returns, mean)
    scale = _scale(plain, returns, mean, std)
    safe = scale if "nan-where-equal" in plain else scale + _epsilon(plain)
    advantages = deviations * scale if "multiplied" in plain else deviations / safe
    if plain & {"centred-on-0-to-1", "ranks"}:
        lowest = returns.min(axis=1, keepdims=True)
        places = (returns[:, :, None] > returns[:, None, :]).sum(axis=2).astype(np.float64)
        return places if "ranks" in plain else (returns - lowest) / (np.ptp(returns, axis=1, keepdims=True) + 1e-8)
    advantages = np.abs(advantages) if "absolute" in plain else advantages
    return -advantages if "sign" in plain else advantages


def _baseline(plain: set[str], returns: Floats, mean: Floats) -> Floats:
    n = returns.shape[1]
    others = {
        "no-mean": np.zeros_like(mean),
        "median": np.median(returns, axis=1, keepdims=True),
        "best-as-baseline": returns.max(axis=1, keepdims=True),
        "leave-one-out": (n * mean - returns) / max(n - 1, 1),
    }
    return next((value for slip, value in others.items() if slip in plain), mean)


def _scale(plain: set[str], returns: Floats, mean: Floats, std: Floats) -> Floats:
    others = {
        "no-division": np.ones_like(std),
        "variance": std**2,
        "range": np.ptp(returns, axis=1, keepdims=True),
        "absolute-deviation": np.abs(returns - mean).mean(axis=1, keepdims=True),
        "divided-by-mean": mean,
        "root-of-std": np.sqrt(std),
    }
    return next((value for slip, value in others.items() if slip in plain), std)


def _epsilon(plain: set[str]) -> float:
    large = [slip for slip in plain if slip.startswith("epsilon-too-large")]
    return float(large[0].split("/")[1]) if large else 1e-8


def is_right(outcome: Outcome, case: Case) -> bool:
    """Whether advantages are right for one form of the standard deviation and a small number added to it."""
    returns, advantages = case.arguments["returns"], outcome.parts["result"]
    if advantages.shape != returns.shape or not np.isfinite(advantages).all():
        return False
    deviations = returns - returns.mean(axis=1, keepdims=True)
    equal = np.ptp(returns, axis=1) == 0
    if np.abs(advantages[equal]).max(initial=0.0) > LARGEST_EPSILON:
        return False
    return any(_within(advantages[~equal], deviations[~equal], ddof) for ddof in (0, 1))


def _within(advantages: Floats, deviations: Floats, ddof: int) -> bool:
    """Whether the advantages lie between those for the smallest and for the largest number that may be added."""
    std = np.sqrt((deviations**2).sum(axis=1, keepdims=True) / (deviations.shape[1] - ddof))
    highest, lowest = np.abs(deviations / std), np.abs(deviations / (std + LARGEST_EPSILON))
    sizes = np.abs(advantages)
    signed = (np.sign(advantages) == np.sign(deviations)) | (sizes < 1e-5)
    return bool((signed & (sizes <= highest + 1e-5) & (sizes >= lowest - 1e-5)).all())


def _cases() -> list[Case]:
    rng = generator("group_advantages")

    def case(name: str, returns: npt.ArrayLike, **known: npt.ArrayLike) -> Case:
        return Case(name, {"returns": np.array(returns, np.float64)}, known=known)

    def drawn(n_groups: int, n_members: int) -> Case:
        means = rng.normal(0.0, 8.0, size=(n_groups, 1))
        spreads = rng.uniform(1.0, 6.0, size=(n_groups, 1))
        returns = (means + spreads * rng.normal(size=(n_groups, n_members))).round(1)
        return case(f"random, {n_groups} groups of {n_members}", returns)

    root = 0.5**0.5
    return [
        case("two groups of two", [[1, 3], [10, 30]], result=[[-root, root], [-root, root]]),
        case("one group", [[0, 3, 6]], result=[[-1, 0, 1]]),
        case("a group whose returns are equal", [[1, 3], [5, 5]], result=[[-root, root], [0, 0]]),
        case("all groups equal, at different heights", [[2, 2], [4, 4]], result=[[0, 0], [0, 0]]),
        case("one group, all equal", [[1, 1, 1, 1]], result=[[0, 0, 0, 0]]),
        case("all 0", [[0, 0], [0, 0]], result=[[0, 0], [0, 0]]),
        case("one success in a group", [[0, 0, 0, 4], [0, 4, 4, 4]], 
             result=[[-0.5, -0.5, -0.5, 1.5], [-1.5, 0.5, 0.5, 0.5]]),
        case("one success among 16", [[0] * 15 + [1]], result=[[-0.25] * 15 + [3.75]]),
        case("negative returns", [[-200, -100, -150], [-20, -21, -25]]),
        case("groups of very different spread", [[1, 2, 3], [100, 500, 900], [-7, -7, -7]]),
        *(drawn(*shape) for shape in ((2, 4), (3, 3), (4, 8), (8, 2), (1, 6), (5, 16))),
    ]  # fmt: skip


def _reference(returns: Floats) -> Any:
    return common.group_relative_advantages(returns, epsilon=1e-8)


EXERCISES = (Exercise("group_advantages", _reference, group_with, MISTAKES, _cases, tolerance=2e-4, accepts=is_right),)
