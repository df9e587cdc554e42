"""The bridge in somebody's aiohttp application: examples/mounted.py before the embedded tier."""

import asyncio
import contextlib
import json
import time

import pytest
from aiohttp import web

from bridge.config.loader import ConfigError
from bridge.core.shared_rate import SharedRate
from bridge.embed import BRIDGE, mount
from clients import SseClient
from examples.mounted import build
from livetier.server import TierOptions, start_tier
from patience import patient, patiently
from raw_client import (
    CLOSE_FRAME,
    PING,
    TEXT,
    UPGRADE_REQUEST,
    RawClient,
    message,
    open_websocket,
    read_message,
    read_rest,
)

QUERY = {"entity": "flights", "sort": [{"column": "est_dep"}], "limit": 3}


@contextlib.asynccontextmanager
async def running(app):
    """Run an application on a real port; yields its URL."""
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}".format(*runner.addresses[0][:2])
    finally:
        async with patiently(10):
            await runner.cleanup()


@pytest.fixture
async def mounted():
    """The example before the embedded tier; yields its URL and the bridge in it."""
    tier = await start_tier(TierOptions(speed=0))
    app = build(tier.address)
    [resource] = [r for r in app.router.resources() if r.canonical == "/live"]
    try:
        async with running(app) as url:
            yield url, resource._app[BRIDGE]
    finally:
        await tier.stop()


async def none_open(bridge):
    async with patiently(5):
        while bridge.context.admission.open:
            await asyncio.sleep(0.01)


async def test_an_event_stream_is_served_below_the_prefix(mounted, http, monkeypatch):
    monkeypatch.setattr("bridge.web.sse.handler.DISCONNECT_POLL", 0.05)
    url, bridge = mounted
    response = await http.post(url + "/live", json=QUERY)
    assert response.status == 200
    assert response.content_type == "text/event-stream"
    client = SseClient(response)
    frames = await client.frames(4)
    assert [frame["op"] for frame in frames] == ["reset", "enter", "enter", "enter"]
    assert bridge.context.admission.open == 1
    client.close()
    await none_open(bridge)  # nobody cancels the handler: aiohttp's default


@pytest.mark.parametrize("protocols", [(), ("livequery.v1",)], ids=["core", "v1"])
async def test_a_websocket_is_served_below_the_prefix(mounted, http, protocols):
    url, bridge = mounted
    async with http.ws_connect(url + "/live/ws", protocols=protocols) as ws:
        assert ws.protocol == (protocols[0] if protocols else None)
        await ws.send_str(json.dumps({"action": "subscribe", "sub": "s", "query": QUERY}))
        first = await ws.receive_json(timeout=patient(5))
        assert first["sub"] == "s" if protocols else first["op"] == "reset"
    await none_open(bridge)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (message(b"{}", 0xF1), 1002),
        (message(b"\xff"), 1007),
        (message(b"", PING), 1008),
        (CLOSE_FRAME, 1000),
    ],
    ids=["reserved bits", "no text", "too many frames", "closed"],
)
async def test_nothing_follows_the_close_frame_of_a_mounted_socket(
    mounted, monkeypatch, wrong, code
):
    url, bridge = mounted
    if code == 1008:
        few = SharedRate(rate=1e-9, burst=1, clock=time.monotonic)
        monkeypatch.setattr("bridge.web.ws.mounted.FRAMES", few)
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    client = RawClient(reader, writer)
    try:
        upgrade = UPGRADE_REQUEST.replace(b"/api/v1/live/ws", b"/live/ws")
        assert "101 Switching" in await open_websocket(client, upgrade)
        client.send(message(json.dumps({"action": "subscribe", "query": QUERY}).encode()))
        assert [await read_message(client) for _ in range(4)] == [TEXT] * 4
        [viewer] = bridge._hub._by_viewer
        client.send(wrong)
        assert await read_message(client) == code
        viewer.send_buffer.write(b"\x81\x04late")
        client.send(CLOSE_FRAME)
        assert await read_rest(client) == b""
        await none_open(bridge)
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_the_applications_own_routes_are_its_own(mounted, http):
    url, _ = mounted
    async with http.get(url + "/") as response:
        assert (response.status, await response.text()) == (200, "hello\n")
        assert response.headers["Server"] != "livequery-bridge"
    async with http.get(url + "/live") as response:
        assert response.status == 400
        assert response.content_type == "application/problem+json"
    async with http.get(url + "/elsewhere") as response:
        assert response.status == 404
        assert response.content_type == "text/plain"


async def test_the_applications_shutdown_drains_and_closes_the_bridge(http):
    tier = await start_tier(TierOptions(speed=0))
    app = web.Application()
    bridge_app = mount(app, "/live", upstream=tier.address, drain_timeout="2s")
    async with running(app) as url:
        ws = await http.ws_connect(url + "/live/ws")
        await ws.send_str(json.dumps({"action": "subscribe", "query": QUERY}))
        assert (await ws.receive_json(timeout=patient(5)))["op"] == "reset"
        assert b"livequery_bridge_" in bridge_app[BRIDGE].metrics.exposition()
        assert await bridge_app[BRIDGE].unready_reasons() == []
        codes = asyncio.create_task(closed(ws))
    assert await codes == 1001
    await tier.stop()


async def closed(ws):
    async for _ in ws:
        pass
    return ws.close_code


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"upstream": "127.0.0.1:1", "max_row": "5"},
            "unknown option 'max_row'; did you mean max_rows",
        ),
        ({"upstream": "127.0.0.1:1", "max_rows": object()}, "--max-rows: a text"),
        ({"upstream": "127.0.0.1:1", "max_rows": -1}, "--max-rows '-1'"),
        ({}, "upstream: the address of the tier is needed"),
        ({"upstream": "127.0.0.1:1", "tls_cert": "missing.pem"}, "tls_cert: a mounted bridge"),
    ],
)
def test_a_mount_says_what_is_wrong_with_its_options(options, message):
    with pytest.raises(ConfigError) as refused:
        mount(web.Application(), "/live", **options)
    assert str(refused.value).startswith(message)


def test_options_of_a_mount_may_be_numbers_booleans_and_lists():
    options = {"max_rows": 5, "sharing": False, "allowed_origins": ["https://app.example"]}
    mount(web.Application(), "/live", upstream="127.0.0.1:1", **options)


async def test_window_and_schema_are_served_below_the_prefix(mounted, http, monkeypatch):
    monkeypatch.setattr("bridge.web.window.handler.DISCONNECT_POLL", 0.05)
    url, bridge = mounted
    async with http.post(url + "/live/window", json=QUERY) as response:
        window = await response.json()
    assert len(window["rows"]) == 3
    async with http.get(url + "/live/schema") as response:
        schema = await response.json()
    [flights] = [entity for entity in schema["entities"] if entity["name"] == "flights"]
    assert set(window["rows"][0]["row"]) == {column["name"] for column in flights["columns"]}
    wrapped = {"query": QUERY, "since": window["pos"]}
    waiting = asyncio.create_task(http.post(url + "/live/window?wait=60", json=wrapped))
    async with patiently(5):
        while not bridge.context.admission.open:
            await asyncio.sleep(0.01)
    waiting.cancel()
    await none_open(bridge)
