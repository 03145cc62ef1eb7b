"""How fast the page is: ``sb3-ext watch --measure``.

A server in a process of its own, and browsers' ends of the connection played by this one: they acknowledge each picture
at once, so what is measured is what the server can do. With Chromium and Playwright, also the time until the first
picture is on a real page.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from typing import Any

SECONDS = 8.0


async def follow(url: str, setup: dict[str, Any], seconds: float) -> tuple[float, float]:
    """One tab that runs at full speed for a while.

    Returns:
        Pictures a second, and transitions a second, each over the second half.
    """
    from tornado.websocket import websocket_connect

    from sb3_ext.zoo.watch.session import unpacked

    socket = await websocket_connect(url)
    await socket.write_message(json.dumps({"type": "setup", **setup}))
    await socket.write_message(json.dumps({"type": "run", "speed": 0}))
    started, first, latest, pictures = time.monotonic(), None, (0.0, 0), 0
    while time.monotonic() - started < seconds:
        message = await socket.read_message()
        if not isinstance(message, bytes):
            continue
        head, _ = unpacked(message)
        if head["type"] != "frame":
            continue
        await socket.write_message(json.dumps({"type": "seen", "frame": head["number"]}))
        latest = time.monotonic(), head["agents"][0]["steps"]
        if first is None and latest[0] - started > seconds / 2:
            first = latest
        pictures += first is not None
    socket.close()
    if first is None or latest == first:
        return 0.0, 0.0
    passed = latest[0] - first[0]
    return (pictures - 1) / passed, (latest[1] - first[1]) / passed


async def follow_many(url: str, setup: dict[str, Any], n_tabs: int, seconds: float = SECONDS) -> None:
    """Prints what some tabs at once get."""
    rates = await asyncio.gather(*(follow(url, setup, seconds) for _ in range(n_tabs)))
    side = len(setup["world"]["map"])
    pictures, steps = min(rate[0] for rate in rates), sum(rate[1] for rate in rates)
    each = "" if n_tabs == 1 else " each at least, together"
    print(f"{side} x {side}, {n_tabs} tab{'s' * (n_tabs > 1)}: {pictures:.1f} pictures a second{each}, "
          f"{steps / 1e6:.1f}M transitions a second", flush=True)  # fmt: skip


def first_picture(address: str) -> str:
    """Seconds until a browser that opens the page shows values."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        program = None
    if program is None:
        return "not measured: needs Chromium and pip install playwright"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page()
        started = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("#stat0[data-steps]")
        seconds = time.perf_counter() - started
        browser.close()
    return f"{seconds:.2f} s"


def resident(pid: int) -> float:
    """Memory of a process in MB."""
    import psutil

    return psutil.Process(pid).memory_info().rss / 1e6


def main() -> int:
    """Measures, prints."""
    from sb3_ext.zoo.watch.examples import EXAMPLES

    small = next(example for example in EXAMPLES if example["name"] == "Draw your own")
    large = EXAMPLES[-1]
    setups = [{name: example[name] for name in ("world", "gamma", "agents")} for example in (small, large)]
    command = [sys.executable, "-m", "sb3_ext.zoo", "watch", "--no-browser", "--port", "0"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[0]
        print(f"server ready after {time.perf_counter() - started:.1f} s", flush=True)
        try:
            print(f"first picture in a browser: {first_picture(address)}", flush=True)
            url = address.replace("http", "ws", 1) + "/socket"
            asyncio.run(follow_many(url, setups[0], 1))
            asyncio.run(follow_many(url, setups[1], 1))
            asyncio.run(follow_many(url, setups[0], 20))
            for part in range(4):
                asyncio.run(follow_many(url, setups[part % 2], 1, 15.0))
                print(f"memory of the server: {resident(server.pid):.0f} MB", flush=True)
        finally:
            server.terminate()
    return 0
