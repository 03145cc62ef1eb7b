"""SelfPlayEnv: games by hand on tic-tac-toe, the traps of turn-based environments on a toy, the API's contracts."""

import warnings
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from pettingzoo import AECEnv
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks
from stable_baselines3 import DQN
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_ext.multi_agent.self_play import SelfPlayEnv
from sb3_ext.zoo.multi_agent.players import tic_tac_toe_one_ply
from sb3_ext.zoo.multi_agent.turn_based_check import CLASSIC_IDS, check_transitions

tic_tac_toe = partial(pettingzoo.make, "aec", "classic/tictactoe_v3")
connect_four = partial(pettingzoo.make, "aec", "classic/connect_four_v3")


def lowest(observation: Any, action_mask: np.ndarray, agent: str, generator: np.random.Generator) -> int:
    return int(np.flatnonzero(action_mask)[0])


class Toy(AECEnv):
    """Agents in turn; ``script`` says what a move does: [(rewards of all, agents that die)], move by move."""

    metadata = {"name": "toy", "render_modes": ["ansi"]}

    def __init__(
        self, script: list[tuple[list[float], list[str]]], n_agents: int = 2, truncate: bool = False, mask: int = 1
    ) -> None:
        super().__init__()
        self.script, self.truncate, self.mask = script, truncate, mask
        self.possible_agents = [f"p{i}" for i in range(n_agents)]
        self.render_mode = "ansi"

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        mask = spaces.Box(0, 1, (2,), np.int8)
        return spaces.Dict({"observation": spaces.Box(0, 99, (1,), np.int8), "action_mask": mask})

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(2)

    def observe(self, agent: str) -> Any:
        return {"observation": np.array([self.move], np.int8), "action_mask": np.full(2, self.mask, np.int8)}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        self.move = 0
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {"who": agent} for agent in self.agents}
        self.agent_selection = self.agents[0]

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        rewards, dying = self.script[self.move]
        self.move += 1
        self.rewards = {a: r for a, r in zip(self.possible_agents, rewards, strict=True) if a in self.agents}
        for dead in dying:
            (self.truncations if self.truncate else self.terminations)[dead] = True
        order = self.agents
        self.agent_selection = order[(order.index(agent) + 1) % len(order)]
        self._accumulate_rewards()
        self._deads_step_first()

    def render(self) -> str:
        return f"move {self.move}"


# --- rewards and ends


def test_the_loser_gets_its_minus_one_though_the_winner_moved_last() -> None:
    env = SelfPlayEnv(tic_tac_toe, lowest, seat="player_2")  # the opponent plays 0, 1, 2
    env.reset(seed=0)
    assert env.step(4)[1:4] == (0.0, False, False)
    observation, reward, terminated, truncated, info = env.step(8)
    assert (reward, terminated, truncated) == (-1.0, True, False)
    assert observation[0, :, 1].tolist() == [1, 1, 1]  # sees the move that beat it
    assert info["self_play"] == {
        "seat": "player_2",
        "result": -1,
        "opponents": {"player_1": "lowest"},
        "results": {"player_1": -1},
    }


def test_the_winner_gets_its_one_at_once() -> None:
    env = SelfPlayEnv(tic_tac_toe, lowest, seat="player_1")  # the opponent plays 0, 1
    env.reset(seed=0)
    assert [env.step(action)[1] for action in (4, 3)] == [0.0, 0.0]
    _, reward, terminated, _, info = env.step(5)
    assert (reward, terminated, info["self_play"]["result"]) == (1.0, True, 1)


def test_an_illegal_move_ends_the_game_with_the_penalty_of_the_environment() -> None:
    env = SelfPlayEnv(tic_tac_toe, lowest, seat="player_2")
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(0)  # taken by the opponent
    assert (reward, terminated, truncated, info["self_play"]["result"]) == (-1.0, True, True, -1)


def test_an_opponents_illegal_move_is_a_win() -> None:
    def stubborn(observation: Any, action_mask: np.ndarray, agent: str, generator: np.random.Generator) -> int:
        return 0

    env = SelfPlayEnv(tic_tac_toe, stubborn, seat="player_2")
    env.reset(seed=0)
    _, reward, terminated, _, info = env.step(1)
    assert (reward, terminated, info["self_play"]["result"]) == (0.0, True, 1)


