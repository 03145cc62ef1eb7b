"""What the tests of ``sb3-ext watch`` share."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import torch

from sb3_ext.zoo.watch.examples import EXAMPLES
from sb3_ext.zoo.watch.session import unpacked

torch.set_num_threads(1)
CORRIDOR = {"map": ["S..G"], "max_episode_steps": 20}


@pytest.fixture
def corridor() -> dict[str, Any]:
    """The setup of a small world without chance."""
    return {"world": CORRIDOR, "gamma": 0.9, "agents": [{"algo": "q_learning", "alpha": 0.5, "seed": 3}]}


@pytest.fixture
def example() -> Callable[[str], dict[str, Any]]:
    """A setup that the page offers, by the beginning of its name."""

    def find(name: str) -> dict[str, Any]:
        (found,) = (each for each in EXAMPLES if each["name"].startswith(name))
        return {key: found[key] for key in ("world", "gamma", "agents")}

    return find


class Browser:
    """The browser's end of a connection, as far as the server can tell."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket

    async def send(self, **message: Any) -> None:
        await self.socket.write_message(json.dumps(message))

    async def next(self, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The next message of a type; pictures on the way are acknowledged."""
        while True:
            message = await asyncio.wait_for(self.socket.read_message(), 20)
            assert message is not None, "the server closed the connection"
            head, arrays = unpacked(message) if isinstance(message, bytes) else (json.loads(message), {})
            if "number" in head:
                await self.send(type="seen", frame=head["number"])
            if head["type"] == kind:
                return head, arrays

    async def until(self, condition: Callable[[dict[str, Any]], bool], kind: str = "frame") -> Any:
        """The first message of a type that meets a condition."""
        while True:
            head, arrays = await self.next(kind)
            if condition(head):
                return head, arrays

    async def silent(self, seconds: float = 0.4) -> bool:
        """Whether nothing comes for a while."""
        try:
            await asyncio.wait_for(self.socket.read_message(), seconds)
        except TimeoutError:
            return True
        return False


@pytest.fixture
def served(corridor) -> Callable[..., None]:
    """Runs ``scene(open_tab, hub, address)`` against a server of its own, all in one event loop."""
    from tornado.websocket import websocket_connect

    from sb3_ext.zoo.watch.server import Hub, listen

    def run(scene: Callable[..., Awaitable[None]]) -> None:
        async def play() -> None:
            hub = Hub({"examples": EXAMPLES, "saved": None}, corridor)
            server, port = listen(hub, 0)

            async def open_tab(**options: Any) -> Browser:
                return Browser(await websocket_connect(f"ws://127.0.0.1:{port}/socket", **options))

            try:
                await scene(open_tab, hub, f"127.0.0.1:{port}")
            finally:
                server.stop()
                for tab in list(hub.tabs):
                    tab.close()
                hub.worker.shutdown(wait=True, cancel_futures=True)

        asyncio.run(play())

    return run
