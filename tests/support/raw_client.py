"""A client byte for byte, WebSocket included."""

import asyncio
import contextlib
import gc
import json
import re
import struct
from urllib.parse import quote

import pytest

from bridge.web.ws.connection import WebSocketConnection
from clients import QUERY
from patience import patiently
from scripted_tier import update

STREAM_REQUEST = f"GET /api/v1/live?query={quote(json.dumps(QUERY))} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
HEALTH_REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


class RawClient:
    """One connection, byte for byte."""

    def __init__(self, reader, writer) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data):
        self.writer.write(data)

    async def send_in_parts(self, data, cut):
        """Send whole, or in two parts; cut in the head, a request is read by aiohttp."""
        if cut:
            self.send(data[:cut])
            await asyncio.sleep(0.02)
        self.send(data[cut:])

    async def head(self):
        """The next status line and header, the changing fields named."""
        async with patiently(5):
            text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        return re.sub(r"(Date|X-Request-Id): .*", r"\1: …", text)

    async def until(self, text):
        async with patiently(5):
            return await self.reader.readuntil(text)

    async def stream(self, tier):
        """Open a stream of one row; returns the tier's call."""
        self.send(STREAM_REQUEST)
        call = await tier.next_call()
        call.start()
        call.snapshot("a")
        assert "200 OK" in await self.head()
        await self.until(b'"agg_id":"a"')
        return call

    async def body(self, head):
        size = int(re.search(r"Content-Length: (\d+)", head)[1])
        return await self.reader.readexactly(size)


UPGRADE = (
    b"GET /api/v1/live/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
UPGRADE_REQUEST = UPGRADE + b"\r\n"
SUBSCRIBE = json.dumps({"action": "subscribe", "query": QUERY}).encode()
TEXT, BINARY, CLOSE, PING = 0x81, 0x82, 0x88, 0x89
CLOSE_FRAME = b"\x88\x82\x00\x00\x00\x00\x03\xe8"
CUTS = (0, 30, len(UPGRADE_REQUEST) - 1)
BOTH_WAYS = pytest.mark.parametrize("cut", [0, 30], ids=["plain", "in parts"])


def message(payload, first=TEXT):
    """What a client sends: masked, with the mask that changes nothing."""
    size = len(payload)
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 1 << 16:
        head = struct.pack(">BBH", first, 0xFE, size)
    else:
        head = struct.pack(">BBQ", first, 0xFF, size)
    return head + bytes(4) + payload


async def open_websocket(client, request=UPGRADE_REQUEST, cut=0):
    await client.send_in_parts(request, cut)
    return await client.head()


async def subscribe_client(client, tier, cut=0):
    assert "101 Switching" in await open_websocket(client, cut=cut)
    client.send(message(SUBSCRIBE))
    call = await tier.next_call()
    call.start()
    call.snapshot("a")
    assert [await read_message(client) for _ in range(2)] == [TEXT, TEXT], "reset and enter"
    return call


async def read_message(client):
    """Read a frame: the code of a close frame, else the first byte."""
    async with patiently(5):
        first, size = await client.reader.readexactly(2)
        if size == 126:
            [size] = struct.unpack(">H", await client.reader.readexactly(2))
        payload = await client.reader.readexactly(size)
    return struct.unpack(">H", payload[:2])[0] if first == CLOSE else first


async def stalled(client, tier, cut=0):
    """Open a socket whose client takes nothing of what it is sent."""
    call = await subscribe_client(client, tier, cut)
    client.writer.transport.pause_reading()
    call.send(update("a", 0, version=2, row=b'{"n":"%b"}' % (b"x" * 4_000_000)))
    return call


async def read_rest(client):
    async with patiently(5):
        return await client.reader.read()


def websockets_of(bridge):
    """The connections of a bridge that have become WebSockets, in the order of their upgrades."""
    registry = bridge._listeners.all[0]._fast_path.registry
    return [one for one in registry._connections if isinstance(one, WebSocketConnection)]


async def all_released(bridge):
    async with patiently(5):
        open_streams = bridge.context.open_streams
        while bridge._listeners.connections or bridge._admission.open or open_streams:
            await asyncio.sleep(0.01)
    assert all(timer.stopped for _, _, timer in bridge.context.idle_timers._due)
    assert not bridge.context.pings
    assert not bridge.context.first_commands


@contextlib.asynccontextmanager
async def all_freed(*kinds):
    """See that objects of these kinds made meanwhile are freed without the garbage collector."""

    def held():
        return [thing for thing in gc.get_objects() if isinstance(thing, kinds)]

    gc.collect()
    others = held()  # aiohttp remembers the applications of other tests
    gc.disable()
    try:
        yield
        async with patiently(2):
            while any(thing not in others for thing in held()):
                await asyncio.sleep(0.05)
    finally:
        gc.enable()


async def exchange(bridge, data, cut=0, *, half_close=False, until_closed=False):
    """Send one request, whole or in two parts; returns head and body, of a stream its beginning.

    `half_close`: close our side behind it; `until_closed`: read until the bridge closes its side.
    """
    async with connected(bridge) as client:
        await client.send_in_parts(data, cut)
        if half_close:
            client.writer.write_eof()
        async with patiently(5):
            head = await client.reader.readuntil(b"\r\n\r\n")
            if until_closed:
                return head, await client.reader.read()
            size = re.search(rb"\r\nContent-Length: (\d+)", head)
            return head, await client.reader.readexactly(int(size[1]) if size else 0)


@contextlib.asynccontextmanager
async def connected(bridge):
    """A connection of its own, dropped at the end."""
    host, port = bridge.url.removeprefix("http://").split(":")
    client = RawClient(*await asyncio.open_connection(host, int(port)))
    try:
        yield client
    finally:
        client.writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()
