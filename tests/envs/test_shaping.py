"""Shaping wrappers against their equations, recomputed from the observations of the raw environment."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ext.envs.wrappers.potentials import GoalDistance, steps_to_goal
from sb3_ext.envs.wrappers.reward_terms import StepPenalty
from sb3_ext.envs.wrappers.shaping import (
    DistanceReward,
    PotentialShaping,
    ProgressReward,
    ShapingGammaCallback,
    check_gamma,
    potential_term,
)
from sb3_ext.envs.wrappers.shaping_proof import distance_mdp, progress_mdp, shaped_mdp
from sb3_ext.tabular import TabularMDP, value_iteration

GAMMA = 0.9


def lake(max_episode_steps: int = 100, **kwargs: Any) -> gym.Env:
    return gym.make("FrozenLake-v1", max_episode_steps=max_episode_steps, **kwargs)


def episodes(env: gym.Env, n_steps: int, seed: int = 0):
    """(S, A, R, S', terminated, truncated, info) of random actions; the wrapped observation is the raw one."""
    rng = np.random.default_rng(seed)
    state, _ = env.reset(seed=seed)
    for _ in range(n_steps):
        action = int(rng.integers(env.action_space.n))
        next_state, reward, terminated, truncated, info = env.step(action)
        yield state, action, reward, next_state, terminated, truncated, info
        state = env.reset()[0] if terminated or truncated else next_state


@pytest.mark.parametrize("time_limit", [5, 100])
def test_potential_shaping_at_every_kind_of_step(time_limit):
    table = np.random.default_rng(3).normal(size=16)
    env = PotentialShaping(lake(time_limit), table, GAMMA, scale=2.0)
    kinds = set()
    for state, _, reward, next_state, terminated, truncated, info in episodes(env, 400):
        future = 0.0 if terminated else GAMMA * 2 * table[next_state]
        assert reward == pytest.approx(info["reward_terms"]["raw"] + future - 2 * table[state])
        kinds.add((terminated, truncated))
    assert (True, False) in kinds  # Phi of a terminal state is 0
    assert ((False, True) in kinds) == (time_limit == 5)  # Phi is kept where time ran out


def test_terminated_on_the_last_allowed_step_has_no_future():
    """Both flags at once: the state is terminal, whatever the clock says."""
    env = PotentialShaping(TimeLimit(lake(is_slippery=False), 2), np.ones(16), GAMMA)
    env.reset(seed=0)
    env.step(1)
    assert env.step(1)[2:4] == (False, True)
    env.reset()
    env.step(2)
    _, reward, terminated, truncated, _ = env.step(1)  # into the hole of cell 5
    assert (terminated, truncated, reward) == (True, True, -1.0)


def test_the_discounted_return_changes_by_the_first_potential_alone():
    env = PotentialShaping(lake(), "distance", GAMMA)
    raw, shaped, discount, ended = 0.0, 0.0, 1.0, 0
    for *_, reward, _, terminated, truncated, info in episodes(env, 600):
        raw += discount * info["reward_terms"]["raw"]
        shaped += discount * reward
        discount *= GAMMA
        if terminated or truncated:
            if terminated:
                assert shaped - raw == pytest.approx(6.0)  # -Phi(S_0) = d(S_0)
                ended += 1
            raw, shaped, discount = 0.0, 0.0, 1.0
    assert ended > 20


def test_wrappers_give_the_rewards_of_the_shaped_models():
    """The proof is about models; here is that environments do the same."""
    mdp = TabularMDP.from_env(lake())
    distance = steps_to_goal(mdp)
    pairs = [
        (PotentialShaping(lake(), "distance", GAMMA), shaped_mdp(mdp, -distance, GAMMA)),
        (PotentialShaping(lake(), "value", GAMMA), shaped_mdp(mdp, value_iteration(mdp, GAMMA).values, GAMMA)),
        (DistanceReward(lake(), scale=0.3), distance_mdp(mdp, distance, 0.3)),
        (ProgressReward(lake(), scale=0.3), progress_mdp(mdp, distance, 0.3)),
    ]
    for env, model in pairs:
        for state, action, reward, next_state, *_ in episodes(env, 300):
            possible = (model.next_state[state, action] == next_state) & (model.probability[state, action] > 0)
            assert np.isclose(model.reward[state, action][possible], reward).all()


def test_steps_to_goal():
    unreachable = 7  # from a hole (5, 7, 11, 12): one more than the farthest
    counted = [6, 5, 4, 5, 5, unreachable, 3, unreachable, 4, 3, 2, unreachable, unreachable, 2, 1, 0]
    assert steps_to_goal(TabularMDP.from_env(lake())).tolist() == counted
    endless = TabularMDP.from_arrays([[0]], [[1.0]])
    with pytest.raises(ValueError, match="no outcome terminates"):
        steps_to_goal(endless)


def test_progress_potential_is_the_share_of_the_way():
    env = PotentialShaping(lake(is_slippery=False), "progress", gamma=1.0)
    env.reset(seed=0)
    assert env.step(1)[1] == pytest.approx(1 / 6)
    rewards = [env.step(action)[1] for action in (1, 2, 1, 2)]
    assert rewards == pytest.approx([1 / 6] * 4)
    assert env.step(2)[1] == pytest.approx(1.0 - 5 / 6)  # the goal's own 1, and Phi = 0 after the end


class Goals(gym.Env):
    """Dict observations as in Gymnasium-Robotics."""

    observation_space = spaces.Dict({key: spaces.Box(-9, 9, (2,)) for key in ("achieved_goal", "desired_goal")})
    action_space = spaces.Discrete(2)

    def _show(self):
        return {"achieved_goal": np.array([self.x, 0.0], np.float32), "desired_goal": np.array([3.0, 4.0], np.float32)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = 0.0
        return self._show(), {}

    def step(self, action):
        self.x += float(action)
        return self._show(), 0.0, False, False, {}


def test_distance_between_goals():
    env = PotentialShaping(Goals(), "distance", GAMMA)
    env.reset(seed=0)
    assert env.step(1)[1] == pytest.approx(-GAMMA * np.hypot(2, 4) + 5)


def test_any_callable_on_the_observation():
    env = PotentialShaping(gym.make("CartPole-v1"), lambda observation: -abs(observation[2]), GAMMA)
    first, _ = env.reset(seed=0)
    second, reward, *_ = env.step(0)
    assert reward == pytest.approx(1.0 - GAMMA * abs(second[2]) + abs(first[2]))


class FromFive(gym.ObservationWrapper):
    """Discrete observations that do not start at 0."""

    def __init__(self, env):
        super().__init__(env)
        self.observation_space = spaces.Discrete(16, start=5)

    def observation(self, observation):
        return observation + 5


def test_table_with_another_first_state():
    table = np.random.default_rng(0).normal(size=16)
    plain = PotentialShaping(lake(), table, GAMMA)
    moved = PotentialShaping(FromFive(lake()), table, GAMMA)
    rewards = [[step[2] for step in episodes(env, 100)] for env in (plain, moved)]
    assert rewards[0] == rewards[1]


def test_a_map_that_changes_is_measured_anew():
    from sb3_ext.envs.grid.world import GridWorld

    world = GridWorld(["S....", ".....", ".....", ".....", "....G"], redraw_obstacles=6)
    env = PotentialShaping(world, "distance", GAMMA)
    tables = set()
    for episode in range(10):
        env.reset(seed=0 if episode == 0 else None)
        distance = steps_to_goal(world.mdp)
        tables.add(tuple(distance))
        state = world.state
        _, reward, terminated, _, info = env.step(1)
        assert not terminated
        assert reward == pytest.approx(info["reward_terms"]["raw"] - GAMMA * distance[world.state] + distance[state])
    assert len(tables) > 3


def test_two_shapings_add_up_and_are_told_apart():
    env = PotentialShaping(PotentialShaping(lake(), np.ones(16), GAMMA), "distance", GAMMA)
    env.reset(seed=0)
    _, reward, *_, info = env.step(0)
    assert list(info["reward_terms"]) == ["raw", "potential_shaping", "potential_shaping_2"]
    assert reward == pytest.approx(sum(info["reward_terms"].values()))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_potential_that_is_no_number_names_the_observation(bad):
    env = PotentialShaping(lake(is_slippery=False), [0.0] * 4 + [bad] + [0.0] * 11, GAMMA)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=f"potential of the observation 4 is {bad}"):
        env.step(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PotentialShaping(lake(), "distanse", 0.9), "unknown potential 'distanse'.*'distance'"),
        (lambda: PotentialShaping(lake(), np.zeros(15), 0.9), r"shape \(15,\).*\(16,\)"),
        (lambda: PotentialShaping(lake(), "distance", 1.1), r"gamma must lie in \[0, 1\], got 1.1"),
        (lambda: PotentialShaping(lake(), "distance", None), "gamma is None; it must be one finite number"),
        (lambda: PotentialShaping(gym.make("CartPole-v1"), np.zeros(4), 0.9), "needs Discrete.*pass a callable"),
        (lambda: PotentialShaping(gym.make("CartPole-v1"), "distance", 0.9), "where its goal is.*pass a callable"),
        (lambda: DistanceReward(gym.make("CartPole-v1")), "where its goal is.*pass a callable"),
        (lambda: PotentialShaping(lake(), None, 0.9), "got None: 'distance', 'progress'"),
        (lambda: PotentialShaping(lake(), "distance", 0.9, scale=np.nan), "scale is nan.*finite"),
        (lambda: DistanceReward(lake(), scale=np.nan), "scale is nan.*finite"),
        (lambda: ProgressReward(lake(), scale=np.inf), "scale is inf.*finite"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_arrays_and_numbers_in_the_equation():
    terms = potential_term(np.array([1.0, 1.0]), np.array([3.0, np.inf]), 0.5, np.array([False, True]))
    assert terms.tolist() == [0.5, -1.0]


def shape(env: gym.Env) -> gym.Env:
    return StepPenalty(PotentialShaping(env, "distance", 0.95))


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_a_gamma_that_is_not_the_agents_warns_with_both_numbers(algorithm):
    env = make_vec_env("FrozenLake-v1", n_envs=2, wrapper_class=shape)
    settings = {"n_steps": 8, "batch_size": 16} if algorithm is PPO else {"buffer_size": 100}
    model = algorithm("MlpPolicy", env, gamma=0.9, **settings)
    with pytest.warns(UserWarning, match=r"gamma=0\.95, .* with gamma=0\.9:"):
        model.learn(16, callback=ShapingGammaCallback())
    with pytest.warns(UserWarning, match="gamma="):
        assert not check_gamma(model)


def shape_twice(env: gym.Env) -> gym.Env:
    return PotentialShaping(StepPenalty(PotentialShaping(env, "distance", 0.5)), "distance", 0.9)


def test_every_gamma_is_checked():
    """Also of a shaping inside another one, and where only some of the environments are shaped."""
    nested = make_vec_env("FrozenLake-v1", wrapper_class=shape_twice)
    some = DummyVecEnv([lake, lambda: shape(lake())])
    for env, gamma in (nested, 0.5), (some, 0.95):
        model = PPO("MlpPolicy", env, gamma=0.9, n_steps=8, batch_size=8)
        with pytest.warns(UserWarning, match=rf"gamma={gamma}, .* with gamma=0\.9:"):
            assert not check_gamma(model)


def nothing(observation):
    return np.nan


def vector(observation):
    return np.zeros(2)


@pytest.mark.parametrize("measure", [nothing, vector])
@pytest.mark.parametrize("cls", [PotentialShaping, DistanceReward, ProgressReward])
def test_what_is_measured_must_be_one_finite_number(cls, measure):
    env = cls(lake(), measure, **({"gamma": 0.9} if cls is PotentialShaping else {}))
    with pytest.raises(ValueError, match=f"{measure.__name__}: the .* of the observation [01] is .*one finite number"):
        list(episodes(env, 1))


def test_the_same_gamma_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make_vec_env("FrozenLake-v1", wrapper_class=shape)
        assert check_gamma(PPO("MlpPolicy", env, gamma=0.95, n_steps=8, batch_size=8))
        assert check_gamma(PPO("MlpPolicy", make_vec_env("FrozenLake-v1"), n_steps=8, batch_size=8))


def test_goal_distance_looks_through_wrappers():
    env = gym.wrappers.FlattenObservation(lake(is_slippery=False))
    distance = GoalDistance(env)
    observation, _ = env.reset(seed=0)
    assert distance(observation) == 6.0
