"""Pictures of tabular learning: each a function that returns a Matplotlib figure, from arrays or from a model.

    draw_q_table_evolution             the table as a heatmap with greedy arrows, over training, beside the exact one
    draw_learning_curves               mean or median over seeds, in a confidence band
    draw_cliff_paths                   Sutton & Barto's Example 6.6: SARSA's safe path and Q-learning's along the edge
    draw_learning_rates_and_discounts  what alpha and gamma are worth on FrozenLake, seed by seed

What is drawn comes from ``TableSnapshots`` (a callback), ``cliff_runs`` and ``learning_rates_and_discounts`` (which
measure); success rates are computed by ``return_within``, not simulated. ``sb3-ext lab`` writes all of them.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import gymnasium as gym
import matplotlib
import numpy as np
import numpy.typing as npt
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.envs.grid.figures import MOVES, greedy_strengths
from sb3_ext.envs.grid.films import animate_learning
from sb3_ext.envs.grid.map import GridMap
from sb3_ext.envs.grid.symbols import BLUE, BROWN, GREEN, INK, PAPER, UNKNOWN, VERMILLION, WALL, arrow_polygon
from sb3_ext.tabular import SARSA, QLearning, Sweep, TabularMDP, TabularPolicy, sweep, value_iteration
from sb3_ext.tabular.algorithm import TabularAlgorithm, whole_number
from sb3_ext.tabular.planning import expected_return

Floats = npt.NDArray[np.float64]
Env = gym.Env[Any, Any] | str

LEARNING_RATES: tuple[float | str, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, "lin_1/N^0.5")
DISCOUNTS = (0.5, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)
ASKED = 0.7  # success rate on FrozenLake: Gymnasium's threshold, and what lab D.1 asks for
CLIFF: dict[str, Any] = {"learning_rate": 0.5, "exploration": 0.1, "initial_value": 0.0, "gamma": 1.0}  # of Example 6.6
CURVE_POINTS = 300  # at which a learning curve is drawn, at most
N_RESAMPLED = 2000


# ---- What is measured -----------------------------------------------------------------------------------------------


class TableSnapshots(BaseCallback):
    """Copies the table of a tabular algorithm at given points of its training; it sleeps between them.

    The compiled engine plays on while it sleeps (``callback_schedule.py``), and learns what it would without it.

    Args:
        at: Environment steps; 0 is before anything is learned. With several environments, the first step at or after
            each; what a training does not come to is left out.

    Attributes:
        tables: Environment steps -> Q(s, a) [S, A], in this order. A training that begins at 0 begins it anew.

    Raises:
        ValueError: If ``at`` is empty or has a number below 0; when training starts, if the algorithm has no table.

    Example:
        >>> snapshots = TableSnapshots([0, 100])
        >>> _ = QLearning("TabularPolicy", "FrozenLake-v1", engine="step", seed=0).learn(150, snapshots)
        >>> list(snapshots.tables), snapshots.tables[100].shape
        ([0, 100], (16, 4))
    """

    def __init__(self, at: Sequence[int]) -> None:
        super().__init__()
        self.at = sorted({whole_number("at", timestep, at_least=0) for timestep in at})
        if not self.at:
            raise ValueError("at must name at least one time step, got none")
        self.tables: dict[int, Floats] = {}
        self._left: list[int] = []

    def calls_until_due(self) -> float:
        """After how many further calls it must be called."""
        if not self._left:
            return math.inf
        return max(-(-(self._left[0] - self.model.num_timesteps) // self.training_env.num_envs), 1)

    def _on_training_start(self) -> None:
        if not isinstance(self.model.policy, TabularPolicy):
            raise ValueError(f"TableSnapshots needs a tabular algorithm, {type(self.model).__name__} has no table")
        if self.model.num_timesteps == 0:
            self.tables = {}
        self._left = [timestep for timestep in self.at if timestep >= self.model.num_timesteps]
        self._take()

    def _on_step(self) -> bool:
        self._take()
        return True

    def _take(self) -> None:
        now = self.model.num_timesteps
        if self._left and self._left[0] <= now:
            policy = self.model.policy
            assert isinstance(policy, TabularPolicy)
            self.tables[now] = policy.q_table
            self._left = [timestep for timestep in self._left if timestep > now]


def greedy_policy(q_tables: npt.ArrayLike) -> Floats:
    """Pi(a | s) [..., S, A] that takes the best action; where several are equally good, to the last bit, each alike.

    Example:
        >>> greedy_policy([[0.0, 1.0], [1.0, 1.0]])
        array([[0. , 1. ],
               [0.5, 0.5]])
    """
    array = np.asarray(q_tables, dtype=np.float64)
    best = array == array.max(axis=-1, keepdims=True)
    return best / best.sum(axis=-1, keepdims=True)


def return_within(mdp: TabularMDP, n_steps: int, policies: npt.ArrayLike | None = None) -> npt.NDArray[np.float64]:
    """The expected undiscounted return of an episode that is cut off after ``n_steps``, exactly.

    Dynamic programming backwards, from no steps left to all: v_k(s) = sum_a pi(a|s) sum p(s', r | s, a) [r + v_j(s')],
    j = k - 1. Where success is worth 1 and nothing else is rewarded, as on FrozenLake, it is the success rate.

    Args:
        mdp: The world.
        n_steps: Its time limit, at least 0.
        policies: Probabilities [..., S, A]; None is the best one, which may look at the time left.

    Returns:
        [...], a number for each policy.

    Raises:
        ValueError: If the policies do not fit the world.

    Example:
        >>> mdp = TabularMDP.from_env(gym.make("FrozenLake-v1"))
        >>> uniform = np.full((16, 4), 0.25)
        >>> round(float(return_within(mdp, 100)), 4), round(float(return_within(mdp, 100, uniform)), 4)
        (0.7442, 0.0139)
    """
    chances = None if policies is None else np.asarray(policies, dtype=np.float64)
    if chances is not None and chances.shape[-2:] != (mdp.n_states, mdp.n_actions):
        raise ValueError(f"policies must be [..., {mdp.n_states}, {mdp.n_actions}], got {list(chances.shape)}")
    going_on = mdp.probability * ~mdp.terminated
    values = np.zeros((() if chances is None else chances.shape[:-2]) + (mdp.n_states,))
    for _ in range(whole_number("n_steps", n_steps, at_least=0)):
        q_values = mdp.expected_reward + (going_on * values[..., mdp.next_state]).sum(axis=-1)
        values = q_values.max(axis=-1) if chances is None else (chances * q_values).sum(axis=-1)
    return values @ mdp.start


def cliff_runs(n_runs: int = 100, n_episodes: int = 500, n_threads: int | None = None) -> dict[str, Sweep]:
    """SARSA and Q-learning on CliffWalking-v1 as in Example 6.6: alpha 0.5, epsilon 0.1, Q = 0 at first.

    Args:
        n_runs: Seeds of each: 0, 1, ...
        n_episodes: Episodes of each.
        n_threads: Runs at the same time; by default as many as there are CPUs.
    """
    run: dict[str, Any] = {"seeds": n_runs, "n_episodes": n_episodes, "n_threads": n_threads, "progress_bar": False}
    return {
        name: sweep(algorithm, "CliffWalking-v1", **run, **CLIFF)
        for name, algorithm in (("SARSA", SARSA), ("Q-learning", QLearning))
    }


@dataclass(frozen=True)
class Comparison:
    """What the values of a hyperparameter are worth.

    Attributes:
        values: Those tried, [C].
        rates: Success rate of what each seed learned, exact, [C, N].
    """

    values: list[float | str]
    rates: Floats


def learning_rates_and_discounts(
    n_seeds: int = 20, total_timesteps: int = 100_000, n_threads: int | None = None
) -> dict[str, Comparison]:
    """Q-learning on FrozenLake-v1 (slippery) with several learning rates, then with several discounts.

    All else is as ``QLearning`` has it by default. Rates are those of the greedy policies within 100 steps.

    Args:
        n_seeds: Seeds 0, 1, ...
        total_timesteps: Of each run.
        n_threads: Runs at the same time; by default as many as there are CPUs.
    """
    grids: dict[str, list[Any]] = {"learning_rate": list(LEARNING_RATES), "gamma": list(DISCOUNTS)}
    mdp, compared = TabularMDP.from_env(gym.make("FrozenLake-v1")), {}
    for name, values in grids.items():
        runs = sweep(
            QLearning, "FrozenLake-v1", {name: values}, seeds=n_seeds, total_timesteps=total_timesteps,
            n_threads=n_threads, progress_bar=False,
        )  # fmt: skip
        compared[name] = Comparison(values, return_within(mdp, 100, greedy_policy(runs.q_tables)))
    return compared


# ---- The table over time --------------------------------------------------------------------------------------------


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
    _draw_letters(axes, plan, cell)
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


def _draw_letters(axes: Axes, plan: Plan, cell: float) -> None:
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


# ---- Learning curves ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Band:
    """A learning curve of several runs.

    Attributes:
        episodes: At which points it was looked at, counted from 1, [P].
        middle: Mean or median over the runs, [P].
        low: Lower end of the confidence interval of that, [P].
        high: Upper end, [P].
    """

    episodes: npt.NDArray[np.int64]
    middle: Floats
    low: Floats
    high: Floats


def confidence_band(
    returns: npt.ArrayLike,
    window: int = 100,
    center: Literal["mean", "median"] = "mean",
    confidence: float = 0.95,
    seed: int = 0,
) -> Band:
    """Smooths each run, and then says how sure the middle of the runs is, by the bootstrap over runs.

    A point of a smoothed run is the mean of its last ``window`` episodes (fewer at first): never of later ones. Runs
    are resampled as a whole, as they are what is independent (percentile bootstrap; Efron 1979); with fewer than about
    ten of them the interval is too narrow, and with one there is none.

    Args:
        returns: [n_runs, n_episodes]; not a number after a run's last episode. The band ends where the first run does.
        window: Episodes, at least 1.
        center: What is taken over the runs.
        confidence: Above 0 and below 1.
        seed: Of the resampling.

    Raises:
        ValueError: If an argument is out of range or no episode was finished by all runs.

    Example:
        >>> confidence_band([[0.0, 2.0, 4.0]], window=2).middle
        array([0., 1., 3.])
    """
    array = np.asarray(returns, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"returns must be [n_runs, n_episodes], got {list(array.shape)}")
    whole_number("window", window, at_least=1)
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie above 0 and below 1, got {confidence}")
    if center not in ("mean", "median"):
        raise ValueError(f"center must be 'mean' or 'median', got {center!r}")
    n_common = int((~np.isnan(array)).all(axis=0).cumprod().sum())
    if n_common == 0:
        raise ValueError("there is no episode that every run has finished: train longer")
    episodes = np.unique(np.linspace(1, n_common, min(n_common, CURVE_POINTS)).round().astype(np.int64))
    sums = np.concatenate([np.zeros((len(array), 1)), array[:, :n_common].cumsum(axis=1)], axis=1)
    n_averaged = np.minimum(episodes, window)
    smooth = (sums[:, episodes] - sums[:, episodes - n_averaged]) / n_averaged
    take = np.mean if center == "mean" else np.median
    drawn = np.random.default_rng(seed).integers(len(array), size=(N_RESAMPLED, len(array)))
    resampled = np.stack([take(smooth[runs], axis=0) for runs in drawn])
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return Band(episodes, take(smooth, axis=0), low, high)


COLORS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of Okabe & Ito (2008), which colour-blind readers can tell apart; lines differ in their style as well."""
STYLES = ("-", "--", "-.", ":")


