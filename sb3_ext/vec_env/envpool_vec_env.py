"""EnvPool's environments, written in C++, behind SB3's ``VecEnv``.

EnvPool differs from SB3 in three ways that matter for learning, all made good here:

- It resets on the next step. Here finished environments are reset at once, and ``terminal_observation`` is kept.
- It calls an episode truncated whenever it ends on the last allowed step, even if it *terminated* there. So the pool
  gets a limit one step longer, and the time limit is applied here: terminated and truncated stay apart.
- Some of its observation spaces have wrong bounds. The space is the one of Gymnasium's environment of the same id.
"""

import importlib.util
import warnings
from collections.abc import Sequence
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from stable_baselines3.common.preprocessing import check_for_nested_spaces
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_ext.vec_env.gymnasium_vec_env import _unbatch

_INT32_MAX = 2**31 - 1
_BOOKKEEPING = ("env_id", "players", "elapsed_step")  # EnvPool's own info keys


class EnvPoolVecEnv(VecEnv):
    """A pool of EnvPool environments as an SB3 ``VecEnv``.

    The pool is built at the first ``reset`` and again after each ``seed``, because EnvPool takes its seeds only when it
    is built. The same seeds give the same run; equal seeds give equal environments. The start states are not those that
    Gymnasium draws from the same seed.

    Args:
        task_id: EnvPool's name of the task, for example ``"LunarLander-v3"``.
        num_envs: Number of environments, at least 1.
        seed: Environment ``i`` gets ``seed + i`` at the first reset; None draws seeds at random.
        num_threads: Threads that step the pool. More than 1 pays for expensive tasks on several free cores only.
        render_mode: ``None`` or ``"rgb_array"`` (MuJoCo tasks need OpenGL: without, EnvPool ends the process).
        **config: EnvPool's own options of the task, for example ``max_episode_steps``.

    Raises:
        ImportError: If EnvPool is not installed.
        ValueError: For an unknown task, an unknown option, or a number out of range.
        NotImplementedError: For observation and action spaces that SB3 does not support.
    """

    def __init__(
        self,
        task_id: str,
        num_envs: int = 1,
        seed: int | None = None,
        num_threads: int = 1,
        render_mode: str | None = None,
        **config: Any,
    ) -> None:
        if num_envs < 1 or num_threads < 1:
            raise ValueError(f"num_envs and num_threads must be at least 1, got {num_envs} and {num_threads}")
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"the envpool backend renders 'rgb_array' only, got {render_mode!r}; use backend='dummy'")
        self.task_id = task_id
        if config.get("max_episode_steps", 1) is None:  # as for gym.make: the task's own limit
            del config["max_episode_steps"]
        spec = _pool_spec(task_id, config)
        self.max_episode_steps = _time_limit(task_id, spec)
        if self.max_episode_steps is not None:
            config = {**config, "max_episode_steps": self.max_episode_steps + 1}
        self._config = {**config, "num_envs": num_envs, "num_threads": num_threads, "render_mode": render_mode}
        self._pool: Any = None
        self._actions: np.ndarray | None = None
        self.spec: EnvSpec | None = gym.envs.registry.get(task_id)
        super().__init__(num_envs, *_spaces(task_id, spec))
        if seed is not None:
            self.seed(seed)

    # --- stepping

    def reset(self) -> VecEnvObs:
        """Starts all environments anew; with new seeds, in a new pool.

        Returns:
            Observations [num_envs, ...].

        Raises:
            ValueError: If options were set: EnvPool takes none at a reset.
        """
        if any(self._options):
            raise ValueError(f"EnvPool takes no reset options, got {self._options[0]}; use backend='dummy'")
        if self._pool is None or any(seed is not None for seed in self._seeds):
            self._build_pool()
        observations, infos = self._pool.reset()
        self.reset_infos = self._infos(infos)
        self._reset_seeds()
        return self._as_space(observations)

    def _build_pool(self) -> None:
        import envpool

        given = self._seeds
        drawn = self.seed()  # at random, where none was given
        seeds = [int((new if seed is None else seed) or 0) % (_INT32_MAX + 1)
                 for seed, new in zip(given, drawn, strict=True)]  # fmt: skip
        self.close()
        with warnings.catch_warnings():  # of Gymnasium, about the bounds of EnvPool's space, which is not used here
            warnings.simplefilter("ignore")
            self._pool = envpool.make_gymnasium(self.task_id, seed=seeds, **self._config)
            _ = self._pool.observation_space  # EnvPool makes it at first use, and keeps it

    def step_async(self, actions: np.ndarray) -> None:
        """Hands over one action for each environment, [num_envs, ...].

        Raises:
            ValueError: If an action's shape or value does not fit the action space (EnvPool itself does not look).
        """
        actions = np.asarray(actions)
        expected = (self.num_envs, *(self.action_space.shape or ()))
        if actions.shape != expected:
            raise ValueError(f"actions for {self.task_id} must have shape {expected}, got {actions.shape}")
        if isinstance(self.action_space, gym.spaces.Discrete):
            start, stop = self.action_space.start, self.action_space.start + self.action_space.n
            if actions.min() < start or actions.max() >= stop:
                raise ValueError(f"actions for {self.task_id} must be {start} to {stop - 1}, got {actions}")
        if not np.isfinite(actions).all():
            raise ValueError(f"actions for {self.task_id} must be finite, got {actions}")
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Returns observations [num_envs, ...], rewards float32 [num_envs], dones bool [num_envs], infos."""
        if self._pool is None:
            raise RuntimeError("call reset() before step()")
        observations, rewards, terminated, truncated, batched = self._pool.step(self._actions)
        if self.max_episode_steps is not None:
            truncated = truncated | (batched["elapsed_step"] >= self.max_episode_steps)
        dones = terminated | truncated
        infos = self._infos(batched)
        for info, flag in zip(infos, (truncated & ~terminated).tolist(), strict=True):
            info["TimeLimit.truncated"] = flag
        observations = self._as_space(observations)
        (finished,) = np.nonzero(dones)
        if len(finished):
            self._restart(finished, observations, infos)
        return observations, np.array(rewards, dtype=np.float32), dones, infos

    def _restart(self, finished: np.ndarray, observations: Any, infos: list[dict[str, Any]]) -> None:
        """Resets the finished environments; writes their first observations in place, keeps their last in ``infos``."""
        first, batched = self._pool.reset(finished.astype(np.int32))
        order = batched["env_id"]
        reset_infos = self._infos(batched)
        for row, index in enumerate(order.tolist()):
            infos[index]["terminal_observation"] = _row(observations, index)
            self.reset_infos[index] = reset_infos[row]
        if isinstance(observations, dict):
            for key, values in observations.items():
                values[order] = first[key]
        else:
            observations[order] = first

    def _infos(self, batched: dict[str, Any]) -> list[dict[str, Any]]:
        count = len(batched["env_id"])
        extras = {key: value for key, value in batched.items() if key not in _BOOKKEEPING}
        return _unbatch(extras, count)

    def _as_space(self, observations: Any) -> Any:
        """A copy of the pool's observations, in the space's types (EnvPool: int32 for Discrete, SB3: int64)."""
        if isinstance(self.observation_space, gym.spaces.Dict):
            spaces = self.observation_space.spaces
            return {key: np.array(observations[key], dtype=space.dtype) for key, space in spaces.items()}
        return np.array(observations, dtype=self.observation_space.dtype)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Environment ``i`` gets ``seed + i`` (modulo 2^31) at the next reset."""
        return super().seed(seed)

    def close(self) -> None:
        """Closes the pool; a second call does nothing."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One RGB image for each environment, or None each (and a warning) where the render mode is another."""
        if self.render_mode != "rgb_array":
            warnings.warn(f"images need render_mode='rgb_array', got {self.render_mode!r}", stacklevel=2)
            return [None] * self.num_envs
        if self._pool is None:
            raise RuntimeError("call reset() before render()")
        return list(self._pool.render(env_ids=np.arange(self.num_envs)))

    # --- access to the environments: they live in C++, so there is little

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The spaces, ``spec``, ``render_mode``, or an option of the pool: the same for all environments.

        Raises:
            AttributeError: For anything else, which is out of reach in C++.
        """
        if attr_name in ("observation_space", "action_space", "spec", "max_episode_steps"):
            value = getattr(self, attr_name)
        elif attr_name in self._config:
            value = self._config[attr_name]
        else:
            raise AttributeError(f"EnvPool's {self.task_id} has no attribute {attr_name!r} in Python; use"
                                 " backend='dummy'")  # fmt: skip
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not possible: raises NotImplementedError."""
        raise NotImplementedError(f"EnvPool's environments live in C++: cannot set {attr_name!r}; use env_kwargs for"
                                  " its options, or backend='dummy'")  # fmt: skip

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Not possible: raises NotImplementedError."""
        raise NotImplementedError(f"EnvPool's environments live in C++: cannot call {method_name!r}; use"
                                  " backend='dummy'")  # fmt: skip

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Never: no Python wrapper fits around a C++ environment."""
        return [False for _ in self._get_indices(indices)]


