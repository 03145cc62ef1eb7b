"""``make_vec_env``: SB3's function of this name, on the fastest backend that keeps its meaning."""

import importlib.util
import inspect
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec, _find_spec, load_env_creator
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv, VecMonitor

from sb3_ext.vec_env.cartpole import SameStepCartPole
from sb3_ext.vec_env.envpool_vec_env import EnvPoolVecEnv
from sb3_ext.vec_env.gymnasium_vec_env import GymnasiumVecEnv

BACKENDS = ("auto", "gymnasium", "envpool", "native", "dummy", "subproc")

ENVPOOL_VERIFIED_IDS = frozenset({"LunarLander-v3", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"})
"""The ids whose dynamics, rewards, ends and time limits agree with Gymnasium's: tests/vec_env compares them."""

CARTPOLE_BATCH_FROM = 8
"""From this many environments on, CartPole as one batch is faster than one by one (``sb3-ext speed steps``)."""

_CARTPOLE_ENTRY_POINTS = (
    "gymnasium.envs.classic_control.cartpole:CartPoleEnv",
    "gymnasium.envs.classic_control:CartPoleEnv",
)
_CARTPOLE_KWARGS = {"max_episode_steps", "render_mode", "sutton_barto_reward"}
_ENVPOOL_KWARGS = {"max_episode_steps", "render_mode"}
_RENDERS_WITHOUT_OPENGL = ("envpool.box2d", "envpool.classic_control", "envpool.toy_text")


def make_vec_env(
    env_id: str | Callable[..., gym.Env[Any, Any]],
    n_envs: int = 1,
    seed: int | None = None,
    start_index: int = 0,
    monitor_dir: str | None = None,
    wrapper_class: Callable[..., gym.Env[Any, Any]] | None = None,
    env_kwargs: dict[str, Any] | None = None,
    vec_env_cls: type[Any] | None = None,
    vec_env_kwargs: dict[str, Any] | None = None,
    monitor_kwargs: dict[str, Any] | None = None,
    wrapper_kwargs: dict[str, Any] | None = None,
    backend: str = "auto",
) -> VecEnv:
    """Creates a monitored ``VecEnv``, as SB3's function of the same name does, on a faster backend where there is one.

    ``"auto"`` takes the fastest backend that does all that was asked for: for CartPole, from 8 environments on, the
    vectorised one (it starts from the very states that SB3's ``DummyVecEnv`` starts from); the ``VecEnv`` class that
    the environment itself names (static method ``sb3_vec_env(**kwargs)``; ``GridWorld``'s makes the very transitions
    of ``DummyVecEnv``); for ``ENVPOOL_VERIFIED_IDS`` EnvPool, if it is installed (its own random numbers); else SB3's
    ``DummyVecEnv``.

    Args:
        env_id: Registered id, or a callable that returns an environment (``auto``, ``dummy`` and ``subproc`` only).
        n_envs: Number of environments, at least 1.
        seed: Environment ``i`` gets ``seed + i`` at the first reset.
        start_index: Number of the first environment, for monitor files and action space seeds.
        monitor_dir: Folder for ``<start_index>.monitor.csv`` (``dummy`` and ``subproc``: one file per environment).
        wrapper_class: Wrapper of each environment (``auto``, ``dummy`` and ``subproc`` only).
        env_kwargs: For the environment's constructor, and ``max_episode_steps``.
        vec_env_cls: SB3's vector class (``auto`` and ``dummy`` only).
        vec_env_kwargs: ``gymnasium``: ``vectorization_mode`` ("sync" or "async"; CartPole has its own class without)
            and that class's arguments. ``envpool``: ``num_threads``. Else for SB3's vector class.
        monitor_kwargs: For the monitor; the fast backends know ``info_keywords``.
        wrapper_kwargs: For ``wrapper_class``.
        backend: ``"auto"``, ``"gymnasium"``, ``"envpool"``, ``"native"``, ``"dummy"`` or ``"subproc"``.

    Returns:
        The environments, inside SB3's ``VecMonitor`` (``dummy`` and ``subproc``: each inside ``Monitor``).

    Raises:
        ValueError: For an argument out of range, an unknown id, or a backend that cannot do what was asked.
        ImportError: If ``backend="envpool"`` and EnvPool is not installed.
    """
    _check_arguments(n_envs, seed, backend)
    env_kwargs, vec_env_kwargs = dict(env_kwargs or {}), dict(vec_env_kwargs or {})
    spec = _spec(env_id, required=backend != "envpool") if isinstance(env_id, str) else None
    obstacle = _obstacle(env_id, wrapper_class, vec_env_cls, monitor_kwargs or {})
    if backend == "auto":
        backend = "dummy" if obstacle or vec_env_kwargs else _fastest_backend(spec, env_kwargs, n_envs)
    if backend in ("dummy", "subproc"):
        if backend == "subproc" and vec_env_cls not in (None, SubprocVecEnv):
            raise ValueError(
                f"backend='subproc' is SubprocVecEnv, got vec_env_cls={vec_env_cls}; leave one of them out"
            )
        vec_env_cls = SubprocVecEnv if backend == "subproc" else vec_env_cls
        return sb3_make_vec_env(
            env_id, n_envs, seed, start_index, monitor_dir, wrapper_class, env_kwargs, vec_env_cls, vec_env_kwargs,
            monitor_kwargs, wrapper_kwargs,
        )  # fmt: skip
    if obstacle:
        raise ValueError(f"backend={backend!r} cannot honour {obstacle}; use backend='auto' or 'dummy'")
    assert isinstance(env_id, str)  # else it is an obstacle
    if backend == "gymnasium":
        assert spec is not None  # required above
        vec_env: VecEnv = GymnasiumVecEnv(_gymnasium_vector_env(spec, n_envs, env_kwargs, vec_env_kwargs))
    elif backend == "native":
        vec_env = _native_vec_env(spec, n_envs, env_kwargs, vec_env_kwargs)
    else:
        env_kwargs.setdefault("render_mode", _envpool_render_mode(env_id))
        vec_env = EnvPoolVecEnv(env_id, n_envs, **env_kwargs, **vec_env_kwargs)
    if seed is not None:
        vec_env.action_space.seed(seed + start_index)
    vec_env.seed(seed)
    return _monitored(vec_env, start_index, monitor_dir, monitor_kwargs or {})


def _check_arguments(n_envs: int, seed: int | None, backend: str) -> None:
    if not isinstance(n_envs, int | np.integer) or n_envs < 1:
        raise ValueError(f"n_envs must be a whole number, at least 1, got {n_envs}")
    if seed is not None and seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if backend not in BACKENDS:
        raise ValueError(f"unknown backend {backend!r}; choose one of {', '.join(BACKENDS)}")


def _spec(env_id: str, required: bool) -> EnvSpec | None:
    """Gymnasium's registration entry of an id, in any spelling that ``gym.make`` takes."""
    try:
        return _find_spec(env_id)
    except (gym.error.Error, ModuleNotFoundError) as error:
        if not required:
            return None
        raise ValueError(f"unknown environment id {env_id!r}: {error}") from error


def _obstacle(env_id: Any, wrapper_class: Any, vec_env_cls: Any, monitor_kwargs: dict[str, Any]) -> str | None:
    """Names the first argument that a fast backend cannot honour, or None."""
    harmless = {"allow_early_resets": True, "override_existing": True, "reset_keywords": ()}  # Monitor's defaults
    unknown = {key: value for key, value in monitor_kwargs.items()
               if key != "info_keywords" and harmless.get(key, ...) != value}  # fmt: skip
    if not isinstance(env_id, str):
        return f"a callable env_id ({env_id!r})"
    if wrapper_class is not None:
        return f"wrapper_class={wrapper_class!r}"
    if vec_env_cls is not None:
        return f"vec_env_cls={vec_env_cls!r}"
    return f"monitor_kwargs={unknown} (VecMonitor takes info_keywords)" if unknown else None


def _fastest_backend(spec: EnvSpec | None, env_kwargs: dict[str, Any], n_envs: int) -> str:
    """The backend of ``"auto"`` for an environment as registered, without wrappers."""
    plain = spec is not None and not spec.additional_wrappers and env_kwargs.get("render_mode") in (None, "rgb_array")
    limit = env_kwargs.get("max_episode_steps")
    if spec is None or not plain or not (limit is None or limit >= 1):
        return "dummy"
    if _is_cartpole(spec) and {*spec.kwargs, *env_kwargs} <= _CARTPOLE_KWARGS and (limit or spec.max_episode_steps):
        return "gymnasium" if n_envs >= CARTPOLE_BATCH_FROM else "dummy"
    if _native_class(spec, env_kwargs) is not None:
        return "native"
    verified = spec.id in ENVPOOL_VERIFIED_IDS and str(spec.entry_point).startswith("gymnasium.envs.")
    if verified and set(env_kwargs) <= _ENVPOOL_KWARGS and importlib.util.find_spec("envpool") is not None:
        return "envpool"
    return "dummy"


def _is_cartpole(spec: EnvSpec) -> bool:
    return spec.entry_point in _CARTPOLE_ENTRY_POINTS


def _gymnasium_vector_env(
    spec: EnvSpec, n_envs: int, env_kwargs: dict[str, Any], vec_env_kwargs: dict[str, Any]
) -> VectorEnv[Any, Any, Any]:
    """CartPole's own batch, or the environments one by one (sync) or in processes (async)."""
    kwargs = {**spec.kwargs, "max_episode_steps": spec.max_episode_steps, "render_mode": "rgb_array", **env_kwargs}
    batch_class = _is_cartpole(spec) and not spec.additional_wrappers and not vec_env_kwargs
    if batch_class and set(kwargs) <= _CARTPOLE_KWARGS and kwargs["render_mode"] != "human":
        if kwargs["max_episode_steps"] is None:
            kwargs["max_episode_steps"] = spec.max_episode_steps or 2**31 - 1
        vector_env: VectorEnv[Any, Any, Any] = SameStepCartPole(n_envs, **kwargs)
    else:
        mode = vec_env_kwargs.pop("vectorization_mode", "sync")
        if mode not in ("sync", "async"):
            raise ValueError(f"vectorization_mode must be 'sync' or 'async', got {mode!r}")
        vector_class = SyncVectorEnv if mode == "sync" else AsyncVectorEnv
        known = set(inspect.signature(vector_class).parameters) - {"env_fns", "autoreset_mode"}
        if set(vec_env_kwargs) - known:
            raise ValueError(f"{vector_class.__name__} does not take all of {vec_env_kwargs}, it knows {sorted(known)}")
        env_fns = [_env_fn(spec, env_kwargs)] * n_envs
        vector_env = vector_class(env_fns, autoreset_mode=AutoresetMode.SAME_STEP, **vec_env_kwargs)
    vector_env.spec = deepcopy(spec)
    vector_env.spec.max_episode_steps = kwargs["max_episode_steps"]
    return vector_env


def _native_class(spec: EnvSpec, env_kwargs: dict[str, Any]) -> Callable[..., VecEnv] | None:
    """The ``VecEnv`` class that the environment's class names for these arguments, or None."""
    creator = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    choose = getattr(creator, "sb3_vec_env", None)
    kwargs = {key: value for key, value in {**spec.kwargs, **env_kwargs}.items() if key != "max_episode_steps"}
    return None if choose is None else choose(**kwargs)


def _native_vec_env(
    spec: EnvSpec | None, n_envs: int, env_kwargs: dict[str, Any], vec_env_kwargs: dict[str, Any]
) -> VecEnv:
    """The environment's own ``VecEnv``; like SB3, with ``render_mode="rgb_array"``."""
    assert spec is not None  # required by make_vec_env
    vec_env_class = _native_class(spec, env_kwargs)
    if vec_env_class is None or spec.additional_wrappers:
        raise ValueError(f"{spec.id} has no native VecEnv for {env_kwargs}; use backend='auto' or 'dummy'")
    kwargs = {"render_mode": "rgb_array", **spec.kwargs, **env_kwargs, **vec_env_kwargs}
    if kwargs.get("max_episode_steps") is None:
        kwargs["max_episode_steps"] = spec.max_episode_steps
    return vec_env_class(n_envs, **kwargs)


def _env_fn(spec: EnvSpec, env_kwargs: dict[str, Any]) -> Callable[[], gym.Env[Any, Any]]:
    """A function that makes one environment; like SB3, with ``render_mode="rgb_array"`` where it takes one."""

    def make() -> gym.Env[Any, Any]:
        try:
            return gym.make(spec, **{"render_mode": "rgb_array", **env_kwargs})
        except TypeError:
            return gym.make(spec, **env_kwargs)

    return make


def _envpool_render_mode(task_id: str) -> str | None:
    """``"rgb_array"`` as in SB3, but for the tasks whose rendering would end the process where OpenGL is missing."""
    if importlib.util.find_spec("envpool") is None:
        return None
    from envpool.registration import registry

    import_path = registry.specs.get(task_id, ("",))[0]
    return "rgb_array" if import_path.startswith(_RENDERS_WITHOUT_OPENGL) else None


def _monitored(vec_env: VecEnv, start_index: int, monitor_dir: str | None, monitor_kwargs: dict[str, Any]) -> VecEnv:
    filename = None
    if monitor_dir is not None:
        Path(monitor_dir).mkdir(parents=True, exist_ok=True)
        filename = str(Path(monitor_dir) / f"{start_index}.monitor.csv")
    return VecMonitor(vec_env, filename, tuple(monitor_kwargs.get("info_keywords", ())))
