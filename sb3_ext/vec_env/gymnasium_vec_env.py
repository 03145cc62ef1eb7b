"""Adapter from Gymnasium's ``VectorEnv`` to SB3's ``VecEnv``.

Both step many environments at once; they differ in what they say about an episode's end. Gymnasium reports
``terminated`` and ``truncated`` and one dictionary of batched infos; SB3 reports ``dones`` and one dictionary for each
environment, in which a finished one carries ``terminal_observation`` and ``TimeLimit.truncated``.
"""

import warnings
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.preprocessing import check_for_nested_spaces
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

_SINGLE_SPACES = {"observation_space": "single_observation_space", "action_space": "single_action_space"}


class GymnasiumVecEnv(VecEnv):
    """Any Gymnasium vector environment that resets on the same step, as an SB3 ``VecEnv``.

    Wrappers belong inside, around the single environments, or outside, as SB3's: what a Gymnasium vector wrapper adds
    to the infos of an episode's last step is taken for part of the reset's. Infos pass through Gymnasium's batching,
    which keeps one type a key and step: an environment that reports an integer where another reports a float loses the
    fraction there.

    Args:
        vector_env: For example ``SyncVectorEnv(env_fns, autoreset_mode=AutoresetMode.SAME_STEP)``.

    Raises:
        ValueError: If ``vector_env`` does not reset on the same step.
        NotImplementedError: For Tuple and nested Dict observation spaces, which SB3 does not support either.

    Example:
        >>> from sb3_ext.vec_env import SameStepCartPole
        >>> env = GymnasiumVecEnv(SameStepCartPole(num_envs=2))
        >>> env.seed(0)
        [0, 1]
        >>> env.reset().shape
        (2, 4)
    """

    def __init__(self, vector_env: VectorEnv[Any, Any, Any]) -> None:
        mode = vector_env.metadata.get("autoreset_mode")
        if mode != AutoresetMode.SAME_STEP:
            raise ValueError(
                f"SB3 needs environments that reset on the same step, got autoreset_mode={mode} from {vector_env}; "
                "build it with autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP"
                " (for CartPole: sb3_ext.vec_env.SameStepCartPole)"
            )
        observation_space = vector_env.single_observation_space
        if isinstance(observation_space, gym.spaces.Tuple):
            raise NotImplementedError(f"SB3 has no policy for Tuple observations, got {observation_space}; use Dict")
        check_for_nested_spaces(observation_space)
        self.vector_env = vector_env
        self._batch = cast(Any, vector_env.unwrapped)  # may have get_attr, envs, step_async, ...: asked before use
        self._actions: np.ndarray | None = None
        self._closed = False
        super().__init__(vector_env.num_envs, observation_space, vector_env.single_action_space)
        self.metadata = dict(vector_env.metadata)

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's registration entry, where the vector environment knows it."""
        return self.vector_env.spec

    # --- stepping

    def reset(self) -> VecEnvObs:
        """Starts all environments anew, with the seeds and options set before, which serve once.

        Returns:
            Observations, [num_envs, ...] or a dictionary of such.
        """
        options = self._options[0] or None
        if any(other != self._options[0] for other in self._options):
            raise ValueError("a Gymnasium vector environment takes the same options for all environments; use"
                             " set_options(dict), or backend='dummy' for different ones")  # fmt: skip
        observations, infos = self.vector_env.reset(seed=cast(Any, list(self._seeds)), options=options)
        self.reset_infos = _unbatch(infos, self.num_envs)
        self._reset_seeds()
        self._reset_options()
        return _copy(observations)

    def reseed(self, seeds: Sequence[int]) -> None:
        """Gives each environment a new random generator without a reset: its own ``reseed``, or its ``np_random``.

        Raises:
            ValueError: If there is not one seed for each environment.
            NotImplementedError: For a batch without ``reseed``, and for an AsyncVectorEnv of environments with one.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"got {len(seeds)} seeds for {self.num_envs} environments")
        if hasattr(self._batch, "reseed"):
            self._batch.reseed(seeds)
        elif not hasattr(self._batch, "call"):
            raise NotImplementedError(self._no_single_env("reseed them"))
        elif self.has_attr("reseed"):
            for index, seed in enumerate(seeds):
                self.env_method("reseed", seed, indices=[index])
        else:
            self._batch.set_attr("np_random", [np.random.default_rng(seed) for seed in seeds])

    def step_async(self, actions: np.ndarray) -> None:
        """Hands over one action for each environment, [num_envs, ...].

        Raises:
            ValueError: If the number of actions is not the number of environments.
        """
        if len(actions) != self.num_envs:
            raise ValueError(f"got {len(actions)} actions for {self.num_envs} environments")
        self._actions = actions
        if self.vector_env is self._batch and hasattr(self._batch, "step_async"):
            self._batch.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Returns observations [num_envs, ...], rewards float32 [num_envs], dones bool [num_envs], infos."""
        if self.vector_env is self._batch and hasattr(self._batch, "step_wait"):
            result = self._batch.step_wait()
        else:
            result = self.vector_env.step(self._actions)
        observations, rewards, terminated, truncated, batched_infos = result
        dones = np.logical_or(terminated, truncated)
        infos = self._infos(batched_infos, dones, truncated & ~terminated)
        return _copy(observations), np.array(rewards, dtype=np.float32), dones, infos

    def _infos(self, batched: dict[str, Any], dones: np.ndarray, timed_out: np.ndarray) -> list[dict[str, Any]]:
        """One info a environment; a finished one's is of its last step, its reset's goes to ``reset_infos``."""
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": flag} for flag in timed_out.tolist()]
        if not batched:
            return infos
        batched = dict(batched)
        final_obs = batched.pop("final_obs", None)
        final_infos = batched.pop("final_info", {})
        batched.pop("_final_obs", None)
        batched.pop("_final_info", None)
        finished = np.flatnonzero(dones).tolist()
        for index in finished:
            self.reset_infos[index] = {}
        if batched:  # of the reset where an environment finished, of the step elsewhere
            ended = set(finished)
            for index, info in enumerate(_unbatch(batched, self.num_envs)):
                target = self.reset_infos if index in ended else infos
                target[index] = {**info, **target[index]}
        if final_infos:
            last_infos = _unbatch(final_infos, self.num_envs)
            for index in finished:
                infos[index] = {**last_infos[index], **infos[index]}
        for index in finished:
            last = final_obs[index]
            infos[index]["terminal_observation"] = last.copy() if isinstance(last, np.ndarray) else deepcopy(last)
        return infos

    def close(self) -> None:
        """Closes the environments; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self.vector_env.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """One RGB image for each environment, or None each (and a warning) where the render mode is another."""
        if self.render_mode != "rgb_array":
            warnings.warn(f"images need render_mode='rgb_array', got {self.render_mode!r}", stacklevel=2)
            return [None] * self.num_envs
        return list(cast(Iterable[np.ndarray], self.vector_env.render()))

    # --- access to the environments

    def has_attr(self, attr_name: str) -> bool:
        """Whether every environment has the attribute; unlike AsyncVectorEnv's ``get_attr``, does not call a method."""
        if hasattr(self._batch, "call"):
            return all(self._batch.call("has_wrapper_attr", attr_name))
        return super().has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of each environment; of a batch, the value that all its environments share.

        Raises:
            AttributeError: If an environment lacks it.
        """
        values = self._values(attr_name)
        return [values[index] for index in self._get_indices(indices)]

    def _values(self, name: str) -> Sequence[Any]:
        if name == "render_mode":
            return [self.vector_env.render_mode] * self.num_envs
        if hasattr(self._batch, "call"):
            # Asked first: a failed call would shut AsyncVectorEnv's workers down.
            if not all(self._batch.call("has_wrapper_attr", name)):
                raise AttributeError(f"the environments of {self.vector_env} have no attribute {name!r}")
            if hasattr(self._batch, "envs"):
                return [env.get_wrapper_attr(name) for env in self._batch.envs]
            return cast(Sequence[Any], self._batch.get_attr(name))
        name = _SINGLE_SPACES.get(name, name)
        if hasattr(self._batch, "get_attr"):
            return cast(Sequence[Any], self._batch.get_attr(name))
        return [getattr(self._batch, name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Sets the attribute in each chosen environment; in a batch, in all of them or not at all.

        Raises:
            NotImplementedError: If only some environments of a batch are chosen.
            AttributeError: If a batch has no such attribute.
        """
        chosen = set(self._get_indices(indices))
        if hasattr(self._batch, "envs"):
            for index in chosen:
                self._batch.envs[index].set_wrapper_attr(attr_name, value)
        elif hasattr(self._batch, "set_attr"):
            old = self._values(attr_name) if len(chosen) < self.num_envs else [None] * self.num_envs
            self._batch.set_attr(attr_name, [value if i in chosen else old[i] for i in range(self.num_envs)])
        elif len(chosen) < self.num_envs:
            raise NotImplementedError(self._no_single_env(f"set {attr_name!r} for some of them"))
        elif not hasattr(self._batch, attr_name):
            raise AttributeError(f"{self.vector_env} has no attribute {attr_name!r}")
        else:
            setattr(self._batch, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method of each chosen environment.

        Raises:
            AttributeError: If an environment has no such method.
            NotImplementedError: For a batch, which has no single environments, and for some of an AsyncVectorEnv's.
        """
        if not hasattr(self._batch, "call"):
            raise NotImplementedError(self._no_single_env(f"call {method_name!r}"))
        chosen = list(self._get_indices(indices))
        if hasattr(self._batch, "envs"):
            methods = [cast(Callable[..., Any], self._values(method_name)[index]) for index in chosen]
            return [method(*method_args, **method_kwargs) for method in methods]
        if sorted(chosen) != list(range(self.num_envs)):
            raise NotImplementedError(
                f"an AsyncVectorEnv calls {method_name!r} in all {self.num_envs} environments, got indices={chosen};"
                " use SyncVectorEnv or backend='subproc'"
            )
        if not all(self._batch.call("has_wrapper_attr", method_name)):
            raise AttributeError(f"the environments of {self.vector_env} have no method {method_name!r}")
        results = self._batch.call(method_name, *method_args, **method_kwargs)
        return [results[index] for index in chosen]

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Whether each environment is wrapped (in other processes: by the name of the class; in a batch: never)."""
        chosen = self._get_indices(indices)
        if hasattr(self._batch, "envs"):
            return [is_wrapped(self._batch.envs[index], wrapper_class) for index in chosen]
        if hasattr(self._batch, "call"):
            chains = self._batch.call("__str__")  # "<Monitor<TimeLimit<CartPoleEnv>>>"
            return [wrapper_class.__name__ in chains[index].rstrip(">").split("<")[1:-1] for index in chosen]
        return [False for _ in chosen]

    def _no_single_env(self, wish: str) -> str:
        return f"{self.vector_env} steps its environments as one batch and cannot {wish}; use backend='dummy'"


def _copy(observations: Any) -> Any:
    """Copies observations, so that a later step cannot change what was handed out earlier."""
    if isinstance(observations, dict):
        return {key: np.array(value, order="C") for key, value in observations.items()}
    return np.array(observations, order="C")


def _unbatch(batched: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Splits Gymnasium's batched infos into one dictionary for each environment.

    Gymnasium batches ``{"x": 1.0}`` of environment 2 as ``{"x": [0, 0, 1], "_x": [False, False, True]}``; dictionaries
    are batched in the same way, level by level. A key without mask holds for all environments.
    """
    infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key, values in batched.items():
        mask = batched.get(f"_{key}")
        if mask is None and key.startswith("_") and key[1:] in batched:
            continue  # the mask of another key
        owners = range(num_envs) if mask is None else np.flatnonzero(mask).tolist()
        parts: Sequence[Any] = _unbatch(values, num_envs) if isinstance(values, dict) else values
        for index in owners:
            infos[index][key] = _unbatched_value(parts[index])
    return infos


def _unbatched_value(value: Any) -> Any:
    """Python's own type for what batching made a NumPy scalar of it; an independent copy of anything else."""
    if isinstance(value, (np.bool_, np.int64, np.float64)):
        return value.item()
    return deepcopy(value)
