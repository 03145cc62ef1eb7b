"""Parameters changed in place, drawn at reset, and raised with success."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_ext.envs.wrappers.curriculum import Curriculum, DifficultyLevels, RandomizeDynamics, set_parameters
from sb3_ext.tabular import TabularMDP

LEVELS = [{"success_rate": 1.0}, {"success_rate": 0.8}, {"success_rate": 1 / 3}]


def test_constructor_arguments_are_as_if_given_from_the_start():
    env = gym.make("FrozenLake-v1", map_name="8x8")
    env.reset(seed=0)
    bare = env.unwrapped
    set_parameters(env, {"success_rate": 0.9})
    fresh = gym.make("FrozenLake-v1", map_name="8x8", success_rate=0.9)
    assert env.unwrapped is bare
    assert bare.P == fresh.unwrapped.P
    assert gym.spec("FrozenLake-v1").kwargs == {"map_name": "4x4"}  # the registry is untouched
    set_parameters(env, {"is_slippery": False})  # and what was changed before stays
    assert bare.spec.kwargs["success_rate"] == 0.9


def test_the_random_stream_goes_on():
    one, other = gym.make("FrozenLake-v1"), gym.make("FrozenLake-v1")
    for env in (one, other):
        env.reset(seed=0)
    set_parameters(one, {"is_slippery": True})
    assert one.np_random.random() == other.np_random.random()


def test_cartpoles_derived_quantities_follow():
    env = gym.make("CartPole-v1")
    set_parameters(env, {"length": 2.0, "masspole": 0.5, "masscart": 2.0})
    assert env.unwrapped.polemass_length == 1.0
    assert env.unwrapped.total_mass == 2.5


@pytest.mark.parametrize("parameters", [{"slip": (0.0, 0.5)}, {"goal_reward": [1.0, 5.0], "step_reward": (-0.1, 0.0)}])
def test_grid_worlds(parameters):
    from sb3_ext.envs.grid.world import GridWorld

    gym.register("Drawn-v0", GridWorld, kwargs={"map": "S..G"})
    env = RandomizeDynamics(gym.make("Drawn-v0"), parameters)
    models = []
    for _ in range(4):
        _, info = env.reset()
        models.append(env.unwrapped.mdp)
        expected = GridWorld("S..G", **info["dynamics"]).mdp
        for name in ("probability", "reward", "next_state"):
            np.testing.assert_array_equal(getattr(models[-1], name), getattr(expected, name))
    assert len({model.reward.sum() + model.probability.std() for model in models}) > 1


def test_draws_cover_what_they_should_and_a_seed_repeats_them():
    def draw(seed: int) -> list[dict[str, Any]]:
        parameters = {
            "length": (0.3, 0.8),
            "force_mag": [8.0, 12.0],
            "gravity": lambda generator: generator.normal(9.8),
        }
        env = RandomizeDynamics(gym.make("CartPole-v1"), parameters)
        draws = [env.reset(seed=seed)[1]["dynamics"]]
        for _ in range(40):
            draws.append(env.reset()[1]["dynamics"])
            assert {name: getattr(env.unwrapped, name) for name in parameters} == draws[-1] == env.dynamics
        return draws

    first = draw(0)
    lengths = [d["length"] for d in first]
    assert 0.3 <= min(lengths) < 0.4
    assert 0.7 < max(lengths) <= 0.8
    assert {d["force_mag"] for d in first} == {8.0, 12.0}
    assert first == draw(0) != draw(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomizeDynamics(gym.make("CartPole-v1"), {"lenght": (0, 1)}), "no parameter 'lenght'.*length"),
        (lambda: RandomizeDynamics(gym.make("CartPole-v1"), {"length": (1, 0)}), r"low <= high, got \(1, 0\)"),
        (lambda: RandomizeDynamics(gym.make("CartPole-v1"), {"length": 3}), "length: give .*got 3"),
        (lambda: RandomizeDynamics(gym.make("FrozenLake-v1"), {"map_name": ["8x8"]}), "changes the spaces"),
        (
            lambda: set_parameters(type(gym.make("FrozenLake-v1").unwrapped)(), {"success_rate": 1.0}),
            "FrozenLakeEnv was not made by gym.make.*success_rate",
        ),
        (lambda: DifficultyLevels(gym.make("FrozenLake-v1"), []), "levels must be a list"),
        (lambda: DifficultyLevels(gym.make("CartPole-v1"), [{"length": 1.0}, {}]), "the same names in each"),
        (lambda: DifficultyLevels(gym.make("FrozenLake-v1"), LEVELS).set_difficulty(3), r"no level 3.*0 \.\. 2"),
        (lambda: Curriculum(3, bar=0.0), r"bar in \(0, 1\]"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ({"map_name": "8x8", "success_rate": 0.5}, "changes the spaces"),
        ({"map_name": "9x9", "success_rate": 0.5}, "9x9"),
    ],
)
def test_a_level_that_cannot_be_set_is_refused_at_once_and_leaves_no_trace(last, message):
    env = gym.make("FrozenLake-v1", success_rate=0.7)
    env.reset(seed=0)
    inner, before, arguments = env.unwrapped, dict(vars(env.unwrapped)), dict(env.unwrapped.spec.kwargs)
    with pytest.raises((ValueError, KeyError), match=message):
        DifficultyLevels(env, [{"map_name": "4x4", "success_rate": 1.0}, last])
    assert vars(inner).keys() == before.keys()
    assert all(vars(inner)[name] is value for name, value in before.items())
    assert inner.spec.kwargs == arguments
    with pytest.raises((ValueError, KeyError), match=message):
        set_parameters(env, last)
    assert inner.P is before["P"]
    assert inner.spec.kwargs == arguments
    DifficultyLevels(env, LEVELS)  # trying them changes nothing either
    assert inner.P is before["P"]


def test_a_map_that_changes_after_some_steps_is_not_constructed_anew():
    with pytest.raises(ValueError, match=r"after 1000 steps.*without 'change'"):
        RandomizeDynamics(gym.make("sb3_ext.envs:sb3_ext/BlockingMaze-v0"), {"slip": (0.0, 0.1)})


def test_a_level_holds_from_the_next_reset():
    env = DifficultyLevels(gym.make("FrozenLake-v1"), LEVELS)
    assert env.reset(seed=0)[1]["difficulty"] == 0
    sure = TabularMDP.from_env(env)
    env.set_difficulty(2)
    assert TabularMDP.from_env(env).probability.max() == sure.probability.max()
    assert env.reset()[1]["difficulty"] == 2
    slippery = TabularMDP.from_P(gym.make("FrozenLake-v1").unwrapped.P)
    np.testing.assert_allclose(TabularMDP.from_env(env).probability, slippery.probability)


class Steps(gym.Env):
    """Two steps an episode; succeeds at levels below 2; remembers the level that each episode began with."""

    observation_space = gym.spaces.Discrete(2)
    action_space = gym.spaces.Discrete(2)
    difficulty = 0

    def set_difficulty(self, level):
        self.difficulty = level

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.level = 0, self.difficulty
        return 0, {}

    def step(self, action):
        self.t += 1
        return 1, 0.0, self.t == 2, False, {"is_success": self.level < 2, "level": self.level}


class Spy(Curriculum):
    """Keeps what was counted, with the level that the episode was really of."""

    def _on_step(self):
        before = len(self._results)
        level = self.level
        going_on = super()._on_step()
        ends = [info["level"] for info, done in zip(self.locals["infos"], self.locals["dones"], strict=True) if done]
        if len(self._results) > before:
            self.counted = [*getattr(self, "counted", []), (level, set(ends))]
        return going_on


@pytest.mark.parametrize("vec_env_cls", [DummyVecEnv, pytest.param(SubprocVecEnv, marks=pytest.mark.slow)])
def test_curriculum_counts_episodes_of_its_own_level_only(vec_env_cls):
    env = make_vec_env(Steps, n_envs=2, seed=0, vec_env_cls=vec_env_cls)
    curriculum = Spy(n_levels=4, bar=1.0, window=6)
    model = PPO("MlpPolicy", env, n_steps=40, batch_size=80, n_epochs=1, seed=0)
    model.learn(80, callback=curriculum)
    # 2 environments x 2 steps an episode: 6 episodes are over after 12 steps; then one episode each is of the old level
    assert curriculum.raised_at == [12, 28]
    assert curriculum.level == 2  # where nothing succeeds any more
    assert curriculum.success_rate == 0.0
    assert all({level} == levels for level, levels in curriculum.counted)
    assert env.get_attr("difficulty") == [2, 2]
    env.close()


def longer_pole(env: gym.Env) -> gym.Env:
    return DifficultyLevels(env, [{"length": 0.5}, {"length": 1.0}])


def test_success_has_to_be_said():
    env = make_vec_env("CartPole-v1", wrapper_class=longer_pole)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, seed=0)
    with pytest.raises(ValueError, match=r"without info\['is_success'\].*success=lambda info"):
        model.learn(128, callback=Curriculum(2))
    model.learn(256, callback=Curriculum(2, window=2, success=lambda info: info["episode"]["r"] > 0))
    assert env.get_attr("difficulty") == [1]


def test_levels_have_to_be_taken():
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1"), n_steps=8, batch_size=8)
    with pytest.raises(ValueError, match=r"no method 'set_difficulty'.*DifficultyLevels"):
        model.learn(8, callback=Curriculum(2))
