"""Reward shaping: extra rewards that guide an agent, and the one form of them that cannot mislead it.

Potential-based shaping adds, to the reward of the step from S to S',

    F = gamma * Phi(S') - Phi(S),        Phi(S') = 0 if S' is terminal        (Ng, Harada & Russell 1999)

for any function Phi of the state. Along an episode the F telescope: the discounted return changes by -Phi(S_0),
whatever the agent does, so no ranking of policies changes. That holds because (1) a terminated state counts as Phi = 0,
(2) a state in which time ran out keeps its Phi (the episode would have gone on), (3) gamma is the agent's. Plain
distance and progress rewards look alike and break it; ``shaping_proof.py`` solves the worlds and shows both.

The pure functions ``potential_term``, ``distance_term`` and ``progress_term`` are the equations; the classes call them.
Read next: ``shaping_proof.py``, then ``exploration.py``.
"""

import math
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.utils import RecordConstructorArgs
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.envs.wrappers.potentials import GoalDistance, OfObservation, ProgressPotential, make_potential
from sb3_ext.envs.wrappers.reward_terms import RewardTerms, finite


def potential_term(potential: Any, next_potential: Any, gamma: float, terminated: Any) -> Any:
    """F = gamma Phi(S') - Phi(S), where Phi of a terminated state is 0; numbers or arrays that broadcast.

    Example:
        >>> float(potential_term(-3.0, -2.0, gamma=0.5, terminated=False))
        2.0
        >>> float(potential_term(-3.0, -2.0, gamma=0.5, terminated=True))
        3.0
    """
    return gamma * np.where(terminated, 0.0, next_potential)[()] - potential


def distance_term(next_distance: Any, scale: float = 1.0) -> Any:
    """-scale * d(S'): the farther, the worse. Changes what is optimal."""
    return -scale * next_distance


def progress_term(distance: Any, next_distance: Any, scale: float = 1.0) -> Any:
    """d(S) - d(S'), times scale: positive when nearer than before. For gamma < 1 it can change what is optimal.

    It is the potential term of Phi = -scale * d without its gamma: the difference, (1 - gamma) * d(S'), stays behind at
    every step, and with it part of a plain distance reward.
    """
    return scale * (distance - next_distance)


class PotentialShaping(RewardTerms):
    """Adds F = gamma Phi(S') - Phi(S) to the reward, and changes no optimal policy.

    Args:
        env: The environment. A TimeLimit belongs inside.
        potential: Phi, one of

            - "distance": minus the distance to the goal (``GoalDistance``);
            - "progress": the share of the way from S_0 to the goal that is done, 1 at the goal;
            - "value": the exact value function of a world with a model: shaping so good that one step ahead is enough;
            - an array [n], for Discrete(n) observations (a value table, for example);
            - any callable on the observation: ``lambda observation: -abs(observation[0])``.
        gamma: The agent's discount. ``ShapingGammaCallback`` and ``check_gamma`` compare the two.
        scale: Phi is multiplied by it.

    Raises:
        ValueError: If ``gamma`` is outside [0, 1], the name is unknown, the table does not fit the observations, or
            ``scale`` or the potential of an observation is not one finite number.

    Example:
        >>> env = PotentialShaping(gym.make("FrozenLake-v1", is_slippery=False), "distance", gamma=0.5)
        >>> _ = env.reset(seed=0)  # 6 steps from the goal
        >>> env.step(2)[1]  # 0.5 * (-5) - (-6)
        3.5
    """

    term_name = "potential_shaping"

    def __init__(
        self,
        env: gym.Env[Any, Any],
        potential: str | npt.ArrayLike | OfObservation,
        gamma: float,
        scale: float = 1.0,
    ) -> None:
        if not 0 <= finite("gamma", gamma) <= 1:
            raise ValueError(f"gamma must lie in [0, 1], got {gamma}")
        RecordConstructorArgs.__init__(self, potential=potential, gamma=gamma, scale=scale)
        super().__init__(env)
        self.shaping_gamma = gamma
        self.scale = finite("scale", scale)
        self.potential = make_potential(env, potential, gamma)
        self._last = 0.0

    @property
    def shaping_gammas(self) -> list[float]:
        """The discount of this shaping and of those further inside."""
        gammas, env = [self.shaping_gamma], self.env
        while isinstance(env, gym.Wrapper):
            if isinstance(env, PotentialShaping):
                gammas.append(env.shaping_gamma)
            env = env.env
        return gammas

    def begin(self, observation: Any, seed: int | None) -> None:
        """Phi(S_0)."""
        if isinstance(self.potential, ProgressPotential):
            self.potential.begin(observation)
        self._last = self._evaluate(observation)

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """F; Phi(S') is kept where time ran out."""
        potential, next_potential = self._last, self._evaluate(observation)
        self._last = next_potential
        return float(potential_term(potential, next_potential, self.shaping_gamma, terminated))

    def _evaluate(self, observation: Any) -> float:
        what = f"{_name_of(self.potential)}: the potential of the observation {observation!r}"
        return self.scale * finite(what, self.potential(observation))


