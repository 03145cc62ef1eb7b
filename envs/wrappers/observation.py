"""Wrappers that turn observations into what a table or a network can take.

``DiscretizeObservation`` and ``FlattenDiscrete`` make an environment tabular: one integer for each state. ``OneHot``
goes the other way, from an integer to a vector. Others are Gymnasium's own and serve as they are:
``FlattenObservation``, ``FilterObservation``, ``RescaleObservation``, ``TransformObservation``,
``TimeAwareObservation``.
"""

import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs

Bins = int | Sequence[int | npt.ArrayLike]

UNBOUNDED = 1e30  # limits of this size are "no limit" (older environments give the largest float32)

PRESETS: dict[str, dict[str, Any]] = {
    # x, x velocity, angle, angular velocity: the angle decides
    "CartPole": {"bins": (3, 3, 8, 6), "low": (-2.4, -2.0, -0.21, -2.0), "high": (2.4, 2.0, 0.21, 2.0)},
    # position, velocity: the space's own limits
    "MountainCar": {"bins": (20, 20), "low": None, "high": None},
    # cos and sin of both angles, both angular velocities: the space's own limits
    "Acrobot": {"bins": (4, 4, 4, 4, 6, 6), "low": None, "high": None},
}
"""Discretisations for the environments of these names, any version: 432, 400 and 9216 states."""


class DiscretizeObservation(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Cuts a Box observation into bins and numbers them, so that a table can hold a value for each.

    Bins are half-open, [edge, next edge); what lies beyond the outermost edges falls into the outermost bin. Beyond
    Gymnasium's wrapper of the same name this one takes edges, limits for unbounded dimensions, and has presets.

    Args:
        env: An environment with Box observations.
        bins: Number of bins for every dimension; or, one entry a dimension, a number of bins or an increasing array of
            inner edges (n edges make n + 1 bins). Left out: the preset for CartPole, MountainCar or Acrobot.
        low: Lower limits of the uniform bins, one a dimension; by default the space's.
        high: Upper limits, likewise.

    Raises:
        ValueError: If the observations are not a Box, a dimension has no limits, or the bins do not fit.

    Example:
        >>> env = DiscretizeObservation(gym.make("MountainCar-v0"), bins=10)
        >>> env.observation_space
        Discrete(100)
        >>> DiscretizeObservation(gym.make("CartPole-v1"), bins=[1, 1, [-0.1, 0.0, 0.1], [0.0]]).observation_space
        Discrete(8)
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        bins: Bins | None = None,
        low: npt.ArrayLike | None = None,
        high: npt.ArrayLike | None = None,
    ) -> None:
        space = env.observation_space
        if not isinstance(space, spaces.Box):
            raise ValueError(
                f"DiscretizeObservation needs Box observations, got {space}; FlattenDiscrete takes Tuple, Dict and "
                "MultiDiscrete ones, gymnasium.wrappers.FlattenObservation makes a Box of mixed ones"
            )
        RecordConstructorArgs.__init__(self, bins=bins, low=low, high=high)
        gym.ObservationWrapper.__init__(self, env)
        if bins is None:
            preset = _preset(env)
            bins = preset["bins"]
            low = preset["low"] if low is None else low
            high = preset["high"] if high is None else high
        dimensions = math.prod(space.shape)
        lows = np.ravel(space.low if low is None else low).astype(np.float64)
        highs = np.ravel(space.high if high is None else high).astype(np.float64)
        if isinstance(bins, str) or not (isinstance(bins, int | np.integer) or hasattr(bins, "__len__")):
            raise ValueError(f"bins must be a whole number, or one entry for each dimension, got {bins!r}")
        every: Sequence[int | npt.ArrayLike] = [bins] * dimensions if isinstance(bins, int | np.integer) else bins
        if not len(every) == len(lows) == len(highs) == dimensions:
            raise ValueError(
                f"{space} has {dimensions} dimensions; got {len(every)} bins, {len(lows)} lower and {len(highs)} "
                "upper limits: give one for each dimension"
            )
        self.edges = [_edges(i, every[i], lows[i], highs[i]) for i in range(dimensions)]
        self.shape = tuple(len(edges) + 1 for edges in self.edges)
        self.observation_space = spaces.Discrete(_checked_product(self.shape))

    def bin_indices(self, observation: npt.ArrayLike) -> tuple[int, ...]:
        """The bin in each dimension.

        Raises:
            ValueError: If a number of the observation is NaN, which lies in no bin.
        """
        values = np.ravel(observation)
        if np.isnan(values).any():
            raise ValueError(f"dimension {int(np.isnan(values).argmax())} of the observation {observation!r} is NaN")
        return tuple(int(np.searchsorted(edges, v, side="right")) for edges, v in zip(self.edges, values, strict=True))

    def observation(self, observation: npt.ArrayLike) -> int:
        """The number of the bin, in row-major order: the last dimension varies fastest."""
        return int(np.ravel_multi_index(self.bin_indices(observation), self.shape))


