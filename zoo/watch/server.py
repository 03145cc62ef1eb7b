"""The web server: the page, and a WebSocket for each tab with a session of its own.

Learning runs on one worker thread, in chunks of some milliseconds, so that the server always answers; the compiled
engine lets other threads run meanwhile. A tab is sent its next picture when it has drawn the last but one. A tab that
is closed, paused or no longer looked at costs nothing.
"""

import asyncio
import ipaddress
import json
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado.httpserver import HTTPServer
from tornado.log import app_log
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, StaticFileHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from sb3_ext.zoo.watch.checks import MessageError
from sb3_ext.zoo.watch.messages import LARGEST_MESSAGE, read_message
from sb3_ext.zoo.watch.session import Session

if TYPE_CHECKING:
    from sb3_ext.zoo.watch.saved import Saved

STATIC = Path(__file__).parent / "static"
PICTURES_A_SECOND = 30
MOST_TABS = 64
MOST_WAITING = 64  # messages of one tab that were not looked at yet
FRAMES_AHEAD = 2  # that are sent before the first of them is drawn
UNSEEN_SECONDS = 60.0  # after which a tab that draws nothing is paused
SHARE = 0.6  # of the time that learning may take
SHORTEST_CHUNK = 0.004  # seconds


@dataclass
class Hub:
    """What all tabs share.

    Attributes:
        welcome: What each is told first: examples, and what there is to play.
        example: What each begins with.
        saved: Models to be played, if any were named.
        bound: The address that is listened on.
        worker: The thread that learns, plays and solves.
        tabs: Those that are open.
    """

    welcome: Mapping[str, Any]
    example: Mapping[str, Any]
    saved: "Saved | None" = None
    bound: str = "127.0.0.1"
    worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "learn"))
    tabs: "set[Tab]" = field(default_factory=set)

    @property
    def chunk(self) -> float:
        """Seconds that a session may learn for at a time."""
        n_running = sum(tab.shown is not None and tab.shown.running for tab in self.tabs)
        return max(SHARE / PICTURES_A_SECOND / max(n_running, 1), SHORTEST_CHUNK)


def host_is_ours(header: str, bound: str) -> bool:
    """Whether a Host header names this machine: a page of another name must not reach in (DNS rebinding).

    Example:
        >>> host_is_ours("localhost:8080", "127.0.0.1"), host_is_ours("evil.example:8080", "127.0.0.1")
        (True, False)
    """
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", bound):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return bound not in ("127.0.0.1", "::1", "localhost") and name == socket.gethostname().lower()
    return address.is_loopback or bound not in ("127.0.0.1", "::1", "localhost")


class Page(StaticFileHandler):
    """The page and its parts, for this machine's own names only."""

    def initialize(self, hub: Hub) -> None:  # type: ignore[override]
        """Takes the files from ``static/``."""
        self.hub = hub
        super().initialize(str(STATIC), "index.html")

    def prepare(self) -> None:
        """Refuses requests that name another host."""
        if not host_is_ours(self.request.host, self.hub.bound):
            raise HTTPError(403, "this host name is not ours")

    def set_extra_headers(self, path: str) -> None:
        """The page may load nothing from elsewhere, and be shown in no frame."""
        policy = (
            f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
            f"connect-src 'self' ws://{self.request.host}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self.set_header("Content-Security-Policy", policy)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-cache")


