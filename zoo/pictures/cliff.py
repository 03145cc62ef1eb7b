"""Sutton & Barto's Example 6.6 as paths on the map: SARSA's safe one, Q-learning's along the edge."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from sb3_ext.envs.grid.symbols import BLUE, VERMILLION
from sb3_ext.tabular import Sweep, TabularMDP
from sb3_ext.zoo.pictures.curves import COLORS, draw_bands
from sb3_ext.zoo.pictures.measured import cliff_runs
from sb3_ext.zoo.pictures.table import draw_letters, read_plan

Floats = npt.NDArray[np.float64]


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
    draw_letters(above, plan, cell=0.62)
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
    draw_bands(below, returns, window, "mean", 0.95, "return while learning", references, ordered)
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
