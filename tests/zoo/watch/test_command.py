"""The command line: what it prints, how it ends, what it says of mistakes."""

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sb3_ext.envs import GridWorld
from sb3_ext.zoo.watch import command
from sb3_ext.zoo.watch.saved import models_of
from sb3_ext.zoo.watch.session import unpacked

COMMAND = [sys.executable, "-m", "sb3_ext.zoo", "watch", "--no-browser"]
RESULTS = Path(command.__file__).parents[1] / "results"


@pytest.fixture
def started(popen, tmp_path):
    """Starts the command; its process, and the address that it prints."""
    running = []

    def start(*arguments):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = popen([*COMMAND, "--port", "0", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        text=True, cwd=tmp_path, env=environment)  # fmt: skip
        running.append(process)
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        return process, line.split()[0]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def mistake(capsys, *arguments):
    try:
        status = command.main(["--no-browser", *map(str, arguments)])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    return capsys.readouterr().err


def test_ctrl_c_ends_it_at_once(started):
    process, address = started()
    assert address.startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "Traceback" not in out + err


def test_a_port_that_is_taken_is_named(capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"port {port}" in (told := mistake(capsys, "--port", port))
    assert "choose another --port" in told


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--port", "70000"], "65535"), (["--port", "x"], "whole number"), (["--world", "nowhere.json"], "nowhere.json"),
     (["--algo", "q_lerning", "--env", "FrozenLake-v1"], "q_learning")],
)  # fmt: skip
def test_mistakes_are_named(capsys, arguments, named):
    assert named in mistake(capsys, *arguments)


@pytest.mark.parametrize(
    ("text", "named"),
    [("{", "begins like JSON"), ('{"map": ["S.."]}', "no goal"), ("S." + "." * 60 + "G", "50"),
     ('{"map": ["SG"], "colour": 1}', "colour")],
)  # fmt: skip
def test_a_file_that_is_no_world_is_refused(capsys, tmp_path, text, named):
    (tmp_path / "world.json").write_text(text)
    assert named in mistake(capsys, "--world", tmp_path / "world.json")


def test_the_page_begins_with_the_world_of_a_file(tmp_path):
    world = GridWorld("WindyGridWorld")
    world.to_file(tmp_path / "windy.json")
    example = command.read_world_file(tmp_path / "windy.json")
    assert GridWorld.from_dict(example["world"]).to_dict() == world.to_dict()
    (tmp_path / "map.txt").write_text("S..\n.#G\n")
    assert command.read_world_file(tmp_path / "map.txt")["world"]["map"] == ["S..", ".#G"]


def test_what_such_a_file_says_beside_the_world_is_kept(tmp_path):
    (tmp_path / "world.json").write_text(json.dumps({"map": ["SG"], "about": "short", "max_episode_steps": 7}))
    example = command.read_world_file(tmp_path / "world.json")
    assert example["about"] == "short"
    assert example["world"]["max_episode_steps"] == 7


# ---- Saved models (RL Zoo is imported by the child alone) -----------------------------------------------------------


def played(address, *messages, wanted):
    """The first picture of a model that meets a condition, and the welcome."""
    from tornado.websocket import websocket_connect

    async def scene():
        tab = await websocket_connect(address.replace("http", "ws", 1) + "/socket")
        welcome = json.loads(await tab.read_message())
        for message in messages:
            await tab.write_message(json.dumps(message))
        while True:
            message = await asyncio.wait_for(tab.read_message(), 60)
            if not isinstance(message, bytes):
                raise AssertionError(message)
            head, arrays = unpacked(message)
            if "number" in head:
                await tab.write_message(json.dumps({"type": "seen", "frame": head["number"]}))
            if head["type"] == "play" and wanted(head):
                (length,) = (int.from_bytes(message[:4], "little"),)
                at = 4 + length + sum(array.nbytes for array in arrays.values())
                return welcome, head, arrays, Image.open(io.BytesIO(message[at:]))

    return asyncio.run(scene())


def test_a_saved_model_plays_its_episodes(started):
    folder = RESULTS / "q_learning" / "sb3_ext-GridWorld-v0_1"
    _, address = started(folder)
    welcome, _, arrays, picture = played(
        address, {"type": "model", "index": 0}, {"type": "run", "speed": 500}, wanted=lambda head: head["episodes"] >= 2
    )
    assert welcome["saved"]["algo"] == "q_learning"
    assert welcome["saved"]["env"] == "sb3_ext/GridWorld-v0"
    assert arrays["returns"].ravel() == pytest.approx([0.93] * len(arrays["returns"]))  # the optimum, each time
    assert picture.size[0] > 50


@pytest.mark.slow
def test_a_model_is_found_by_names_and_steps_one_by_one(started):
    _, address = started("--algo", "ppo", "--env", "CartPole-v1")
    step = {"type": "step"}
    _, head, _, picture = played(
        address, {"type": "model", "index": 0}, step, step, step, wanted=lambda head: head["step"] == 3
    )
    assert head["return"] == 3.0
    assert not head["running"]
    assert picture.size == (600, 400)


@pytest.mark.slow
def test_what_cannot_be_played_is_named(tmp_path):
    (tmp_path / "model.zip").write_text("no zip")
    (tmp_path / "empty").mkdir()
    mistakes = {
        "model.zip": "--algo", "model.zip --algo q_learning --env FrozenLake-v1": "model.zip", "empty": "no model",
        "--algo ppo --env CartPol-v1": "CartPole-v1", "--algo ppo": "--env",
    }  # fmt: skip
    code = "import sys\nfrom sb3_ext.zoo.watch.command import main\nfor line in sys.argv[1:]: print(main(line.split()))"
    done = subprocess.run([sys.executable, "-c", code, *mistakes], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["2"] * len(mistakes), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("sb3-ext watch: ")]
    assert len(said) == len(mistakes)
    for line, named in zip(said, mistakes.values(), strict=True):
        assert named in line


def test_a_training_offers_its_checkpoints_in_order(tmp_path):
    for name in ("rl_model_10000_steps", "rl_model_500_steps", "best_model", "CartPole-v1"):
        (tmp_path / f"{name}.zip").touch()
    names = [name for name, _ in models_of(tmp_path)]
    assert names == ["after 500 steps", "after 10,000 steps", "best in evaluation", "last: CartPole-v1.zip"]


def test_a_model_that_is_not_there_is_named(capsys):
    assert "nothing.zip" in mistake(capsys, "nothing.zip")
