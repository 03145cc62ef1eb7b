"""Terms that sum to the reward, returns in infos, Monitor, TensorBoard; evaluation on the raw reward."""

import csv
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TransformReward
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure

from sb3_ext.envs.wrappers.reward_terms import (
    RETURN_KEYS,
    DelayedReward,
    RewardTerms,
    RewardTermsCallback,
    SparseReward,
    StepPenalty,
)
from sb3_ext.envs.wrappers.shaping import PotentialShaping


def play(env: gym.Env, n_steps: int = 200, seed: int = 0) -> list[tuple[float, bool, dict[str, Any]]]:
    """(reward, ended, info) of random actions."""
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    steps = []
    for _ in range(n_steps):
        _, reward, terminated, truncated, info = env.step(int(rng.integers(env.action_space.n)))
        steps.append((reward, terminated or truncated, info))
        if terminated or truncated:
            env.reset()
    return steps


def lake(**kwargs: Any) -> gym.Env:
    return gym.make("FrozenLake-v1", is_slippery=False, **kwargs)


def shape(env: gym.Env) -> gym.Env:
    return StepPenalty(PotentialShaping(env, "distance", 0.99), penalty=0.25)


def test_terms_sum_to_the_reward_and_returns_to_the_episodes():
    raw_rewards = [reward for reward, _, _ in play(gym.make("CliffWalking-v1", max_episode_steps=50))]
    raw_sum = shaped_sum = 0.0
    ends = 0
    for raw, (reward, ended, info) in zip(
        raw_rewards, play(shape(gym.make("CliffWalking-v1", max_episode_steps=50))), strict=True
    ):
        terms = info["reward_terms"]
        assert list(terms) == ["raw", "potential_shaping", "step_penalty"]
        assert (terms["raw"], terms["step_penalty"]) == (raw, -0.25)
        assert reward == pytest.approx(sum(terms.values()))
        raw_sum, shaped_sum = raw_sum + raw, shaped_sum + reward
        assert ("raw_return" in info) == ended
        if ended:
            assert info["raw_return"] == pytest.approx(raw_sum)
            assert info["shaped_return"] == pytest.approx(shaped_sum)
            assert sum(info["term_returns"].values()) == pytest.approx(shaped_sum)
            raw_sum, shaped_sum, ends = 0.0, 0.0, ends + 1
    assert ends == 4


def test_alone_it_reports_the_raw_reward():
    for reward, ended, info in play(RewardTerms(lake())):
        assert info["reward_terms"] == {"raw": reward}
        if ended:
            assert info["raw_return"] == info["shaped_return"]


def test_what_a_foreign_wrapper_changes_is_named_other():
    env = StepPenalty(TransformReward(StepPenalty(lake(), 0.5), lambda reward: 2 * reward), 0.1)
    env.reset(seed=0)
    _, reward, *_, info = env.step(0)
    assert info["reward_terms"] == pytest.approx(
        {"raw": 0.0, "step_penalty": -0.5, "other": -0.5, "step_penalty_2": -0.1}
    )
    assert reward == pytest.approx(-1.1)


def test_the_terms_sum_to_the_reward_outermost_too():
    env = RewardTerms(TransformReward(StepPenalty(lake(), 0.5), lambda reward: 2 * reward))
    env.reset(seed=0)
    _, reward, *_, info = env.step(0)
    assert reward == -1.0
    assert info["reward_terms"] == {"raw": 0.0, "step_penalty": -0.5, "other": -0.5}


def goal_reached(observation, reward, terminated, info) -> bool:
    return bool(terminated and observation == 47)


def test_sparse_reward():
    env = SparseReward(gym.make("CliffWalking-v1", max_episode_steps=300), goal_reached)
    env.reset(seed=0)
    rewards = [env.step(action)[1] for action in [0, *[1] * 11, 2]]
    assert rewards == [0.0] * 12 + [1.0]


def test_sparse_reward_needs_to_know_what_success_is():
    env = SparseReward(gym.make("CliffWalking-v1", max_episode_steps=1))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"no info\['is_success'\].*success=lambda"):
        env.step(0)


