"""Environments and wrappers, imported as ``sb3_ext.envs``.

Importing this package registers the ids ``sb3_ext/GridWorld-v0``, one for each named layout (``LAYOUTS``: say,
``sb3_ext/CliffWalking-v0``) and one for each of the textbook's other worlds. A process that has not imported it (a
worker started by spawn) takes the id with the module in front: ``sb3_ext.envs:sb3_ext/GridWorld-v0``. The names below
are loaded when they are first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from sb3_ext.envs.layouts import LAYOUTS

if TYPE_CHECKING:
    from sb3_ext.envs.baird import Baird
    from sb3_ext.envs.bandits import Bandit, play_testbed
    from sb3_ext.envs.car_rental import CarRental
    from sb3_ext.envs.curriculum import Curriculum, DifficultyLevels, RandomizeDynamics
    from sb3_ext.envs.exploration import RND, CountBonus
    from sb3_ext.envs.gambler import Gambler
    from sb3_ext.envs.grid_map import GridMap, random_map
    from sb3_ext.envs.grid_world import GridWorld
    from sb3_ext.envs.grid_world_vec import GridWorldVecEnv
    from sb3_ext.envs.maximization_bias import MaximizationBias
    from sb3_ext.envs.observation import DiscretizeObservation, FlattenDiscrete, OneHot
    from sb3_ext.envs.random_walk import RandomWalk
    from sb3_ext.envs.rendering import animate_learning, record_episode, render_policy
    from sb3_ext.envs.reward_hacking import RewardHacking
    from sb3_ext.envs.reward_terms import DelayedReward, RewardTerms, RewardTermsCallback, SparseReward, StepPenalty
    from sb3_ext.envs.shaping import DistanceReward, PotentialShaping, ProgressReward, ShapingGammaCallback
    from sb3_ext.envs.shaping_proof import compare_optimal_actions
    from sb3_ext.envs.short_corridor import ShortCorridor
    from sb3_ext.envs.tabular_env import TabularEnv
    from sb3_ext.envs.teaching import Narrate, SlipAction

_NAMES_OF = {
    "bandits": ["Bandit", "play_testbed"],
    "baird": ["Baird"],
    "car_rental": ["CarRental"],
    "curriculum": ["Curriculum", "DifficultyLevels", "RandomizeDynamics"],
    "exploration": ["CountBonus", "RND"],
    "gambler": ["Gambler"],
    "grid_map": ["GridMap", "random_map"],
    "grid_world": ["GridWorld"],
    "grid_world_vec": ["GridWorldVecEnv"],
    "maximization_bias": ["MaximizationBias"],
    "observation": ["DiscretizeObservation", "FlattenDiscrete", "OneHot"],
    "random_walk": ["RandomWalk"],
    "rendering": ["animate_learning", "record_episode", "render_policy"],
    "reward_hacking": ["RewardHacking"],
    "reward_terms": ["DelayedReward", "RewardTerms", "RewardTermsCallback", "SparseReward", "StepPenalty"],
    "shaping": ["DistanceReward", "PotentialShaping", "ProgressReward", "ShapingGammaCallback"],
    "shaping_proof": ["compare_optimal_actions"],
    "short_corridor": ["ShortCorridor"],
    "tabular_env": ["TabularEnv"],
    "teaching": ["Narrate", "SlipAction"],
}
_HOME_OF = {name: module for module, names in _NAMES_OF.items() for name in names}

__all__ = [
    "LAYOUTS",
    "RND",
    "Baird",
    "Bandit",
    "CarRental",
    "CountBonus",
    "Curriculum",
    "DelayedReward",
    "DifficultyLevels",
    "DiscretizeObservation",
    "DistanceReward",
    "FlattenDiscrete",
    "Gambler",
    "GridMap",
    "GridWorld",
    "GridWorldVecEnv",
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
    "SlipAction",
    "SparseReward",
    "StepPenalty",
    "TabularEnv",
    "animate_learning",
    "compare_optimal_actions",
    "play_testbed",
    "random_map",
    "record_episode",
    "render_policy",
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
    "Baird": ("baird:Baird", 1000, {}),
    "Bandit": ("bandits:Bandit", None, {}),
    "CarRental": ("car_rental:CarRental", 365, {}),
    "Gambler": ("gambler:Gambler", 1000, {}),
    "MaximizationBias": ("maximization_bias:MaximizationBias", None, {}),
    "RandomWalk": ("random_walk:RandomWalk", 1000, {}),
    "RandomWalk19": ("random_walk:RandomWalk", 10_000, {"n_states": 19, "left_reward": -1.0}),
    "RewardHacking": ("reward_hacking:RewardHacking", 50, {}),
    "ShortCorridor": ("short_corridor:ShortCorridor", 1000, {}),
}
"""The textbook's other worlds: where the class is, the time limit, and the arguments."""


def _register() -> None:
    """Registers every id; that loads no environment."""
    grid_world = "sb3_ext.envs.grid_world:GridWorld"
    gym.register("sb3_ext/GridWorld-v0", grid_world, max_episode_steps=100)
    for name, layout in LAYOUTS.items():
        limit = layout["max_episode_steps"]
        gym.register(f"sb3_ext/{name}-v0", grid_world, kwargs={"map": name}, max_episode_steps=limit)
    for name, (home, steps, kwargs) in _TEXTBOOK.items():
        gym.register(f"sb3_ext/{name}-v0", f"sb3_ext.envs.{home}", kwargs=kwargs, max_episode_steps=steps)


if __name__ == "sb3_ext.envs":  # and not when a tool imports the folder by its path
    _register()
