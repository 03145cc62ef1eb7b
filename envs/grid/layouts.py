"""The named grid worlds of the textbook (Sutton & Barto, 2nd ed., "S&B") and of the seeds.

Each is a description as ``GridWorld.from_dict`` reads it; the id of ``"CliffWalking"`` is ``sb3_ext/CliffWalking-v0``.
"""

from typing import Any

_MINUS_ONE = {"step_reward": -1.0, "goal_reward": -1.0}  # every step costs 1, also the last one
_ONE_AT_GOAL = {"step_reward": 0.0, "goal_reward": 1.0}
_WINDY = {
    "map": [
        "..........",
        "..........",
        "..........",
        "S......G..",
        "..........",
        "..........",
        "..........",
    ],
    "wind": [0, 0, 0, 1, 1, 1, 2, 2, 1, 0],
}

LAYOUTS: dict[str, dict[str, Any]] = {
    "Seeds4x4": {
        "about": "The seeds' open 4 x 4 world: +1 at the goal, -0.01 a step.",
        "map": ["S...", "....", "....", "...G"],
        "max_episode_steps": 100,
    },
    "Obstacles5x5": {
        "about": "The seeds' 5 x 5 world with three obstacles, which stay where they are.",
        "map": ["S....", ".#...", "...#.", ".#...", "....G"],
        "max_episode_steps": 100,
    },
    "CliffWalking": {
        "about": "S&B Example 6.6: the shortest path leads along the cliff; the best return is -13.",
        "map": ["............", "............", "............", "SCCCCCCCCCCG"],
        "rules": {**_MINUS_ONE, "hole_reward": -100.0},
        "max_episode_steps": 500,
    },
    "WindyGridWorld": {
        "about": "S&B Example 6.5: the wind carries upwards; the shortest path has 15 steps.",
        **_WINDY,
        "rules": _MINUS_ONE,
        "max_episode_steps": 1000,
    },
    "WindyKingsMoves": {
        "about": "S&B Exercise 6.9: eight directions; the shortest path has 7 steps.",
        **_WINDY,
        "rules": {**_MINUS_ONE, "king_moves": True},
        "max_episode_steps": 1000,
    },
    "WindyStochastic": {
        "about": "S&B Exercise 6.10: eight directions, and where it blows, the wind varies by one cell, 1/3 each.",
        **_WINDY,
        "rules": {**_MINUS_ONE, "king_moves": True, "stochastic_wind": True},
        "max_episode_steps": 1000,
    },
    "FourRooms": {
        "about": "Four rooms and four doors (Sutton, Precup & Singh 1999); from corner to corner it is 20 steps.",
        "map": [
            "#############",
            "#S....#.....#",
            "#.....#.....#",
            "#...........#",
            "#.....#.....#",
            "#.....#.....#",
            "##.####.....#",
            "#.....###.###",
            "#.....#.....#",
            "#.....#.....#",
            "#...........#",
            "#.....#....G#",
            "#############",
        ],
        "rules": _ONE_AT_GOAL,
        "max_episode_steps": 500,
    },
    "DynaMaze": {
        "about": "S&B Figure 8.2: the shortest path has 14 steps.",
        "map": [".......#G", "..#....#.", "S.#....#.", "..#......", ".....#...", "........."],
        "rules": _ONE_AT_GOAL,
        "max_episode_steps": 2000,
    },
    "BlockingMaze": {
        "about": "S&B Figure 8.4: after 1000 steps the way on the right (10 steps) closes, one on the left (16) opens.",
        "map": ["........G", ".........", ".........", "########.", ".........", "...S....."],
        "change": {
            "after": 1000,
            "map": ["........G", ".........", ".........", ".########", ".........", "...S....."],
        },
        "rules": _ONE_AT_GOAL,
        "max_episode_steps": 2000,
    },
    "ShortcutMaze": {
        "about": "S&B Figure 8.5: after 3000 steps a shorter way opens on the right (16 steps, then 10).",
        "map": ["........G", ".........", ".........", ".########", ".........", "...S....."],
        "change": {
            "after": 3000,
            "map": ["........G", ".........", ".........", ".#######.", ".........", "...S....."],
        },
        "rules": _ONE_AT_GOAL,
        "max_episode_steps": 2000,
    },
    "Example35": {
        "about": "S&B Example 3.5: A jumps to a for +10, B to b for +5, the border costs 1; it never ends.",
        "map": [".A.B.", ".....", "...b.", ".....", ".a..."],
        "jumps": {"A": ["a", 10.0], "B": ["b", 5.0]},
        "rules": {"step_reward": 0.0, "bump_reward": -1.0, "random_start": True},
        "require_goal": False,
        "max_episode_steps": 100,
    },
    "KeyDoor": {
        "about": "The goal lies behind a door, and the key in a corner: 10 steps, of which the first 4 fetch the key.",
        "map": ["#########", "#S..#...#", "#...#...#", "#...D..G#", "#.K.#...#", "#########"],
        "max_episode_steps": 200,
    },
    "FrozenLake4x4": {
        "about": "Gymnasium's slippery FrozenLake: a step goes straight on, left or right, 1/3 each.",
        "map": ["S...", ".H.H", "...H", "H..G"],
        "rules": {**_ONE_AT_GOAL, "hole_reward": 0.0, "slip": 2 / 3},
        "max_episode_steps": 100,
    },
}
