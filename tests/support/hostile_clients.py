"""Hostile clients in a process of their own: `hostile_clients.py URL KIND COUNT` until killed.

KIND: one of `FLOODS` (each socket sends frames without end, and comes back when it is sent away),
`slowloris` (heads that come a byte at a time) or `stalled` (streams that are never read).
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
    "texts": b"\x81\x82\x00\x00\x00\x00{}",
}
COME_BACK = 1.0
"""Seconds until a flooder that was sent away comes back."""


async def flood(host, port, frame):
    first = b"\x01\x80\x00\x00\x00\x00" if frame is FLOODS["continuations"] else b""
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(UPGRADE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(first)
            while not reader.at_eof() and not writer.is_closing():
                writer.write(frame * 10_000)
                await writer.drain()
                await asyncio.sleep(0)
            writer.transport.abort()
        await asyncio.sleep(COME_BACK)


async def dribble(host, port):
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(host, port)
            for byte in itertools.chain(STREAM[:20], itertools.repeat(0x61)):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(1)
                if reader.at_eof():
                    break
            writer.transport.abort()


async def stall(host, port):
    while True:
        with contextlib.suppress(OSError):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, (host, port))
            await asyncio.get_running_loop().sock_sendall(sock, STREAM)
            await asyncio.sleep(10)
            sock.close()


async def main(url, kind, count):
    host, port = url.removeprefix("http://").split(":")
    if kind == "slowloris":
        clients = [dribble(host, int(port)) for _ in range(count)]
    elif kind == "stalled":
        clients = [stall(host, int(port)) for _ in range(count)]
    else:
        clients = [flood(host, int(port), FLOODS[kind]) for _ in range(count)]
    await asyncio.gather(*clients)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
