"""Groups of environments that start alike, which is what makes their returns comparable.

``VecEnv.seed(s)`` gives environment i the seed s + i, and the resets at an episode's end take no seed at all. So a
group begins with a reset of its own, with seeds drawn here. ``group_start`` says what its members have in common:

    "seed"     one seed for the reset of all
    "state"    each its own seed; then the state of the group's first member, which the environments' own methods
               ``clone_state()`` and ``restore_state(state)`` (ALE's names) carry over
    "unmatched"     nothing: unmatched groups, each environment with its own seed

and ``transition_noise`` what happens to the chance that is still to come (in unmatched groups it does nothing):

    "independent"    from the start on, each member draws from a generator of its own: same start, other luck
    "common"         all members go on with equal generators: the k-th number drawn is the same for all (common random
                     numbers), which is equal luck only as long as the members draw equally often

A generator is exchanged by the VecEnv's ``reseed(seeds)``, by the environment's own ``reseed(seed)`` or, where there is
neither, in Gymnasium's ``np_random``.

What cannot be seen from here: whether members are alike in what their first observation does not show (only first
observations are compared), and random numbers from another source than these, which ``transition_noise`` does not
reach. What an environment starts anew at every seeded reset, it now starts anew with every group: ``GridWorld``'s count
of steps until its map changes, the counts of ``CountBonus``.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.wrappers import DelayObservation, FrameStackObservation
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_ext.common import take

GROUP_STARTS = ("seed", "state", "unmatched")
TRANSITION_NOISES = ("independent", "common")
_N_SEEDS = 2**31  # EnvPool takes no more
_HOLDS_ITS_START = (
    "group_start='state' puts an environment into another one's state, but {} around it may hold on to its own start; "
    "use group_start='seed' (for stacks: SB3's VecFrameStack)"
)


def reset_in_groups(
    env: VecEnv,
    group_size: int,
    rng: np.random.Generator,
    group_start: str = "seed",
    transition_noise: str = "independent",
) -> VecEnvObs:
    """Resets all environments so that those of a group start alike; the module's docstring says in which sense.

    Args:
        env: The environments, inside any VecEnvWrappers. The first ``group_size`` of them are group 0, and so on.
        group_size: Members of a group, at least 2.
        rng: Where the seeds are drawn from, anew at every call.
        group_start: ``"seed"``, ``"state"`` or ``"unmatched"``.
        transition_noise: ``"independent"`` or ``"common"``.

    Returns:
        First observations [n_envs, ...], or a dictionary of such.

    Raises:
        ValueError: If an argument is out of range, the environments do not divide into groups or cannot do what was
            asked, or members differ in their first observation.

    Example:
        >>> from sb3_ext.vec_env import make_vec_env
        >>> env = make_vec_env("CartPole-v1", 6)
        >>> starts = reset_in_groups(env, group_size=3, rng=np.random.default_rng(0))
        >>> (starts[0] == starts[2]).all(), (starts[2] == starts[3]).any()
        (np.True_, np.False_)
    """
    starts = GroupStarts(group_size, group_start, transition_noise, rng)
    if env.num_envs % group_size:
        raise ValueError(f"{env.num_envs} environments do not divide into groups of {group_size}")
    return starts.reset(env)


class GroupStarts:
    """Resets environments in groups; remembers a group's start where it is played by fewer environments than members.

    Args:
        group_size: As for ``reset_in_groups``.
        group_start: Likewise.
        transition_noise: Likewise.
        rng: Likewise.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(self, group_size: int, group_start: str, transition_noise: str, rng: np.random.Generator) -> None:
        if group_size < 2:
            raise ValueError(f"group_size must be at least 2, got {group_size}")
        if group_start not in GROUP_STARTS:
            raise ValueError(f"group_start must be one of {GROUP_STARTS}, got {group_start!r}")
        if transition_noise not in TRANSITION_NOISES:
            raise ValueError(f"transition_noise must be one of {TRANSITION_NOISES}, got {transition_noise!r}")
        self.group_size, self.group_start, self.transition_noise, self.rng = (
            group_size,
            group_start,
            transition_noise,
            rng,
        )
        self._seeds = np.zeros(0, dtype=np.int64)  # of each group, [n_groups]
        self._first: Any = None  # first observation of each group, [n_groups, ...] or a dictionary of such
        self._states: list[Any] = []  # with group_start="state": what each group's first member was cloned to

    def reset(self, env: VecEnv, n_played: int = 0) -> VecEnvObs:
        """Puts every environment at the start of an episode.

        Args:
            env: As for ``reset_in_groups``, or ``group_size / k`` environments: these are one group, which k resets in
                a row give the same start.
            n_played: Episodes that were begun by the resets before this one; a group begins at each multiple of
                ``group_size``.

        Returns:
            First observations [n_envs, ...], or a dictionary of such.

        Raises:
            ValueError: As for ``reset_in_groups``, or if the first reset is to go on with a group.
        """
        if env.num_envs % self.group_size and self.group_size % env.num_envs:
            raise ValueError(f"{env.num_envs} environments do not divide into groups of {self.group_size}")
        begins = n_played % self.group_size == 0
        if not begins and not len(self._seeds):
            raise ValueError(f"no group has begun that could go on, got n_played={n_played}")
        venv = env.unwrapped
        plain_reset = venv.reset
        # Inside the wrappers: those that stack, normalise or count see the starts as they will be.
        venv.reset = lambda: self._reset(venv, plain_reset, begins)  # type: ignore[method-assign]
        try:
            return env.reset()
        finally:
            del venv.reset

    def _reset(self, venv: VecEnv, plain_reset: Callable[[], VecEnvObs], begins: bool) -> VecEnvObs:
        """A reset of the environments themselves, without wrappers."""
        if self.group_start != "unmatched":
            _check_abilities(venv, self.group_start)
        members = min(self.group_size, venv.num_envs)
        group = np.arange(venv.num_envs) // members  # that each environment belongs to
        if begins:
            self._seeds = self._draw_seeds(venv.num_envs // members)
        seeds = self._seeds[group] if self.group_start == "seed" else self._draw_seeds(venv.num_envs)
        venv._seeds = seeds.tolist()
        observations: Any = plain_reset()
        if self.group_start == "unmatched":
            return observations
        if begins:
            self._first = take(observations, np.arange(0, venv.num_envs, members))
        if self.group_start == "state":
            self._restore(venv, group, members, begins)
            observations = take(self._first, group)
        self._check_starts(observations, group)
        self._match_noise(venv, group)
        return observations

    def _draw_seeds(self, n: int) -> np.ndarray:
        """Different ones, [n]."""
        return self.rng.choice(_N_SEEDS, n, replace=False)

    def _restore(self, venv: VecEnv, group: np.ndarray, members: int, begins: bool) -> None:
        """Puts all members into the state of their group's first one."""
        try:
            if begins:
                self._states = venv.env_method("clone_state", indices=list(range(0, venv.num_envs, members)))
            for index, state in enumerate(group.tolist()):
                venv.env_method("restore_state", deepcopy(self._states[state]), indices=[index])
        except NotImplementedError as error:
            raise ValueError(f"group_start='state' is out of reach in {type(venv).__name__}: {error}") from error

    def _check_starts(self, observations: Any, group: np.ndarray) -> None:
        """Refuses members that see another start than their group's first member."""
        different = np.flatnonzero(_differ(observations, take(self._first, group)))
        if len(different):
            index = different[0]
            raise ValueError(
                f"group {group[index]}: environment {index} starts with another observation than the group's first "
                f"member, though both were reset with the seed {self._seeds[group[index]]}. The environment's start "
                "does not follow its seed: it ignores reset(seed=...), or a wrapper around it remembers what was "
                "before (as NormalizeObservation does; VecNormalize is fine). group_start='unmatched' plays groups of "
                "unmatched members"
            )

    def _match_noise(self, venv: VecEnv, group: np.ndarray) -> None:
        """Gives the members the generators that they go on with; equal seeds have left them equal ones."""
        if self.transition_noise == "independent":
            _reseed(venv, self._draw_seeds(venv.num_envs).tolist())
        elif self.group_start == "state":
            _reseed(venv, self._seeds[group].tolist())


def _check_abilities(venv: VecEnv, group_start: str) -> None:
    """Refuses environments that cannot be matched, before anything is done to them."""
    name = type(venv).__name__
    if not hasattr(venv, "_seeds"):
        raise ValueError(
            f"{name} takes no seeds for its environments (SB3's VecEnv has them in _seeds), which "
            f"group_start={group_start!r} needs; group_start='unmatched' plays groups of unmatched members"
        )
    if group_start != "state":
        return
    if not (venv.has_attr("clone_state") and venv.has_attr("restore_state")):
        raise ValueError(
            "group_start='state' needs environments with clone_state() and restore_state(state), and those of "
            f"{name} lack them; use group_start='seed', or give them both"
        )
    for wrapper in (FrameStackObservation, DelayObservation):
        if any(venv.env_is_wrapped(wrapper)):
            raise ValueError(_HOLDS_ITS_START.format(wrapper.__name__))
    if venv.has_attr("holds_its_start"):
        raise ValueError(_HOLDS_ITS_START.format("a wrapper"))


def _differ(ours: Any, theirs: Any) -> np.ndarray:
    """Which rows differ, bool [n]; NaN equals NaN."""
    pairs = zip(ours.values(), theirs.values(), strict=True) if isinstance(ours, dict) else [(ours, theirs)]
    unequal = [(a != b) & ((a == a) | (b == b)) for a, b in pairs]
    return np.any([rows.reshape(len(rows), -1).any(axis=1) for rows in unequal], axis=0)


def _reseed(venv: VecEnv, seeds: Sequence[int]) -> None:
    """Gives each environment a new random generator and leaves its state alone."""
    try:
        if hasattr(venv, "reseed"):
            venv.reseed(seeds)
        elif venv.has_attr("reseed"):
            for index, seed in enumerate(seeds):
                venv.env_method("reseed", seed, indices=[index])
        else:
            for index, seed in enumerate(seeds):
                venv.set_attr("np_random", np.random.default_rng(seed), indices=[index])
    except NotImplementedError as error:
        raise ValueError(
            f"transition_noise='independent' gives each member a random generator of its own, which is out of reach in "
            f"{type(venv).__name__} ({error}); use transition_noise='common', or make_vec_env(..., backend='dummy')"
        ) from error
