"""The server over real connections: each tab has a session of its own, and nothing that one sends harms another."""

import asyncio
import gc
import json
import weakref

import numpy as np
import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from sb3_ext.zoo.watch import server
from sb3_ext.zoo.watch.messages import LARGEST_MESSAGE
from sb3_ext.zoo.watch.server import FRAMES_AHEAD, MOST_WAITING, host_is_ours
from sb3_ext.zoo.watch.session import Session, unpacked


async def fetch(address, path="/", **headers):
    request = HTTPRequest(f"http://{address}{path}", headers=headers)
    return await AsyncHTTPClient().fetch(request, raise_error=False)


def test_a_tab_is_told_what_there_is_and_shown_a_world(served):
    async def scene(open_tab, hub, address):
        tab = await open_tab()
        welcome, _ = await tab.next("welcome")
        assert len(welcome["examples"]) > 5
        world, arrays = await tab.next("world")
        assert world["map"] == ["S..G"]
        assert arrays["exact"][0].max() == pytest.approx(0.81 - 0.019)
        frame, arrays = await tab.next("frame")
        assert not frame["running"]
        assert not arrays["q0"].any()

    served(scene)


def test_it_runs_and_pauses(served):
    async def scene(open_tab, hub, address):
        tab = await open_tab()
        await tab.send(type="run", speed=0)
        await tab.until(lambda head: head["agents"][0]["steps"] > 1000)
        await tab.send(type="pause")
        head, arrays = await tab.until(lambda head: not head["running"])
        session = next(iter(hub.tabs)).session
        np.testing.assert_array_equal(arrays["q0"], session.learners[0].q_table.astype(np.float32))
        assert await tab.silent()
        assert session.learners[0].n_steps == head["agents"][0]["steps"]

    served(scene)


def test_two_tabs_do_not_disturb_each_other(served):
    async def scene(open_tab, hub, address):
        one, other = await open_tab(), await open_tab()
        await one.send(type="setup", world={"map": ["SG"]}, gamma=0.5, agents=[{"algo": "sarsa"}])
        await one.send(type="run", speed=1000)
        await one.until(lambda head: head["agents"][0]["steps"] > 200)
        await other.send(type="step")
        head, arrays = await other.until(lambda head: head["agents"][0]["steps"])
        assert head["agents"][0]["steps"] == 1
        assert arrays["q0"].shape == (4, 4)

    served(scene)


def test_what_changed_while_two_pictures_were_on_their_way_is_shown_afterwards(served):
    async def scene(open_tab, hub, address):
        tab = await open_tab()
        await tab.next("frame")
        for steps in (1, 2):  # on their way, and not drawn
            await tab.send(type="step")
            last, _ = unpacked(await asyncio.wait_for(tab.socket.read_message(), 5))
            assert last["agents"][0]["steps"] == steps
        await tab.send(type="step")
        assert await tab.silent()
        await tab.send(type="seen", frame=last["number"])
        await tab.until(lambda head: head["agents"][0]["steps"] == 3)

    served(scene)


def test_a_mistake_on_the_server_is_told_and_ends_the_tab(served, monkeypatch, caplog):
    def broken(*_):
        raise IndexError("a mistake")

    async def scene(open_tab, hub, address):
        tab, other = await open_tab(), await open_tab()
        for each in (tab, other):
            await each.next("frame")
        monkeypatch.setattr(Session, "frame", broken)
        await tab.send(type="step")
        while await asyncio.wait_for(tab.socket.read_message(), 5) is not None:
            pass
        assert tab.socket.close_code == 1011
        monkeypatch.undo()
        await other.send(type="step")
        await other.until(lambda head: head["agents"][0]["steps"] == 1)

    served(scene)
    assert "IndexError: a mistake" in caplog.text


def test_a_tab_that_draws_nothing_is_sent_no_more_pictures(served):
    async def scene(open_tab, hub, address):
        tab = await open_tab()
        await tab.send(type="run", speed=0)
        kinds = []
        while not await asyncio.sleep(0.01):
            try:
                message = await asyncio.wait_for(tab.socket.read_message(), 1.0)
            except TimeoutError:
                break
            kinds.append("frame" if isinstance(message, bytes) and b'"type": "frame"' in message[:40] else "other")
        assert kinds.count("frame") == FRAMES_AHEAD
        assert next(iter(hub.tabs)).session.running  # it learns on, until it was unseen for long

    served(scene)


def test_a_tab_that_is_not_looked_at_is_paused(served, monkeypatch):
    monkeypatch.setattr(server, "UNSEEN_SECONDS", 0.3)

    async def scene(open_tab, hub, address):
        tab = await open_tab()
        await tab.send(type="run", speed=0)
        session = None
        for _ in range(200):
            await asyncio.sleep(0.05)
            session = session or next(iter(hub.tabs)).session
            if session is not None and session.learners[0].n_steps and not session.running:
                return
        raise AssertionError("it runs on")

    served(scene)


