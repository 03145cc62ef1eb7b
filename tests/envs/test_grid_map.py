"""Maps: what they read, what they refuse (and which cell they name), and the ones drawn at random."""

import json

import numpy as np
import pytest

from sb3_ext.envs import GridWorld
from sb3_ext.envs.grid.checks import _flood, _predecessors, _successors
from sb3_ext.envs.grid.map import GridMap, connected, random_map


def test_text_rows_and_indentation():
    indented = GridMap.from_text("""
        S.#
        .HG
    """)
    assert indented.to_text() == "S.#\n.HG" == GridMap.from_text("S.#  \n.HG\n\n").to_text()
    assert indented.shape == (2, 3)
    assert indented.cells("#H") == [(0, 2), (1, 1)]
    assert indented.mask("G").tolist() == [[False] * 3, [False, False, True]]


def test_description_survives_json():
    grid_map = GridMap.from_text(["SaG", "b.x"], wind=[0, 1, -2], rewards={"x": -5.0}, jumps={"a": ("b", 3.0)})
    copy = GridMap.from_dict(json.loads(json.dumps(grid_map.to_dict())))
    assert copy.to_dict() == grid_map.to_dict()
    assert copy.wind.tolist() == [[0, 1, -2]] * 2
    assert copy.jumps == {"a": ("b", 3.0)}
    by_cell = GridMap.from_text(["S.G"], rewards=[[np.nan, 2.0, np.nan]])
    again = GridMap.from_dict(json.loads(json.dumps(by_cell.to_dict())))
    np.testing.assert_array_equal(again.cell_rewards, [[np.nan, 2.0, np.nan]])


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("", {}, "the map is empty"),
        (["S.", "..G"], {}, "row 1 has 3 cells, row 0 has 2: fill up"),
        ("S.G\n   \n...", {}, "row 1 has 0 cells, row 0 has 3"),
        (["S G"], {}, r"cell \(0, 1\): a space is no cell; write '.'"),
        (["SAa"], {"jumps": {"A": "a"}}, r"the jump from 'A' must be \(letter it leads to, reward\), .* got 'a'"),
        (["SAa"], {"jumps": {"A": ("a", "b")}}, r"the jump from 'A' must be .* got \('a', 'b'\)"),
        ([1, 2], {}, r"text or a list of rows, each a string, got \[1, 2\]"),
        (["S.", "?G"], {}, r"cell \(1, 0\): unknown letter '\?'; the letters are"),
        (["SDG"], {}, r"cell \(0, 1\): a door 'D', but there is no key"),
        (["S.G"], {"wind": [0, 1]}, r"wind must be 3 integers \(one a column\)"),
        (["S.G"], {"wind": [0.5, 0, 0]}, "wind must be 3 integers"),
        (["S.G"], {"wind": [0, 0, 300]}, "at most 100 cells, got 300"),
        (["S.G"], {"rewards": [[1.0, 2.0]]}, r"rewards must be given for \[1, 3\] cells"),
        (["S.G"], {"rewards": [[1.0, np.inf, 2.0]]}, r"cell \(0, 1\): a reward must be finite .* got inf"),
        (["S.G"], {"rewards": {"xy": 1.0}}, "by one letter, got 'xy'"),
        (["S.G"], {"rewards": {".": np.inf}}, "letter '.'.* finite.*inf"),
        (["SAG"], {"jumps": {"A": ("a", 1.0)}}, "leads to 'a', of which the map has 0, not 1"),
        (["SA#"], {"jumps": {"A": ("#", 1.0)}}, "must lead from one free cell to another"),
    ],
)
def test_bad_maps_are_refused(text, arguments, message):
    with pytest.raises(ValueError, match=message):
        GridMap.from_text(text, **arguments)


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        (["S..", "..."], {}, "no goal: mark one or more cells 'G', or give require_goal=False"),
        (["..G"], {}, "no start: mark one or more cells 'S', or give random_start=True"),
        (["S#G"], {}, r"cell \(0, 2\): the goal cannot be reached .*require_goal=False"),
        (["G#S.G"], {}, r"cell \(0, 0\): the goal cannot be reached"),
        (["S.G#S"], {}, r"cell \(0, 4\): no goal can be reached from this start"),
        (["SDG", "##K"], {}, r"cell \(0, 2\): the goal cannot be reached"),
        (["S<G"], {}, r"cell \(0, 2\): the goal cannot be reached"),
        (["SCG", "S.."], {}, r"cell \(0, 1\): a cliff 'C' sends back to the one start 'S', and the map has 2"),
        ("S.G", {"slip": 1.5}, "slip is a probability, from 0 to 1, got 1.5"),
        ("S.G", {"slip": -0.1}, "slip is a probability, from 0 to 1, got -0.1"),
        ("S.G", {"slip": float("nan")}, "got nan"),
        ("S.G", {"goal_reward": float("inf")}, "goal_reward must be finite, got inf"),
        ("S.G", {"observation": "pixels"}, "unknown observation mode 'pixels'; choose one of index"),
        ("S.G", {"render_mode": "svg"}, "render_mode must be one of .*got 'svg'"),
        ("CliffWalkin", {}, "'CliffWalkin' is no layout .*CliffWalking.* unknown letter"),
        ("S.G", {"change": (0, "S.G")}, "a number of steps from 1 .* got 0"),
        ("S.G", {"change": (5, "S..G")}, r"same shape \(1, 3\)"),
        ("S.G", {"change": (5, "S#G")}, r"cell \(0, 2\): the goal cannot be reached"),
        ("S.G", {"change": (5, "S..")}, "no goal"),
        ("S.G", {"change": 5}, r"change must be \(number of steps, map\), got 5"),
        ("S.G", {"change": (5, "S.G"), "redraw_obstacles": 0}, "give one of them"),
        (["S..", "..G"], {"redraw_obstacles": 1, "wind": [0, 1, 0]}, r"cell \(0, 1\): .* would drop wind"),
        (["SH.", "..G"], {"redraw_obstacles": 1}, r"cell \(0, 1\): redraw_obstacles .* would drop 'H'"),
        (["...", ".SG"], {"redraw_obstacles": 1}, r"cell \(1, 1\): redraw_obstacles .* would drop 'S'"),
        ("KeyDoor", {"redraw_obstacles": 1}, r"cell \(1, 1\): .* would drop 'S'"),
        (
            GridMap.from_text(["Sx.", "..G"], rewards={"x": 1.0}),
            {"redraw_obstacles": 1},
            r"\(0, 1\).* a reward of its own",
        ),
        (None, {}, "a map is the name of a layout .* got None"),
        (5, {}, "a map is the name of a layout .* got 5"),
        ("S.G", {"slip": "a"}, "slip must be a number, got 'a'"),
        ("S.G", {"king_moves": "no"}, "king_moves must be True or False, got 'no'"),
        ("S.G", {"goal_ends": 0}, "goal_ends must be True or False, got 0"),
        ("S.G", {"goal_reward": "a"}, "goal_reward must be a number, got 'a'"),
        ("S.G", {"wind": [1, 0]}, "wind must be 3 integers"),
        ("S.G", {"redraw_obstacles": 7}, "has room for 0 to 0 obstacles, got 7"),
    ],
)
def test_bad_worlds_are_refused(text, arguments, message):
    with pytest.raises(ValueError, match=message):
        GridWorld(text, **arguments)


