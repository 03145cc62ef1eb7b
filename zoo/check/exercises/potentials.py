"""``potential``: graded by what it does, as many numbers are right: higher where the goal is nearer.

The world is four rooms (``sb3_ext/FourRooms-v0``), 13 cells wide, start at (1, 1), goal at (11, 11). Two cells are
compared only where all of them agree which one is nearer: steps to walk, and the distance as a crow flies, as a rook
counts and as a king does.
"""

from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from sb3_ext.zoo.check.exercise import Case, Exercise, Floats, Function, Outcome, Problem, Slips, as_number

WIDTH, START, GOAL = 13, (1, 1), (11, 11)
OFTEN = 0.3  # the share of comparisons in which it has to be higher, not just equal
KINDS = ("goal", "coordinates", "one_hot", "index")  # of observations; the function may take any

MISTAKES = {
    "constant": "is the same everywhere: it says nothing about where the goal is",
    "only-at-the-goal": "is the same everywhere but at the goal: it does not show the way there",
    "higher-farther": "has the wrong sign: it is higher where the goal is farther away",
    "number-of-the-cell": "takes the number of the cell for its place: row and column are divmod(observation, 13)",
    "one-coordinate": "looks at the row or the column alone: the distance has both",
    "one-coordinate/column": "",
    "wrong-width": "divides the number of the cell by another width than 13",
    **{f"wrong-width/{width}": "" for width in (10, 12, 14)},
    "another-goal": "measures the distance to another place than the goal, which is at row 11, column 11",
    **{f"another-goal/{row},{column}": "" for row, column in ((11, 1), (1, 11), (10, 10), (10, 11), (11, 10))},
    "not-monotone": "is not higher everywhere where the goal is nearer",
}


def potential_with(slips: Slips, observation: Any) -> float:
    """Minus the steps to the goal, walls left aside."""
    width = next((_numbers(slip)[0] for slip in slips if slip.startswith("wrong-width/")), WIDTH)
    width = 11 if "wrong-width" in slips else width
    row, column = divmod(int(observation), width)
    goal = next((_numbers(slip) for slip in slips if slip.startswith("another-goal/")), GOAL)
    goal = (6, 6) if "another-goal" in slips else goal
    by_row, by_column = abs(row - goal[0]), abs(column - goal[1])
    others = {
        "constant": 1.0, "only-at-the-goal": float((row, column) == goal), "higher-farther": by_row + by_column,
        "number-of-the-cell": row * WIDTH + column, "one-coordinate": -by_row, "one-coordinate/column": -by_column,
        "not-monotone": np.sin(3.0 * row + 5.0 * column),
    }  # fmt: skip
    return next((float(value) for slip, value in others.items() if slip in slips), float(-by_row - by_column))


def _numbers(slip: str) -> Any:
    return [int(number) for number in slip.partition("/")[2].split(",")]


@cache
def world() -> Any:
    """Cells that are free [n] (as states), the steps from each to the goal [S], and observations of each kind [S]."""
    from sb3_ext.envs import GridWorld
    from sb3_ext.envs.wrappers.potentials import steps_to_goal

    env = GridWorld("FourRooms")
    rows = env.grid_map.to_text().splitlines()
    free = [row * WIDTH + column for row, line in enumerate(rows) for column, cell in enumerate(line)
            if cell != "#"]  # fmt: skip
    states = np.arange(env.mdp.n_states)
    observed = {kind: GridWorld("FourRooms", observation=kind).observe(states) for kind in KINDS}
    return np.array(free), steps_to_goal(env.mdp), observed


def observation(kind: str, state: int) -> Any:
    """What is seen in a state."""
    many = world()[2][kind]
    if isinstance(many, dict):
        return {name: part[state].copy() for name, part in many.items()}
    return int(many[state]) if kind == "index" else many[state].copy()


def values_of(function: Function, kind: str) -> Floats:
    """Phi of each free cell.

    Raises:
        Problem: if it is no finite number, or another when asked again.
    """
    free, values = world()[0], {}
    for state in free:
        values[state] = as_number(function(observation(kind, state)))
        if not np.isfinite(values[state]):
            raise Problem("not-finite", f"is {values[state]} in cell {divmod(int(state), WIDTH)}")
    for state in free[::-1]:
        if as_number(function(observation(kind, state))) != values[state]:
            raise Problem(
                "not-repeatable", "gives another number when asked again in the same cell: it is random, or changes"
            )
    return np.array(list(values.values()))


