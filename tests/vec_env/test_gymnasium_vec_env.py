"""GymnasiumVecEnv over Sync- and AsyncVectorEnv beside DummyVecEnv, with Dict observations and infos of many kinds."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from helpers_vec_env import RichEnv, run_side_by_side
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext.vec_env import GymnasiumVecEnv

N_ENVS = 3


def vec_env(kind: Any, env_fn: Callable[[], gym.Env[Any, Any]] = RichEnv) -> GymnasiumVecEnv:
    return GymnasiumVecEnv(kind([env_fn] * N_ENVS, autoreset_mode=AutoresetMode.SAME_STEP))


@pytest.fixture(params=[SyncVectorEnv, AsyncVectorEnv])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


def monitored_env() -> gym.Env[Any, Any]:
    return Monitor(RichEnv())


def test_beside_dummy_vec_env(kind: Any) -> None:
    ours, theirs = vec_env(kind), DummyVecEnv([RichEnv] * N_ENVS)
    rng = np.random.default_rng(0)
    for env in (ours, theirs):
        env.seed(4)
        env.set_options({"time": 2})
    counts = run_side_by_side(ours, theirs, lambda obs, time: rng.integers(0, 2, N_ENVS), 400)
    assert counts["terminated"] > 50
    assert counts["truncated"] > 50
    ours.close()
    ours.close()


def test_terminated_and_truncated_at_once_is_no_time_limit() -> None:
    env, rng = vec_env(SyncVectorEnv), np.random.default_rng(0)
    env.seed(0)
    env.reset()
    at_once = 0
    for _ in range(300):
        _, _, dones, infos = env.step(rng.integers(0, 2, N_ENVS))
        for done, info in zip(dones, infos, strict=True):
            assert ("terminal_observation" in info) == done
            if info["draw"] < 0.05:  # RichEnv sets both
                at_once += 1
                assert done
                assert info["TimeLimit.truncated"] is False
    assert at_once > 10


def test_earlier_arrays_and_infos_do_not_change() -> None:
    env = GymnasiumVecEnv(SyncVectorEnv([RichEnv] * N_ENVS, copy=False, autoreset_mode=AutoresetMode.SAME_STEP))
    env.seed(0)
    first = env.reset()
    kept = {key: value.copy() for key, value in first.items()}
    seen: list[tuple[Any, Any]] = []
    for _ in range(50):
        infos = env.step(np.zeros(N_ENVS, dtype=int))[3]
        ends = [info["terminal_observation"]["position"] for info in infos if "terminal_observation" in info]
        seen += [(end, end.copy()) for end in ends]
    assert len(seen) > 5
    for end, copy in seen:
        np.testing.assert_array_equal(end, copy)
    for key, value in kept.items():
        np.testing.assert_array_equal(first[key], value)


def test_seeds_one_by_one(kind: Any) -> None:
    env = vec_env(kind)
    env._seeds = [5, 6, 5]
    position = env.reset()["position"]  # type: ignore[call-overload,index]
    np.testing.assert_array_equal(position[0], position[2])
    assert not np.array_equal(position[0], position[1])
    env.close()


def test_attributes_and_methods(kind: Any) -> None:
    env = vec_env(kind, monitored_env)
    env.reset()
    assert env.get_attr("level") == [3, 3, 3]
    env.set_attr("level", [1, 2], indices=[1])  # a list is one value, as with DummyVecEnv
    assert env.get_attr("level") == [3, [1, 2], 3]
    env.set_attr("level", 4)
    assert env.get_attr("level", indices=[0, 2]) == [4, 4]
    assert env.env_method("add", 1, second=2) == [7, 7, 7]
    if kind is SyncVectorEnv:
        assert env.env_method("add", 1, indices=1) == [5]
    else:
        with pytest.raises(NotImplementedError, match="subproc"):
            env.env_method("add", 1, indices=1)
    assert not env.has_attr("no_such_attribute")
    with pytest.raises(AttributeError, match="no_such_method"):
        env.env_method("no_such_method")
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.env_is_wrapped(gym.wrappers.TimeLimit, indices=0) == [False]
    env.step(np.zeros(N_ENVS, dtype=int))  # still alive after the refusals
    images = env.get_images()
    assert [image.shape for image in images if image is not None] == [(4, 6, 3)] * 3
    assert env.metadata["render_fps"] == 7
    env.close()


def test_no_images_without_rgb_array() -> None:
    env = vec_env(SyncVectorEnv, lambda: RichEnv(render_mode=None))
    with pytest.warns(UserWarning, match="rgb_array"):
        assert env.get_images() == [None] * 3


def test_different_options_are_refused() -> None:
    env = vec_env(SyncVectorEnv)
    env.set_options([{"time": 1}, {}, {}])
    with pytest.raises(ValueError, match="same options"):
        env.reset()


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_other_reset_modes_are_refused(mode: AutoresetMode) -> None:
    with pytest.raises(ValueError, match=f"{mode}.*SAME_STEP"):
        GymnasiumVecEnv(SyncVectorEnv([RichEnv], autoreset_mode=mode))
    with pytest.raises(ValueError, match="SameStepCartPole"):
        GymnasiumVecEnv(CartPoleVectorEnv(2))


class TupleEnv(RichEnv):
    observation_space = gym.spaces.Tuple((gym.spaces.Discrete(2), gym.spaces.Discrete(2)))  # type: ignore[assignment]


class NestedEnv(RichEnv):
    observation_space = gym.spaces.Dict({"a": gym.spaces.Dict({"b": gym.spaces.Discrete(2)})})


@pytest.mark.parametrize("env_class", [TupleEnv, NestedEnv])
def test_tuple_and_nested_observations_are_refused(env_class: Any) -> None:
    with pytest.raises(NotImplementedError):
        vec_env(SyncVectorEnv, env_class)
