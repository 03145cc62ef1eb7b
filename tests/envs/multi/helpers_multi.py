"""What the tests of several environments share: the API tests, and the rules of the grid games written out slowly."""

import warnings

from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.utils.conversions import parallel_to_aec

MOVES = [(-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)]


def check_api(make):
    """PettingZoo's own tests; a warning fails, but for one against observations that are numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Observation is not a NumPy array")
        parallel_api_test(make(), num_cycles=300)
        api_test(parallel_to_aec(make()), num_cycles=300)
        parallel_seed_test(make, num_cycles=300)
        seed_test(lambda: parallel_to_aec(make()), num_cycles=300)


def target(rows, place, action, closed):
    """Where a move from (row, column) leads: one cell on, unless there is no cell, or its letter is closed."""
    row, column = place[0] + MOVES[action][0], place[1] + MOVES[action][1]
    inside = 0 <= row < len(rows) and 0 <= column < len(rows[0])
    return (row, column) if inside and rows[row][column] not in closed else place