def test_rewards_between_the_learners_turns_are_added_up() -> None:
    script = [([1.0, 10.0], []), ([2.0, 20.0], []), ([4.0, 40.0], []), ([8.0, 80.0], ["p0", "p1"])]
    first, second = (SelfPlayEnv(Toy(script), lowest, seat=seat) for seat in ("p0", "p1"))
    first.reset()
    assert [first.step(0)[1] for _ in range(2)] == [1.0 + 2.0, 4.0 + 8.0]
    second.reset()  # 10 before its first turn, which its first reward makes good
    assert [second.step(0)[1] for _ in range(2)] == [10.0 + 20.0 + 40.0, 80.0]
    second.reset()
    assert second.step(0)[1] == 70.0  # and only that once


def test_a_dead_opponent_is_taken_off_and_the_game_goes_on() -> None:
    script = [([0.0, 0.0, 0.0], []), ([1.0, -5.0, 0.0], ["p1"]), ([1.0, 0.0, 1.0], [])]
    env = SelfPlayEnv(Toy([*script, ([1.0, 0.0, 0.0], []), ([0.0, 0.0, 3.0], ["p0", "p2"])], 3), lowest, seat="p0")
    env.reset()
    assert env.step(0)[1:4] == (2.0, False, False)
    _, reward, terminated, _, info = env.step(0)
    assert (reward, terminated) == (1.0, True)
    assert info["self_play"]["results"] == {"p1": 1, "p2": -1}  # returns 3, -5, 4
    assert info["self_play"]["result"] == -1


def test_the_learners_death_ends_its_episode_while_others_play_on() -> None:
    env = SelfPlayEnv(Toy([([0.0] * 3, []), ([-1.0, 0.0, 0.0], ["p0"]), ([0.0] * 3, [])], 3), lowest, seat="p0")
    env.reset()
    assert env.step(0)[1:4] == (-1.0, True, False)
    env.reset()
    assert env.step(0)[1:4] == (-1.0, True, False)


def test_truncation_is_passed_on() -> None:
    env = SelfPlayEnv(Toy([([0.0, 0.0], []), ([0.0, 0.0], ["p0", "p1"])], truncate=True), lowest, seat="p0")
    env.reset()
    assert env.step(0)[2:4] == (False, True)
    vec_env = DummyVecEnv([lambda: env])
    vec_env.reset()
    *_, infos = vec_env.step(np.array([0]))
    assert infos[0]["TimeLimit.truncated"] is True
    assert infos[0]["terminal_observation"].tolist() == [2]


def test_a_game_that_ends_before_the_learners_turn_is_dealt_again() -> None:
    class Folding(Toy):
        deals = 0

        def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
            super().reset(seed, options)
            self.deals += 1
            self.script = [([1.0, -1.0], ["p0", "p1"] if self.deals < 3 else []), ([0.0, 0.0], ["p0", "p1"])]

    toy = Folding([])
    env = SelfPlayEnv(toy, lowest, seat="p1")
    env.reset(seed=0)
    assert toy.deals == 3
    assert env.step(0)[1] == -1.0  # of the third deal alone


def test_a_learner_that_never_has_a_turn_is_told_so() -> None:
    env = SelfPlayEnv(Toy([([0.0, 0.0], ["p0", "p1"])]), lowest, seat="p1")
    with pytest.raises(RuntimeError, match="ended before p1's first turn"):
        env.reset()


# --- seats and seeds


def seats_of(env: SelfPlayEnv, n_episodes: int, seed: int | None = 0) -> list[str]:
    env.reset(seed=seed)
    seats = [env.seat]
    while len(seats) < n_episodes:
        env.reset()
        seats.append(env.seat)
    return seats


def test_seats() -> None:
    assert set(seats_of(SelfPlayEnv(tic_tac_toe, seat="player_2"), 5)) == {"player_2"}
    alternating = SelfPlayEnv(tic_tac_toe, seat="alternating")
    assert seats_of(alternating, 3) == seats_of(alternating, 3) == ["player_1", "player_2", "player_1"]
    drawn = seats_of(SelfPlayEnv(tic_tac_toe), 400)
    assert 150 < drawn.count("player_1") < 250


