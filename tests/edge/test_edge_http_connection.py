"""HttpConnection: streams served without aiohttp's handler are the same streams."""

import asyncio
import json
import re
import socket
import struct

import grpc
import pytest
from aiohttp import web

from bridge.live.viewer import Viewer
from bridge.web.fast_path.connection import HttpConnection
from bridge.web.sse.stream import SseStream
from bridge.web.transport_sink import TransportSink
from clients import QUERY, SseClient
from patience import patiently
from raw_client import HEALTH_REQUEST, STREAM_REQUEST, RawClient, all_freed
from scripted_tier import update


async def test_in_one_piece_or_in_parts_the_answer_is_the_same(
    start_bridge, tier, wire, aiohttp_connections
):
    tier.rows = "abc"
    bridge = await start_bridge(linger="5s")
    answers = set()
    for cut in (0, 1, 3, 20, len(STREAM_REQUEST) - 3, len(STREAM_REQUEST) - 1):
        before = len(aiohttp_connections)
        client = await wire(bridge)
        if cut:
            client.send(STREAM_REQUEST[:cut])
            await asyncio.sleep(0.02)
        client.send(STREAM_REQUEST[cut:])
        fields = (await client.head()).split("\r\n")
        window = await client.until(b'"agg_id":"c"')
        answers.add((fields[0], *sorted(fields), re.sub(rb"retry: \d+", b"", window)))
        assert len(aiohttp_connections) - before == bool(cut)
    assert len(answers) == 1
    assert len(aiohttp_connections) == 5, "those in parts"
    assert tier.opened == 1


async def test_a_connection_carries_requests_one_after_another(
    start_bridge, tier, wire, aiohttp_connections
):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    for _ in range(3):
        call = await client.stream(tier)
        call.end()
        await client.until(b"0\r\n\r\n")
    assert not aiohttp_connections
    client.send(HEALTH_REQUEST)
    head = await client.head()
    assert await client.body(head) == b"ok\n"
    call = await client.stream(tier)  # by aiohttp's handler now, which keeps what it got
    assert len(aiohttp_connections) == 1


async def test_what_is_sent_behind_a_request_waits_for_the_streams_end(start_bridge, tier, wire):
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(STREAM_REQUEST)
    call = await tier.next_call()
    client.send(HEALTH_REQUEST)
    await asyncio.sleep(0.05)
    call.start()
    call.snapshot("a")
    await client.head()
    await client.until(b'"agg_id":"a"')
    client.send(HEALTH_REQUEST)
    await asyncio.sleep(0.05)
    call.end()
    await client.until(b"0\r\n\r\n")
    for _ in range(2):
        assert await client.body(await client.head()) == b"ok\n"


