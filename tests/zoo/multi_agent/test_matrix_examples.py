"""Policy gradients in games of one table: the flow of theory, and that learning follows it."""

import numpy as np
import pytest

from sb3_ext.envs.multi.matrix_game import GAMES
from sb3_ext.zoo.multi_agent.examples import EXAMPLES
from sb3_ext.zoo.multi_agent.matrix_game import Trajectory, report, theory
from sb3_ext.zoo.multi_agent.training import train, with_options


@pytest.mark.parametrize(("name", "mixed"), [("stag_hunt", [0.75, 0.25]), ("rock_paper_scissors", [1 / 3] * 3)])
def test_the_flow_rests_at_a_mixed_equilibrium(name, mixed):
    path = theory(GAMES[name].payoffs, np.array([mixed, mixed]), 200)
    np.testing.assert_allclose(path, np.broadcast_to(mixed, path.shape), atol=1e-9)


def test_the_flow_is_the_gradient_of_the_expected_payoff():
    """By differences: the logits move along the gradient of each player's own payoff."""
    payoffs, start, step = GAMES["rock_paper_scissors"].payoffs, np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]]), 1e-4

    def softmax(logits):
        return np.exp(logits) / np.exp(logits).sum()

    logits = np.log(start)
    moved = np.log(theory(payoffs, start, 1, step)[1]) - logits
    for player in range(2):
        gradient = np.zeros(3)
        for action in range(3):
            for sign in (1, -1):
                strategies = [softmax(logits[p] + sign * 1e-5 * (p == player) * np.eye(3)[action]) for p in range(2)]
                gradient[action] += sign * strategies[0] @ payoffs[player] @ strategies[1] / 2e-5
        np.testing.assert_allclose((moved[player] - moved[player].mean()) / step, gradient - gradient.mean(), atol=1e-4)


@pytest.mark.parametrize("start", [[[0.9, 0.1], [0.9, 0.1]], [[0.3, 0.7], [0.6, 0.4]]])
def test_learning_follows_the_flow(start):
    example = EXAMPLES["prisoners_dilemma"]
    models = with_options(example.ways["independent"], 40_000, 128)
    trajectory = Trajectory(np.array(start))
    train(example, "independent", models, 0, callbacks={"player_0": trajectory})
    path = np.array(trajectory.strategies)
    np.testing.assert_allclose(path[0], start, atol=1e-6)
    flow = theory(GAMES["prisoners_dilemma"].payoffs, path[0], 10 * len(path), 0.01)[::10][: len(path)]
    assert np.abs(path - flow).max() < 0.06
    assert path[-1, 0, 0] < path[0, 0, 0] - 0.1


def test_the_report_names_starts_ends_averages_and_equilibria():
    path = np.array([[[0.8, 0.2], [0.6, 0.4]], [[0.4, 0.6], [0.2, 0.8]]])
    printed = report("stag_hunt", [path])
    assert "average  [0.6 0.4]  [0.4 0.6]" in printed
    assert "pure equilibria: stag and stag, hare and hare" in printed
    assert "mixed equilibrium: [0.75 0.25]  [0.75 0.25]" in printed
    assert "pure equilibria: none" in report("rock_paper_scissors", [np.full((2, 2, 3), 1 / 3)])
