"""Matrix games: payoffs, rounds, what is seen, bad input."""

import numpy as np
import pytest
from gymnasium import spaces
from helpers_multi import check_api

from sb3_ext.envs.multi.matrix_game import GAMES, MatrixGame

PLAYERS = ("player_0", "player_1")


def play(game, *actions):
    return game.step(dict(zip(game.possible_agents, actions, strict=True)))


@pytest.mark.parametrize("name", GAMES)
@pytest.mark.parametrize("observe_last", [False, True])
def test_pettingzoos_api_tests(name, observe_last):
    check_api(lambda: MatrixGame(name, n_rounds=10, observe_last=observe_last, render_mode="ansi"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("prisoners_dilemma", [(3, 3), (0, 5), (5, 0), (1, 1)]),
        ("stag_hunt", [(4, 4), (0, 3), (3, 0), (3, 3)]),
        ("chicken", [(3, 3), (1, 4), (4, 1), (0, 0)]),
        ("battle_of_the_sexes", [(2, 1), (0, 0), (0, 0), (1, 2)]),
        ("matching_pennies", [(1, -1), (-1, 1), (-1, 1), (1, -1)]),
    ],
)
def test_the_textbooks_tables(name, expected):
    game, found = MatrixGame(name), []
    for first in (0, 1):
        for second in (0, 1):
            game.reset()
            rewards = play(game, first, second)[1]
            found.append((rewards["player_0"], rewards["player_1"]))
    assert found == expected


def test_paper_beats_rock_beats_scissors_beats_paper():
    game = MatrixGame("rock_paper_scissors")
    for winner, loser in ((1, 0), (0, 2), (2, 1)):
        game.reset()
        assert play(game, winner, loser)[1] == {"player_0": 1.0, "player_1": -1.0}
        game.reset()
        assert play(game, loser, winner)[1] == {"player_0": -1.0, "player_1": 1.0}


def test_one_round_is_a_bandit():
    game = MatrixGame()
    observations, infos = game.reset(seed=0)
    assert observations == dict.fromkeys(PLAYERS, 0)
    assert infos == {"player_0": {}, "player_1": {}}
    assert game.observation_space("player_0") == spaces.Discrete(1)
    observations, _, terminated, truncated, _ = play(game, 0, 0)
    assert observations == dict.fromkeys(PLAYERS, 0)
    assert terminated == dict.fromkeys(PLAYERS, True)
    assert truncated == dict.fromkeys(PLAYERS, False)
    assert game.agents == []
    with pytest.raises(RuntimeError, match="call reset"):
        play(game, 0, 0)


def test_the_last_of_several_rounds_ends_the_game():
    game = MatrixGame(n_rounds=3)
    for _ in range(2):
        game.reset()
        assert [any(play(game, 1, 1)[2].values()) for _ in range(3)] == [False, False, True]


def test_the_last_joint_action_is_seen():
    game = MatrixGame("rock_paper_scissors", n_rounds=3, observe_last=True)
    assert game.observation_space("player_1") == spaces.Discrete(10)
    assert game.reset()[0] == dict.fromkeys(PLAYERS, 0)
    assert play(game, 0, 0)[0] == dict.fromkeys(PLAYERS, 1)
    assert play(game, 2, 1)[0] == dict.fromkeys(PLAYERS, 1 + 2 * 3 + 1)
    assert game.reset()[0] == dict.fromkeys(PLAYERS, 0)  # nothing is left of the game before


def test_three_players_with_different_actions():
    payoffs = np.arange(3 * 2 * 3 * 2, dtype=float).reshape(3, 2, 3, 2)
    game = MatrixGame(payoffs)
    game.reset()
    assert [game.action_space(agent).n for agent in game.possible_agents] == [2, 3, 2]
    assert list(play(game, 1, 2, 0)[1].values()) == payoffs[:, 1, 2, 0].tolist()


def test_text():
    game = MatrixGame([[[0.5, 1]], [[-1, 2]]], render_mode="ansi")
    game.reset()
    assert game.render() == "nothing played yet"
    play(game, 0, 1)
    assert game.render() == "player_0: 0 (1), player_1: 1 (2)"


@pytest.mark.parametrize(
    ("payoffs", "message"),
    [
        ("poker", "there is no game 'poker'; choose one of prisoners_dilemma, .* or give payoffs"),
        ([[1, 2], [3, 4]], r"must have the shape .*\[2, A_0, A_1\].*, got \[2, 2\]"),
        (np.zeros((3, 2, 2)), r"must have the shape .*, got \[3, 2, 2\]"),
        (np.zeros((2, 2, 0)), r"must have the shape .*, got \[2, 2, 0\]"),
        ([[[1, 2], [3, np.nan]], np.eye(2)], r"player 0, actions \(1, 1\): a payoff must be finite, got nan"),
        ([np.eye(2), [[1, 2], [np.inf, 4]]], r"player 1, actions \(1, 0\): a payoff must be finite, got inf"),
        ([[[1, 2], [3]], [[1, 2], [3, 4]]], "payoffs must be numbers"),
        ([[["a", "b"]], [["c", "d"]]], "payoffs must be numbers"),
        (5, r"must have the shape .*, got \[\]"),
    ],
    ids=["name", "one matrix", "three players", "no action", "nan", "inf", "ragged", "text", "number"],
)
def test_payoffs_that_are_none(payoffs, message):
    with pytest.raises(ValueError, match=message):
        MatrixGame(payoffs)


@pytest.mark.parametrize("n_rounds", [0, -1, 2.5, True, "ten"])
def test_rounds_that_are_none(n_rounds):
    with pytest.raises(ValueError, match="n_rounds must be a whole number from 1"):
        MatrixGame(n_rounds=n_rounds)


def test_unknown_render_modes():
    with pytest.raises(ValueError, match="render_mode must be None or 'ansi', got 'human'"):
        MatrixGame(render_mode="human")


def test_actions_that_are_none():
    game = MatrixGame("stag_hunt")
    game.reset()
    with pytest.raises(ValueError, match="the actions of player_1 are 0 to 1, got 2"):
        play(game, 0, 2)