@pytest.mark.parametrize("running", [True, False])
def test_a_closed_tab_frees_its_session(served, running):
    async def scene(open_tab, hub, address):
        tab = await open_tab()
        await tab.send(type="run", speed=0)
        await tab.until(lambda head: head["agents"][0]["steps"] > 1000)
        if not running:
            await tab.send(type="pause")
            await tab.until(lambda head: not head["running"])
            await asyncio.sleep(0.2)  # it waits
        session = weakref.ref(next(iter(hub.tabs)).session)
        tab.socket.close()
        for _ in range(100):
            await asyncio.sleep(0.02)
            gc.collect()
            if not hub.tabs and session() is None:
                return
        raise AssertionError("the session is still there")

    served(scene)


@pytest.mark.parametrize("junk", ["", "[]", '{"type": "fly"}', '{"type": "setup"}', b"\x80\x04K\x07.", "\ud7ff" * 9])
def test_junk_is_answered_in_words_and_the_tab_lives_on(served, junk):
    async def scene(open_tab, hub, address):
        tab = await open_tab()
        await tab.socket.write_message(junk, binary=isinstance(junk, bytes))
        error, _ = await tab.next("error")
        assert error["text"]
        await tab.send(type="step")
        await tab.until(lambda head: head["agents"][0]["steps"] == 1)

    served(scene)


def test_what_the_library_refuses_is_told(served):
    async def scene(open_tab, hub, address):
        tab = await open_tab()
        await tab.send(type="setup", world={"map": ["S#G"]}, gamma=0.9, agents=[{}])
        error, _ = await tab.next("error")
        assert "cannot be reached" in error["text"]
        await tab.send(type="model", index=0)
        error, _ = await tab.next("error")
        assert "no model" in error["text"]

    served(scene)


def test_a_message_that_is_too_large_closes_that_tab_alone(served):
    async def scene(open_tab, hub, address):
        one, other = await open_tab(), await open_tab()
        await one.socket.write_message(" " * (LARGEST_MESSAGE + 1))
        while await one.socket.read_message() is not None:
            pass
        await other.send(type="step")
        await other.until(lambda head: head["agents"][0]["steps"] == 1)

    served(scene)


def test_a_flood_of_messages_closes_the_tab(served):
    async def scene(open_tab, hub, address):
        tab = await open_tab()
        for _ in range(20 * MOST_WAITING):
            tab.socket.write_message(json.dumps({"type": "reset"}))
        while await tab.socket.read_message() is not None:
            pass
        assert tab.socket.close_code == 1008

    served(scene)


def test_there_are_only_so_many_tabs(served, monkeypatch):
    monkeypatch.setattr(server, "MOST_TABS", 2)

    async def scene(open_tab, hub, address):
        tabs = [await open_tab() for _ in range(3)]
        assert await tabs[2].socket.read_message() is None
        assert tabs[2].socket.close_code == 1013
        await tabs[0].next("frame")

    served(scene)


# ---- Who may come in ------------------------------------------------------------------------------------------------


def test_the_page_may_load_nothing_from_elsewhere(served):
    async def scene(open_tab, hub, address):
        page = await fetch(address)
        assert page.code == 200
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        for path in ("/main.js", "/style.css"):
            assert (await fetch(address, path)).code == 200

    served(scene)


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/server.py", "/nothing", "//etc/passwd"])
def test_only_files_of_the_page_are_served(served, path):
    async def scene(open_tab, hub, address):
        assert (await fetch(address, path)).code in (400, 403, 404)

    served(scene)


def test_another_host_name_is_refused(served):
    async def scene(open_tab, hub, address):
        assert (await fetch(address, Host="evil.example")).code == 403
        request = HTTPRequest(
            f"ws://{address}/socket", headers={"Host": "evil.example", "Origin": "http://evil.example"}
        )
        with pytest.raises(Exception, match="403"):
            await websocket_connect(request)

    served(scene)


def test_a_page_from_elsewhere_cannot_connect(served):
    async def scene(open_tab, hub, address):
        request = HTTPRequest(f"ws://{address}/socket", headers={"Origin": "http://evil.example"})
        with pytest.raises(Exception, match="403"):
            await websocket_connect(request)
        request = HTTPRequest(f"ws://{address}/socket", headers={"Origin": f"http://{address}"})
        (await websocket_connect(request)).close()

    served(scene)


@pytest.mark.parametrize(
    ("header", "bound", "ours"),
    [("localhost:1", "127.0.0.1", True), ("127.0.0.1:1", "127.0.0.1", True), ("[::1]:1", "127.0.0.1", True),
     ("10.0.0.7:1", "127.0.0.1", False), ("10.0.0.7:1", "0.0.0.0", True), ("evil.example", "0.0.0.0", False),
     ("127.0.0.1.evil.example", "127.0.0.1", False), ("", "127.0.0.1", False), ("[", "127.0.0.1", False),
     ("classroom.local", "classroom.local", True)],
)  # fmt: skip
def test_host_names(header, bound, ours):
    assert host_is_ours(header, bound) is ours
