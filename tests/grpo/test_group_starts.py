"""Members of a group start alike, on every backend, and go on with the same or with other luck, as was asked."""

import pickle
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import FrameStackObservation, NormalizeObservation, NormalizeReward, TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnvWrapper, VecFrameStack, VecMonitor, VecNormalize

from sb3_ext.envs import GridWorld, GridWorldVecEnv, PotentialShaping, RandomWalk, SlipAction, TabularEnv
from sb3_ext.grpo.group_starts import GroupStarts, reset_in_groups
from sb3_ext.tabular import TabularMDP
from sb3_ext.vec_env import GymnasiumVecEnv, SameStepCartPole, make_vec_env

LAKE = {"desc": ["SSSS", "SFSH", "SSSF", "FSSG"], "is_slippery": True}
GRID = {"slip": 0.5, "random_start": True, "max_episode_steps": 10}
GRID_ID = "sb3_ext.envs:sb3_ext/GridWorld-v0"
SPAWN = {"start_method": "spawn"}
MAKERS = {
    "lake-dummy": partial(make_vec_env, "FrozenLake-v1", env_kwargs=LAKE, backend="dummy"),
    "lake-sync": partial(make_vec_env, "FrozenLake-v1", env_kwargs=LAKE, backend="gymnasium"),
    "lake-async": partial(make_vec_env, "FrozenLake-v1", env_kwargs=LAKE, backend="gymnasium",
                          vec_env_kwargs={"vectorization_mode": "async"}),
    "lake-subproc": partial(make_vec_env, "FrozenLake-v1", env_kwargs=LAKE, backend="subproc", vec_env_kwargs=SPAWN),
    "grid-dummy": partial(make_vec_env, GRID_ID, env_kwargs=GRID, backend="dummy"),
    "grid-native": partial(make_vec_env, GRID_ID, env_kwargs=GRID, backend="native"),
    "grid-sync": partial(make_vec_env, GRID_ID, env_kwargs=GRID, backend="gymnasium"),
    "grid-subproc": partial(make_vec_env, GRID_ID, env_kwargs=GRID, backend="subproc", vec_env_kwargs=SPAWN),
}  # fmt: skip
IN_PROCESS = ["lake-dummy", "lake-sync", "grid-dummy", "grid-native", "grid-sync"]  # the others agree with these


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def worlds(n_envs: int = 6, **kwargs: Any) -> DummyVecEnv:
    return DummyVecEnv([lambda: TimeLimit(GridWorld(slip=0.5, random_start=True, **kwargs), 10)] * n_envs)


def play(env: Any, n_steps: int = 40) -> np.ndarray:
    """What all environments see when all do the same, [n_steps, n_envs, ...], across the ends of episodes."""
    actions = rng(9).integers(env.action_space.n, size=n_steps)
    return np.array([env.step(np.full(env.num_envs, action))[0] for action in actions])


