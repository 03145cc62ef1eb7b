"""GridWorldVecEnv: DummyVecEnv over GridWorld, transition by transition."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO, HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecMonitor

from sb3_ext.envs import LAYOUTS, GridMap, GridWorld, GridWorldVecEnv
from sb3_ext.envs.grid.observation import MODES
from sb3_ext.vec_env import make_vec_env

FIXED = [name for name, layout in LAYOUTS.items() if "change" not in layout]


def dummy(n_envs, limit, **kwargs):
    def make():
        env = GridWorld(**kwargs)
        return env if limit is None else gym.wrappers.TimeLimit(env, limit)

    return DummyVecEnv([make] * n_envs)


def assert_equal(ours, theirs):
    """Equal, with equal shapes and dtypes; dictionaries key by key."""
    if isinstance(theirs, dict):
        assert set(ours) == set(theirs)
        for key in theirs:
            assert_equal(ours[key], theirs[key])
    else:
        np.testing.assert_array_equal(ours, theirs)
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype


def compare(native: VecEnv, reference: VecEnv, n_steps, seed=11):
    """Steps both with the same actions; returns how many episodes terminated and how many timed out."""
    rng, ends = np.random.default_rng(seed), [0, 0]
    assert native.observation_space == reference.observation_space
    assert native.action_space == reference.action_space
    assert native.seed(seed) == reference.seed(seed)
    assert_equal(native.reset(), reference.reset())
    for _ in range(n_steps):
        actions = rng.integers(native.action_space.n, size=native.num_envs)
        ours, theirs = native.step(actions), reference.step(actions)
        for mine, other in zip(ours[:3], theirs[:3], strict=True):
            assert_equal(mine, other)
        for mine, other in zip(ours[3], theirs[3], strict=True):
            assert_equal(mine, other)
            if "terminal_observation" in other:
                ends[other["TimeLimit.truncated"]] += 1
        assert native.reset_infos == reference.reset_infos
    return ends


@pytest.mark.parametrize("name", FIXED)
def test_same_transitions_as_the_single_environment(name):
    slip = {} if name == "FrozenLake4x4" else {"slip": 0.2}
    terminated, timed_out = compare(
        GridWorldVecEnv(5, name, max_episode_steps=30, **slip), dummy(5, 30, map=name, **slip), 400
    )
    assert timed_out > 10 or name == "FrozenLake4x4"
    if name in ("Seeds4x4", "FrozenLake4x4"):
        assert terminated > 10


@pytest.mark.parametrize("mode", MODES)
def test_same_observations_in_every_mode(mode):
    kwargs = {"map": ["S.DS", "KHG."], "observation": mode, "slip": 0.1, "king_moves": True, "stay": True}
    terminated, timed_out = compare(GridWorldVecEnv(3, max_episode_steps=6, **kwargs), dummy(3, 6, **kwargs), 200)
    assert terminated > 10
    assert timed_out > 10


def test_same_transitions_without_limit_and_with_random_starts():
    grid_map = GridMap.from_text(["....", "..H.", "...G"], wind=[0, 0, 1, 0])
    kwargs = {"map": grid_map, "random_start": True, "stochastic_wind": True}
    terminated, timed_out = compare(GridWorldVecEnv(4, **kwargs), dummy(4, None, **kwargs), 500)
    assert terminated > 50
    assert timed_out == 0


def test_an_end_on_the_last_allowed_step_is_no_timeout():
    env = GridWorldVecEnv(1, ["SG"], max_episode_steps=1)
    env.reset()
    _, rewards, dones, infos = env.step(np.array([1]))
    assert (rewards[0], dones[0]) == (1.0, True)
    assert infos == [{"TimeLimit.truncated": False, "is_success": True, "terminal_observation": 1}]


def test_seeds_serve_once_and_one_by_one():
    env = GridWorldVecEnv(3, "Seeds4x4", random_start=True)
    env.seed(0)
    first = env.reset()
    second = env.reset()
    env._seeds = [None, 1, None]
    third = env.reset()
    assert third[1] == first[1]
    env.seed(0)
    np.testing.assert_array_equal(env.reset(), first)
    np.testing.assert_array_equal(env.reset(), second)
    drawn = [GridWorldVecEnv(200, "Seeds4x4", random_start=True).reset() for _ in range(2)]
    assert (drawn[0] != drawn[1]).any()  # unseeded ones differ


@pytest.mark.parametrize("mode", MODES)
def test_what_was_handed_out_does_not_change(mode):
    env = GridWorldVecEnv(2, "Seeds4x4", observation=mode, max_episode_steps=2)
    env.reset()
    actions = np.array([1, 2])
    handed_out = [env.step(actions) for _ in range(2)]
    before = [repr(result) for result in handed_out]
    infos = [id(info) for result in handed_out for info in result[3]]
    assert len(set(infos)) == 4
    for _ in range(4):
        env.step(actions)
    assert [repr(result) for result in handed_out] == before
    assert actions.tolist() == [1, 2]


def test_attributes_and_methods_of_the_worlds():
    env = GridWorldVecEnv(3, "KeyDoor", render_mode="rgb_array")
    env.reset()
    assert env.get_attr("state") == [10, 10, 10]
    env.set_attr("state", 20, indices=[1])
    assert env.get_attr("state") == [10, 20, 10]
    assert env.get_attr("agent", indices=1) == [((2, 2), False)]
    assert env.get_attr("grid_map")[2].has_key
    assert env.get_attr("render_mode") == ["rgb_array"] * 3
    assert not env.has_attr("nonsense")
    with pytest.raises(ValueError, match="the states are 0 to 107, got 108"):
        env.set_attr("state", 108)
    with pytest.raises(NotImplementedError, match=r"cannot set 'rules'.*backend='dummy'"):
        env.set_attr("rules", None)
    with pytest.raises(NotImplementedError, match=r"cannot call 'step'.*backend='dummy'"):
        env.env_method("step", 0)
    assert len(env.env_method("to_dict", indices=[0, 2])) == 2
    assert env.env_is_wrapped(gym.wrappers.TimeLimit) == [False] * 3
    images = env.get_images()
    assert images[0].shape == images[1].shape
    assert not np.array_equal(images[0], images[1])
    assert np.array_equal(images[0], images[2])


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 4], "environment 1: the actions are 0 to 3, got 4"),
        ([-1, 0], "environment 0: .* got -1"),
        ([0], r"needs 2 integers, got int64 \[1\]"),
        ([0.0, 1.0], "needs 2 integers, got float64"),
    ],
)
def test_impossible_actions_are_refused(actions, message):
    env = GridWorldVecEnv(2)
    env.reset()
    with pytest.raises(ValueError, match=message):
        env.step(np.array(actions))


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="num_envs must be at least 1, got 0"):
        GridWorldVecEnv(0)
    with pytest.raises(ValueError, match="max_episode_steps must be at least 1, got 0"):
        GridWorldVecEnv(1, max_episode_steps=0)
    for name, number in (("num_envs", 2.5), ("num_envs", "3"), ("max_episode_steps", 2.5)):
        with pytest.raises(ValueError, match=f"{name} must be a whole number, got {number!r}"):
            GridWorldVecEnv(**{"num_envs": 1, name: number})
    for kwargs in ({"map": "BlockingMaze"}, {"redraw_obstacles": 2}, {"render_mode": "human"}):
        with pytest.raises(ValueError, match="backend='dummy'"):
            GridWorldVecEnv(1, **kwargs)
    with pytest.raises(RuntimeError, match=r"call reset\(\) before step\(\)"):
        GridWorldVecEnv(1).step(np.array([0]))


@pytest.mark.parametrize("env_id", ["sb3_ext/GridWorld-v0", "sb3_ext.envs:sb3_ext/FrozenLake4x4-v0"])
def test_make_vec_env_reaches_it_and_keeps_sb3s_meaning(env_id):
    kwargs = {"seed": 5, "env_kwargs": {"slip": 0.5, "max_episode_steps": 20}}
    fast, slow = make_vec_env(env_id, 4, **kwargs), make_vec_env(env_id, 4, backend="dummy", **kwargs)
    assert isinstance(fast, VecMonitor)
    assert isinstance(fast.venv, GridWorldVecEnv)
    assert isinstance(slow, DummyVecEnv)
    np.testing.assert_array_equal(fast.reset(), slow.reset())
    episodes = 0
    for actions in np.random.default_rng(0).integers(4, size=(100, 4)):
        ours, theirs = fast.step(actions), slow.step(actions)
        for mine, other in zip(ours[:3], theirs[:3], strict=True):
            np.testing.assert_array_equal(mine, other)
        for mine, other in zip(ours[3], theirs[3], strict=True):
            if "episode" in other:
                episodes += 1
                assert mine["episode"]["l"] == other["episode"]["l"]
                assert mine["episode"]["r"] == pytest.approx(other["episode"]["r"], abs=1e-5)
    assert episodes > 10


def test_make_vec_env_takes_the_slow_way_where_the_fast_one_cannot():
    assert isinstance(make_vec_env("sb3_ext/BlockingMaze-v0", 2), DummyVecEnv)
    assert isinstance(make_vec_env("sb3_ext/GridWorld-v0", 2, env_kwargs={"redraw_obstacles": 2}), DummyVecEnv)
    with pytest.raises(ValueError, match="BlockingMaze-v0 has no native VecEnv"):
        make_vec_env("sb3_ext/BlockingMaze-v0", 2, backend="native")
    with pytest.raises(ValueError, match="CartPole-v1 has no native VecEnv"):
        make_vec_env("CartPole-v1", 2, backend="native")
    assert make_vec_env("sb3_ext/DynaMaze-v0", 2).unwrapped.max_episode_steps == 2000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "policy", "mode", "arguments"),
    [
        (PPO, "MlpPolicy", "index", {"n_steps": 32}),
        (PPO, "CnnPolicy", "image", {"n_steps": 16, "n_epochs": 1}),
        (DQN, "MultiInputPolicy", "goal", {"learning_starts": 850, "replay_buffer_class": HerReplayBuffer}),
    ],
)
def test_sb3_trains_on_it(algorithm, policy, mode, arguments):
    env = make_vec_env("sb3_ext/GridWorld-v0", 8, seed=0, env_kwargs={"observation": mode})
    assert isinstance(env.venv, GridWorldVecEnv)
    model = algorithm(policy, env, seed=0, device="cpu", **arguments).learn(1000)
    assert model.num_timesteps >= 1000
    assert len(model.ep_success_buffer) == len(model.ep_info_buffer) > 0
