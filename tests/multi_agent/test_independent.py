"""Several models in one environment: each learns from its own agents' lives, all of them, and nothing else."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers_multi_agent import DEATHS, TOGETHER, GuessingEnv, ScriptedEnv, Transition, lived
from mpe2 import simple_adversary_v3, simple_spread_v3
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from sb3_ext import REINFORCE, QLearning
from sb3_ext.multi_agent import (
    AliveRolloutBuffer,
    IndependentLearners,
    PettingZooVecEnv,
    TeamCallback,
)

Factory = Callable[[VecEnv], Any]
LIVES = [DEATHS[0], DEATHS[1], DEATHS[2]]


def scripted(script: Any = LIVES, **kwargs: Any) -> Callable[[], ScriptedEnv]:
    return lambda: ScriptedEnv(script, **kwargs)


def ppo(env: VecEnv, **kwargs: Any) -> PPO:
    return PPO("MlpPolicy", env, **{"n_steps": 8, "batch_size": 8, "n_epochs": 2, **kwargs})


def dqn(env: VecEnv, **kwargs: Any) -> DQN:
    return DQN("MlpPolicy", env, learning_starts=10, buffer_size=1000, **kwargs)


def a2c(env: VecEnv) -> A2C:
    return A2C("MlpPolicy", env, n_steps=5)


class StateEnv(ScriptedEnv):
    """Observations are states: 10 x agent + time."""

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(40)

    def _seen(self, agents: list[str]) -> dict[str, Any]:
        return {agent: 10 * self.possible_agents.index(agent) + self.time for agent in agents}


def happened(learners: IndependentLearners, agent: str, copy: int = 0) -> list[Transition]:
    return [t for t in learners._hub.copies[copy].env.transitions if t.agent == agent]  # type: ignore[attr-defined]


class Recorder(BaseCallback):
    """Puts transitions together from what the algorithm was told, as SB3 does itself."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, ...]] = []
        self.infos: list[dict[str, Any]] = []

    def _on_training_start(self) -> None:
        self.last = self.model._last_obs.copy()  # type: ignore[union-attr]

    def _on_step(self) -> bool:
        infos, dones, new = self.locals["infos"], self.locals["dones"], self.locals["new_obs"]
        for row, info in enumerate(infos):
            end = info["terminal_observation"] if dones[row] else new[row]
            action = int(np.asarray(self.locals["actions"][row]).item())
            reward = self.locals["rewards"][row]
            self.seen.append((tuple(self.last[row].tolist()), action, float(reward), tuple(end.tolist()),
                              bool(dones[row]), info["TimeLimit.truncated"]))  # fmt: skip
            self.infos.append(dict(info))
        self.last = new.copy()
        return True


def test_each_learns_from_its_own_agents_life() -> None:
    recorders = {name: Recorder() for name in "abc"}
    learners = IndependentLearners({"a": ppo, "b": dqn, "c": a2c}, scripted(), seed=0)
    learners.learn(96, callbacks=recorders)
    assert set(learners.models) == {"a", "b", "c"}
    env_steps = learners._hub.copies[0].n_steps
    assert 96 <= env_steps < 140
    for name, recorder in recorders.items():
        expected = [row[1:] for row in lived(happened(learners, name))]
        assert recorder.seen == expected[: len(recorder.seen)]
        assert len(recorder.seen) == learners.models[name].num_timesteps
        assert not any("alive" in info for info in recorder.infos)
        assert len(recorder.seen) > 20
    # a: 6 steps of every 11 of the environment
    assert learners.models["a"].num_timesteps < 0.7 * env_steps


def test_a_sleeper_wakes_in_the_next_episode() -> None:
    """a dies at 2 of 7: its step is answered with the first observation of the next episode."""
    recorder = Recorder()
    learners = IndependentLearners({"a": dqn, "b": dqn, "c": dqn}, scripted(LIVES[:1]), seed=0)
    learners.learn(21, callbacks={"a": recorder})
    assert [row[0][:2] for row in recorder.seen[:4]] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert recorder.seen[1][3][:2] == (0, 2)
    assert recorder.infos[1]["episode"]["l"] == 2
    assert recorder.infos[1]["team_episode"]["l"] == 7
    assert recorder.infos[1]["who"] == "a"


