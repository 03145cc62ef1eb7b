"""What the grid games share: joint actions, bad input, drawing."""

import pickle

import numpy as np
import pytest
from gymnasium import spaces
from pettingzoo.test.state_test import state_test
from pettingzoo.utils.conversions import parallel_to_aec
from PIL import ImageColor

from sb3_ext.envs.grid.frames import GridPainter
from sb3_ext.envs.grid.map import GridMap
from sb3_ext.envs.multi.carry import Carry
from sb3_ext.envs.multi.drawing import GREEN, VERMILLION, Piece, draw_pieces
from sb3_ext.envs.multi.joint_model import all_joint_actions, can_end, joint_index
from sb3_ext.envs.multi.tag import Tag
from sb3_ext.tabular import TabularMDP

STAY = 4


def test_joint_actions_and_their_parts():
    env = Tag(["S.", ".S", ".R"])
    for joint, actions in enumerate(all_joint_actions(3).tolist()):
        separate = dict(zip(["chaser_0", "chaser_1", "runner_0"], actions, strict=True))
        assert env.separate_actions(joint) == separate
        assert env.joint_action(separate) == joint
        assert env.joint_action({name: separate[name] for name in reversed(separate)}) == joint
    assert joint == 124


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ({"a": 1}, "one action for each of a, b, got {'a': 1}"),
        ({"a": 1, "b": 1, "c": 1}, "one action for each of a, b"),
        ({"a": 5, "b": 0}, "the actions of a are 0 to 4, got 5"),
        ({"a": 0, "b": -1}, "the actions of b are 0 to 2, got -1"),
        ({"a": 0.5, "b": 0}, r"the action of a must be a whole number, got 0\.5"),
        ({"a": 0, "b": None}, "the action of b must be a whole number, got None"),
    ],
    ids=["missing", "unknown", "too large", "negative", "half", "none"],
)
def test_actions_that_are_none(actions, message):
    with pytest.raises(ValueError, match=message):
        joint_index(actions, {"a": 5, "b": 3})


def test_arrays_of_one_number_are_actions():
    """What a policy's ``predict`` returns."""
    assert joint_index({"a": np.array(1), "b": np.int64(2)}, {"a": 5, "b": 3}) == 5


@pytest.mark.parametrize("make", [Carry, Tag])
@pytest.mark.filterwarnings("error", "ignore:State numpy array is all zeros")
def test_the_state_is_what_all_observe(make):
    state_test(parallel_to_aec(make()), make())
    env = make()
    env.reset()
    for _ in range(5):
        observations, *_ = env.step(dict.fromkeys(env.agents, 1))
        assert env.state_space == env.observation_space(env.possible_agents[0])
        assert env.state_space.contains(env.state())
        assert env.state() == env.state_index == observations[env.possible_agents[0]]


def test_stepping_too_early_or_with_a_missing_action():
    env = Carry()
    with pytest.raises(RuntimeError, match="call reset"):
        env.step({"carrier_0": STAY, "carrier_1": STAY})
    env.reset()
    with pytest.raises(ValueError, match="one action for each of carrier_0, carrier_1"):
        env.step({"carrier_0": STAY})


@pytest.mark.parametrize("state", [-1, 81, 0, 4, 1.5, "start"])
def test_no_game_begins_where_it_has_ended(state):
    """Outside, both in one cell, in the wall, no number."""
    env = Tag()
    with pytest.raises(ValueError, match=f"the game does not go on from state {state!r}"):
        env.reset(options={"state": state})


def test_a_game_goes_on_from_what_state_returns():
    env = Tag()
    env.reset(options={"state": 5})
    env.reset(options={"state": env.state()})
    assert env.state_index == 5
    with pytest.raises(ValueError, match=r"does not go on from state \[5\]"):
        env.reset(options={"state": [5]})


def test_spaces_and_agents():
    env = Tag(["S.", ".S", ".R"])
    assert env.possible_agents == ["chaser_0", "chaser_1", "runner_0"]
    assert env.observation_space("runner_0") == spaces.Discrete(6**3)
    assert env.action_space("chaser_1") == spaces.Discrete(5)
    assert env.action_space("chaser_0") is not env.action_space("chaser_1")  # each has its own random numbers
    assert env.agents == []


def test_whether_a_game_can_end():
    ring = TabularMDP.from_arrays([[1], [2], [0], [3]], 0.0, [[False], [False], [False], [True]], start=[1, 0, 0, 0])
    assert not can_end(ring)
    chain = TabularMDP.from_arrays([[1], [2], [3], [3]], 0.0, [[False], [False], [True], [True]], start=[1, 0, 0, 0])
    assert can_end(chain)


def test_a_pickled_game_goes_on_as_the_original():
    env = Tag(stumble=0.5, max_steps=20)
    env.reset(seed=1)
    copy = pickle.loads(pickle.dumps(env))
    for _ in range(5):
        actions = {"chaser_0": STAY, "runner_0": 0}
        assert env.step(actions) == copy.step(actions)


# Drawing


def changed_cells(before, after, size):
    rows, columns = np.nonzero((before != after).any(axis=-1))
    return set(zip((rows // size).tolist(), (columns // size).tolist(), strict=True))


@pytest.mark.parametrize("size", [3, 16, 64])
def test_pieces_change_the_cells_they_lie_in(size):
    painter = GridPainter(GridMap.from_text(["S........", ".........", "........G"]), size)
    pieces = [Piece(4, "R", GREEN), Piece(22, "0", VERMILLION), Piece(22, "B", VERMILLION, is_box=True)]
    before, after = painter.frame(), draw_pieces(painter, pieces)
    assert after.shape == before.shape
    assert after.dtype == np.uint8
    changed = changed_cells(before, after, size)
    assert {(0, 4), (2, 4)} <= changed
    if size > 7:  # smaller pieces are marked by a square that is larger than their cell
        assert changed == {(0, 4), (2, 4)}
    if size == 64:
        assert (after[:size] == ImageColor.getrgb(GREEN)).all(axis=-1).any()


def test_text_shows_the_letters(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    env = Carry(render_mode="ansi")
    assert env.render().splitlines()[-1] == "S . . . . . S"
    env.reset()
    assert env.render().splitlines()[-1] == "0 . . B . . 1"
    for joint in ({"carrier_0": 1, "carrier_1": 3},) * 2 + ({"carrier_0": 0, "carrier_1": 0},):
        env.step(joint)
    assert env.render().splitlines() == [". . . G . . .", ". . . # . . .", ". . 0 B 1 . .", "S . . . . . S"]
    chase = Tag(render_mode="ansi")
    chase.reset()
    assert chase.render() == "0 . .\n. # .\n. . R"


def test_pictures_show_where_they_are():
    env = Tag(stumble=0.0, render_mode="rgb_array")
    env.reset()
    before = env.render()
    env.step({"chaser_0": 1, "runner_0": STAY})
    size = before.shape[0] // 3
    assert changed_cells(before, env.render(), size) == {(0, 0), (0, 1)}


def test_a_window_opens_and_closes(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = Tag(render_mode="human")
    env.reset()
    env.step({"chaser_0": 1, "runner_0": STAY})
    assert env.render() is None
    assert env._window.title == "Tag"
    env.close()
    env.close()
