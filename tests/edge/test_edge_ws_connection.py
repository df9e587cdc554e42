"""WebSocketConnection: sockets served without aiohttp's handler are the same sockets."""

import asyncio
import json
import logging
import re
import struct
import time

import pytest

from bridge.core.shared_rate import SharedRate
from patience import patiently
from raw_client import (
    BINARY,
    BOTH_WAYS,
    CLOSE,
    CUTS,
    PING,
    STREAM_REQUEST,
    SUBSCRIBE,
    TEXT,
    UPGRADE,
    UPGRADE_REQUEST,
    all_released,
    message,
    open_websocket,
    read_message,
    read_rest,
    subscribe_client,
)
from scripted_tier import update

NO_LIMIT = SharedRate(rate=0, burst=0, clock=time.monotonic)

# ---------------------------------------------------------------- the answer


@pytest.mark.parametrize(
    "more", [b"", b"Origin: https://page.example\r\nSec-WebSocket-Protocol: x, livequery.v1\r\n"]
)
async def test_in_one_piece_or_in_parts_the_answer_is_the_same(
    start_bridge, wire, aiohttp_connections, more
):
    bridge = await start_bridge(allowed_origins="https://page.example")
    heads = set()
    for cut in CUTS:
        before = len(aiohttp_connections)
        client = await wire(bridge)
        heads.add(await open_websocket(client, UPGRADE + more + b"\r\n", cut))
        assert len(aiohttp_connections) - before == bool(cut)
    [head] = heads
    assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head, "RFC 6455 §1.3"
    assert ("Sec-WebSocket-Protocol: livequery.v1\r\n" in head) is bool(more)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"short"),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhlIHNhbXBsZSBub25jZQ"),
        (b"Sec-WebSocket-Key", b"X"),
        (b"Version: 13", b"Version: 12"),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"keep-alive, Upgrade", b"keep-alive"),
        (b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n", b""),
        (b"localhost", b"evil.example"),
        (b"Version: 13", b"Version: 13\r\nOrigin: https://evil.example"),
        (b"GET", b"POST"),
        (b"/ws", b"/wss"),
    ],
)
async def test_a_wrong_upgrade_is_refused_by_aiohttp(
    start_bridge, wire, aiohttp_connections, old, new
):
    bridge = await start_bridge()
    heads = set()
    for cut in CUTS:
        client = await wire(bridge)
        heads.add(
            re.sub(
                "Content-Length: .*",
                "",
                await open_websocket(client, UPGRADE_REQUEST.replace(old, new), cut),
            )
        )
    assert len(heads) == 1
    assert heads.pop()[9] == "4"
    assert len(aiohttp_connections) == len(CUTS)
    assert not bridge._admission.open


async def test_over_a_limit_no_socket_is_opened(start_bridge, tier, wire):
    tier.rows = "a"
    bridge = await start_bridge(max_connections_per_ip="1")
    first, second = await wire(bridge), await wire(bridge)
    assert "101 Switching" in await open_websocket(first)
    head = await open_websocket(second)
    assert head.startswith("HTTP/1.1 429 ")
    assert json.loads(await second.body(head))["status"] == 429
    first.writer.close()
    async with patiently(5):
        while bridge._admission.open:
            await asyncio.sleep(0.01)
    second.send(STREAM_REQUEST)
    assert "200 OK" in await second.head(), "the refusal was for the other one"


@BOTH_WAYS
@pytest.mark.parametrize(
    ("offered", "v1"), [(b"x,\tlivequery.v1", True), (b"livequery .v1", False)]
)
async def test_the_protocol_of_the_answer_is_the_one_that_is_served(
    start_bridge, wire, cut, offered, v1
):
    bridge = await start_bridge()
    client = await wire(bridge)
    head = await open_websocket(
        client, UPGRADE + b"Sec-WebSocket-Protocol: " + offered + b"\r\n\r\n", cut
    )
    client.send(message(b'{"action":"ping"}'))
    spoken = await read_message(client) == TEXT  # a pong; else a code
    assert ("Sec-WebSocket-Protocol: livequery.v1" in head, spoken) == (v1, v1)


@BOTH_WAYS
@pytest.mark.parametrize(
    ("offered", "v1"),
    [
        ((b"graphql-ws", b"livequery.v1"), True),
        ((b"livequery.v1", b"graphql-ws"), True),
        ((b"a, b", b"c,livequery.v1"), True),
        ((b"graphql-ws",), False),
        ((b"graphql-ws", b"soap"), False),
    ],
)
async def test_the_lines_of_offered_protocols_are_one_list_and_no_reason_for_a_warning(
    start_bridge, wire, caplog, cut, offered, v1
):
    bridge = await start_bridge()
    client = await wire(bridge)
    lines = b"".join(b"Sec-WebSocket-Protocol: %b\r\n" % line for line in offered)
    head = await open_websocket(client, UPGRADE + lines + b"\r\n", cut)
    client.send(message(b'{"action":"ping"}'))
    spoken = await read_message(client) == TEXT  # a pong; else a code
    assert (head.count("Sec-WebSocket-Protocol: livequery.v1"), spoken) == (int(v1), v1)
    assert head.count("Sec-WebSocket-Protocol") == int(v1)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@BOTH_WAYS
