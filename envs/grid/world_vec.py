"""Many grid worlds at once, behind SB3's ``VecEnv``: one compiled loop a step instead of one Python call a world.

Environment i makes the very transitions of a ``GridWorld`` that was seeded with ``seed + i``: each keeps its own state
of the same generator (splitmix64, one 64-bit integer), which is advanced in the same order: a number for the move where
it is a matter of chance, then, when the episode is over, a number for the new start where there are several.
"""

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_ext.common.compiling import compiled
from sb3_ext.common.random_numbers import splitmix64_uniform
from sb3_ext.envs.grid.infos import Infos, StepInfos
from sb3_ext.envs.grid.layouts import LAYOUTS
from sb3_ext.envs.grid.world import GridWorld, MapLike, first_random_state

_STATELESS_METHODS = ("compute_reward", "observe", "to_dict", "to_file")


@compiled
def _draw_start(random_state, starts):
    """The start of one environment's next episode."""
    if len(starts) == 1:
        return starts[0]
    return starts[int(splitmix64_uniform(random_state) * len(starts))]


@compiled
def _reset_all(random_states, starts, states):
    """Draws a start for every environment, in place."""
    for index in range(len(states)):
        states[index] = _draw_start(random_states[index], starts)


@compiled
def _step_all(
    actions, states, random_states, elapsed, limit, thresholds, next_state, reward, terminated, starts, last_states,
    rewards, dones, truncated, finished,
):  # fmt: skip
    """One step of every environment, in place; finished ones begin anew. Returns how many finished."""
    n_finished = 0
    for index in range(len(states)):
        outcome = 0
        if len(thresholds):
            uniform = splitmix64_uniform(random_states[index])
            while outcome < len(thresholds) and uniform >= thresholds[outcome]:
                outcome += 1
        state, action = states[index], actions[index]
        rewards[index] = reward[state, action, outcome]
        ends = terminated[state, action, outcome]
        state = next_state[state, action, outcome]
        elapsed[index] += 1
        timed_out = elapsed[index] == limit
        dones[index] = ends or timed_out
        if ends or timed_out:
            last_states[n_finished], truncated[n_finished], finished[n_finished] = state, not ends, index
            n_finished += 1
            elapsed[index] = 0
            state = _draw_start(random_states[index], starts)
        states[index] = state
    return n_finished


def _check_count(name: str, number: Any) -> None:
    if not isinstance(number, int | np.integer):
        raise ValueError(f"{name} must be a whole number, got {number!r}")
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")


