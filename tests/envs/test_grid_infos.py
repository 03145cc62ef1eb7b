"""StepInfos: infos that are made at the first look, and SB3 on top of them."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import DQN, PPO, HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_ext.envs import RND, GridWorld, GridWorldVecEnv
from sb3_ext.envs.grid.infos import StepInfos

CONTENT = [{"a": 1}, {}, {"b": np.float32(2.0)}]


def lazy(calls=None):
    """Infos like CONTENT, that write into ``calls`` when they are made."""

    def make():
        calls.append("made")
        return [dict(info) for info in CONTENT]

    calls = [] if calls is None else calls
    return StepInfos(len(CONTENT), make)


@pytest.mark.parametrize(
    "look",
    [
        lambda infos: infos[1],
        lambda infos: infos[-1],
        lambda infos: infos[:],
        lambda infos: infos[np.int64(0)],
        list,
        repr,
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        lambda infos: infos == [],
        lambda infos: {} in infos,
        lambda infos: next(reversed(infos)),
        lambda infos: infos.index({}),
    ],
)
def test_they_are_made_once_at_the_first_look(look):
    calls = []
    infos = lazy(calls)
    assert (len(infos), bool(infos), calls) == (3, True, [])
    look(infos)
    assert calls == ["made"]
    look(infos)
    assert calls == ["made"]
    assert [id(info) for info in infos] == [id(infos[index]) for index in range(3)]


def test_they_behave_as_a_list():
    infos, plain = lazy(), list(CONTENT)
    assert infos[:] == CONTENT
    assert type(infos[:]) is list
    assert infos[1:] == CONTENT[1:]
    assert infos == CONTENT
    assert plain == infos  # a list asks us
    assert infos == lazy()
    assert infos != CONTENT[:2]
    assert infos != tuple(CONTENT)
    assert repr(infos) == repr(CONTENT)
    assert not StepInfos(0, list)
    with pytest.raises(IndexError):
        infos[3]
    with pytest.raises(TypeError, match="unhashable"):
        hash(infos)


def test_what_is_written_stays():
    infos = lazy()
    infos[0]["x"] = 1
    infos[:][1]["y"] = 2
    for info in infos:
        info["z"] = 3
    assert infos == [{"a": 1, "x": 1, "z": 3}, {"y": 2, "z": 3}, {"b": 2.0, "z": 3}]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda infos: pickle.loads(pickle.dumps(infos))])
def test_copies_are_plain_lists(duplicate):
    infos = lazy()
    infos[1]["x"] = [1]
    duplicated = duplicate(infos)
    assert type(duplicated) is list
    assert duplicated == infos
    duplicated[1]["x"].append(2)
    assert infos[1]["x"] == ([1, 2] if duplicate is copy.copy else [1])


def test_each_step_keeps_its_own_numbers():
    """Looked at long after, in any order, infos say the same as those looked at once."""
    steps = {}
    for when in ("at once", "later"):
        env = GridWorldVecEnv(7, "FrozenLake4x4", max_episode_steps=9, observation="coordinates")
        env.seed(0)
        env.reset()
        rng = np.random.default_rng(0)
        steps[when] = []
        for _ in range(100):
            infos = env.step(rng.integers(4, size=7))[3]
            steps[when].append(copy.deepcopy(infos) if when == "at once" else infos)
    assert sum("terminal_observation" in info for infos in steps["at once"] for info in infos) > 20
    for early, late in zip(reversed(steps["at once"]), reversed(steps["later"]), strict=True):
        assert repr(early) == repr(late)


def dummy(n_envs, **kwargs):
    return DummyVecEnv([lambda: gym.wrappers.TimeLimit(GridWorld(**kwargs), 20)] * n_envs)


@pytest.mark.parametrize(
    "wrap",
    [
        VecMonitor,
        VecNormalize,
        lambda env: VecFrameStack(env, 3),
        lambda env: VecNormalize(VecFrameStack(VecMonitor(env), 2)),
        lambda env: RND(VecMonitor(env), seed=0),
    ],
    ids=["VecMonitor", "VecNormalize", "VecFrameStack", "all", "RND"],
)
def test_sb3s_wrappers_see_what_dummy_vec_env_gives(wrap):
    kwargs = {"map": "Seeds4x4", "observation": "coordinates", "slip": 0.1}
    envs = [wrap(GridWorldVecEnv(4, max_episode_steps=20, **kwargs)), wrap(dummy(4, **kwargs))]
    for env in envs:
        env.seed(3)
    np.testing.assert_array_equal(*[env.reset() for env in envs])
    rng, ended = np.random.default_rng(0), 0
    for _ in range(150):
        actions = rng.integers(4, size=4)
        ours, theirs = (env.step(actions) for env in envs)
        for mine, other in zip(ours[:3], theirs[:3], strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-6)
        for mine, other in zip(ours[3], theirs[3], strict=True):
            assert set(mine) == set(other)
            if "terminal_observation" in other:
                ended += 1
                np.testing.assert_array_equal(mine["terminal_observation"], other["terminal_observation"])
                assert mine.get("episode", {}).get("l") == other.get("episode", {}).get("l")
    assert ended > 20


@pytest.mark.parametrize(
    ("algorithm", "policy", "mode", "arguments"),
    [
        (PPO, "MlpPolicy", "index", {"n_steps": 16, "n_epochs": 1}),
        (DQN, "MlpPolicy", "coordinates", {"learning_starts": 50}),
        (
            DQN,
            "MultiInputPolicy",
            "goal",
            {"learning_starts": 400, "replay_buffer_class": HerReplayBuffer,
             "replay_buffer_kwargs": {"copy_info_dict": True}},
        ),
    ],
    ids=["PPO", "DQN", "HER"],
)  # fmt: skip
def test_sb3_learns_without_a_monitor_the_same_as_on_dummy_vec_env(algorithm, policy, mode, arguments):
    """The same weights bit for bit: every number that reaches the algorithm is the same."""
    kwargs = {"map": "Obstacles5x5", "observation": mode, "slip": 0.1}
    weights = []
    for env in (GridWorldVecEnv(4, max_episode_steps=20, **kwargs), dummy(4, **kwargs)):
        model = algorithm(policy, env, seed=0, device="cpu", **arguments).learn(600)
        weights.append([weight.numpy() for weight in model.policy.state_dict().values()])
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
