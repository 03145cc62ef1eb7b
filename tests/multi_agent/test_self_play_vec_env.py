"""Self-play on many boards at once: the same games as on one, and each opponent is asked once."""

from pathlib import Path
from typing import Any

import numpy as np
import pettingzoo
import pytest
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import DQN
from stable_baselines3.common.monitor import Monitor

from sb3_ext.envs.multi.line_games import connect_four, tic_tac_toe
from sb3_ext.multi_agent import OpponentPool, SelfPlayCallback, SelfPlayEnv, SelfPlayVecEnv

SEATS = ["player_1", "player_2"]


def lowest(observation: Any, action_mask: np.ndarray, agent: str, generator: np.random.Generator) -> int:
    return int(np.flatnonzero(action_mask)[0])


def play(env: SelfPlayVecEnv, n_steps: int, seed: int = 0) -> list[tuple[Any, ...]]:
    """Random legal moves."""
    rng = np.random.default_rng(seed)
    seen: list[tuple[Any, ...]] = [(env.reset(),)]
    for _ in range(n_steps):
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in env.action_masks()])
        seen.append((actions, *env.step(actions)))
    return seen


def learner(env: Any = None) -> MaskablePPO:
    env = env or SelfPlayVecEnv(tic_tac_toe(4))
    return MaskablePPO("MlpPolicy", env, n_steps=16, batch_size=32, n_epochs=1, policy_kwargs={"net_arch": [8]}, seed=0)


@pytest.mark.parametrize("seat", SEATS)
def test_one_board_is_played_as_self_play_env_plays_it(seat: str) -> None:
    many = SelfPlayVecEnv(tic_tac_toe(1), lowest, seat)
    one = SelfPlayEnv(pettingzoo.make("aec", "classic/tictactoe_v3"), lowest, seat)
    rng = np.random.default_rng(0)
    rows, (seen, _) = many.reset(), one.reset(seed=0)
    n_ended = 0
    for _ in range(200):
        np.testing.assert_array_equal(rows[0], seen)
        np.testing.assert_array_equal(many.action_masks()[0], one.action_masks())
        action = rng.choice(np.flatnonzero(one.action_masks())) if rng.random() < 0.95 else rng.integers(9)
        rows, rewards, dones, infos = many.step(np.array([action]))
        seen, reward, terminated, truncated, info = one.step(action)
        assert (rewards[0], dones[0]) == (reward, terminated or truncated)
        if terminated or truncated:
            n_ended += 1
            np.testing.assert_array_equal(infos[0]["terminal_observation"], seen)
            assert infos[0]["self_play"] == info["self_play"]
            assert infos[0]["TimeLimit.truncated"] is False
            seen, _ = one.reset()
    assert n_ended > 30


def test_results_returns_and_lengths_are_reported() -> None:
    env = SelfPlayVecEnv(connect_four(16), "random", seed=0)
    lengths, found = np.zeros(16, int), set()
    for actions, _, rewards, dones, infos in play(env, 200)[1:]:
        lengths += 1
        for board in range(16):
            assert ("self_play" in infos[board]) == dones[board]
            if dones[board]:
                game, episode = infos[board]["self_play"], infos[board]["episode"]
                assert game["result"] == rewards[board] == episode["r"]
                assert episode["l"] == lengths[board]
                assert set(game["opponents"]) == {"player_0", "player_1"} - {game["seat"]}
                assert set(game["opponents"].values()) == {"random"}
                lengths[board] = 0
                found.add((game["seat"], game["result"]))
            else:
                assert rewards[board] == 0
        assert actions.shape == (16,)
    assert found == {(seat, result) for seat in ("player_0", "player_1") for result in (-1, 1)}


def test_seats() -> None:
    for seat, expected in (("player_1", [0]), ("player_2", [1]), ("alternating", [0, 1])):
        env = SelfPlayVecEnv(tic_tac_toe(8), "random", seat, seed=0)
        stones = env.reset().sum(axis=(1, 2, 3)).tolist()
        assert sorted(set(stones)) == expected
        assert seat != "alternating" or stones.count(0) == 4
    games: dict[int, list[str]] = {board: [] for board in range(8)}
    for _, _, _, _, infos in play(env, 40)[1:]:
        for board, info in enumerate(infos):
            if "self_play" in info:
                games[board].append(info["self_play"]["seat"])
    for seats in games.values():
        assert seats == [SEATS[(i + SEATS.index(seats[0])) % 2] for i in range(len(seats))]
    drawn = SelfPlayVecEnv(tic_tac_toe(400), "random", seed=0).reset().sum(axis=(1, 2, 3))
    assert 150 < drawn.sum() < 250


