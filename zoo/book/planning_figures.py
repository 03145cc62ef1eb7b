"""The figures of chapter 8 on Dyna: each a function that measures and one that draws.

    figure_8_2    Dyna maze: the more planning, the fewer episodes until the way is found
    figure_8_4    the way is blocked: Dyna-Q must unlearn it, Dyna-Q+ tries what it has not tried for long
    figure_8_5    a shortcut opens: Dyna-Q never sees it, Dyna-Q+ does

Runs are seeds 0, 1, 2, ...; no episode has a time limit, as in the book. The changing mazes are played by the compiled
engine, on one map and then on the other: ``play_changing_maze`` gives what the step engine gives, bit for bit, fifty
times faster. For these two the book names no parameters; ours are alpha 1, as nothing is left to chance, and a kappa at
which Dyna-Q+ finds the change.

Read next: ``exact_figures.py``, for when the model is known.
"""

from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext.envs import LAYOUTS, GridWorld
from sb3_ext.tabular import DynaQ, sweep, value_iteration
from sb3_ext.tabular.agent import make_memory
from sb3_ext.tabular.engine import World, play
from sb3_ext.tabular.worlds import NO_LIMIT, ExactWorld, blank_progress
from sb3_ext.zoo.book.curves import Curves, Floats, Row, Table, draw_curve, frame, row_of

BOOK: dict[str, Any] = {"gamma": 0.95, "exploration": 0.1, "initial_value": 0.0}
PLANNING_STEPS = (0, 5, 50)
CHANGING: dict[str, Any] = {**BOOK, "learning_rate": 1.0, "model": "latest"}
COLORS = {"Dyna-Q": "C3", "Dyna-Q+": "C0"}


# ---- Figure 8.2: the Dyna maze --------------------------------------------------------------------------------------


def figure_8_2(n_runs: int = 100, n_episodes: int = 50, n_threads: int | None = None) -> Curves:
    """Figure 8.2: the Dyna maze, steps of each episode with 0, 5 and 50 planning steps (alpha 0.1)."""
    result = sweep(
        DynaQ, partial(GridWorld, "DynaMaze"), {"planning_steps": PLANNING_STEPS}, seeds=n_runs, n_episodes=n_episodes,
        learning_rate=0.1, n_threads=n_threads, progress_bar=False, **BOOK,
    )  # fmt: skip
    runs = {f"n = {n}": lengths for n, lengths in zip(PLANNING_STEPS, result.lengths, strict=True)}
    return Curves(np.arange(1.0, n_episodes + 1), runs)


def rows_of_figure_8_2(curves: Curves) -> list[Row]:
    """Steps in the third and the tenth episode, and the least that is possible."""
    simulated = {"n = 0": (432.0, 156.0), "n = 5": (63.0, 17.0), "n = 50": (18.0, 19.0)}
    rows = [Row("shortest way, by dynamic programming", float(shortest_way("DynaMaze")), 0.0, 14.0, "exact")]
    for label, references in simulated.items():
        for episode, reference in zip((3, 10), references, strict=True):
            rows.append(curves.row(label, episode - 1, f"{label}, steps in episode {episode}", reference, "simulated"))
    return rows


def draw_figure_8_2(curves: Curves) -> Figure:
    """Steps over episodes, from the second one on, as in the book."""
    figure, axes = frame("Figure 8.2: the Dyna maze", "episodes", f"steps per episode, mean of {curves.n_runs} runs")
    for label, color in zip(curves.runs, ("C0", "C2", "C3"), strict=True):
        draw_curve(axes, curves, label, color=color)
    axes.axhline(14, color="k", linestyle="--", linewidth=1, label="shortest: 14")
    axes.set(ylim=(0, 800), xlim=(2, curves.x[-1]))
    axes.legend(frameon=False, title="planning steps")
    return figure


def shortest_way(layout: str, changed: bool = False) -> int:
    """Steps from the start to the goal, by dynamic programming.

    Example:
        >>> shortest_way("BlockingMaze"), shortest_way("BlockingMaze", changed=True)
        (10, 16)
    """
    mdp = maze(layout, changed, step_reward=-1.0, goal_reward=-1.0).mdp
    return round(-float(mdp.start @ value_iteration(mdp, gamma=1.0).values))


# ---- Figures 8.4 and 8.5: mazes that change -------------------------------------------------------------------------


def figure_8_4(n_runs: int = 100) -> Curves:
    """Figure 8.4: the blocking maze, cumulative reward of Dyna-Q and Dyna-Q+ (n 10, kappa 0.0001)."""
    return _both("BlockingMaze", 3000, n_runs, planning_steps=10, kappa=1e-4)


def figure_8_5(n_runs: int = 100) -> Curves:
    """Figure 8.5: the shortcut maze, cumulative reward of Dyna-Q and Dyna-Q+ (n 50, kappa 0.001)."""
    return _both("ShortcutMaze", 6000, n_runs, planning_steps=50, kappa=1e-3)


def _both(layout: str, n_steps: int, n_runs: int, planning_steps: int, kappa: float) -> Curves:
    """Cumulative reward after 0 to ``n_steps`` steps."""
    runs = {}
    for label, bonus in (("Dyna-Q", 0.0), ("Dyna-Q+", kappa)):
        parameters = {**CHANGING, "planning_steps": planning_steps, "kappa": bonus}
        runs[label] = np.array([play_changing_maze(layout, n_steps, seed, **parameters) for seed in range(n_runs)])
    return Curves(np.arange(n_steps + 1.0), runs)