class GridWorldVecEnv(VecEnv):
    """``num_envs`` worlds of one map, as an SB3 ``VecEnv``.

    Dynamics, random numbers, observations, rewards and infos are those of ``DummyVecEnv`` over ``GridWorld`` inside
    Gymnasium's ``TimeLimit``. Worlds whose map changes (``redraw_obstacles``, ``change``) are not supported. The infos
    of a step are a sequence, no list, whose dictionaries are made at the first look (``StepInfos``).

    Args:
        num_envs: Number of worlds, at least 1.
        map: As for ``GridWorld``.
        max_episode_steps: Time limit, at least 1; None for none.
        **kwargs: As for ``GridWorld``; ``render_mode`` is None, ``"rgb_array"`` or ``"ansi"``.

    Raises:
        ValueError: If an argument is out of range or not supported.

    Example:
        >>> env = GridWorldVecEnv(3, "CliffWalking", max_episode_steps=100)
        >>> env.reset()
        array([36, 36, 36])
        >>> observations, rewards, dones, infos = env.step(np.array([0, 1, 3]))
        >>> observations, rewards
        (array([24, 36, 36]), array([  -1., -100.,   -1.], dtype=float32))
    """

    def __init__(
        self, num_envs: int, map: MapLike = "Obstacles5x5", *, max_episode_steps: int | None = None, **kwargs: Any
    ) -> None:
        _check_count("num_envs", num_envs)
        if max_episode_steps is not None:
            _check_count("max_episode_steps", max_episode_steps)
        self._world = GridWorld(map, **kwargs)
        if not self.supports(map=map, **kwargs):
            raise ValueError(
                "GridWorldVecEnv steps one unchanging map, without a window; for redraw_obstacles, change and "
                "render_mode='human' use make_vec_env(..., backend='dummy')"
            )
        self.metadata = self._world.metadata
        self.max_episode_steps = max_episode_steps
        mdp = self._world.mdp
        self._model: tuple[npt.NDArray[Any], ...] = (
            np.array(self._world._thresholds, dtype=np.float64),
            *(np.ascontiguousarray(array) for array in (mdp.next_state, mdp.reward, mdp.terminated)),
            np.array(self._world._starts, dtype=np.int64),
        )
        self._observation = self._world._observation
        self._states = np.full(num_envs, -1, dtype=np.int64)
        self._elapsed = np.zeros(num_envs, dtype=np.int64)
        self._random_states = np.zeros((num_envs, 1), dtype=np.uint64)
        self._is_random = np.zeros(num_envs, dtype=np.bool_)  # whether a generator was started
        self._actions: npt.NDArray[np.int64] | None = None
        super().__init__(num_envs, self._world.observation_space, self._world.action_space)

    @staticmethod
    def supports(**kwargs: Any) -> bool:
        """Whether these arguments of ``GridWorld`` describe a world that can be stepped here."""
        layout = LAYOUTS.get(kwargs["map"], {}) if isinstance(kwargs.get("map"), str) else {}
        changing = kwargs.get("change", layout.get("change")) is not None or kwargs.get("redraw_obstacles") is not None
        known = set(kwargs) <= set(inspect.signature(GridWorld).parameters)
        return known and not changing and kwargs.get("render_mode") != "human"

    # --- for a compiled loop that plays in the worlds' place: the arrays themselves

    @property
    def plays_its_model(self) -> str | None:
        """As of ``GridWorld``."""
        return self._world.plays_its_model

    @property
    def success_states(self) -> set[int]:
        """As of ``GridWorld``."""
        return self._world.success_states

    @property
    def states(self) -> npt.NDArray[np.int64]:
        """Where the agents are, [num_envs]; -1 before the first reset."""
        return self._states

    @property
    def elapsed(self) -> npt.NDArray[np.int64]:
        """Steps since each episode began, [num_envs]."""
        return self._elapsed

    @property
    def random_states(self) -> npt.NDArray[np.uint64]:
        """The state of each world's generator, [num_envs, 1]."""
        return self._random_states

    # --- stepping

    def reset(self) -> VecEnvObs:
        """Starts all worlds anew, with the seeds set by ``seed``, which serve once."""
        for index, seed in enumerate(self._seeds):
            if seed is not None or not self._is_random[index]:
                self._start_random_numbers(index, seed)
        _reset_all(self._random_states, self._model[-1], self._states)
        self._elapsed[:] = 0
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return self._observation.many(self._states)

    def reseed(self, seeds: Sequence[int]) -> None:
        """Starts each world's random numbers anew, as its own seed at a reset would, and leaves the worlds as they are.

        Raises:
            ValueError: If there is not one seed for each world.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"got {len(seeds)} seeds for {self.num_envs} worlds")
        for index, seed in enumerate(seeds):
            self._start_random_numbers(index, seed)

    def _start_random_numbers(self, index: int, seed: int | None) -> None:
        self._random_states[index] = first_random_state(seeding.np_random(seed)[0])
        self._is_random[index] = True

    def step_async(self, actions: npt.NDArray[Any]) -> None:
        """Takes one action for each world, integers [num_envs].

        Raises:
            ValueError: If an action is none, or there is not one for each world.
            RuntimeError: If called before ``reset``.
        """
        moves = np.asarray(actions)
        if moves.shape != (self.num_envs,) or moves.dtype.kind not in "iu":
            raise ValueError(f"GridWorldVecEnv needs {self.num_envs} integers, got {moves.dtype} {list(moves.shape)}")
        n_actions = self._model[1].shape[1]
        if moves.min() < 0 or moves.max() >= n_actions:
            index = int(((moves < 0) | (moves >= n_actions)).argmax())
            raise ValueError(f"environment {index}: the actions are 0 to {n_actions - 1}, got {moves[index]}")
        if self._states[0] < 0:
            raise RuntimeError("call reset() before step()")
        self._actions = moves.astype(np.int64, copy=False)

    def step_wait(self) -> VecEnvStepReturn:
        """Returns observations [num_envs, ...], rewards float32 [num_envs], dones bool [num_envs], infos."""
        n_envs = self.num_envs
        rewards, dones = np.empty(n_envs, dtype=np.float32), np.empty(n_envs, dtype=np.bool_)
        last_states, finished = np.empty(n_envs, dtype=np.int64), np.empty(n_envs, dtype=np.int64)
        truncated = np.empty(n_envs, dtype=np.bool_)
        limit = -1 if self.max_episode_steps is None else self.max_episode_steps
        n_finished = _step_all(
            self._actions, self._states, self._random_states, self._elapsed, limit, *self._model, last_states, rewards,
            dones, truncated, finished,
        )  # fmt: skip
        ended = (finished[:n_finished], last_states[:n_finished], truncated[:n_finished])
        for index in ended[0].tolist():
            self.reset_infos[index] = {}
        infos = StepInfos(n_envs, partial(self._infos, *ended))  # a list would take most of a step's time
        return self._observation.many(self._states), rewards, dones, cast(Infos, infos)

    def _infos(
        self, finished: npt.NDArray[np.int64], last_states: npt.NDArray[np.int64], truncated: npt.NDArray[np.bool_]
    ) -> Infos:
        """The infos of a step after which some worlds had finished."""
        going_on: Infos = [{"is_success": False, "TimeLimit.truncated": False}] * self.num_envs
        infos = list(map(dict.copy, going_on))
        goals = self._world._goal_states
        last_observations = self._split(self._observation.many(last_states))
        rows = zip(finished.tolist(), last_states.tolist(), truncated.tolist(), last_observations, strict=True)
        for index, state, cut, last in rows:
            success = not cut and state in goals
            infos[index] = {"is_success": success, "TimeLimit.truncated": cut, "terminal_observation": last}
        return infos

    def _split(self, observations: Any) -> list[Any]:
        """A batch of observations as single ones."""
        if isinstance(observations, dict):
            parts = zip(*observations.values(), strict=True)
            return [dict(zip(observations, part, strict=True)) for part in parts]
        return observations.tolist() if self._world.observation_mode == "index" else list(observations)

    def close(self) -> None:
        """Nothing to close."""

    # --- access to the worlds

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """``state`` of each world, else the attribute of ``GridWorld`` that all share.

        Raises:
            AttributeError: If there is no such attribute.
        """
        chosen = list(self._get_indices(indices))
        if attr_name in ("state", "agent"):
            states = self._states[chosen].tolist()
            return states if attr_name == "state" else [self._at(state).agent for state in states]
        return [getattr(self._world, attr_name)] * len(chosen)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets ``state`` of the chosen worlds; all else is shared and fixed.

        Raises:
            NotImplementedError: For any other attribute.
            ValueError: If there is no such state.
        """
        if attr_name != "state":
            raise NotImplementedError(self._shared(f"set {attr_name!r}"))
        if not 0 <= value < self._world.mdp.n_states:
            raise ValueError(f"the states are 0 to {self._world.mdp.n_states - 1}, got {value}")
        self._states[list(self._get_indices(indices))] = value

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method that does not depend on the state, such as ``compute_reward``, once for each chosen world.

        Raises:
            NotImplementedError: For any other method.
        """
        if method_name not in _STATELESS_METHODS:
            raise NotImplementedError(self._shared(f"call {method_name!r}"))
        method = getattr(self._world, method_name)
        return [method(*method_args, **method_kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Never: there are no single environments."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[npt.NDArray[np.uint8] | None]:
        """One picture for each world, or None each where the render mode is not ``"rgb_array"``."""
        if self.render_mode != "rgb_array":
            return [None] * self.num_envs
        return [self._at(state).render() for state in self._states.tolist()]

    def _at(self, state: int) -> GridWorld:
        """The one world, in a certain state."""
        self._world.state = state
        return self._world

    def _shared(self, wish: str) -> str:
        return (
            f"GridWorldVecEnv steps one shared world and cannot {wish}: it knows set_attr('state', ...) and "
            f"{', '.join(_STATELESS_METHODS)}; use make_vec_env(..., backend='dummy')"
        )
