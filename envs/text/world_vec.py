"""Many texts at once, behind SB3's ``VecEnv``: tokens are appended as arrays, only finished texts cost a Python call.

Environment i makes the very transitions of a ``TokenWorld`` that was seeded with ``seed + i``: each has its own
generator, from which it draws a prompt whenever a text is finished.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_ext.envs.grid.infos import Infos, StepInfos
from sb3_ext.envs.text.tasks import TextTask
from sb3_ext.envs.text.world import END, TokenWorld, draw_text

_STATELESS_METHODS = ("responses", "scores", "score_texts", "successes", "demonstrations")


class TokenWorldVecEnv(VecEnv):
    """``num_envs`` token worlds of one task, as an SB3 ``VecEnv``.

    Transitions and infos are those of ``DummyVecEnv`` over ``TokenWorld``. The infos of a step are a sequence, no list,
    whose dictionaries are made at the first look (``StepInfos``).

    Args:
        num_envs: number of texts that are written at once, at least 1.
        task: as for ``TokenWorld``.
        max_episode_steps: a time limit, at least 1: a text that is longer is cut without a score. Default: none.
        **kwargs: as for ``TokenWorld``.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> env = TokenWorldVecEnv(2, "sort", length=2, n_symbols=2, prompts=["ba>"])
        >>> env.reset()
        array([[2, 1, 3, 4, 4, 4],
               [2, 1, 3, 4, 4, 4]])
        >>> env.step(np.array([1, 0]))[0]
        array([[2, 1, 3, 1, 4, 4],
               [2, 1, 3, 4, 4, 4]])
    """

    def __init__(
        self, num_envs: int, task: str | TextTask = "sort", *, max_episode_steps: int | None = None, **kwargs: Any
    ) -> None:
        for name, number in (("num_envs", num_envs), ("max_episode_steps", max_episode_steps)):
            if number is not None and (not isinstance(number, int | np.integer) or number < 1):
                raise ValueError(f"{name} must be a whole number, at least 1, got {number!r}")
        self.world = TokenWorld(task, **kwargs)
        self.metadata = self.world.metadata
        self.max_episode_steps = self.world.max_new_tokens if max_episode_steps is None else max_episode_steps
        self._limit = max_episode_steps
        self._generators: list[np.random.Generator | None] = [None] * num_envs
        self._prompts = np.zeros(num_envs, dtype=np.int64)
        self._n_new = np.full(num_envs, -1)  # tokens written; -1 before the first reset
        self._tokens = np.zeros((num_envs, self.world.context), dtype=np.int64)
        self._actions = np.zeros(num_envs, dtype=np.int64)
        super().__init__(num_envs, self.world.observation_space, self.world.action_space)

    # --- stepping

    def reset(self) -> VecEnvObs:
        """Starts all texts anew, with the seeds set by ``seed``, which serve once."""
        for index, seed in enumerate(self._seeds):
            if seed is not None or self._generators[index] is None:
                self._generators[index] = seeding.np_random(seed)[0]
            self._begin(index)
        self.reset_infos = [{} for _ in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return self._tokens.copy()

    def reseed(self, seeds: Sequence[int]) -> None:
        """Starts each environment's random numbers anew, as its own seed at a reset would; texts stay as they are.

        Raises:
            ValueError: if there is not one seed for each environment.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"got {len(seeds)} seeds for {self.num_envs} environments")
        self._generators = [seeding.np_random(seed)[0] for seed in seeds]

    def _begin(self, index: int) -> None:
        """Gives one environment its next prompt."""
        generator = self._generators[index]
        assert generator is not None  # made by reset
        prompt = self.world.draw_prompt(generator)
        self._prompts[index], self._n_new[index] = prompt, 0
        self._tokens[index] = self.world.prompts[prompt]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Takes one token for each text, integers [num_envs].

        Raises:
            ValueError: for a token outside the vocabulary, or if there is not one for each text.
            RuntimeError: if called before ``reset``.
        """
        tokens = np.asarray(actions)
        if tokens.shape != (self.num_envs,) or tokens.dtype.kind not in "iu":
            raise ValueError(f"TokenWorldVecEnv needs {self.num_envs} integers, got {tokens.dtype} {tokens.shape}")
        wrong = np.flatnonzero((tokens < 0) | (tokens >= self.world.n_tokens))
        if len(wrong):
            index = wrong[0]
            raise ValueError(f"environment {index}: the tokens are 0 to {self.world.n_tokens - 1}, got {tokens[index]}")
        if self._n_new[0] < 0:
            raise RuntimeError("call reset() before step()")
        self._actions = tokens.astype(np.int64)

    def step_wait(self) -> VecEnvStepReturn:
        """Returns observations [num_envs, context], rewards float32 [num_envs], dones bool [num_envs], infos."""
        world = self.world
        self._tokens[np.arange(self.num_envs), world.prompt_lengths[self._prompts] + self._n_new] = self._actions
        self._n_new += 1
        ended = (self._actions == END) | (self._n_new >= world.max_new_tokens)
        cut = np.zeros_like(ended) if self._limit is None else ~ended & (self._n_new >= self._limit)
        rewards = np.zeros(self.num_envs, dtype=np.float32)
        final: dict[int, dict[str, Any]] = {}
        for index in np.flatnonzero(ended | cut).tolist():
            last = self._tokens[index].copy()
            info: dict[str, Any] = {}
            if ended[index]:
                rewards[index], info = world.judge(self._prompts[index], last)
            final[index] = {**info, "TimeLimit.truncated": bool(cut[index]), "terminal_observation": last}
            self._begin(index)
            self.reset_infos[index] = {}
        infos = StepInfos(self.num_envs, partial(_infos, self.num_envs, final))
        return self._tokens.copy(), rewards, ended | cut, cast(Infos, infos)

    def close(self) -> None:
        """Nothing to close."""

    # --- access to the worlds

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of ``TokenWorld`` that all share.

        Raises:
            AttributeError: if there is no such attribute.
        """
        return [getattr(self.world, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Not possible.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(self._shared(f"set {attr_name!r}"))

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Calls a method that does not depend on the text, once for each chosen environment.

        Raises:
            NotImplementedError: for any other method.
        """
        if method_name not in _STATELESS_METHODS:
            raise NotImplementedError(self._shared(f"call {method_name!r}"))
        method = getattr(self.world, method_name)
        return [method(*method_args, **method_kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Never: there are no single environments."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """One picture for each text, or None each where the render mode is not ``"rgb_array"``."""
        if self.render_mode != "rgb_array":
            return [None] * self.num_envs
        texts = (self.world.task.decode(row) for row in self._tokens.tolist())
        lengths = self.world.prompt_lengths[self._prompts].tolist()
        return [
            draw_text(f"{text[:n]}|{text[n:]}", self.world.context + 2) for text, n in zip(texts, lengths, strict=True)
        ]

    def _shared(self, wish: str) -> str:
        return (
            f"TokenWorldVecEnv has one shared world and cannot {wish}: it knows {', '.join(_STATELESS_METHODS)}; use "
            "make_vec_env(..., backend='dummy')"
        )


def _infos(n_envs: int, final: dict[int, dict[str, Any]]) -> Infos:
    """The infos of a step, from those of the environments that had finished."""
    return [final.get(index, {"TimeLimit.truncated": False}) for index in range(n_envs)]
