"""Evaluation: returns against the raw rewards, match tables against games counted by hand, and errors."""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pettingzoo
import pytest
from gymnasium import spaces
from pettingzoo import ParallelEnv
from sb3_contrib import MaskablePPO
from scipy.stats import binomtest
from stable_baselines3 import PPO

from sb3_ext.multi_agent.evaluation import MatchTable, evaluate_matches, evaluate_multi_agent, win_interval
from sb3_ext.multi_agent.opponent_pool import OpponentPool
from sb3_ext.multi_agent.self_play import SelfPlayEnv
from sb3_ext.zoo.multi_agent.players import tic_tac_toe_one_ply, tic_tac_toe_perfect

tic_tac_toe = partial(pettingzoo.make, "aec", "classic/tictactoe_v3")
rock_paper_scissors = partial(pettingzoo.make, "parallel", "classic/rps_v2", max_cycles=4)


def rock(observation: Any, action_mask: np.ndarray, agent: str, generator: np.random.Generator) -> int:
    return 0


def paper(observation: Any, action_mask: np.ndarray, agent: str, generator: np.random.Generator) -> int:
    return 1


class Chase(ParallelEnv):
    """Three rewarded steps; ``prey`` dies after the first; everybody's reward is its action's first coordinate."""

    metadata = {"name": "chase"}
    possible_agents = ["hunter_0", "hunter_1", "prey"]

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Box(0, 9, (1,), np.float32)

    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Box(0.0, 1.0, (2,), np.float32)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.agents, self.time, self.seed = self.possible_agents[:], 0, seed
        return self._observations(), {agent: {} for agent in self.agents}

    def _observations(self) -> dict[str, np.ndarray]:
        return {agent: np.array([self.time], np.float32) for agent in self.agents}

    def step(self, actions: dict[str, np.ndarray]) -> Any:
        assert actions.keys() == set(self.agents)
        self.time += 1
        rewards = {agent: float(action[0]) for agent, action in actions.items()}
        over = {agent: agent == "prey" for agent in self.agents}
        cut = dict.fromkeys(self.agents, self.time == 3)
        observations, infos = self._observations(), {agent: {} for agent in self.agents}
        self.agents = [] if self.time == 3 else [agent for agent in self.agents if not over[agent]]
        return observations, rewards, over, cut, infos


def constant(value: float) -> Any:
    return lambda observation, action_mask, agent, generator: np.array([value, 0.0], np.float32)


# --- returns


def test_returns_of_agents_and_teams() -> None:
    result = evaluate_multi_agent({"hunter_1": constant(0.5), "hunter_*": constant(1.0), "*": constant(2.0)}, Chase, 2)
    assert result.agents == ["hunter_0", "hunter_1", "prey"]
    assert result.returns.tolist() == [[3.0, 1.5, 2.0]] * 2  # the prey acts once
    assert result.teams == ["hunter_1", "hunter_*", "*"]
    assert result.team_returns.tolist() == [[1.5, 3.0, 2.0]] * 2
    assert result.lengths.tolist() == [3, 3]
    assert "hunter_0" in str(result)
    assert "3.000 ± 0.000" in str(result)


def test_one_episode_has_no_standard_error() -> None:
    assert "± nan" in str(evaluate_multi_agent({"*": constant(1.0)}, Chase, 1))


@pytest.mark.parametrize("api", ["parallel", "aec"])
def test_both_apis(api: str) -> None:
    env_fn = partial(pettingzoo.make, api, "classic/rps_v2", max_cycles=4)
    result = evaluate_multi_agent({"player_0": paper, "player_1": rock}, env_fn, n_episodes=3)
    assert result.returns.tolist() == [[4.0, -4.0]] * 3
    assert result.lengths.tolist() == [4, 4, 4]