def test_the_dead_of_a_group_begin_anew_with_it() -> None:
    """a dies at 2, b at 5, c goes on to 7: when b's step is answered the next episode has begun for both."""
    seen: list[Any] = []

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            dones, infos, new = self.locals["dones"], self.locals["infos"], self.locals["new_obs"]
            seen.append((dones.tolist(), [info.get("alive", True) for info in infos], new[:, :2].tolist()))
            return True

    models: dict[str, Any] = {"[ab]": lambda env: ppo(env, rollout_buffer_class=AliveRolloutBuffer), "c": dqn}
    IndependentLearners(models, scripted(LIVES[:1]), seed=0).learn(10, callbacks={"[ab]": Watch()})
    both, only_b = [True, True], [False, True]
    assert seen[:6] == [
        ([False, False], both, [[0, 1], [0, 1]]),
        ([True, False], both, [[0, 0], [0, 2]]),
        ([False, False], only_b, [[0, 0], [0, 3]]),
        ([False, False], only_b, [[0, 0], [0, 4]]),
        ([True, True], only_b, [[1, 0], [1, 0]]),
        ([False, False], both, [[1, 1], [1, 1]]),
    ]


def test_late_comers_begin_when_they_join() -> None:
    recorder = Recorder()
    learners = IndependentLearners({"a": dqn, "b": dqn, "c": dqn}, scripted([DEATHS[3]]), seed=0)
    learners.learn(24, callbacks={"b": recorder})
    assert [row[0][:2] for row in recorder.seen[:4]] == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert [row[4] for row in recorder.seen[:4]] == [False, True, False, True]
    assert recorder.seen == [row[1:] for row in lived(happened(learners, "b"))][: len(recorder.seen)]


def test_groups_share_a_model() -> None:
    learners = IndependentLearners(
        {"[ab]": ppo, "c": dqn}, scripted(TOGETHER_3), n_envs=2, seed=0, agent_indicator=True
    )
    assert learners.models["[ab]"].env.num_envs == 4
    assert learners.models["[ab]"].observation_space.shape == (6,)
    assert learners.models["c"].observation_space.shape == (4,)
    learners.learn(64)
    assert learners.models["[ab]"].num_timesteps == 128
    assert learners.models["c"].num_timesteps == 64


TOGETHER_3: Any = [dict.fromkeys("abc", (0, 4, "truncated"))]


def test_groups_whose_agents_die_need_the_buffers_of_the_living() -> None:
    with pytest.raises(RuntimeError, match="AliveRolloutBuffer") as caught:
        IndependentLearners({"[ab]": ppo, "c": dqn}, scripted(), seed=0).learn(64)
    assert "'[ab]'" in caught.value.__notes__[0]
    recorder = Recorder()
    learners = IndependentLearners(
        {"[ab]": lambda env: ppo(env, rollout_buffer_class=AliveRolloutBuffer), "c": dqn}, scripted(), seed=0
    )
    learners.learn(64, callbacks={"[ab]": recorder})
    seen = [row for row, info in zip(recorder.seen, recorder.infos, strict=True) if info.get("alive", True)]
    expected = [row[1:] for agent in "ab" for row in lived(happened(learners, agent))]
    assert set(seen) <= set(expected)
    assert len(seen) == len(set(seen)) > 50
    last = max(row[0][:2] for row in seen)
    assert len(seen) == sum(row[0][:2] <= last for row in expected)