def alike(values: np.ndarray, group_size: int) -> list[bool]:
    """For each group of columns of [n_steps, n_envs, ...]: whether all its members' are the same."""
    groups = np.split(values, values.shape[1] // group_size, axis=1)
    return [bool((group == group[:, :1]).all()) for group in groups]


# ---- Backends


@pytest.mark.parametrize("name", IN_PROCESS)
def test_starts_are_equal_within_a_group_and_differ_between_groups(name):
    env, generator, starts = MAKERS[name](n_envs=6), rng(), []
    for _ in range(8):
        starts.append(reset_in_groups(env, 2, generator))
        env.step(np.zeros(6, dtype=int))
    assert alike(np.array(starts), 2) == [True] * 3
    assert alike(np.array(starts), 6) == [False]
    assert len({tuple(start) for start in starts}) > 4  # drawn anew at every call


@pytest.mark.parametrize("name", IN_PROCESS)
def test_common_noise_is_common_and_independent_noise_is_not(name):
    env = MAKERS[name](n_envs=6)
    reset_in_groups(env, 3, rng(), transition_noise="common")
    assert alike(play(env), 3) == [True, True]
    reset_in_groups(env, 3, rng(), transition_noise="independent")
    trajectories = play(env)
    for i in range(6):
        others = np.arange(6) != i
        assert (trajectories[:, others] != trajectories[:, i : i + 1]).any(axis=0).all()


@pytest.mark.parametrize(
    ("name", "match", "transition_noise"),
    [
        ("lake-sync", "seed", "independent"),
        ("lake-sync", "seed", "common"),
        ("grid-native", "seed", "independent"),
        ("grid-native", "seed", "common"),
        ("grid-sync", "seed", "independent"),
        ("grid-sync", "state", "common"),
        pytest.param("lake-async", "seed", "independent", marks=pytest.mark.slow),
        pytest.param("lake-subproc", "seed", "independent", marks=pytest.mark.slow),
        pytest.param("lake-subproc", "seed", "common", marks=pytest.mark.slow),
        pytest.param("grid-subproc", "state", "independent", marks=pytest.mark.slow),
        pytest.param("grid-subproc", "seed", "independent", marks=pytest.mark.slow),
    ],
)
def test_backends_agree(name, match, transition_noise):
    runs: list[list[Any]] = [[], []]
    for maker, run in zip((MAKERS[name], MAKERS[f"{name[:4]}-dummy"]), runs, strict=True):
        env, generator = maker(n_envs=4), rng(3)
        for _ in range(3):
            run.append(reset_in_groups(env, 2, generator, match, transition_noise))
            run.extend(play(env))
        env.close()
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize("backend", ["gymnasium", "dummy"])
def test_cartpole_without_chance_goes_on_alike_until_a_reset(backend):
    env = make_vec_env("CartPole-v1", 8, backend=backend)
    starts = reset_in_groups(env, 4, rng())
    assert alike(starts[None], 4) == [True, True]
    assert not (starts[0] == starts[4]).any()
    assert alike(play(env, 8), 4) == [True, True]  # no pole falls in 8 steps
    assert alike(play(env, 60), 4) == [False, False]  # but in 60, and chance starts it anew
    reset_in_groups(env, 4, rng(), transition_noise="common")
    assert alike(play(env, 68), 4) == [True, True]


def test_cartpole_starts_are_those_of_its_seeds():
    ours, theirs = (make_vec_env("CartPole-v1", 8, backend=backend) for backend in ("gymnasium", "dummy"))
    np.testing.assert_array_equal(reset_in_groups(ours, 2, rng(5)), reset_in_groups(theirs, 2, rng(5)))
    np.testing.assert_allclose(play(ours), play(theirs), atol=1e-5)  # reseeded alike


def test_envpool_shares_starts_and_noise_but_has_no_other_noise():
    pytest.importorskip("envpool")
    env = make_vec_env("LunarLander-v3", 4, backend="envpool")
    generator = rng()
    starts = [reset_in_groups(env, 2, generator, transition_noise="common") for _ in range(3)]
    assert alike(np.array(starts), 2) == [True, True]
    assert len(np.unique(np.array(starts)[:, ::2].reshape(6, -1), axis=0)) == 6
    assert alike(play(env), 2) == [True, True]
    with pytest.raises(ValueError, match=r"EnvPoolVecEnv.*transition_noise='common'.*backend='dummy'"):
        reset_in_groups(env, 2, rng())
    starts = reset_in_groups(env, 2, rng(), group_start="unmatched")
    assert len(np.unique(starts, axis=0)) == 4


def test_independent_noise_reaches_wrappers_of_single_environments():
    def make():
        return Monitor(TimeLimit(SlipAction(GridWorld("Obstacles5x5"), probability=0.5), 100))

    env = DummyVecEnv([make] * 4)
    reset_in_groups(env, 4, rng())
    assert alike(play(env), 2) == [False, False]
    reset_in_groups(env, 4, rng(), transition_noise="common")
    assert alike(play(env), 4) == [True]


# ---- Wrappers around all environments


@pytest.mark.parametrize("match", ["seed", "state"])
def test_wrappers_see_the_common_starts(match):
    env = VecFrameStack(VecNormalize(VecMonitor(worlds(4, observation="coordinates"))), 3)
    generator = rng()
    for _ in range(5):
        starts = reset_in_groups(env, 2, generator, match)
        raw = env.venv.get_original_obs()
        assert alike(starts[None], 2) == alike(raw[None], 2) == [True, True]
        stacked, _, dones, _ = env.step(np.zeros(4, dtype=int))
        np.testing.assert_array_equal(stacked[~dones, 2:4], starts[~dones, 4:6])  # the frame before
        assert not stacked[:, :2].any()
        play(env, 5)


def test_the_environment_is_left_as_it_was():
    env = VecMonitor(DummyVecEnv([partial(gym.make, "CartPole-v1")] * 2))
    before = set(vars(env.unwrapped))
    reset_in_groups(env, 2, rng())
    assert set(vars(env.unwrapped)) == before
    with pytest.raises(ValueError, match="clone_state"):
        reset_in_groups(env, 2, rng(), "state")
    assert set(vars(env.unwrapped)) == before
    first = reset_in_groups(env, 2, rng())
    assert not (env.reset() == first).any()  # seeds serve once


# ---- Environments that do not follow their seed


class Deaf(gym.Env[Any, Any]):
    """Ignores its seed. ``clone_state`` and ``restore_state`` pass an array on that ``step`` changes in place."""

    action_space = spaces.Discrete(2)
    observation_space: Any = spaces.Box(0, 1, (2,), np.float64)
    render_mode = None
    luck = rng(17)  # of all together

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.first_place()
        return self.observation(), {}

    def first_place(self):
        return self.luck.random(2)

    def step(self, action):
        self.place += action / 8
        return self.observation(), 0.0, False, False, {}

    def observation(self):
        return self.place.copy()

    def clone_state(self):
        return self.place

    def restore_state(self, state):
        self.place = state


class Obedient(Deaf):
    def first_place(self):
        return self.np_random.random(2)


class DeafInOneKey(Deaf):
    observation_space = spaces.Dict({"a": spaces.Box(0, 1, ()), "b": spaces.Box(0, 1, (2,), np.float64)})

    def observation(self):
        return {"a": np.float32(np.nan), "b": self.place.copy()}


class ObedientInBothKeys(DeafInOneKey, Obedient):
    pass


@pytest.mark.parametrize(("obedient", "deaf"), [(Obedient, Deaf), (ObedientInBothKeys, DeafInOneKey)])
def test_an_environment_that_ignores_its_seed_is_found(obedient, deaf):
    reset_in_groups(DummyVecEnv([obedient] * 4), 2, rng())
    env = DummyVecEnv([obedient, obedient, obedient, deaf])
    with pytest.raises(
        ValueError, match=r"group 1: environment 3 .*ignores reset\(seed=\.\.\.\).*group_start='unmatched'"
    ):
        reset_in_groups(env, 2, rng())
    starts: Any = reset_in_groups(DummyVecEnv([deaf] * 4), 2, rng(), group_start="unmatched")
    assert len(np.unique(starts["b"] if isinstance(starts, dict) else starts, axis=0)) == 4


def test_unmatched_starts_differ_and_repeat():
    env = make_vec_env("CartPole-v1", 8)
    starts = reset_in_groups(env, 4, rng(), group_start="unmatched")
    assert len(np.unique(starts, axis=0)) == 8
    np.testing.assert_array_equal(
        reset_in_groups(env, 4, rng(), group_start="unmatched", transition_noise="common"), starts
    )


# ---- The state of the first member


@pytest.mark.parametrize("env_class", [Deaf, DeafInOneKey])
def test_members_take_the_state_of_the_first_one(env_class):
    env = DummyVecEnv([env_class] * 4)
    for _ in range(3):
        starts: Any = reset_in_groups(env, 2, rng(), group_start="state")
        starts = starts["b"] if isinstance(starts, dict) else starts
        assert alike(starts[None], 2) == [True, True]
        assert not (starts[1] == starts[2]).any()
        now: Any = env.step(np.array([1, 0, 0, 1]))[0]  # each moves for itself
        moved = (now["b"] if isinstance(now, dict) else now) - starts
        np.testing.assert_allclose(moved, np.array([1, 0, 0, 1])[:, None] * [0.125, 0.125])


def walks(n_envs: int = 6) -> DummyVecEnv:
    return DummyVecEnv([lambda: RandomWalk(101)] * n_envs)


@pytest.mark.parametrize("make", [worlds, walks])
def test_noise_after_matched_states(make):
    env = make()
    assert alike(reset_in_groups(env, 3, rng(), "state", "common")[None], 3) == [True, True]
    states = env.get_attr("state")
    assert states == [states[0]] * 3 + [states[3]] * 3
    assert alike(play(env), 3) == [True, True]
    reset_in_groups(env, 3, rng(), "state", "independent")
    assert alike(play(env), 3) == [False, False]


def test_what_would_hold_on_to_its_own_start_is_refused():
    for wrap in (
        lambda env: FrameStackObservation(env, 2),
        lambda env: PotentialShaping(env, "distance", gamma=0.9),
    ):
        env = DummyVecEnv([lambda wrap=wrap: wrap(GridWorld(random_start=True))] * 2)
        with pytest.raises(ValueError, match=r"(FrameStackObservation|a wrapper) around it.*group_start='seed'"):
            reset_in_groups(env, 2, rng(), "state")
        reset_in_groups(env, 2, rng(), "seed")


class KeepsItsState(Obedient):
    """Restores nothing."""

    def restore_state(self, state):
        pass


class Opaque:
    """Neither to be compared nor to be pickled."""

    def __init__(self, place):
        self.place = place

    def __deepcopy__(self, memo):
        return Opaque(self.place.copy())

    def __reduce__(self):
        raise TypeError("cannot pickle a native state")


class OpaqueState(Obedient):
    def clone_state(self):
        return Opaque(self.place)

    def restore_state(self, state):
        self.place = state.place


class OpaqueStateKept(OpaqueState):
    def restore_state(self, state):
        pass


@pytest.mark.parametrize(("works", "idle"), [(Obedient, KeepsItsState), (OpaqueState, OpaqueStateKept)])
def test_a_state_that_is_not_restored_is_found(works, idle):
    reset_in_groups(DummyVecEnv([works] * 4), 2, rng(), "state")
    with pytest.raises(ValueError, match=r"group 1: environment 3 is not in the state of the group's first member"):
        reset_in_groups(DummyVecEnv([works, works, works, idle]), 2, rng(), "state")


@pytest.mark.parametrize("wrapper", [NormalizeObservation, NormalizeReward])
def test_statistics_of_single_environments_are_refused_with_states(wrapper):
    env = DummyVecEnv([lambda: wrapper(Obedient())] * 2)
    with pytest.raises(ValueError, match=rf"{wrapper.__name__} around it.*VecNormalize"):
        reset_in_groups(env, 2, rng(), "state")


# ---- A generator under another name


class Remembers(Obedient):
    """Draws from the generator that it had at the reset."""

    def reset(self, *, seed=None, options=None):
        start = super().reset(seed=seed)
        self.luck_of_its_own = self.np_random
        return start

    def step(self, action):
        self.place = self.luck_of_its_own.random(2)
        return self.observation(), 0.0, False, False, {}


class OtherBits(Obedient):
    """With a generator of another kind."""

    def reset(self, *, seed=None, options=None):
        self.np_random = np.random.Generator(np.random.MT19937(seed))
        self.place = self.first_place()
        return self.observation(), {}

    def step(self, action):
        self.place = self.np_random.random(2)
        return self.observation(), 0.0, False, False, {}


@pytest.mark.parametrize("env_class", [Remembers, OtherBits])
def test_independent_noise_reaches_generators_under_other_names(env_class):
    env = DummyVecEnv([env_class] * 3)
    starts = reset_in_groups(env, 3, rng())
    assert alike(starts[None], 3) == [True]
    assert len(np.unique(play(env, 1)[0], axis=0)) == 3


# ---- VecNormalize, in rounds


@pytest.mark.parametrize("match", ["seed", "state", "unmatched"])
def test_statistics_stand_still_from_a_group_s_first_round_to_its_last(match):
    env = VecNormalize(worlds(2, observation="coordinates"))
    group_starts = GroupStarts(6, match, "common", rng())
    used, counts = [], []
    for n_played in range(0, 18, 2):
        group_starts.reset(env, n_played)
        play(env, 5)
        used.append((*env.obs_rms.mean.ravel(), *env.obs_rms.var.ravel(), float(env.ret_rms.var)))
        counts.append(pickle.loads(pickle.dumps(env.obs_rms)).count)  # what would be saved
    assert len(set(used[0:3])) == len(set(used[3:6])) == len(set(used[6:9])) == 1
    assert len(set(used)) == 3
    np.testing.assert_allclose(counts, 12 * np.arange(1, 10), atol=1e-3)
    group_starts.release()
    assert type(env.obs_rms) is type(env.ret_rms) is RunningMeanStd
    assert env.obs_rms.count == counts[-1] == deepcopy(env.obs_rms).count


def test_statistics_of_dictionaries_stand_still_too():
    env = VecNormalize(DummyVecEnv([ObedientInBothKeys]), norm_obs_keys=["b"])
    group_starts = GroupStarts(2, "seed", "common", rng())
    first, _, second = [group_starts.reset(env, n_played)["b"] for n_played in range(3)]
    assert not (first == second).any()
    group_starts.release()
    assert type(env.obs_rms["b"]) is RunningMeanStd


class Drift(VecEnvWrapper):
    """Shows something else at every reset."""

    n_resets = 0

    def reset(self):
        self.n_resets += 1
        return self.venv.reset() + self.n_resets * self.each()

    def each(self):
        return 0.125

    def step_wait(self):
        return self.venv.step_wait()


class DriftOfEach(Drift):
    def each(self):
        return np.arange(self.num_envs)[:, None]


def test_starts_are_compared_as_the_policy_sees_them():
    reset_in_groups(Drift(DummyVecEnv([Obedient] * 2)), 2, rng())
    message = "environment {} starts with another observation.*passed the VecEnvWrappers"
    with pytest.raises(ValueError, match=message.format(1)):
        reset_in_groups(DriftOfEach(DummyVecEnv([Obedient] * 2)), 2, rng())
    group_starts, env = GroupStarts(2, "seed", "common", rng()), Drift(DummyVecEnv([Obedient]))
    group_starts.reset(env, 0)
    with pytest.raises(ValueError, match=message.format(0)):
        group_starts.reset(env, 1)


# ---- Repetition, and groups that take several resets


@pytest.mark.parametrize("match", ["seed", "state", "unmatched"])
def test_runs_repeat(match):
    runs = []
    for seed in (4, 4, 5):
        env, generator = worlds(), rng(seed)
        runs.append([np.r_[reset_in_groups(env, 2, generator, match)[None], play(env)] for _ in range(3)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0][0], runs[0][1])


@pytest.mark.parametrize("transition_noise", ["independent", "common"])
@pytest.mark.parametrize("match", ["seed", "state"])
def test_few_environments_play_a_group_one_after_the_other(match, transition_noise):
    env = VecNormalize(VecMonitor(worlds(2, observation="coordinates")))
    group_starts = GroupStarts(6, match, transition_noise, rng())
    starts, trajectories = [], []
    for n_played in range(0, 24, 2):
        group_starts.reset(env, n_played)
        starts.append(env.get_original_obs())
        trajectories.append(play(env.unwrapped))
    starts, trajectories = np.concatenate(starts), np.concatenate(trajectories, axis=1)
    assert alike(starts[None], 6) == [True] * 4
    assert len(np.unique(starts, axis=0)) > 1
    assert alike(trajectories, 6) == [transition_noise == "common"] * 4


def test_a_group_that_goes_on_is_checked_too():
    group_starts = GroupStarts(2, "seed", "common", rng())
    with pytest.raises(ValueError, match="n_played=1"):
        group_starts.reset(DummyVecEnv([Deaf]), 1)
    env = DummyVecEnv([Deaf])
    group_starts.reset(env, 0)
    with pytest.raises(ValueError, match="group 0: environment 0"):
        group_starts.reset(env, 1)


# ---- What cannot be done


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"group_size": 1}, "group_size must be at least 2, got 1"),
        ({"group_size": 4}, "6 environments do not divide into groups of 4"),
        ({"group_size": 12}, "6 environments do not divide into groups of 12"),
        ({"group_start": "luck"}, r"group_start must be one of \('seed', 'state', 'unmatched'\), got 'luck'"),
        ({"transition_noise": "loud"}, r"one of \('independent', 'common'\), got 'loud'"),
        (
            {"group_start": "state"},
            r"needs environments with clone_state\(\) and restore_state\(state\), .* DummyVecEnv",
        ),
    ],
)
def test_impossible_arguments_are_refused(kwargs, message):
    env = make_vec_env("CartPole-v1", 6, backend="dummy")
    with pytest.raises(ValueError, match=message):
        reset_in_groups(env, **{"group_size": 2, "rng": rng(), **kwargs})


