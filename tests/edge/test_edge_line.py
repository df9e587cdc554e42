"""The line: sockets served without aiohttp's handler are the same sockets, on the same terms."""

import asyncio
import gc
import json
import re
import struct

import pytest

from bridge.live.viewer import Viewer
from bridge.web.line import Line
from bridge.web.sink import TransportSink
from bridge.web.ws import Conversation
from clients import QUERY
from scripted_tier import update
from wires import ASK, HEALTH, Wire

UPGRADE = (
    b"GET /api/v1/live/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PLAIN = UPGRADE + b"\r\n"
SUBSCRIBE = json.dumps({"action": "subscribe", "query": QUERY}).encode()
TEXT, BINARY, CLOSE, PING = 0x81, 0x82, 0x88, 0x89
CUTS = (0, 30, len(PLAIN) - 1)


def message(payload, first=TEXT):
    """What a client sends: masked, with the mask that changes nothing."""
    size = len(payload)
    head = bytes([first, 0x80 | size]) if size < 126 else struct.pack(">BBH", first, 0xFE, size)
    return head + bytes(4) + payload


async def open_(client, request=PLAIN, cut=0):
    if cut:
        client.send(request[:cut])
        await asyncio.sleep(0.02)
    client.send(request[cut:])
    return await client.head()


async def subscribed(client, tier):
    assert "101 Switching" in await open_(client)
    client.send(message(SUBSCRIBE))
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    assert [await heard(client) for _ in range(2)] == [TEXT, TEXT], "reset and enter"
    return call


async def heard(client):
    """Read a message: a code if it is a goodbye, else how it begins."""
    async with asyncio.timeout(5):
        first, size = await client.reader.readexactly(2)
        if size == 126:
            [size] = struct.unpack(">H", await client.reader.readexactly(2))
        payload = await client.reader.readexactly(size)
    return struct.unpack(">H", payload[:2])[0] if first == CLOSE else first


async def rest(client):
    async with asyncio.timeout(5):
        return await client.reader.read()


async def nobody_left(bridge):
    async with asyncio.timeout(5):
        while bridge._listener.connections or bridge._gate.open or bridge._context.clients:
            await asyncio.sleep(0.01)
    assert all(heart.stopped for _, _, heart in bridge._context.hearts._due)


# ---------------------------------------------------------------- the answer


@pytest.mark.parametrize(
    "more", [b"", b"Origin: https://page.example\r\nSec-WebSocket-Protocol: x, livequery.v1\r\n"]
)
async def test_in_one_piece_or_in_parts_the_answer_is_the_same(start_bridge, wire, handed, more):
    bridge = await start_bridge(allowed_origins="https://page.example")
    heads = set()
    for cut in CUTS:
        before = len(handed)
        client = await wire(bridge)
        heads.add(await open_(client, UPGRADE + more + b"\r\n", cut))
        assert len(handed) - before == bool(cut)
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
async def test_what_is_no_right_upgrade_is_refused_by_aiohttp(start_bridge, wire, handed, old, new):
    bridge = await start_bridge()
    heads = set()
    for cut in CUTS:
        client = await wire(bridge)
        heads.add(
            re.sub("Content-Length: .*", "", await open_(client, PLAIN.replace(old, new), cut))
        )
    assert len(heads) == 1
    assert heads.pop()[9] == "4"
    assert len(handed) == len(CUTS)
    assert not bridge._gate.open


async def test_over_a_limit_no_socket_is_opened(start_bridge, tier, wire):
    tier.rows = "a"
    bridge = await start_bridge(max_connections_per_ip="1")
    first, second = await wire(bridge), await wire(bridge)
    assert "101 Switching" in await open_(first)
    head = await open_(second)
    assert head.startswith("HTTP/1.1 429 ")
    assert json.loads(await second.body(head))["status"] == 429
    first.writer.close()
    async with asyncio.timeout(5):
        while bridge._gate.open:
            await asyncio.sleep(0.01)
    second.send(ASK)
    assert "200 OK" in await second.head(), "the refusal was for the other one"


# ---------------------------------------------------------------- messages


async def test_a_message_may_come_in_any_parts(start_bridge, tier, wire, handed):
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_(client)
    said = message(SUBSCRIBE[:9], 0x01) + message(b"hi", PING) + message(SUBSCRIBE[9:], 0x80)
    for byte in said:
        client.send(bytes([byte]))
        await asyncio.sleep(0)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    assert (await client.until(b'"agg_id":"a"')).startswith(b"\x8a\x02hi")
    assert not handed


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
    "half a goodbye": (message(b"x", CLOSE), 1002),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_wrong_is_told_by_the_same_code_on_either_way(start_bridge, wire, wrong):
    data, code = WRONG[wrong]
    bridge = await start_bridge()
    for cut in CUTS:
        client = await wire(bridge)
        await open_(client, cut=cut)
        client.send(data)
        assert await heard(client) == code
        client.writer.close()
    await nobody_left(bridge)


async def test_a_goodbye_is_answered_and_nothing_comes_after_it(start_bridge, tier, wire):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    call = await subscribed(client, tier)
    client.send(message(struct.pack(">H", 1000), CLOSE))
    call.send(update("a", 0, version=2))
    said = await rest(client)
    assert said[-4:] == bytes([CLOSE, 2]) + struct.pack(">H", 1000)
    async with asyncio.timeout(5):
        await call.over.wait()
    await nobody_left(bridge)


@pytest.mark.parametrize("leave", ["close", "abort"])
async def test_who_leaves_without_a_word_leaves_nothing(start_bridge, tier, wire, leave):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    call = await subscribed(client, tier)
    getattr(client.writer.transport, leave)()
    async with asyncio.timeout(5):
        await call.over.wait()
    await nobody_left(bridge)


async def test_commands_of_one_who_left_are_not_obeyed_any_more(start_bridge, tier, wire):
    """They are paced: there might be minutes of them."""
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    await subscribed(client, tier)
    client.send(message(b'{"action":"nothing"}') * 500)
    await asyncio.sleep(0.05)
    client.writer.transport.abort()
    async with asyncio.timeout(2):
        await nobody_left(bridge)


async def test_who_does_not_answer_a_goodbye_is_left(start_bridge, tier, wire, monkeypatch):
    monkeypatch.setattr("bridge.web.line.CLOSE_TIMEOUT", 0.1)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribed(client, tier)
    call.end()
    assert await heard(client) == 1000
    assert await rest(client) == b""
    await nobody_left(bridge)


async def test_who_takes_nothing_is_dropped(start_bridge, tier, wire, monkeypatch):
    monkeypatch.setattr("bridge.web.line.CLOSE_TIMEOUT", 0.1)
    monkeypatch.setattr("bridge.web.line.GRACE", 0.2)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribed(client, tier)
    client.writer.transport.pause_reading()
    call.send(update("a", 0, version=2, row=b'{"n":"%b"}' % (b"x" * 4_000_000)))
    call.end()
    await nobody_left(bridge)
    client.writer.transport.resume_reading()
    assert len(await rest(client)) < 4_000_000


async def test_who_is_slow_is_told_all_to_the_goodbye(start_bridge, tier, wire, monkeypatch):
    monkeypatch.setattr("bridge.web.line.CLOSE_TIMEOUT", 0.1)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribed(client, tier)
    client.writer.transport.pause_reading()
    call.send(update("a", 0, version=2, row=b'{"n":"%b"}' % (b"x" * 4_000_000)))
    call.end()
    await asyncio.sleep(0.5)
    client.writer.transport.resume_reading()
    said = await rest(client)
    assert said[-4:] == bytes([CLOSE, 2]) + struct.pack(">H", 1000)
    await nobody_left(bridge)


async def test_nobody_sends_past_a_transport_that_closes(start_bridge, tier, wire):
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribed(client, tier)
    [line] = bridge._listener._hall._doors
    for version in (2, 3):
        call.send(update("a", 0, version=version))
        await heard(client)
    assert line.outlet.in_step
    line.hang_up()
    assert not line.outlet.in_step
    assert line.outlet.wire() is None


async def test_a_socket_on_which_nothing_comes_stays(start_bridge, tier, wire, monkeypatch):
    monkeypatch.setattr("bridge.web.hall.KEEPALIVE", 0.2)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribed(client, tier)
    await asyncio.sleep(0.5)
    call.send(update("a", 0, version=2))
    assert await heard(client) == TEXT


async def test_a_socket_after_a_stream_to_a_client_that_lags(start_bridge, tier, caplog):
    bridge = await start_bridge()
    host, port = bridge.url.removeprefix("http://").split(":")
    client = Wire(*await asyncio.open_connection(host, int(port), limit=16 * 1024))
    call = await client.stream(tier)
    client.writer.transport.pause_reading()
    call.send(update("a", 0, version=2, row=b'{"n":"%b"}' % (b"x" * 4_000_000)))
    client.send(PLAIN)
    call.end()
    async with asyncio.timeout(5):
        while not isinstance(next(iter(bridge._listener._hall._doors)), Line):
            await asyncio.sleep(0.01)
    [line] = bridge._listener._hall._doors
    assert line.writing_paused
    client.writer.transport.resume_reading()
    seen = b""
    async with asyncio.timeout(5):
        while not seen.endswith(b"\r\n\r\n") or b"101 Switching" not in seen:
            seen = seen[-1000:] + await client.reader.read(64 * 1024)
    assert not line.writing_paused
    client.writer.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_who_sends_without_end_is_not_read(start_bridge, tier, wire):
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await subscribed(client, tier)
    client.send(message(b'{"action":"nothing","x":"%b"}' % (b"x" * 8_000)) * 3000)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await client.writer.drain()
    [line] = bridge._listener._hall._doors
    assert line._queue._size < 4 * 64 * 1024
    call.send(update("a", 0, version=2))
    await client.until(b'"version":2')


# ---------------------------------------------------------------- the end


async def test_a_socket_that_breaks_is_dropped_and_told_in_the_log(
    start_bridge, wire, monkeypatch, caplog
):
    async def read(*_):
        raise RuntimeError

    monkeypatch.setattr(Conversation, "read", read)
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(PLAIN)
    assert (await rest(client)).endswith(b"\r\n\r\n"), "no word after the answer"
    await nobody_left(bridge)
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == ["a socket broke"]


async def test_a_bridge_that_closes_leaves_no_socket(start_bridge, tier, wire):
    bridge = await start_bridge()
    clients = [await wire(bridge) for _ in range(3)]
    await subscribed(clients[0], tier)
    await open_(clients[1])
    hall = bridge._listener._hall
    await bridge.close()
    assert not len(hall)
    assert not bridge._gate.open
    assert await rest(clients[1]) == b""


async def test_a_socket_after_a_stream_on_the_same_connection(start_bridge, tier, wire, handed):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    call = await client.stream(tier)
    client.send(PLAIN)
    call.end()
    await client.until(b"0\r\n\r\n")
    assert "101 Switching" in await client.head()
    client.send(message(SUBSCRIBE))
    assert (await tier.next_call()).request.query.entity == QUERY["entity"]
    assert not handed
    other = await wire(bridge)
    other.send(PLAIN + HEALTH)
    assert "101 Switching" in await other.head()
    assert len(handed) == 1, "what is sent before the answer is aiohttp's to judge"


def held():
    kinds = (Line, Conversation, TransportSink, Viewer)
    return [thing for thing in gc.get_objects() if isinstance(thing, kinds)]


@pytest.mark.parametrize("end", ["left", "goodbye", "over", "wrong"])
async def test_what_a_socket_held_is_free_without_the_collector(start_bridge, tier, wire, end):
    bridge = await start_bridge(linger="0")
    gc.collect()
    others = held()  # aiohttp remembers the applications of other tests
    gc.disable()
    try:
        client = await wire(bridge)
        call = await subscribed(client, tier)
        if end == "over":
            call.end()
            await heard(client)
        if end == "wrong":
            client.send(WRONG["no UTF-8"][0])
            await heard(client)
        if end != "left":
            client.send(message(struct.pack(">H", 1000), CLOSE))
            await rest(client)
        client.writer.transport.abort()
        async with asyncio.timeout(2):
            while any(thing not in others for thing in held()):
                await asyncio.sleep(0.05)
    finally:
        gc.enable()