def _preset(env: gym.Env[Any, Any]) -> dict[str, Any]:
    name = "" if env.spec is None else env.spec.name
    if name not in PRESETS:
        raise ValueError(
            f"no preset for {name or env}, only for {', '.join(PRESETS)}; "
            f"give bins, for example bins=10, for {env.observation_space}"
        )
    return PRESETS[name]


def _edges(dimension: int, bins: int | npt.ArrayLike, low: float, high: float) -> npt.NDArray[np.float64]:
    """Inner edges of one dimension, increasing."""
    if not isinstance(bins, int | np.integer):
        edges = np.asarray(bins, dtype=np.float64)
        if edges.ndim != 1 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
            raise ValueError(f"the edges of dimension {dimension} must be finite and increasing, got {bins}")
        return edges
    if bins < 1:
        raise ValueError(f"dimension {dimension} needs at least one bin, got {bins}")
    if bins == 1:
        return np.empty(0)
    if not (abs(low) < UNBOUNDED and abs(high) < UNBOUNDED):
        raise ValueError(
            f"dimension {dimension} has the limits [{low}, {high}], which cannot be cut into {bins} equal bins; give "
            f"finite low= and high=, or its edges: bins=[..., [-1.0, 0.0, 1.0], ...]"
        )
    if not low < high:
        raise ValueError(f"dimension {dimension} has the limits [{low}, {high}]; low must be below high")
    return np.linspace(low, high, int(bins) + 1)[1:-1]


class DiscreteProduct:
    """Numbers the elements of a composite discrete space 0 .. n - 1, the last component varying fastest.

    Takes Discrete (with any start), MultiDiscrete, MultiBinary, and Tuple and Dict of these, nested at will.

    Args:
        space: The composite space.

    Raises:
        ValueError: If a part is something else, or there are more elements than an int64 can number.

    Example:
        >>> product = DiscreteProduct(spaces.Tuple([spaces.Discrete(3, start=1), spaces.MultiDiscrete([2, 5])]))
        >>> product.n, product.encode((2, [1, 4]))
        (30, 19)
        >>> product.decode(19)
        (2, array([1, 4]))
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.space = space
        self.sizes = _sizes(space)
        self.n = _checked_product(self.sizes)

    def encode(self, element: Any) -> int:
        """The number of an element."""
        return int(np.ravel_multi_index(_digits(self.space, element), self.sizes)) if self.sizes else 0

    def decode(self, index: int) -> Any:
        """The element of a number.

        Raises:
            ValueError: If the number is not in 0 .. n - 1.
        """
        if not 0 <= index < self.n:
            raise ValueError(f"{index} is not in 0 .. {self.n - 1}, the elements of {self.space}")
        digits = [int(digit) for digit in np.unravel_index(int(index), self.sizes)] if self.sizes else []
        return _element(self.space, digits)


class FlattenDiscrete(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Turns composite discrete observations and actions into one integer: Blackjack becomes tabular.

    Both spaces are flattened where they are composite (Tuple, Dict, MultiDiscrete, MultiBinary) or a Discrete that
    does not start at 0; others are left alone.

    Args:
        env: The environment.

    Raises:
        ValueError: If there is nothing to flatten, or the observations have a part that is not discrete.

    Example:
        >>> env = FlattenDiscrete(gym.make("Blackjack-v1"))
        >>> env.observation_space
        Discrete(704)
        >>> env.observations.decode(env.observations.encode((13, 7, 1)))
        (13, 7, 1)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        gym.Wrapper.__init__(self, env)
        self.observations = DiscreteProduct(env.observation_space) if _flattens(env.observation_space) else None
        self.actions = DiscreteProduct(env.action_space) if _flattens(env.action_space) else None
        if self.observations is None and self.actions is None:
            raise ValueError(
                f"nothing to flatten: observations {env.observation_space}, actions {env.action_space}; "
                "for Box observations use DiscretizeObservation"
            )
        if self.observations is not None:
            self.observation_space = spaces.Discrete(self.observations.n)
        if self.actions is not None:
            self.action_space = spaces.Discrete(self.actions.n)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observation(observation), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes the action of that number."""
        inner_action = action if self.actions is None else self.actions.decode(int(action))
        observation, reward, terminated, truncated, info = self.env.step(inner_action)
        return self._observation(observation), reward, terminated, truncated, info

    def _observation(self, observation: Any) -> Any:
        return observation if self.observations is None else self.observations.encode(observation)