class Tab(WebSocketHandler):
    """One tab: reads what it sends, and keeps it up to date."""

    def initialize(self, hub: Hub) -> None:
        """Nothing is made before the tab is accepted."""
        self.hub = hub
        self.shown: Any = None  # a Session or a Player
        self.session: Session | None = None
        self.waiting: deque[str | bytes] = deque()
        self.woken = asyncio.Event()
        self.sent = self.seen = 0
        self.last_seen = time.monotonic()
        self.closed = False

    def prepare(self) -> None:
        """Refuses requests that name another host."""
        if not host_is_ours(self.request.host, self.hub.bound):
            raise HTTPError(403, "this host name is not ours")

    def open(self, *args: str, **kwargs: str) -> None:
        """Begins a session."""
        if len(self.hub.tabs) >= MOST_TABS:
            self.close(1013, f"{MOST_TABS} tabs are open, no more are allowed")
            self.closed = True
            return
        self.set_nodelay(True)
        self.hub.tabs.add(self)
        self._task = asyncio.create_task(self._live())

    def on_message(self, message: str | bytes) -> None:
        """Notes a message; what says that a picture was drawn is seen to at once."""
        if len(self.waiting) >= MOST_WAITING:
            self.close(1008, "too many messages at once")
            return
        self.waiting.append(message)
        self.woken.set()

    def on_close(self) -> None:
        """Ends the session."""
        self.closed = True
        self.hub.tabs.discard(self)
        self.woken.set()

    async def _live(self) -> None:
        """Until the tab is closed: messages first, then a chunk of learning, then a picture."""
        try:
            await self._send(json.dumps({"type": "welcome", **self.hub.welcome}))
            self.session = self.shown = await self._work(Session, self.hub.example)
            anew, changed, before = True, True, time.monotonic()
            while not self.closed:
                began = time.monotonic()
                while self.waiting and not self.closed:
                    reply = await self._answer(self.waiting.popleft())
                    changed, anew = changed or reply is not None, anew or bool(reply)
                if self.shown.running:
                    anew = await self._advance(began - before) or anew
                    changed = True
                before = began
                if changed and self.sent - self.seen < FRAMES_AHEAD:
                    await self._show(anew)
                    anew = changed = False
                await self._pause(began, pending=changed)
        except WebSocketClosedError:
            pass
        except Exception:  # whatever a model, an environment or a mistake of ours raises: the page must not just freeze
            app_log.exception("a tab ended")
            self.close(1011, "something went wrong on the server, which says what")
        finally:
            self.hub.tabs.discard(self)
            self.session = self.shown = None

    async def _pause(self, began: float, pending: bool) -> None:
        """Waits for the time of the next picture, or for a message where nothing is going on."""
        if self.shown.running and time.monotonic() - self.last_seen > UNSEEN_SECONDS:
            self.shown.running = False
        if self.waiting or self.closed:
            return
        self.woken.clear()
        if not (self.shown.running or pending):
            await self.woken.wait()
            self.last_seen = time.monotonic()
            return
        rest = max(1 / PICTURES_A_SECOND - (time.monotonic() - began), 0.0)
        await asyncio.sleep(rest) if self.shown.running else await self._woken_within(1.0)

    async def _woken_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.woken.wait(), seconds)

    async def _answer(self, text: str | bytes) -> bool | None:
        """Does what a message asks for; whether the page needs the world anew, None if it needs nothing."""
        try:
            message = read_message(text)
            if message.type == "seen":
                self.seen, self.last_seen = max(self.seen, min(message.frame, self.sent)), time.monotonic()
                return None
            if message.type == "model":
                await self._open_model(message.index)
                return False
            if message.type == "setup":
                self.shown = self.session
            return bool(await self._work(self.shown.handle, message))
        except MessageError as error:
            await self._refuse(error)
            return False

    async def _advance(self, elapsed: float) -> bool:
        try:
            return bool(await self._work(self.shown.advance, self.hub.chunk, elapsed))
        except MessageError as error:
            await self._refuse(error)
            return False

    async def _open_model(self, index: int) -> None:
        if self.hub.saved is None:
            raise MessageError("no model was named on the command line")
        self.shown = await self._work(self.hub.saved.player, index)

    async def _refuse(self, error: MessageError) -> None:
        await self._send(json.dumps({"type": "error", "text": str(error)[:500]}))

    async def _show(self, anew: bool) -> None:
        if anew and self.shown is self.session and self.session is not None:
            await self._send(await self._work(self.session.world_message))
        self.sent += 1
        await self._send(await self._work(self.shown.frame, self.sent))

    async def _work(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.hub.worker, function, *arguments)

    async def _send(self, content: str | bytes) -> None:
        if self.closed:
            raise WebSocketClosedError
        await self.write_message(content, binary=isinstance(content, bytes))


def make_application(hub: Hub) -> Application:
    """The addresses: ``/socket`` for tabs, everything else is a file of the page."""
    return Application(
        [(r"/socket", Tab, {"hub": hub}), (r"/(.*)", Page, {"hub": hub})],
        websocket_max_message_size=LARGEST_MESSAGE,
        websocket_ping_interval=20.0,
    )


def listen(hub: Hub, port: int) -> tuple[HTTPServer, int]:
    """Serves from within a running event loop.

    Returns:
        The server, and the port (another one if 0 was asked for).

    Raises:
        OSError: If the port is taken, or the address is not this machine's.
    """
    sockets = bind_sockets(port, hub.bound, reuse_port=False)
    server = HTTPServer(make_application(hub), max_header_size=64 * 1024, max_body_size=64 * 1024)
    server.add_sockets(sockets)
    return server, sockets[0].getsockname()[1]
