"""The rows of the README's table: which algorithms on which environments, the best that is possible, published scores.

Ours train by ``zoo/hyperparams/``, SB3's by RL Zoo's files, or where those have no entry by their classes' defaults.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sb3_ext.tabular import TabularMDP

TABULAR = ("q_learning", "sarsa", "expected_sarsa", "double_q_learning", "monte_carlo", "dyna_q")
NETWORKS = ("reinforce", "grpo")
LONGEST = 1_000  # steps in which an episode without a time limit is to be done
SB3 = {"ppo": 3, "a2c": 2, "dqn": 2}  # seeds by algorithm


class Row(NamedTuple):
    """An environment of the table."""

    env_id: str
    n_seeds: dict[str, int]
    """by algorithm"""
    published: str = ""
    """scores of others, greedy unless said otherwise"""
    n_timesteps: int | None = None
    """of an algorithm whose hyperparameter file has no entry for the environment"""


def _world(name: str, n_timesteps: int, **others: int) -> Row:
    """A small world: every table with 20 seeds, others with so many."""
    return Row(name, {**dict.fromkeys(TABULAR, 20), **others}, n_timesteps=n_timesteps)


SUITE = (
    Row("CartPole-v1", {**dict.fromkeys(NETWORKS, 20), **SB3, "ppo": 5},
        "RL Zoo, one run each: PPO 500, A2C 500, DQN 500; CleanRL: DQN 488.7, C51 481.2"),
    Row("Acrobot-v1", {**dict.fromkeys(NETWORKS, 5), **SB3},
        "RL Zoo: PPO -73.5, QR-DQN -69.1; CleanRL: DQN -91.5, C51 -87.7"),
    Row("LunarLander-v3", {**dict.fromkeys(NETWORKS, 3), **SB3},
        "RL Zoo (v2): PPO 242; SLM-Lab, 300k frames: DQN 195.2, DDQN+PER 265.9"),
    _world("FrozenLake-v1", 200_000, reinforce=5, grpo=5, ppo=2),
    _world("FrozenLake8x8-v1", 200_000),
    _world("CliffWalking-v1", 200_000, reinforce=5, grpo=5, ppo=2),
    _world("Taxi-v4", 200_000, ppo=2),
    _world("sb3_ext/GridWorld-v0", 200_000, reinforce=5, grpo=5),
    _world("sb3_ext/FourRooms-v0", 200_000, reinforce=5, grpo=5),
    *(_world(f"sb3_ext/{name}-v0", 100_000)
      for name in ("CliffWalking", "WindyGridWorld", "DynaMaze", "Obstacles5x5", "FrozenLake4x4", "KeyDoor")),
)  # fmt: skip


def best_return(env_id: str) -> float | None:
    """The highest mean return that any policy can reach within the time limit, for worlds whose table is known.

    Backward induction (Sutton & Barto, 2nd ed., equation 4.1 without a discount) over the steps that are left.
    """
    import gymnasium as gym

    import sb3_ext.envs  # noqa: F401  (registers ids)
    from sb3_ext.tabular import TabularMDP

    env = gym.make(env_id)
    world = env.unwrapped
    if hasattr(world, "mdp"):
        mdp = world.mdp
    elif hasattr(world, "P"):
        mdp = TabularMDP.from_P(world.P, getattr(world, "initial_state_distrib", None))
    else:
        return None
    return best_in(mdp, env.spec.max_episode_steps or LONGEST if env.spec else LONGEST)


def best_in(mdp: "TabularMDP", n_steps: int) -> float:
    """The highest mean return of an episode of at most so many steps.

    Example:
        >>> from sb3_ext.tabular import TabularMDP
        >>> there = [[False, True], [False, False]]  # the second action ends the episode in the first state
        >>> walk = TabularMDP.from_arrays([[1, 0], [1, 1]], [[1.0, 2.5], [1.0, 1.0]], terminated=there)
        >>> best_in(walk, 2), best_in(walk, 3)
        (2.25, 3.0)
    """
    import numpy as np

    values = np.zeros(mdp.n_states)
    goes_on = ~mdp.terminated
    for _ in range(n_steps):
        values = (mdp.probability * (mdp.reward + goes_on * values[mdp.next_state])).sum(axis=2).max(axis=1)
    return float(mdp.start @ values)