class OneHot(gym.ObservationWrapper[Any, Any, Any], RecordConstructorArgs):
    """Discrete observations as vectors: one entry for each, 1 at the one observed.

    Gymnasium's ``FlattenObservation`` does the same, and flattens every other space as well; this one can be pickled.
    SB3's policies encode Discrete observations like this by themselves.

    Args:
        env: An environment with Discrete or MultiDiscrete observations.

    Raises:
        ValueError: For other observations.

    Example:
        >>> OneHot(gym.make("CliffWalking-v1")).observation_space.shape
        (48,)
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        if not isinstance(env.observation_space, spaces.Discrete | spaces.MultiDiscrete):
            raise ValueError(
                f"OneHot needs Discrete or MultiDiscrete observations, got {env.observation_space}; FlattenDiscrete "
                "and DiscretizeObservation make them, gymnasium.wrappers.FlattenObservation takes every space"
            )
        RecordConstructorArgs.__init__(self)
        gym.ObservationWrapper.__init__(self, env)
        self.observation_space = spaces.flatten_space(env.observation_space)

    def observation(self, observation: Any) -> npt.NDArray[Any]:
        """The vector, of integers 0 and 1."""
        return np.asarray(spaces.flatten(self.env.observation_space, observation))


def _flattens(space: spaces.Space[Any]) -> bool:
    """Whether a space is composite, or a Discrete that does not start at 0."""
    if isinstance(space, spaces.Discrete):
        return bool(space.start != 0)
    return isinstance(space, spaces.Tuple | spaces.Dict | spaces.MultiDiscrete | spaces.MultiBinary)


def _sizes(space: spaces.Space[Any]) -> list[int]:
    """The number of values of each elementary part, in order."""
    if isinstance(space, spaces.Discrete):
        return [int(space.n)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(size) for size in space.nvec.ravel()]
    if isinstance(space, spaces.MultiBinary):
        return [2] * math.prod(space.shape)
    if isinstance(space, spaces.Tuple):
        return [size for part in space.spaces for size in _sizes(part)]
    if isinstance(space, spaces.Dict):
        return [size for part in space.spaces.values() for size in _sizes(part)]
    raise ValueError(
        f"{space} is not discrete; cut it with DiscretizeObservation, or drop it with "
        "gymnasium.wrappers.FilterObservation"
    )


def _digits(space: spaces.Space[Any], element: Any) -> list[int]:
    """The element's parts, each counted from 0."""
    if isinstance(space, spaces.Discrete):
        return [int(element) - int(space.start)]
    if isinstance(space, spaces.MultiDiscrete):
        return [int(digit) for digit in (np.asarray(element) - space.start).ravel()]
    if isinstance(space, spaces.MultiBinary):
        return [int(digit) for digit in np.ravel(element)]
    if isinstance(space, spaces.Tuple):
        return [digit for part, value in zip(space.spaces, element, strict=True) for digit in _digits(part, value)]
    assert isinstance(space, spaces.Dict)
    return [digit for key, part in space.spaces.items() for digit in _digits(part, element[key])]


def _element(space: spaces.Space[Any], digits: list[int]) -> Any:
    """Inverse of ``_digits``; takes the digits it needs from the front of the list."""
    if isinstance(space, spaces.Discrete):
        return digits.pop(0) + int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        values = np.array([digits.pop(0) for _ in range(space.nvec.size)]).reshape(space.nvec.shape)
        return (values + space.start).astype(space.dtype)
    if isinstance(space, spaces.MultiBinary):
        return np.array([digits.pop(0) for _ in range(math.prod(space.shape))], space.dtype).reshape(space.shape)
    if isinstance(space, spaces.Tuple):
        return tuple(_element(part, digits) for part in space.spaces)
    assert isinstance(space, spaces.Dict)
    return {key: _element(part, digits) for key, part in space.spaces.items()}


def _checked_product(sizes: Sequence[int]) -> int:
    n = math.prod(sizes)
    if n > np.iinfo(np.int64).max:
        raise ValueError(f"{' x '.join(map(str, sizes))} = {n:.1e} states are more than an int64 can number")
    return n
