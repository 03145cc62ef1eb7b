"""Finds the exact world behind SB3's environments, so that the compiled engine can play in their place.

That is allowed only where the environments are nothing but their model: a base environment that is known to draw each
step from its transition table, and around it wrappers that are known to leave it as it is. ``find_world`` says what
stands in the way otherwise. ``ExactWorld`` takes over where the environments stand (state, time, random numbers,
running returns) and hands it back, so that they can be stepped on as if they had been stepped all along; their monitors
record the same rows.
"""

import time
from dataclasses import fields
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecMonitor

from sb3_ext.common.random_numbers import read_pcg64, write_pcg64
from sb3_ext.tabular.engine import EPISODES_AT_ONCE, World
from sb3_ext.tabular.mdp import TabularMDP

TIME_LIMIT = "gymnasium.wrappers.common.TimeLimit"
SAFE_WRAPPERS = {
    TIME_LIMIT,
    "gymnasium.wrappers.common.OrderEnforcing",
    "gymnasium.wrappers.common.PassiveEnvChecker",
    "rl_zoo3.gym_patches.PatchedTimeLimit",  # RL Zoo, once imported, puts it in the place of Gymnasium's
    "stable_baselines3.common.monitor.Monitor",
}
SAFE_TOY_TEXTS = (FrozenLakeEnv, CliffWalkingEnv, TaxiEnv)
NO_LIMIT = 2**62


class NoExactWorld(Exception):
    """The environments are not known to be nothing but their model; the message says why."""


class Base(NamedTuple):
    """How to read and write an environment that is its model.

    Attributes:
        numpys: Whether it draws from NumPy's generator, at every step and start (else splitmix64, where it must).
        state: Name of the attribute that holds the state.
        successes: States that count as a success where an episode terminates; None if it does not report any.
    """

    numpys: bool
    state: str
    successes: frozenset[int] | None