def test_ppo_beside_dqn_beside_q_learning_beside_a2c() -> None:
    class MixedEnv(StateEnv):
        def observation_space(self, agent: str) -> spaces.Space[Any]:
            return super().observation_space(agent) if agent == "c" else ScriptedEnv.observation_space(self, agent)

        def _seen(self, agents: list[str]) -> dict[str, Any]:
            return ScriptedEnv._seen(self, [a for a in agents if a != "c"]) | super()._seen(
                [a for a in agents if a == "c"]
            )

    script: Any = [{"a": (0, 4, "truncated"), "b": (0, 4, "both"), "c": (0, 4, "truncated"), "d": (0, 4, "terminated")}]
    table = lambda env: QLearning("TabularPolicy", env, seed=0)  # noqa: E731
    learners = IndependentLearners({"a": ppo, "b": dqn, "c": table, "d": a2c}, lambda: MixedEnv(script), seed=0)
    before = {name: [p.clone() for p in model.policy.parameters()] for name, model in learners.models.items()}
    learners.learn(200)
    assert {name: model.num_timesteps for name, model in learners.models.items()} == dict.fromkeys("abcd", 200)
    learners.learn(40, callbacks={"c": StopAfter(8)}, reset_num_timesteps=False)
    assert {name: model.num_timesteps for name, model in learners.models.items()} == dict.fromkeys("abd", 240) | {
        "c": 208
    }
    for name in "abd":
        after = list(learners.models[name].policy.parameters())
        assert any(not th.equal(p, q) for p, q in zip(before[name], after, strict=True))
    table_values = learners.models["c"].policy.q_table
    assert (np.asarray(table_values)[20:24] != 1.0).all()
    assert (np.asarray(table_values)[:20] == 1.0).all()


def test_q_learners_share_a_table() -> None:
    env = PettingZooVecEnv(lambda: StateEnv(TOGETHER), 2, seed=0)
    model = QLearning("TabularPolicy", env, seed=0).learn(400)
    assert (np.asarray(model.policy.q_table)[[0, 1, 2, 10, 11, 12]] != 1.0).any(axis=1).all()
    with pytest.raises(RuntimeError, match="QLearning would learn from it, and has no buffer"):
        QLearning("TabularPolicy", PettingZooVecEnv(lambda: StateEnv(DEATHS), seed=0)).learn(400)


def test_one_learner_learns_as_it_would_alone() -> None:
    """The same weights, bit for bit, as with the adapter of shared parameters."""
    make = scripted([{"a": (0, 5, "truncated")}, {"a": (0, 3, "terminated")}])
    alone = ppo(PettingZooVecEnv(make, 2, seed=3), seed=3).learn(100)
    learners = IndependentLearners({"a": lambda env: ppo(env, seed=3)}, make, n_envs=2, seed=3).learn(100)
    for name, weight in alone.policy.state_dict().items():
        assert th.equal(weight, learners.models["a"].policy.state_dict()[name])


def run_of(seed: int | None, model_seed: int | None = None) -> dict[str, Any]:
    models: dict[str, Any] = {"a": lambda env: ppo(env, seed=model_seed), "b": dqn, "c": a2c}
    return weights_of(IndependentLearners(models, scripted(), seed=seed).learn(60))


def weights_of(learners: IndependentLearners) -> dict[str, Any]:
    return {
        f"{name}.{key}": weight
        for name, model in learners.models.items() for key, weight in model.policy.state_dict().items()
    }  # fmt: skip


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(th.equal(weight, second[name]) for name, weight in first.items())


def test_same_seed_same_run() -> None:
    first = run_of(0)
    th.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    assert same(first, run_of(0))
    assert not same(first, run_of(1))


def test_without_a_seed_the_models_seed_counts() -> None:
    def seeds(seed: int | None, **model_seeds: int) -> list[Any]:
        models: dict[str, Any] = {name: (lambda env, s=s: dqn(env, seed=s)) for name, s in model_seeds.items()}
        learners = IndependentLearners(models, scripted(TOGETHER), n_envs=2, seed=seed).learn(20)
        return [copy.env.seeds[0] for copy in learners._hub.copies]  # type: ignore[attr-defined]

    assert seeds(None, a=5, b=8) == [8, 9]
    assert seeds(2, a=5, b=8) == [2, 3]


