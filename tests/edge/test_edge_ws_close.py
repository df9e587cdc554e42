"""The end of a WebSocket: whoever ends it and however, all is sent and all is released."""

import asyncio
import json
import socket
import ssl
import struct

import pytest

from bridge.core.frame_encoding import encode
from bridge.core.op import Op
from bridge.web.ws.connection import WebSocketConnection
from clients import QUERY
from house_fixtures import authority  # noqa: F401 - a fixture
from patience import patiently
from raw_client import (
    BOTH_WAYS,
    CLOSE,
    CLOSE_FRAME,
    HEALTH_REQUEST,
    SUBSCRIBE,
    TEXT,
    UPGRADE,
    UPGRADE_REQUEST,
    RawClient,
    all_released,
    message,
    open_websocket,
    read_message,
    read_rest,
    stalled,
    subscribe_client,
    websockets_of,
)
from scripted_tier import update


async def test_a_close_frame_is_answered_and_nothing_follows_it(start_bridge, tier, wire):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    call = await subscribe_client(client, tier)
    client.send(CLOSE_FRAME)
    call.send(update("a", 0, version=2))
    said = await read_rest(client)
    assert said[-4:] == bytes([CLOSE, 2]) + struct.pack(">H", 1000)
    async with patiently(5):
        await call.over.wait()
    await all_released(bridge)


async def test_nothing_follows_the_close_frame_that_answers_what_is_wrong(start_bridge, tier, wire):
    bridge = await start_bridge()
    client = await wire(bridge)
    await subscribe_client(client, tier)
    [websocket], [subscription] = websockets_of(bridge), bridge.context.hub.all()
    # In the same turn of the loop, as where both were read at once.
    subscription.publish([encode(Op.UPDATE, "a", 2, b"{}", 0, 0, stream_id="1-1")])
    websocket.data_received(message(b"", 0x83))
    assert await read_rest(client) == bytes([CLOSE, 2]) + struct.pack(">H", 1002)


async def test_a_client_that_is_gone_when_its_error_is_answered_is_no_error_of_ours(
    start_bridge, wire, caplog
):
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client)
    [websocket] = websockets_of(bridge)
    sock = client.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # The connection is reset after the close frame was written, and before that is read.
    client.writer.transport.abort()
    websocket.data_received(message(b"", 0x83))
    await all_released(bridge)
    assert not [record.message for record in caplog.records if record.levelname == "ERROR"]


@BOTH_WAYS
@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        *((code, 1002) for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65_535)),
        *((code, 1000) for code in (1000, 1001, 1003, 1011, 1014, 3000, 4999)),
    ],
)
async def test_a_close_code_that_no_client_may_send_is_a_protocol_error(
    start_bridge, wire, cut, sent, answer
):
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client, cut=cut)
    client.send(message(struct.pack(">H", sent), CLOSE))
    assert await read_message(client) == answer
    await read_rest(client)


@BOTH_WAYS
async def test_a_close_frame_without_a_code_is_answered_as_a_normal_end(start_bridge, wire, cut):
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client, cut=cut)
    client.send(message(b"", CLOSE))
    assert await read_message(client) == 1000


@BOTH_WAYS
async def test_a_client_that_leaves_during_a_reanchor_leaves_nothing(start_bridge, tier, wire, cut):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    call = await subscribe_client(client, tier, cut)
    tier.reanchored = lambda *_: asyncio.sleep(60)
    client.send(message(b'{"action":"reanchor","limit":2}'))
    async with patiently(5):
        while not tier.reanchors:
            await asyncio.sleep(0.01)
    client.send(CLOSE_FRAME)
    await asyncio.sleep(0)
    client.writer.transport.abort()
    await all_released(bridge)
    async with patiently(5):
        await call.over.wait()
    assert not bridge._hub.subscriptions


@BOTH_WAYS
async def test_a_client_that_leaves_with_many_windows_leaves_nothing(start_bridge, tier, wire, cut):
    tier.rows = "a"
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    await open_websocket(client, UPGRADE + b"Sec-WebSocket-Protocol: livequery.v1\r\n\r\n", cut)
    for name in "ab":
        client.send(message(json.dumps(json.loads(SUBSCRIBE) | {"sub": name}).encode()))
    await client.until(b"ready")
    client.send(CLOSE_FRAME)
    await asyncio.sleep(0)
    client.writer.transport.abort()
    await all_released(bridge)