def _pool_spec(task_id: str, config: dict[str, Any]) -> Any:
    """EnvPool's description of the task: its options and spaces."""
    if importlib.util.find_spec("envpool") is None:
        raise ImportError('the envpool backend needs EnvPool: pip install "sb3-ext[envpool]"')
    import envpool

    if task_id not in envpool.list_all_envs():
        raise ValueError(f"EnvPool does not know {task_id!r}, see envpool.list_all_envs(); use backend='dummy'")
    limit = config.get("max_episode_steps", 1)
    if limit < 1:
        raise ValueError(f"max_episode_steps must be at least 1, got {limit}")
    try:
        return envpool.make_spec(task_id, **config)
    except TypeError as error:
        known = sorted(envpool.make_spec(task_id).config._fields)
        raise ValueError(f"EnvPool's {task_id} does not take all of {config}, it knows {known};"
                         " use backend='dummy'") from error  # fmt: skip


def _time_limit(task_id: str, spec: Any) -> int | None:
    """The task's limit in steps, or None where it has none."""
    limit = getattr(spec.config, "max_episode_steps", _INT32_MAX)
    return None if limit >= _INT32_MAX else int(limit)


def _spaces(task_id: str, spec: Any) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Gymnasium's spaces of the same id where they fit in shape; else EnvPool's, with unknown bounds made infinite."""
    with warnings.catch_warnings():  # of Gymnasium, about bounds given in float64
        warnings.simplefilter("ignore")
        pool_spaces = (spec.gymnasium_observation_space, spec.gymnasium_action_space)
    for space in pool_spaces:
        if not isinstance(space, gym.Space) or isinstance(space, gym.spaces.Tuple):
            raise NotImplementedError(f"SB3 does not support {task_id}'s space {space}")
        check_for_nested_spaces(space)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            env = gym.make(task_id)
        own_spaces = (env.observation_space, env.action_space)
        env.close()
    except (gym.error.Error, ImportError):  # unknown to Gymnasium, or a package of its own is missing
        own_spaces = pool_spaces
    chosen = [own if own.shape == pool.shape and type(own) is type(pool) else pool
              for own, pool in zip(own_spaces, pool_spaces, strict=True)]  # fmt: skip
    return _with_open_bounds(chosen[0]), chosen[1]


def _with_open_bounds(space: gym.Space[Any]) -> gym.Space[Any]:
    """Makes a Box unbounded where EnvPool reports C++'s smallest positive number as its lower bound."""
    if not isinstance(space, gym.spaces.Box) or space.dtype is None or space.dtype.kind != "f":
        return space
    if not np.any(space.low == np.finfo(cast(Any, space.dtype)).tiny):
        return space
    return gym.spaces.Box(-np.inf, np.inf, space.shape, cast(Any, space.dtype))


def _row(observations: Any, index: int) -> Any:
    if isinstance(observations, dict):
        return {key: values[index].copy() for key, values in observations.items()}
    return observations[index].copy()
