"""Environments and wrappers, imported as ``sb3_ext.envs``.

    grid/        GridWorld: maps, exact model, layouts, drawing, the vectorised form
    multi/       small PettingZoo environments: carry together, tag, matrix games; their exact solutions
    text/        TokenWorld: text generation as a Markov decision process, tasks with a verifier
    textbook/    the other worlds of Sutton & Barto
    wrappers/    shaping, exploration bonuses, curricula, observations, teaching

Importing this package registers the ids ``sb3_ext/GridWorld-v0``, one for each named layout (``LAYOUTS``: say,
``sb3_ext/CliffWalking-v0``), one for each of the textbook's other worlds, and ``sb3_ext/TokenWorld-v0``. A process that
has not imported it (a worker started by spawn) takes the id with the module in front:
``sb3_ext.envs:sb3_ext/GridWorld-v0``. The names below are loaded when they are first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from sb3_ext.envs.grid.layouts import LAYOUTS

if TYPE_CHECKING:
    from sb3_ext.envs.grid.figures import render_policy
    from sb3_ext.envs.grid.films import animate_learning, record_episode
    from sb3_ext.envs.grid.map import GridMap, random_map
    from sb3_ext.envs.grid.world import GridWorld
    from sb3_ext.envs.grid.world_vec import GridWorldVecEnv
    from sb3_ext.envs.multi.carry import Carry
    from sb3_ext.envs.multi.equilibria import mixed_equilibrium, pure_equilibria, zero_sum_equilibrium
    from sb3_ext.envs.multi.matrix_game import MatrixGame
    from sb3_ext.envs.multi.shapley import fix_policy, markov_game_values
    from sb3_ext.envs.multi.tag import Tag
    from sb3_ext.envs.tabular_env import TabularEnv
    from sb3_ext.envs.text.tasks import TextTask, make_text_task
    from sb3_ext.envs.text.world import TokenWorld
    from sb3_ext.envs.text.world_vec import TokenWorldVecEnv
    from sb3_ext.envs.textbook.baird import Baird
    from sb3_ext.envs.textbook.bandits import Bandit, play_testbed
    from sb3_ext.envs.textbook.blackjack import Blackjack
    from sb3_ext.envs.textbook.car_rental import CarRental
    from sb3_ext.envs.textbook.gambler import Gambler
    from sb3_ext.envs.textbook.maximization_bias import MaximizationBias
    from sb3_ext.envs.textbook.random_walk import RandomWalk
    from sb3_ext.envs.textbook.short_corridor import ShortCorridor
    from sb3_ext.envs.wrappers.curriculum import Curriculum, DifficultyLevels, RandomizeDynamics
    from sb3_ext.envs.wrappers.exploration import RND, CountBonus, SimHash
    from sb3_ext.envs.wrappers.observation import DiscretizeObservation, FlattenDiscrete, OneHot
    from sb3_ext.envs.wrappers.potentials import GoalDistance
    from sb3_ext.envs.wrappers.reward_hacking import RewardHacking, reward_hacking_figure
    from sb3_ext.envs.wrappers.reward_terms import (
        RETURN_KEYS,
        DelayedReward,
        RewardTerms,
        RewardTermsCallback,
        SparseReward,
        StepPenalty,
    )
    from sb3_ext.envs.wrappers.shaping import (
        DistanceReward,
        PotentialShaping,
        ProgressReward,
        ShapingGammaCallback,
        check_gamma,
    )
    from sb3_ext.envs.wrappers.shaping_proof import (
        compare_optimal_actions,
        distance_mdp,
        muddy_mdp,
        progress_mdp,
        shaped_mdp,
    )
    from sb3_ext.envs.wrappers.teaching import Narrate, SlipAction

_NAMES_OF = {
    "grid.films": ["animate_learning", "record_episode"],
    "grid.figures": ["render_policy"],
    "grid.map": ["GridMap", "random_map"],
    "grid.world": ["GridWorld"],
    "grid.world_vec": ["GridWorldVecEnv"],
    "multi.carry": ["Carry"],
    "multi.equilibria": ["mixed_equilibrium", "pure_equilibria", "zero_sum_equilibrium"],
    "multi.matrix_game": ["MatrixGame"],
    "multi.shapley": ["fix_policy", "markov_game_values"],
    "multi.tag": ["Tag"],
    "tabular_env": ["TabularEnv"],
    "text.tasks": ["TextTask", "make_text_task"],
    "text.world": ["TokenWorld"],
    "text.world_vec": ["TokenWorldVecEnv"],
    "textbook.baird": ["Baird"],
    "textbook.bandits": ["Bandit", "play_testbed"],
    "textbook.blackjack": ["Blackjack"],
    "textbook.car_rental": ["CarRental"],
    "textbook.gambler": ["Gambler"],
    "textbook.maximization_bias": ["MaximizationBias"],
    "textbook.random_walk": ["RandomWalk"],
    "textbook.short_corridor": ["ShortCorridor"],
    "wrappers.curriculum": ["Curriculum", "DifficultyLevels", "RandomizeDynamics"],
    "wrappers.exploration": ["RND", "CountBonus", "SimHash"],
    "wrappers.observation": ["DiscretizeObservation", "FlattenDiscrete", "OneHot"],
    "wrappers.potentials": ["GoalDistance"],
    "wrappers.reward_hacking": ["RewardHacking", "reward_hacking_figure"],
    "wrappers.reward_terms": [
        "RETURN_KEYS",
        "DelayedReward",
        "RewardTerms",
        "RewardTermsCallback",
        "SparseReward",
        "StepPenalty",
    ],
    "wrappers.shaping": ["DistanceReward", "PotentialShaping", "ProgressReward", "ShapingGammaCallback", "check_gamma"],
    "wrappers.shaping_proof": ["compare_optimal_actions", "distance_mdp", "muddy_mdp", "progress_mdp", "shaped_mdp"],
    "wrappers.teaching": ["Narrate", "SlipAction"],
}
_HOME_OF = {name: module for module, names in _NAMES_OF.items() for name in names}

__all__ = [
    "LAYOUTS",
    "RETURN_KEYS",
    "RND",
    "Baird",
    "Bandit",
    "Blackjack",
    "CarRental",
    "Carry",
    "CountBonus",
    "Curriculum",
    "DelayedReward",
    "DifficultyLevels",
    "DiscretizeObservation",
    "DistanceReward",
    "FlattenDiscrete",
    "Gambler",
    "GoalDistance",
    "GridMap",
    "GridWorld",
    "GridWorldVecEnv",
    "MatrixGame",
    "MaximizationBias",
    "Narrate",
    "OneHot",
    "PotentialShaping",
    "ProgressReward",
    "RandomWalk",
    "RandomizeDynamics",
    "RewardHacking",
    "RewardTerms",
    "RewardTermsCallback",
    "ShapingGammaCallback",
    "ShortCorridor",
    "SimHash",
    "SlipAction",
    "SparseReward",
    "StepPenalty",
    "TabularEnv",
    "Tag",
    "TextTask",
    "TokenWorld",
    "TokenWorldVecEnv",
    "animate_learning",
    "check_gamma",
    "compare_optimal_actions",
    "distance_mdp",
    "fix_policy",
    "make_text_task",
    "markov_game_values",
    "mixed_equilibrium",
    "muddy_mdp",
    "play_testbed",
    "progress_mdp",
    "pure_equilibria",
    "random_map",
    "record_episode",
    "render_policy",
    "reward_hacking_figure",
    "shaped_mdp",
    "zero_sum_equilibrium",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sb3_ext.envs' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"sb3_ext.envs.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})


_TEXTBOOK: dict[str, tuple[str, int | None, dict[str, Any]]] = {
    "Baird": ("textbook.baird:Baird", 1000, {}),
    "Bandit": ("textbook.bandits:Bandit", None, {}),
    "BanditStream": ("textbook.bandits:Bandit", 1000, {"endless": True}),
    "Blackjack": ("textbook.blackjack:Blackjack", None, {}),
    "CarRental": ("textbook.car_rental:CarRental", 100, {}),
    "Gambler": ("textbook.gambler:Gambler", None, {}),
    "MaximizationBias": ("textbook.maximization_bias:MaximizationBias", None, {}),
    "RandomWalk": ("textbook.random_walk:RandomWalk", None, {}),
    "RandomWalk19": ("textbook.random_walk:RandomWalk", None, {"n_states": 19, "left_reward": -1.0}),
    "RewardHacking": ("wrappers.reward_hacking:RewardHacking", 50, {}),
    "ShortCorridor": ("textbook.short_corridor:ShortCorridor", 1000, {}),
}
"""The textbook's other worlds: where the class is, the time limit, and the arguments."""


def _register() -> None:
    """Registers every id; that loads no environment."""
    grid_world = "sb3_ext.envs.grid.world:GridWorld"
    gym.register("sb3_ext/GridWorld-v0", grid_world, max_episode_steps=100)
    for name, layout in LAYOUTS.items():
        limit = layout["max_episode_steps"]
        gym.register(f"sb3_ext/{name}-v0", grid_world, kwargs={"map": name}, max_episode_steps=limit)
    gym.register("sb3_ext/TokenWorld-v0", "sb3_ext.envs.text.world:TokenWorld")
    for name, (home, steps, kwargs) in _TEXTBOOK.items():
        gym.register(f"sb3_ext/{name}-v0", f"sb3_ext.envs.{home}", kwargs=kwargs, max_episode_steps=steps)


if __name__ == "sb3_ext.envs":  # and not when a tool imports the folder by its path
    _register()
