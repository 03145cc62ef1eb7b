"""The table over time: heatmaps with greedy arrows at several points of training, beside the exact solution."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import matplotlib
import numpy as np
import numpy.typing as npt
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from sb3_ext.envs.grid.figures import MOVES, greedy_strengths
from sb3_ext.envs.grid.films import animate_learning
from sb3_ext.envs.grid.map import GridMap
from sb3_ext.envs.grid.symbols import BROWN, GREEN, INK, PAPER, UNKNOWN, WALL, arrow_polygon
from sb3_ext.tabular import TabularMDP, value_iteration
from sb3_ext.tabular.planning import expected_return
from sb3_ext.zoo.pictures.measured import greedy_policy

Floats = npt.NDArray[np.float64]
Env = gym.Env[Any, Any] | str


class Plan(NamedTuple):
    """A world whose states are the cells of a grid, row by row (with a key to carry: twice, without and with it).

    Attributes:
        letters: As in ``GridMap``, [rows, columns].
        moves: (rows, columns) of each action, [A].
        mdp: The exact model.
        decides: Whether the agent can come to act in a state, bool [rows, columns]: not in walls and ends.
        n_layers: 2 with a key, one map below the other; else 1.
    """

    letters: npt.NDArray[np.str_]
    moves: tuple[tuple[int, int], ...]
    mdp: TabularMDP
    decides: npt.NDArray[np.bool_]
    n_layers: int


def read_plan(env: Env) -> Plan:
    """The plan of Gymnasium's FrozenLake and CliffWalking, and of our GridWorld.

    Raises:
        ValueError: For another environment.

    Example:
        >>> print(read_plan("FrozenLake-v1").letters[1], read_plan("CliffWalking-v1").decides[3, :2])
        ['.' 'H' '.' 'H'] [ True False]
    """
    inner = (gym.make(env) if isinstance(env, str) else env).unwrapped
    moves = MOVES[4]
    if isinstance(inner, FrozenLakeEnv):
        letters = np.where(inner.desc == b"F", b".", inner.desc).astype(str)
        moves = moves[::-1]  # left, down, right, up
    elif isinstance(inner, CliffWalkingEnv):
        letters = np.where(inner._cliff, "C", ".")
        letters[np.unravel_index(inner.start_state_index, inner.shape)], letters[-1, -1] = "S", "G"
    elif isinstance(getattr(inner, "grid_map", None), GridMap):
        letters = inner.grid_map.letters  # type: ignore[attr-defined]
        moves = MOVES[int(inner.action_space.n)]  # type: ignore[attr-defined]
    else:
        raise ValueError(f"only FrozenLake, CliffWalking and GridWorld can be drawn as a grid, got {inner}")
    mdp = TabularMDP.from_env(inner)
    n_layers = mdp.n_states // letters.size
    letters = np.tile(letters, (n_layers, 1))
    return Plan(letters, moves, mdp, _deciding(mdp).reshape(letters.shape), n_layers)


def _deciding(mdp: TabularMDP) -> npt.NDArray[np.bool_]:
    """The states in which an action is ever taken: those that can be reached, ends left out; bool [S]."""
    goes_on, reached = (mdp.probability > 0) & ~mdp.terminated, mdp.start > 0
    while True:
        further = reached.copy()
        further[mdp.next_state[reached][goes_on[reached]]] = True
        if (further == reached).all():
            return reached
        reached = further


def draw_q_table_evolution(
    snapshots: Mapping[int, npt.ArrayLike], env: Env, gamma: float = 0.99, title: str | None = None
) -> Figure:
    """The table at several points of training, and the exact one: colours and numbers are max_a Q, arrows the best a.

    Several arrows are equally good actions (within 1e-6). Below each panel is J, what an episode of its greedy policy
    earns on average (discounted; exactly computed). Grey cells are those where no action is ever taken.

    Args:
        snapshots: Environment steps -> Q(s, a) [S, A]; ``TableSnapshots.tables`` is one.
        env: The world, or its id: Gymnasium's FrozenLake or CliffWalking, or our GridWorld.
        gamma: Discount of the exact values and of J.
        title: Above all.

    Raises:
        ValueError: For another world, no snapshots, or a table of another shape.
    """
    plan = read_plan(env)
    tables = {f"after {step:,} steps" if step else "at first": _table(step, q, plan) for step, q in snapshots.items()}
    if not tables:
        raise ValueError("snapshots must hold at least one table, got none")
    solution = value_iteration(plan.mdp, gamma)
    policies = [*map(greedy_policy, tables.values()), solution.policy]
    tables["exact (value iteration)"] = solution.q_values
    seen = np.concatenate([table.max(axis=-1)[plan.decides.ravel()] for table in tables.values()])
    limits = float(seen.min()), float(seen.max())
    n_columns, cell = _arrange(len(tables), plan.letters.shape)
    n_rows = -(-len(tables) // n_columns)
    rows, columns = plan.letters.shape
    size = (n_columns * (columns * cell + 0.25) + 1, n_rows * (rows * cell + 0.6) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes, (label, table), policy in zip(grid.flat, tables.items(), policies, strict=False):
        image = _draw_table(axes, plan, table, limits, cell)
        exact = label.startswith("exact")
        axes.set_title(label, fontsize=10, fontweight="bold" if exact else None)
        axes.set_xlabel(_earned(expected_return(plan.mdp, policy, gamma), "J*" if exact else "J"))
    for axes in grid.flat[len(tables) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=grid, label=r"$\max_a Q(s, a)$", fraction=0.05, aspect=12 * n_rows, pad=0.01)
    figure.suptitle(title or "Action values and greedy actions while learning")
    return figure


def animate_q_table(path: str | Path, snapshots: Mapping[int, npt.ArrayLike], env: Env) -> Path:
    """A film (.gif or .mp4) of the table: the same as ``draw_q_table_evolution``, over time instead of side by side.

    Args:
        path: The file to write.
        snapshots: Environment steps -> Q(s, a) [S, A]; ``TableSnapshots.tables`` is one.
        env: The world, or its id: Gymnasium's FrozenLake or CliffWalking, or our GridWorld.

    Raises:
        ValueError: For another world, no snapshots, a table of another shape, or another ending.
    """
    plan = read_plan(env)
    order = [plan.moves.index(move) for move in MOVES[plan.mdp.n_actions]]
    tables = [_table(step, table, plan)[:, order] for step, table in snapshots.items()]
    tables = [np.where(plan.decides.reshape(-1, 1), table, np.nan) for table in tables]
    inner = (gym.make(env) if isinstance(env, str) else env).unwrapped
    grid = getattr(inner, "grid_map", None) or GridMap.from_text(["".join(row) for row in plan.letters.tolist()])
    captions = [f"after {step:,} steps" for step in snapshots]
    return animate_learning(path, grid, q_table=tables, captions=captions, cell_size=90)


def _table(step: int, table: npt.ArrayLike, plan: Plan) -> Floats:
    array, shape = np.asarray(table, dtype=np.float64), (plan.mdp.n_states, plan.mdp.n_actions)
    if array.shape != shape:
        raise ValueError(f"the table after {step} steps has the shape {list(array.shape)}, the world {list(shape)}")
    return array


def _arrange(n_panels: int, shape: tuple[int, ...]) -> tuple[int, float]:
    """How many panels side by side, and the side of a cell in inches, so that all fit on a page."""

    def side(n_columns: int) -> float:
        return min(13 / (n_columns * shape[1]), 8 / (-(-n_panels // n_columns) * shape[0]), 0.52)

    best = max(range(1, n_panels + 1), key=lambda n_columns: (side(n_columns), n_columns))
    return best, side(best)


def _earned(amount: float, name: str) -> str:
    if not np.isfinite(amount):
        return f"{name} = \N{MINUS SIGN}\N{INFINITY} (may never arrive)"
    return f"{name} = {amount:{'.3f' if abs(amount) < 10 else ',.1f'}}".replace("-", "\N{MINUS SIGN}")


def _draw_table(axes: Axes, plan: Plan, table: Floats, limits: tuple[float, float], cell: float) -> AxesImage:
    """One panel: the heatmap, its numbers where they can be read, the greedy arrows, what lies in the other cells."""
    values = np.where(plan.decides, table.max(axis=-1).reshape(plan.letters.shape), np.nan)
    colormap = matplotlib.colormaps["viridis"].with_extremes(bad=UNKNOWN)
    image = axes.imshow(values, cmap=colormap, vmin=limits[0], vmax=limits[1])
    dark = np.nan_to_num((values - limits[0]) / max(limits[1] - limits[0], 1e-12), nan=1.0) < 0.6
    numbers = cell >= 0.4
    strengths = greedy_strengths(table).reshape(*plan.letters.shape, -1)
    outlines, inks = [], []
    for row, column in np.argwhere(plan.decides).tolist():
        ink = PAPER if dark[row, column] else INK
        if numbers:
            text, size = _short(values[row, column]), cell * 15
            axes.text(column, row + 0.33, text, color=ink, fontsize=size, ha="center", va="center")
        chosen = [move for move, strength in zip(plan.moves, strengths[row, column], strict=True) if strength]
        middle = np.array([column, row - (0.14 if numbers else 0.0)])
        outlines += [middle + 0.8 * np.array(_outline(move, len(chosen) == 1)) for move in chosen]
        inks += [ink] * len(chosen)
    axes.add_collection(PolyCollection(outlines, facecolors=inks, linewidths=0), autolim=False)
    draw_letters(axes, plan, cell)
    return image


def _short(value: float) -> str:
    """A number in at most five characters."""
    text = f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}" if abs(value) < 99.95 else f"{value:.0f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _outline(move: tuple[int, int], alone: bool) -> list[tuple[float, float]]:
    """An arrow of a cell of side 1 around (0, 0); a small square for the action that stays."""
    if move == (0, 0):
        return [(-0.1, -0.1), (0.1, -0.1), (0.1, 0.1), (-0.1, 0.1)]
    return arrow_polygon(move, -0.34, 0.36, 0.11) if alone else arrow_polygon(move, 0.05, 0.44, 0.09)


_LOOKS = {"#": (WALL, ""), "H": (INK, "hole"), "C": (BROWN, "cliff"), "G": (GREEN, "goal")}


def draw_letters(axes: Axes, plan: Plan, cell: float) -> None:
    """Walls, ends and the cliff as filled cells, with their names or their letters; a small S at the start."""
    rows, columns = plan.letters.shape
    squares, colors = [], []
    for (row, column), letter in np.ndenumerate(plan.letters):
        if letter in _LOOKS and not plan.decides[row, column]:
            color, name = _LOOKS[letter]
            squares.append([(column + x, row + y) for x, y in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))])
            colors.append(color)
            text = name if cell >= 0.4 else letter.strip("#")
            axes.text(column, row, text, color=PAPER, fontsize=cell * 18, ha="center", va="center")
        elif letter not in (".", "#"):
            ink: dict[str, Any] = {"color": INK, "fontsize": cell * 13, "fontweight": "bold"}
            plate = {"boxstyle": "round,pad=0.12", "facecolor": PAPER, "linewidth": 0}
            axes.text(column - 0.39, row - 0.38, letter, ha="center", va="center", bbox=plate, **ink)
    axes.add_collection(PolyCollection(squares, facecolors=colors, linewidths=0), autolim=False)
    axes.set_xticks([])  # where a major tick is, there would be no line
    axes.set_yticks([])
    axes.set_xticks(np.arange(columns + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=PAPER, linewidth=0.8)
    axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
    if plan.n_layers == 2:
        places = [(rows - 2) / 4, (3 * rows - 2) / 4]
        axes.set_yticks(places, ["without the key", "with the key"], rotation=90, va="center", fontsize=8)
        axes.tick_params(axis="y", which="major", labelleft=True)
        axes.axhline(rows / 2 - 0.5, color=PAPER, linewidth=5)