@cache
def pairs() -> npt.NDArray[np.int64]:
    """Pairs of free cells, the second of which is nearer to the goal by every measure, [P, 2]; the goal left out."""
    free, steps, _ = world()
    row, column = np.abs(np.divmod(free, WIDTH) - np.array(GOAL)[:, None])
    measures = np.stack([steps[free], row + column, np.hypot(row, column), np.maximum(row, column)])
    nearer = np.asarray((measures[:, None, :] < measures[:, :, None]).all(axis=0))
    goal = np.flatnonzero(free == GOAL[0] * WIDTH + GOAL[1])
    nearer[:, goal] = nearer[goal, :] = False
    return np.argwhere(nearer)


def play(which: str, function: Function) -> Outcome:
    """Whether the nearer cell is higher, in each pair."""
    return _compare(which, values_of(function, kind_of(function)))


def kind_of(function: Function) -> str:
    """The kind of observation that the function takes.

    A function that works with coordinates may also give numbers, but nonsense, for the number of a cell. So that kind
    is taken for which it is right, else the first for which it gives numbers.

    Raises:
        Exception: what the function raises, if it gives numbers for none.
    """
    tried: dict[str, Floats] = {}
    errors: list[Exception] = []
    for kind in KINDS:
        try:
            tried[kind] = values_of(function, kind)
        except NotImplementedError:
            raise
        except Exception as error:
            errors.append(error)
    if not tried:
        raise next((error for error in errors if _tells_something(error)), errors[-1])
    right = [kind for kind, values in tried.items() if is_right(_compare("every pair of cells", values))]
    return (right or list(tried))[0]


def _tells_something(error: Exception) -> bool:
    """Whether it comes from the numbers, not from an observation of a kind that the function was not written for."""
    return isinstance(error, ArithmeticError) or getattr(error, "id", "") in ("not-finite", "not-repeatable")


def _compare(which: str, values: Floats) -> Outcome:
    free, steps, _ = world()
    chosen = pairs()[_chosen(which)]
    higher = _higher(values[chosen[:, 1]], values[chosen[:, 0]])
    goal = GOAL[0] * WIDTH + GOAL[1]
    others, at = values[free != goal], int(np.flatnonzero(free == goal)[0])
    beside = np.flatnonzero(np.maximum(*np.abs(np.subtract(np.divmod(free, WIDTH), np.array(GOAL)[:, None]))) == 1)
    highest = int(beside[values[beside].argmax()])
    lower = values[at] != 0 and _higher(values[at], values[highest]) < 0  # 0 is what the goal, being terminal, may have
    at_goal = float(np.ptp(others) == 0 and np.ptp(values) > 0)
    worst = np.array([highest, at]) if lower and higher.min() >= 0 else chosen[int(np.argmin(higher))]
    shown = {
        f"cell {divmod(int(free[cell]), WIDTH)}, {steps[free[cell]]:g} steps from the goal": float(values[cell])
        for cell in worst
    }
    parts = {"result": higher, "only at the goal": np.array(at_goal), "lower at the goal": np.array(float(lower))}
    return Outcome(parts, shown=shown)


def _higher(values: Any, others: Any) -> Any:
    """1 where a value is higher than the other, -1 where it is lower, 0 where both are equal but for rounding."""
    difference = values - others
    return np.where(np.abs(difference) > 1e-9 * np.maximum(np.abs(values), np.abs(others)), np.sign(difference), 0.0)


def _chosen(which: str) -> npt.NDArray[np.bool_]:
    rows, columns = np.divmod(world()[0][pairs()], WIDTH)
    in_first, in_last = (rows < 6) & (columns < 6), (rows > 7) & (columns > 6)
    apart = (np.abs(rows[:, 0] - rows[:, 1]) + np.abs(columns[:, 0] - columns[:, 1])) == 1
    return {
        "every pair of cells": np.ones(len(rows), np.bool_),
        "neighbours": apart,
        "in the room of the goal": in_last.all(axis=1),
        "in the room of the start": in_first.all(axis=1),
        "from the start's room to the goal's": in_first[:, 0] & in_last[:, 1],
    }[which]


def is_right(outcome: Outcome, case: Case | None = None) -> bool:
    """Never lower where the goal is nearer, and often enough higher; not lower at the goal than beside it."""
    higher = outcome.parts["result"]
    return bool((higher >= 0).all() and (higher > 0).mean() > OFTEN and not outcome.parts["lower at the goal"])


def _cases() -> list[Case]:
    names = ("neighbours", "in the room of the goal", "in the room of the start", "from the start's room to the goal's",
             "every pair of cells")  # fmt: skip
    what = "higher in the cell that is nearer to the goal (11, 11) of FourRooms; observation = 13 * row + column"
    wanted = "a higher number in the second cell"
    return [Case(name, {"what": what}, play=partial(play, name), wanted=wanted) for name in names]


EXERCISES = (
    Exercise("potential", partial(potential_with, frozenset()), potential_with, MISTAKES, _cases, accepts=is_right),
)