def trajectory(env: gym.Env[Any, Any], seed: int, n_steps: int = 60) -> list[Any]:
    generator = np.random.default_rng(1)
    observation, _ = env.reset(seed=seed)
    seen: list[Any] = []
    for _ in range(n_steps):
        action = generator.choice(np.flatnonzero(env.get_wrapper_attr("action_masks")()))
        observation, reward, terminated, truncated, info = env.step(action)
        seen.append((observation.tolist(), reward, terminated, truncated, info))
        if terminated or truncated:
            env.reset()
    return seen


@pytest.mark.parametrize("name", ["tictactoe_v3", "leduc_holdem_v4", "hanabi_v5"])
def test_same_seed_same_games(name: str) -> None:
    env_fn = partial(pettingzoo.make, "aec", f"classic/{name}")
    first, again, other = (trajectory(SelfPlayEnv(env_fn), seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_the_given_seed_reaches_the_environment() -> None:
    raw = pettingzoo.make("aec", "classic/leduc_holdem_v4")
    raw.reset(seed=11)
    first_agent = raw.agent_selection
    env = SelfPlayEnv(partial(pettingzoo.make, "aec", "classic/leduc_holdem_v4"), seat=first_agent)
    np.testing.assert_array_equal(env.reset(seed=11)[0], raw.observe(first_agent)["observation"])


def test_seeds_of_32_bits() -> None:
    """SB3 draws such for environments that nobody seeded; hanabi takes 31 bits."""
    SelfPlayEnv(partial(pettingzoo.make, "aec", "classic/hanabi_v5")).reset(seed=2**32 - 1)


# --- masks


def test_masks_are_the_free_cells() -> None:
    env = SelfPlayEnv(tic_tac_toe, lowest, seat="player_2")
    observation, _ = env.reset(seed=0)
    assert observation.shape == (3, 3, 2)
    assert env.observation_space == spaces.Box(0, 1, (3, 3, 2), np.int8)
    assert env.action_masks().dtype == bool
    assert np.flatnonzero(env.action_masks()).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    env.step(4)
    assert np.flatnonzero(env.action_masks()).tolist() == [2, 3, 5, 6, 7, 8]


def test_all_false_mask_is_an_error_that_names_the_agent() -> None:
    with pytest.raises(ValueError, match="asks p0 for an action, but its action mask allows none"):
        SelfPlayEnv(Toy([], mask=0), seat="p0").reset()
    with pytest.raises(ValueError, match="asks p0 "):  # the opponent's, too
        SelfPlayEnv(Toy([], mask=0), seat="p1").reset()


def test_outside_an_episode_there_are_neither_masks_nor_steps() -> None:
    env = SelfPlayEnv(tic_tac_toe, lowest, seat="player_2")
    for call in (env.action_masks, partial(env.step, 0)):
        with pytest.raises(RuntimeError, match=r"call reset\(\) first"):
            call()
    env.reset(seed=0)
    env.step(0)  # illegal, so the game is over
    for call in (env.action_masks, partial(env.step, 1)):
        with pytest.raises(RuntimeError, match=r"call reset\(\) first"):
            call()


def test_an_environment_without_masks_allows_every_action() -> None:
    env = SelfPlayEnv(partial(pettingzoo.make, "aec", "classic/rps_v2"))
    env.reset(seed=0)
    assert env.action_masks().tolist() == [True] * 3


# --- bad input


class Lopsided(Toy):
    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(2 if agent == "p0" else 3)


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="parallel_to_aec"):
        SelfPlayEnv(partial(pettingzoo.make, "parallel", "classic/rps_v2"))
    with pytest.raises(TypeError, match="'rps' is no player"):
        SelfPlayEnv(tic_tac_toe, "rps")
    with pytest.raises(ValueError, match=r"no seat 'black'.*player_1"):
        SelfPlayEnv(tic_tac_toe, seat="black")
    with pytest.raises(ValueError, match=r"action space of p0 is Discrete\(2\), of p1 Discrete\(3\)"):
        SelfPlayEnv(Lopsided([]))
    SelfPlayEnv(Lopsided([]), seat="p1")  # one seat looks the same every time
    nobody = Toy([])
    del nobody.possible_agents
    with pytest.raises(ValueError, match="no possible_agents"):
        SelfPlayEnv(nobody)


def test_an_agent_that_vanishes_is_an_error() -> None:
    class Vanishing(Toy):
        def step(self, action: Any) -> None:
            super().step(action)
            self.agents = ["p1"]

    env = SelfPlayEnv(Vanishing([([0.0, 0.0], [])] * 9), lowest, seat="p0")
    env.reset()
    with pytest.raises(RuntimeError, match="removed p0"):
        env.step(0)


# --- contracts


def test_gymnasium_api() -> None:
    for seat in ("random", "alternating"):
        env = SelfPlayEnv(connect_four, seat=seat)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has no spec
            check_env(env, skip_render_check=True)


def test_render_and_close_pass_through() -> None:
    env = SelfPlayEnv(partial(tic_tac_toe, render_mode="rgb_array", screen_height=60))
    assert env.render_mode == "rgb_array"
    assert env.metadata["render_fps"] == 1
    env.reset(seed=0)
    assert env.render().shape == (60, 60, 3)
    env.close()


def vec_trajectory(env: VecEnv, n_steps: int = 40) -> list[Any]:
    generator = np.random.default_rng(0)
    env.seed(5)
    env.reset()
    seen: list[Any] = []
    for _ in range(n_steps):
        actions = np.array([generator.choice(np.flatnonzero(mask)) for mask in get_action_masks(env)])
        observations, rewards, dones, infos = env.step(actions)
        infos = [{key: info[key] for key in info.keys() & {"self_play", "TimeLimit.truncated"}} for info in infos]
        seen.append((observations.tolist(), rewards.tolist(), dones.tolist(), infos))
    env.close()
    return seen


def test_dummy_and_spawned_environments_agree() -> None:
    kwargs = {"env": tic_tac_toe, "opponents": tic_tac_toe_one_ply}
    make = partial(make_vec_env, SelfPlayEnv, n_envs=2, env_kwargs=kwargs)
    dummy = vec_trajectory(make())
    assert dummy == vec_trajectory(make(vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "spawn"}))
    assert any(any(dones) for _, _, dones, _ in dummy)


