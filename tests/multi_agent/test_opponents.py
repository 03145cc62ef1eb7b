"""Players: random, scripted and learned ones draw from the generator alone and keep to the mask."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ext.multi_agent.masking import legal_actions
from sb3_ext.multi_agent.opponents import ModelOpponent, RandomOpponent, as_opponent, opponent_name
from sb3_ext.zoo.multi_agent.players import (
    connect_four_one_ply,
    tic_tac_toe_losses,
    tic_tac_toe_one_ply,
    tic_tac_toe_perfect,
)

OBSERVATION = np.zeros(3, dtype=np.float32)


class Board(gym.Env[Any, Any]):
    observation_space = spaces.Box(0, 1, (3,), np.float32)
    action_space = spaces.Discrete(5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return OBSERVATION, {}

    def step(self, action: Any) -> Any:
        return OBSERVATION, 0.0, False, False, {}

    def action_masks(self) -> np.ndarray:
        return np.ones(5, dtype=bool)


def model(algorithm: type[BaseAlgorithm], policy: str = "MlpPolicy") -> BaseAlgorithm:
    size = {"buffer_size": 10} if algorithm is DQN else {"n_steps": 8, "batch_size": 8}
    return algorithm(policy, Board(), seed=0, **size)  # type: ignore[call-arg]


def draws(player: Any, mask: np.ndarray, n: int = 200, seed: int = 0) -> list[int]:
    generator = np.random.default_rng(seed)
    return [int(player(OBSERVATION, mask, "player_0", generator)) for _ in range(n)]


def test_random_is_uniform_over_the_legal_actions() -> None:
    chosen = draws(RandomOpponent(), np.array([False, True, False, True, True]), 3000)
    assert set(chosen) == {1, 3, 4}
    assert np.bincount(chosen)[[1, 3, 4]] == pytest.approx(1000, abs=120)


def test_random_needs_a_space_where_there_is_no_mask() -> None:
    with pytest.raises(ValueError, match=r"RandomOpponent\(env\.action_space\('walker_0'\)\)"):
        RandomOpponent()(OBSERVATION, None, "walker_0", np.random.default_rng(0))
    player = RandomOpponent(spaces.Box(-1, 1, (2,)))
    first, again = (player(OBSERVATION, None, "walker_0", np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2,)


@pytest.mark.parametrize("algorithm", [MaskablePPO, PPO])
def test_model_draws_from_the_generator_and_leaves_torch_alone(algorithm: type[BaseAlgorithm]) -> None:
    player, mask = ModelOpponent(model(algorithm)), np.ones(5, dtype=bool)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = draws(player, mask)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    assert draws(player, mask) == first
    assert draws(player, mask, seed=1) != first
    assert len(set(first)) == 5


def test_masked_model_keeps_to_the_mask() -> None:
    mask = np.array([False, True, False, True, False])
    assert set(draws(ModelOpponent(model(MaskablePPO)), mask)) == {1, 3}
    assert len(set(draws(ModelOpponent(model(MaskablePPO), deterministic=True), mask))) == 1


def test_a_model_sees_observations_normalised_as_in_its_training() -> None:
    env = VecNormalize(DummyVecEnv([Board]))
    learned = PPO("MlpPolicy", env, seed=0, n_steps=8, batch_size=8)
    env.obs_rms.mean += 50.0
    seen: list[Any] = []
    learned.policy.predict = lambda observation, **kwargs: (seen.append(observation), None)  # type: ignore
    for norm_obs, expected in ((True, env.normalize_obs(OBSERVATION)), (False, OBSERVATION)):
        env.norm_obs = norm_obs
        ModelOpponent(learned)(OBSERVATION, None, "player_0", np.random.default_rng(0))
        np.testing.assert_array_equal(seen.pop(), expected)


def test_dqn_is_greedy() -> None:
    learner = model(DQN)
    best = int(learner.predict(OBSERVATION, deterministic=True)[0])
    assert set(draws(as_opponent(learner), np.ones(5, dtype=bool))) == {best}


def test_recurrent_models_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="RecurrentPPO is recurrent"):
        draws(ModelOpponent(model(RecurrentPPO, "MlpLstmPolicy")), np.ones(5, dtype=bool))


def test_as_opponent() -> None:
    learner = model(PPO)
    assert isinstance(as_opponent("random"), RandomOpponent)
    assert isinstance(as_opponent(learner), ModelOpponent)
    assert isinstance(as_opponent(learner.policy), ModelOpponent)
    assert as_opponent(connect_four_one_ply) is connect_four_one_ply
    names = [opponent_name(as_opponent(player)) for player in ("random", learner, connect_four_one_ply)]
    assert names == ["random", "PPO", "connect_four_one_ply"]
    with pytest.raises(TypeError, match="3 is no player"):
        as_opponent(3)


def test_mask_from_observation_info_or_space() -> None:
    two = spaces.Discrete(2)
    for observation, info in (({"action_mask": [0, 1], "board": 0}, {}), (0, {"action_mask": np.array([0, 1])})):
        mask = legal_actions(observation, info, two, "player_0")
        assert mask is not None
        assert mask.tolist() == [False, True]
    everything = legal_actions(0, {}, two, "player_0")
    assert everything is not None
    assert everything.all()
    assert legal_actions(0, {}, spaces.Box(-1, 1), "player_0") is None
    with pytest.raises(ValueError, match="player_0 for an action, but its action mask allows none"):
        legal_actions({"action_mask": [0, 0]}, {}, two, "player_0")


# --- scripted players


def board(text: str) -> tuple[np.ndarray, np.ndarray]:
    """From ``x`` (own), ``o`` and ``.``, one word a row: the observation and the mask of free cells or columns."""
    rows = [list(row) for row in text.split()]
    observation = np.stack([np.array(rows) == "x", np.array(rows) == "o"], axis=2).astype(np.int8)
    empty = ~observation.any(axis=2)
    return observation, empty[0] if len(rows) == 6 else empty.ravel()


def moves(player: Any, text: str) -> set[int]:
    generator = np.random.default_rng(0)
    return {player(*board(text), "player_0", generator) for _ in range(200)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("....... ....... ....... ....... ooo.... xxx....", {3}),  # wins, though it could block
        ("....... ....... ....... ....... ....... ooo.xx.", {3}),  # blocks
        ("....... ....... x...... x...... x...... ooo.oo.", {0}),  # wins upwards
        ("....... ....... ....... ..ox... .oxo... oxoo...", {3}),  # blocks 0-1-2-3 by landing on the right row
        ("....... ....... ....... ....... .ooo... .xxx...", {0, 4}),  # either end
        ("....... ....... ....... ...o... .ooo... .xxo...", {3}),  # the gap above is not reachable yet: 3 upwards
        ("....... ....... ....... ....... ....... .......", set(range(7))),
        ("o...... x...... o...... x...... o...... x......", set(range(1, 7))),  # a full column
    ],
    ids=["win", "block", "upwards", "diagonal", "both-ends", "column", "empty", "full-column"],
)
def test_connect_four_one_ply(text: str, expected: set[int]) -> None:
    assert moves(connect_four_one_ply, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("xx. oo. ...", {2}), ("x.. oo. ..x", {5}), ("... ... ...", set(range(9)))],
    ids=["win", "block", "empty"],
)
def test_tic_tac_toe_one_ply(text: str, expected: set[int]) -> None:
    assert moves(tic_tac_toe_one_ply, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("... ... ...", set(range(9))),  # every opening draws
        ("o.. ... ...", {4}),
        ("... .o. ...", {0, 2, 6, 8}),
        ("xx. oo. ...", {2}),
        ("o.. .x. ..o", {1, 3, 5, 7}),  # a corner would lose
    ],
    ids=["opening", "corner", "centre", "win", "trap"],
)
def test_tic_tac_toe_perfect(text: str, expected: set[int]) -> None:
    assert moves(tic_tac_toe_perfect, text) == expected


@pytest.mark.parametrize("first", [True, False])
def test_perfect_play_never_loses_whatever_the_other_does(first: bool) -> None:
    assert tic_tac_toe_losses(tic_tac_toe_perfect, first, perfect=False) == []


def test_losses_are_games_that_the_other_side_won() -> None:
    def lowest(observation: np.ndarray, action_mask: np.ndarray, agent: str, generator: np.random.Generator) -> int:
        return int(np.flatnonzero(action_mask)[0])

    losses = tic_tac_toe_losses(lowest, first=True, perfect=False)
    assert [0, 4, 1, 2, 3, 6] in losses  # the other side has 2, 4, 6
    lines = [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}, {0, 3, 6}, {1, 4, 7}, {2, 5, 8}, {0, 4, 8}, {2, 4, 6}]
    assert all(any(set(moves[1::2]) >= line for line in lines) for moves in losses)
    assert set(map(tuple, tic_tac_toe_losses(lowest, first=True))) < set(map(tuple, losses))