def test_random_actions_are_drawn_apart() -> None:
    class OneSpaceEnv(ScriptedEnv):
        actions = spaces.Discrete(3)

        def action_space(self, agent: str) -> spaces.Space[Any]:
            return self.actions

    learners = IndependentLearners({"a": dqn, "b": dqn}, lambda: OneSpaceEnv(TOGETHER), seed=0)
    spaces_ = [model.action_space for model in learners.models.values()]
    assert spaces_[0] is not spaces_[1]
    assert [spaces_[0].sample() for _ in range(20)] != [spaces_[1].sample() for _ in range(20)]


# --- ends


class StopAfter(BaseCallback):
    def __init__(self, n_calls: int) -> None:
        super().__init__()
        self.n_calls_allowed = n_calls

    def _on_step(self) -> bool:
        return self.n_calls < self.n_calls_allowed


def test_who_has_ended_goes_on_acting() -> None:
    learners = IndependentLearners({"a": ppo, "b": dqn, "c": a2c}, scripted(TOGETHER_3), seed=0)
    learners.learn(100, callbacks={"b": StopAfter(20)})
    assert {name: model.num_timesteps for name, model in learners.models.items()} == {"a": 104, "b": 20, "c": 100}
    assert len(happened(learners, "b")) == 104
    assert len({t.action for t in happened(learners, "b")[20:]}) > 0
    assert learners.models["b"].replay_buffer.size() == 19  # SB3 drops the step at which a callback stops


def test_nobody_waits_for_ever_for_an_agent_that_does_not_come_back() -> None:
    script: Any = [{"a": (0, 3, "terminated"), "b": (0, 3, "terminated")}, *[{"a": (0, 1, "terminated")}] * 1000]
    learners = IndependentLearners({"a": ppo, "b": dqn}, scripted(script), seed=0)
    learners.learn(50)
    assert learners.models["a"].num_timesteps == 56
    assert 50 < learners._hub.copies[0].n_steps < 120


def test_rollouts_are_finished() -> None:
    learners = IndependentLearners({"a": lambda env: ppo(env, n_steps=64), "b": dqn}, scripted(TOGETHER), seed=0)
    learners.learn(100)
    assert {name: model.num_timesteps for name, model in learners.models.items()} == {"a": 128, "b": 100}


def test_learning_again_begins_new_episodes_and_goes_on_counting() -> None:
    learners = IndependentLearners({"a": ppo, "b": dqn}, scripted(TOGETHER), seed=0)
    learners.learn(30)
    learners.learn(30, reset_num_timesteps=False)
    assert learners.models["b"].num_timesteps == 64  # rollouts of 4
    seeds = learners._hub.copies[0].env.seeds  # type: ignore[attr-defined]
    assert seeds[0] == 0
    assert set(seeds[1:]) == {None}
    stored = learners.models["b"].replay_buffer
    expected = {t.observation: t.next_observation for t in happened(learners, "b")}
    for i in range(stored.size()):
        assert tuple(stored.next_observations[i, 0].tolist()) == expected[tuple(stored.observations[i, 0].tolist())]
    learners.learn(10)
    assert learners.models["b"].num_timesteps == 12


