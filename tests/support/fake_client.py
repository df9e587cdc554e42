"""FakeClient: a client of a hub without a network, which reads what the encoders write."""

import asyncio
import json
import zlib

from bridge.core.diff import rows_from_versions
from bridge.core.errors import Failed, Kind
from bridge.live.backend import Identity
from bridge.live.resume import Resume
from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.live.viewer import Viewer
from bridge.wire.encoders import CoreSseEncoder, CoreWsEncoder, V1WsEncoder
from core_oracles import IdClient, SpliceClient

SOMEBODY = Identity()


class FakeSink:
    """A socket whose client reads, or does not."""

    def __init__(self, read):
        self._read = read
        self.taking = True
        self.pending = bytearray()
        self.most = 0

    def write(self, data):
        assert data, "an empty write"
        if self.taking:
            self._read(bytes(data))
        else:
            self.pending += data
            self.most = max(self.most, len(self.pending))

    def open_direct_send(self):
        return self

    def send(self, data):
        if not self.taking:
            raise BlockingIOError
        self.write(data)
        return len(data)

    def unsent(self):
        return len(self.pending)

    def take(self, count=None):
        """Let the client read some bytes, or all and from now on."""
        if count is None:
            self.taking, count = True, len(self.pending)
        data = bytes(self.pending[:count])
        del self.pending[:count]
        if data:
            self._read(data)


class FakeDirectSend:
    """A direct send that does what a test wants."""

    def __init__(self, send):
        self.send = send

    def lay(self, viewer):
        """Make a viewer in lockstep use this."""
        viewer.send_buffer.open_direct_send = lambda: self
        viewer.stop_direct_send()
        return self


class FakeClient:
    """A client of either protocol, with both kinds of reducer, and all that it received."""

    def __init__(self, bridge, *, v1=False, resume=None, backlog=256 * 1024, rows=(), sse=False):
        self.bridge = bridge
        self.v1 = v1
        self.by_id, self.by_index = IdClient(), SpliceClient()
        self.by_id.rows, self.by_index.rows = list(rows), list(rows)
        self.splices = True  # False after a core replay: only id-keyed clients may ask for one
        self.moved = False  # to a window that may be of an earlier moment
        self.begun = False
        self.resumed = resume is not None
        self.frames = []
        self.notices = []
        self.resets = 0
        self.pos = ""
        self.ready = None
        self.checks = []
        self._buffer = b""
        self.sink = FakeSink(self._read)
        self.stalled = False
        self.send_buffer = SendBuffer(self.sink, bridge.stall_monitor, on_stalled=self._cut)
        core = CoreSseEncoder(chunked=False, holds_id=False) if sse else CoreWsEncoder()
        encoder = V1WsEncoder("s") if v1 else core
        self.sse = sse
        self.viewer = Viewer(
            send_buffer=self.send_buffer, encoder=encoder, backlog=backlog, resume=resume
        )

    def _cut(self):
        self.stalled = True
        self.viewer.end(End(EndReason.STALLED, Failed(Kind.TOO_SLOW, "read too slowly")))

    # ------------------------------------------------------------ coming and going

    async def join(self, q, identity=SOMEBODY):
        self.query = q
        try:
            await asyncio.shield(self.bridge.hub.start_subscribe(self.viewer, q, identity))
        except Failed:
            self.bridge.hub.unsubscribe(self.viewer, EndReason.FAILED)
            raise
        self.bridge.hub.attach(self.viewer)
        return self

    async def reanchor(self, q, identity=SOMEBODY):
        await self.bridge.hub.reanchor(self.viewer, q, identity)
        self.query = q

    def leave(self, reason=EndReason.CLIENT_GONE):
        ended = self.viewer.ended
        self.bridge.hub.unsubscribe(self.viewer, ended.result().reason if ended.done() else reason)
        self.bridge.stall_monitor.remove(self.send_buffer)

    @property
    def end(self):
        return self.viewer.ended.result() if self.viewer.ended.done() else None

    # ------------------------------------------------------------ reading

    @property
    def rows(self):
        return self.by_id.rows

    @property
    def ids(self):
        return "".join(self.by_id.ids)

    def _read(self, data):
        self._buffer += data
        try:
            if self.sse:
                self._read_events()
            else:
                self._read_messages()
            for check in self.checks:
                check(self)
        except Exception as trouble:
            self.bridge.troubles.append(trouble)
            raise

    def _read_events(self):
        *events, self._buffer = self._buffer.split(b"\n\n")
        for event in events:
            for line in event.split(b"\n"):
                if line.startswith(b"id:"):
                    self.pos = line[3:].strip().decode()
                elif line.startswith(b"data: "):
                    self._apply(json.loads(line[6:]))

    def _read_messages(self):
        while len(self._buffer) >= 2:
            head, length = 2, self._buffer[1]
            if length == 126:
                head, length = 4, int.from_bytes(self._buffer[2:4])
            elif length == 127:
                head, length = 10, int.from_bytes(self._buffer[2:10])
            if len(self._buffer) < head + length:
                return
            assert self._buffer[0] == 0x81
            payload = json.loads(self._buffer[head : head + length])
            self._buffer = self._buffer[head + length :]
            if self.v1:
                self._notice(payload)
            else:
                self._apply(payload)

    def _notice(self, message):
        assert message["sub"] == "s"
        if message["type"] != "frames":
            self.notices.append(message)
        if message["type"] == "frames":
            for frame in message["frames"]:
                self._apply(frame)
            self.pos = message["pos"]
        elif message["type"] == "ready":
            self.ready = message
            assert message["rows"] == len(self.rows) or self.query.streamed
            assert ("digest" in message) is not self.query.streamed
            if "digest" in message:
                assert message["digest"] == checksum(self.rows), (message, self.rows)

    def _apply(self, frame):
        self.frames.append(frame)
        op = frame["op"]
        if op == "reset":
            self.resets += 1
            self.splices = True
        if not self.begun:
            self.begun = True
            assert op == "reset" or self.resumed, frame
        if "row" in frame:
            assert frame["row"]["v"] == frame["version"], frame
            held = dict(self.rows).get(frame["agg_id"])
            # A replay repeats what the client may have already.
            forgiven = self.moved or not self.splices
            assert held is None or frame["version"] >= held or forgiven, (held, frame)
        self.by_id.apply(frame)
        if self.splices:
            self.by_index.apply(frame)

    def check_rows(self):
        """Check what must hold between groups."""
        rows = self.by_id.rows
        assert len({agg_id for agg_id, _ in rows}) == len(rows)
        if self.splices:
            assert self.by_index.rows == rows, (self.by_index.rows, rows)


def checksum(rows):
    return f"{zlib.crc32(''.join(f'{i}{chr(10)}{v}{chr(10)}' for i, v in rows).encode()):08x}"


def resume(client, *, known=False, stream_id=False):
    """Return the state that a client may resume from."""
    if stream_id:
        return Resume(stream_id=stream_id)
    return Resume(pos=client.pos, known=rows_from_versions(client.rows) if known else None)
