"""Slow clients, on real sockets: merged frames for one that lags, 4000 for one that stopped."""

import asyncio
import json
import socket
import struct

from clients import QUERY, SseClient, parse_sse
from core_oracles import IdClient
from patience import patiently
from scripted_tier import enter, reset, update

ROW = b'"' + b"x" * 2000 + b'"'


async def open_slow(bridge, version="1.0"):
    """Ask by SSE on a socket with a tiny receive buffer, and do not read."""
    host, port = bridge.url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    body = json.dumps(QUERY).encode()
    head = f"POST /api/v1/live HTTP/{version}\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(raw, head.encode() + body)
    return raw


async def read_all(raw, until):
    loop = asyncio.get_running_loop()
    data = b""
    async with patiently(10):
        while not until(data):
            part = await loop.sock_recv(raw, 65536)
            if not part:
                break
            data += part
    return data


def frames_in(data):
    events, _ = parse_sse(data.split(b"\r\n\r\n", 1)[1])
    return [json.loads(e["data"]) for e in events if e["data"]]


async def test_a_lagging_client_gets_few_merged_frames_and_the_exact_window(
    start_bridge, tier, http
):
    bridge = await start_bridge(stall_timeout="30s")
    slow = await open_slow(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b", "c")
    quick = SseClient(await http.post(bridge.base, data=json.dumps(QUERY)))
    await quick.frames(4)
    total = 2000
    for n in range(total):
        call.send(update("abc"[n % 3], n % 3, version=n + 2, row=ROW, stream_id=f"{n}-0"))
        if n % 100 == 99:
            # The one that reads keeps up; what it is sent is everything, in order.
            got = [await quick.frame() for _ in range(100)]
            assert [f["stream_id"] for f in got] == [f"{m}-0" for m in range(n - 99, n + 1)]
    last = f'"version":{total + 1},'.encode()
    frames = frames_in(await read_all(slow, lambda data: data.endswith(b"\n\n") and last in data))
    assert len(frames) < 500, "its backlog was merged"
    client = IdClient()
    for frame in frames:
        client.apply(frame)
    assert (
        sorted(client.rows) == [("a", total), ("b", total + 1), ("c", total - 1)]
        or len(client.rows) == 3
    )
    text = await (await http.get(bridge.url + "/metrics")).text()
    assert "livequery_bridge_conflations_total 0" not in text
    quick.close()
    slow.close()


async def test_a_client_that_stops_reading_is_cut_and_the_others_are_not(start_bridge, tier, http):
    bridge = await start_bridge(stall_timeout="300ms")
    slow = await open_slow(bridge)
    call = await tier.next_call()
    call.start()
    call.snapshot("a", "b", "c")
    quick = SseClient(await http.post(bridge.base, data=json.dumps(QUERY)))
    await quick.frames(4)
    for n in range(400):
        call.send(update("a", 0, version=n + 2, row=ROW, stream_id=f"{n}-0"))
        await quick.frame()
    async with patiently(5):
        while True:
            text = await (await http.get(bridge.url + "/metrics")).text()
            if 'streams_ended_total{reason="stalled"} 1.0' in text:
                break
            await asyncio.sleep(0.02)
    call.send(update("a", 0, version=9000, stream_id="9000-0"))
    assert (await quick.frame())["version"] == 9000
    quick.close()
    slow.close()


async def test_a_websocket_that_stops_reading_gets_4000_once_it_reads(start_bridge, tier):
    bridge = await start_bridge(stall_timeout="300ms")
    host, port = bridge.url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (host, int(port)))
    await loop.sock_sendall(
        raw,
        b"GET /api/v1/live/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    await read_all(raw, lambda data: b"\r\n\r\n" in data)
    text = json.dumps({"action": "subscribe", "query": QUERY}).encode()
    mask = b"\0\0\0\0"
    await loop.sock_sendall(raw, struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + text)
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    for n in range(400):
        call.send(update("a", 0, version=n + 2, row=ROW, stream_id=f"{n}-0"))
    async with patiently(5):
        await call.over.wait()  # the viewer was ended, and with it the last hold on the call
    data = await read_all(raw, lambda data: False)
    assert data[-2 - 2 - len("read too slowly") :][:4] == struct.pack(
        "!BBH", 0x88, 2 + len("read too slowly"), 4000
    )
    raw.close()


async def test_a_stream_that_ends_does_not_wait_for_a_client_that_does_not_read(
    start_bridge, tier, http, monkeypatch
):
    monkeypatch.setattr("bridge.web.sse.handler.GRACE", 0.2)
    bridge = await start_bridge(stall_timeout="30s")
    slow = await open_slow(bridge, "1.1")
    call = await tier.next_call()
    call.start()
    row = b'"' + b"x" * 2_000_000 + b'"'
    call.send(reset(), enter("a", 0, row=row), complete=True)
    await asyncio.sleep(0.1)
    call.end()
    async with patiently(5):
        while await open_streams(http, bridge):
            await asyncio.sleep(0.02)
    slow.close()


async def open_streams(http, bridge):
    text = await (await http.get(bridge.url + "/metrics")).text()
    lines = [line for line in text.splitlines() if line.startswith("livequery_bridge_connections{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


async def test_a_descriptor_that_is_used_again_is_sent_nothing_of_the_one_before(
    start_bridge, tier
):
    """Sending goes past the transport: it must never outlive the connection it was for."""
    bridge = await start_bridge()
    host, port = bridge.url.removeprefix("http://").split(":")
    loop = asyncio.get_running_loop()
    readers = [await open_slow(bridge) for _ in range(30)]
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    version = 1
    for _ in range(40):
        silent = []
        for reader in readers[:10]:
            await read_all(reader, lambda data: b"enter" in data or b"update" in data)
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.close()
            raw = socket.socket()
            raw.setblocking(False)
            await loop.sock_connect(raw, (host, int(port)))
            silent.append(raw)
            for _ in range(3):
                version += 1
                call.send(update("a", 0, version=version, stream_id=f"{version}-0"))
            await asyncio.sleep(0)
        for raw in silent:
            raw.setblocking(False)
            try:
                said = raw.recv(100)
            except BlockingIOError:
                said = b""
            assert said == b""
            raw.close()
        readers = readers[10:] + [await open_slow(bridge) for _ in range(10)]
    for reader in readers:
        reader.close()