def test_an_exception_says_whose_it_is_and_ends_all() -> None:
    class Trips(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 5:
                raise ZeroDivisionError("tripped")
            return True

    learners = IndependentLearners({"a": ppo, "b": dqn}, scripted(TOGETHER), seed=0)
    with pytest.raises(ZeroDivisionError, match="tripped") as caught:
        learners.learn(50, callbacks={"b": Trips()})
    assert caught.value.__notes__ == ["while training the model of 'b'"]
    assert all(learner.stack.dead for learner in learners._hub.learners)
    learners.learn(20)  # nothing is left behind
    assert learners.models["a"].num_timesteps == 24


def test_an_exception_before_the_others_have_begun() -> None:
    class Trips(BaseCallback):
        def _on_training_start(self) -> None:
            raise ZeroDivisionError("tripped")

        def _on_step(self) -> bool:
            return True

    learners = IndependentLearners({"a": ppo, "b": dqn}, scripted(TOGETHER), seed=0)
    with pytest.raises(ZeroDivisionError, match="tripped"):
        learners.learn(50, callbacks={"a": Trips()})
    assert learners.models["b"].num_timesteps == 0
    assert learners.learn(20).models["b"].num_timesteps == 20


def test_ctrl_c_ends_all() -> None:
    class Interrupts(BaseCallback):
        def _on_step(self) -> bool:
            if self.n_calls == 5:
                signal.raise_signal(signal.SIGINT)
            return True

    learners = IndependentLearners({"a": ppo, "b": dqn}, scripted(TOGETHER), seed=0)
    with pytest.raises(KeyboardInterrupt):
        learners.learn(50, callbacks={"a": Interrupts()})
    assert all(learner.stack.dead for learner in learners._hub.learners)
    learners.predict({"a": np.zeros(4, np.float32)})


def test_numpys_rules_for_errors_hold_inside() -> None:
    class Divides(BaseCallback):
        def _on_step(self) -> bool:
            return bool(np.float64(1.0) / np.float64(self.n_calls - 1) >= 0)

    learners = IndependentLearners({"a": ppo, "b": dqn}, scripted(TOGETHER), seed=0)
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        learners.learn(10, callbacks={"a": Divides()})


def test_gradients_are_not_switched_off_for_others() -> None:
    class Careless(A2C):
        @th.no_grad()
        def collect_rollouts(self, *args: Any, **kwargs: Any) -> bool:
            return super().collect_rollouts(*args, **kwargs)

    def careless(env: VecEnv) -> A2C:
        return Careless("MlpPolicy", env, n_steps=7)

    IndependentLearners({"a": careless, "b": dqn, "c": careless}, scripted(TOGETHER_3), seed=0).learn(60)
    assert th.is_grad_enabled()


# --- SB3's things


def test_callbacks_logs_and_evaluation(tmp_path: Path) -> None:
    def logged(env: VecEnv) -> PPO:
        return ppo(env, tensorboard_log=str(tmp_path))

    evaluation = PettingZooVecEnv(scripted([{"a": (0, 4, "truncated")}]), seed=1)
    team = TeamCallback()
    learners = IndependentLearners({"a": logged, "b": logged}, scripted(TOGETHER), seed=0)
    learners.learn(
        64, callbacks={"a": [EvalCallback(evaluation, eval_freq=16, verbose=0), team], "b": lambda _l, _g: True},
        log_interval=2,
    )  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_1", "b_1"]
    assert team.episodes[0]["l"] == 4
    assert team.episodes[0]["r"] == 2 * 100 + 4
    assert learners.models["a"].ep_info_buffer[0]["l"] == 4


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    IndependentLearners({"a": ppo, "b": dqn}, scripted(TOGETHER), seed=0).learn(64, progress_bar=True)


def test_wrappers_around_a_learners_rows() -> None:
    def normalized(env: VecEnv) -> PPO:
        return ppo(VecNormalize(env))

    def stacked(env: VecEnv) -> DQN:
        return dqn(VecFrameStack(env, 2))

    learners = IndependentLearners({"a": normalized, "b": stacked, "c": dqn}, scripted(), seed=0)
    learners.learn(60, callbacks={"a": StopAfter(5), "b": StopAfter(5)})


def test_masks() -> None:
    def maskable(env: VecEnv) -> MaskablePPO:
        return MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8)

    learners = IndependentLearners({"a": maskable, "b": dqn}, scripted(TOGETHER, masks="observation"), seed=0)
    learners.learn(60, callbacks={"a": StopAfter(20)})
    assert len(happened(learners, "a")) == 60
    assert all(t.action != t.observation[1] % 3 for t in happened(learners, "a"))
    assert any(t.action == t.observation[1] % 3 for t in happened(learners, "b"))
    for time in range(3):
        mask = np.array([action != time for action in range(3)], np.int8)
        seen = {"observation": np.zeros(4, np.float32), "action_mask": mask}
        assert learners.predict({"a": seen}, deterministic=False)["a"] != time