async def test_endless_bytes_behind_a_request_are_not_read_and_none_is_lost(
    start_bridge, tier, wire
):
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await client.stream(tier)
    client.send(HEALTH_REQUEST * (8 * 1024 * 1024 // len(HEALTH_REQUEST)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.writer.drain()
    call.send(update("a", 0, version=2))
    await client.until(b'"version":2')
    call.end()
    await client.until(b"0\r\n\r\n")
    for _ in range(200):
        assert await client.body(await client.head()) == b"ok\n"


async def test_a_part_of_a_request_behind_another_is_read_on_when_the_stream_is_over(
    start_bridge, tier, wire, monkeypatch
):
    monkeypatch.setattr(
        "bridge.web.fast_path.connection.MAX_PIPELINED", 500
    )  # less than aiohttp stops to read at
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await client.stream(tier)
    long = HEALTH_REQUEST.replace(b"\r\n\r\n", b"\r\nX-Long: %b\r\n\r\n" % (b"x" * 1_000))
    client.send(long[:-20])
    await asyncio.sleep(0.1)
    call.end()
    await client.until(b"0\r\n\r\n")
    client.send(long[-20:])
    assert await client.body(await client.head()) == b"ok\n"


async def test_the_next_request_of_a_client_that_lags_goes_to_aiohttp_with_what_is_unsent(
    start_bridge, tier, caplog
):
    """aiohttp is told of room only where it knows that there was none."""
    bridge = await start_bridge()
    host, port = bridge.url.removeprefix("http://").split(":")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    sock.connect((host, int(port)))
    client = RawClient(*await asyncio.open_connection(sock=sock, limit=16 * 1024))
    call = await client.stream(tier)
    call.send(update("a", 0, version=2, row=b'{"n":"%b"}' % (b"x" * 3_000_000)))
    client.send(HEALTH_REQUEST)
    call.end()
    async with patiently(5):
        while not bridge._listeners.all[0]._runner.server.connections:
            await asyncio.sleep(0.01)
        [connection] = bridge._listeners.all[0]._runner.server.connections
        assert connection.writing_paused
        seen = b""
        while not seen.endswith(b"ok\n"):
            seen = seen[-10:] + await client.reader.read(64 * 1024)
    assert not connection.writing_paused
    client.writer.close()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def posting(query, more=b""):
    body = json.dumps(query).encode()
    head = f"POST /api/v1/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + more + b"\r\n" + body


async def test_a_part_of_a_request_in_one_piece_with_another_is_its_own_clients(
    start_bridge, tier, wire
):
    bridge = await start_bridge()
    first, second = await wire(bridge), await wire(bridge)
    cut = HEALTH_REQUEST.index(b"Host")
    first.send(posting(QUERY) + HEALTH_REQUEST[:cut])
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    await first.until(b'"agg_id":"a"')
    second.send(posting(QUERY | {"limit": 2}, b"Authorization: Bearer mine\r\n"))
    other = await tier.next_call()
    assert other.request.query.limit == 2
    other.start()
    other.snapshot("b")
    await second.until(b'"agg_id":"b"')
    call.end()
    await first.until(b"0\r\n\r\n")
    first.send(HEALTH_REQUEST[cut:])
    assert await first.body(await first.head()) == b"ok\n"


async def refusals(bridge, http):
    async with http.get(bridge.url + "/metrics") as response:
        text = await response.text()
    return sum(
        float(line.split()[-1])
        for line in text.splitlines()
        if line.startswith("livequery_bridge_refusals_total{") and 'transport="http"' in line
    )


async def test_a_refusal_is_counted_once_and_the_tier_asked_once(start_bridge, tier, wire, http):
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(STREAM_REQUEST)
    call = await tier.next_call()
    call.fail(grpc.StatusCode.PERMISSION_DENIED, "not you")
    head = await client.head()
    assert head.startswith("HTTP/1.1 403 ")
    assert json.loads(await client.body(head))["status"] == 403
    assert await refusals(bridge, http) == 1
    client.send(HEALTH_REQUEST)
    assert await client.body(await client.head()) == b"ok\n"
    assert tier.opened == 1
    client.send(STREAM_REQUEST)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    assert "200 OK" in await client.head(), "the refusal was for the other one"


@pytest.mark.parametrize(
    ("query", "status"), [("", 400), ("?query={", 400), ("?query=%ff", 400), ("?v=1", 400)]
)
async def test_a_bad_query_is_refused_before_anything_is_held(start_bridge, wire, query, status):
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(f"GET /api/v1/live{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head = await client.head()
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "application/problem+json" in head
    assert bridge._admission.open == 0
    assert not bridge.context.open_streams


async def test_a_client_that_leaves_before_the_answer_leaves_nothing(start_bridge, tier, wire):
    bridge = await start_bridge(linger="0")
    for leave in ("close", "abort"):
        client = await wire(bridge)
        client.send(STREAM_REQUEST)
        call = await tier.next_call()
        getattr(client.writer.transport, leave)()
        async with patiently(5):
            await call.over.wait()
        assert bridge._admission.open == 0
        assert not bridge.context.open_streams
        assert bridge._listeners.connections == 0


async def test_a_stream_that_breaks_before_it_begins_is_refused_and_leaves_nothing(
    start_bridge, wire, fail_subscriptions
):
    bridge = await start_bridge()
    fail_subscriptions(bridge, RuntimeError)
    client = await wire(bridge)
    client.send(STREAM_REQUEST)
    assert (await client.head()).startswith("HTTP/1.1 50")
    assert bridge._admission.open == 0
    assert not bridge.context.open_streams


@pytest.mark.parametrize("asked", ["plain", "unusual"])
async def test_a_client_that_leaves_as_the_tier_starts_leaves_nothing(
    start_bridge, tier, wire, asked
):
    bridge = await start_bridge(linger="0")
    client = await wire(bridge)
    unusual = STREAM_REQUEST.replace(b"\r\nHost", b"\r\nExpect: 100-continue\r\nHost")
    client.send(STREAM_REQUEST if asked == "plain" else unusual)
    call = await tier.next_call()
    [subscription] = bridge._hub._all
    [slot] = bridge.context.open_streams
    slot.end.__self__.send_buffer.on_stalled.__self__._sink.abort()
    subscription.on_started()
    async with patiently(5):
        await call.over.wait()
    assert bridge._admission.open == 0
    assert all(timer.stopped for _, _, timer in bridge.context.idle_timers._due)
    assert not bridge.context.pings
    assert not bridge.context.first_commands


@pytest.mark.parametrize("end", ["left", "over", "refused", "malformed"])
async def test_what_a_stream_held_is_freed_without_the_garbage_collector(
    start_bridge, tier, wire, end
):
    bridge = await start_bridge(linger="0")
    async with all_freed(HttpConnection, SseStream, TransportSink, Viewer):
        client = await wire(bridge)
        client.send(
            STREAM_REQUEST.replace(b"query", b"question") if end == "malformed" else STREAM_REQUEST
        )
        if end == "refused":
            call = await tier.next_call()
            call.fail(grpc.StatusCode.PERMISSION_DENIED, "not you")
        elif end != "malformed":
            call = await tier.next_call()
            call.start()
            call.snapshot("a")
            await client.until(b'"agg_id":"a"')
            if end == "over":
                call.end()
                await client.until(b"0\r\n\r\n")
        if end in ("refused", "malformed"):
            await client.head()
        client.writer.transport.abort()


async def test_a_connection_on_which_nothing_comes_is_closed(start_bridge, tier, wire, monkeypatch):
    monkeypatch.setattr("bridge.web.http.registry.IDLE_TIMEOUT", 0.2)
    tier.rows = "a"
    bridge = await start_bridge()
    streaming = await wire(bridge)
    streaming.send(STREAM_REQUEST)
    await streaming.until(b'"agg_id":"a"')
    for _ in range(2):
        silent = await wire(bridge)
        async with patiently(2):
            assert await silent.reader.read() == b""
    assert bridge._listeners.connections == 1
    assert not streaming.reader.at_eof()


async def test_a_stream_that_is_over_leaves_its_connection_open_for_as_long(
    start_bridge, tier, wire, monkeypatch
):
    monkeypatch.setattr("bridge.web.http.registry.IDLE_TIMEOUT", 0.2)
    bridge = await start_bridge()
    client = await wire(bridge)
    call = await client.stream(tier)
    await asyncio.sleep(0.4)
    call.end()
    await client.until(b"0\r\n\r\n")
    assert not client.reader.at_eof()
    async with patiently(2):
        assert await client.reader.read() == b""


async def test_draining_ends_the_connection_with_the_stream(start_bridge, tier, wire):
    tier.rows = "a"
    bridge = await start_bridge()
    client = await wire(bridge)
    client.send(STREAM_REQUEST)
    await client.until(b'"agg_id":"a"')
    await bridge.drain()
    async with patiently(2):
        assert (await client.reader.read()).endswith(b"0\r\n\r\n")


async def test_no_direct_send_goes_to_a_lost_connection_whose_descriptor_is_reused(
    start_bridge, tier, wire, monkeypatch
):
    """The end is told while the descriptor is still open: what is sent later goes to the next."""
    tier.rows = "a"
    bridge = await start_bridge()
    left = []
    lost = web.RequestHandler.connection_lost

    def connection_lost(self, exc):
        left.append([v for s in bridge._hub._all for v in s.viewers if v.lockstep is not None])
        lost(self, exc)

    monkeypatch.setattr(web.RequestHandler, "connection_lost", connection_lost)
    unusual = STREAM_REQUEST.replace(b"\r\nHost", b"\r\nExpect: 100-continue\r\nHost")
    for first, asked in ((2, STREAM_REQUEST), (5, unusual)):
        client = await wire(bridge)
        client.send(asked)
        await client.until(b'"agg_id":"a"')
        [call] = tier.open.values()
        for version in range(first, first + 3):
            call.send(update("a", 0, version=version))
            await client.until(b'"version":%d' % version)
        [viewer] = [v for s in bridge._hub._all for v in s.viewers]
        assert viewer.lockstep is not None
        send_buffer = viewer.send_buffer
        raw = client.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        async with patiently(5):
            while bridge._admission.open:
                await asyncio.sleep(0)
        assert viewer.lockstep is None
        assert send_buffer.open_direct_send() is None
    assert left == [[]], "aiohttp's connection ends direct sends before anything else"


async def test_of_many_that_come_and_go_each_gets_its_own_bytes(start_bridge, tier, wire, http):
    """Descriptors change hands all the time, while frames are sent past the transports."""
    tier.rows = "a"
    bridge = await start_bridge(max_connections_per_ip="0")
    watcher = SseClient(await http.post(bridge.base, data=json.dumps(QUERY)))
    await watcher.frames(2)
    [call] = tier.open.values()
    version = 1

    async def change():
        nonlocal version
        while True:
            version += 1
            call.send(update("a", 0, version=version))
            await asyncio.sleep(0.001)

    changing = asyncio.create_task(change())
    for _ in range(150):
        client = await wire(bridge)
        client.send(STREAM_REQUEST)
        await client.until(b'"version":%d' % (version + 2))
        client.writer.transport.abort()
        other = await wire(bridge)
        other.send(HEALTH_REQUEST)
        assert await other.body(await other.head()) == b"ok\n"
        other.writer.transport.abort()
    changing.cancel()
