"""What ``sb3-ext dqn`` trains: every seed of every row."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sb3_ext.zoo.recipes import Recipe, read_recipe

ALONE: dict[str, dict[str, Any]] = {
    "double": {"double": True},
    "dueling": {"dueling": True},
    "prioritized": {"prioritized": True},
    "n_steps": {"n_steps": 3},
    "noisy": {"noisy": True},
    "distributional": {"distributional": True},
}
OFF: dict[str, Any] = {"double": False, "dueling": False, "prioritized": False, "n_steps": 1, "noisy": False,
                       "distributional": False, "alpha": 0.5}  # fmt: skip
ALL: dict[str, Any] = {name: value for switch in ALONE.values() for name, value in switch.items()}
ROWS: dict[str, dict[str, Any]] = {
    "DQN": {},
    **ALONE,
    "Rainbow": ALL,
    **{f"Rainbow without {name}": {**ALL, **{key: OFF[key] for key in switch}} for name, switch in ALONE.items()},
    "DQN without replay": {"replay": False},
    "DQN without target network": {"target_network": False},
}
SUPPORT = {"CartPole-v1": (0.0, 100.0), "Acrobot-v1": (-100.0, 0.0), "MountainCar-v0": (-100.0, 0.0),
           "LunarLander-v3": (-300.0, 300.0)}  # fmt: skip
"""v_min and v_max: with gamma 0.99, -1 or 1 a step is worth -100 or 100 at most."""
GOALS: dict[str, tuple[str, int, int, float]] = {
    "CartPole-v1": ("double_dqn", 500_000, 10, 488.7),
    "Acrobot-v1": ("per_dqn", 500_000, 10, -87.7),
    "MountainCar-v0": ("rainbow", 500_000, 10, -110.0),
    "LunarLander-v3": ("per_dqn", 300_000, 4, 266.0),
}
"""Preset, steps, seeds, and what the last 100 training episodes are asked to return."""


class Job(NamedTuple):
    """One seed of one row."""

    section: str
    task: str
    method: str
    env_id: str
    recipe: Recipe
    seed: int
    asked: float | None = None

    @property
    def figure(self) -> str:
        """Its row in dqn.csv."""
        return f"{self.section}:{self.task}:{self.method}"


def ablation(tasks: Sequence[str], n_seeds: int, n_timesteps: int | None = None) -> list[Job]:
    """RL Zoo's hyperparameters of DQN with every choice of switches; first the first seed of all rows."""
    jobs = []
    for task in tasks:
        tuned = read_recipe("dqn", task, n_timesteps=n_timesteps)
        v_min, v_max = SUPPORT[task]
        for name, switches in ROWS.items():
            hyperparams = {**tuned.hyperparams, **OFF, "v_min": v_min, "v_max": v_max, **switches}
            recipe = replace(tuned, algo="rainbow", hyperparams=hyperparams)
            jobs += [Job("ablate", task, name, task, recipe, seed) for seed in range(n_seeds)]
    return sorted(jobs, key=lambda job: job.seed)


def goals(tasks: Sequence[str], n_seeds: int | None = None) -> list[Job]:
    """The README's figures: a preset with the hyperparameters of its file."""
    jobs = []
    for task in tasks:
        algo, n_timesteps, asked_seeds, asked = GOALS[task]
        recipe = read_recipe(algo, task, n_timesteps=n_timesteps)
        seeds = range(n_seeds or asked_seeds)
        jobs += [Job("goal", task, algo, task, recipe, seed, asked) for seed in seeds]
    return sorted(jobs, key=lambda job: job.seed)