def test_random_acts_in_any_space_and_by_the_seed() -> None:
    runs = [evaluate_multi_agent({"*": "random"}, Chase, 5, seed=seed).returns for seed in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert len(np.unique(runs[0])) == 15


def test_each_agent_needs_a_player_and_each_player_an_agent() -> None:
    with pytest.raises(ValueError, match=r"nobody plays \['prey'\]"):
        evaluate_multi_agent({"hunter_*": "random"}, Chase)
    with pytest.raises(ValueError, match=r"no agent for \['wolf'\]; the environment has \['hunter_0'"):
        evaluate_multi_agent({"*": "random", "wolf": "random"}, Chase)
    with pytest.raises(ValueError, match="0 episodes"):
        evaluate_multi_agent({"*": "random"}, Chase, n_episodes=0)


class Shared(gym.Env[Any, Any]):
    """The spaces of a model that all of Chase's agents share: own observation and one-hot agent."""

    observation_space = spaces.Box(0, 9, (1 + 3,), np.float32)
    action_space = spaces.Box(0.0, 1.0, (2,), np.float32)


def test_a_shared_model_is_told_which_agent_it_plays() -> None:
    model = PPO("MlpPolicy", Shared(), seed=0, n_steps=8, batch_size=8)
    marks = np.eye(3, dtype=np.float32)
    expected = [
        sum(model.predict(np.array([t, *mark], np.float32), deterministic=True)[0][0] for t in range(steps))
        for mark, steps in zip(marks, (3, 3, 1), strict=True)
    ]
    assert evaluate_multi_agent({"*": model}, Chase, 1).returns[0] == pytest.approx(expected, rel=1e-5)


def test_a_model_of_other_observations_is_refused() -> None:
    model = MaskablePPO("MlpPolicy", SelfPlayEnv(tic_tac_toe))
    with pytest.raises(ValueError, match=r"MaskablePPO expects .*\(3, 3, 2\).*, hunter_0 gets .*as in training"):
        evaluate_multi_agent({"*": model}, Chase)


# --- matches


def test_matches_count_both_seats() -> None:
    with pytest.warns(UserWarning, match="all 3 games of .* were the same") as caught:
        table = evaluate_matches({"rock": rock, "paper": paper}, rock_paper_scissors, n_episodes=3)
    assert len(caught) == 2  # from either seat
    assert table.players == ["rock", "paper"]
    assert table.wins.tolist() == [[[0, 0], [0, 0]], [[3, 3], [0, 0]]]
    assert table.losses.tolist() == [[[0, 0], [3, 3]], [[0, 0], [0, 0]]]
    assert table.draws.sum() == 0
    np.testing.assert_array_equal(table.win_rates(), [[np.nan, 0.0], [1.0, np.nan]])


def test_matches_of_tic_tac_toe() -> None:
    players = {"random": "random", "one-ply": tic_tac_toe_one_ply, "perfect": tic_tac_toe_perfect}
    table = evaluate_matches(players, tic_tac_toe, n_episodes=100)
    games = table.wins + table.draws + table.losses
    assert np.all(games == 100 * (1 - np.eye(3, dtype=int))[..., None])
    np.testing.assert_array_equal(table.wins, table.losses.transpose(1, 0, 2)[..., ::-1])  # one's win, other's loss
    assert table.losses[2].sum() == 0
    rates = table.win_rates()
    assert rates[2, 0] > rates[1, 0] > 0.7 > rates[1, 2] == 0.0
    assert table.wins[0, 1, 0] > table.wins[0, 1, 1]  # to begin helps


def test_the_same_seed_gives_the_same_table() -> None:
    players = {"random": "random", "one-ply": tic_tac_toe_one_ply}
    tables = [evaluate_matches(players, tic_tac_toe, 20, seed=seed).wins for seed in (0, 0, 1)]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[0], tables[2])


def test_models_and_snapshots_play(tmp_path: Any) -> None:
    model = MaskablePPO("MlpPolicy", SelfPlayEnv(tic_tac_toe), seed=0)
    pool = OpponentPool(tmp_path)
    pool.add(model)
    players = {"model": model, "snapshot": pool.sample(np.random.default_rng(0))[1], "random": "random"}
    table = evaluate_matches(players, tic_tac_toe, n_episodes=10)
    assert (table.wins + table.draws + table.losses).sum() == 6 * 2 * 10


def test_intervals_are_wilsons() -> None:
    wins, draws, losses = (np.zeros((2, 2, 2), dtype=int) for _ in range(3))
    wins[0, 1], draws[0, 1], losses[0, 1] = (20, 18), (0, 1), (0, 1)
    wins[1, 0], draws[1, 0], losses[1, 0] = (1, 0), (1, 0), (18, 20)
    table = MatchTable(["a", "b"], ["first", "second"], wins, draws, losses)
    expected = binomtest(38, 40).proportion_ci(method="wilson")
    np.testing.assert_allclose(table.intervals()[0, 1], [expected.low, expected.high])
    assert np.isnan(table.intervals()[0, 0]).all()
    assert win_interval(38, 1, 1, confidence=0.5)[0] > expected.low
    line = str(table).splitlines()[1]
    assert all(text in line for text in ("0.950 (0.835 to 0.986)", "20/0/0", "18/1/1"))


@pytest.mark.parametrize("evaluate", [evaluate_multi_agent, evaluate_matches])
def test_an_environment_is_made_by_a_function(evaluate: Any) -> None:
    for wrong in (tic_tac_toe(), Shared):
        with pytest.raises(TypeError, match="env_fn must be a function that makes a PettingZoo environment, got"):
            evaluate({"player_*": "random", "other": "random"}, wrong, 1)


def test_matches_are_for_two() -> None:
    with pytest.raises(ValueError, match=r"needs two players, got \['a'\]"):
        evaluate_matches({"a": "random"}, tic_tac_toe)
    with pytest.raises(ValueError, match=r"hunter_1.*use evaluate_multi_agent"):
        evaluate_matches({"a": "random", "b": "random"}, Chase)
