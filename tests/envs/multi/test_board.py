"""The board: what a map says, where moves lead, who gives way."""

from itertools import permutations, product

import numpy as np
import pytest

from sb3_ext.envs.multi.board import destinations, give_way, read_board


def test_only_what_does_not_move_is_left_on_the_map():
    grid_map, cells = read_board("""
        S.B
        #RG
    """, "SRBG")  # fmt: skip
    assert grid_map.to_text() == "S..\n#.G"
    assert {letter: cells[letter] for letter in "SBRG"} == {"S": [0], "B": [2], "R": [4], "G": [5]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["S.", "H."], r"cell \(1, 0\): 'H' has no meaning here; the letters are # \. S R"),
        (["S.", "^."], r"cell \(1, 0\): '\^' has no meaning"),
        (["SX"], r"cell \(0, 1\): 'X' has no meaning here"),
        (["S.", "."], "row 1 has 1 cells"),
        ("", "the map is empty"),
        (3, "a map must be text or a list of rows"),
    ],
    ids=["hole", "arrow", "unknown", "ragged", "empty", "number"],
)
def test_bad_maps_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        read_board(rows, "SR")


def test_moves_stop_at_walls_and_borders():
    """A 2 x 3 board with a wall at (0, 1), by hand: up, right, down, left, stay."""
    closed = np.array([[False, True, False], [False, False, False]])
    expected = {0: [0, 0, 3, 0, 0], 2: [2, 2, 5, 2, 2], 3: [0, 4, 3, 3, 3], 4: [4, 5, 4, 3, 4], 5: [2, 5, 5, 4, 5]}
    leads_to = destinations(closed)
    assert {cell: leads_to[cell].tolist() for cell in expected} == expected


@pytest.mark.parametrize(
    ("cells", "wanted", "after"),
    [
        ([0, 5], [1, 4], [1, 4]),
        ([0, 2], [1, 1], [0, 2]),
        ([0, 1], [1, 0], [0, 1]),
        ([0, 1], [1, 2], [0, 2]),
        ([0, 1], [1, 1], [0, 1]),
        ([0, 1, 2], [1, 2, 3], [0, 1, 3]),
        ([0, 2, 9], [1, 1, 8], [0, 2, 8]),
    ],
    ids=["free", "same cell", "change places", "follow", "occupied", "a queue", "a third one"],
)
def test_who_gives_way(cells, wanted, after):
    assert give_way(np.array(cells), np.array(wanted)).tolist() == after


def test_two_are_never_in_one_cell():
    leads_to = destinations(np.zeros((2, 3), dtype=bool))
    for cells in permutations(range(6), 3):
        for actions in product(range(5), repeat=3):
            after = give_way(np.array(cells), leads_to[list(cells), list(actions)])
            assert len(set(after.tolist())) == 3