class ExactWorld:
    """Environments that the compiled engine plays in their place.

    Args:
        env: What the model learns from; see ``find_world``.

    Raises:
        NoExactWorld: If they are not known to be nothing but their model.
    """

    def __init__(self, env: VecEnv) -> None:
        self.vec_monitor: VecMonitor | None = None
        while isinstance(env, VecEnvWrapper):
            if type(env) is not VecMonitor or self.vec_monitor is not None:
                raise NoExactWorld(
                    f"the wrapper {type(env).__name__} is not known to leave the environments as they are"
                )
            _refuse_replaced(env)
            self.vec_monitor, env = env, env.venv
        _refuse_replaced(env)
        self.batch = env
        if not isinstance(env.observation_space, spaces.Discrete):
            raise NoExactWorld(f"the observations are {env.observation_space}, not states")
        if env.observation_space.start != 0 or getattr(env.action_space, "start", 0) != 0:
            raise NoExactWorld("states and actions must be counted from 0")
        self.envs = env.envs if type(env) is DummyVecEnv else None
        self.monitors: list[Monitor | None] = [None] * env.num_envs
        self.time_limits: list[list[Any]] = [[] for _ in range(env.num_envs)]
        if self.envs is None:
            self.base = _declared_base(env)
            self.mdp: TabularMDP = env.get_attr("mdp")[0]
        else:
            bases = [self._unwrap(index, single) for index, single in enumerate(self.envs)]
            self.base, self.mdp = _base(bases[0]), TabularMDP.from_env(bases[0])
            for other in bases[1:]:
                if type(other) is not type(bases[0]) or _base(other) != self.base or not _same_model(bases[0], other):
                    raise NoExactWorld("the environments differ")
        self._check_keywords()
        self.world = self._make_world(env.num_envs)

    def _unwrap(self, index: int, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        """The base environment; notes its monitor and time limits on the way."""
        layer = env
        while layer is not None:
            _refuse_replaced(layer)
            layer = layer.env if isinstance(layer, gym.Wrapper) else None  # type: ignore[assignment]
        while isinstance(env, gym.Wrapper):
            if _full_name(type(env)) not in SAFE_WRAPPERS:
                raise NoExactWorld(f"the wrapper {type(env).__name__} is not known to leave the model as it is")
            if isinstance(env, Monitor):
                if self.monitors[index] is not None:
                    raise NoExactWorld("two monitors")
                if self.time_limits[index]:
                    raise NoExactWorld("the time limit is outside the monitor")
                self.monitors[index] = env
            elif TIME_LIMIT in map(_full_name, type(env).__mro__):
                self.time_limits[index].append(env)
            env = env.env
        return env

    def _check_keywords(self) -> None:
        reported = () if self.base.successes is None else ("is_success",)
        for monitor in (*self.monitors, self.vec_monitor):
            if monitor is None:
                continue
            if set(monitor.info_keywords) - set(reported) or getattr(monitor, "reset_keywords", None):
                raise NoExactWorld(f"{type(monitor).__name__} notes more than the model tells: {monitor.info_keywords}")

    def _make_world(self, n_envs: int) -> World:
        """The arrays of the model, as the loop reads them; where the environments stand is filled in by ``read``."""
        mdp, n_outcomes = self.mdp, self.mdp.n_outcomes
        thresholds = np.cumsum(mdp.probability, axis=-1)
        last = n_outcomes - 1 - np.argmax(mdp.probability[..., ::-1] > 0, axis=-1)
        thresholds[np.arange(n_outcomes) >= last[..., None]] = 2.0  # rounding must not let a number fall beyond it
        start_states = np.flatnonzero(mdp.start)
        start_thresholds = np.cumsum(mdp.start)[start_states]
        start_thresholds[-1] = 2.0
        with np.errstate(over="ignore"):
            if not np.isfinite(mdp.reward.astype(np.float32)).all():
                raise NoExactWorld("a reward is too large for SB3's 32 bits")
        return World(
            thresholds, mdp.next_state.astype(np.int64, order="C"), mdp.reward.astype(np.float64, order="C"),
            mdp.terminated.astype(np.bool_, order="C"),
            start_states, start_thresholds, np.zeros((n_envs, 4), np.uint64), self.base.numpys,
            limits=np.full(n_envs, NO_LIMIT, np.int64), **blank_progress(n_envs),
        )  # fmt: skip

    # ---- Where the environments stand -------------------------------------------------------------------------------

    def read(self) -> None:
        """Takes over from the environments."""
        world = self.world
        if self.vec_monitor is not None:
            world.returns32[:], world.elapsed[:] = self.vec_monitor.episode_returns, self.vec_monitor.episode_lengths
        if self.envs is None:
            world.states[:], world.elapsed[:] = self.batch.states, self.batch.elapsed  # type: ignore[attr-defined]
            world.random_states[:, :1] = self.batch.random_states  # type: ignore[attr-defined]
            world.limits[:] = getattr(self.batch, "max_episode_steps", None) or NO_LIMIT
        else:
            for index, env in enumerate(self.envs):
                inner, monitor = env.unwrapped, self.monitors[index]
                world.states[index] = getattr(inner, self.base.state)
                if self.base.numpys:
                    world.random_states[index] = read_pcg64(inner.np_random)
                else:
                    world.random_states[index, 0] = inner.random_state  # type: ignore[attr-defined]
                for limit in self.time_limits[index]:
                    world.elapsed[index] = limit._elapsed_steps
                limits = (limit._max_episode_steps for limit in self.time_limits[index])
                world.limits[index] = min(limits, default=NO_LIMIT)
                if monitor is not None:
                    world.elapsed[index], world.returns[index] = len(monitor.rewards), sum(monitor.rewards)

    def write(self) -> None:
        """Hands back to the environments."""
        world = self.world
        if self.envs is None:
            self.batch.states[:], self.batch.elapsed[:] = world.states, world.elapsed  # type: ignore[attr-defined]
            self.batch.random_states[:] = world.random_states[:, :1]  # type: ignore[attr-defined]
        else:
            for index, env in enumerate(self.envs):
                inner, monitor, elapsed = env.unwrapped, self.monitors[index], int(world.elapsed[index])
                setattr(inner, self.base.state, int(world.states[index]))
                if self.base.numpys:
                    write_pcg64(inner.np_random, world.random_states[index])
                else:
                    inner.random_state = int(world.random_states[index, 0])  # type: ignore[attr-defined]
                for limit in self.time_limits[index]:
                    limit._elapsed_steps = elapsed
                if monitor is not None:  # as many numbers as there were rewards, with their sum
                    monitor.rewards = [float(world.returns[index]), *[0.0] * (elapsed - 1)][:elapsed]
                self.batch._save_obs(index, world.states[index])  # type: ignore[attr-defined]
        if self.vec_monitor is not None:
            self.vec_monitor.episode_returns[:] = world.returns32
            self.vec_monitor.episode_lengths[:] = world.elapsed

    # ---- What the environments would have said ----------------------------------------------------------------------

    def record_episodes(self, n_calls: int) -> None:
        """Has the monitors note the steps and episodes since ``play`` was called."""
        world = self.world
        count = int(world.n_finished[0])
        for monitor in self.monitors:
            if monitor is not None:
                monitor.total_steps += n_calls
        if self.vec_monitor is not None:
            self.vec_monitor.episode_count += count
        for index, monitor in enumerate(self.monitors):
            if monitor is not None:
                seconds = time.time() - monitor.t_start
                mine = slice(count) if len(self.monitors) == 1 else world.finished_env[:count] == index
                monitor.episode_returns += world.finished_return[:count][mine].tolist()
                lengths = world.finished_length[:count][mine].tolist()
                monitor.episode_lengths += lengths
                monitor.episode_times += [seconds] * len(lengths)
        writers = [monitor.results_writer for monitor in (*self.monitors, self.vec_monitor) if monitor is not None]
        if any(writer is not None for writer in writers):
            for place in range(count):
                self._write_rows(place)

    def _write_rows(self, place: int) -> None:
        """A row for an episode in each monitor file."""
        for monitor in (self.monitors[self.world.finished_env[place]], self.vec_monitor):
            if monitor is not None and monitor.results_writer is not None:
                row = self._episode_of(monitor, place)
                row |= {key: self._is_success(place) for key in monitor.info_keywords}
                monitor.results_writer.write_row(row)

    def episode(self, place: int) -> dict[str, Any] | None:
        """``info["episode"]`` of a finished episode, as the outermost monitor gives it; None without a monitor."""
        monitor = self.vec_monitor or self.monitors[self.world.finished_env[place]]
        if monitor is None:
            return None
        return self._episode_of(monitor, place) | {key: self._is_success(place) for key in monitor.info_keywords}

    def _episode_of(self, monitor: Monitor | VecMonitor, place: int) -> dict[str, Any]:
        seconds = round(time.time() - monitor.t_start, 6)
        if isinstance(monitor, VecMonitor):
            return {
                "r": self.world.finished_return32[place],
                "l": np.int32(self.world.finished_length[place]),
                "t": seconds,
            }
        return_ = round(float(self.world.finished_return[place]), 6)
        return {"r": return_, "l": int(self.world.finished_length[place]), "t": seconds}

    def _is_success(self, place: int) -> bool:
        assert self.base.successes is not None
        terminated = not self.world.finished_truncated[place]
        return bool(terminated and int(self.world.finished_state[place]) in self.base.successes)

    def infos(self, finished: npt.NDArray[np.intp]) -> list[dict[str, Any]]:
        """The infos of the latest step, of which ``finished`` are the episodes it ended."""
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in self.world.states]
        if self.base.successes is not None:
            for info in infos:
                info["is_success"] = False
        for place in finished.tolist():
            info = infos[self.world.finished_env[place]]
            info["TimeLimit.truncated"] = bool(self.world.finished_truncated[place])
            info["terminal_observation"] = int(self.world.finished_state[place])
            if self.base.successes is not None:
                info["is_success"] = self._is_success(place)
            if (episode := self.episode(place)) is not None:
                info["episode"] = episode
        return infos


