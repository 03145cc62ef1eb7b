"""Potentials: numbers that say how promising a state is, for ``PotentialShaping``, and distances to a goal.

Each is a callable on the observation. Those with a name ("distance", "progress", "value") look at the environment
itself, since not every observation shows where the goal is.
"""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from sb3_ext.envs.grid.map import GOAL
from sb3_ext.tabular.mdp import TabularMDP

FloatArray = npt.NDArray[np.float64]
OfObservation = Callable[[Any], float]
KINDS = "'distance', 'progress', 'value', a table or a callable"


def steps_to_goal(mdp: TabularMDP, goals: npt.ArrayLike | None = None) -> FloatArray:
    """Least number of steps from each state to a goal: breadth-first search backwards through possible outcomes.

    Chance counts as luck. States that cannot reach a goal (walls, holes) get one step more than the farthest that can,
    so that all distances are finite.

    Args:
        mdp: The world.
        goals: Indices of the goal states. By default the goal is where the best-rewarded terminating outcomes lead;
            inert states (absorbing ones, where nothing but the end happens any more) have no say in what is best.

    Returns:
        Distances [S], in steps.

    Raises:
        ValueError: If nothing terminates, so that there is no goal, or a goal is no state.
    """
    possible = mdp.probability > 0
    at_goal = possible & (_best_endings(mdp) if goals is None else _of_goals(mdp, goals)[mdp.next_state])
    source, _, _ = (possible & ~mdp.terminated).nonzero()
    target = mdp.next_state[possible & ~mdp.terminated]
    steps = np.full(mdp.n_states, np.inf)
    steps[at_goal.any(axis=(1, 2))] = 1.0
    steps[mdp.next_state[at_goal] if goals is None else np.asarray(goals)] = 0.0
    frontier, distance = np.unique(np.flatnonzero(steps == 1.0)), 1.0
    while len(frontier):
        reached = np.zeros(mdp.n_states, dtype=bool)
        reached[frontier] = True
        frontier = np.unique(source[reached[target]])
        frontier = frontier[np.isinf(steps[frontier])]
        distance += 1.0
        steps[frontier] = distance
    return np.where(np.isinf(steps), steps[np.isfinite(steps)].max() + 1.0, steps)


def _best_endings(mdp: TabularMDP) -> npt.NDArray[np.bool_]:
    """The possible terminating outcomes of the greatest reward, bool [S, A, K], inert states left out."""
    possible = mdp.probability > 0
    itself = mdp.next_state == np.arange(mdp.n_states)[:, None, None]
    inert = (~possible | (itself & mdp.terminated & (mdp.reward == 0))).all(axis=(1, 2))
    ending = possible & mdp.terminated & ~inert[:, None, None]
    if not ending.any():
        raise ValueError("no outcome terminates, so there is no goal to measure the distance to; pass a callable")
    return ending & (mdp.reward == mdp.reward[ending].max())


