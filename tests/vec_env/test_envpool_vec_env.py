"""EnvPool behind VecEnv: SB3's meaning of an episode's end, seeds, and agreement with Gymnasium's dynamics."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_ext.vec_env import ENVPOOL_VERIFIED_IDS, EnvPoolVecEnv, make_vec_env
from sb3_ext.vec_env.envpool_vec_env import _with_open_bounds


def test_clear_error_without_envpool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "sb3-ext\[envpool\]"'):
        EnvPoolVecEnv("CartPole-v1")


class TestWithEnvPool:
    @pytest.fixture(autouse=True)
    def _needs_envpool(self) -> None:
        pytest.importorskip("envpool")

    def test_resets_on_the_same_step(self) -> None:
        env = EnvPoolVecEnv("CartPole-v1", 8, seed=0, max_episode_steps=12)
        env.reset()
        lengths, ends = np.zeros(8, dtype=int), {"terminated": 0, "truncated": 0}
        rng = np.random.default_rng(0)
        for _ in range(300):
            observations, rewards, dones, infos = env.step(rng.integers(0, 2, 8))
            lengths += 1
            assert (rewards.dtype, dones.dtype) == (np.float32, bool)
            np.testing.assert_array_equal(rewards, 1)  # no lost step with reward 0
            for index, info in enumerate(infos):
                assert ("terminal_observation" in info) == dones[index]
                if dones[index]:
                    last = info["terminal_observation"]
                    fell = bool(abs(last[2]) > math.radians(12) or abs(last[0]) > 2.4)
                    assert info["TimeLimit.truncated"] == (not fell)
                    assert fell or lengths[index] == 12
                    assert np.abs(observations[index]).max() <= 0.05  # the first of the next episode
                    ends["truncated" if not fell else "terminated"] += 1
                    lengths[index] = 0
                assert lengths[index] < 12
        assert min(ends.values()) > 20

    def test_a_fall_on_the_last_allowed_step_is_no_time_limit(self) -> None:
        env = EnvPoolVecEnv("CartPole-v1", 200, seed=0, max_episode_steps=9)
        env.reset()
        for _ in range(9):
            _, _, dones, infos = env.step(np.ones(200, dtype=int))
        fell = [abs(info["terminal_observation"][2]) > math.radians(12) for info in infos if dones.any()
                if "terminal_observation" in info]  # fmt: skip
        flags = [info["TimeLimit.truncated"] for info in infos if "terminal_observation" in info]
        assert 0 < sum(fell) < len(fell)
        assert flags == [not value for value in fell]

    @pytest.mark.parametrize("n_envs", [1, 3])
    def test_seeds(self, n_envs: int) -> None:
        def run(seeds: list[int | None]) -> np.ndarray:
            env = EnvPoolVecEnv("LunarLander-v3", n_envs)
            env._seeds = seeds
            first = [env.reset()]
            return np.array(first + [env.step(np.full(n_envs, t % 4))[0] for t in range(200)])

        np.testing.assert_array_equal(run([4] * n_envs), run([4] * n_envs))
        assert not np.array_equal(run([4] * n_envs), run([5] * n_envs))
        same = run([4] * n_envs)
        for index in range(n_envs):
            np.testing.assert_array_equal(same[:, index], same[:, 0])
        env = EnvPoolVecEnv("LunarLander-v3", n_envs, seed=4)
        first = env.reset()
        np.testing.assert_array_equal(first[0], same[0, 0])
        assert not np.array_equal(env.reset(), first)  # seeds serve once
        env.seed(4)
        np.testing.assert_array_equal(env.reset(), first)
        env.seed(2**31 + 4)  # SB3 draws up to 2^32, EnvPool takes up to 2^31
        np.testing.assert_array_equal(env.reset(), first)
        env.close()
        env.close()

    def test_earlier_arrays_do_not_change(self) -> None:
        env = EnvPoolVecEnv("CartPole-v1", 4, seed=0)
        arrays = [env.reset()]
        copies = [arrays[0].copy()]
        for _ in range(40):
            observations, rewards, _, infos = env.step(np.ones(4, dtype=int))
            new = [observations, rewards, *(i["terminal_observation"] for i in infos if "terminal_observation" in i)]
            arrays += new
            copies += [array.copy() for array in new]
        for array, copy in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(array, copy)

    @pytest.mark.parametrize("env_id", [*sorted(ENVPOOL_VERIFIED_IDS), "FrozenLake-v1", "InvertedPendulum-v5"])
    def test_spaces_types_and_time_limits(self, env_id: str) -> None:
        env = make_vec_env(env_id, 2, seed=0, backend="envpool", env_kwargs={"max_episode_steps": 3})
        if gym.spec(env_id).entry_point and "mujoco" not in str(gym.spec(env_id).entry_point):
            reference = gym.make(env_id)
            assert env.observation_space == reference.observation_space
            assert env.action_space == reference.action_space
            assert EnvPoolVecEnv(env_id).max_episode_steps == gym.spec(env_id).max_episode_steps
        observations = env.reset()
        assert observations.dtype == env.observation_space.dtype
        lengths, timed_out = np.zeros(2, dtype=int), 0
        for _ in range(30):
            actions = np.array([env.action_space.sample() for _ in range(2)])
            observations, _, dones, infos = env.step(actions)
            lengths += 1
            assert observations.dtype == env.observation_space.dtype
            assert all(env.observation_space.contains(np.asarray(row)[()]) for row in observations)
            for index, info in enumerate(infos):
                assert dones[index] or lengths[index] < 3
                assert dones[index] or not info["TimeLimit.truncated"]
                assert lengths[index] == 3 or not info["TimeLimit.truncated"]
                timed_out += info["TimeLimit.truncated"]
            lengths[dones] = 0
        assert timed_out > 5

    def test_images(self) -> None:
        env = make_vec_env("LunarLander-v3", 4, seed=0, backend="envpool")
        assert env.render_mode == "rgb_array"
        env.reset()
        image = env.render()
        assert image is not None
        assert image.shape == (800, 1200, 3)
        assert make_vec_env("InvertedPendulum-v5", backend="envpool").render_mode is None

    def test_access(self) -> None:
        env = make_vec_env("LunarLander-v3", 2, backend="envpool", vec_env_kwargs={"num_threads": 2})
        assert env.get_attr("num_threads") == [2, 2]
        assert env.get_attr("spec", indices=0)[0].id == "LunarLander-v3"
        assert env.get_attr("max_episode_steps") == [1000, 1000]
        assert not env.has_attr("action_masks")
        with pytest.raises(NotImplementedError, match="gravity"):
            env.set_attr("gravity", 1.0)
        with pytest.raises(NotImplementedError, match="render"):
            env.env_method("render")

    @pytest.mark.parametrize(
        ("kwargs", "message"),
        [
            ({"env_id": "NoSuchEnv-v0"}, "NoSuchEnv-v0"),
            ({"env_kwargs": {"gravity": -5.0}}, "gravity.*dummy"),
            ({"env_kwargs": {"max_episode_steps": 0}}, "max_episode_steps must be at least 1, got 0"),
            ({"env_kwargs": {"render_mode": "human"}}, "human"),
            ({"vec_env_kwargs": {"num_threads": 0}}, "num_threads"),
            ({"wrapper_class": gym.Wrapper}, "wrapper_class"),
        ],
    )
    def test_refusals(self, kwargs: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make_vec_env(**{"env_id": "LunarLander-v3", "backend": "envpool", **kwargs})

    def test_refused_options_actions_and_steps(self) -> None:
        env = EnvPoolVecEnv("LunarLander-v3", 2)
        with pytest.raises(RuntimeError, match="reset"):
            env.step(np.zeros(2, dtype=int))
        env.set_options({"low": 0})
        with pytest.raises(ValueError, match="options"):
            env.reset()
        env.set_options()
        env.reset()
        for actions in (np.array([0, 4]), np.array([-1, 0]), np.zeros(3, dtype=int), np.zeros((2, 1), dtype=int)):
            with pytest.raises(ValueError, match="actions for LunarLander-v3"):
                env.step(actions)

    @pytest.mark.parametrize("env_id", sorted(ENVPOOL_VERIFIED_IDS - {"LunarLander-v3"}))
    def test_steps_as_gymnasium_from_the_same_state(self, env_id: str) -> None:
        """Puts Gymnasium's environment into EnvPool's (float32) state before each step and compares what follows."""
        pool, single = EnvPoolVecEnv(env_id, 1, seed=1), gym.make(env_id).unwrapped
        single.reset(seed=0)
        single.action_space.seed(0)
        observation, episodes = pool.reset()[0], 0
        for time in range(4000):
            single.state = _state(env_id, observation)  # type: ignore[attr-defined]
            action = _energetic_action(env_id, observation) if time % 10 else single.action_space.sample()
            expected, reward, terminated, _, _ = single.step(action)
            observations, rewards, dones, infos = pool.step(np.array([action]))
            last = infos[0].get("terminal_observation", observations[0])
            np.testing.assert_allclose(last, expected, atol=2e-6)
            np.testing.assert_allclose(rewards[0], reward, atol=1e-5)
            assert terminated == (dones[0] and not infos[0]["TimeLimit.truncated"])
            episodes += terminated
            observation = observations[0]
        assert episodes >= 3

    def test_lunar_lander_in_distribution(self) -> None:
        """EnvPool cannot be put into a state: under one policy, the distributions must agree (Kolmogorov-Smirnov).

        Episode lengths have a heavy tail (a few landers hover to the time limit), so standard errors would mislead.
        """
        pytest.importorskip("Box2D")
        stats = pytest.importorskip("scipy.stats")
        gymnasium, pool = (_lander_episodes(backend, n) for backend, n in (("dummy", 160), ("envpool", 960)))
        for name in gymnasium:
            assert stats.ks_2samp(gymnasium[name], pool[name]).pvalue > 1e-4, name


def _state(env_id: str, observation: np.ndarray) -> Any:
    values = observation.astype(np.float64)
    if env_id == "Acrobot-v1":
        return np.array([math.atan2(values[1], values[0]), math.atan2(values[3], values[2]), values[4], values[5]])
    return values


def _energetic_action(env_id: str, observation: np.ndarray) -> Any:
    """Pushes along the velocity: reaches the goal, so that terminations are compared, too."""
    if env_id == "Acrobot-v1":
        return 2 if observation[4] < 0 else 0
    sign = 1 if observation[1] >= 0 else -1
    return 1 + sign if env_id == "MountainCar-v0" else np.array([sign], dtype=np.float32)


def _lander_episodes(backend: str, n_episodes: int) -> dict[str, list[float]]:
    """The same number of random episodes from each of 16 environments, so that short ones are not favoured."""
    env, rng = make_vec_env("LunarLander-v3", 16, seed=1, backend=backend), np.random.default_rng(2)
    result: dict[str, list[float]] = {"return": [], "length": [], "first_vx": [], "first_vy": []}
    counts, observations = np.zeros(16, dtype=int), env.reset()
    new = np.ones(16, dtype=bool)
    while (counts < n_episodes // 16).any():
        result["first_vx"] += observations[new, 2].tolist()
        result["first_vy"] += observations[new, 3].tolist()
        observations, _, new, infos = env.step(rng.integers(0, 4, 16))
        for index in np.flatnonzero(new):
            if counts[index] < n_episodes // 16:
                result["return"].append(infos[index]["episode"]["r"])
                result["length"].append(infos[index]["episode"]["l"])
            counts[index] += 1
    return result


def test_open_bounds() -> None:
    tiny, largest = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    assert _with_open_bounds(gym.spaces.Box(tiny, largest, (2,), np.float32)) == gym.spaces.Box(-np.inf, np.inf, (2,))
    assert _with_open_bounds(gym.spaces.Box(-1, 1, (2,))) == gym.spaces.Box(-1, 1, (2,))
