"""How far DQN's and Double DQN's values lie above the exact ones, in worlds small enough to be solved.

The largest of noisy estimates is too high on average, and every bootstrap takes it for the truth; Double DQN picks the
action with one network and takes its value from another (van Hasselt et al. 2016). Here Q* is known by dynamic
programming.
"""

from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

import sb3_ext.envs  # noqa: F401  (registers ids)
from sb3_ext.dqn import ExactOverestimation
from sb3_ext.tabular import TabularMDP, value_iteration
from sb3_ext.zoo.dqn.rows import Job
from sb3_ext.zoo.parallel import StepCounter
from sb3_ext.zoo.recipes import Recipe
from sb3_ext.zoo.training import train

METHODS = {"DQN": {"double": False}, "Double DQN": {"double": True}}
SETTINGS: dict[str, Any] = {"policy": "MlpPolicy", "learning_rate": 3e-2, "buffer_size": 1_000, "learning_starts": 200,
                            "train_freq": 1, "gradient_steps": 2, "target_update_interval": 400,
                            "exploration_final_eps": 0.5, "policy_kwargs": {"net_arch": []}}  # fmt: skip
"""Without hidden units a network on one-hot states is a table; large steps and a short buffer keep it noisy."""
N_TIMESTEPS, N_ENVS = 16_000, 8


class World(NamedTuple):
    """A task that is solved exactly."""

    env_id: str
    gamma: float
    states: tuple[int, ...]
    """those that are compared: not the terminal ones"""


WORLDS = {
    "state A of example 6.7 in Sutton & Barto": World("sb3_ext/MaximizationBias-v0", 1.0, (0,)),
    "slippery FrozenLake": World("FrozenLake-v1", 0.95, (0, 1, 2, 3, 4, 6, 8, 9, 10, 13, 14)),
}


def jobs(n_seeds: int) -> list[Job]:
    """Both methods in every world."""
    found = []
    for name, world in WORLDS.items():
        for method, switches in METHODS.items():
            hyperparams = {**SETTINGS, "gamma": world.gamma, **switches}
            recipe = Recipe("double_dqn", N_TIMESTEPS, N_ENVS, None, hyperparams)
            found += [Job("overestimate", name, method, world.env_id, recipe, seed) for seed in range(n_seeds)]
    return found


def exact_q(world: World) -> np.ndarray:
    """Q* of the states that are compared, [n_states, n_actions]."""
    mdp = TabularMDP.from_env(gym.make(world.env_id))
    return value_iteration(mdp, world.gamma).q_values[list(world.states)]


def measure(job: Job) -> float:
    """Mean of Q - Q* over states, actions and the second half of the training."""
    world = WORLDS[job.task]
    callback = ExactOverestimation(np.array(world.states), exact_q(world), every=200)
    _, env = train(job.recipe, job.env_id, job.seed, callback=[callback, StepCounter()])
    env.close()
    return float(np.mean(callback.overestimations[len(callback.overestimations) // 2 :]))