def test_backends_without_single_environments_are_refused():
    with pytest.raises(ValueError, match=r"group_start='state' is out of reach in GridWorldVecEnv.*backend='dummy'"):
        reset_in_groups(GridWorldVecEnv(2), 2, rng(), "state")
    env = make_vec_env(GRID_ID, 2, backend="gymnasium", vec_env_kwargs={"vectorization_mode": "async"})
    for kwargs in ({"group_start": "state"}, {"transition_noise": "independent"}):
        with pytest.raises(ValueError, match=r"GymnasiumVecEnv.*use SyncVectorEnv or backend='subproc'"):
            reset_in_groups(env, 2, rng(), **kwargs)
    reset_in_groups(env, 2, rng(), transition_noise="common")
    env.close()
    env = GridWorldVecEnv(2)
    del env._seeds
    with pytest.raises(ValueError, match=r"takes no seeds.*group_start='unmatched'"):
        reset_in_groups(env, 2, rng())


class SharedGenerator(CartPoleVectorEnv):
    """A batch as Gymnasium makes them: one generator for all, and no ``reseed``; here with equal starts."""

    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}

    def reset(self, *, seed=None, options=None):
        observations, infos = super().reset(seed=1, options=options)
        return np.repeat(observations[:1], self.num_envs, axis=0), infos