def test_predict_asks_each_agents_model() -> None:
    learners = IndependentLearners(
        {"adversary_0": lambda env: ppo(VecNormalize(env)), "agent_*": dqn}, simple_adversary_v3.parallel_env, seed=0,
        agent_indicator=True,
    ).learn(40)  # fmt: skip
    env = simple_adversary_v3.parallel_env()
    observations, _ = env.reset(seed=0)
    actions = learners.predict(observations)
    adversary, others = learners.models["adversary_0"], learners.models["agent_*"]
    normalize = adversary.get_vec_normalize_env()
    assert actions["adversary_0"] == adversary.predict(normalize.normalize_obs(observations["adversary_0"]), deterministic=True)[0]  # fmt: skip  # noqa: E501
    for index, agent in enumerate(("agent_0", "agent_1")):
        marked = np.concatenate([observations[agent], np.eye(2, dtype=np.float32)[index]])
        assert actions[agent] == others.predict(marked, deterministic=True)[0]
    env.step(actions)
    assert learners.predict({"agent_1": observations["agent_1"]}) == {"agent_1": actions["agent_1"]}
    with pytest.raises(ValueError, match="no agent 'agent_7'"):
        learners.predict({"agent_7": observations["agent_1"]})


def test_a_model_that_is_there_already(tmp_path: Path) -> None:
    own = PettingZooVecEnv(scripted([{"a": (0, 4, "truncated")}]), seed=1)
    model = ppo(own, seed=0).learn(16)
    learners = IndependentLearners({"a": model, "b": dqn}, scripted(TOGETHER), seed=0)
    assert learners.models["a"] is model
    learners.learn(16)
    model.save(tmp_path / "a")
    evaluate_policy(model, own, 2)


def test_save_and_load(tmp_path: Path) -> None:
    models: dict[str, Factory] = {"agent_0": lambda env: ppo(VecNormalize(env)), "agent_[12]": dqn}
    learners = IndependentLearners(models, simple_spread_v3.parallel_env, n_envs=2, seed=0, agent_indicator=True)
    learners.learn(100).save(tmp_path / "team" / "first")
    loaded = IndependentLearners.load(tmp_path / "team" / "first", simple_spread_v3.parallel_env, n_envs=2, seed=0)
    assert {name: type(model) for name, model in loaded.models.items()} == {"agent_0": PPO, "agent_[12]": DQN}
    assert same(weights_of(learners), weights_of(loaded))
    env = simple_spread_v3.parallel_env()
    observations, _ = env.reset(seed=0)
    for _ in range(10):
        actions = learners.predict(observations)
        assert loaded.predict(observations) == actions
        observations, *_ = env.step(actions)
    loaded.learn(50, reset_num_timesteps=False)
    assert loaded.models["agent_0"].num_timesteps > 100
    loaded.save(tmp_path / "team" / "first")
    with pytest.raises(FileNotFoundError, match=r"learners\.json"):
        IndependentLearners.load(tmp_path, simple_spread_v3.parallel_env)


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    IndependentLearners({"*": dqn}, scripted(TOGETHER)).save(tmp_path)
    for text in ("{", "[]", '{"models": {}}', '{"models": {"*": 3}, "agent_indicator": false}'):
        (tmp_path / "learners.json").write_text(text)
        with pytest.raises(ValueError, match=r"learners\.json is damaged"):
            IndependentLearners.load(tmp_path, scripted(TOGETHER))


