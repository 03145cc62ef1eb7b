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
neither, in Gymnasium's ``np_random``: in place in a DummyVecEnv, elsewhere by another object, which an environment that
keeps ``np_random`` under another name does not see.

What is checked: first observations, as the environments give them and as the policy sees them through all wrappers;
with "state" also that each member's ``clone_state()`` afterwards equals the first member's. (There the first member's
observation is taken for all: whatever turns states into observations must not remember anything of its own. Wrappers
known to are refused.) States of which Python can say neither whether they are equal nor what is in them pass unchecked.

What cannot be seen from here: with "seed", whether members are alike in what their first observation does not show
(Gymnasium's ``NormalizeReward``, say, scales the reward of each by its own past); and random numbers from another
source than these, which ``transition_noise`` does not reach. What an environment starts anew at every seeded reset, it
now starts anew with every group: ``GridWorld``'s count of steps until its map changes, the counts of ``CountBonus``.

Where fewer environments than members play a group round after round, SB3's ``VecNormalize`` shows all rounds the
statistics that it had when the group began; what it sees meanwhile counts from the next group on.
"""

import pickle
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from gymnasium.wrappers import DelayObservation, FrameStackObservation, NormalizeObservation, NormalizeReward
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_ext.common import take

GROUP_STARTS = ("seed", "state", "unmatched")
TRANSITION_NOISES = ("independent", "common")
_N_SEEDS = 2**31  # EnvPool takes no more
_HOLDS_ITS_OWN = (FrameStackObservation, DelayObservation, NormalizeObservation, NormalizeReward)
_HOLDS_ITS_START = (
    "group_start='state' puts an environment into another one's state, but {} around it may hold on to its own start; "
    "use group_start='seed' (instead of such wrappers: SB3's VecFrameStack and VecNormalize)"
)
_NO_OTHER_NOISE = (
    "transition_noise='independent' gives each member a random generator of its own, which is out of reach in {} ({}); "
    "use transition_noise='common', or make_vec_env(..., backend='dummy')"
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
        self._seen: Any = None  # the same through all wrappers
        self._states: list[Any] = []  # with group_start="state": what each group's first member was cloned to
        self._held: list[tuple[VecNormalize, str, Any]] = []  # who held which statistics still, and those that move

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
        if begins:
            self.release()
            if env.num_envs < self.group_size:
                self._hold(env)
        venv = env.unwrapped
        plain_reset = venv.reset
        # Inside the wrappers: those that stack, normalise or count see the starts as they will be.
        venv.reset = lambda: self._reset(venv, plain_reset, begins)  # type: ignore[method-assign]
        try:
            observations = env.reset()
        finally:
            del venv.reset
        if self.group_start != "unmatched":
            group = self._groups(venv)
            if begins:
                self._seen = take(observations, np.unique(group, return_index=True)[1])
            self._check_equal(observations, self._seen, group, _SEEN)
        return observations

    def release(self) -> None:
        """Lets statistics move that were held still; to be called when no further round of a group follows."""
        for normalizer, name, moving in self._held:
            setattr(normalizer, name, moving)
        self._held = []

    def _hold(self, env: VecEnv) -> None:
        """Holds the statistics of each VecNormalize still."""
        for normalizer in _normalizers(env):
            for name in ("obs_rms", "ret_rms"):
                moving = getattr(normalizer, name, None)  # no obs_rms with norm_obs=False
                if moving is not None:
                    self._held.append((normalizer, name, moving))
                    parts = moving.items() if isinstance(moving, dict) else None
                    setattr(normalizer, name, HeldStatistics(moving) if parts is None
                            else {key: HeldStatistics(part) for key, part in parts})  # fmt: skip

    def _groups(self, venv: VecEnv) -> np.ndarray:
        """The group that each environment belongs to, [n_envs]."""
        return np.arange(venv.num_envs) // min(self.group_size, venv.num_envs)

    def _reset(self, venv: VecEnv, plain_reset: Callable[[], VecEnvObs], begins: bool) -> VecEnvObs:
        """A reset of the environments themselves, without wrappers."""
        check_abilities(venv, self.group_start, self.transition_noise)
        members, group = min(self.group_size, venv.num_envs), self._groups(venv)
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
        self._check_equal(observations, self._first, group, _GIVEN)
        self._match_noise(venv, group)
        return observations

    def _draw_seeds(self, n: int) -> np.ndarray:
        """Different ones, [n]."""
        return self.rng.choice(_N_SEEDS, n, replace=False)

    def _restore(self, venv: VecEnv, group: np.ndarray, members: int, begins: bool) -> None:
        """Puts all members into the state of their group's first one, and asks them whether they are in it."""
        try:
            if begins:
                self._states = venv.env_method("clone_state", indices=list(range(0, venv.num_envs, members)))
            for index, state in enumerate(group.tolist()):
                venv.env_method("restore_state", deepcopy(self._states[state]), indices=[index])
            restored = venv.env_method("clone_state")
        except NotImplementedError as error:
            raise ValueError(f"group_start='state' is out of reach in {type(venv).__name__}: {error}") from error
        for index, state in enumerate(group.tolist()):
            if not _same_state(restored[index], self._states[state]):
                raise ValueError(
                    f"group {state}: environment {index} is not in the state of the group's first member after "
                    "restore_state(state): its clone_state() gives another one. Mend these methods, or use "
                    "group_start='seed'"
                )

    def _check_equal(self, observations: Any, first: Any, group: np.ndarray, reason: str) -> None:
        """Refuses members that see another start than their group's first member."""
        different = np.flatnonzero(_differ(observations, take(first, group)))
        if len(different):
            index = different[0]
            raise ValueError(
                f"group {group[index]}: environment {index} starts with another observation than the group's first "
                + reason.format(self._seeds[group[index]])
            )

    def _match_noise(self, venv: VecEnv, group: np.ndarray) -> None:
        """Gives the members the generators that they go on with; equal seeds have left them equal ones."""
        if self.transition_noise == "independent":
            _reseed(venv, self._draw_seeds(venv.num_envs).tolist())
        elif self.group_start == "state":
            _reseed(venv, self._seeds[group].tolist())


_GIVEN = (
    "member, though both were reset with the seed {}. The environment's start does not follow its seed: it ignores "
    "reset(seed=...), or a wrapper around it remembers what was before (as NormalizeObservation does; VecNormalize is "
    "fine). group_start='unmatched' plays groups of unmatched members"
)
_SEEN = (
    "member once it has passed the VecEnvWrappers, though the environments gave the same one: a wrapper around "
    "them remembers what was before, or adds something of its own. Take it off, or play unmatched groups "
    "(group_start='unmatched')"
)


class HeldStatistics(RunningMeanStd):
    """A VecNormalize's statistics as they are now; what comes in goes to those that move. Saved, it is the latter."""

    def __init__(self, moving: RunningMeanStd) -> None:
        super().__init__(shape=moving.mean.shape)
        self.mean, self.var, self.count, self.moving = moving.mean, moving.var, moving.count, moving

    def copy(self) -> RunningMeanStd:
        """Of the moving ones."""
        return self.moving.copy()

    def update_from_moments(self, batch_mean: np.ndarray, batch_var: np.ndarray, batch_count: float) -> None:
        """Updates the moving ones."""
        self.moving.update_from_moments(batch_mean, batch_var, batch_count)

    def __reduce__(self) -> Any:
        return RunningMeanStd.copy, (self.moving,)


def _normalizers(env: Any) -> Iterator[VecNormalize]:
    """Each VecNormalize among the wrappers."""
    while isinstance(env, VecEnvWrapper):
        if isinstance(env, VecNormalize):
            yield env
        env = env.venv


def check_abilities(env: VecEnv, group_start: str, transition_noise: str) -> None:
    """Refuses environments that cannot be matched, or have no noise of their own, before anything is done to them.

    Args:
        env: The environments.
        group_start: As for ``reset_in_groups``.
        transition_noise: Likewise.

    Raises:
        ValueError: If they cannot do what is asked.
    """
    if group_start == "unmatched":
        return
    venv = env.unwrapped
    name = type(venv).__name__
    if not hasattr(venv, "_seeds"):
        raise ValueError(
            f"{name} takes no seeds for its environments (SB3's VecEnv has them in _seeds), which "
            f"group_start={group_start!r} needs; group_start='unmatched' plays groups of unmatched members"
        )
    if transition_noise == "independent" and not _can_reseed(venv):
        raise ValueError(_NO_OTHER_NOISE.format(name, "no reseed, and no np_random in Python"))
    if group_start != "state":
        return
    if not (venv.has_attr("clone_state") and venv.has_attr("restore_state")):
        raise ValueError(
            "group_start='state' needs environments with clone_state() and restore_state(state), and those of "
            f"{name} lack them; use group_start='seed', or give them both"
        )
    for wrapper in _HOLDS_ITS_OWN:
        if any(venv.env_is_wrapped(wrapper)):
            raise ValueError(_HOLDS_ITS_START.format(wrapper.__name__))
    if venv.has_attr("holds_its_start"):
        raise ValueError(_HOLDS_ITS_START.format("a wrapper"))


def _reseed_in_place(env: Any, generator: np.random.Generator) -> None:
    """Puts the environment's generator, which it may hold under other names too, into this one's state."""
    bits = getattr(env.np_random, "bit_generator", None)
    if type(bits) is type(generator.bit_generator):
        bits.state = generator.bit_generator.state
    else:
        env.np_random = generator


def _differ(ours: Any, theirs: Any) -> np.ndarray:
    """Which rows differ, bool [n]; NaN equals NaN."""
    pairs = zip(ours.values(), theirs.values(), strict=True) if isinstance(ours, dict) else [(ours, theirs)]
    unequal = [(a != b) & ((a == a) | (b == b)) for a, b in pairs]
    return np.any([rows.reshape(len(rows), -1).any(axis=1) for rows in unequal], axis=0)


def _same_state(one: Any, other: Any) -> bool:
    """Whether two cloned states are equal, as far as Python can say: by ``==``, by what is in them, or pickled."""
    if type(one) is not type(other):
        return bool(np.all(one == other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same_state(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same_state, one, other))
    if isinstance(one, np.ndarray) and one.dtype != object:
        return one.tobytes() == other.tobytes() and one.shape == other.shape and one.dtype == other.dtype
    if np.all(one == other):
        return True
    try:
        return pickle.dumps(one) == pickle.dumps(other)
    except Exception:  # whatever a class of others raises that does not want to be pickled
        return _same_state(vars(one), vars(other)) if hasattr(one, "__dict__") else True


def _can_reseed(venv: VecEnv) -> bool:
    """Whether ``_reseed`` has something to work with."""
    return hasattr(venv, "reseed") or venv.has_attr("reseed") or venv.has_attr("np_random")


def _reseed(venv: VecEnv, seeds: Sequence[int]) -> None:
    """Gives each environment a new random generator and leaves its state alone."""
    try:
        if hasattr(venv, "reseed"):
            venv.reseed(seeds)
        elif venv.has_attr("reseed"):
            for index, seed in enumerate(seeds):
                venv.env_method("reseed", seed, indices=[index])
        elif isinstance(venv, DummyVecEnv):
            for env, seed in zip(venv.envs, seeds, strict=True):
                _reseed_in_place(env.unwrapped, np.random.default_rng(seed))
        else:
            for index, seed in enumerate(seeds):
                venv.set_attr("np_random", np.random.default_rng(seed), indices=[index])
    except NotImplementedError as error:
        raise ValueError(_NO_OTHER_NOISE.format(type(venv).__name__, error)) from error