def test_a_batch_without_reseed_has_common_noise_only():
    env = GymnasiumVecEnv(SharedGenerator(2))
    reset_in_groups(env, 2, rng(), transition_noise="common")
    with pytest.raises(ValueError, match=r"transition_noise='independent'.*GymnasiumVecEnv .*cannot reseed them"):
        reset_in_groups(env, 2, rng())


# ---- The environments' own methods


def follow(env: Any, n_steps: int = 60) -> list[Any]:
    actions = rng(9).integers(env.action_space.n, size=n_steps)
    trajectory = []
    for action in actions:
        observation, reward, terminated, _, _ = env.step(action)
        trajectory.append((observation, reward, terminated))
        if terminated:
            env.reset()
    return trajectory


def test_a_reseeded_world_goes_on_as_one_reset_with_that_seed():
    one, other = GridWorld(slip=0.5), GridWorld(slip=0.5)  # a single start, so that a reset draws nothing
    one.reset(seed=3)
    other.reset(seed=8)
    other.reseed(3)
    assert (other.random_state, other.np_random.bit_generator.state) == (
        one.random_state,
        one.np_random.bit_generator.state,
    )
    assert follow(one) == follow(other)


def test_reseeding_leaves_everything_else_alone():
    native = GridWorldVecEnv(3, slip=0.5, max_episode_steps=9)
    carts = SameStepCartPole(3)
    native.reset()
    carts.reset(seed=0)
    for _ in range(4):
        native.step(np.ones(3, dtype=int))
        carts.step(np.ones(3, dtype=int))
    states, elapsed, cart_states = native.states.copy(), native.elapsed.copy(), carts.state.copy()
    for env in (native, carts):
        env.reseed([1, 2, 1])
        with pytest.raises(ValueError, match="2 seeds for 3"):
            env.reseed([1, 2])
    np.testing.assert_array_equal(native.states, states)
    np.testing.assert_array_equal(native.elapsed, elapsed)
    np.testing.assert_array_equal(carts.state, cart_states)
    assert native.random_states[0] == native.random_states[2] != native.random_states[1]
    starts = carts.reset()[0]
    np.testing.assert_array_equal(starts[[0, 2]], SameStepCartPole(2).reset(seed=[1, 1])[0])
    with pytest.raises(ValueError, match="2 seeds for 3"):
        GymnasiumVecEnv(carts).reseed([1, 2])