def _name_of(function: OfObservation) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


class DistanceReward(RewardTerms):
    """Adds -scale * d(S') to the reward. Offered because it is taught; it can change what is optimal.

    Where an episode can end early, ending it stops the flow of negative rewards: the agent may prefer the hole to the
    long way home. Prefer ``PotentialShaping(env, "distance", gamma)``.

    Args:
        env: The environment.
        distance: A callable on the observation; by default ``GoalDistance``.
        scale: Reward per unit of distance.

    Raises:
        ValueError: If no distance is given and the environment does not say where its goal is, or ``scale`` or the
            distance of an observation is not one finite number.
    """

    term_name = "distance"

    def __init__(self, env: gym.Env[Any, Any], distance: OfObservation | None = None, scale: float = 1.0) -> None:
        RecordConstructorArgs.__init__(self, distance=distance, scale=scale)
        super().__init__(env)
        self.distance = distance or GoalDistance(env)
        self.scale = finite("scale", scale)

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """-scale * d(S')."""
        return float(distance_term(self._measure(observation), self.scale))

    def _measure(self, observation: Any) -> float:
        what = f"{_name_of(self.distance)}: the distance of the observation {observation!r}"
        return finite(what, self.distance(observation))


class ProgressReward(DistanceReward):
    """Adds scale * (d(S) - d(S')) to the reward: potential-based shaping without its gamma.

    With gamma = 1 and the goal the only end it is sound; with gamma < 1 it can change what is optimal. Prefer
    ``PotentialShaping(env, "distance", gamma)``. Arguments as of ``DistanceReward``.
    """

    term_name = "progress"

    def begin(self, observation: Any, seed: int | None) -> None:
        """d(S_0)."""
        self._last = self._measure(observation)

    def term(self, observation: Any, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]) -> float:
        """d(S) - d(S'), times scale."""
        last, self._last = self._last, self._measure(observation)
        return float(progress_term(last, self._last, self.scale))


def check_gamma(model: BaseAlgorithm) -> bool:
    """Warns, with both numbers, if the discount of any ``PotentialShaping`` differs from the agent's.

    Args:
        model: An SB3 model with its environment.

    Returns:
        True if all are equal, or nothing is shaped.
    """
    env, gamma = model.get_env(), getattr(model, "gamma", None)
    if env is None or gamma is None:
        return True
    shaped = [i for i, is_shaped in enumerate(env.env_is_wrapped(PotentialShaping)) if is_shaped]
    gammas = env.get_attr("shaping_gammas", indices=shaped) if shaped else []
    different = [shaping for each in gammas for shaping in each if not math.isclose(shaping, gamma)]
    if different:
        warnings.warn(
            f"PotentialShaping discounts with gamma={different[0]}, {type(model).__name__} with gamma={gamma}: the "
            f"shaping may then change what is optimal; use PotentialShaping(env, potential, gamma={gamma})",
            stacklevel=2,
        )
    return not different


class ShapingGammaCallback(BaseCallback):
    """Runs ``check_gamma`` when training starts."""

    def _on_training_start(self) -> None:
        check_gamma(self.model)

    def _on_step(self) -> bool:
        return True
