"""Floods of WebSocket frames: each kind counts, each client has its turn, and no more."""

import asyncio
import time
from collections import Counter

import pytest

from bridge.telemetry.version import COMPILED, bridge_build
from bridge.web.ws.frame_limits import FRAME_BURST, FRAMES_PER_SECOND, FRAMES_PER_TURN
from bridge.web.ws.message_reader import MessageReader
from bridge.web.ws.v1_session import V1Session
from raw_client import (
    BOTH_WAYS,
    HEALTH_REQUEST,
    PING,
    STREAM_REQUEST,
    UPGRADE,
    all_released,
    exchange,
    message,
    open_websocket,
    read_message,
    read_rest,
    subscribe_client,
    websockets_of,
)
from scripted_tier import update

V1 = UPGRADE + b"Sec-WebSocket-Protocol: livequery.v1\r\n\r\n"
PONG, CONTINUATION, BEGINNING = 0x8A, 0x00, 0x01
FLOODS = {
    "empty pings": (b"", message(b"", PING)),
    "long pings": (b"", message(b"x" * 125, PING)),
    "pongs": (b"", message(b"", PONG)),
    "empty continuations": (message(b"", BEGINNING), message(b"", CONTINUATION)),
    "tiny texts": (b"", message(b"{}")),
    "empty texts": (message(b'{"action":"ping"}'), message(b"{}")),
}


async def end_of(client):
    """Read to the end; returns the code of the close frame."""
    while (code := await read_message(client)) < 1000:
        pass
    return code


@BOTH_WAYS
@pytest.mark.parametrize("what", FLOODS)
async def test_a_client_over_its_allowance_of_frames_is_sent_away_with_1008(
    start_bridge, wire, cut, what
):
    first, frame = FLOODS[what]
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client, V1, cut)
    client.send(first + frame * (FRAME_BURST - bool(first)))
    await asyncio.sleep(0.05)
    assert bridge._admission.open == 1, "the allowance itself may be used"
    client.send(frame * FRAME_BURST)
    assert await end_of(client) == 1008
    client.writer.close()
    await all_released(bridge)


@BOTH_WAYS
async def test_a_message_in_as_many_fragments_as_are_allowed_is_read(start_bridge, wire, cut):
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client, V1, cut)
    text = b'{"action":"ping"}'.ljust(FRAME_BURST - 2)
    parts = [message(bytes([byte]), CONTINUATION) for byte in text[1:]]
    client.send(message(text[:1], BEGINNING) + b"".join(parts) + message(b"", 0x80))
    assert await read_message(client) == 0x81


@pytest.mark.skipif(bridge_build() == COMPILED, reason="methods are replaced, to count each frame")
async def test_of_flooders_few_frames_are_read_at_once_and_no_more_than_may_be_sent(
    start_bridge, tier, wire, monkeypatch
):
    """By the order of events, not by time: while floods are read, everybody else is served."""
    read_at_once, read = Counter(), MessageReader.read
    frames, next_frame = Counter(), MessageReader._next_frame

    def counting_frame(self):
        frame = next_frame(self)
        frames[id(self)] += frame is not None
        return frame

    def counting(self, most):
        before = frames[id(self)]
        try:
            return read(self, most)
        finally:
            read_at_once[id(self)] = max(read_at_once[id(self)], frames[id(self)] - before)

    monkeypatch.setattr(MessageReader, "_next_frame", counting_frame)
    monkeypatch.setattr(MessageReader, "read", counting)
    bridge = await start_bridge(max_connections_per_ip="0")
    viewer = await wire(bridge)
    call = await viewer.stream(tier)
    began = time.monotonic()
    flooders = [await wire(bridge) for _ in range(10)]
    for flooder in flooders:
        await open_websocket(flooder, V1)
    for flooder in flooders:
        flooder.send(message(b"", PING) * 30_000)
    for version in range(2, 12):
        call.send(update("a", 0, version=version))
        await viewer.until(b'"version":%d' % version)
        await exchange(bridge, HEALTH_REQUEST)
    for flooder in flooders:
        assert await end_of(flooder) == 1008
    assert max(read_at_once.values()) <= FRAMES_PER_TURN
    grown = FRAMES_PER_SECOND * (time.monotonic() - began)
    assert max(frames.values()) <= FRAME_BURST + grown + 2
    head, _ = await exchange(bridge, STREAM_REQUEST)
    assert head.startswith(b"HTTP/1.1 200 ")