def find_world(env: VecEnv) -> ExactWorld | str:
    """The exact world behind environments, or what stands in the way of one."""
    try:
        return ExactWorld(env)
    except NoExactWorld as reason:
        return str(reason)


def blank_progress(n_envs: int, n_episodes: int = EPISODES_AT_ONCE) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a ``World`` that change as it is played, all 0."""
    of_env: dict[str, Any] = {
        "states": np.int64, "elapsed": np.int64, "returns": np.float64, "returns32": np.float32, "actions": np.int64,
        "rewards": np.float32, "dones": np.bool_, "truncated": np.bool_, "last_states": np.int64,
    }  # fmt: skip
    of_episode: dict[str, Any] = {
        "finished_env": np.int64, "finished_call": np.int64, "finished_return": np.float64,
        "finished_return32": np.float32, "finished_length": np.int64, "finished_truncated": np.bool_,
        "finished_state": np.int64,
    }  # fmt: skip
    arrays = {name: np.zeros(n_envs, kind) for name, kind in of_env.items()}
    n_rows = max(n_episodes, n_envs)
    return (
        arrays
        | {name: np.zeros(n_rows, kind) for name, kind in of_episode.items()}
        | {"n_finished": np.zeros(1, np.int64)}
    )


def _base(env: gym.Env[Any, Any]) -> Base:
    """How to read a base environment, if it is nothing but its model."""
    if getattr(env, "render_mode", None) == "human":
        raise NoExactWorld("it is shown on a screen")
    if type(env) not in SAFE_TOY_TEXTS:
        return _declared_base(env)
    if getattr(env, "fickle_passenger", False):
        raise NoExactWorld("fickle_passenger acts outside the transition table")
    return Base(numpys=True, state="s", successes=None)


def _declared_base(env: Any) -> Base:
    """The same, for environments that say so: ``plays_its_model`` is "pcg64" or "splitmix64".

    A subclass that changes ``step`` or ``reset`` must say so again.
    """
    owners = [_owner(type(env), name) for name in ("plays_its_model", "step", "reset", "step_async", "step_wait")]
    how = getattr(env, "plays_its_model", None)
    lineage = type(env).__mro__
    if how is None or owners[0] is None:
        raise NoExactWorld(f"{type(env).__name__} is not known to be nothing but a transition table")
    for owner in owners[1:]:
        if owner is not None and lineage.index(owner) < lineage.index(owners[0]):
            raise NoExactWorld(f"{type(env).__name__} changes what {owners[0].__name__} does")
    successes = getattr(env, "success_states", None)
    return Base(how == "pcg64", "state", None if successes is None else frozenset(successes))


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _refuse_replaced(layer: Any) -> None:
    """Refuses an object with a method of its own in the place of its class's."""
    if replaced := {"step", "reset", "step_async", "step_wait"} & set(vars(layer)):
        raise NoExactWorld(f"the {replaced.pop()} of {type(layer).__name__} was replaced by another")


def _owner(cls: type, name: str) -> type | None:
    """The class in which an attribute is defined."""
    return next((ancestor for ancestor in cls.__mro__ if name in vars(ancestor)), None)


def _same_model(first: Any, second: Any) -> bool:
    """Whether two environments have the same transitions and starts."""
    if hasattr(first, "P") and not hasattr(first, "mdp"):
        return first.P == second.P and np.array_equal(first.initial_state_distrib, second.initial_state_distrib)
    one, other = first.mdp, second.mdp
    if one is other:
        return True
    arrays = [field.name for field in fields(TabularMDP)]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