async def test_a_header_that_is_no_utf_8_does_no_harm_beside_an_offered_protocol(
    start_bridge, wire, caplog, cut
):
    bridge = await start_bridge()
    client = await wire(bridge)
    lines = b"X-Note: \xff\r\nSec-WebSocket-Protocol: livequery.v1\r\n\r\n"
    head = await open_websocket(client, UPGRADE + lines, cut)
    assert "Sec-WebSocket-Protocol: livequery.v1\r\n" in head
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# ---------------------------------------------------------------- messages


@BOTH_WAYS
@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize(("size", "answer"), [(65_536, TEXT), (65_537, 1009)])
async def test_a_message_may_have_64_kib_and_not_a_byte_more(
    start_bridge, wire, cut, fragments, size, answer
):
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client, UPGRADE + b"Sec-WebSocket-Protocol: livequery.v1\r\n\r\n", cut)
    payload = b'{"action":"ping"}'.ljust(size)
    if fragments == 1:
        client.send(message(payload))
    else:
        client.send(message(payload[:40_000], 0x01) + message(payload[40_000:], 0x80))
    assert await read_message(client) == answer


async def test_a_message_may_come_in_any_parts(start_bridge, tier, wire, aiohttp_connections):
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client)
    said = message(SUBSCRIBE[:9], 0x01) + message(b"hi", PING) + message(SUBSCRIBE[9:], 0x80)
    for byte in said:
        client.send(bytes([byte]))
        await asyncio.sleep(0)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    assert (await client.until(b'"agg_id":"a"')).startswith(b"\x8a\x02hi")
    assert not aiohttp_connections


@BOTH_WAYS
@pytest.mark.parametrize("protocol", [b"", b"Sec-WebSocket-Protocol: livequery.v1\r\n"])
async def test_a_socket_whose_window_is_there_needs_no_task(
    start_bridge, tier, wire, cut, protocol
):
    tier.rows = "a"
    bridge = await start_bridge()
    first = SUBSCRIBE if not protocol else json.dumps(json.loads(SUBSCRIBE) | {"sub": "s"}).encode()
    for number in range(3):
        client = await wire(bridge)
        await open_websocket(client, UPGRADE + protocol + b"\r\n", cut)
        client.send(message(first))
        await client.until(b'"agg_id":"a"')
        if not number:  # it opened the subscription that the others share
            await settled()
            tasks = len(asyncio.all_tasks())
    await settled()
    async with patiently(5):
        while len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.01)


async def settled():
    """Let the handlers of aiohttp that have read an upgrade come to their end."""
    async with patiently(5):
        while any("RequestHandler" in repr(task) for task in asyncio.all_tasks()):
            await asyncio.sleep(0.01)


WRONG = {
    "a binary": (message(b"x", BINARY), 4500),
    "an unknown opcode": (message(b"x", 0x83), 1002),
    "reserved bits": (message(b"x", 0xC1), 1002),
    "no beginning": (message(b"x", 0x80), 1002),
    "a ping in parts": (message(b"x", 0x09), 1002),
    "a long ping": (message(b"x" * 126, PING), 1002),
    "no UTF-8": (message(b"\xff"), 1007),
    "too long": (b"\x81\xff" + struct.pack(">Q", 2**20) + bytes(4), 1009),
    "too long in parts": (message(b"x" * 60_000, 0x01) + message(b"x" * 6_000, 0x80), 1009),
    "half a close frame": (message(b"x", CLOSE), 1002),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_frame_has_the_same_close_code_both_ways(start_bridge, wire, wrong):
    data, code = WRONG[wrong]
    bridge = await start_bridge()
    for cut in CUTS:
        client = await wire(bridge)
        await open_websocket(client, cut=cut)
        client.send(data)
        assert await read_message(client) == code
        client.writer.close()
    await all_released(bridge)


@BOTH_WAYS
async def test_pings_of_a_client_that_takes_nothing_are_answered_by_one_pong(
    start_bridge, tier, wire, monkeypatch, cut
):
    monkeypatch.setattr("bridge.web.ws.message_queue.FRAMES", NO_LIMIT)
    bridge = await start_bridge(stall_timeout="30s")
    client = await wire(bridge)
    await subscribe_client(client, tier, cut)
    client.writer.transport.pause_reading()
    for _ in range(12):
        client.send(message(b"x" * 125, PING) * 2000)
        await client.writer.drain()
    client.send(message(b"the last", PING))
    async with patiently(5):
        while not (lagging := bridge.context.stall_monitor._lagging):
            await asyncio.sleep(0.01)
    [send_buffer] = lagging
    assert send_buffer.unsent() < 64 * 1024
    client.writer.transport.resume_reading()
    tail = b""
    async with patiently(5):
        while b"the last" not in tail:
            tail = tail[-10:] + await client.reader.read(64 * 1024)


async def test_a_client_that_sends_without_end_is_not_read(start_bridge, tier, wire):
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribe_client(client, tier)
    client.send(message(b'{"action":"nothing","x":"%b"}' % (b"x" * 8_000)) * 3000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await client.writer.drain()
    call.send(update("a", 0, version=2))
    await client.until(b'"version":2')


async def test_an_unmasked_frame_ends_the_connection(start_bridge, wire):
    """RFC 6455 §5.1."""
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client)
    client.send(b"\x81\x02{}")
    assert await read_message(client) == 1002
    assert await read_rest(client) == b""
    await all_released(bridge)
