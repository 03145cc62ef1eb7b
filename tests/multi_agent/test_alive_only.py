"""What reaches the learner where agents die: exactly the transitions that happened, and advantages within lives."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_multi_agent import DEATHS, TOGETHER, GuessingEnv, ScriptedEnv, Transition, lived
from sb3_contrib import TRPO, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize

from sb3_ext import REINFORCE
from sb3_ext.multi_agent import (
    AliveDictReplayBuffer,
    AliveDictRolloutBuffer,
    AliveMaskableRolloutBuffer,
    AliveReplayBuffer,
    AliveRolloutBuffer,
    AliveVecNormalize,
    PettingZooVecEnv,
    TeamCallback,
)

N_COPIES, N_STEPS, GAMMA, LAMBDA = 2, 16, 0.9, 0.8


class DictEnv(ScriptedEnv):
    """The same observation under a key."""

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Dict({"all": super().observation_space(agent)})

    def _seen(self, agents: list[str]) -> dict[str, Any]:
        return {agent: {"all": self.buffer[agent]} for agent in agents}


def vec_env(kind: type[ScriptedEnv] = ScriptedEnv, **kwargs: Any) -> PettingZooVecEnv:
    return PettingZooVecEnv(lambda: kind(DEATHS, **kwargs), N_COPIES, seed=0)


def happened(env: PettingZooVecEnv) -> list[list[Transition]]:
    return [copy.env.transitions for copy in env.copies]  # type: ignore[attr-defined]


class Spy(BaseCallback):
    """Keeps what each rollout handed out, one row a step: observation, action, reward, value, advantage, return."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: list[tuple[Any, ...]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        buffer = self.model.rollout_buffer  # type: ignore[attr-defined]
        batches = list(buffer.get(5))
        assert [len(batch.actions) for batch in batches[:-1]] == [5] * (len(batches) - 1)
        for batch in batches:
            observations = batch.observations
            observations = observations["all"] if isinstance(observations, dict) else observations
            columns = batch.actions[:, 0], batch.old_values, batch.advantages, batch.returns
            self.samples += [
                (tuple(observation.tolist()), *(float(column[i]) for column in columns))
                for i, observation in enumerate(observations)
            ]


def advantages_by_hand(model: Any, transitions: list[Transition]) -> dict[tuple[float, ...], float]:
    """GAE along each agent's life, as far as it lies within these transitions."""

    @th.no_grad()
    def value_of(observation: tuple[float, ...]) -> float:
        return float(model.policy.predict_values(th.tensor([observation]))[0])

    advantages: dict[tuple[float, ...], float] = {}
    for agent in "abc":
        following = 0.0
        life = [t for t in transitions if t.agent == agent]
        for t in reversed(life):
            ended = t.terminated or t.truncated
            future = 0.0 if t.terminated else value_of(t.next_observation)
            delta = t.reward + GAMMA * future - value_of(t.observation)
            following = delta + (0.0 if ended else GAMMA * LAMBDA * following)
            advantages[t.observation] = following
    return advantages


@pytest.mark.parametrize(
    ("algorithm", "kind", "buffer", "policy", "masks"),
    [
        (PPO, ScriptedEnv, AliveRolloutBuffer, "MlpPolicy", "no"),
        (PPO, DictEnv, AliveDictRolloutBuffer, "MultiInputPolicy", "no"),
        (A2C, ScriptedEnv, AliveRolloutBuffer, "MlpPolicy", "no"),
        (TRPO, ScriptedEnv, AliveRolloutBuffer, "MlpPolicy", "no"),
        (MaskablePPO, ScriptedEnv, AliveMaskableRolloutBuffer, "MlpPolicy", "observation"),
        (MaskablePPO, ScriptedEnv, AliveMaskableRolloutBuffer, "MlpPolicy", "info"),
    ],
    ids=["ppo", "ppo-dict", "a2c", "trpo", "maskable-observation", "maskable-info"],
)
def test_rollouts_hold_what_happened(algorithm: Any, kind: Any, buffer: Any, policy: str, masks: str) -> None:
    env, spy = vec_env(kind, masks=masks), Spy()
    model = algorithm(
        policy, env, n_steps=N_STEPS, gamma=GAMMA, gae_lambda=LAMBDA, seed=0, rollout_buffer_class=buffer,
        learning_rate=0.0,
    )  # fmt: skip
    model.learn(3 * N_STEPS * env.num_envs, callback=spy)
    assert model.num_timesteps == 3 * N_STEPS * 6
    everything = [transition for copy in happened(env) for transition in copy]
    assert len(everything) < 3 * N_STEPS * 6 * 0.75
    assert sorted((t.observation, t.action) for t in everything) == sorted(sample[:2] for sample in spy.samples)
    if policy == "MlpPolicy" and algorithm is not TRPO:  # a zero learning rate does not keep TRPO from moving
        for copy in happened(env):
            by_hand: dict[tuple[float, ...], float] = {}
            for first in range(0, 3 * N_STEPS, N_STEPS):
                by_hand |= advantages_by_hand(model, steps(copy, first, first + N_STEPS))
            samples = [sample for sample in spy.samples if sample[0] in by_hand]
            assert len(samples) == len(copy)
            for observation, _, value, advantage, return_ in samples:
                assert advantage == pytest.approx(by_hand[observation], rel=1e-3, abs=1e-3)
                assert return_ == pytest.approx(advantage + value, rel=1e-3, abs=1e-3)