@pytest.mark.parametrize("name", [name.removeprefix("classic/") for name in CLASSIC_IDS])
def test_algorithms_learn_on_it(name: str) -> None:
    env_fn = partial(pettingzoo.make, "aec", f"classic/{name}")
    kwargs = {"board_size": 5} if name == "go_v5" else {}
    policy_kwargs = {"net_arch": [8]}
    env = make_vec_env(SelfPlayEnv, n_envs=2, env_kwargs={"env": partial(env_fn, **kwargs)})
    MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8, n_epochs=1, policy_kwargs=policy_kwargs).learn(16)
    DQN("MlpPolicy", env, learning_starts=4, buffer_size=50, policy_kwargs=policy_kwargs).learn(16)


# --- against the raw environments


@pytest.mark.parametrize("name", [name.removeprefix("classic/") for name in CLASSIC_IDS])
def test_transitions_of_the_raw_environment(name: str) -> None:
    check = check_transitions(partial(pettingzoo.make, "aec", f"classic/{name}"), n_steps=100, seed=1)
    assert check.problem is None
    assert check.steps == 100


@pytest.mark.slow
@pytest.mark.parametrize("name", [name.removeprefix("classic/") for name in CLASSIC_IDS])
def test_a_thousand_transitions_of_the_raw_environment(name: str) -> None:
    check = check_transitions(partial(pettingzoo.make, "aec", f"classic/{name}"), n_steps=1000)
    assert check.problem is None
    assert check.steps == 1000
    assert check.terminated + check.truncated > 0


@pytest.mark.parametrize("n_agents", [3, 4])
def test_transitions_with_more_than_two_players(n_agents: int) -> None:
    for name, option in (("texas_holdem_v4", "num_players"), ("hanabi_v5", "players")):
        env_fn = partial(pettingzoo.make, "aec", f"classic/{name}", **{option: n_agents})
        check = check_transitions(env_fn, n_steps=150)
        assert check.problem is None
        assert check.terminated > 10


class Generous(Toy):
    """Pays out at move 4 what it does not write into ``rewards``."""

    def step(self, action: Any) -> None:
        super().step(action)
        self._cumulative_rewards.update({agent: 1.0 for agent in self.agents if self.move == 4})


def test_the_check_sees_a_wrong_reward() -> None:
    script: list[tuple[list[float], list[str]]] = [([0.0, 0.0], [])] * 5 + [([1.0, -1.0], ["p0", "p1"])]
    assert check_transitions(partial(Toy, script), n_steps=50).problem is None
    problem = check_transitions(partial(Generous, script), n_steps=50).problem
    assert problem is not None
    assert problem.startswith("reward of p")
