"""What shaping is worth: environment steps until PPO solves four rooms, by what is added to the reward.

The shortest path has 20 steps and an episode at most 50, in which a random walk meets the goal once in 5000 episodes.
PPO learns from the reward with what is added to it; what counts is the raw one, 1 at the goal: solved is when 90 of the
last 100 training episodes got there. A training that is not solved by its last step counts as infinitely long.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.vec_env import make_vec_env
from sb3_ext.zoo.recipes import Recipe

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENV_ID = "sb3_ext.envs:sb3_ext/FourRooms-v0"
MAX_EPISODE_STEPS = 50
SOLVED = 0.9  # mean raw return of the last 100 training episodes
N_SEEDS = 10
GAMMA = 0.99
PPO = {
    "policy": "MlpPolicy", "n_steps": 128, "batch_size": 256, "n_epochs": 4, "learning_rate": 1e-3, "ent_coef": 0.01,
    "gamma": GAMMA,
}  # fmt: skip
RECIPE = Recipe("ppo", 200_000, n_envs=8, hyperparams=PPO)
ADDED: dict[str, dict[str, Any]] = {
    "plain": {},
    "distance": {"potential": "distance", "gamma": GAMMA, "scale": 0.05},
    "count": {"beta": 0.01},
    "rnd": {"scale": 0.1, "gamma": GAMMA},
}
"""What is added to the reward. The weights had the best mean on seeds 100 to 102, out of three values for each."""
TITLES = {"plain": "plain", "distance": "shaped by the distance", "count": "count bonus", "rnd": "RND"}


def make_env(
    env_id: str,
    n_envs: int,
    seed: int,
    backend: str = "auto",
    env_kwargs: dict[str, Any] | None = None,
    *,
    added: str,
    settings: Mapping[str, Any],
) -> VecEnv:
    """Four rooms with something added to the reward, outside the monitor, which shows the raw one.

    Args:
        env_id: registered id.
        n_envs: number of environments; each counts its own visits.
        seed: of the environments and of RND's networks.
        backend: as in :func:`sb3_ext.vec_env.make_vec_env`.
        env_kwargs: arguments of the environment.
        added: one of ``ADDED``.
        settings: arguments of its wrapper.
    """
    from sb3_ext.envs import RND, CountBonus, PotentialShaping

    wrapper = {"distance": PotentialShaping, "count": CountBonus}.get(added)
    env = make_vec_env(
        env_id,
        n_envs=n_envs,
        seed=seed,
        wrapper_class=None if wrapper is None else partial(wrapper, **settings),
        env_kwargs={"max_episode_steps": MAX_EPISODE_STEPS},
        backend=backend,
    )
    return RND(env, seed=seed, **settings) if added == "rnd" else env


def middle_values(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The two values that the median is the mean of; one twice if their number is odd."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]


def steps_until_solved(values: np.ndarray) -> str:
    """Median over all seeds, where those that never got there are the longest, and how many did.

    Where that lies between a seed that got there and one that did not, only a bound of it is known.

    >>> steps_until_solved(np.array([10_000, 20_000, np.inf, np.inf]))
    'median above 20,000 steps, 2 of 4 seeds solved'
    """
    lower, upper = middle_values(values)
    text = f"{(lower + upper) / 2:,.0f}" if np.isfinite(upper) else f"above {min(lower, RECIPE.n_timesteps):,.0f}"
    return f"median {text} steps, {np.isfinite(values).sum()} of {len(values)} seeds solved"


def draw_steps(values_of: Mapping[str, Sequence[float]]) -> "Figure":
    """A dot for each seed and a line at the median, for each variant; what was not solved lies beyond the limit.

    A median that is only known to lie between two seeds is a dotted line from one to the other.

    Args:
        values_of: title -> environment steps until solved, infinite where it never was.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1.2 + 0.65 * len(values_of)), layout="constrained")
    axes = figure.subplots()
    limit, never = RECIPE.n_timesteps, 1.5 * RECIPE.n_timesteps
    for row, values in enumerate(values_of.values()):
        shown = np.where(np.isfinite(values), values, never)
        height = row + np.linspace(-0.22, 0.22, len(shown))
        axes.scatter(shown, height, s=30, color=f"C{row}", alpha=0.75, linewidth=0)
        lower, upper = (min(value, never) for value in middle_values(values))
        if lower < upper == never:
            axes.plot([lower, never], [row, row], color="0.15", linewidth=1.5, linestyle=":", zorder=1)
        else:
            axes.plot([(lower + upper) / 2] * 2, [row - 0.36, row + 0.36], color="0.15", linewidth=2, zorder=1)
    axes.axvline(limit, color="0.5", linestyle="--", linewidth=1)
    axes.set(xscale="log", xlim=(8_000, 1.2 * never), xlabel="environment steps until solved; a line at the median")
    ticks = [10_000, 20_000, 50_000, 100_000, limit, never]
    axes.set_xticks(ticks, [*(f"{tick // 1000}k" for tick in ticks[:-1]), "not\nsolved"], minor=False)
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(values_of)), list(values_of))
    axes.invert_yaxis()
    axes.set_title("PPO on four rooms, by what is added to the reward")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    return figure