def test_an_unreachable_goal_can_be_allowed():
    assert GridWorld(["S#G"], require_goal=False).mdp.n_states == 3
    assert GridWorld(["S.."], require_goal=False).mdp.n_states == 3


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("size", "n_obstacles"), [(5, 3), (5, 16), ((3, 8), 9), ((1, 2), 0), (30, 350)])
def test_random_maps_have_their_obstacles_and_a_path(size, n_obstacles, seed):
    grid_map = random_map(size, n_obstacles, seed)
    assert grid_map.mask("#").sum() == n_obstacles
    assert grid_map.letters[0, 0] == "S"
    assert grid_map.letters[-1, -1] == "G"
    assert connected(grid_map.mask("#"))
    assert grid_map.to_text() == random_map(size, n_obstacles, seed).to_text()
    GridWorld(grid_map)  # checks the path by its own means


def test_random_obstacles_are_anywhere():
    walls = np.mean([random_map(4, 2, seed).mask("#") for seed in range(400)], axis=0)
    assert walls[0, 0] == walls[-1, -1] == 0
    assert (walls[1:-1] > 0.05).all()


@pytest.mark.parametrize(("size", "n_obstacles"), [(4, 10), (4, -1), (1, 0)])
def test_impossible_random_maps_are_refused(size, n_obstacles):
    with pytest.raises(ValueError, match=r"room for 0 to 9 obstacles|at least two cells"):
        random_map(size, n_obstacles, 0)


