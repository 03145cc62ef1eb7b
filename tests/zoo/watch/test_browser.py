# ruff: noqa: RUF001  (signs of mathematics)
"""The page in a real browser: what is drawn, run and stepped there is what the library does."""

import json
import os
import shutil
import signal
import subprocess
import sys
from urllib.parse import quote, unquote, urlsplit

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit

from sb3_ext import QLearning
from sb3_ext.envs import GridWorld
from sb3_ext.tabular import value_iteration
from sb3_ext.zoo.watch.examples import EXAMPLES
from sb3_ext.zoo.watch.server import STATIC

WORLD = {"map": ["S...", "....", "...G"], "max_episode_steps": 50}
AGENT = {"algo": "q_learning", "alpha": 0.5, "epsilon": 0.3, "seed": 7}
SETUP = {"world": WORLD, "gamma": 0.9, "agents": [AGENT]}
FIELD = "./#" + quote(json.dumps(SETUP))


@pytest.fixture(scope="module")
def address():
    """A server of its own, ended by Ctrl-C."""
    command = [sys.executable, "-m", "sb3_ext.zoo", "watch", "--no-browser", "--port", "0"]
    sigint = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=sigint, env=environment) as server:
        yield server.stdout.readline().split()[0] + "/"
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 0


@pytest.fixture(scope="module")
def chromium():
    """Headless Chromium. Without one installed the test is skipped, but in CI it fails."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium, address):
    """Opens the page in a tab; at the end nothing may have been loaded from elsewhere, nor complained about."""
    contexts, complaints, hosts = [], [], set()

    def open_tab(place=FIELD, **options):
        context = chromium.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.on("websocket", lambda socket: hosts.add(urlsplit(socket.url).netloc))
        page.goto(address + place)
        page.wait_for_selector("#stat0[data-steps]")
        return page

    yield open_tab
    for context in contexts:
        context.close()
    assert complaints == []
    assert hosts - {""} == {urlsplit(address).netloc}


def wait_until(page, expression):
    """Playwright's own ``wait_for_function`` evaluates a text in the page, which the page's policy forbids."""
    for _ in range(400):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {expression}")


def set_speed(page, speed):
    page.evaluate(f"() => {{ const s = document.getElementById('speed'); s.value = {speed};"
                  " s.dispatchEvent(new Event('input')); }")  # fmt: skip


def steps_of(page):
    return int(page.get_attribute("#stat0", "data-steps"))


def wait_for_steps(page, least):
    wait_until(page, f"Number(document.getElementById('stat0').dataset.steps) >= {least}")


def center(page, board, cell, columns=4):
    box = page.locator(board).bounding_box()
    size = (box["width"] - 1) / columns
    return {"x": (cell[1] + 0.5) * size, "y": (cell[0] + 0.5) * size}


def click_cell(page, cell, board="#board0"):
    page.click(board, position=center(page, board, cell))


def setup_of(page):
    return json.loads(unquote(urlsplit(page.url).fragment))


def values_in(page, cell, column=0):
    """Q(s, a) of a cell, as the page shows them: of the agents, then of the exact solution."""
    page.hover("#board0", position=center(page, "#board0", cell))
    state = cell[0] * 4 + cell[1]
    page.wait_for_selector(f"[data-q='{column},{state},0']")
    return [float(page.get_attribute(f"[data-q='{column},{state},{a}']", "data-value")) for a in range(4)]


def by_hand(n_steps, world=WORLD):
    env = TimeLimit(GridWorld.from_dict(world), 50)
    model = QLearning("TabularPolicy", env, learning_rate=0.5, gamma=0.9, exploration=0.3, initial_value=0.0, seed=7)
    return model.learn(n_steps)


def test_a_step_and_its_numbers_are_the_library_s(opened):
    page = opened()
    for n in range(1, 6):
        page.click("#step")
        wait_until(page, f"document.getElementById('stat0').dataset.steps === '{n}'")
    before, after = by_hand(4).policy.q_table, by_hand(5).policy.q_table
    page.wait_for_selector("#steps table")
    shown = {name: float(page.get_attribute("#steps table", f"data-{name}")) for name in ("value", "target", "new")}
    ((state, action),) = np.argwhere(before != after)
    assert shown["value"] == before[state, action]
    assert shown["new"] == after[state, action]
    assert page.inner_text("#steps [data-part=S]") == f"S ({state // 4}, {state % 4})".replace("S ", "S")
    assert "R + γ maxₐ Q(S′, a)" in page.inner_text("#steps")
    assert values_in(page, (0, 0)) == pytest.approx(after[0], rel=1e-6)


def test_it_runs_and_pauses_and_shows_the_library_s_values(opened):
    page = opened()
    set_speed(page, 7)
    page.click("#run")
    wait_for_steps(page, 2000)
    page.click("#run")
    page.wait_for_selector("#run[aria-pressed=false]")
    page.wait_for_timeout(300)
    n_steps = steps_of(page)
    page.wait_for_timeout(300)
    assert steps_of(page) == n_steps
    assert values_in(page, (1, 1)) == pytest.approx(by_hand(n_steps).policy.q_table[5], rel=1e-6)
    exact = value_iteration(GridWorld(WORLD["map"]).mdp, 0.9).q_values
    assert values_in(page, (1, 1), column=1) == pytest.approx(exact[5], rel=1e-6)


def test_a_drawing_that_is_no_world_does_not_run_until_it_is_one(opened):
    page = opened()
    page.click("[data-tool='#']")
    for cell in ((1, 3), (2, 2)):  # round the goal
        click_cell(page, cell)
    page.wait_for_selector("#error:not([hidden])")
    n_steps = steps_of(page)
    for button in ("#run", "#step"):
        page.click(button)
        page.wait_for_timeout(300)
        assert "the goal cannot be reached" in page.inner_text("#error")
        assert steps_of(page) == n_steps
    click_cell(page, (2, 2))  # opens it again
    page.wait_for_selector("#error", state="hidden")
    page.click("#step")
    wait_for_steps(page, 1)


@pytest.mark.parametrize(
    "world", ['{"map":"abc"}', '{"map":[1,2]}', '{"map":[]}', '{"map":["SG"],"jumps":{"A":5}}', '{"map":["SG"]}']
)
def test_a_link_that_is_no_world_is_told_and_another_world_shown(opened, world):
    agents = "[]" if world == '{"map":["SG"]}' else '[{"algo":"sarsa"}]'
    page = opened("./#" + quote(f'{{"world":{world},"gamma":0.9,"agents":{agents}}}'))
    assert page.inner_text("#error").startswith("This link cannot be read")
    page.click("#step")
    wait_for_steps(page, 1)


def test_keys_work_after_a_click_on_a_button(opened):
    page = opened()
    page.click("#step")
    wait_for_steps(page, 1)
    page.keyboard.press("n")
    wait_for_steps(page, 2)


def test_a_wall_is_drawn_and_python_opens_the_file(opened, tmp_path):
    page = opened()
    page.click("[data-tool='#']")
    click_cell(page, (1, 1))
    wait_until(page, 'decodeURIComponent(location.hash).includes(\'"S...",".#.."\')')
    exact = value_iteration(GridWorld(["S...", ".#..", "...G"]).mdp, 0.9).q_values
    wait_until(page, "document.getElementById('stat0').dataset.steps === '0'")
    assert values_in(page, (0, 1), column=1) == pytest.approx(exact[1], rel=1e-6)
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "world.json")
    assert GridWorld.from_file(tmp_path / "world.json").grid_map.to_text() == "S...\n.#..\n...G"
    click_cell(page, (1, 1))  # a second time takes it away
    wait_until(page, "!decodeURIComponent(location.hash).includes('#..')")


def test_a_wall_is_drawn_in_one_stroke_while_it_runs(opened):
    page = opened()
    page.click("#run")
    page.click("[data-tool='#']")
    box, start, end = page.locator("#board0").bounding_box(), *(center(page, "#board0", c) for c in ((1, 0), (1, 2)))
    page.mouse.move(box["x"] + start["x"], box["y"] + start["y"])
    page.mouse.down()
    page.mouse.move(box["x"] + end["x"], box["y"] + end["y"], steps=8)
    page.mouse.up()
    wait_until(page, "decodeURIComponent(location.hash).includes('\"###.\"')")
    wait_for_steps(page, 3)
    assert page.is_hidden("#error")


def test_a_world_that_cannot_be_is_explained_and_the_page_lives_on(opened):
    page = opened()
    page.click("[data-tool='#']")
    click_cell(page, (2, 3))  # the goal
    page.wait_for_selector("#error:has-text('no goal')")
    page.click("[data-tool='G']")
    click_cell(page, (2, 3))
    page.wait_for_selector("#error", state="hidden")
    page.click("#step")
    wait_for_steps(page, 1)


def test_wind_and_rewards_are_drawn(opened):
    page = opened()
    page.click("[data-tool='wind1']")
    click_cell(page, (2, 1))
    page.fill("#cell-reward", "-3")
    page.click("[data-tool='reward']")
    click_cell(page, (1, 2))
    wait_until(page, "decodeURIComponent(location.hash).includes('-3')")
    world = setup_of(page)["world"]
    assert world["wind"][2] == [0, 1, 0, 0]
    assert world["rewards"][1] == [None, None, -3, None]
    exact = value_iteration(GridWorld.from_dict(world).mdp, 0.9).q_values
    page.wait_for_timeout(200)
    assert values_in(page, (2, 1), column=1) == pytest.approx(exact[9], rel=1e-6)


def test_everything_can_be_done_by_keyboard(opened):
    page = opened()
    page.focus("#board0")
    for key in ("ArrowDown", "ArrowRight", "w"):
        page.keyboard.press(key)
    wait_until(page, "decodeURIComponent(location.hash).includes('.#..')")
    page.wait_for_selector("#cell:has-text('(1, 1), wall')")
    wait_until(page, "document.getElementById('stat0').dataset.steps === '0'")
    page.keyboard.press("n")
    wait_for_steps(page, 1)
    page.keyboard.press(" ")
    page.wait_for_selector("#run[aria-pressed=true]")
    wait_for_steps(page, 3)
    page.keyboard.press(" ")
    page.wait_for_selector("#run[aria-pressed=false]")
    page.keyboard.press("Backspace")
    wait_until(page, "document.getElementById('stat0').dataset.steps === '0'")


def test_two_tabs_are_apart_and_one_may_close_in_the_middle(opened):
    one, other = opened(), opened("")
    set_speed(one, 10)
    set_speed(other, 10)
    one.click("#run")
    other.click("#run")
    wait_for_steps(one, 5000)
    wait_for_steps(other, 5000)
    assert other.inner_text("#boards h2 >> nth=0").startswith("SARSA")
    assert one.inner_text("#boards h2 >> nth=0").startswith("Q-learning")
    one.close()
    wait_for_steps(other, steps_of(other) + 5000)


def test_the_world_is_still_there_after_reloading(opened):
    page = opened()
    page.click("[data-tool='H']")
    click_cell(page, (1, 2))
    wait_until(page, "decodeURIComponent(location.hash).includes('..H.')")
    page.click("#step")
    wait_for_steps(page, 1)
    page.reload()
    page.wait_for_selector("#stat0[data-steps='0']")
    assert setup_of(page)["world"]["map"] == ["S...", "..H.", "...G"]
    assert setup_of(page)["agents"] == [AGENT]


def test_a_reloaded_example_is_still_known_by_its_name(opened):
    page = opened("")
    page.select_option("#example", label="Windy grid world")
    wait_until(page, "location.hash.includes('wind')")
    page.reload()
    page.wait_for_selector("#stat0[data-steps='0']")
    assert page.evaluate("document.getElementById('example').selectedOptions[0].text") == "Windy grid world"


def test_a_link_opens_the_same_world_and_agents(opened, address):
    page = opened("")
    page.select_option("#example", label="Windy grid world")
    wait_until(page, "location.hash.includes('wind')")
    other = opened(page.url.removeprefix(address))
    assert setup_of(other) == setup_of(page)
    assert GridWorld.from_dict(setup_of(other)["world"]).to_dict() == GridWorld("WindyGridWorld").to_dict()


def test_a_broken_link_is_explained(opened):
    page = opened("#nonsense")
    page.wait_for_selector("#error:has-text('This link cannot be read')")
    page.click("#step")
    wait_for_steps(page, 1)


@pytest.mark.parametrize(("text", "said"), [("S.\n.G\n", None), ("{", "is no world"), ('{"map": ["Sx"]}', "no goal")])
def test_a_file_is_opened(opened, tmp_path, text, said):
    (tmp_path / "mine.txt").write_text(text)
    page = opened()
    page.set_input_files("#file", tmp_path / "mine.txt")
    if said is None:
        wait_until(page, 'decodeURIComponent(location.hash).includes(\'["S.",".G"]\')')
    else:
        page.wait_for_selector(f"#error:has-text('{said}')")


def test_a_second_agent_and_its_settings(opened):
    page = opened()
    page.check("#compare")
    page.select_option("#algo1", "dyna_q")
    page.fill("#planning_steps1", "9")
    page.press("#planning_steps1", "Enter")
    page.wait_for_selector("#boards h2:has-text('Dyna-Q (9 planned)')")
    page.click("#step")
    page.wait_for_selector("#steps .update >> nth=1")
    assert "9 planning updates" in page.inner_text("#steps")
    assert setup_of(page)["agents"][1] == {"algo": "dyna_q", "planning_steps": 9}


def test_the_epsilon_changes_without_forgetting(opened):
    page = opened()
    page.click("#step")
    wait_for_steps(page, 1)
    page.fill("#epsilon0", "0.05")
    page.press("#epsilon0", "Enter")
    page.click("#step")
    wait_for_steps(page, 2)


@pytest.mark.parametrize("width", [360, 390])
def test_it_fits_a_phone(opened, width):
    page = opened("", viewport={"width": width, "height": 740}, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.tap("#step")
    wait_for_steps(page, 1)
    for row in page.query_selector_all("#transport button"):
        assert row.bounding_box()["height"] >= 30


def test_dark_and_light(opened):
    page = opened(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) != dark == "rgb(18, 21, 27)"


def test_every_example_opens_runs_and_shows_all_it_can(opened):
    page = opened("")
    set_speed(page, 6)
    for example in range(len(EXAMPLES)):
        page.select_option("#example", str(example))
        wait_until(page, "document.getElementById('stat0').dataset.steps === '0'")
        page.click("#run")
        wait_for_steps(page, 100)
        for show in ("q", "policy", "visits", "values"):
            page.select_option("#show", show)
            page.wait_for_timeout(20)
        page.click("#run")
        assert page.is_hidden("#error")


def test_the_folder_holds_nothing_but_the_page():
    for file in STATIC.iterdir():
        text = file.read_text(encoding="utf-8")
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), file
        assert "https://" not in text, file
        assert "innerHTML" not in text, file