def maze(layout: str, changed: bool = False, **rules: Any) -> GridWorld:
    """One of the two worlds of a layout that changes: as it is at first, or as it is later."""
    description = {name: part for name, part in LAYOUTS[layout].items() if name != "change"}
    if changed:
        description["map"] = LAYOUTS[layout]["change"]["map"]
    return GridWorld.from_dict(description, **rules)


def play_changing_maze(layout: str, n_steps: int, seed: int, **parameters: Any) -> Floats:
    """Dyna-Q in ``GridWorld(layout)``, whose map changes after some steps, by the compiled engine.

    The later map comes as soon as the agent is not standing where it has a wall or the goal, as in ``GridWorld``.

    Args:
        layout: "BlockingMaze" or "ShortcutMaze".
        n_steps: Environment steps.
        seed: Of the agent; the mazes leave nothing to chance.
        **parameters: Of ``DynaQ``.

    Returns:
        Sum of the rewards after 0, 1, ... steps, [n_steps + 1].
    """
    first, later = maze(layout), maze(layout, changed=True)
    env = DummyVecEnv([lambda: first])
    model = DynaQ("TabularPolicy", env, seed=seed, **parameters)
    memory = make_memory(model.settings, model.policy.arrays(), 1, seed, 1)
    memory.clock[1] = n_steps
    env.reset()
    exact, rewards = ExactWorld(env), np.zeros(n_steps + 1)
    blank: dict[str, Any] = blank_progress(1, n_steps + 1)
    world: World = exact.world._replace(**blank)
    world.states[:] = first.state

    def play_on(world: World, n: int) -> None:
        start = memory.clock[0]
        n_played = play(model.settings, memory, world, n, NO_LIMIT)
        assert n_played == n
        count = int(world.n_finished[0])
        rewards[start + 1 + world.finished_call[:count]] += world.finished_return[:count]

    play_on(world, min(LAYOUTS[layout]["change"]["after"], n_steps))
    while later.mdp.terminated[world.last_states[0]].all() and memory.clock[0] < n_steps:
        play_on(world, 1)
    play_on(world._replace(next_state=later.mdp.next_state.astype(np.int64), reward=later.mdp.reward.astype(float),
                           terminated=np.array(later.mdp.terminated)), n_steps - int(memory.clock[0]))  # fmt: skip
    return np.cumsum(rewards)


def rows_of_figure_8_4(curves: Curves) -> list[Row]:
    """Rewards before and after the change, beside what the shortest ways would give."""
    before, after = 1000 / shortest_way("BlockingMaze"), 2000 / shortest_way("BlockingMaze", changed=True)
    rows = []
    for label in curves.runs:
        rows += [
            curves.row(label, 1000, f"{label}, reward by step 1000", before, "at most"),
            _gain(curves, label, 1000, 3000, after),
        ]
    return rows


def rows_of_figure_8_5(curves: Curves) -> list[Row]:
    """Rewards in the last 1000 steps, beside what the old and the new way would give."""
    old, new = (1000 / shortest_way("ShortcutMaze", changed) for changed in (False, True))
    rows = []
    for label in curves.runs:
        rows += [
            curves.row(label, 3000, f"{label}, reward by step 3000", 3 * old, "at most"),
            _gain(curves, label, 5000, 6000, new),
        ]
        found = np.diff(curves.runs[label][:, [5000, 6000]])[:, 0] > old
        rows.append(row_of(f"{label}, % of runs that take the shortcut at last", 100.0 * found))
    return rows


def _gain(curves: Curves, label: str, start: int, end: int, most: float) -> Row:
    gained = curves.runs[label][:, end] - curves.runs[label][:, start]
    return row_of(f"{label}, reward in steps {start} to {end}", gained, most, "at most")


def draw_figure_8_4(curves: Curves) -> Figure:
    """Cumulative reward over steps."""
    return _draw_changing(curves, "Figure 8.4: the blocking maze", 1000, "the way is blocked")


def draw_figure_8_5(curves: Curves) -> Figure:
    """Cumulative reward over steps."""
    return _draw_changing(curves, "Figure 8.5: the shortcut maze", 3000, "a shortcut opens")


def _draw_changing(curves: Curves, title: str, change: int, what: str) -> Figure:
    figure, axes = frame(title, "time steps", f"cumulative reward, mean of {curves.n_runs} runs")
    for label in curves.runs:
        draw_curve(axes, curves, label, color=COLORS[label])
    axes.axvline(change, color="k", linestyle="--", linewidth=1, label=what)
    axes.set(xlim=(0, curves.x[-1]), ylim=(0, None))
    axes.legend(frameon=False)
    return figure


FIGURES: Table = {
    "figure-8.2": (figure_8_2, draw_figure_8_2, rows_of_figure_8_2),
    "figure-8.4": (figure_8_4, draw_figure_8_4, rows_of_figure_8_4),
    "figure-8.5": (figure_8_5, draw_figure_8_5, rows_of_figure_8_5),
}
"""name -> (what measures it, what draws that, what puts its numbers into a table)"""
