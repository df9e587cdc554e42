"""Clients on bare sockets, tiers as processes, and a tier that answers by entity."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass

import pytest

from core_oracles import IdClient, SpliceClient
from ops_support import free_port
from patience import patiently
from queries import query_members
from scripted_tier import enter, reset, update

KINDS = ("sse", "sse/v1", "ws", "ws/v1")


def query(entity="item", limit=3, **more):
    return query_members(entity, limit, **more)


# ------------------------------------------------------------------ clients


@dataclass(frozen=True)
class End:
    """How a connection ended. `proper`: by the end of the body, or by a close frame."""

    proper: bool
    code: int = 0  # of the close frame


class Client(asyncio.Protocol):
    """One client of any kind over a bare socket: light enough for thousands in a process.

    `frames` are all that came, applied by id and (until the first diff after a resume) by index;
    `notices` is what v1 says beside frames.
    """

    def __init__(self, kind, asked) -> None:
        self.kind = kind
        self.sse, self.v1 = kind.startswith("sse"), kind.endswith("v1")
        self.asked = asked
        self.by_id, self.by_index = IdClient(), SpliceClient()
        self.frames, self.notices = [], []
        self.status, self.headers, self.problem = None, {}, None
        self.close_code = 0
        self.closed = asyncio.get_running_loop().create_future()
        self.changed_at = 0.0
        self._end_of_body = False
        self._in = bytearray()
        self._body = bytearray()
        self._news = asyncio.Event()
        self._transport = None

    async def open(self, url, *, ssl=None):
        """Connect and ask; returns itself without waiting for an answer. Raises OSError."""
        self.host, _, port = url.partition("://")[2].partition(":")
        self.port = int(port)
        await asyncio.get_running_loop().create_connection(
            lambda: self, self.host, self.port, ssl=ssl
        )
        return self

    @property
    def whole(self):
        """Whether the first window is complete, as far as a client of this kind can tell."""
        if self.v1:
            return any(notice["type"] == "ready" for notice in self.notices)
        return bool(self.frames)

    @property
    def ids(self):
        return self.by_id.ids

    async def until(self, check, within=10.0):
        """Wait until a check of this client is true, looking at each thing that comes."""
        async with patiently(within):
            while not (found := check(self)):
                self._news.clear()
                await self._news.wait()
        return found

    async def shows(self, *ids, within=10.0):
        """Wait until the window is this."""
        await self.until(lambda _: self.whole and self.ids == list(ids), within)

    async def ended(self, within=10.0) -> End:
        async with patiently(within):
            return await asyncio.shield(self.closed)

    def leave(self):
        if self._transport is not None:
            self._transport.abort()

    def say(self, **command):
        """Send a command over the WebSocket."""
        self._transport.write(_message(0x81, json.dumps(command).encode()))

    def told(self, kind):
        return [notice for notice in self.notices if notice["type"] == kind]

    # ------------------------------------------------------------ the socket

    def connection_made(self, transport):
        self._transport = transport
        host = f"Host: {self.host}:{self.port}\r\n"
        if self.sse:
            body = json.dumps(self.asked).encode()
            path = "/api/v1/live" + ("?v=1" if self.v1 else "")
            head = f"POST {path} HTTP/1.1\r\n{host}Content-Length: {len(body)}\r\n\r\n"
        else:
            body = b""
            protocol = "Sec-WebSocket-Protocol: livequery.v1\r\n" if self.v1 else ""
            head = (
                f"GET /api/v1/live/ws HTTP/1.1\r\n{host}Upgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{protocol}"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
        transport.write(head.encode() + body)

    def data_received(self, data):
        self._in += data
        if self.status is None and not self._read_head():
            return
        if self.status == 200:
            self._read_chunks()
        elif self.status == 101:
            self._read_messages()
        elif len(self._in) >= int(self.headers.get("content-length", 0)):
            self.problem = json.loads(self._in or b"{}")
            self._transport.close()
        self._news.set()

    def connection_lost(self, _):
        proper = self._end_of_body or self.close_code != 0 or self.problem is not None
        self.closed.set_result(End(proper, self.close_code))
        self._news.set()

    def _read_head(self):
        head, found, rest = bytes(self._in).partition(b"\r\n\r\n")
        if not found:
            return False
        line, *lines = head.decode().split("\r\n")
        self.status = int(line.split()[1])
        for each in lines:
            name, _, text = each.partition(":")
            self.headers[name.lower()] = text.strip()
        self._in = bytearray(rest)
        if self.status == 101 and self.asked is not None:
            named = {"sub": "s"} if self.v1 else {}
            self.say(action="subscribe", query=self.asked, **named)
        return True

    def _read_chunks(self):
        while (at := self._in.find(b"\r\n")) > 0:
            size = int(self._in[:at], 16)
            if len(self._in) < at + 2 + size + 2:
                break
            self._body += self._in[at + 2 : at + 2 + size]
            del self._in[: at + 2 + size + 2]
            if size == 0:
                self._end_of_body = True
                self._transport.close()
        *events, rest = self._body.split(b"\n\n")
        self._body = bytearray(rest)
        for event in events:
            self._read_event(event.decode())

    def _read_event(self, text):
        lines = dict(line.partition(": ")[::2] for line in text.split("\n"))
        if "data" in lines:
            data = json.loads(lines["data"])
            if "op" in data:
                self._apply(data)
            else:
                self.notices.append({**data, "event": lines["event"]})

    def _read_messages(self):
        while len(self._in) >= 2:
            head, length = 2, self._in[1]
            if length == 126:
                head, length = 4, int.from_bytes(self._in[2:4])
            elif length == 127:
                head, length = 10, int.from_bytes(self._in[2:10])
            if len(self._in) < head + length:
                return
            kind, payload = self._in[0] & 0x0F, bytes(self._in[head : head + length])
            del self._in[: head + length]
            if kind == 0x8:
                self.close_code = int.from_bytes(payload[:2])
                self._transport.write(_message(0x88, payload[:2]))
                self._transport.close()
            elif kind == 0x9:
                self._transport.write(_message(0x8A, payload))
            elif self.v1:
                self._notice(json.loads(payload))
            else:
                self._apply(json.loads(payload))

    def _notice(self, message):
        if message["type"] != "frames":
            self.notices.append(message)
            return
        for frame in message["frames"]:
            self._apply(frame)

    def _apply(self, frame):
        self.changed_at = time.monotonic()
        self.frames.append(frame)
        self.by_id.apply(frame)
        self.by_index.apply(frame)


def _message(head, payload):
    """A masked frame; a mask of zeros leaves the payload as it is."""
    if len(payload) < 126:
        return bytes([head, 0x80 | len(payload)]) + bytes(4) + payload
    return bytes([head, 0x80 | 126]) + len(payload).to_bytes(2) + bytes(4) + payload


@pytest.fixture
async def join():
    """Open clients: `await join(url, kind, query)`; all are gone in the end."""
    clients = []

    async def join(url, kind="sse", asked=None, **more):
        clients.append(Client(kind, asked if asked is not None else query()))
        return await clients[-1].open(url, **more)

    yield join
    for client in clients:
        client.leave()
    for client in clients:
        if client._transport is not None:
            await client.ended()


async def join_all(join, url, asked, **more):
    """One client of each kind, each with its first window."""
    clients = [await join(url, kind, asked, **more) for kind in KINDS]
    for client in clients:
        await client.until(lambda c: c.whole)
    return clients


def least(before, after):
    """How many frames tell the difference of two windows of (id, version), nothing moved."""
    old, new = dict(before), dict(after)
    kept = [row for row in after if row[0] in old]
    assert [row[0] for row in before if row[0] in new] == [row[0] for row in kept]
    gone, come = len(old.keys() - new.keys()), len(new.keys() - old.keys())
    return gone + come + sum(old[agg_id] != version for agg_id, version in kept)


# ------------------------------------------------------------------ tiers


@contextlib.asynccontextmanager
async def answering(tier, scripts):
    """Answer each Subscribe of a tier by the script of its entity, a function of the call."""

    async def answer():
        while True:
            call = await tier.calls.get()
            scripts[call.request.query.entity](call)

    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


class Table:
    """What a tier shows to every entity: rows a and b, a in a version that `change` raises.

    A mapping of entities to scripts, as `answering` takes it.
    """

    def __init__(self) -> None:
        self.versions = {}
        self.calls = {}
        self.opened_at = []

    def __getitem__(self, _):
        return self.answer

    def answer(self, call):
        entity = call.request.query.entity
        version = self.versions.setdefault(entity, 1)
        self.calls[entity] = call
        self.opened_at.append(time.monotonic())
        call.start()
        first = enter("a", 0, version=version, row=b'{"v":%d}' % version)
        call.send(reset(), first, enter("b", 1), complete=True)

    def change(self):
        """Change row a of every entity."""
        for entity in self.versions:
            self.versions[entity] += 1
            version = self.versions[entity]
            row = b'{"v":%d}' % version
            call = self.calls[entity]
            call.send(update("a", 0, version=version, row=row, stream_id=f"{version}-0"))

    async def keep_changing(self, every=0.05):
        while True:
            await asyncio.sleep(every)
            self.change()


class Relay:
    """A cable to a port: `cut` breaks every connection through it and leaves both ends running."""

    def __init__(self) -> None:
        self.address = ""
        self._ends = []
        self._tasks = set()

    async def start(self, port):
        self._port = port
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def _accept(self, reader, writer):
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._ends += [writer, far_writer]
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source, sink):
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()

    def cut(self):
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    async def stop(self):
        self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)


@contextlib.asynccontextmanager
async def running(*works):
    """Run works beside the test; one that fails fails it."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class TierProcess:
    """`python -m bridge tier` on a port of its own, over a database that others share."""

    def __init__(self, database) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._arguments = (
            *("-m", "bridge", "tier", "--listen", self.address),
            *("--database", f"sqlite:///{database}", "--no-replay"),
        )
        self._child = None

    async def start(self):
        self._child = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stdout=asyncio.subprocess.PIPE
        )
        async with patiently(20):
            line = await self._child.stdout.readline()
        assert line.startswith(b"listening on"), line

    def signal(self, number):
        self._child.send_signal(number)

    async def kill(self):
        """SIGKILL, and wait until it is gone. Idempotent."""
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGKILL)
            await child.stdout.read()
            await child.wait()