async def test_among_flooders_others_have_their_turn(start_bridge, tier, wire):
    """By the order of events, not by time: while floods are read, everybody else is served."""
    bridge = await start_bridge(max_connections_per_ip="0")
    loop, allowances = asyncio.get_running_loop(), {}
    read_at_once = ahead = 0.0

    def look():
        """In each turn of the loop: how many frames of one client were read since the last."""
        nonlocal read_at_once, ahead, looking
        now = time.monotonic()
        for one in websockets_of(bridge):
            allowed_at = one._messages._reader._allowed_at
            before = max(allowances.get(one, 0.0), now)  # what is behind us is nobody's allowance
            read_at_once = max(read_at_once, (allowed_at - before) * FRAMES_PER_SECOND)
            ahead = max(ahead, (allowed_at - now) * FRAMES_PER_SECOND)
            allowances[one] = allowed_at
        looking = loop.call_soon(look)

    looking = loop.call_soon(look)
    viewer = await wire(bridge)
    call = await viewer.stream(tier)
    flooders = [await wire(bridge) for _ in range(10)]
    for flooder in flooders:
        await open_websocket(flooder, V1)
    for flooder in flooders:
        flooder.send(message(b"", PING) * 30_000)
    for version in range(2, 12):
        call.send(update("a", 0, version=version))
        await viewer.until(b'"version":%d' % version)
        await exchange(bridge, HEALTH_REQUEST)
    for flooder in flooders:
        assert await end_of(flooder) == 1008
    looking.cancel()
    assert FRAMES_PER_TURN - 1 < read_at_once < FRAMES_PER_TURN + 0.01
    assert ahead < FRAME_BURST + 2
    head, _ = await exchange(bridge, STREAM_REQUEST)
    assert head.startswith(b"HTTP/1.1 200 ")


@BOTH_WAYS
async def test_a_client_has_one_command_handled_in_a_turn_of_the_event_loop(
    start_bridge, wire, monkeypatch, cut
):
    """A query of 16 KiB takes milliseconds to read, and 160 commands may come at once."""
    turn, handled, handle = 0, [], V1Session._handle

    def next_turn():
        nonlocal turn
        turn += 1
        ticking[0] = loop.call_soon(next_turn)

    def noting(self, message):
        handled.append(turn)
        return handle(self, message)

    monkeypatch.setattr(V1Session, "_handle", noting)
    loop = asyncio.get_running_loop()
    bridge = await start_bridge()
    client = await wire(bridge)
    await open_websocket(client, V1, cut)
    ticking = [loop.call_soon(next_turn)]
    try:
        client.send(message(b'{"action":"ping"}') * 100)
        for _ in range(100):
            assert await read_message(client) == 0x81
    finally:
        ticking[0].cancel()
    assert len(set(handled)) == 100


@BOTH_WAYS
async def test_nothing_is_written_behind_the_close_frame_of_a_client_that_is_sent_away(
    start_bridge, tier, wire, caplog, cut
):
    """While it lingers, changes, pings and beats come."""
    bridge = await start_bridge(ping_interval="150ms")
    client = await wire(bridge)
    call = await subscribe_client(client, tier, cut)
    client.send(b"\xff" * 100)
    while (code := await read_message(client)) < 1000:
        pass
    assert code == 1002
    for version in range(2, 40):
        if tier.open:
            call.send(update("a", 0, version=version))
        await asyncio.sleep(0.01)
    assert await read_rest(client) == b""
    client.writer.close()
    await all_released(bridge)
    assert not [record for record in caplog.records if record.exc_info and record.name != "asyncio"]