def draw_learning_curves(
    returns: Mapping[str, npt.ArrayLike],
    *,
    window: int = 100,
    center: Literal["mean", "median"] = "mean",
    confidence: float = 0.95,
    title: str = "Learning curves",
    label: str = "return",
    references: Mapping[str, float] | None = None,
) -> Figure:
    """A curve for each name: the middle over its runs, in a confidence band; see ``confidence_band``.

    Args:
        returns: Name -> return of each training episode [n_runs, n_episodes], as ``Sweep.returns[c]`` has it.
        window: Episodes that are averaged, written at the axis.
        center: "mean" or "median" over the runs.
        confidence: Of the band.
        title: Above.
        label: What a return is here.
        references: Name -> height of a dashed line.

    Raises:
        ValueError: If there is nothing to draw, or for what ``confidence_band`` names.
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    _draw_bands(axes, returns, window, center, confidence, label, references or {})
    axes.get_legend().set_loc("upper left")  # type: ignore[union-attr]
    axes.get_legend().set_bbox_to_anchor((1.0, 1.0))  # type: ignore[union-attr]
    return figure


def _draw_bands(
    axes: Axes,
    returns: Mapping[str, npt.ArrayLike],
    window: int,
    center: Literal["mean", "median"],
    confidence: float,
    label: str,
    references: Mapping[str, float],
    colors: Sequence[str] = COLORS,
) -> None:
    """Curves and bands, what they are at the axes, and a legend."""
    if not returns:
        raise ValueError("returns must hold at least one curve, got none")
    for i, (name, runs) in enumerate(returns.items()):
        band, color = confidence_band(runs, window, center, confidence), colors[i % len(colors)]
        axes.fill_between(band.episodes, band.low, band.high, color=color, alpha=0.22, linewidth=0)
        axes.plot(band.episodes, band.middle, color=color, linestyle=STYLES[i % len(STYLES)], linewidth=2, label=name)
    for name, height in references.items():
        axes.axhline(height, color="0.35", linestyle=(0, (5, 3)), linewidth=1)
        place: dict[str, Any] = {
            "xytext": (-2, 3),
            "textcoords": "offset points",
            "ha": "right",
            "fontsize": 9,
            "color": "0.25",
        }
        axes.annotate(name, (1, height), xycoords=("axes fraction", "data"), **place)
    counts = sorted({len(np.asarray(runs)) for runs in returns.values()})
    n_runs = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    band_is = f"{center} of {n_runs} runs, and its {confidence:.0%} bootstrap interval"
    axes.set(xlabel="episode", ylabel=f"{label}\nmean of the last {window} episodes", xlim=(0, None))
    axes.legend(frameon=False, loc="lower right", title=band_is, title_fontsize=9, alignment="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)


# ---- The cliff ------------------------------------------------------------------------------------------------------


def greedy_path(mdp: TabularMDP, q_table: npt.ArrayLike) -> list[int] | None:
    """The states of a greedy episode in a world without chance, the last one included; None if it never ends.

    Example:
        >>> mdp = TabularMDP.from_arrays([[0, 1], [1, 2], [2, 2]], 0.0, [[False] * 2, [False, True], [True] * 2],
        ...                              start=[1.0, 0.0, 0.0])
        >>> greedy_path(mdp, [[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]), greedy_path(mdp, np.eye(3)[:, :2])
        ([0, 1, 2], None)
    """
    actions, path = np.asarray(q_table).argmax(axis=-1), [int(mdp.start.argmax())]
    while len(path) <= mdp.n_states:  # a longer one has been in a state twice
        place = path[-1], actions[path[-1]], 0
        path.append(int(mdp.next_state[place]))
        if mdp.terminated[place]:
            return path
    return None


def draw_cliff_paths(runs: Mapping[str, Sweep] | None = None, window: int = 10) -> Figure:
    """Example 6.6: the greedy paths after training, over the grid; below, what an episode earned while exploring.

    The thick arrow is the path that most seeds took; thin lines are those of all, the wider the more seeds took them.

    Args:
        runs: What ``cliff_runs`` measured; by default it is measured now (seconds).
        window: Episodes that are averaged in the curves.
    """
    runs = cliff_runs() if runs is None else runs
    plan = read_plan("CliffWalking-v1")
    figure = Figure(figsize=(9, 7), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[1, 1.15])
    above.imshow(np.full(plan.letters.shape, np.nan), cmap=matplotlib.colormaps["viridis"].with_extremes(bad="#F2F2F0"))
    _draw_letters(above, plan, cell=0.62)
    above.grid(which="minor", color="0.8", linewidth=0.8)
    above.set_title("Sutton & Barto, Example 6.6: the greedy paths after training")
    colors = dict(zip(("SARSA", "Q-learning"), (BLUE, VERMILLION), strict=True))
    for i, (name, result) in enumerate(runs.items()):
        paths = [greedy_path(plan.mdp, table) for table in result.q_tables[0]]
        _draw_paths(above, paths, plan.letters.shape[1], name, colors.get(name, COLORS[i]), shift=0.16 * i - 0.08)
    above.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), frameon=False, ncols=1, fontsize=9)
    returns = {_with_last(name, result.returns[0]): result.returns[0] for name, result in runs.items()}
    ordered = [colors.get(name, COLORS[i]) for i, name in enumerate(runs)]
    references = {"the best path: \N{MINUS SIGN}13": -13.0}
    _draw_bands(below, returns, window, "mean", 0.95, "return while learning", references, ordered)
    below.set(ylim=(-100, 0))
    return figure


def _with_last(name: str, returns: Floats) -> str:
    last = min(100, returns.shape[1])
    mean = f"{returns[:, -last:].mean():.1f}".replace("-", "\N{MINUS SIGN}")
    return f"{name}: mean of the last {last} episodes {mean}"


def _draw_paths(
    axes: Axes, paths: Sequence[list[int] | None], n_columns: int, name: str, color: str, shift: float
) -> None:
    """All paths as lines that are wider where more go; the most frequent one as an arrow, with its legend."""
    arrived = [tuple(path) for path in paths if path is not None]
    if not arrived:
        axes.plot([], [], color=color, label=f"{name}: no seed's greedy policy arrives")
        return
    steps = [step for path in arrived for step in pairwise(path)]
    unique, counts = np.unique(steps, axis=0, return_counts=True)
    lines = np.stack([unique % n_columns, unique // n_columns], axis=-1) + shift
    widths = 0.5 + 7 * counts / len(paths)
    axes.add_collection(LineCollection(list(lines), linewidths=widths, colors=color, alpha=0.25))
    common = max(sorted(set(arrived)), key=arrived.count)
    rest = len(paths) - len(arrived)
    label = f"{name}: {len(common) - 1} steps, the path of {arrived.count(common)} of {len(paths)} seeds"
    label += f"; of {rest} the greedy policy goes round in circles" if rest else ""
    x, y = np.array(common) % n_columns + shift, np.array(common) // n_columns + shift
    y[-1] -= 0.3 + shift  # the arrow ends where the last cell begins
    axes.plot(x[:-1], y[:-1], color=color, linewidth=2.5, label=label, marker="o", markevery=[0], markersize=7)
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2.5, "mutation_scale": 18, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x[-1], y[-1]), xytext=(x[-2], y[-2]), arrowprops=arrow)


# ---- Learning rates and discounts -----------------------------------------------------------------------------------


def draw_learning_rates_and_discounts(compared: Mapping[str, Comparison] | None = None) -> Figure:
    """What alpha and gamma are worth on FrozenLake: a dot for each seed, a line at their mean, the bounds.

    In the panel of gamma the grey bars are the exact optimum for that discount, by planning: what is below them was not
    learned, and what they are below of the bound is the price of looking less far ahead. (Close to 1 it is not learned
    because ``initial_value=1`` is optimistic, and where nothing costs anything, optimism hardly wears off: with 0, all
    seeds learn it.)

    Args:
        compared: What ``learning_rates_and_discounts`` measured; by default it is measured now (seconds).
    """
    compared = learning_rates_and_discounts() if compared is None else compared
    mdp = TabularMDP.from_env(gym.make("FrozenLake-v1"))
    bound = float(return_within(mdp, 100))
    figure = Figure(figsize=(12, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = {"learning_rate": r"learning rate $\alpha$", "gamma": r"discount $\gamma$"}
    for axes, (name, color), comparison in zip(
        panels, (("learning_rate", BLUE), ("gamma", VERMILLION)), (compared["learning_rate"], compared["gamma"]),
        strict=True,
    ):  # fmt: skip
        if name == "gamma":
            planned_is = "planned with that discount (exact)"
            planned = [planned_rate(mdp, float(gamma)) for gamma in comparison.values]
            axes.hlines(planned, *_around(planned, 0.42), color="0.7", linewidth=6, zorder=0.5, label=planned_is)
        _draw_dots(axes, comparison, color)
        axes.axhline(bound, color="0.35", linestyle="--", linewidth=1)
        axes.axhline(ASKED, color="0.35", linestyle=":", linewidth=1)
        axes.set_xlabel(names[name])
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set(ylabel="success rate of the greedy policy\n(within 100 steps, exact)", ylim=(-0.03, 0.82))
    for height, text in ((bound, f"exact bound\n{bound:.4f}"), (ASKED, f"asked {ASKED:.2f}")):
        place = {"fontsize": 9, "color": "0.25", "va": "bottom" if height == bound else "top"}
        panels[1].annotate(text, (1.01, height), xycoords=("axes fraction", "data"), **place)
    panels[1].legend(frameon=False, loc="lower left", fontsize=9)
    n_seeds = compared["gamma"].rates.shape[1]
    figure.suptitle(f"Q-learning on FrozenLake-v1 (slippery): a dot is one of {n_seeds} seeds, a line their mean")
    return figure


def planned_rate(mdp: TabularMDP, gamma: float) -> float:
    """The success rate within 100 steps of the policy that is optimal for a discount, if the world were known.

    Example:
        >>> round(planned_rate(TabularMDP.from_env(gym.make("FrozenLake-v1")), 0.99), 4)
        0.7402
    """
    policy = value_iteration(mdp, gamma).policy
    return float(return_within(mdp, 100, np.eye(mdp.n_actions)[policy]))


def _around(heights: Sequence[float] | Floats, reach: float) -> tuple[Floats, Floats]:
    places = np.arange(len(heights), dtype=np.float64)
    return places - reach, places + reach


def _draw_dots(axes: Axes, comparison: Comparison, color: str) -> None:
    """The seeds of each value side by side, and their mean."""
    n_values, n_seeds = comparison.rates.shape
    aside = np.linspace(-0.28, 0.28, n_seeds) if n_seeds > 1 else np.zeros(1)
    places = np.arange(n_values)[:, None] + aside
    axes.scatter(places, comparison.rates, s=16, color=color, alpha=0.6, linewidth=0, zorder=3)
    means = comparison.rates.mean(axis=1)
    axes.hlines(means, *_around(means, 0.36), color=INK, linewidth=2, zorder=2, label="mean of the seeds")
    texts = [_value_text(value) for value in comparison.values]
    axes.set_xticks(range(n_values), texts)


def _value_text(value: float | str) -> str:
    """A value at the axis; below it, whether it is the class's default."""
    defaults = inspect.signature(TabularAlgorithm).parameters
    is_default = value in (defaults["learning_rate"].default, defaults["gamma"].default)
    text = value.replace("lin_", "falling ").replace("N^0.5", "√N") if isinstance(value, str) else f"{value:g}"
    return text + "\n(default)" * is_default
