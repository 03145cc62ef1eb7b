"""The examples of ``sb3-ext multi-agent``: which environment, who learns how, with which hyperparameters.

A hyperparameter means what it does in the algorithm's class; "lin_0.001" falls linearly to 0. ``n_timesteps`` are steps
of the environment, of all copies together, however many agents act in one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from sb3_ext.common import Boltzmann
from sb3_ext.zoo.multi_agent.networks import BoardConvolution
from sb3_ext.zoo.recipes import Recipe

Models = dict[str, Recipe]
"""Agent or pattern, as in ``fnmatch``, to how its model learns."""


@dataclass(frozen=True)
class Example:
    """One example.

    Attributes:
        about: A line on it.
        kind: Who runs it: "team_game", "board_game", "grid_game" or "matrix_game", a module of this folder.
        make_env: Makes the PettingZoo environment; takes ``render_mode``.
        ways: How to learn: "shared" (one model for all agents), "centralized" (likewise, with a critic that sees the
            state), "independent" (models of their own), "self-play". The first one is the default.
        teams: Name to pattern of the agents whose returns are added up.
        settings: What only this kind needs. Of team games: "film", the arguments of ``pictures.film``;
            "eval_episodes"; "deterministic": whether models play their best actions when evaluated and filmed, else
            they draw; "deaths": whether agents die before others.
    """

    about: str
    kind: str
    make_env: Callable[..., Any]
    ways: dict[str, Models]
    teams: dict[str, str] = field(default_factory=lambda: {"team": "*"})
    settings: dict[str, Any] = field(default_factory=dict)


def pettingzoo_env(module: str, function: str = "parallel_env", render_mode: str | None = None, **kwargs: Any) -> Any:
    """An environment by its module, for example "mpe2.simple_spread_v3".

    Raises:
        ValueError: If a package is missing.
    """
    try:
        return getattr(import_module(module), function)(render_mode=render_mode, **kwargs)
    except ModuleNotFoundError as error:
        raise ValueError(f"{module} needs the package {error.name}: pip install 'sb3-ext[pettingzoo]'") from error


def board_game(name: str, render_mode: str | None = None) -> Any:
    """A game of PettingZoo's classic family, for two that move in turn."""
    return pettingzoo_env(f"pettingzoo.classic.{name}", "env", render_mode)


def pistons(render_mode: str | None = None) -> Any:
    """Pistonball for images of one colour, 84 x 42, the last three on top of one another (SuperSuit)."""
    from supersuit import color_reduction_v0, frame_stack_v1, resize_v1

    env = pettingzoo_env("pettingzoo.butterfly.pistonball_v6", render_mode=render_mode, n_pistons=10, continuous=False)
    return frame_stack_v1(resize_v1(color_reduction_v0(env, mode="B"), x_size=42, y_size=84), 3)


def grid_game(name: str, render_mode: str | None = None, **kwargs: Any) -> Any:
    """``Carry`` or ``Tag``."""
    return getattr(import_module(f"sb3_ext.envs.multi.{name.lower()}"), name)(render_mode=render_mode, **kwargs)


def matrix_game(name: str, render_mode: str | None = None) -> Any:
    """A game of ``sb3_ext.envs.multi.matrix_game.GAMES``."""
    from sb3_ext.envs.multi.matrix_game import MatrixGame

    return MatrixGame(name, render_mode=render_mode)