def steps(transitions: list[Transition], first: int, last: int) -> list[Transition]:
    """Those of some steps of a copy."""
    moments = sorted({t.observation[:2] for t in transitions})[first:last]
    return [t for t in transitions if t.observation[:2] in moments]


def test_masks_of_samples_belong_to_them() -> None:
    env = vec_env(masks="observation")

    class MaskSpy(BaseCallback):
        n_seen = 0

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            for batch in self.model.rollout_buffer.get(7):  # type: ignore[attr-defined]
                for observation, mask in zip(batch.observations, batch.action_masks, strict=True):
                    assert mask.tolist() == [float(action != observation[1] % 3) for action in range(3)]
                    self.n_seen += 1

    spy = MaskSpy()
    model = MaskablePPO("MlpPolicy", env, n_steps=16, seed=0, rollout_buffer_class=AliveMaskableRolloutBuffer)
    model.learn(100, callback=spy)
    assert spy.n_seen == sum(map(len, happened(env)))
    assert all(t.action != t.observation[1] % 3 for copy in happened(env) for t in copy)


@pytest.mark.parametrize(
    ("kind", "buffer", "policy"),
    [(ScriptedEnv, AliveReplayBuffer, "MlpPolicy"), (DictEnv, AliveDictReplayBuffer, "MultiInputPolicy")],
    ids=["box", "dict"],
)
def test_replays_hold_what_happened(kind: Any, buffer: Any, policy: str) -> None:
    env = vec_env(kind)
    model = DQN(policy, env, seed=0, learning_starts=20, replay_buffer_class=buffer, buffer_size=10_000)
    model.learn(300)
    stored: Any = model.replay_buffer
    take = (lambda array: array["all"]) if kind is DictEnv else (lambda array: array)
    n = stored.size()
    columns = take(stored.observations), stored.actions, stored.rewards, take(stored.next_observations)
    got = [
        (tuple(columns[0][i, 0].tolist()), int(columns[1][i, 0, 0]), float(columns[2][i, 0]),
         tuple(columns[3][i, 0].tolist()), bool(stored.dones[i, 0]), bool(stored.timeouts[i, 0])) for i in range(n)
    ]  # fmt: skip
    expected = [row[1:] for copy in happened(env) for row in lived(copy)]
    assert sorted(got) == sorted(expected)
    batch = stored.sample(50)
    assert batch.dones.shape == (50, 1)


def test_a_small_replay_buffer_forgets_the_oldest() -> None:
    buffer = AliveReplayBuffer(5, spaces.Box(0, 99, (1,)), spaces.Discrete(2), n_envs=3)
    for time in range(3):
        observations = np.array([[10.0 * time], [10.0 * time + 1], [10.0 * time + 2]])
        infos = [{}, {"alive": False}, {}]
        buffer.add(observations, observations + 0.5, np.zeros(3, int), np.arange(3.0), np.zeros(3, bool), infos)
    assert buffer.size() == 5
    assert buffer.observations[:, 0, 0].tolist() == [22, 2, 10, 12, 20]


def test_replays_refuse_the_saving_of_memory() -> None:
    with pytest.raises(ValueError, match="optimize_memory_usage"):
        DQN("MlpPolicy", vec_env(), replay_buffer_class=AliveReplayBuffer, optimize_memory_usage=True)