def test_a_function_is_told_its_seat_and_shown_its_side() -> None:
    calls = []

    def player(observation: np.ndarray, mask: np.ndarray, agent: str, generator: np.random.Generator) -> int:
        calls.append((agent, int(observation[..., 0].sum()), int(observation[..., 1].sum()), int(mask.sum())))
        return int(np.flatnonzero(mask)[0])

    play(SelfPlayVecEnv(tic_tac_toe(4), player, seed=0), 20)
    for agent, own, other, free in calls:
        assert own == other - (agent == "player_2")
        assert free == 9 - own - other
    assert {agent for agent, *_ in calls} == set(SEATS)


def test_a_model_is_asked_once_for_all_boards() -> None:
    model = learner()
    sizes = []
    predict = model.policy.predict

    def counting(observation: np.ndarray, action_masks: Any = None, **kwargs: Any) -> Any:
        sizes.append(len(observation))
        return predict(observation, action_masks=action_masks, **kwargs)

    model.policy.predict = counting  # type: ignore[method-assign]
    env = SelfPlayVecEnv(tic_tac_toe(32), model, "player_1", seed=0)
    env.reset()
    assert sizes == []
    env.step(np.zeros(32, int))
    assert sizes == [32]


def test_an_opponent_plays_legal_moves_only() -> None:
    """An illegal one would be a win without a reward."""
    for _, _, rewards, dones, infos in play(SelfPlayVecEnv(tic_tac_toe(32), learner(), seed=0), 30)[1:]:
        for board in np.flatnonzero(dones):
            assert infos[board]["self_play"]["result"] == rewards[board]


def test_same_seed_same_games() -> None:
    def digest(seed: int | None, model_seed: int | None = None) -> list[Any]:
        env = SelfPlayVecEnv(connect_four(4), learner(SelfPlayVecEnv(connect_four(4))), seed=seed)
        if model_seed is not None:
            env.seed(model_seed)
        return [[np.asarray(part).tolist() for part in step[:4]] for step in play(env, 30)]

    assert digest(3) == digest(3) == digest(None, model_seed=3)
    assert digest(3) != digest(4)


def test_games_begin_with_random_moves() -> None:
    """0 to 3 of them, each number about as often; the learner's side is to move."""
    env = SelfPlayVecEnv(connect_four(4000), seat="player_0", seed=0, random_opening=3)
    boards = env.reset()
    stones = boards.sum(axis=(1, 2, 3))  # after 1 or 3 moves the opponent made one more
    assert np.bincount(stones, minlength=5)[[0, 2, 4]] / 4000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert (boards[..., 0].sum(axis=(1, 2)) == boards[..., 1].sum(axis=(1, 2))).all()
    assert len(np.unique(boards.reshape(4000, -1), axis=0)) > 500


def test_a_game_that_the_learner_never_played_is_not_reported() -> None:
    """Random openings of tic-tac-toe often leave the opponent a winning move, or end the game."""
    env = SelfPlayVecEnv(tic_tac_toe(200), lowest, seed=0, random_opening=7)
    for _, _, _, dones, infos in play(env, 20)[1:]:
        assert all(infos[i]["episode"]["l"] >= 1 for i in np.flatnonzero(dones))
    assert env.action_masks().any(axis=1).all()


def test_it_plays_from_a_pool_and_the_callback_rates_it(tmp_path: Path) -> None:
    pool = OpponentPool(tmp_path, sampling="uniform", latest_share=0.5)
    env = SelfPlayVecEnv(tic_tac_toe(8), pool, seed=0)
    callback = SelfPlayCallback(pool, every=256)
    learner(env).learn(1024, callback)
    assert len(pool.snapshots) == 5
    assert callback.games > 50
    assert sum(snapshot.games for snapshot in pool.snapshots.values()) > 10


def test_sb3_sees_masks_monitor_and_spaces() -> None:
    env = SelfPlayVecEnv(tic_tac_toe(3), seed=0)
    assert is_masking_supported(env)
    env.reset()
    np.testing.assert_array_equal(get_action_masks(env), env.action_masks())
    assert env.env_method("action_masks", indices=[2])[0].shape == (9,)
    assert env.env_is_wrapped(Monitor) == [True] * 3
    assert env.get_attr("seat_order", indices=[0, 1]) == ["random"] * 2
    env.set_attr("seat_order", "player_1")
    assert env.seat_order == "player_1"
    DQN("MlpPolicy", env, learning_starts=8, buffer_size=100, train_freq=1).learn(60)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="random_opening must be at least 0, got -1"):
        SelfPlayVecEnv(tic_tac_toe(1), random_opening=-1)
    with pytest.raises(ValueError, match="there is no seat 'player_3'; choose 'random', 'alternating' or one of"):
        SelfPlayVecEnv(tic_tac_toe(1), seat="player_3")
    with pytest.raises(TypeError, match="is no player"):
        SelfPlayVecEnv(tic_tac_toe(1), opponents=3)
    env = SelfPlayVecEnv(tic_tac_toe(2))
    env.reset()
    with pytest.raises(ValueError, match="got 3 actions for 2 boards"):
        env.step(np.zeros(3, int))
