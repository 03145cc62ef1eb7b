"""Tic-tac-toe and Connect Four on many boards: move by move what PettingZoo plays on one."""

import numpy as np
import pettingzoo
import pytest

from sb3_ext.envs.multi.line_games import LineGames, connect_four, tic_tac_toe

GAMES = {"classic/connect_four_v3": connect_four, "classic/tictactoe_v3": tic_tac_toe}


def raw_move(env, action):
    """What a move brings the two players, and whether the game is over."""
    env.step(action)
    over = any(env.terminations.values())
    return over, [env.rewards[agent] if over else 0.0 for agent in env.possible_agents]


@pytest.mark.parametrize("name", GAMES)
def test_every_move_is_that_of_pettingzoo(name):
    rng = np.random.default_rng(0)
    n_boards = 3
    games = GAMES[name](n_boards)
    raw = [pettingzoo.make("aec", name) for _ in range(n_boards)]
    assert games.agents == raw[0].possible_agents
    for env in raw:
        env.reset()
    ended = {"won": 0, "drawn": 0, "illegal": 0}
    boards = np.arange(n_boards)
    for _ in range(600 if name.endswith("tictactoe_v3") else 900):
        seen, legal = games.observe(boards, games.mover), games.legal(boards)
        actions = []
        for board, env in enumerate(raw):
            observation = env.observe(env.agent_selection)
            assert env.agent_selection == games.agents[games.mover[board]]
            np.testing.assert_array_equal(seen[board], observation["observation"])
            np.testing.assert_array_equal(legal[board], observation["action_mask"] == 1)
            illegal = np.flatnonzero(~legal[board])
            choice = illegal if len(illegal) and rng.random() < 0.02 else np.flatnonzero(legal[board])
            actions.append(rng.choice(choice))
        movers = games.mover.copy()
        over, rewards = games.play(boards, np.array(actions))
        for board, env in enumerate(raw):
            assert (bool(over[board]), rewards[board].tolist()) == raw_move(env, int(actions[board]))
            if over[board]:
                kind = "drawn" if not rewards[board].any() else "won" if rewards[board].sum() == 0 else "illegal"
                ended[kind] += 1
                for player, agent in enumerate(games.agents):
                    last = games.observe(boards[[board]], np.array([player]))[0]
                    np.testing.assert_array_equal(last, env.observe(agent)["observation"])
                assert kind != "won" or rewards[board, movers[board]] == 1
                env.reset()
                games.reset(boards[[board]])
    assert min(ended["won"], ended["illegal"]) > 5
    assert ended["drawn"] > 5 or name.endswith("connect_four_v3")


def test_a_full_board_without_a_line_is_a_draw():
    """Connect Four, column by column in an order that makes no line."""
    games = connect_four(1)
    board = np.array([0])
    results = [games.play(board, np.array([column])) for column in [0, 1, 2, 4, 3, 5, 6] * 6]
    assert [bool(over[0]) for over, _ in results] == [False] * 41 + [True]
    assert results[-1][1].tolist() == [[0.0, 0.0]]


def test_other_boards_are_left_alone():
    games = tic_tac_toe(3)
    games.play(np.array([1]), np.array([4]))
    assert games.stones.sum(axis=(1, 2)).tolist() == [0, 1, 0]
    assert games.mover.tolist() == [0, 1, 0]
    games.reset(np.array([1]))
    assert not games.stones.any()
    assert games.mover.tolist() == [0, 0, 0]


def test_lines_of_any_length_on_any_board():
    games = LineGames(1, 5, 8, 5, falling=True)
    board = np.array([0])
    moves = [0, 0, 1, 1, 2, 2, 3, 3, 4]
    *before, (over, rewards) = [games.play(board, np.array([column])) for column in moves]
    assert not any(over[0] for over, _ in before)
    assert over[0]
    assert rewards.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("kwargs", [{"n_boards": 0}, {"rows": 0}, {"length": 1}, {"length": 9}])
def test_impossible_games(kwargs):
    with pytest.raises(ValueError, match=str(next(iter(kwargs.values())))):
        LineGames(**{"n_boards": 1, "rows": 6, "columns": 7, "length": 4, **kwargs})