def test_where_all_live_the_buffers_change_nothing() -> None:
    """PPO learns the same, bit for bit, with SB3's buffer and with ours."""
    weights = []
    for buffer in (RolloutBuffer, AliveRolloutBuffer):
        env = PettingZooVecEnv(lambda: ScriptedEnv(TOGETHER), 2, seed=0)
        model: Any = PPO("MlpPolicy", env, n_steps=16, seed=0, rollout_buffer_class=buffer)
        weights.append(model.learn(200).policy.state_dict())
    for name, weight in weights[0].items():
        assert th.equal(weight, weights[1][name])


# --- forgetting it is impossible


@pytest.mark.parametrize(
    ("algorithm", "kind", "policy", "masks", "way_out"),
    [
        (PPO, ScriptedEnv, "MlpPolicy", "no", "rollout_buffer_class=sb3_ext.multi_agent.AliveRolloutBuffer to PPO"),
        (PPO, DictEnv, "MultiInputPolicy", "no", "rollout_buffer_class=sb3_ext.multi_agent.AliveDictRolloutBuffer"),
        (MaskablePPO, ScriptedEnv, "MlpPolicy", "info", "=sb3_ext.multi_agent.AliveMaskableRolloutBuffer to Maskable"),
        (DQN, ScriptedEnv, "MlpPolicy", "no", "replay_buffer_class=sb3_ext.multi_agent.AliveReplayBuffer to DQN"),
        (DQN, DictEnv, "MultiInputPolicy", "no", "replay_buffer_class=sb3_ext.multi_agent.AliveDictReplayBuffer"),
        (RecurrentPPO, ScriptedEnv, "MlpLstmPolicy", "no", "RecurrentPPO would learn from it, and has no buffer"),
        (REINFORCE, ScriptedEnv, "MlpPolicy", "no", "REINFORCE would learn from it, and has no buffer"),
    ],
    ids=["ppo", "ppo-dict", "maskable", "dqn", "dqn-dict", "recurrent", "reinforce"],
)
def test_other_buffers_are_refused(algorithm: Any, kind: Any, policy: str, masks: str, way_out: str) -> None:
    model = algorithm(policy, vec_env(kind, masks=masks), seed=0)
    with pytest.raises(RuntimeError, match=f"'[ac]' is not alive while others are.*{way_out}"):
        model.learn(500)


def test_also_behind_wrappers_and_not_again_once_cured() -> None:
    model = PPO("MlpPolicy", VecFrameStack(vec_env(), 2), seed=0)
    with pytest.raises(RuntimeError, match="AliveRolloutBuffer"):
        model.learn(500)
    model = PPO("MlpPolicy", VecFrameStack(vec_env(), 2), n_steps=16, seed=0, rollout_buffer_class=AliveRolloutBuffer)
    model.learn(100)


def test_plain_statistics_are_refused_while_they_learn() -> None:
    kwargs: dict[str, Any] = {"n_steps": 16, "seed": 0, "rollout_buffer_class": AliveRolloutBuffer}
    with pytest.raises(RuntimeError, match="AliveVecNormalize"):
        PPO("MlpPolicy", VecNormalize(vec_env()), **kwargs).learn(500)
    PPO("MlpPolicy", VecNormalize(vec_env(), training=False), **kwargs).learn(100)
    PPO("MlpPolicy", AliveVecNormalize(vec_env()), **kwargs).learn(100)


def test_n_step_returns_are_refused_with_a_way_out() -> None:
    with pytest.raises(RuntimeError, match=r"DQN \(with n_steps=1\)"):
        DQN("MlpPolicy", vec_env(), n_steps=3, seed=0).learn(500)


def test_a_monitor_that_counts_the_dead_is_warned_of() -> None:
    model = PPO("MlpPolicy", VecMonitor(vec_env()), n_steps=16, seed=0, rollout_buffer_class=AliveRolloutBuffer)
    with pytest.warns(UserWarning, match="'[ac]' is not alive while others are, and VecMonitor counts"):
        model.learn(100)


def test_evaluating_needs_no_buffer() -> None:
    env = PettingZooVecEnv(lambda: ScriptedEnv(TOGETHER), 2, seed=0)
    model = PPO("MlpPolicy", env, n_steps=16, seed=0)
    lengths = evaluate_policy(model, PettingZooVecEnv(lambda: ScriptedEnv(DEATHS[:1]), seed=0), 3,
                              return_episode_rewards=True)[1]  # fmt: skip
    assert sorted(lengths) == [2, 5, 7]
    other = PettingZooVecEnv(lambda: ScriptedEnv(DEATHS[:1] * 2 + [{"b": (0, 3, "terminated")}]), seed=0)
    model.learn(64, callback=EvalCallback(other, eval_freq=8, n_eval_episodes=4, verbose=0))


