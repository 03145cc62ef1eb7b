"""``sb3-ext watch``: serves the page."""

import argparse
import asyncio
import os
import signal
import socket
import sys
import webbrowser
from pathlib import Path
from typing import Any

from sb3_ext.algos import TABLE
from sb3_ext.zoo.options import nearest_of, not_negative

EXAMPLE = """A page opens in the browser. There you draw a grid world, choose an algorithm, and see values, arrows,
visits and returns move beside the exact solution, or step through single updates, spelled out in numbers. Worlds are
shared as a link, or as a file that GridWorld.from_file opens.

examples:
  sb3-ext watch                                         http://127.0.0.1:8300
  sb3-ext watch --world my_world.json                   a world of GridWorld.to_file, or a bare map as text
  sb3-ext watch --algo ppo --env CartPole-v1            the last model of `sb3-ext train`, or the one that ships
  sb3-ext watch logs/ppo/CartPole-v1_3                  the checkpoints of a training
  sb3-ext watch model.zip --algo dqn --env Acrobot-v1   any saved model
  sb3-ext watch --measure                               how fast pictures and learning are here: two minutes

It can be reached from this machine only, unless --host says otherwise. Load models of people whom you trust only: a
model file can hold code. Ctrl-C ends it."""


def port(text: str) -> int:
    """A port: 0 (any free one) to 65535."""
    number = not_negative(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"a port is at most 65535, got {number}")
    return number


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(
        "sb3-ext watch",
        description="Draw a grid world in the browser and see agents learn in it; play saved models.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("model", nargs="?", type=Path, metavar="PATH", help="a saved model (.zip) or a training's folder to play")
    add("--port", type=port, default=8300, help="of the page; 0 takes a free one (default: 8300)")
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="address to listen on; 0.0.0.0 lets others in, without a password (default: 127.0.0.1)")  # fmt: skip
    add("--world", type=Path, metavar="FILE", help="begin with this world")
    add("--no-browser", action="store_true", help="only print the address")
    add("--algo", type=nearest_of("algorithm", TABLE), help="play a model of this algorithm")
    add("--env", metavar="ID", help="that was trained in this environment")
    add("-f", "--folder", help="and lies in this folder of trainings (default: logs, then what ships with sb3-ext)")
    add("--exp-id", type=not_negative, default=0, metavar="N", help="number of the training; 0 takes the latest")
    add("--seed", type=not_negative, default=0, help="of the environment that a model plays in (default: 0)")
    add("--measure", action="store_true", help="measure how fast it is, with a browser if there is one, and end")
    return options


def main(arguments: list[str]) -> int:
    """Serve until Ctrl-C; 2 for a mistake."""
    options = parser().parse_args(arguments)
    try:
        from tornado import version  # noqa: F401
    except ImportError:
        return _mistake('this needs Tornado: pip install "sb3-ext[watch]"')
    if options.measure:
        from sb3_ext.zoo.watch import measure

        return measure.main()
    import torch

    torch.set_num_threads(1)
    try:
        hub = make_hub(options)
    except (ValueError, OSError, ImportError) as error:
        return _mistake(str(error))
    try:
        asyncio.run(serve(hub, options.port, not options.no_browser))
    except OSError as error:
        reason = error.strerror or error
        return _mistake(f"cannot listen on {options.host}, port {options.port}: {reason}; choose another --port")
    sys.stdout.flush()
    os._exit(0)  # at once: there is nothing to be saved, and taking apart what was imported would take seconds


def _mistake(text: str) -> int:
    print(f"sb3-ext watch: {text}", file=sys.stderr)
    return 2


def make_hub(options: argparse.Namespace) -> Any:
    """What the tabs are to show.

    Raises:
        ValueError: If the world or the model cannot be had.
        OSError: If the world's file cannot be read.
    """
    from sb3_ext.zoo.watch.examples import EXAMPLES
    from sb3_ext.zoo.watch.server import Hub
    from sb3_ext.zoo.watch.session import Session

    examples, saved = list(EXAMPLES), None
    if options.world is not None:
        examples.insert(0, read_world_file(options.world))
    if options.model is not None or options.algo is not None or options.env is not None:
        from sb3_ext.zoo.watch.saved import find_saved

        saved = find_saved(options)
        saved.player(0)  # a model that cannot be loaded is told here
    Session(examples[0]).learners[0].step()  # loads or compiles all that tabs will need
    welcome = {"examples": examples, "saved": None if saved is None else saved.describe()}
    return Hub(welcome, examples[0], saved, options.host)


def read_world_file(path: Path) -> dict[str, Any]:
    """A world's file as an example.

    Raises:
        ValueError: If it is none, or larger than the page allows.
        OSError: If it cannot be read.
    """
    import json

    from sb3_ext.envs import GridWorld
    from sb3_ext.zoo.watch.messages import read_world

    text = path.read_text(encoding="utf-8")
    world = GridWorld.from_file(path).to_dict()
    if text.lstrip().startswith("{"):
        world |= {key: value for key, value in json.loads(text).items() if key in ("about", "max_episode_steps")}
    return {
        "name": path.name, "about": world.get("about", ""), "world": read_world(world), "gamma": 0.95,
        "agents": [{"algo": "q_learning", "alpha": 0.5}],
    }  # fmt: skip


async def serve(hub: Any, at_port: int, opens_browser: bool) -> None:
    """Serves until Ctrl-C.

    Raises:
        OSError: If the port is taken, or the address is not this machine's.
    """
    from sb3_ext.zoo.watch.server import listen

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:  # on Windows Ctrl-C raises KeyboardInterrupt
            break
    server, at_port = listen(hub, at_port)
    shown = "127.0.0.1" if hub.bound in ("0.0.0.0", "::", "") else hub.bound
    address = f"http://{f'[{shown}]' if ':' in shown else shown}:{at_port}"
    print(f"{address}   (Ctrl-C ends it)", flush=True)
    if shown != hub.bound:
        print(f"http://{socket.gethostname()}:{at_port}   from elsewhere: whoever reaches it may use it", flush=True)
    if opens_browser:
        webbrowser.open(address)
    await stopped.wait()
    server.stop()
    hub.worker.shutdown(wait=False, cancel_futures=True)
