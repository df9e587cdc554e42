"""Loop: the least that Python and uvloop can do for a newcomer: write a window that is there.

`python -m bench.loop ROWS BYTES`: what a late joiner costs before there is any bridge. It reads no
request, knows no query and keeps nobody in mind. The end of stdin is the end.
"""

import asyncio
import json
import sys

import uvloop

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def window(rows: int, size: int) -> bytes:
    """Print a window as one chunk of an event stream."""
    frame = {"op": "enter", "agg_id": "", "version": 1, "row": {"t": 1, "pad": ""}}
    frame["row"] = {"t": 1, "pad": "x" * max(size - len(json.dumps(frame)), 0)}
    event = b"event: enter\ndata: %b\n\n" % json.dumps(frame, separators=(",", ":")).encode()
    body = event * rows
    return b"%x\r\n%b\r\n" % (len(body), body)


class Writer(asyncio.Protocol):
    """Answers whatever comes."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Write the window."""
        del data
        self._transport.writelines((_HEAD, self._body))  # type: ignore[attr-defined]


async def main(rows: int, size: int) -> None:
    """Serve until stdin ends."""
    loop, body = asyncio.get_running_loop(), window(rows, size)
    ended = loop.create_future()
    loop.add_reader(0, lambda: sys.stdin.readline() or ended.done() or ended.set_result(None))
    server = await loop.create_server(lambda: Writer(body), "127.0.0.1", 0)
    sys.stdout.write(f"listening on {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await ended


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))