def test_a_caller_without_infos_is_told() -> None:
    buffer = AliveRolloutBuffer(2, spaces.Box(0, 1, (1,)), spaces.Discrete(2), n_envs=1)
    with pytest.raises(RuntimeError, match="local variable `infos`"):
        buffer.add(np.zeros((1, 1)), np.zeros(1), np.zeros(1), np.ones(1), th.zeros(1), th.zeros(1))


# --- the life of a model


def test_save_load_and_go_on(tmp_path: Any) -> None:
    model = PPO("MlpPolicy", vec_env(), n_steps=16, seed=0, rollout_buffer_class=AliveRolloutBuffer)
    model.learn(200).save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model", env=vec_env())
    assert isinstance(loaded.rollout_buffer, AliveRolloutBuffer)
    observations = vec_env().reset()
    np.testing.assert_array_equal(
        model.predict(observations, deterministic=True)[0], loaded.predict(observations, deterministic=True)[0]
    )
    loaded.learn(200)
    loaded.set_env(vec_env())
    loaded.learn(200, reset_num_timesteps=False)


def test_the_models_seed_seeds_the_copies() -> None:
    env = PettingZooVecEnv(lambda: ScriptedEnv(TOGETHER), 2)
    PPO("MlpPolicy", env, n_steps=16, seed=7).learn(10)
    assert [copy.env.seeds[0] for copy in env.copies] == [7, 8]  # type: ignore[attr-defined]


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_same_seed_same_model(algorithm: Any) -> None:
    key = "rollout" if algorithm is PPO else "replay"
    buffers = {f"{key}_buffer_class": AliveRolloutBuffer if algorithm is PPO else AliveReplayBuffer}
    more = {"n_steps": 32} if algorithm is PPO else {"learning_starts": 50}
    weights = [
        algorithm("MlpPolicy", vec_env(), seed=0, **buffers, **more).learn(300).policy.state_dict() for _ in range(2)
    ]
    for name, weight in weights[0].items():
        assert th.equal(weight, weights[1][name])


@pytest.mark.parametrize("algorithm", [PPO, DQN])
def test_team_log(algorithm: Any) -> None:
    buffers = {"rollout_buffer_class": AliveRolloutBuffer} if algorithm is PPO else {
        "replay_buffer_class": AliveReplayBuffer}  # fmt: skip
    more = {"n_steps": 16} if algorithm is PPO else {"learning_starts": 50}
    env = PettingZooVecEnv(lambda: ScriptedEnv(DEATHS[:1]), 2, seed=0)
    callback = TeamCallback()
    logged: dict[str, float] = {}

    class Reader(BaseCallback):
        def _on_step(self) -> bool:
            logged.update(self.logger.name_to_value)
            return True

    model = algorithm("MlpPolicy", env, seed=0, **buffers, **more)
    model.learn(16 * 6 * 2, callback=[callback, Reader()], log_interval=1000)
    returns = [100 * episode * (2 + 5 + 7) + 30 + 155 + 294 for episode in range(4)]
    assert [(episode["r"], episode["l"]) for episode in callback.episodes] == [(r, 7) for r in returns for _ in "12"]
    assert logged["rollout/team_ep_len_mean"] == 7
    assert logged["rollout/team_ep_rew_mean"] in np.cumsum(returns) / np.arange(1, 5)
    assert env.env_steps == 64
    assert logged["time/env_steps"] in (32, 56)  # DQN's last rollout but one


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "kwargs"),
    [
        (PPO, {"n_steps": 64, "batch_size": 64, "learning_rate": 3e-3, "rollout_buffer_class": AliveRolloutBuffer}),
        (
            DQN,
            {
                "learning_starts": 200,
                "learning_rate": 2e-3,
                "exploration_final_eps": 0.0,
                "replay_buffer_class": AliveReplayBuffer,
            },
        ),
    ],
    ids=["ppo", "dqn"],
)
def test_learns_where_agents_die(algorithm: Any, kwargs: dict[str, Any]) -> None:
    callback = TeamCallback()
    model = algorithm("MlpPolicy", PettingZooVecEnv(GuessingEnv, 4, seed=0), seed=0, **kwargs)
    model.learn(20_000, callback=callback)
    assert np.mean([episode["r"] for episode in callback.episodes]) > 0.9 * GuessingEnv.best_team_return
