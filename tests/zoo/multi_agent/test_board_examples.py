"""What the self-play examples are made of."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ext.envs.multi.line_games import connect_four, tic_tac_toe
from sb3_ext.multi_agent import OpponentPool, SelfPlayVecEnv
from sb3_ext.zoo.multi_agent.board_game import EntropySchedule, Looks, play_games
from sb3_ext.zoo.multi_agent.examples import shipped_model
from sb3_ext.zoo.multi_agent.networks import BoardConvolution
from sb3_ext.zoo.multi_agent.players import connect_four_one_ply


def lowest(observation, mask, agent, generator):
    return int(np.flatnonzero(mask)[0])


class Lowest:
    """Plays like ``lowest``, as a model."""

    def predict(self, observations, action_masks, deterministic):
        return action_masks.argmax(axis=1), None


def learner(n_envs=8):
    env = SelfPlayVecEnv(tic_tac_toe(n_envs), seed=0)
    return MaskablePPO("MlpPolicy", env, n_steps=16, batch_size=64, n_epochs=1, seed=0)


def test_features_of_every_window():
    space = spaces.Box(0, 1, (6, 7, 2), np.int8)
    network = BoardConvolution(space, filters=5)
    boards = torch.zeros(3, 6, 7, 2)
    assert network(boards).shape == (3, network.features_dim) == (3, 60)
    with torch.no_grad():
        network.convolution.weight.zero_()
        network.convolution.bias.zero_()
        network.convolution.weight[0, 1, 3, 0] = 1.0  # the other player's stone in the lower left of a window
    boards[0, 4, 2, 1] = 1.0
    assert network(boards).nonzero().tolist() == [[0, 1 * 4 + 2]]  # the window at row 1, column 2


def test_the_entropy_coefficient_falls_geometrically():
    seen = []

    class Watch(BaseCallback):
        def _on_step(self):
            return True

        def _on_rollout_end(self):
            seen.append(self.model.ent_coef)

    learner().learn(640, [EntropySchedule(0.1, 0.001), Watch()])
    assert len(seen) == 5
    np.testing.assert_allclose(seen, 0.1 * 0.01 ** (np.arange(5) / 5))


def test_games_from_both_seats():
    """`lowest` against itself in tic-tac-toe: who begins completes the diagonal 6 4 2 first."""
    results = play_games(Lowest(), tic_tac_toe, lowest, n_games=10, seed=0)
    assert sorted(results.tolist()) == [-1] * 5 + [1] * 5


def test_the_one_ply_player_beats_one_that_never_blocks():
    results = play_games(Lowest(), connect_four, connect_four_one_ply, n_games=40, seed=0)
    assert np.mean(results == -1) > 0.8


def test_looks_note_rating_and_wins(tmp_path):
    steps = []
    looks = Looks(OpponentPool(tmp_path), tic_tac_toe, {"lowest": lowest}, every=256, progress=steps.append)
    learner().learn(1024, looks)
    assert looks.steps == [256, 512, 768, 1024]
    assert looks.elo == [1000.0] * 4
    assert all(0 <= share <= 1 for share in looks.wins["lowest"])
    assert sum(steps) == 1024


@pytest.mark.slow
def test_tic_tac_toe_improves_within_a_minute(tmp_path):
    from dataclasses import replace

    from sb3_ext.zoo.multi_agent.board_game import train
    from sb3_ext.zoo.multi_agent.examples import EXAMPLES

    example = EXAMPLES["tic_tac_toe"]
    recipe = replace(example.ways["self-play"]["*"], n_timesteps=100_000)
    trained, looks = train(example, recipe, 0, tmp_path)
    assert np.mean(play_games(trained.models["*"], tic_tac_toe, "random", 200, seed=1) == 1) > 0.85
    assert looks.elo[-1] > 1100


def test_the_model_that_ships_wins() -> None:
    """README: 0.995 against random play, 0.905 against the player that wins or blocks where it can, either seat."""
    model = MaskablePPO.load(shipped_model("connect_four"), device="cpu")
    assert np.mean(play_games(model, connect_four, "random", n_games=100, seed=0) == 1) >= 0.95
    assert np.mean(play_games(model, connect_four, connect_four_one_ply, n_games=200, seed=0) == 1) >= 0.8