# --- bad input


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "'b' has no model; there are models for \\['a'\\]"),
        (["a", "b", "agent_9"], "model for 'agent_9', but no such agent; the agents are \\['a', 'b'\\]"),
        (["a", "*"], "'a' has 2 models, \\['a', '\\*'\\]"),
        ([], "'a' has no model"),
    ],
    ids=["missing", "unknown", "twice", "none"],
)
def test_agents_and_models_must_match(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IndependentLearners(dict.fromkeys(names, dqn), scripted(TOGETHER))


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("ppo", TypeError, "expected an SB3 model or a function .* got 'ppo'"),
        (lambda env: None, TypeError, "returned None"),
        (lambda env: dqn(PettingZooVecEnv(scripted(TOGETHER))), ValueError, "another environment"),
        (lambda env: QLearning("TabularPolicy", env), ValueError, "Discrete observation space"),
    ],
    ids=["name", "nothing", "elsewhere", "space"],
)
def test_what_is_no_model(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        IndependentLearners({"a": model, "b": dqn}, scripted(TOGETHER))
    assert caught.value.__notes__ == ["while making the model of 'a'"]


def test_agents_of_one_model_must_see_alike() -> None:
    with pytest.raises(ValueError, match="observation spaces differ"):
        IndependentLearners({"*": dqn}, simple_adversary_v3.parallel_env)


def test_one_model_under_two_names() -> None:
    model = IndependentLearners({"*": dqn}, scripted(TOGETHER)).models["*"]
    with pytest.raises(ValueError, match=r"'a' and 'b' are to have the same model.*by one pattern"):
        IndependentLearners({"a": model, "b": model}, scripted(TOGETHER))


def test_callbacks_of_nobody() -> None:
    learners = IndependentLearners({"a": dqn, "b": dqn}, scripted(TOGETHER))
    with pytest.raises(ValueError, match=r"callbacks of \['z'\]"):
        learners.learn(10, callbacks={"z": None})


def test_resets_of_one_are_refused() -> None:
    def reinforce(env: VecEnv) -> REINFORCE:
        return REINFORCE("MlpPolicy", env, n_episodes=4)

    lengths = iter((3, 4))
    make = lambda: ScriptedEnv([dict.fromkeys("ab", (0, next(lengths), "terminated"))])  # noqa: E731
    learners = IndependentLearners({"a": reinforce, "b": dqn}, make, n_envs=2, seed=0)
    with pytest.raises(RuntimeError, match="resets its environment amid the training"):
        learners.learn(300)


def test_the_shared_environment_is_not_stepped_by_one() -> None:
    learners = IndependentLearners({"a": dqn, "b": dqn}, scripted(TOGETHER), seed=0)
    env = learners.models["a"].env
    with pytest.raises(RuntimeError, match=r"IndependentLearners\.learn\(\)"):
        learners.models["a"].learn(10)
    with pytest.raises(RuntimeError, match=r"IndependentLearners\.learn\(\)"):
        env.step(np.zeros(1, int))
    with pytest.raises(NotImplementedError, match="options"):
        env.set_options({"map": 1})


def test_nan_rewards_are_named() -> None:
    with pytest.raises(ValueError, match="reward") as caught:
        IndependentLearners(
            {"a": lambda env: QLearning("TabularPolicy", env), "b": lambda env: QLearning("TabularPolicy", env)},
            lambda: StateEnv(TOGETHER, reward=float("nan")),
        ).learn(10)
    assert "'a'" in caught.value.__notes__[0]


@pytest.mark.slow
def test_different_algorithms_learn_where_agents_die() -> None:
    def fast_ppo(env: VecEnv) -> PPO:
        return PPO("MlpPolicy", env, n_steps=128, batch_size=64, learning_rate=3e-3)

    def fast_dqn(env: VecEnv) -> DQN:
        return DQN("MlpPolicy", env, learning_starts=200, learning_rate=2e-3, exploration_final_eps=0.0)

    def fast_a2c(env: VecEnv) -> A2C:
        return A2C("MlpPolicy", env, learning_rate=3e-3, n_steps=16)

    team = TeamCallback()
    learners = IndependentLearners({"a": fast_ppo, "b": fast_dqn, "c": fast_a2c}, GuessingEnv, seed=0)
    learners.learn(5_000, callbacks={"a": team})
    assert np.mean([episode["r"] for episode in team.episodes]) > 0.9 * GuessingEnv.best_team_return
