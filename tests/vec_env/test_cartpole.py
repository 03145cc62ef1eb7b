"""The batch CartPole beside SB3's DummyVecEnv: the same states, the same actions, every array and info compared.

Both compute in float64 by the same formulas. NumPy may round sin and cos of an array (the batch) and of a number (the
single environment) differently in the last bit, depending on the processor; over 500 steps such a difference grows, so
floats are compared to 1e-5 (where this was written, they agreed bit for bit), everything else exactly.
"""

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from helpers_vec_env import run_side_by_side
from stable_baselines3.common.vec_env import is_vecenv_wrapped
from stable_baselines3.common.vec_env.vec_monitor import VecMonitor

from sb3_ext.vec_env import GymnasiumVecEnv, SameStepCartPole, make_vec_env

TOLERANCE = 1e-5


def random_policy(n_envs: int) -> Any:
    rng = np.random.default_rng(5)
    return lambda observations, time: rng.integers(0, 2, n_envs)


def balance(observations: np.ndarray, time: int) -> np.ndarray:
    """Keeps the pole up for 500 steps: pushes towards where it falls, and gently back to the centre."""
    x, x_dot, theta, theta_dot = observations.T
    return (theta + 0.5 * theta_dot + 0.02 * x + 0.1 * x_dot > 0).astype(np.int64)


def both(n_envs: int, **kwargs: Any) -> tuple[Any, Any]:
    return (make_vec_env("CartPole-v1", n_envs, backend="gymnasium", **kwargs),
            make_vec_env("CartPole-v1", n_envs, backend="dummy", **kwargs))  # fmt: skip


def test_random_actions_through_terminations() -> None:
    ours, theirs = both(8, seed=3)
    assert isinstance(ours.unwrapped.vector_env, SameStepCartPole)
    counts = run_side_by_side(ours, theirs, random_policy(8), 3000, TOLERANCE)
    assert counts["terminated"] > 500
    assert counts["truncated"] == 0


def test_balanced_to_the_time_limit() -> None:
    ours, theirs = both(3, seed=11)
    counts = run_side_by_side(ours, theirs, balance, 1100, TOLERANCE)
    assert counts["truncated"] >= 6


@pytest.mark.parametrize("reward", [False, True])
def test_short_time_limit_mixed_with_falls(reward: bool) -> None:
    ours, theirs = both(16, seed=0, env_kwargs={"max_episode_steps": 12, "sutton_barto_reward": reward})
    counts = run_side_by_side(ours, theirs, random_policy(16), 600, TOLERANCE)
    assert counts["terminated"] > 50
    assert counts["truncated"] > 50


def test_a_fall_on_the_last_allowed_step_is_no_time_limit() -> None:
    env, dummy = both(64, seed=0, env_kwargs={"max_episode_steps": 9})
    counts = run_side_by_side(env, dummy, lambda obs, time: np.ones(64, dtype=np.int64), 9, TOLERANCE)
    assert counts["terminated"] > 0
    assert counts["truncated"] > 0
    vector_env = SameStepCartPole(64, max_episode_steps=9)
    vector_env.reset(seed=0)
    on_both = sum((flags[2] & flags[3]).sum() for flags in (vector_env.step(np.ones(64, dtype=int)) for _ in range(9)))
    assert on_both > 0  # the case was there


def test_reset_options_serve_once() -> None:
    ours, theirs = both(4, seed=1)
    for env in (ours, theirs):
        env.set_options({"low": -0.01, "high": 0.01})
    run_side_by_side(ours, theirs, random_policy(4), 200, TOLERANCE)


def test_seeds_are_honoured_one_by_one_and_serve_once() -> None:
    env = make_vec_env("CartPole-v1", 4, backend="gymnasium")
    env.unwrapped._seeds = [7, 7, 8, 7]
    first = env.reset()
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first[0], first[3])
    assert not np.array_equal(first[0], first[2])
    assert not np.array_equal(env.reset(), first)
    assert env.seed(7) == [7, 8, 9, 10]
    np.testing.assert_array_equal(env.reset()[0], first[0])


def test_same_seed_same_run() -> None:
    runs = []
    for _ in range(2):
        env = make_vec_env("CartPole-v1", 5, seed=9, backend="gymnasium")
        policy = random_policy(5)
        runs.append([env.reset()] + [env.step(policy(None, t))[0] for t in range(100)])
    np.testing.assert_array_equal(runs[0], runs[1])


def test_arrays_handed_out_earlier_do_not_change() -> None:
    env = make_vec_env("CartPole-v1", 4, seed=2, backend="gymnasium")
    policy = random_policy(4)
    handed_out: list[Any] = [env.reset()]
    copies = [handed_out[0].copy()]
    for time in range(60):
        observations, rewards, dones, infos = env.step(policy(None, time))
        arrays = [observations, rewards, dones, *(i["terminal_observation"] for i in infos if "episode" in i)]
        handed_out += arrays
        copies += [array.copy() for array in arrays]
    assert len(handed_out) > 60 * 3 + 1
    for array, copy in zip(handed_out, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_access_to_the_batch() -> None:
    env = make_vec_env("CartPole-v1", 3, seed=0, backend="gymnasium")
    observations = env.reset()
    assert is_vecenv_wrapped(env, VecMonitor)
    assert env.get_attr("render_mode") == ["rgb_array"] * 3
    assert env.get_attr("gravity", indices=[0, 2]) == [9.8, 9.8]
    assert env.get_attr("spec")[0].id == "CartPole-v1"
    assert env.get_attr("action_space", indices=0) == [env.action_space]
    np.testing.assert_allclose(env.get_attr("state"), observations, atol=1e-7)
    assert not env.has_attr("action_masks")
    with pytest.raises(NotImplementedError, match="dummy"):
        env.env_method("render")
    with pytest.raises(NotImplementedError, match="gravity"):
        env.set_attr("gravity", 1.0, indices=[1])
    with pytest.raises(AttributeError, match="gravitas"):
        env.set_attr("gravitas", 1.0)
    env.set_attr("gravity", 1.62)
    assert env.get_attr("gravity") == [1.62] * 3


def test_render_and_close() -> None:
    pytest.importorskip("pygame")
    env = make_vec_env("CartPole-v1", 4, seed=0, backend="gymnasium")
    env.reset()
    image = env.render()
    assert image is not None
    assert image.shape == (800, 1200, 3)
    assert image.std() > 0
    env.close()
    env.close()


@pytest.mark.parametrize("actions", [np.array([0, 2]), np.array([0, -1]), np.array([0.0, 1.0]), np.array([[0], [1]])])
def test_invalid_actions(actions: np.ndarray) -> None:
    env = make_vec_env("CartPole-v1", 2, backend="gymnasium")
    env.reset()
    with pytest.raises(ValueError, match="CartPole"):
        env.step(actions)


def test_wrong_number_of_actions_and_missing_reset() -> None:
    env = make_vec_env("CartPole-v1", 2, backend="gymnasium")
    with pytest.raises(RuntimeError, match="reset"):
        env.step(np.zeros(2, dtype=int))
    env.reset()
    with pytest.raises(ValueError, match="3 actions for 2"):
        env.step(np.zeros(3, dtype=int))


@pytest.mark.parametrize("kwargs", [{"num_envs": 0}, {"max_episode_steps": 0}, {"render_mode": "human"}])
def test_constructor_refuses(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(kwargs.values())))):
        SameStepCartPole(**kwargs)
    assert SameStepCartPole.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert GymnasiumVecEnv(SameStepCartPole()).num_envs == 1
