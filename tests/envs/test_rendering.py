import math
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sb3_ext.envs.grid.layouts import LAYOUTS
from sb3_ext.envs.grid.map import GridMap, random_map
from sb3_ext.envs.grid.rendering import (
    MOVES,
    GridPainter,
    Window,
    animate_learning,
    arrow_polygon,
    greedy_strengths,
    record_episode,
    render_policy,
    render_text,
    save_animation,
)
from sb3_ext.envs.grid.triangles import draw_pieces
from sb3_ext.envs.grid.world import GridWorld

SMALL = GridMap.from_text(["S..", ".#.", "H.G"])
KEY_ROOM = GridMap.from_text(["S.#G", "K.D."])
OPEN = GridMap.from_text(["..."] * 3)


def changed_cells(before: np.ndarray, after: np.ndarray, size: int) -> set[tuple[int, int]]:
    rows, columns = np.nonzero((before != after).any(axis=-1))
    return set(zip((rows // size).tolist(), (columns // size).tolist(), strict=True))


def interior(figure: np.ndarray, grid: GridMap, cell: tuple[int, int], size: int) -> np.ndarray:
    """The pixels of one cell in a figure without a title: its map starts below and right of one margin."""
    margin = min(max(max(grid.shape) * size // 40, 11), 24)
    top, left = margin + cell[0] * size, margin + cell[1] * size
    return figure[top : top + size - 1, left : left + size - 1]


# Frames


@pytest.mark.parametrize("size", [1, 3, 7, 20, 64])
def test_frame_has_the_promised_shape(size):
    frame = GridPainter(SMALL, cell_size=size).frame((0, 1))
    assert frame.shape == (3 * size, 3 * size, 3)
    assert frame.dtype == np.uint8


@pytest.mark.parametrize("cell", [(0, 0), (0, 2), (2, 0), (2, 2), (1, 2)])
def test_agent_changes_its_own_cell_only(cell):
    painter = GridPainter(SMALL, cell_size=32)
    assert changed_cells(painter.frame(), painter.frame(cell), 32) == {cell}


def test_frames_do_not_share_memory():
    painter = GridPainter(SMALL)
    first = painter.frame((0, 0))
    expected = first.copy()
    painter.frame((0, 1))[:] = 0
    np.testing.assert_array_equal(painter.frame((0, 0)), expected)


def test_every_kind_of_cell_looks_different():
    wind = [[0] * 12, [0, 0, 1, 2, -1, *[0] * 7]]
    grid = GridMap.from_text(["#.SGHC^>v<KD", "ab...12....."], wind, {"1": 1.0, "2": -1.0}, {"a": ("b", 5.0)})
    frame = GridPainter(grid, cell_size=24).frame()
    looks = [frame[r * 24 : r * 24 + 24, c * 24 : c * 24 + 24].tobytes() for r in range(2) for c in range(12)]
    assert len(set(looks[:19])) == 19
    assert set(looks[19:]) == {looks[1]}


def test_taken_key_and_opened_door_disappear():
    painter = GridPainter(KEY_ROOM, cell_size=32)
    without = painter.frame(gone=[(1, 0), (1, 2)])
    assert changed_cells(painter.frame(), without, 32) == {(1, 0), (1, 2)}
    np.testing.assert_array_equal(without[32:64, :32], painter.frame()[32:64, 32:64])  # like the floor beside it


@pytest.mark.parametrize("cell", [(3, 0), (-1, 0), (0, 3)])
def test_agent_outside_the_map_is_refused(cell):
    message = rf"agent is at \({cell[0]}, {cell[1]}\), outside the map of 3 x 3"
    with pytest.raises(ValueError, match=message):
        GridPainter(SMALL).frame(cell)
    with pytest.raises(ValueError, match=message):
        render_policy(SMALL, values=np.zeros(9), agent=cell)


def test_huge_map_keeps_to_one_pixel_a_cell_and_shows_the_agent():
    grid = random_map(1000, 100_000, seed=0)
    painter = GridPainter(grid)
    assert painter.cell_size == 1
    rows, columns = np.nonzero((painter.frame() != painter.frame((500, 300))).any(axis=-1))
    assert abs(rows - 500).max() <= 4
    assert abs(columns - 300).max() <= 4
    figure = render_policy(grid, q_table=np.arange(4e6).reshape(-1, 4), agent=(500, 300))
    assert max(figure.shape) < 1300


# Arrows


@pytest.mark.parametrize("move", MOVES[8])
def test_arrow_points_along_its_move(move):
    outline = np.array(arrow_polygon(move, -0.3, 0.4))
    direction = np.array([move[1], move[0]]) / math.hypot(*move)  # x, y
    np.testing.assert_allclose(outline[3], 0.4 * direction, atol=1e-12)
    assert (outline @ direction).argmax() == 3
    np.testing.assert_allclose((outline @ direction).min(), -0.3, atol=1e-12)
    np.testing.assert_allclose((outline @ [-direction[1], direction[0]]).sum(), 0, atol=1e-12)  # symmetric


@pytest.mark.parametrize("n_actions", [4, 8])
def test_arrows_in_the_picture_point_where_the_q_table_says(n_actions):
    for action, (down, right) in enumerate(MOVES[n_actions]):
        for best in (action, (action + 1) % n_actions):
            q_table = np.zeros((9, n_actions))
            q_table[:, [action, best]] = 1.0
            flat = render_policy(OPEN, values=np.zeros(9), cell_size=30)
            drawn = render_policy(OPEN, values=np.zeros(9), q_table=q_table, cell_size=30)
            ink = (interior(flat, OPEN, (1, 1), 30) != interior(drawn, OPEN, (1, 1), 30)).any(axis=-1)
            rows, columns = np.nonzero(ink)
            reach = ((rows - 14.5) * down + (columns - 14.5) * right) / math.hypot(down, right) / 30
            assert reach.max() > 0.3  # the tip
            if best == action:  # the head is wider than the tail
                forward = reach > 0.2
                assert forward.sum() > (reach < -0.2).sum()


def test_staying_is_a_disc_in_the_middle():
    policy = np.eye(5)[np.full(9, 4)]
    drawn = interior(render_policy(OPEN, policy=policy, cell_size=30), OPEN, (1, 1), 30)
    rows, columns = np.nonzero(drawn[..., 0] < 128)
    assert abs(rows.mean() - 14.5) < 1
    assert abs(columns.mean() - 14.5) < 1
    assert np.ptp(rows) < 10


def test_likelier_actions_have_longer_arrows():
    lengths = []
    for probability in (0.2, 0.5, 0.8):
        policy = np.tile([0.0, probability, 0.0, 1 - probability], (9, 1))
        drawn = interior(render_policy(OPEN, policy=policy, cell_size=60), OPEN, (1, 1), 60)
        lengths.append(np.nonzero((drawn != drawn[0, 0]).any(axis=-1))[1].max() - 30)
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[1] < lengths[2]


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan) | st.just(-math.inf), min_size=4, max_size=4))
def test_greedy_strengths_mark_exactly_the_best(row):
    marked = greedy_strengths([row])[0]
    known = [value for value in row if not math.isnan(value)]
    if not known:
        assert not marked.any()
        return
    best = max(known)
    for value, mark in zip(row, marked, strict=True):
        if value == best:
            assert mark == 1
        elif math.isnan(value) or value < best - 2e-6 * max(1.0, abs(best)):
            assert mark == 0


# Figures


def test_deterministic_policy_and_its_probabilities_look_the_same():
    actions = np.arange(9) % 4
    np.testing.assert_array_equal(render_policy(SMALL, policy=actions), render_policy(SMALL, policy=np.eye(4)[actions]))


def test_flat_and_square_values_look_the_same():
    values = np.linspace(-1, 1, 9)
    expected = render_policy(SMALL, values=values)
    np.testing.assert_array_equal(render_policy(SMALL, values=values.reshape(3, 3)), expected)


def test_higher_values_are_brighter_and_walls_stay_walls():
    size = 30
    figure = render_policy(SMALL, values=np.arange(9.0), cell_size=size)
    bright = [interior(figure, SMALL, divmod(cell, 3), size)[-3, -3].sum() for cell in (1, 2, 3, 5, 7)]
    assert bright == sorted(bright)
    walls = [interior(render_policy(SMALL, values=v, cell_size=size), SMALL, (1, 1), size) for v in np.eye(2, 9)]
    np.testing.assert_array_equal(*walls)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cell_size", [4, 30, 80])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_unknown_and_infinite_values_can_be_drawn(odd, cell_size):
    values = np.linspace(0, 1, 9)
    values[1] = odd
    figure = render_policy(SMALL, values=values, cell_size=cell_size)
    pixel = interior(figure, SMALL, (0, 1), cell_size)[-1, -1].tolist() if cell_size > 4 else None
    if pixel and math.isnan(odd):
        assert len(set(pixel)) == 1  # grey
    elif pixel:
        extreme = [253, 231, 36] if odd > 0 else [68, 1, 84]  # the ends of viridis
        np.testing.assert_allclose(pixel, extreme, atol=1)
    for everywhere in (np.full(9, odd), np.full((3, 3), odd)):
        assert render_policy(SMALL, values=everywhere, cell_size=cell_size).dtype == np.uint8
    assert render_policy(SMALL, q_table=np.full((9, 4), odd), cell_size=cell_size).dtype == np.uint8


def test_state_never_visited_is_left_white():
    visits = np.arange(9)
    figure = render_policy(OPEN, visits=visits, cell_size=30)
    assert interior(figure, OPEN, (0, 0), 30)[-1, -1].min() > 240
    assert interior(figure, OPEN, (0, 1), 30)[-1, -1].min() < 100


def test_agent_shows_over_the_colours():
    values = np.linspace(0, 1, 9)
    for size in (4, 12, 30, 100):
        plain = render_policy(OPEN, values=values, cell_size=size)
        with_agent = render_policy(OPEN, values=values, cell_size=size, agent=(1, 1))
        rows, columns = np.nonzero((plain != with_agent).any(axis=-1))
        share = len(rows) / size**2
        assert share > 0.3
        middle = np.array(plain.shape[:2]) * 0 + min(max(3 * size // 40, 11), 24) + 1.5 * size
        assert abs(rows - middle[0]).max() <= max(size / 2, 5)
        assert abs(columns - middle[1]).max() <= max(size / 2, 5)


def test_map_with_a_key_has_a_picture_with_and_one_without_it():
    one = render_policy(KEY_ROOM, values=np.arange(8.0), cell_size=40)
    both = render_policy(KEY_ROOM, values=np.arange(16.0), cell_size=40)
    assert both.shape[1] > 1.5 * one.shape[1] - 200
    with_key = render_policy(KEY_ROOM, values=np.arange(16.0), cell_size=40, agent=(0, 1), has_key=True)
    columns = np.nonzero((both != with_key).any(axis=(0, 2)))[0]
    assert columns.min() > 4 * 40  # the agent is in the second picture


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("values", (8,), r"values has shape \(8,\), but a map of 3 x 3 cells needs \(9,\) or \(3, 3\)"),
        ("visits", (3, 4), r"visits has shape \(3, 4\), but a map of 3 x 3 cells needs \(9,\) or \(3, 3\)"),
        ("q_table", (10, 4), r"q_table has shape \(10, 4\), but a map of 3 x 3 cells needs \(9, 4\)"),
        ("q_table", (9, 3), r"q_table has shape \(9, 3\): its last axis must be the actions"),
        ("policy", (8, 4), r"policy has shape \(8, 4\), but a map of 3 x 3 cells needs \(9, 4\)"),
        ("policy", (9,), r"policy has shape \(9,\): its last axis must be the actions"),
    ],
)
def test_wrong_shapes_name_both(name, shape, expected):
    with pytest.raises(ValueError, match=expected):
        render_policy(SMALL, **{name: np.zeros(shape)})


@pytest.mark.parametrize("grid", ["FourRooms", GridWorld("Seeds4x4"), ["S.", ".G"]])
def test_what_is_no_map_is_refused_with_the_way_out(grid):
    for draw in (render_policy, lambda grid, **tables: animate_learning("x.gif", grid, values=[tables["values"]])):
        with pytest.raises(ValueError, match=r"a figure needs a GridMap \(env\.unwrapped\.grid_map\), got"):
            draw(grid, values=np.zeros(16))


# Triangles


@pytest.mark.parametrize("n_actions", [4, 5, 8, 9])
def test_pieces_fill_the_cell_and_point_where_the_action_leads(n_actions):
    size = 61
    image = Image.new("RGB", (size, size), "#FFFFFF")
    colors = np.array([(index + 1, 0, 0) for index in range(n_actions)], dtype=np.uint8)
    draw_pieces(image, (0, 0), size, MOVES[n_actions], colors)
    drawn = np.asarray(image)
    for index, (down, right) in enumerate(MOVES[n_actions]):
        row, column = (30 + 25 * down, 30 + 25 * right)
        assert drawn[row, column].tolist() == [index + 1, 0, 0]
        if n_actions == 4:
            assert (drawn == colors[index]).all(axis=-1).mean() == pytest.approx(1 / 4, abs=0.04)  # less the lines
    assert (drawn[:-1, :-1] == 255).all(axis=-1).sum() == 0


def test_every_action_value_has_its_colour():
    """Only the one of NaN is grey, the one whose value is raised turns bright, and others stay as they were."""
    q_table = np.linspace(0, 1, 36).reshape(9, 4)
    q_table[4] = 0.5
    places = {0: (12, 30), 1: (30, 54), 2: (48, 30), 3: (30, 6)}  # up, right, down, left: away from numbers and lines

    def pieces(table):
        nothing = np.zeros((9, 4))  # a policy without arrows
        figure = render_policy(OPEN, q_table=table, policy=nothing, limits=(0, 1), cell_size=61, triangles=True)
        inside = interior(figure, OPEN, (1, 1), 61)
        return {action: tuple(inside[place].tolist()) for action, place in places.items()}

    before = pieces(q_table)
    assert len(set(before.values())) == 1
    for action in range(4):
        raised, unknown = q_table.copy(), q_table.copy()
        raised[4, action], unknown[4, action] = 1.0, np.nan
        assert {a for a in range(4) if pieces(raised)[a] != before[a]} == {action}
        assert sum(pieces(raised)[action]) > sum(before[action])
        assert pieces(unknown)[action] == (0xE4, 0xE4, 0xE4)


def test_large_pieces_hold_numbers_and_small_ones_arrows():
    """A tiny step from best to second best moves no arrow of its own cell, but its bold, underlined number."""
    q_table = np.full((9, 4), 0.5)
    q_table[4] = [0.5, 0.9, 0.9001, 0.1]
    swapped = q_table.copy()
    swapped[4] = [0.5, 0.9001, 0.9, 0.1]
    for size in (30, 120):
        first, second = (
            render_policy(OPEN, q_table=table, limits=(0, 1), cell_size=size, triangles=True)
            for table in (q_table, swapped)
        )
        margin = min(max(3 * size // 40, 11), 24)
        assert changed_cells(first[margin:, margin:], second[margin:, margin:], size) == {(1, 1)}
    plain = render_policy(OPEN, q_table=q_table, cell_size=120, triangles=True)
    assert plain.shape == render_policy(OPEN, q_table=q_table, cell_size=120).shape


@pytest.mark.parametrize("size", [1, 10, 14, 40, 100])
@pytest.mark.parametrize("n_actions", [4, 5, 8, 9])
def test_triangles_can_be_drawn_at_every_size(n_actions, size):
    for grid, n_states in ((KEY_ROOM, 16), (SMALL, 9)):
        q_table = np.random.default_rng(0).normal(size=(n_states, n_actions))
        q_table[0], q_table[1, 0], q_table[2, 1] = np.nan, np.inf, np.nan
        figure = render_policy(grid, q_table=q_table, cell_size=size, triangles=True, agent=(1, 0))
        assert figure.dtype == np.uint8


@pytest.mark.parametrize("given", [{"values": np.zeros(9)}, {"visits": np.ones(9)}, {"policy": np.zeros(9, int)}])
def test_triangles_need_a_q_table_alone(given):
    tables = given if "policy" in given else {**given, "q_table": np.zeros((9, 4))}
    with pytest.raises(ValueError, match="triangles=True colours cells by a q_table alone"):
        render_policy(SMALL, **tables, triangles=True)


def test_a_film_of_triangles_keeps_its_colours(tmp_path):
    tables = [np.full((9, 4), value) for value in (0.0, 0.5, 1.0)]
    path = animate_learning(tmp_path / "q.gif", OPEN, q_table=tables, cell_size=40, triangles=True)
    with Image.open(path) as film:
        assert film.n_frames == 3


# Tables that do not fit


def test_bad_policies_and_empty_requests_are_refused():
    with pytest.raises(ValueError, match="nothing to draw"):
        render_policy(SMALL)
    with pytest.raises(ValueError, match="actions from -1 to 0, of 4"):
        render_policy(SMALL, policy=-np.eye(9, dtype=int)[0])
    with pytest.raises(ValueError, match="actions from 0 to 9"):
        render_policy(SMALL, policy=np.full(9, 9) * np.eye(9, dtype=int)[0])
    with pytest.raises(ValueError, match="one of 5 or one of 8"):
        render_policy(SMALL, policy=np.full(9, 4))
    with pytest.raises(ValueError, match="probabilities, got 3; give action values as q_table"):
        render_policy(SMALL, policy=np.full((9, 4), 3.0))
    assert render_policy(SMALL, policy=np.full(9, 4), q_table=np.zeros((9, 5))).ndim == 3


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_every_layout_can_be_drawn_with_the_tables_of_its_model(name):
    world = GridWorld(name)
    n_states, n_actions = world.mdp.n_states, world.mdp.n_actions
    q_table = np.random.default_rng(0).normal(size=(n_states, n_actions))
    figure = render_policy(world.grid_map, q_table=q_table, title=name)
    likewise = render_policy(world.grid_map, values=q_table.max(axis=1), policy=np.eye(n_actions)[q_table.argmax(1)])
    assert figure.shape[1] == likewise.shape[1]
    assert 500 < figure.shape[1] < 1600
    np.testing.assert_array_equal(MOVES[n_actions], world.rules.moves)


# Text


def test_text_shows_the_map_and_the_agent_without_colours():
    assert render_text(SMALL, (1, 2), color=False) == "S . .\n. # @\nH . G"


def test_colours_only_add_escape_codes(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    colored = render_text(SMALL, (1, 2))
    assert "\x1b[" in colored
    stripped = "".join(part.partition("m")[2] if i else part for i, part in enumerate(colored.split("\x1b[")))
    assert stripped == render_text(SMALL, (1, 2), color=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert render_text(SMALL, (1, 2)) == stripped


def test_text_arrows_show_ties_and_keep_columns_aligned():
    q_table = np.zeros((9, 4))
    q_table[1, 1] = 1.0
    q_table[0, [1, 2]] = 1.0
    q_table[5] = np.nan
    text = render_text(SMALL, q_table=q_table, color=False)
    assert text.splitlines()[0] == "→↓   →    ↑→↓←"
    assert text.splitlines()[1] == "↑→↓← #    ."
    king = np.zeros((9, 8))
    king[:, 5] = 1.0
    assert render_text(OPEN, q_table=king, color=False).splitlines()[0] == "↘ ↘ ↘"


def test_text_draws_the_likeliest_actions_and_the_layer_with_the_key():
    policy = np.tile([0.1, 0.6, 0.1, 0.2], (16, 1))
    policy[8:] = [0.5, 0.0, 0.5, 0.0]
    assert render_text(KEY_ROOM, policy=policy, color=False).splitlines()[0] == "→ → # G"
    assert render_text(KEY_ROOM, policy=policy, has_key=True, color=False).splitlines()[0] == "↑↓ ↑↓ #  G"
    assert render_text(KEY_ROOM, has_key=True, color=False) == "S . # G\n. . . ."


# Screen


def run_without_screen(code: str, **variables: str) -> subprocess.CompletedProcess:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    environment = {name: value for name, value in os.environ.items() if name not in hidden} | variables
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")])
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60)


SHOW = """
import numpy as np
from sb3_ext.envs.grid.rendering import Window
window = Window(frames_per_second=1000)
for _ in range(3):
    window.show(np.zeros((20, 30, 3), dtype=np.uint8))
window.close()
window.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_window_without_a_screen_says_so():
    result = run_without_screen(SHOW)
    assert result.returncode != 0
    assert "RuntimeError: render_mode='human' needs a screen" in result.stderr
    assert "rgb_array" in result.stderr


def test_window_draws_with_the_dummy_driver():
    assert run_without_screen(SHOW, SDL_VIDEODRIVER="dummy").returncode == 0


def test_window_that_the_user_closed_stays_closed(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window, frame = Window(frames_per_second=1000), np.zeros((20, 30, 3), dtype=np.uint8)
    window.show(frame)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.show(frame)
    assert window.closed_by_user
    window.show(frame)
    assert not pygame.display.get_init()


# Films


def frames_of(path: Path) -> list[np.ndarray]:
    if path.suffix == ".gif":
        with Image.open(path) as film:
            pictures = []
            for i in range(film.n_frames):
                film.seek(i)
                pictures.append(np.asarray(film.convert("RGB")))
            return pictures
    from imageio_ffmpeg import read_frames

    reader = read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3) for data in reader]


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_film_of_frames_can_be_read_back(tmp_path, ending):
    painter = GridPainter(SMALL, cell_size=33)  # 99 pixels: an odd side
    route = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2)]
    frames = [painter.frame(cell) for cell in route]
    path = save_animation(tmp_path / "new" / f"film.{ending}", iter(frames))
    read = frames_of(path)
    assert len(read) == len(frames)
    for frame, shown in zip(frames, read, strict=True):
        difference = np.abs(shown[:99, :99].astype(int) - frame)
        assert difference.mean() < 4
        nearest = min(range(5), key=lambda i: np.abs(shown[:99, :99].astype(int) - frames[i]).sum())
        assert frames[nearest] is frame


def test_gif_keeps_time_when_nothing_moves(tmp_path):
    frame, other = GridPainter(SMALL).frame((0, 0)), GridPainter(SMALL).frame((0, 1))
    path = save_animation(tmp_path / "bump.gif", [frame, frame, frame, other], frames_per_second=10)
    with Image.open(path) as film:
        durations = []
        for i in range(film.n_frames):
            film.seek(i)
            durations.append(film.info["duration"])
    assert sum(durations) == 400


def test_films_refuse_what_they_cannot_write(tmp_path):
    frame = np.zeros((8, 8, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"'film.avi': the name must end in .gif or .mp4"):
        save_animation(tmp_path / "film.avi", [frame])
    with pytest.raises(ValueError, match="no frames"):
        save_animation(tmp_path / "film.gif", [])
    with pytest.raises(ValueError, match=r"frame 1 has shape \(9, 8, 3\), frame 0 has \(8, 8, 3\)"):
        save_animation(tmp_path / "film.gif", [frame, np.zeros((9, 8, 3), dtype=np.uint8)])
    with pytest.raises(ValueError, match="frames_per_second must be positive, got 0"):
        save_animation(tmp_path / "film.gif", [frame], frames_per_second=0)


class Walk(gym.Env):
    """Walks along a row of cells to the right, to the left, or bumps into its left end."""

    observation_space = gym.spaces.Discrete(3)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.render_mode, self.painter, self.position = render_mode, GridPainter(OPEN, 16), 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = 0
        return 0, {}

    def step(self, action):
        self.position = max(self.position + (1 if action else -1), 0)
        return self.position, 0.0, self.position == 2, False, {}

    def render(self):
        return self.painter.frame((0, self.position))


class Predictor:
    def predict(self, observation, deterministic):
        return np.array(1 if deterministic else 0), None


@pytest.mark.parametrize("policy", [lambda observation: 1, Predictor()], ids=["function", "predict"])
def test_recorded_episode_has_a_frame_a_step_and_the_first(tmp_path, policy):
    read = frames_of(record_episode(Walk(), tmp_path / "walk.gif", policy))
    assert len(read) == 3
    expected = [GridPainter(OPEN, 16).frame((0, column)) for column in range(3)]
    for shown, frame in zip(read, expected, strict=True):
        assert changed_cells(GridPainter(OPEN, 16).frame(), shown, 16) == changed_cells(
            GridPainter(OPEN, 16).frame(), frame, 16
        )


def test_recording_stops_in_time_and_repeats_with_its_seed(tmp_path):
    film = record_episode(Walk(), tmp_path / "left.mp4", lambda observation: 0, max_steps=6)
    assert len(frames_of(film)) == 7
    first, second = (record_episode(Walk(), tmp_path / f"{i}.gif", seed=7).read_bytes() for i in range(2))
    assert first == second


def test_recording_needs_arrays(tmp_path):
    with pytest.raises(ValueError, match="render_mode='rgb_array', got None"):
        record_episode(Walk(render_mode=None), tmp_path / "walk.gif")


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_film_of_learning_keeps_its_size_and_colours(tmp_path, ending):
    tables = [np.full((9, 4), 0.0), np.linspace(-12.3, 0.5, 36).reshape(9, 4), np.full((9, 4), 0.25)]
    captions = [f"episode {i}" for i in range(3)]
    path = animate_learning(tmp_path / f"learning.{ending}", SMALL, q_table=tables, captions=captions, cell_size=40)
    read = frames_of(path)
    assert len(read) == 3
    bar = [frame[60:, 142:].astype(int) for frame in read]  # the colour bar stays as it is
    assert max(np.abs(bar[0] - other).mean() for other in bar) < 4
    assert np.abs(read[0].astype(int) - read[1]).mean() > 5


def test_film_of_learning_checks_its_lengths(tmp_path):
    with pytest.raises(ValueError, match=r"as many of each, got \{'values': 2, 'captions': 1\}"):
        animate_learning(tmp_path / "film.gif", SMALL, values=np.zeros((2, 9)), captions=["one"])
    with pytest.raises(ValueError, match=r"as many of each, got \{\}"):
        animate_learning(tmp_path / "film.gif", SMALL)