def _of_goals(mdp: TabularMDP, goals: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """True for the goal states, bool [S]."""
    states = np.asarray(goals)
    if not (states.size and states.dtype.kind in "iu" and (states >= 0).all() and (states < mdp.n_states).all()):
        raise ValueError(f"goals must be one or more of the states 0 .. {mdp.n_states - 1}, got {goals!r}")
    mask = np.zeros(mdp.n_states, dtype=np.bool_)
    mask[states] = True
    return mask


class GoalDistance:
    """Distance to the goal, for environments that know their goal.

    With an exact model (``mdp``, or Gymnasium's ``P``): ``steps_to_goal`` at the environment's current state, whatever
    is observed; a map that changes is measured anew, and every goal of a GridWorld's map counts. With Dict
    observations of ``achieved_goal`` and ``desired_goal``: the Euclidean distance between them.

    Args:
        env: The environment.

    Raises:
        ValueError: If the environment has neither.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.env = env
        self._measured: Any = None
        self.table: FloatArray | None = None
        space = env.observation_space
        self._has_goals = isinstance(space, spaces.Dict) and {"achieved_goal", "desired_goal"} <= set(space)
        if model_of(env) is None and not self._has_goals:
            raise ValueError(
                f"{env} does not say where its goal is: it has no model ('mdp' or 'P') and no 'achieved_goal' and "
                f"'desired_goal' in its observations ({space}); pass a callable on the observation"
            )

    def __call__(self, observation: Any) -> float:
        """The distance from where the environment is now; ``observation`` is what it shows of it."""
        model = model_of(self.env)
        if model is None:
            return float(np.linalg.norm(np.subtract(observation["achieved_goal"], observation["desired_goal"])))
        if model is not self._measured:
            self.table = steps_to_goal(TabularMDP.from_env(self.env), goals_of(self.env))
            self._measured = model
        assert self.table is not None
        return float(self.table[state_of(self.env)])


def model_of(env: gym.Env[Any, Any]) -> Any:
    """The environment's exact model as it publishes it (``mdp`` or ``P``), or None."""
    inner = env.unwrapped
    return getattr(inner, "mdp", None) or getattr(inner, "P", None)


def goals_of(env: gym.Env[Any, Any]) -> npt.NDArray[np.intp] | None:
    """The goal states of a GridWorld, with and without the key; None for other worlds and for maps without a goal."""
    inner = env.unwrapped
    grid_map = getattr(inner, "grid_map", None)
    if grid_map is None or not grid_map.mask(GOAL).any():
        return None
    layers = inner.mdp.n_states // grid_map.n_cells  # type: ignore[attr-defined]
    return np.flatnonzero(np.tile(grid_map.mask(GOAL).ravel(), layers))


def state_of(env: gym.Env[Any, Any]) -> int:
    """Index of the state that an environment with a model is in (``state``, or ``s`` in Gymnasium's toy texts).

    Raises:
        ValueError: If there is neither.
    """
    inner = env.unwrapped
    state = getattr(inner, "state", getattr(inner, "s", None))
    if state is None or np.ndim(state) != 0:
        raise ValueError(f"{env} has a model but no integer 'state' (or 's') that says where in it we are: {state!r}")
    return int(state)


class ProgressPotential:
    """1 - d(S) / d(S_0): the share of the way that is done. Its scale is fixed at reset, so F still telescopes."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        self.distance = GoalDistance(env)
        self.whole_way = 1.0

    def begin(self, observation: Any) -> None:
        """Measures the whole way."""
        self.whole_way = self.distance(observation) or 1.0

    def __call__(self, observation: Any) -> float:
        """Phi of where the environment is now."""
        return 1.0 - self.distance(observation) / self.whole_way


class ValuePotential:
    """The optimal value of the current state of an environment with an exact model."""

    def __init__(self, env: gym.Env[Any, Any], gamma: float) -> None:
        self.env = env
        self.gamma = gamma
        self._solved: Any = None
        self.table: FloatArray = self._solve()

    def _solve(self) -> FloatArray:
        from sb3_ext.tabular.planning import value_iteration

        mdp, self._solved = TabularMDP.from_env(self.env), model_of(self.env)
        return value_iteration(mdp, self.gamma).values

    def __call__(self, observation: Any) -> float:
        """V*(S) of where the environment is now."""
        if model_of(self.env) is not self._solved:
            self.table = self._solve()
        return float(self.table[state_of(self.env)])


class TablePotential:
    """An array indexed by a Discrete observation.

    Raises:
        ValueError: If the observations are not Discrete or their number is not the table's length.
    """

    def __init__(self, env: gym.Env[Any, Any], table: npt.ArrayLike) -> None:
        space = env.observation_space
        self.table: FloatArray = np.asarray(table, dtype=np.float64)
        if not isinstance(space, spaces.Discrete):
            raise ValueError(f"a table of potentials needs Discrete observations, got {space}; pass a callable")
        if self.table.shape != (space.n,):
            raise ValueError(f"the table of potentials has the shape {self.table.shape}, {space} needs ({space.n},)")
        self.first = int(space.start)

    def __call__(self, observation: Any) -> float:
        """The table's entry."""
        return float(self.table[int(observation) - self.first])


class DistancePotential(GoalDistance):
    """Minus the distance to the goal."""

    def __call__(self, observation: Any) -> float:
        """-d(S) of where the environment is now."""
        return -super().__call__(observation)


def make_potential(
    env: gym.Env[Any, Any], potential: str | npt.ArrayLike | OfObservation, gamma: float
) -> OfObservation:
    """Turns a name, a table or a callable into a function of the observation; see ``PotentialShaping``."""
    if callable(potential):
        return potential
    if potential is None:
        raise ValueError(f"a potential is needed, got None: {KINDS}")
    if not isinstance(potential, str):
        return TablePotential(env, potential)
    if potential == "distance":
        return DistancePotential(env)
    if potential == "progress":
        return ProgressPotential(env)
    if potential == "value":
        return ValuePotential(env, gamma)
    raise ValueError(f"unknown potential {potential!r}: {KINDS}")
