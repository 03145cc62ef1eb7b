"""Worlds that change: drawn anew at every reset (domain randomisation), or harder as the agent gets better.

Both change an environment through its constructor's arguments or its attributes. ``RandomizeDynamics`` draws them,
``DifficultyLevels`` has a list of them and a method ``set_difficulty``, and ``Curriculum``, an SB3 callback, calls that
method (or one of your environment's own) when the success rate passes a bar.
"""

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.utils import RecordConstructorArgs
from stable_baselines3.common.callbacks import BaseCallback

Draw = Callable[[np.random.Generator], Any]
Parameter = tuple[float, float] | Sequence[Any] | Draw


def set_parameters(env: gym.Env[Any, Any], values: Mapping[str, Any]) -> None:
    """Gives an environment other parameters, in place; they hold from its next reset.

    A constructor argument is changed by running the constructor again on the same object, with the arguments that
    ``gym.make`` gave it, so everything that is computed from it is right. Anything else must be an attribute.
    Random generators, of the environment and of its spaces, go on where they were.

    Args:
        env: The environment, with any wrappers.
        values: Name of an argument of the bare environment's constructor, or of its attribute -> value.

    Raises:
        ValueError: If a name is neither, the constructor's arguments are not known, or a space changes; the environment
            is then as it was.
    """
    inner = env.unwrapped
    arguments = set(inspect.signature(type(inner).__init__).parameters) - {"self", "kwargs", "args"}
    for name in values:
        if name not in arguments and not hasattr(inner, name):
            raise ValueError(
                f"{type(inner).__name__} has no parameter {name!r}: its constructor takes "
                f"{', '.join(sorted(arguments)) or 'nothing'}, its attributes are {', '.join(sorted(vars(inner)))}"
            )
    before = _state_of(inner)
    try:
        _change(inner, values, arguments)
    except Exception:
        _put_back(inner, before)
        raise


def _change(inner: gym.Env[Any, Any], values: Mapping[str, Any], arguments: set[str]) -> None:
    given = {name: value for name, value in values.items() if name in arguments}
    if given:
        _construct_again(inner, given)
    for name, value in values.items():
        if name not in arguments:
            setattr(inner, name, value)
    if isinstance(inner, CartPoleEnv):  # what its constructor derives from attributes
        inner.total_mass = inner.masspole + inner.masscart
        inner.polemass_length = inner.masspole * inner.length