@pytest.mark.parametrize("delay", [1, 3, None])
def test_delayed_reward_pays_the_same_return_later(delay):
    make = lambda: gym.make("CliffWalking-v1", max_episode_steps=20)  # noqa: E731
    raw = [reward for reward, _, _ in play(make(), 100)]
    steps = play(DelayedReward(make(), delay), 100)
    for episode in range(5):
        part = slice(20 * episode, 20 * episode + 20)
        paid = [reward for reward, _, _ in steps[part]]
        assert sum(paid) == pytest.approx(sum(raw[part]))
        pay_days = {i for i in range(20) if i == 19 or (delay and (i + 1) % delay == 0)}
        assert all(paid[i] == 0 for i in range(20) if i not in pay_days)
        assert all(paid[i] != 0 for i in pay_days)
        assert steps[part][-1][2]["raw_return"] == pytest.approx(sum(raw[part]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepPenalty(lake(), -1.0), "penalty must be >= 0.*got -1.0"),
        (lambda: StepPenalty(lake(), float("nan")), "got nan"),
        (lambda: DelayedReward(lake(), 0), "delay must be at least 1.*got 0"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class AlwaysDownRight:
    """A policy that walks to FrozenLake's goal: down, down, right, down, right, right."""

    moves = {0: 1, 4: 1, 8: 2, 9: 1, 13: 2, 14: 2}

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.array([self.moves[int(cell)] for cell in observation]), state


def run_to_the_end(env) -> dict[str, Any]:
    observations, policy = env.reset(), AlwaysDownRight()
    while True:
        observations, _, dones, infos = env.step(policy.predict(observations)[0])
        if dones[0]:
            return infos[0]


def test_monitor_inside_shows_the_raw_return_and_evaluation_stays_raw():
    env = make_vec_env("FrozenLake-v1", env_kwargs={"is_slippery": False}, wrapper_class=shape)
    episode = run_to_the_end(env)["episode"]
    assert episode["r"] == episode["raw_return"] == 1.0
    shaping = 1.05 + 1.04 + 1.03 + 1.02 + 1.01 + 1.0  # d(S) - 0.99 d(S') for d(S) = 6, 5, ..., 1
    assert episode["shaped_return"] == pytest.approx(1.0 + shaping - 6 * 0.25)
    assert evaluate_policy(AlwaysDownRight(), env, n_eval_episodes=3)[0] == 1.0


def test_monitor_outside_writes_both_returns_to_its_file(tmp_path):
    env = make_vec_env(lambda: shape(lake()), monitor_dir=str(tmp_path), monitor_kwargs={"info_keywords": RETURN_KEYS})
    episode = run_to_the_end(env)["episode"]
    assert episode["r"] == pytest.approx(episode["shaped_return"], abs=1e-6)
    assert (episode["raw_return"], episode["shaped_return"]) == (1.0, pytest.approx(5.65))
    env.close()
    rows = list(csv.DictReader((tmp_path / "0.monitor.csv").read_text().splitlines()[1:]))
    assert [float(rows[0][key]) for key in RETURN_KEYS] == [1.0, pytest.approx(5.65)]


@pytest.mark.slow
def test_callback_logs_to_tensorboard_and_eval_callback_stays_raw(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    env = make_vec_env("FrozenLake-v1", n_envs=4, seed=0, wrapper_class=shape)
    evaluation = EvalCallback(
        make_vec_env("FrozenLake-v1", seed=1, wrapper_class=shape), n_eval_episodes=3, eval_freq=256, verbose=0
    )
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, seed=0)
    model.set_logger(configure(str(tmp_path), ["tensorboard"]))
    model.learn(2048, callback=[RewardTermsCallback(), evaluation])
    events = EventAccumulator(str(tmp_path)).Reload()
    logged = {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in events.Tags()["scalars"]}
    assert {"rollout/raw_return_mean", "reward_terms/raw", "reward_terms/step_penalty"} <= set(logged)
    assert len(logged["rollout/ep_rew_mean"]) == 8
    for step, mean in logged["rollout/ep_rew_mean"].items():
        assert logged["rollout/raw_return_mean"][step] == pytest.approx(mean)
        terms = [logged[f"reward_terms/{name}"][step] for name in ("raw", "potential_shaping", "step_penalty")]
        assert logged["rollout/shaped_return_mean"][step] == pytest.approx(sum(terms), rel=1e-5)
    assert set(np.unique(evaluation.last_mean_reward)) <= {0.0, 1 / 3, 2 / 3, 1.0}


def test_callback_without_reward_terms_says_what_to_do():
    model = PPO("MlpPolicy", make_vec_env("FrozenLake-v1"), n_steps=64, batch_size=64, seed=0)
    with pytest.raises(ValueError, match=r"wrap the environment in sb3_ext\.envs\.RewardTerms"):
        model.learn(300, callback=RewardTermsCallback())
