"""Elo ratings of a learner that plays its earlier selves.

The model: a player rated R scores (win 1, draw 1/2, loss 0) against one rated R' on average
    E = 1 / (1 + 10^((R' - R) / 400)),
so that 200 points of difference mean 76 % of the points, 400 mean 91 %. After each game the rating moves by
    R <- R + K * (score - E).

Only the learner's rating moves. A snapshot plays as it did when it was made, so it keeps the rating that the learner
had then; the first one anchors the scale. Moving both ratings, as between people, would pull the snapshots down while
the learner improves, and show about half of its progress.

Source: A. Elo, The Rating of Chessplayers, Past and Present (1978).
"""

INITIAL_ELO = 1000.0
"""Rating of the untrained learner, and of every opponent that is no snapshot of it (the random player)."""


def expected_score(rating: float, opponent_rating: float) -> float:
    """Average score, 0 to 1, of a player against another.

    >>> expected_score(1000.0, 1000.0)
    0.5
    >>> round(expected_score(1400.0, 1000.0), 3)
    0.909
    >>> expected_score(1400.0, 1000.0) + expected_score(1000.0, 1400.0)
    1.0
    """
    return float(1.0 / (1.0 + 10.0 ** ((opponent_rating - rating) / 400.0)))


def updated_elo(rating: float, opponent_rating: float, result: int, k: float = 16.0) -> float:
    """The player's rating after a game.

    Args:
        rating: Of the player, before the game.
        opponent_rating: Of its opponent.
        result: 1 for a win, 0 for a draw, -1 for a loss.
        k: The largest possible change, in points.

    >>> updated_elo(1000.0, 1000.0, result=1)
    1008.0
    >>> updated_elo(1000.0, 1000.0, result=0)
    1000.0
    """
    score = (result + 1) / 2
    return rating + k * (score - expected_score(rating, opponent_rating))
