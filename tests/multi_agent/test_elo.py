"""Elo against hand-computed numbers and against players of known strength."""

import numpy as np
import pytest

from sb3_ext.multi_agent.elo import INITIAL_ELO, expected_score, updated_elo


@pytest.mark.parametrize(("difference", "score"), [(0, 0.5), (400, 10 / 11), (-400, 1 / 11), (200, 0.7597469)])
def test_expected_score(difference: float, score: float) -> None:
    assert expected_score(1234.0 + difference, 1234.0) == pytest.approx(score)


@pytest.mark.parametrize(("result", "gain"), [(1, 32 / 11), (0, 32 * (0.5 - 10 / 11)), (-1, -320 / 11)])
def test_updated_elo(result: int, gain: float) -> None:
    assert updated_elo(1400.0, 1000.0, result, k=32.0) == pytest.approx(1400.0 + gain)


def test_rating_follows_a_learner_that_improves() -> None:
    """True strength rises from 0 to 800 above the start; a snapshot every 200 games keeps its rating."""
    generator = np.random.default_rng(0)
    rating, n_games = INITIAL_ELO, 12_000
    snapshots = [(INITIAL_ELO, 0.0)]  # rating, true strength
    for game in range(n_games):
        strength = 800.0 * game / n_games
        opponent_rating, opponent_strength = snapshots[generator.integers(max(0, len(snapshots) - 20), len(snapshots))]
        won = generator.random() < expected_score(strength, opponent_strength)
        rating = updated_elo(rating, opponent_rating, 1 if won else -1)
        if (game + 1) % 200 == 0:
            snapshots.append((rating, strength))
    ratings, strengths = np.array(snapshots).T
    assert np.corrcoef(ratings, strengths)[0, 1] > 0.97
    assert rating - INITIAL_ELO == pytest.approx(800.0, abs=120.0)
