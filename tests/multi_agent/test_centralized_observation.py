"""The state beside each agent's own observation: what it is, whose, and at which moment."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from helpers_multi_agent import DEATHS, TOGETHER, GuessingEnv, ScriptedEnv
from mpe2 import simple_spread_v3
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ext.envs.multi.carry import Carry
from sb3_ext.multi_agent import (
    AliveDictRolloutBuffer,
    CentralizedCriticPolicy,
    CentralizedObservation,
    PettingZooVecEnv,
    evaluate_multi_agent,
)


class Clock(ScriptedEnv):
    """An environment with a state: episode and time."""

    state_space = spaces.Box(0, 100, (2,), np.float32)

    def state(self) -> np.ndarray:
        return np.array([self.episode, self.time], np.float32)


def rows_of(env: CentralizedObservation, n_steps: int) -> list[tuple[Any, ...]]:
    env.reset()
    return [env.step(np.zeros(env.num_envs, int)) for _ in range(n_steps)]


def test_own_observation_and_state_for_each_row() -> None:
    env = CentralizedObservation(PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=2, seed=0))
    plain = PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=2, seed=0)
    seen, own = env.reset(), plain.reset()
    for _ in range(30):
        assert env.observation_space["observation"] == plain.observation_space
        np.testing.assert_array_equal(seen["observation"], own)
        for row in range(6):  # the state of simple_spread is what its agents see
            np.testing.assert_array_equal(seen["state"][row], np.concatenate(own[:3] if row < 3 else own[3:]))
        seen, own = env.step(np.ones(6, int))[0], plain.step(np.ones(6, int))[0]
    assert not np.array_equal(seen["state"][0], seen["state"][3])


def test_without_a_state_observations_are_joined() -> None:
    env = CentralizedObservation(PettingZooVecEnv(lambda: ScriptedEnv(DEATHS), n_envs=2, seed=0))
    assert env.observation_space["state"] == spaces.Box(-1e6, 1e6, (12,), np.float32)
    for seen, *_ in rows_of(env, 30):
        for copy in (slice(0, 3), slice(3, 6)):
            joined = seen["observation"][copy].reshape(-1)
            assert (seen["state"][copy] == joined).all()


def test_an_agents_last_state_shows_the_others_as_they_were_then() -> None:
    """Agent a dies at time 2 of the first episode while b and c go on; b is cut off at 5."""
    steps = rows_of(CentralizedObservation(PettingZooVecEnv(lambda: ScriptedEnv(DEATHS), seed=0)), 7)
    last = {t + 1: step[3] for t, step in enumerate(steps)}
    times = last[2][0]["terminal_observation"]["state"].reshape(3, 4)[:, :3].tolist()
    assert times == [[0, 2, 0], [0, 2, 1], [0, 2, 2]]  # episode, time, agent
    times = last[5][1]["terminal_observation"]["state"].reshape(3, 4)[:, :3].tolist()
    assert times == [[0, 0, 0], [0, 5, 1], [0, 5, 2]]  # zeros for the dead
    end = last[7][2]["terminal_observation"]
    assert end["state"].reshape(3, 4)[:, :3].tolist() == [[0, 0, 0], [0, 0, 0], [0, 7, 2]]
    assert end["observation"][:3].tolist() == [0, 7, 2]
    assert steps[6][0]["state"][0].reshape(3, 4)[:, 0].tolist() == [1, 1, 1]  # the next episode has begun


def test_the_environments_own_state_at_an_end_is_not_that_of_the_next_episode() -> None:
    env = CentralizedObservation(PettingZooVecEnv(lambda: Clock(DEATHS), n_envs=2, seed=0))
    for t, (seen, _, _, infos) in enumerate(rows_of(env, 7), start=1):
        for row, info in enumerate(infos):
            if "terminal_observation" in info:
                assert info["terminal_observation"]["state"].tolist() == [0, t], (t, row)
        assert seen["state"].tolist() == [[0, t] if t < 7 else [1, 0]] * 6


def test_states_of_the_past_stay_as_they_were() -> None:
    """An environment may overwrite the array that it hands out."""

    class Careless(Clock):
        _state = np.zeros(2, np.float32)

        def state(self) -> np.ndarray:
            self._state[:] = self.episode, self.time
            return self._state

    env = CentralizedObservation(PettingZooVecEnv(lambda: Careless(TOGETHER), seed=0))
    steps = rows_of(env, 6)
    assert [step[0]["state"][0].tolist() for step in steps] == [[0, 1], [0, 2], [0, 3], [1, 0], [1, 1], [1, 2]]
    assert steps[3][3][0]["terminal_observation"]["state"].tolist() == [0, 4]


def test_observations_may_be_joined_where_there_is_a_state() -> None:
    env = CentralizedObservation(PettingZooVecEnv(lambda: Clock(TOGETHER)), use_state=False)
    assert env.observation_space["state"].shape == (8,)


def test_numbers_are_joined_to_a_vector_of_numbers() -> None:
    rows = PettingZooVecEnv(Carry, n_envs=2, seed=0)
    assert CentralizedObservation(rows).observation_space["state"] == spaces.Discrete(rows.observation_space.n)
    env = CentralizedObservation(rows, use_state=False)
    assert env.observation_space["state"] == spaces.MultiDiscrete([rows.observation_space.n] * 2)
    seen = env.reset()
    assert seen["state"].shape == (4, 2)
    assert (seen["state"] == seen["observation"][:, None]).all()


def test_three_lines_train_and_acting_needs_no_state() -> None:
    env = CentralizedObservation(PettingZooVecEnv(simple_spread_v3.parallel_env, n_envs=2, seed=0))
    model = PPO(CentralizedCriticPolicy, env, n_steps=16, batch_size=32, n_epochs=1, seed=0).learn(96)
    result = evaluate_multi_agent({"*": model}, simple_spread_v3.parallel_env, n_episodes=2)
    assert result.returns.shape == (2, 3)


def test_agents_that_die_first_train_with_the_buffer_for_it() -> None:
    def learn(**kwargs: Any) -> PPO:
        env = CentralizedObservation(PettingZooVecEnv(GuessingEnv, n_envs=2, seed=0))
        kwargs = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "seed": 0, **kwargs}
        return PPO(CentralizedCriticPolicy, env, **kwargs).learn(200)

    with pytest.raises(RuntimeError, match=r"rollout_buffer_class=sb3_ext\.multi_agent\.AliveDictRolloutBuffer"):
        learn()
    assert learn(rollout_buffer_class=AliveDictRolloutBuffer).num_timesteps >= 200


def test_sb3s_wrappers_go_around_it() -> None:
    env = VecNormalize(CentralizedObservation(PettingZooVecEnv(simple_spread_v3.parallel_env, seed=0)))
    env.reset()
    for _ in range(25):
        seen, _, dones, infos = env.step(np.zeros(3, int))
    assert dones.all()
    assert infos[0]["terminal_observation"]["state"].shape == seen["state"].shape[1:] == (54,)


def test_what_cannot_have_a_state() -> None:
    with pytest.raises(TypeError, match="wraps a PettingZooVecEnv, got"):
        CentralizedObservation(make_vec_env("CartPole-v1"))
    with pytest.raises(ValueError, match="has no state_space"):
        CentralizedObservation(PettingZooVecEnv(lambda: ScriptedEnv(TOGETHER)), use_state=True)

    class Parts(ScriptedEnv):
        def observation_space(self, agent: str) -> spaces.Space[Any]:
            return spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.Discrete(3))

    with pytest.raises(TypeError, match="can be joined if they are Box or Discrete, got Dict"):
        CentralizedObservation(PettingZooVecEnv(lambda: Parts(TOGETHER)))