def _state_of(inner: gym.Env[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes of an environment and the arguments that it was made with."""
    return dict(vars(inner)), {} if inner.spec is None else inner.spec.kwargs


def _put_back(inner: gym.Env[Any, Any], state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    attributes, arguments = state
    vars(inner).clear()
    vars(inner).update(attributes)
    if inner.spec is not None:
        inner.spec.kwargs = arguments


@contextmanager
def _on_trial(inner: gym.Env[Any, Any]) -> Iterator[None]:
    """Whatever happens inside, the environment is afterwards as it was before."""
    before = _state_of(inner)
    try:
        yield
    finally:
        _put_back(inner, before)


def _construct_again(inner: gym.Env[Any, Any], given: dict[str, Any]) -> None:
    if inner.spec is None:
        raise ValueError(
            f"{type(inner).__name__} was not made by gym.make, so its other arguments are not known and "
            f"{', '.join(given)} cannot be changed; register it and make it by its id"
        )
    if inner.render_mode == "human":
        inner.close()  # or its window stays behind
    spec, before = inner.spec, (inner.observation_space, inner.action_space)
    spec.kwargs = {**spec.kwargs, **given}
    generator, generator_seed = inner._np_random, inner._np_random_seed
    type(inner).__init__(inner, **spec.kwargs)
    inner.spec, inner._np_random, inner._np_random_seed = spec, generator, generator_seed
    if (inner.observation_space, inner.action_space) != before:
        raise ValueError(f"{given} changes the spaces of {type(inner).__name__}, {before}: a policy cannot follow")
    inner.observation_space, inner.action_space = before  # with their seeds


class RandomizeDynamics(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Draws parameters of the environment anew at every reset (domain randomisation, Tobin et al. 2017).

    What was drawn stands in the reset's info under "dynamics", and in the attribute ``dynamics``. Under a time limit
    of ``gym.make`` the limit itself is not a parameter.

    Args:
        env: The environment.
        parameters: Name of a constructor argument or attribute -> how to draw it:

            - ``(low, high)``, a tuple of two numbers: uniformly between them;
            - a list of values: one of them, each as likely;
            - a callable on a NumPy generator: ``lambda generator: generator.normal(9.8, 0.5)``.

    Raises:
        ValueError: If a name is unknown, something cannot be drawn from, or the environment is a GridWorld whose map
            changes after some steps (constructed anew at each reset, it would never come to that).

    Example:
        >>> env = RandomizeDynamics(gym.make("CartPole-v1"), {"length": (0.3, 0.8), "force_mag": [8.0, 12.0]})
        >>> _, info = env.reset(seed=0)
        >>> sorted(info["dynamics"])
        ['force_mag', 'length']
    """

    holds_its_start = True  # what a state restored from outside does not change

    def __init__(self, env: gym.Env[Any, Any], parameters: Mapping[str, Parameter]) -> None:
        RecordConstructorArgs.__init__(self, parameters=parameters)
        gym.Wrapper.__init__(self, env)
        _refuse_changing_map(env)
        self.draws = {name: _as_draw(name, parameter) for name, parameter in parameters.items()}
        self.dynamics: dict[str, Any] = {}
        self._generator = np.random.default_rng()
        self._redraw()  # unknown names fail here, not in the middle of a training

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draws, then starts an episode; a seed determines both."""
        if seed is not None:
            self._generator = np.random.default_rng(np.random.SeedSequence(seed).spawn(1)[0])
        self._redraw()
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, "dynamics": dict(self.dynamics)}

    def _redraw(self) -> None:
        self.dynamics = {name: draw(self._generator) for name, draw in self.draws.items()}
        set_parameters(self.env, self.dynamics)


def _refuse_changing_map(env: gym.Env[Any, Any]) -> None:
    to_dict = getattr(env.unwrapped, "to_dict", None)
    if to_dict is not None and "change" in to_dict():
        raise ValueError(
            f"RandomizeDynamics constructs {env} anew at each reset, which would start its count of steps anew, "
            f"and the map would not change after {to_dict()['change']['after']} steps; take a map without 'change'"
        )


class _Uniform:
    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, generator: np.random.Generator) -> float:
        return float(generator.uniform(self.low, self.high))


class _Choice:
    def __init__(self, values: Sequence[Any]) -> None:
        self.values = list(values)

    def __call__(self, generator: np.random.Generator) -> Any:
        return self.values[generator.integers(len(self.values))]


def _as_draw(name: str, parameter: Parameter) -> Draw:
    """What to draw a parameter with (objects rather than closures, so that environments can be pickled)."""
    if callable(parameter):
        return parameter
    if isinstance(parameter, tuple):
        if len(parameter) != 2 or not parameter[0] <= parameter[1]:
            raise ValueError(f"{name}: a tuple must be (low, high) with low <= high, got {parameter}; or give a list")
        return _Uniform(*parameter)
    if isinstance(parameter, str) or not isinstance(parameter, Sequence) or not parameter:
        raise ValueError(f"{name}: give (low, high), a list of values or a callable, got {parameter!r}")
    return _Choice(parameter)


class DifficultyLevels(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """An environment with a list of difficulties: ``set_difficulty(level)`` holds from the next reset.

    Args:
        env: The environment.
        levels: Parameters (see ``set_parameters``) of each level, easiest first. Every level should name the same ones.

    Raises:
        ValueError: If there is no level, the levels name different parameters, or one of them cannot be set: all are
            tried once, at construction.

    Example:
        >>> env = DifficultyLevels(gym.make("FrozenLake-v1"), [{"success_rate": 1.0}, {"success_rate": 0.5}])
        >>> env.difficulty
        0
    """

    def __init__(self, env: gym.Env[Any, Any], levels: Sequence[Mapping[str, Any]]) -> None:
        if not levels or any(set(level) != set(levels[0]) for level in levels):
            raise ValueError(f"levels must be a list of parameters, the same names in each, got {levels}")
        RecordConstructorArgs.__init__(self, levels=levels)
        gym.Wrapper.__init__(self, env)
        self.levels = [dict(level) for level in levels]
        with _on_trial(env.unwrapped):
            for level in self.levels:
                set_parameters(env, level)
        self.difficulty = 0
        self._current: int | None = None

    def set_difficulty(self, level: int) -> None:
        """Chooses the level of the next episodes.

        Raises:
            ValueError: If there is no such level.
        """
        if not 0 <= level < len(self.levels):
            raise ValueError(f"no level {level}; there are the levels 0 .. {len(self.levels) - 1}")
        self.difficulty = int(level)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode of the chosen level, which its info names as "difficulty"."""
        if self._current != self.difficulty:
            set_parameters(self.env, self.levels[self.difficulty])
            self._current = self.difficulty
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, {**info, "difficulty": self.difficulty}


def success_of(info: Mapping[str, Any]) -> bool:
    """SB3's convention: ``info["is_success"]`` at the end of an episode.

    Raises:
        ValueError: If it is missing.
    """
    if "is_success" not in info:
        raise ValueError(
            f"an episode ended without info['is_success'] (it has {sorted(info)}); report it, or say what success is: "
            "Curriculum(..., success=lambda info: info['episode']['r'] > 0)"
        )
    return bool(info["is_success"])


class Curriculum(BaseCallback):
    """Raises the difficulty by one level when the success rate of the last episodes passes a bar.

    Calls ``set_difficulty(level)`` in every environment (``env_method``, so it works in subprocesses), starting with
    level 0. After each rise the window starts empty. Episodes that began before the rise are of the old level and are
    not counted: SB3 resets an environment in the very step that ends an episode, so that is one for each environment.

    Logs ``curriculum/level`` and ``curriculum/success_rate``.

    Args:
        n_levels: Number of levels; the last one stays.
        bar: Success rate in (0, 1] to reach.
        window: Number of episodes that the rate is measured on.
        success: Says from the info of an episode's last step whether it succeeded.
        method: The environment's method that takes the level.

    Raises:
        ValueError: If a setting is out of range, the environments have no such method, or an episode does not say
            whether it succeeded.
    """

    def __init__(
        self,
        n_levels: int,
        bar: float = 0.8,
        window: int = 50,
        success: Callable[[Mapping[str, Any]], bool] = success_of,
        method: str = "set_difficulty",
    ) -> None:
        super().__init__()
        if n_levels < 1 or not 0 < bar <= 1 or window < 1:
            raise ValueError(f"needs n_levels >= 1, bar in (0, 1], window >= 1; got {n_levels}, {bar} and {window}")
        self.n_levels, self.bar, self.method, self.success = n_levels, bar, method, success
        self.level = 0
        self.raised_at: list[int] = []  # timesteps
        self._results: deque[bool] = deque(maxlen=window)
        self._skip = np.zeros(0, dtype=bool)

    @property
    def success_rate(self) -> float:
        """Share of successes among the last episodes of this level; NaN before the first."""
        return float(np.mean(self._results)) if self._results else float("nan")

    def _on_training_start(self) -> None:
        if not self.training_env.has_attr(self.method):
            raise ValueError(
                f"the environments have no method {self.method!r} to take a level; wrap them in "
                "sb3_ext.envs.DifficultyLevels(env, levels), or name theirs: Curriculum(..., method=...)"
            )
        self.training_env.env_method(self.method, self.level)
        self._skip = np.full(self.training_env.num_envs, self.level > 0)

    def _on_step(self) -> bool:
        for i in np.flatnonzero(self.locals["dones"]):
            if self._skip[i]:
                self._skip[i] = False
            else:
                self._results.append(self.success(self.locals["infos"][i]))
        full = len(self._results) == self._results.maxlen
        if full and self.success_rate >= self.bar and self.level < self.n_levels - 1:
            self.level += 1
            self.raised_at.append(self.num_timesteps)
            self.training_env.env_method(self.method, self.level)
            self._results.clear()
            self._skip[:] = True
        self.logger.record("curriculum/level", self.level)
        if self._results:
            self.logger.record("curriculum/success_rate", self.success_rate)
        return True
