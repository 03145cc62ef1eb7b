"""make_vec_env: which backend it takes, what it refuses, and SB3's own tools and algorithms on top of each backend."""

import csv
import importlib.util
import inspect
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers_vec_env import RichEnv, assert_same
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import get_monitor_files
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_ext.vec_env import EnvPoolVecEnv, GymnasiumVecEnv, SameStepCartPole, make_vec_env

HAS_ENVPOOL = importlib.util.find_spec("envpool") is not None
BACKENDS = [
    "gymnasium",
    "dummy",
    pytest.param("envpool", marks=pytest.mark.skipif(not HAS_ENVPOOL, reason="EnvPool is not installed")),
]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rich_id() -> Any:
    gym.register("RichEnv-v0", RichEnv, max_episode_steps=8)
    yield "RichEnv-v0"
    del gym.registry["RichEnv-v0"]


def test_signature_is_sb3s_and_backend() -> None:
    ours, theirs = inspect.signature(make_vec_env).parameters, inspect.signature(sb3_make_vec_env).parameters
    assert list(ours) == [*theirs, "backend"]
    assert [ours[name].default for name in theirs] == [parameter.default for parameter in theirs.values()]


@pytest.mark.parametrize(
    "kwargs",
    [
        {"wrapper_class": gym.wrappers.TimeAwareObservation},
        {"vec_env_cls": DummyVecEnv},
        {"env_kwargs": {"render_mode": "human"}},
        {"env_kwargs": {"max_episode_steps": -1}},
        {"monitor_kwargs": {"allow_early_resets": False}},
    ],
)
def test_auto_leaves_to_sb3_what_only_sb3_can(kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert isinstance(make_vec_env("CartPole-v1", 8, **kwargs), DummyVecEnv)


def test_auto_choices() -> None:
    for env_id, limit in (("CartPole-v1", 500), ("CartPole-v0", 200)):
        env = make_vec_env(env_id, 8)
        assert isinstance(env, VecMonitor)
        assert isinstance(env.unwrapped.vector_env, SameStepCartPole)
        assert env.get_attr("max_episode_steps") == [limit] * 8
    assert isinstance(make_vec_env("CartPole-v1", 7), DummyVecEnv)  # one by one is faster
    assert isinstance(make_vec_env("Pendulum-v1"), DummyVecEnv)
    assert isinstance(make_vec_env(lambda: gym.make("CartPole-v1")), DummyVecEnv)
    assert isinstance(make_vec_env("Acrobot-v1").unwrapped, EnvPoolVecEnv if HAS_ENVPOOL else DummyVecEnv)
    default_limit = make_vec_env("Acrobot-v1", env_kwargs={"max_episode_steps": None})
    assert default_limit.get_attr("spec")[0].max_episode_steps == 500
    assert isinstance(make_vec_env("gymnasium.envs:CartPole-v1", 8).unwrapped, GymnasiumVecEnv)


def test_auto_sees_wrappers_and_kwargs_in_the_registration() -> None:
    wrapped = gym.wrappers.TimeAwareObservation(gym.make("CartPole-v1")).spec
    assert wrapped is not None
    wrapped.id = "WrappedCartPole-v1"
    gym.registry["WrappedCartPole-v1"] = wrapped
    gym.register("ShortCartPole-v1", "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=5)
    try:
        assert isinstance(make_vec_env("WrappedCartPole-v1", 8), DummyVecEnv)
        explicit = make_vec_env("WrappedCartPole-v1", backend="gymnasium")
        assert explicit.observation_space.shape == (5,)
        assert make_vec_env("ShortCartPole-v1", 8).get_attr("max_episode_steps") == [5] * 8
    finally:
        del gym.registry["WrappedCartPole-v1"], gym.registry["ShortCartPole-v1"]


def test_subproc() -> None:
    env = make_vec_env("CartPole-v1", 2, seed=0, backend="subproc")
    try:
        assert isinstance(env, SubprocVecEnv)
        np.testing.assert_array_equal(env.reset(), make_vec_env("CartPole-v1", 2, seed=0).reset())
    finally:
        env.close()


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_any_environment_through_gymnasium(mode: str, rich_id: str) -> None:
    kwargs: dict[str, Any] = {"seed": 3, "env_kwargs": {"max_episode_steps": 4}}
    vec_env_kwargs = {"vectorization_mode": mode}
    ours = make_vec_env(rich_id, 3, backend="gymnasium", vec_env_kwargs=vec_env_kwargs, **kwargs)
    theirs = make_vec_env(rich_id, 3, backend="dummy", **kwargs)
    assert_same(ours.reset(), theirs.reset(), "reset", 0.0)
    for time in range(40):  # Monitor rounds the return to 6 digits, VecMonitor adds it up in float32
        assert_same(list(ours.step(np.ones(3, int))), list(theirs.step(np.ones(3, int))), f"{time}", 1e-5)
    ours.close()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_envs": 0}, "n_envs must be a whole number, at least 1, got 0"),
        ({"n_envs": -2}, "got -2"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"backend": "fast"}, "unknown backend 'fast'"),
        ({"env_id": "NoSuchEnv-v0"}, "NoSuchEnv-v0"),
        ({"env_id": "no_such_module:CartPole-v1"}, "no_such_module"),
        ({"env_id": RichEnv, "backend": "gymnasium"}, "callable env_id"),
        ({"wrapper_class": gym.Wrapper, "backend": "gymnasium"}, "wrapper_class.*dummy"),
        ({"vec_env_cls": DummyVecEnv, "backend": "gymnasium"}, "vec_env_cls"),
        ({"vec_env_cls": DummyVecEnv, "backend": "subproc"}, "SubprocVecEnv"),
        ({"monitor_kwargs": {"allow_early_resets": False}, "backend": "gymnasium"}, "allow_early_resets"),
        ({"vec_env_kwargs": {"vectorization_mode": "fast"}, "backend": "gymnasium"}, "'fast'"),
        ({"vec_env_kwargs": {"nonsense": 1}, "backend": "gymnasium"}, "nonsense"),
        ({"env_kwargs": {"max_episode_steps": 0}, "backend": "gymnasium"}, "max_episode_steps"),
    ],
)
def test_refusals(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_vec_env(**{"env_id": "CartPole-v1", **kwargs})


def test_monitor_file(backend: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    env = make_vec_env("CartPole-v1", 2, seed=0, start_index=3, monitor_dir=str(folder), backend=backend,
                       monitor_kwargs={"info_keywords": ("TimeLimit.truncated",)} if backend != "dummy" else None,
                       env_kwargs={"max_episode_steps": 9})  # fmt: skip
    env.reset()
    episodes = [i["episode"] for _ in range(100) for i in env.step(np.arange(2))[3] if "episode" in i]
    env.close()
    rows = []
    for file in get_monitor_files(str(folder)):  # the format of SB3's load_results, which itself needs pandas
        header, *lines = Path(file).read_text().splitlines()
        assert json.loads(header[1:])["env_id"] == "CartPole-v1"
        rows += list(csv.DictReader(lines))
    assert (folder / "3.monitor.csv").exists()
    assert len(rows) == len(episodes) > 5
    assert sorted(int(row["l"]) for row in rows) == sorted(int(episode["l"]) for episode in episodes)
    assert backend == "dummy" or {row["TimeLimit.truncated"] for row in rows} == {"True", "False"}


def test_action_space_draws_as_sb3s() -> None:
    backends = ("gymnasium", "dummy")
    spaces = [make_vec_env("CartPole-v1", 2, seed=5, start_index=1, backend=name).action_space for name in backends]
    assert [spaces[0].sample() for _ in range(20)] == [spaces[1].sample() for _ in range(20)]


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_sb3_trains_on_it_and_the_seed_decides(algorithm: Any, backend: str) -> None:
    options: dict[str, Any] = {"n_steps": 32, "batch_size": 64, "n_epochs": 2}
    if algorithm is DQN:
        options = {"learning_starts": 50, "exploration_fraction": 0.5}
    weights = []
    for _ in range(2):
        model = algorithm("MlpPolicy", make_vec_env("CartPole-v1", 4, backend=backend), seed=0, device="cpu", **options)
        model.learn(400)
        assert len(model.ep_info_buffer) > 0
        weights.append(np.concatenate([p.detach().numpy().ravel() for p in model.policy.parameters()]))
    np.testing.assert_array_equal(weights[0], weights[1])


def test_ppo_learns_the_same_on_the_batch_as_on_dummy() -> None:
    lengths = []
    for backend in ("gymnasium", "dummy"):
        model = PPO("MlpPolicy", make_vec_env("CartPole-v1", 4, backend=backend), seed=0, n_steps=64, device="cpu")
        model.learn(256)
        lengths.append([episode["l"] for episode in model.ep_info_buffer])  # type: ignore[union-attr]
    assert lengths[0] == lengths[1]


def test_evaluate_policy_does_not_warn(backend: str) -> None:
    env = make_vec_env("CartPole-v1", 2, seed=0, backend=backend)
    model = PPO("MlpPolicy", env, seed=0, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewards, lengths = evaluate_policy(model, env, n_eval_episodes=4, return_episode_rewards=True)
    assert rewards == lengths  # CartPole: one point a step


def test_normalized_stacked_and_saved(backend: str, tmp_path: Path) -> None:
    env = VecNormalize(VecFrameStack(make_vec_env("CartPole-v1", 3, seed=0, backend=backend), 2))
    assert env.reset().shape == (3, 8)
    for _ in range(50):
        observations, _, dones, infos = env.step(np.ones(3, dtype=int))
        for done, info in zip(dones, infos, strict=True):
            assert not done or info["terminal_observation"].shape == (8,)
    assert np.isfinite(observations).all()
    env.save(str(tmp_path / "statistics.pkl"))
    stacked = VecFrameStack(make_vec_env("CartPole-v1", 3, backend=backend), 2)
    loaded = VecNormalize.load(str(tmp_path / "statistics.pkl"), stacked)
    np.testing.assert_array_equal(loaded.obs_rms.mean, env.obs_rms.mean)
    assert pickle.loads(pickle.dumps(env)).num_envs == 3