@pytest.mark.parametrize("size", [4.0, "ab", (4, 2.5), (3,), None])
def test_sizes_that_are_no_whole_numbers_are_refused(size):
    with pytest.raises(ValueError, match="size must be a whole number of cells, or"):
        random_map(size, 0)


def test_numpys_whole_numbers_are_sizes():
    assert random_map(np.int64(4), np.int64(2), 1).to_text() == random_map(4, 2, 1).to_text()
    assert random_map((np.int32(2), 3), 0).shape == (2, 3)
    with pytest.raises(ValueError, match=r"number of obstacles must be a whole number, got 2\.5"):
        GridWorld(["....", "...."], redraw_obstacles=2.5)


def test_worlds_can_be_written_and_read(tmp_path):
    world = GridWorld("BlockingMaze", slip=0.1)
    world.to_file(tmp_path / "maze.json")
    again = GridWorld.from_file(tmp_path / "maze.json", observation="coordinates")
    assert again.to_dict() == world.to_dict()
    assert again.rules == world.rules
    (tmp_path / "map.txt").write_text("S.\n.G\n")
    assert GridWorld.from_file(tmp_path / "map.txt", slip=0.5).rules.slip == 0.5
    (tmp_path / "bad.json").write_text('{"map": ["S.G"], "rules": {"slipp": 1}}')
    with pytest.raises(ValueError, match=r"unknown rules \['slipp'\]; there are slip"):
        GridWorld.from_file(tmp_path / "bad.json")
    for text, message in [
        ('{"map": ["S.G"], "slip": 0.5}', r"unknown keys \['slip'\] of a world; .* under 'rules'"),
        ('{"map": ["S.G"], "change": {"after": 1, "map": ["S.G"], "slip": 0.5}}', r"\['slip'\] of a change"),
        ('{"map": ["S.G"], "change": {"map": ["S.G"]}}', "a change needs 'after'"),
    ]:
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            GridWorld.from_file(tmp_path / "bad.json")
    (tmp_path / "broken.json").write_text('{"map": ["S.G"')
    with pytest.raises(ValueError, match=r"broken.json begins like JSON, but is not"):
        GridWorld.from_file(tmp_path / "broken.json")
    (tmp_path / "empty.json").write_text('{"rules": {}}')
    with pytest.raises(ValueError, match=r"needs a 'map'"):
        GridWorld.from_file(tmp_path / "empty.json")


def test_the_later_map_is_written_and_read_with_all_it_says():
    later = GridMap.from_text(["SxAaG"], wind=[0, 0, 1, 0, 0], rewards={"x": -3.0}, jumps={"A": ("a", 2.0)})
    world = GridWorld(["S...G"], change=(1, later))
    again = GridWorld.from_dict(json.loads(json.dumps(world.to_dict())))
    assert again.to_dict() == world.to_dict()
    again.reset(seed=0)
    again.step(0)
    assert again.grid_map.to_dict() == later.to_dict()
    assert again.step(1)[1] == -3.0
    again.step(1)
    assert again.step(3)[:2] == (3, 2.0)


@pytest.mark.parametrize("seed", range(20))
def test_what_can_be_reached_is_what_repeated_steps_reach(seed):
    rng = np.random.default_rng(seed)
    letters = rng.choice(list("..#H>K"), size=(8, 9))
    letters[0, 0], letters[-1, -1] = "S", "G"
    mdp = GridWorld(["".join(row) for row in letters], require_goal=False, slip=0.2 * (seed % 2)).mdp
    steps = np.zeros((mdp.n_states, mdp.n_states), dtype=bool)
    steps[np.arange(mdp.n_states)[:, None, None], mdp.next_state] = True
    sources = np.flatnonzero(rng.random(mdp.n_states) < 0.05)
    for graph, matrix in ((_successors(mdp), steps), (_predecessors(mdp), steps.T)):
        reached = np.isin(np.arange(mdp.n_states), sources)
        for _ in range(mdp.n_states):
            reached = reached | (reached @ matrix)
        np.testing.assert_array_equal(_flood(graph, sources), reached)


def test_a_path_through_every_row_of_a_large_map_is_followed():
    rows = ["." * 200 if row % 2 == 0 else "#" * 199 + "." if row % 4 == 1 else "." + "#" * 199 for row in range(201)]
    rows[0] = "S" + rows[0][1:]
    assert GridWorld([*rows[:-1], "." * 199 + "G"]).mdp.n_states == 201 * 200
    with pytest.raises(ValueError, match=r"cell \(200, 199\): the goal cannot be reached"):
        GridWorld([*rows[:-2], "#" * 200, "." * 199 + "G"])