@pytest.mark.parametrize(
    "make",
    [
        partial(GridWorld, "KeyDoor", slip=0.4),
        partial(GridWorld, ["S...#", "...#.", "....G"], change=(30, ["S....", ".....", "#...G"])),
        partial(GridWorld, ["S....", ".....", "....G"], redraw_obstacles=3, slip=0.2),
        partial(TabularEnv, TabularMDP.from_env(gym.make("FrozenLake-v1"))),
    ],
)
def test_a_restored_world_goes_on_as_the_cloned_one_would(make):
    one, other = make(), make()
    one.reset(seed=1)
    other.reset(seed=2)
    for _ in range(3):  # the changing map changes on the way
        follow(one, 17)
        follow(other, 5)
        generator = other.np_random.bit_generator.state, getattr(other, "random_state", None)
        other.restore_state(one.clone_state())
        assert generator == (other.np_random.bit_generator.state, getattr(other, "random_state", None))
        for env in (one, other):
            env.reseed(5) if hasattr(env, "reseed") else setattr(env, "np_random", rng(5))
        if hasattr(one, "grid_map"):
            assert one.grid_map.to_dict() == other.grid_map.to_dict()
            assert one.clone_state()[:2] == other.clone_state()[:2]
        assert follow(one) == follow(other)


def test_states_that_cannot_be_cloned_or_restored_are_refused():
    world, walk = GridWorld(["S.G"]), RandomWalk(5)
    for env in (world, walk):
        with pytest.raises(RuntimeError, match=r"call reset\(\) before clone_state\(\)"):
            env.clone_state()
    small = GridWorld(["SG"])
    small.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"call reset\(\) before restore_state\(\)"):
        world.restore_state(small.clone_state())
    world.reset(seed=0)
    with pytest.raises(ValueError, match=r"\(1, 3\) cannot take the state of one of \(1, 2\)"):
        world.restore_state(small.clone_state())
    with pytest.raises(ValueError, match="got -1"):
        walk.restore_state(-1)