SPREAD = {
    "policy": "MlpPolicy", "n_steps": 128, "batch_size": 512, "n_epochs": 5, "learning_rate": "lin_0.001",
    "gamma": 0.95, "gae_lambda": 0.95, "ent_coef": 0.01,
}  # fmt: skip
SPREAD_CENTRAL = {**SPREAD, "policy": "CentralizedCriticPolicy"}
GRADIENT = {
    "policy": "MlpPolicy", "n_steps": 4, "learning_rate": 0.05, "gamma": 1.0, "vf_coef": 1.0, "max_grad_norm": 100.0,
    "use_rms_prop": False, "policy_kwargs": {"net_arch": [], "optimizer_class": torch.optim.SGD},
}  # fmt: skip
"""The plain policy gradient: a logit for each action, a step of 0.1 (weight and bias of the logit both move)."""
TUTORIAL = Recipe("ppo", 300_000, 8, None, {"policy": "MlpPolicy", "learning_rate": 1e-3, "batch_size": 256})
"""What PettingZoo's tutorials of SB3 train with."""
EXAMPLES: dict[str, Example] = {
    "simple_spread": Example(
        "three agents share three landmarks among them (cooperative): PPO in three ways",
        "team_game",
        partial(pettingzoo_env, "mpe2.simple_spread_v3"),
        {
            "shared": {"*": Recipe("ppo", 300_000, 16, None, SPREAD)},
            "independent": {f"agent_{i}": Recipe("ppo", 300_000, 16, None, SPREAD) for i in range(3)},
            "centralized": {"*": Recipe("ppo", 300_000, 16, None, SPREAD_CENTRAL)},
        },
        settings={"film": {"episodes": 6, "frames_per_second": 10}},
    ),
    "simple_tag": Example(
        "three chasers, one faster runner (mixed): PPO for the chasers beside DQN for the runner",
        "team_game",
        partial(pettingzoo_env, "mpe2.simple_tag_v3"),
        {
            "independent": {
                "adversary_*": Recipe("ppo", 300_000, 16, None, SPREAD),
                "agent_*": Recipe("dqn", 300_000, 16, None, {
                    "policy": "MlpPolicy", "learning_rate": 5e-4, "gamma": 0.95, "buffer_size": 100_000,
                    "learning_starts": 5_000, "train_freq": 4, "gradient_steps": 8, "batch_size": 128,
                    "target_update_interval": 1_000, "exploration_fraction": 0.2, "exploration_final_eps": 0.05,
                }),
            },
        },
        teams={"chasers": "adversary_*", "runner": "agent_*"},
        settings={"film": {"episodes": 6, "frames_per_second": 10}},
    ),
    "pistonball": Example(
        "ten pistons push a ball, each sees an image of its surroundings: CnnPolicy, SuperSuit",
        "team_game",
        pistons,
        {"shared": {"*": Recipe("ppo", 30_000, 4, None, {
            "policy": "CnnPolicy", "n_steps": 64, "batch_size": 256, "n_epochs": 4, "learning_rate": 3e-4,
            "gamma": 0.99, "ent_coef": 0.01, "clip_range": 0.1,
        })}},
        settings={"film": {"episodes": 2, "frames_per_second": 20}, "eval_episodes": 10},
    ),
    "knights_archers_zombies": Example(
        "knights and archers hold off zombies, and die while others fight on: PPO, AliveRolloutBuffer",
        "team_game",
        partial(pettingzoo_env, "pettingzoo.butterfly.knights_archers_zombies_v11"),
        {"shared": {"*": Recipe("ppo", 300_000, 8, None, {
            "policy": "MlpPolicy", "n_steps": 256, "batch_size": 1024, "n_epochs": 5, "learning_rate": "lin_0.001",
            "gamma": 0.99, "ent_coef": 0.01,
        })}},
        settings={
            "film": {"episodes": 1, "frames_per_second": 25, "width": 640}, "eval_episodes": 40, "deaths": True,
            "deterministic": False,
        },
    ),
    "connect_four": Example(
        "four in a row by self-play: MaskablePPO, OpponentPool, Elo",
        "board_game",
        partial(board_game, "connect_four_v3"),
        {"self-play": {"*": Recipe("ppo_mask", 10_000_000, 256, None, {
            "policy": "MlpPolicy", "n_steps": 32, "batch_size": 512, "n_epochs": 4, "learning_rate": "lin_0.001",
            "gamma": 0.99, "gae_lambda": 0.95, "normalize_advantage": False,
            "policy_kwargs": {"net_arch": [256], "features_extractor_class": BoardConvolution},
        })}},
        settings={
            "games": "connect_four", "opponents": {"one-ply": "connect_four_one_ply"}, "ent_coef": (0.1, 0.01),
            "random_opening": 8,
            "pool": {"sampling": "uniform", "latest_share": 0.5, "max_size": 8}, "every": 300_000,
            "film": {"episodes": 3, "frames_per_second": 2},
        },
    ),
    "tic_tac_toe": Example(
        "three in a row by self-play, until even perfect play cannot beat it",
        "board_game",
        partial(board_game, "tictactoe_v3"),
        {"self-play": {"*": Recipe("ppo_mask", 600_000, 64, None, {
            "policy": "MlpPolicy", "n_steps": 64, "batch_size": 1024, "n_epochs": 4, "learning_rate": 1e-3,
            "gamma": 0.99, "gae_lambda": 0.95, "normalize_advantage": False, "policy_kwargs": {"net_arch": [128, 128]},
        })}},
        settings={
            "games": "tic_tac_toe", "opponents": {"one-ply": "tic_tac_toe_one_ply", "perfect": "tic_tac_toe_perfect"},
            "ent_coef": (0.2, 0.03), "random_opening": 3,
            "pool": {"sampling": "uniform", "latest_share": 0.5}, "every": 20_000,
            "film": {"episodes": 4, "frames_per_second": 1},
        },
    ),
    "carry": Example(
        "two carry a box that is too heavy for one: independent Q-learning beside the joint optimum",
        "grid_game",
        partial(grid_game, "Carry"),
        {"independent": {f"carrier_{i}": Recipe("q_learning", 400_000, 8, None, {
            "policy": "TabularPolicy", "learning_rate": 0.1, "gamma": 0.99, "exploration": "lin_0.3",
        }) for i in range(2)}},
        settings={"film": {"episodes": 2, "frames_per_second": 3}},
    ),
    "tag": Example(
        "a chaser and a runner round a pillar: independent Q-learning beside the exact value",
        "grid_game",
        partial(grid_game, "Tag"),
        {"independent": {agent: Recipe("q_learning", 150_000, 8, None, {
            "policy": "TabularPolicy", "learning_rate": "lin_0.1", "gamma": 0.9, "initial_value": 0.0,
            "exploration": Boltzmann(0.1),
        }) for agent in ("chaser_0", "runner_0")}},
        settings={"film": {"episodes": 4, "frames_per_second": 3}, "temperature": 0.02},
    ),
    **{
        name: Example(
            about,
            "matrix_game",
            partial(matrix_game, name),
            {"independent": {f"player_{i}": Recipe("a2c", n_timesteps, 64, None, GRADIENT) for i in range(2)}},
            settings={"starts": starts},
        )
        for name, n_timesteps, about, starts in (
            ("prisoners_dilemma", 100_000, "both come to defect, wherever they start", [
                [[0.9, 0.1], [0.9, 0.1]], [[0.95, 0.05], [0.3, 0.7]], [[0.2, 0.8], [0.8, 0.2]],
            ]),
            ("stag_hunt", 100_000, "where they start decides between the good equilibrium and the safe one", [
                [[0.9, 0.1], [0.8, 0.2]], [[0.8, 0.2], [0.6, 0.4]],
                [[0.3, 0.7], [0.9, 0.1]], [[0.95, 0.05], [0.65, 0.35]],
            ]),
            ("rock_paper_scissors", 300_000, "they run round the equilibrium, and only their average arrives", [
                [[0.5, 0.3, 0.2], [0.25, 0.35, 0.4]],
            ]),
        )
    },
}  # fmt: skip


def shipped_model(name: str) -> Path:
    """Where the trained model of an example is, if one ships."""
    return Path(__file__).parent / "models" / f"{name}.zip"