@pytest.mark.parametrize("leave", ["close", "abort"])
async def test_a_client_that_leaves_without_a_close_frame_leaves_nothing(
    start_bridge, tier, wire, leave
):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    call = await subscribe_client(client, tier)
    getattr(client.writer.transport, leave)()
    async with patiently(5):
        await call.over.wait()
    await all_released(bridge)


async def test_commands_of_a_client_that_left_are_not_handled(start_bridge, tier, wire):
    """They are paced: there might be minutes of them."""
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    await subscribe_client(client, tier)
    client.send(message(b'{"action":"nothing"}') * 900)
    await asyncio.sleep(0.05)
    client.writer.transport.abort()
    async with patiently(2):
        await all_released(bridge)


async def test_a_client_that_does_not_answer_a_close_frame_is_dropped(
    start_bridge, tier, wire, monkeypatch
):
    monkeypatch.setattr("bridge.web.ws.connection.CLOSE_TIMEOUT", 0.1)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribe_client(client, tier)
    call.end()
    assert await read_message(client) == 1000
    assert await read_rest(client) == b""
    await all_released(bridge)


async def test_a_client_that_takes_nothing_is_dropped(start_bridge, tier, wire, monkeypatch):
    monkeypatch.setattr("bridge.web.ws.connection.CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr("bridge.web.ws.connection.GRACE", 0.2)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await stalled(client, tier)
    call.end()
    await all_released(bridge)
    client.writer.transport.resume_reading()
    assert len(await read_rest(client)) < 4_000_000


async def test_a_slow_client_gets_everything_up_to_the_close_frame(
    start_bridge, tier, wire, monkeypatch
):
    monkeypatch.setattr("bridge.web.ws.connection.CLOSE_TIMEOUT", 0.1)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await stalled(client, tier)
    call.end()
    await asyncio.sleep(0.5)
    client.writer.transport.resume_reading()
    said = await read_rest(client)
    assert said[-4:] == bytes([CLOSE, 2]) + struct.pack(">H", 1000)
    await all_released(bridge)


@pytest.mark.parametrize("said", [CLOSE_FRAME, message(b"\xff")], ids=["close frame", "no UTF-8"])
async def test_a_client_that_takes_nothing_and_closes_is_dropped(
    start_bridge, tier, wire, monkeypatch, said
):
    monkeypatch.setattr("bridge.web.ws.connection.GRACE", 0.2)
    bridge = await start_bridge()
    client = await wire(bridge)
    await stalled(client, tier)
    await asyncio.sleep(0.1)
    client.send(said)
    async with patiently(2):
        await all_released(bridge)


@BOTH_WAYS
async def test_a_slow_client_gets_the_close_frame_of_a_drain(
    start_bridge, tier, wire, monkeypatch, cut
):
    monkeypatch.setattr("bridge.web.ws.connection.CLOSE_TIMEOUT", 0.1)
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    await stalled(client, tier, cut)
    await asyncio.sleep(0.1)
    draining = asyncio.create_task(bridge.drain())
    done, _ = await asyncio.wait([draining], timeout=1.5)
    assert not done, "it would be cut"
    client.writer.transport.resume_reading()
    assert b"\x03\xe9" in (await read_rest(client))[-60:], "1001"
    await draining


@pytest.mark.parametrize("end", ["lost", "closing"])
async def test_no_direct_send_follows_the_end_of_a_connection(start_bridge, tier, wire, end):
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribe_client(client, tier)
    [connection] = websockets_of(bridge)
    for version in (2, 3):
        call.send(update("a", 0, version=version))
        await read_message(client)
    send_buffer = connection.send_buffer
    assert send_buffer.direct_senders
    if end == "lost":
        connection.abort()
        connection.connection_lost(None)
    else:
        connection.close_after_flush()
    assert not send_buffer.direct_senders
    assert send_buffer.open_direct_send() is None


async def test_a_socket_on_which_nothing_comes_stays(start_bridge, tier, wire, monkeypatch):
    monkeypatch.setattr("bridge.web.http.registry.IDLE_TIMEOUT", 0.2)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribe_client(client, tier)
    await asyncio.sleep(0.5)
    call.send(update("a", 0, version=2))
    assert await read_message(client) == TEXT


async def test_a_socket_after_a_stream_to_a_client_that_lags(start_bridge, tier, caplog):
    bridge = await start_bridge()
    host, port = bridge.url.removeprefix("http://").split(":")
    client = RawClient(*await asyncio.open_connection(host, int(port), limit=16 * 1024))
    call = await client.stream(tier)
    client.writer.transport.pause_reading()
    call.send(update("a", 0, version=2, row=b'{"n":"%b"}' % (b"x" * 4_000_000)))
    client.send(UPGRADE_REQUEST)
    call.end()
    async with patiently(5):
        while not isinstance(
            next(iter(bridge._listeners.all[0]._fast_path.registry._connections)),
            WebSocketConnection,
        ):
            await asyncio.sleep(0.01)
    [connection] = websockets_of(bridge)
    assert connection.writing_paused
    client.writer.transport.resume_reading()
    seen = b""
    async with patiently(5):
        while not seen.endswith(b"\r\n\r\n") or b"101 Switching" not in seen:
            seen = seen[-1000:] + await client.reader.read(64 * 1024)
    assert not connection.writing_paused
    client.writer.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_session_that_fails_is_dropped_and_logged(
    start_bridge, wire, fail_subscriptions, caplog
):
    bridge = await start_bridge()
    fail_subscriptions(bridge, RuntimeError)
    client = await wire(bridge)
    client.send(UPGRADE_REQUEST)
    client.send(message(SUBSCRIBE))
    assert (await read_rest(client)).endswith(b"\r\n\r\n"), "nothing after the 101"
    await all_released(bridge)
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [
        "a WebSocket session failed"
    ]


async def test_a_bridge_that_closes_leaves_no_socket(start_bridge, tier, wire):
    bridge = await start_bridge()
    clients = [await wire(bridge) for _ in range(3)]
    await subscribe_client(clients[0], tier)
    await open_websocket(clients[1])
    registry = bridge._listeners.all[0]._fast_path.registry
    await bridge.close()
    assert not len(registry)
    assert not bridge._admission.open
    assert await read_rest(clients[1]) == b""


async def test_a_socket_after_a_stream_on_the_same_connection(
    start_bridge, tier, wire, aiohttp_connections
):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    call = await client.stream(tier)
    client.send(UPGRADE_REQUEST)
    call.end()
    await client.until(b"0\r\n\r\n")
    assert "101 Switching" in await client.head()
    client.send(message(SUBSCRIBE))
    assert (await tier.next_call()).request.query.entity == QUERY["entity"]
    assert not aiohttp_connections
    other = await wire(bridge)
    other.send(UPGRADE_REQUEST + HEALTH_REQUEST)
    assert "101 Switching" in await other.head()
    assert len(aiohttp_connections) == 1, "what is sent before the answer is aiohttp's to judge"


async def test_a_close_frame_and_the_end_of_tls_at_once_break_nothing(
    start_bridge, tier, authority, caplog
):
    """asyncio's own loop: its TLS transport breaks when it is closed again."""
    cert, key = authority.issue("server", 1)
    tier.rows = "a"
    bridge = await start_bridge(tls_cert=cert, tls_key=key, linger="0")
    host, port = bridge.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=authority.ca)
    for _ in range(3):
        client = RawClient(*await asyncio.open_connection(host, int(port), ssl=context))
        await open_websocket(client)
        client.send(message(SUBSCRIBE))
        await client.until(b'"agg_id":"a"')
        client.send(CLOSE_FRAME)
        client.writer.close()
        await asyncio.sleep(0.05)
        client.writer.transport.abort()
    await all_released(bridge)
    assert not [record.message for record in caplog.records if record.levelname == "ERROR"]
