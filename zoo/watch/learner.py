"""One agent that learns in one world: the library's own algorithm, driven in chunks and in single steps."""

import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext.algos import TABLE
from sb3_ext.common.exploration import EpsilonGreedy
from sb3_ext.envs import GridWorld, PotentialShaping
from sb3_ext.tabular.algorithm import TabularAlgorithm
from sb3_ext.zoo.watch.curve import Curve
from sb3_ext.zoo.watch.explaining import Transition, look, spell_out
from sb3_ext.zoo.watch.messages import AgentSettings

EPISODE_STEPS = 1_000  # after which an episode is cut off, where the world does not say
OPTIONS = {"q_learning": ("lambda_",), "sarsa": ("n_steps", "lambda_"), "expected_sarsa": ("n_steps",),
           "dyna_q": ("planning_steps", "kappa")}  # fmt: skip
"""The settings that only some algorithms have."""
LIVE = ("alpha", "epsilon")
"""The settings that can change without forgetting what was learned."""


class Learner:
    """An agent and its environment, both from the library.

    Args:
        description: The world, as ``GridWorld.from_dict`` reads it.
        settings: The agent's.
        gamma: Discount.

    Raises:
        ValueError: If the world or the agent is impossible.
    """

    def __init__(self, description: Mapping[str, Any], settings: AgentSettings, gamma: float) -> None:
        self.settings, self.curve = settings, Curve()
        self.grid, self.monitor, env = make_environment(description, settings, gamma)
        options = {name: getattr(settings, name) for name in OPTIONS.get(settings.algo, ())}
        if settings.algo == "dyna_q" and "change" in description:
            options["model"] = "latest"  # follows a world that changes at once, as in the book
        module, _, name = TABLE[settings.algo].path.partition(":")
        self.model: TabularAlgorithm = getattr(import_module(module), name)(
            "TabularPolicy", DummyVecEnv([lambda: env]), learning_rate=settings.alpha, gamma=gamma,
            exploration=EpsilonGreedy(settings.epsilon), initial_value=settings.initial_value, seed=settings.seed,
            **options,
        )  # fmt: skip
        self.model.set_logger(Logger(None, []))
        self.at_once = 1_000
        self._callback = CallbackList([])
        self.model.learn(0, log_interval=0)

    def change(self, settings: AgentSettings) -> bool:
        """Takes over other settings while it learns on, if they allow that.

        Returns:
            False if they need a new agent.
        """
        if replace(settings, **{name: getattr(self.settings, name) for name in LIVE}) != self.settings:
            return False
        self.settings = settings
        self.model.learning_rate = settings.alpha
        self.model.exploration = EpsilonGreedy(settings.epsilon)
        return True

    def learn(self, n_steps: int, seconds: float) -> None:
        """Makes so many transitions; ``at_once`` is then how many would about fit into the time given."""
        started = time.perf_counter()
        self.model.learn(n_steps, self._callback, reset_num_timesteps=False, log_interval=0)
        self._callback.locals = {}  # a circle of references that would keep the arrays of each call for a while
        taken = time.perf_counter() - started
        if n_steps >= self.at_once or taken > seconds:
            self.at_once = max(int(n_steps * min(2.0, seconds / max(taken, 1e-9))), 1)
        self._take_in_episodes()

    def step(self) -> dict[str, Any]:
        """Makes one transition, and spells out what was learned from it (see ``explaining.spell_out``)."""
        before, witness = look(self.model), Witness(self.state)
        self.model.engine = "step"
        try:
            self.model.learn(1, callback=witness, reset_num_timesteps=False, log_interval=0)
        finally:
            self.model.engine = "auto"
        self._take_in_episodes()
        witness.locals = {}
        assert witness.seen is not None
        return {**spell_out(self.model, before, witness.seen), "reward_terms": witness.reward_terms}

    def _take_in_episodes(self) -> None:
        """Moves finished episodes from the monitor, which would keep all for ever, into the curve."""
        monitor = self.monitor
        self.curve.add(monitor.episode_returns)
        for kept in (monitor.episode_returns, monitor.episode_lengths, monitor.episode_times):
            kept.clear()

    @property
    def state(self) -> int:
        """Where the agent is."""
        return self.grid.state

    @property
    def n_steps(self) -> int:
        """Transitions so far."""
        return self.model.num_timesteps

    @property
    def q_table(self) -> npt.NDArray[np.float64]:
        """Q(s, a) [S, A], with two tables their mean."""
        return self.model.policy.q_table

    @property
    def visits(self) -> npt.NDArray[np.int64]:
        """N(s), how often values of each state were learned from experience, [S]."""
        return self.model.policy.arrays()["visits"].sum(axis=(0, 2))


class Witness(BaseCallback):
    """Takes down the transition that was made.

    Args:
        state: Where the agent was before.
    """

    def __init__(self, state: int) -> None:
        super().__init__()
        self.state = state
        self.seen: Transition | None = None
        self.reward_terms: dict[str, float] | None = None

    def _on_step(self) -> bool:
        info, done = self.locals["infos"][0], bool(self.locals["dones"][0])
        self.reward_terms = info.get("reward_terms")
        truncated = done and bool(info.get("TimeLimit.truncated", False))
        reached = info["terminal_observation"] if done else self.locals["new_obs"][0]
        self.seen = Transition(
            self.state, int(self.locals["actions"][0]), float(self.locals["rewards"][0]), int(reached),
            done and not truncated, truncated,
        )  # fmt: skip
        return True


def make_environment(
    description: Mapping[str, Any], settings: AgentSettings, gamma: float
) -> tuple[GridWorld, Monitor, gym.Env[Any, Any]]:
    """The world itself, the monitor around it, and what the agent learns from: shaped, if it is to be.

    Raises:
        ValueError: If the world is impossible, or has no goal that a potential needs.
    """
    grid = GridWorld.from_dict(description)
    monitor = Monitor(TimeLimit(grid, description.get("max_episode_steps", EPISODE_STEPS)))
    if settings.shaping == "none":
        return grid, monitor, monitor
    return grid, monitor, PotentialShaping(monitor, settings.shaping, gamma, settings.scale)
