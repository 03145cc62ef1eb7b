# ruff: noqa: RUF001  (signs of mathematics)
"""What the page offers to begin with: worlds of the library, each with agents that show something in it."""

from typing import Any

from sb3_ext.envs.grid.layouts import LAYOUTS


def _example(name: str, about: str, layout: str | dict[str, Any], gamma: float, *agents: dict[str, Any]) -> Any:
    world = dict(LAYOUTS[layout]) if isinstance(layout, str) else layout
    return {"name": name, "about": about, "world": world, "gamma": gamma, "agents": list(agents)}


def _empty(side: int) -> dict[str, Any]:
    """A square without anything but a start and a goal in opposite corners."""
    rows = ["S" + "." * (side - 1), *["." * side] * (side - 2), "." * (side - 1) + "G"]
    return {"map": rows, "max_episode_steps": 40 * side}


_CLIFF = {"alpha": 0.5, "epsilon": 0.1}
_MAZE = {"alpha": 0.5, "epsilon": 0.1}

EXAMPLES: list[dict[str, Any]] = [
    _example(
        "Cliff: SARSA and Q-learning",
        "S&B Example 6.6. Both explore with ε = 0.1. Q-learning finds the shortest path, along the edge, and falls off "
        "it now and then; SARSA learns about its own exploration and keeps away from the edge.",
        "CliffWalking", 1.0, {"algo": "sarsa", **_CLIFF}, {"algo": "q_learning", **_CLIFF},
    ),
    _example(
        "Draw your own",
        "An open field. Choose a tool below the map and draw: walls, holes, wind, rewards.",
        _empty(10), 0.95, {"algo": "q_learning", "alpha": 0.5},
    ),
    _example(
        "Maze: planning with a model",
        "S&B Figure 8.2. After the first episode Q-learning knows one step before the goal; Dyna-Q with 50 planning "
        "steps knows most of the way.",
        "DynaMaze", 0.95, {"algo": "q_learning", **_MAZE}, {"algo": "dyna_q", "planning_steps": 50, **_MAZE},
    ),
    _example(
        "Four rooms: eligibility traces",
        "A reward reaches the pair before it, or with λ = 0.9 all that led to it.",
        "FourRooms", 0.97, {"algo": "sarsa", "alpha": 0.3}, {"algo": "sarsa", "alpha": 0.3, "lambda_": 0.9},
    ),
    _example(
        "Four rooms: shaping",
        "Potential-based shaping by the distance to the goal: the second agent is told whether it comes nearer, and "
        "what is optimal stays the same. The curve shows the raw return of both.",
        "FourRooms", 0.97, {"algo": "q_learning", "alpha": 0.3},
        {"algo": "q_learning", "alpha": 0.3, "shaping": "distance", "scale": 0.1},
    ),
    _example(
        "Windy grid world",
        "S&B Example 6.5. The wind carries upwards, by as many cells as there are chevrons.",
        "WindyGridWorld", 1.0, {"algo": "sarsa", "alpha": 0.5, "epsilon": 0.1},
    ),
    _example(
        "Slippery lake: one table or two",
        "Gymnasium's FrozenLake. The maximum of noisy values is too high; Double Q-learning lets one table choose and "
        "the other judge.",
        "FrozenLake4x4", 0.99, {"algo": "q_learning", "alpha": 0.1}, {"algo": "double_q_learning", "alpha": 0.1},
    ),
    _example(
        "A shortcut opens: Dyna-Q and Dyna-Q+",
        "S&B Figure 8.5. After 3000 steps a shorter way opens on the right. Dyna-Q+ tries again what it has not tried "
        "for long.",
        "ShortcutMaze", 0.95, {"algo": "dyna_q", "planning_steps": 20, **_MAZE},
        {"algo": "dyna_q", "planning_steps": 20, "kappa": 0.001, **_MAZE},
    ),
    _example(
        "Key and door",
        "A state is a cell with or without the key: the map shows the values of where the agent is.",
        "KeyDoor", 0.97, {"algo": "q_learning", "alpha": 0.5},
    ),
    _example(
        "Jumps without end",
        "S&B Example 3.5: A jumps to A′ for +10, B to B′ for +5, the border costs 1.",
        "Example35", 0.9, {"algo": "q_learning", "alpha": 0.2, "epsilon": 0.3},
    ),
    _example(
        "50 × 50",
        "2500 states, as many as are allowed: run it as fast as possible.",
        _empty(50), 0.99, {"algo": "q_learning", "alpha": 0.5},
    ),
]  # fmt: skip
"""Name, about, world (for ``GridWorld.from_dict``), gamma, and one or two agents (fields of ``AgentSettings``)."""
