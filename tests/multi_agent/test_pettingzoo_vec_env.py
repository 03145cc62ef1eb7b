"""PettingZooVecEnv row by row against what a scripted environment says has happened."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from helpers_multi_agent import DEATHS, TOGETHER, Life, ScriptedEnv, lived
from mpe2 import simple_adversary_v3, simple_speaker_listener_v4, simple_spread_v3
from pettingzoo.butterfly import knights_archers_zombies_v11
from pettingzoo.classic import rps_v2, tictactoe_v3
from pettingzoo.utils.conversions import aec_to_parallel, parallel_to_aec
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecFrameStack, VecMonitor, VecNormalize
from supersuit import pad_observations_v0

from sb3_ext.multi_agent import AliveVecNormalize, PettingZooVecEnv
from sb3_ext.multi_agent.copies import EnvCopy

Script = list[dict[str, Life]]


def scripted(script: Script = DEATHS, **kwargs: Any) -> Callable[[], ScriptedEnv]:
    return lambda: ScriptedEnv(script, **kwargs)


def raw(env: PettingZooVecEnv, copy: int = 0) -> Any:
    return env.copies[copy].env


def told(env: PettingZooVecEnv, n_steps: int, actions_seed: int = 0) -> list[list[tuple[Any, ...]]]:
    """Steps at random; returns the transitions of each copy as a learner puts them together from its rows."""
    rng, n_rows, n_agents = np.random.default_rng(actions_seed), env.num_envs, len(env.agents)
    seen: list[list[tuple[Any, ...]]] = [[] for _ in env.copies]
    observations = env.reset()
    for _ in range(n_steps):
        actions = rng.integers(0, 3, n_rows)
        alive = env.alive
        new_observations, rewards, dones, infos = env.step(actions)
        for row in range(n_rows):
            assert alive[row] == infos[row].get("alive", True)
            if not alive[row]:
                assert rewards[row] == 0
                assert not observations[row].any()
                continue
            last = infos[row]["terminal_observation"] if dones[row] else new_observations[row]
            seen[row // n_agents].append(
                (env.agents[row % n_agents], tuple(observations[row].tolist()), actions[row], rewards[row],
                 tuple(last.tolist()), dones[row], infos[row]["TimeLimit.truncated"])
            )  # fmt: skip
        observations = new_observations
    return seen


@pytest.mark.parametrize("script", [TOGETHER, DEATHS], ids=["together", "deaths"])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_rows_tell_what_happened(script: Script, n_envs: int) -> None:
    env = PettingZooVecEnv(scripted(script), n_envs, seed=0)
    seen = told(env, 60)
    for copy in range(n_envs):
        happened = lived(sorted(raw(env, copy).transitions, key=lambda t: (t.observation[:2], t.agent)))
        assert len(happened) > 60
        assert seen[copy] == happened


def test_rows_of_the_dead_by_hand() -> None:
    """Episode 0: a dies at 2, b is cut at 5, c dies at 7. Then episode 1."""
    env = PettingZooVecEnv(scripted(), seed=0)
    env.reset()
    steps = [env.step(np.zeros(3, int)) for _ in range(7)]
    assert [dones.tolist() for _, _, dones, _ in steps] == [
        [False] * 3, [True, False, False], [False] * 3, [False] * 3, [False, True, False], [False] * 3, [True] * 3,
    ]  # fmt: skip
    assert [[info.get("alive", True) for info in infos] for *_, infos in steps] == [
        [True] * 3, [True] * 3, *[[False, True, True]] * 3, *[[False, False, True]] * 2,
    ]  # fmt: skip
    assert [[info["TimeLimit.truncated"] for info in infos] for *_, infos in steps][4] == [False, True, False]
    assert steps[4][3][1]["terminal_observation"].tolist()[:3] == [0, 5, 1]
    assert steps[6][3][0]["terminal_observation"].tolist() == [0] * 4  # frame stacks ask for one at every done
    assert steps[5][0][:2].any() is np.False_
    assert steps[6][0][:, :3].tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 2]]


def test_monitor_counts_agents_and_team() -> None:
    env = PettingZooVecEnv(scripted(), n_envs=2, seed=0)
    env.reset()
    episodes, teams = {}, []
    for time in range(1, 8):
        *_, infos = env.step(np.zeros(6, int))
        for row, info in enumerate(infos):
            assert ("episode" in info) == (info.get("alive", True) and time == {0: 2, 1: 5, 2: 7}[row % 3])
            if "episode" in info:
                episodes[row] = (info["episode"]["r"], info["episode"]["l"])
            if "team_episode" in info:
                teams.append((time, row, info["team_episode"]["r"], info["team_episode"]["l"]))
    # rewards: 10 * time + index
    by_hand = [(10 + 20, 2), (10 * 15 + 5, 5), (10 * 28 + 14, 7)]
    assert [episodes[row] for row in range(6)] == by_hand * 2
    total = sum(return_ for return_, _ in by_hand)
    assert teams == [(7, 0, total, 7), (7, 3, total, 7)]
    assert env.env_steps == 14


def test_late_comers_are_counted_from_when_they_join() -> None:
    env = PettingZooVecEnv(scripted([DEATHS[3]]), seed=0)
    env.reset()
    assert env.alive.tolist() == [True, False, True]
    infos = [env.step(np.zeros(3, int))[3] for _ in range(6)]
    assert infos[3][1]["episode"]["l"] == 2
    assert infos[3][1]["episode"]["r"] == 30 + 1 + 40 + 1
    assert infos[1][2]["terminal_observation"].tolist()[:3] == [0, 2, 2]  # left silently: terminated
    assert infos[1][2]["TimeLimit.truncated"] is False


def test_all_die_at_once_again_and_again() -> None:
    env = PettingZooVecEnv(scripted([DEATHS[2]]), n_envs=2, seed=0)
    env.reset()
    for _ in range(5):
        _, _, dones, infos = env.step(np.zeros(6, int))
        assert dones.all()
        assert all("alive" not in info for info in infos)
    assert env.env_steps == 10


class GhostEnv(ScriptedEnv):
    """Keeps its dead among ``agents`` and goes on talking about them, as careless environments do."""

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        result = super().reset(seed, options)
        self.agents = list(self.lives)
        return result

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        self.agents = [agent for agent in self.lives if self.lives[agent][1] > self.time]
        observations, rewards, terminated, truncated, infos = super().step({a: actions[a] for a in self.agents})
        self.agents = list(self.lives)
        dead = [agent for agent in self.lives if agent not in rewards]
        ghosts = {agent: self.buffer[agent] for agent in dead}
        return (ghosts | observations, dict.fromkeys(dead, 7.0) | rewards, dict.fromkeys(dead, True) | terminated,
                dict.fromkeys(dead, True) | truncated, infos)  # fmt: skip


def test_ghosts_make_no_transitions() -> None:
    env = PettingZooVecEnv(lambda: GhostEnv(DEATHS[:3]), seed=0)
    seen = told(env, 50)
    assert seen[0] == lived(sorted(raw(env).transitions, key=lambda t: (t.observation[:2], t.agent)))


def test_infos_pass_through_and_belong_to_the_row() -> None:
    env = PettingZooVecEnv(scripted(), n_envs=2, seed=0)
    env.reset()
    assert env.reset_infos[4] == {"time": 0, "who": "b"}
    *_, infos = env.step(np.zeros(6, int))
    assert infos[5] == {"time": 1, "who": "c", "TimeLimit.truncated": False}
    infos[5]["mine"] = 1
    *_, later = env.step(np.zeros(6, int))
    assert "mine" not in later[5]
    for _ in range(5):
        *_, infos = env.step(np.zeros(6, int))
    assert infos[2]["time"] == 7
    assert env.reset_infos[2] == {"time": 0, "who": "c"}


def test_an_environments_own_info_alive_is_not_taken_for_ours() -> None:
    class Telling(ScriptedEnv):
        def _info(self, agent: str) -> dict[str, Any]:
            return super()._info(agent) | {"alive": self.time < self.lives[agent][1]}

    env = PettingZooVecEnv(lambda: Telling(TOGETHER), seed=0)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=0).learn(16)
    assert model.num_timesteps == 16
    env.reset()
    reported = [env.step(np.zeros(2, int))[3] for _ in range(4)]
    assert not any("alive" in info for infos in reported for info in infos)


def test_what_was_handed_out_does_not_change() -> None:
    env = PettingZooVecEnv(scripted(), n_envs=2, seed=0)
    kept: list[tuple[Any, Any]] = []
    observations = env.reset()
    for _ in range(30):
        kept.append((observations, observations.copy()))
        observations, rewards, dones, infos = env.step(np.zeros(6, int))
        kept += [(rewards, rewards.copy()), (dones, dones.copy())]
        ends = [info["terminal_observation"] for info in infos if "terminal_observation" in info]
        kept += [(end, end.copy()) for end in ends]
    for array, copy in kept:
        np.testing.assert_array_equal(array, copy)


def test_types_are_sb3s() -> None:
    env = PettingZooVecEnv(scripted(), seed=0)
    assert env.reset().dtype == np.float32
    observations, rewards, dones, infos = env.step(np.zeros(3, int))
    assert (observations.dtype, rewards.dtype, dones.dtype) == (np.float32, np.float32, np.bool_)
    assert isinstance(infos, list)


# --- seeds and options


def test_each_copy_has_its_seed_once() -> None:
    env = PettingZooVecEnv(scripted(), n_envs=3, seed=5)
    env.reset()
    for _ in range(20):
        env.step(np.zeros(9, int))
    for copy in range(3):
        assert raw(env, copy).seeds[0] == 5 + copy
        assert len(raw(env, copy).seeds) > 3
        assert set(raw(env, copy).seeds[1:]) == {None}
    assert env.seed(8) == [8] * 3 + [9] * 3 + [10] * 3
    env.reset()
    assert [raw(env, copy).seeds[-1] for copy in range(3)] == [8, 9, 10]


def test_no_seed_means_none_and_seed_none_draws_one() -> None:
    env = PettingZooVecEnv(scripted())
    env.reset()
    assert raw(env).seeds == [None]
    np.random.seed(3)  # noqa: NPY002
    seeds = env.seed()
    assert seeds[0] is not None
    np.random.seed(3)  # noqa: NPY002
    assert env.seed() == seeds


def test_same_seed_same_run() -> None:
    runs = [told(PettingZooVecEnv(simple_spread_like, n_envs=2, seed=seed), 40) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def simple_spread_like() -> ScriptedEnv:
    return ScriptedEnv(DEATHS)


def test_options_reach_each_copy_once() -> None:
    env = PettingZooVecEnv(scripted(), n_envs=2)
    env.set_options({"map": 2})
    env.reset()
    env.reset()
    assert [raw(env, copy).options for copy in (0, 1)] == [[{"map": 2}, None]] * 2


# --- access


def test_attributes_and_methods() -> None:
    env = PettingZooVecEnv(scripted(), n_envs=2)
    assert env.get_attr("level") == [3] * 6
    env.set_attr("level", 10, indices=[4])  # a row's copy
    assert env.get_attr("level") == [3] * 3 + [10] * 3
    assert env.env_method("add", 1, second=2) == [7] * 3 + [14] * 3  # once in each copy: level rose by 1
    assert env.env_method("add", 0, indices=[5, 0]) == [12, 5]
    assert not env.has_attr("nothing")
    with pytest.raises(AttributeError, match="nothing"):
        env.env_method("nothing")
    assert env.get_attr("possible_agents", indices=0) == [["a", "b", "c"]]
    assert env.unwrapped is env


def test_attributes_behind_wrappers() -> None:
    env = PettingZooVecEnv(lambda: pad_observations_v0(simple_spread_v3.parallel_env(max_cycles=7)))
    assert env.get_attr("max_cycles") == [7] * 3
    env.set_attr("max_cycles", 3)
    env.reset()
    dones = [env.step(np.zeros(3, int))[2].tolist() for _ in range(3)]
    assert dones[-1] == [True] * 3
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.env_is_wrapped(aec_to_parallel(simple_spread_v3.env()).__class__, indices=1) == [True]
    assert env.env_is_wrapped(VecMonitor) == [False] * 3


def test_images_are_of_copies() -> None:
    env = PettingZooVecEnv(scripted(), n_envs=2)
    env.reset()
    env.step(np.zeros(6, int))
    images = env.get_images()
    assert [image.shape for image in images] == [(4, 6, 3)] * 2
    assert images[0].max() == 1
    assert env.render().shape == (8, 6, 3)
    assert env.metadata["render_fps"] == 7
    blind = PettingZooVecEnv(scripted(render_mode=None))
    with pytest.warns(UserWarning, match="rgb_array"):
        assert blind.get_images() == [None]


def test_close_twice() -> None:
    env = PettingZooVecEnv(scripted(), n_envs=2)
    env.close()
    env.close()
    assert [raw(env, copy).n_closed for copy in (0, 1)] == [1, 1]


# --- SB3's wrappers


def test_frame_stack_begins_anew_with_each_life() -> None:
    env = VecFrameStack(PettingZooVecEnv(scripted(), seed=0), n_stack=2)
    env.reset()
    for _ in range(40):
        observations, *_ = env.step(np.zeros(3, int))
        for row, alive in enumerate(env.alive):
            if alive:
                older, newest = observations[row, :4], observations[row, 4:]
                assert not older.any() or older[:2].tolist() == [newest[0], newest[1] - 1]


def test_vec_monitor_where_all_live() -> None:
    with pytest.warns(UserWarning, match="overwritten"):
        env = VecMonitor(PettingZooVecEnv(scripted(TOGETHER), seed=0))
    env.reset()
    for _ in range(4):
        *_, infos = env.step(np.zeros(2, int))
    assert [(info["episode"]["r"], info["episode"]["l"]) for info in infos] == [(100, 4), (104, 4)]


def test_normalize_is_sb3s_where_all_live() -> None:
    rng = np.random.default_rng(0)
    ours = AliveVecNormalize(PettingZooVecEnv(scripted(TOGETHER), n_envs=2, seed=0))
    theirs = VecNormalize(PettingZooVecEnv(scripted(TOGETHER), n_envs=2, seed=0))
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    for _ in range(50):
        actions = rng.integers(0, 3, 4)
        (*our_arrays, our_infos), (*their_arrays, their_infos) = ours.step(actions), theirs.step(actions)
        for array, other in zip(our_arrays, their_arrays, strict=True):
            np.testing.assert_array_equal(array, other)
        for info, other in zip(our_infos, their_infos, strict=True):
            assert ("terminal_observation" in info) == ("terminal_observation" in other)
            if "terminal_observation" in info:
                np.testing.assert_array_equal(info["terminal_observation"], other["terminal_observation"])
    assert ours.ret_rms.var == theirs.ret_rms.var


def test_normalize_counts_the_living_only() -> None:
    env = AliveVecNormalize(PettingZooVecEnv(scripted(), seed=0), gamma=0.9)
    env.reset()
    seen = [tuple(observation) for observation in env.old_obs[env.alive]]
    returns: list[float] = []
    running = np.zeros(3)
    for _ in range(50):
        _, _, dones, infos = env.step(np.zeros(3, int))
        seen += [tuple(observation) for observation in env.old_obs[env.alive]]
        running = 0.9 * running + env.old_reward
        returns += [running[row] for row in range(3) if infos[row].get("alive", True)]
        running[dones] = 0
    assert env.obs_rms.count == pytest.approx(len(seen) + 1e-4)
    np.testing.assert_allclose(env.obs_rms.mean, np.mean(seen, axis=0), rtol=1e-4)
    np.testing.assert_allclose(env.ret_rms.var, np.var(returns), rtol=1e-4)


# --- spaces, indicator, padding


def test_indicator_of_flat_observations() -> None:
    env = PettingZooVecEnv(scripted(), seed=0, agent_indicator=True)
    observations = env.reset()
    assert observations[:, 4:].tolist() == np.eye(3).tolist()
    assert env.observation_space.shape == (7,)
    for _ in range(2):
        observations, _, _, infos = env.step(np.zeros(3, int))
    assert infos[0]["terminal_observation"].tolist()[:3] == [0, 2, 0]
    assert infos[0]["terminal_observation"].tolist()[4:] == [1, 0, 0]
    assert env.observation_space.contains(observations[1])
    assert env.agent_observation("c", np.arange(4)).tolist() == [0, 1, 2, 3, 0, 0, 1]


class ImageEnv(ScriptedEnv):
    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Box(0, 255, (40, 40, 1), np.uint8)

    def _seen(self, agents: list[str]) -> dict[str, Any]:
        return {agent: np.full((40, 40, 1), self.time, np.uint8) for agent in agents}


def test_indicator_of_images_is_a_channel() -> None:
    env = PettingZooVecEnv(lambda: ImageEnv(TOGETHER), seed=0, agent_indicator=True)
    env.reset()
    observations, *_ = env.step(np.zeros(2, int))
    assert observations.shape == (2, 40, 40, 3)
    assert observations.dtype == np.uint8
    assert observations[1, 7, 9].tolist() == [1, 0, 255]
    assert (env.observation_space.low.min(), env.observation_space.high.min()) == (0, 255)


def test_indicator_needs_a_box() -> None:
    with pytest.raises(ValueError, match=r"agent_indicator needs .* Box, got Discrete"):
        PettingZooVecEnv(lambda: aec_to_parallel(rps_v2.env()), agent_indicator=True)


def test_different_spaces_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"observation spaces differ \(adversary_0: .*; agent_0, agent_1: .*"
                                         "IndependentLearners.*pad_spaces=True"):  # fmt: skip
        PettingZooVecEnv(simple_adversary_v3.parallel_env)


def test_padding() -> None:
    env = PettingZooVecEnv(simple_speaker_listener_v4.parallel_env, n_envs=2, seed=3, pad_spaces=True)
    twin = simple_speaker_listener_v4.parallel_env()  # speaker: 3 numbers, 3 actions; listener: 11 and 5
    seen, _ = twin.reset(seed=3)
    observations = env.reset()
    assert (env.observation_space.shape, env.action_space) == ((13,), spaces.Discrete(5))
    rng = np.random.default_rng(0)
    for _ in range(20):
        np.testing.assert_array_equal(observations[0], [*seen["speaker_0"], *[0] * 8, 1, 0])
        np.testing.assert_array_equal(observations[1], [*seen["listener_0"], 0, 1])
        actions = rng.integers(0, 5, 4)
        mine = {"speaker_0": actions[0] if actions[0] < 3 else 0, "listener_0": actions[1]}
        seen, rewards, *_ = twin.step(mine)
        observations, our_rewards, *_ = env.step(actions)
        np.testing.assert_array_equal(our_rewards[:2], np.float32([rewards["speaker_0"], rewards["listener_0"]]))
    plain = PettingZooVecEnv(simple_speaker_listener_v4.parallel_env, pad_spaces=True, agent_indicator=False)
    assert plain.observation_space.shape == (11,)


def test_padding_needs_one_kind_of_space() -> None:
    with pytest.raises(ValueError, match=r"pad_spaces=True pads Box and Discrete spaces.*MultiBinary.*Independent"):
        PettingZooVecEnv(scripted(masks="observation"), pad_spaces=True)


class DictEnv(ScriptedEnv):
    def observation_space(self, agent: str) -> spaces.Space[Any]:
        parts = {"all": spaces.Box(-1e6, 1e6, (4,), np.float32), "phase": spaces.Discrete(5)}
        return spaces.Dict(parts | {"action_mask": spaces.MultiBinary(3)})

    def _seen(self, agents: list[str]) -> dict[str, Any]:
        return {a: {"all": self.buffer[a], "phase": self.time % 5, "action_mask": self.mask()} for a in agents}


def test_dict_observations() -> None:
    env = PettingZooVecEnv(lambda: DictEnv(DEATHS), seed=0)
    assert set(env.observation_space.spaces) == {"all", "phase"}
    env.reset()
    for _ in range(3):
        observations, _, _, infos = env.step(np.zeros(3, int))
    assert observations["phase"].tolist() == [0, 3, 3]
    assert observations["all"][:, :3].tolist() == [[0, 0, 0], [0, 3, 1], [0, 3, 2]]
    for _ in range(2):
        _, _, _, infos = env.step(np.zeros(3, int))
    assert env.observation_space.contains(infos[1]["terminal_observation"])
    assert infos[1]["terminal_observation"]["phase"] == 0
    for _ in range(2):
        _, _, _, infos = env.step(np.zeros(3, int))
    assert env.observation_space.contains(infos[0]["terminal_observation"])


# --- masks


@pytest.mark.parametrize("where", ["observation", "info"])
def test_action_masks(where: str) -> None:
    env = PettingZooVecEnv(scripted(masks=where), n_envs=2, seed=0)
    assert env.observation_space == spaces.Box(-1e6, 1e6, (4,), np.float32)
    assert env.has_attr("action_masks")
    env.reset()
    assert raw(env).seeds[-1] == 0
    for time in range(1, 7):
        env.step(np.zeros(6, int))
        masks = env.action_masks()
        assert masks.dtype == np.bool_
        for row, alive in enumerate(env.alive):
            expected = [action != time % 3 for action in range(3)] if alive else [True] * 3
            assert masks[row].tolist() == expected
    env.step(np.zeros(6, int))  # the next episode has begun
    assert env.action_masks().tolist() == [[False, True, True]] * 6
    assert [mask.tolist() for mask in env.env_method("action_masks", indices=[1])] == [[False, True, True]]


def test_without_masks_there_are_none() -> None:
    env = PettingZooVecEnv(scripted())
    assert not env.has_attr("action_masks")
    env.reset()
    with pytest.raises(AttributeError, match="no action masks"):
        env.action_masks()


@pytest.mark.parametrize("where", ["observation", "info"])
def test_an_empty_mask_is_an_error(where: str) -> None:
    env = PettingZooVecEnv(scripted(masks=where, n_actions=1))
    env.reset()
    with pytest.raises(ValueError, match=r"asks a for an action, but its action mask allows none"):
        env.action_masks()


# --- what is refused


class NewcomerEnv(ScriptedEnv):
    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        result = super().step(actions)
        self.agents = [*self.agents, "stranger"]
        return result


class NoPossibleAgents(ScriptedEnv):
    def __init__(self) -> None:
        super().__init__(TOGETHER)
        del self.possible_agents


class ForgetfulEnv(ScriptedEnv):
    """Says nothing of what the truncated have seen last."""

    def step(self, actions: dict[str, Any]) -> tuple[Any, Any, Any, Any, Any]:
        observations, *rest = super().step(actions)
        return ({agent: observations[agent] for agent in self.agents}, *rest)


class EmptyEnv(ScriptedEnv):
    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Any]:
        super().reset(seed, options)
        self.agents = []
        return {}, {}


def test_a_stranger_among_the_agents() -> None:
    env = PettingZooVecEnv(lambda: NewcomerEnv(TOGETHER))
    env.reset()
    with pytest.raises(ValueError, match=r"new agent 'stranger'.*not in its possible_agents, \['a', 'b'\]"):
        env.step(np.zeros(2, int))


def test_a_truncation_without_observation() -> None:
    env = PettingZooVecEnv(lambda: ForgetfulEnv(TOGETHER))
    env.reset()
    for _ in range(3):
        env.step(np.zeros(2, int))
    with pytest.raises(ValueError, match="truncated 'a' without a last observation"):
        env.step(np.zeros(2, int))


def test_a_termination_needs_no_observation() -> None:
    env = PettingZooVecEnv(lambda: ForgetfulEnv(TOGETHER[1:]))
    env.reset()
    for _ in range(3):
        *_, infos = env.step(np.zeros(2, int))
    assert infos[0]["terminal_observation"].shape == (4,)


def test_nobody_there() -> None:
    env = PettingZooVecEnv(lambda: EmptyEnv(TOGETHER))
    with pytest.raises(ValueError, match="no agents after reset"):
        env.reset()


one_env = ScriptedEnv(TOGETHER)


@pytest.mark.parametrize(
    ("env", "n_envs", "error", "message"),
    [
        (scripted(), 0, ValueError, "n_envs must be at least 1, got 0"),
        (scripted(), 1.5, TypeError, "n_envs must be a whole number, got 1.5"),
        (scripted(), -2, ValueError, "got -2"),
        (lambda: one_env, 2, ValueError, "same environment twice"),
        (one_env, 2, TypeError, "need a function"),
        (lambda: gym.make("CartPole-v1"), 1, TypeError, "ParallelEnv.*make_vec_env"),
        (lambda: 5, 1, TypeError, "expected a PettingZoo ParallelEnv or AECEnv, got 5"),
        ("simple_spread_v3", 1, TypeError, "got 'simple_spread_v3'"),
        (NoPossibleAgents, 1, ValueError, "possible_agents"),
        (tictactoe_v3.env, 1, ValueError, "take turns.*SelfPlayEnv"),
    ],
    ids=["none", "half", "negative", "twice", "instance", "gymnasium", "number", "name", "possible_agents", "turns"],
)
def test_what_is_no_environment(env: Any, n_envs: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        PettingZooVecEnv(env, n_envs)


def test_wrong_number_of_actions() -> None:
    env = PettingZooVecEnv(scripted())
    env.reset()
    with pytest.raises(ValueError, match="got 2 actions for 3 rows"):
        env.step(np.zeros(2, int))


def test_nan_rewards_are_passed_on() -> None:
    env = PettingZooVecEnv(scripted(reward=float("nan")))
    env.reset()
    for _ in range(3):
        _, rewards, _, infos = env.step(np.zeros(3, int))
    assert np.isnan(rewards[1:]).all()
    assert rewards[0] == 0  # dead
    assert "episode" not in infos[0]


# --- where environments may come from


def test_one_environment_itself_and_aec_environments() -> None:
    env = PettingZooVecEnv(ScriptedEnv(DEATHS), seed=0)
    assert told(env, 10) == told(PettingZooVecEnv(scripted(), seed=0), 10)
    assert PettingZooVecEnv(simple_spread_v3.env, n_envs=2).num_envs == 6
    back = PettingZooVecEnv(lambda: parallel_to_aec(ScriptedEnv(DEATHS)), seed=0)
    assert told(back, 10) == told(PettingZooVecEnv(scripted(), seed=0), 10)


def test_an_aec_environment_steps_as_its_parallel_form() -> None:
    ours = PettingZooVecEnv(knights_archers_zombies_v11.env, seed=4)
    twin = EnvCopy(knights_archers_zombies_v11.parallel_env())
    twin.reset(4)
    ours.reset()
    for _ in range(30):
        _, rewards, _, _ = ours.step(np.full(4, 4))
        twin.step(dict.fromkeys(twin.possible_agents, 4))
        assert rewards.tolist() == [twin.rewards[agent] for agent in ours.agents]
