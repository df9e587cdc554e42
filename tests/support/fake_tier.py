"""A tier in memory, with tables to change, an oracle to compare with, and faults to order.

`FakeTier` satisfies `Backend`, `FakeSub` satisfies `Sub` (bridge/live/backend.py). Also here: a
loop whose clock jumps, a sink that may not take, and clients that read what scripts write.
"""

import asyncio
import functools
import inspect
import json
import selectors
import zlib
from collections import deque

import msgspec

from bridge.core.batch import Batch
from bridge.core.diff import rows_from_versions
from bridge.core.errors import Failed, Kind
from bridge.core.frame import RESET, encode
from bridge.core.op import Op
from bridge.core.query_parser import parse_query
from bridge.core.sequencer import Heartbeat
from bridge.live.backend import Identity
from bridge.live.hub import Hub
from bridge.live.observer import Observer
from bridge.live.resume import Resume
from bridge.live.send_buffer import SendBuffer
from bridge.live.settings import LiveSettings
from bridge.live.stall_monitor import StallMonitor
from bridge.live.stream_end import End, EndReason
from bridge.live.viewer import Viewer
from bridge.wire.encoders import CoreSseEncoder, CoreWsEncoder, V1WsEncoder
from clients import IdClient, SpliceClient

SOMEBODY = Identity()

# ---------------------------------------------------------------- a clock that jumps


class _NoFiles(selectors.SelectSelector):
    """Never waits: with nothing ready, time goes on to the next timer at once."""

    loop = None

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("nothing is ready and no timer is set: a deadlock")
        if timeout > 0:
            self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop without real time: nothing sleeps, every run is the same."""

    def __init__(self):
        self.now = 1000.0
        self.complaints = []
        selector = _NoFiles()
        selector.loop = self
        super().__init__(selector)
        self.set_exception_handler(lambda _, context: self.complaints.append(context))

    def time(self):
        return self.now


def run_virtually(make):
    """Run the coroutine that `make()` returns; no task may be left, no exception unheard."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(make())
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert not left, left
        assert not loop.complaints, loop.complaints
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        asyncio.set_event_loop(None)
        loop.close()


def virtually(test):
    """Let an async test run on a virtual clock."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        run_virtually(lambda: test(*args, **kwargs))

    # pytest must see a plain function.
    del run.__wrapped__
    run.__signature__ = inspect.signature(test)
    return run


async def turns(count=20):
    """Let whatever is ready run, and what that makes ready, without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- the tier


def query(limit=3, cursor=None, entity="flights", mode=0, **more):
    """Read a query as a client writes it."""
    wanted = {"entity": entity, "sort": [{"column": "k"}], "limit": limit, "mode": mode, **more}
    if cursor is not None:
        wanted["cursor"] = {"values": list(cursor)}
    return parse_query(json.dumps(wanted))


class FakeTier:
    """Tables of rows ordered by (k, id), and the subscriptions open on them."""

    def __init__(self, *, epochs=True, numbers=True, chunk=2):
        self.epochs = epochs
        self.numbers = numbers
        self.chunk = chunk
        self.tables = {}
        self.versions = {}
        self.subs = []  # open ones
        self.asked = []  # (query, identity) of every subscribe
        self.lines = []  # whether each waited with those who had a call before
        self.offers = []  # what each was asked to go on from
        self.grants = ""  # "yes", or how it lies: see `_go_on`
        self.left = {}  # id → a sub whose call is over, and which is told of changes even so
        self.reanchors = []
        self.refuse = deque()  # Failed for the next subscribes
        self.cuts = deque()  # rows after which the next snapshots break off
        self.down = None  # Failed for every subscribe, while set
        self.latency = 0.0
        self.forgets = False  # the original engine's bug
        self.mute = False  # start, but send no snapshot
        self.named = True
        self.labelled = True  # request_id is echoed
        self.reanchor = "in place"
        self.reanchor_latency = 0.0
        self.heartbeat = 0.0  # seconds between heartbeats promised
        self.most = 0  # the tier's own largest limit; 0: as asked
        self.states = {}  # query → every window ever, for queries in `followed`
        self.followed = {}
        self._stream = 0
        self._count = 0

    # ------------------------------------------------------------ oracle

    def window(self, q):
        """Return (id, version) of the rows that a query shows now."""
        return [(agg_id, version) for _, agg_id, version in self._rows(q)]

    def _rows(self, q):
        table = self.tables.get(q.entity, {})
        rows = sorted((k, agg_id, version) for agg_id, (k, version) in table.items())
        if q.cursor is not None:
            rows = [row for row in rows if row[:2] > q.cursor]
        return rows[: self.limit(q)]

    def limit(self, q):
        return min(q.limit, self.most) if self.most else q.limit

    def follow(self, q):
        """Keep every state of a query's window from now on."""
        if q.key not in self.followed:
            self.followed[q.key] = q
            self.states[q.key] = {()}
            self._note()

    def _note(self):
        for key, q in self.followed.items():
            self.states[key].add(tuple(self.window(q)))

    # ------------------------------------------------------------ changes

    def put(self, agg_id, k, entity="flights", **how):
        """Insert, update or move a row."""
        self.change([(agg_id, k)], entity, **how)

    def drop(self, agg_id, entity="flights"):
        self.change([(agg_id, None)], entity)

    def change(self, rows, entity="flights", *, split=""):
        """Commit rows as one source change; `split`: as many, each in a "batch" or a "group"."""
        everyone = (*self.subs, *self.left.values())
        told = {sub: [] for sub in everyone if sub.query.entity == entity}
        stream_id = ""
        for at, (agg_id, k) in enumerate(rows):
            if at == 0 or split:
                stream_id = self._name()
            was = {sub: self._rows(sub.query) for sub in told}
            self._commit(entity, agg_id, k)
            for sub, deltas in told.items():
                now = self._rows(sub.query)
                deltas.extend(self._deltas(sub, was[sub], now, agg_id, stream_id))
            if split:
                self._note()
            if split == "batch":
                self._tell(told)
        self._tell(told)
        self._note()

    def _name(self):
        self._stream += 1
        return f"{1_700_000_000_000 + self._stream}-0" if self.named else ""

    def _commit(self, entity, agg_id, k):
        table = self.tables.setdefault(entity, {})
        if k is None:
            table.pop(agg_id, None)
            return
        version = self.versions.get((entity, agg_id), 0) + 1
        self.versions[entity, agg_id] = version
        table[agg_id] = (k, version)

    def _tell(self, told):
        for sub, deltas in told.items():
            if deltas:
                sub.send(deltas)
                deltas.clear()

    def _deltas(self, sub, was, now, agg_id, stream_id):
        """Say a change in the words of docs/semantics.md's table."""
        if was == now:
            return []
        old, new = [r[1] for r in was], [r[1] for r in now]
        limit = self.limit(sub.query)
        if agg_id in old and agg_id in new:
            p, n = old.index(agg_id), new.index(agg_id)
            moved = was[p][0] != now[n][0]
            return [self._delta(Op.MOVE if moved else Op.UPDATE, now[n], p, n, stream_id)]
        if agg_id in new:
            n = new.index(agg_id)
            deltas = [self._delta(Op.ENTER, now[n], -1, n, stream_id)]
            if len(old) == limit and not self.forgets:
                deltas.append(_leave(old[-1], limit, stream_id))
            return deltas
        if agg_id not in old:
            # A row out of sight pushes nothing about, but for a window not at the head.
            return []
        p = old.index(agg_id)
        deltas = [_leave(agg_id, p, stream_id)]
        if len(new) == len(old):
            deltas.append(self._delta(Op.ENTER, now[-1], -1, len(new) - 1, stream_id))
        return deltas

    def _delta(self, op, row, old, new, stream_id):
        k, agg_id, version = row
        text = b'{"v": %d, "k": %d}' % (version, k)
        return encode(op, agg_id, version, text, old, new, (k, agg_id), stream_id)

    # ------------------------------------------------------------ Backend

    async def pause(self, seconds):
        await asyncio.sleep(seconds)

    async def subscribe(self, q, identity, *, again=False, resume=None):
        self.asked.append((q, identity))
        self.lines.append(again)
        self.offers.append(resume)
        if self.latency:
            await asyncio.sleep(self.latency)
        if self.refuse:
            raise self.refuse.popleft()
        if self.down is not None:
            raise self.down
        self._count += 1
        sub = FakeSub(self, q, f"sub-{self._count}")
        self.subs.append(sub)
        was = self.left.get(resume.id) if resume is not None else None
        if self.grants == "unasked":
            sub.resumed = True
            return sub
        if (
            self.grants
            and was is not None
            and was.query == q
            and was.epoch == resume.position.epoch
        ):
            self._go_on(sub, self.left.pop(was.id), resume.position.seq + 1)
            return sub
        if self.cuts:
            sub.cut_at = self.cuts.popleft()
        if not self.mute:
            sub.snapshot(reanchor=False)
        return sub

    def _go_on(self, sub, was, number):
        """Grant a resume: send what is missing from a number on, or what the lie is."""
        sub.resumed, sub.id = True, was.id
        sub.epoch, sub.seq, sub.sent = was.epoch, was.seq, was.sent
        missing = [batch for batch in was.sent if batch.first_seq + len(batch.deltas) > number]
        match self.grants:
            case "yes":
                missing = [_from(number, batch) for batch in missing]
            case "from before":
                missing = list(was.sent)[-len(missing) - 2 :]
            case "from beyond" if missing:
                del missing[0]
            case "from beyond":
                sub.fault = "lose"
            case "unnumbered":
                missing = [msgspec.structs.replace(batch, first_seq=0) for batch in missing]
                sub.numbered = False
            case "in an older epoch" if was.epoch > 1:  # 0 would be none
                missing = [msgspec.structs.replace(batch, epoch=was.epoch - 1) for batch in missing]
                sub.epoch -= 1
            case "renamed":
                sub.id = f"not {was.id}"
        for batch in missing:
            sub.raw(batch)
        if self.grants == "resets":
            sub.snapshot()

    @property
    def sub(self):
        """The one subscription that is open."""
        [sub] = self.subs
        return sub


class FakeSub:
    """One call: a queue of messages that the bridge reads."""

    def __init__(self, tier, q, name):
        self.tier = tier
        self.query = q
        self.id = name
        self.route = b"to " + name.encode()
        self.resumed = False
        self.effective = None
        self.heartbeat = tier.heartbeat
        self.leaving = False
        self.closed = False
        self.epoch = 0
        self.seq = 1
        self.numbered = tier.numbers
        self.sent = deque(maxlen=500)  # the last batches
        self.fault = None  # of the next batch: lose, double, late
        self.cut_at = None  # break after this many rows of the next snapshot
        self.last = None
        self._late = None
        self._held = False
        self._queue = deque()
        self._wake = asyncio.Event()
        if tier.most:
            self.effective = q.reanchored(q.cursor, tier.limit(q))

    # ------------------------------------------------------------ what the test orders

    def raw(self, message):
        """Queue a Batch, a Beat, a Failed to raise, or None for the stream's end."""
        self._queue.append(message)
        self._wake.set()

    def send(self, deltas, **flags):
        deltas = tuple(deltas)
        batch = Batch(
            deltas,
            epoch=self.epoch if self.tier.epochs else 0,
            first_seq=self.seq if self.numbered else 0,
            **flags,
        )
        self.seq += len(deltas)
        self.sent.append(batch)
        self.last = batch
        fault, self.fault = self.fault, None
        if fault == "lose":
            return
        if fault == "late":
            self._late = batch
            return
        self.raw(batch)
        if fault == "double":
            self.raw(batch)
        if self._late is not None:
            late, self._late = self._late, None
            self.raw(late)

    def beat(self):
        if self.numbered:
            self.raw(Heartbeat(self.epoch if self.tier.epochs else 0, self.seq - 1))

    def snapshot(self, *, reanchor=None, request_id=""):
        """Send reset + page, the page in chunks."""
        self.epoch += 1
        rows = self.tier._rows(self.query)
        streamed = self.query.streamed
        deltas = [RESET] + [
            self.tier._delta(Op.ENTER, row, *((0, 0) if streamed else (-1, at)), "")
            for at, row in enumerate(rows)
        ]
        if self.cut_at is not None:
            cut, self.cut_at = self.cut_at, None
            self.send(deltas[: cut + 1], reanchor=reanchor, request_id=request_id)
            self.break_off(Failed(Kind.UNAVAILABLE, "reset by peer"))
            return
        size = self.tier.chunk
        parts = [deltas[at : at + size] for at in range(0, len(deltas), size)]
        if len(deltas) % 2:
            parts.append([])  # the batch that completes may be empty
        for at, part in enumerate(parts):
            last = at == len(parts) - 1
            if at == 0:
                self.send(part, snapshot_complete=last, reanchor=reanchor, request_id=request_id)
            else:
                self.send(part, snapshot_complete=last)

    def bare(self):
        """Send a reset that no rows follow."""
        self.epoch += 1
        self.send([RESET], bare=True)

    def heal(self):
        """Send what is late, what was held, and a heartbeat that tells of what was lost."""
        self.fault = self.cut_at = None
        if self._late is not None:
            late, self._late = self._late, None
            self.raw(late)
        self.release()
        self.beat()

    def break_off(self, failure=None, *, lost=0):
        """End the call: None is OK. The last `lost` messages never arrive."""
        self._part()
        for _ in range(min(lost, len(self._queue))):
            self._queue.pop()
        self.raw(failure)
        self.release()

    def _part(self):
        if self in self.tier.subs:
            self.tier.subs.remove(self)
            if self.tier.grants and self.numbered:
                self.tier.left[self.id] = self
                if len(self.tier.left) > 8:
                    del self.tier.left[next(iter(self.tier.left))]

    def hold(self):
        self._held = True

    def release(self):
        self._held = False
        self._wake.set()

    # ------------------------------------------------------------ Sub

    async def follow(self, take):
        while True:
            while self._held or not self._queue:
                self._wake.clear()
                await self._wake.wait()
            message = self._queue.popleft()
            if isinstance(message, Failed):
                raise message
            if message is None:
                return
            take(message)

    async def reanchor(self, q, was, request_id):
        tier = self.tier
        tier.reanchors.append((q, was))
        if tier.reanchor_latency:
            await asyncio.sleep(tier.reanchor_latency)
        how = tier.reanchor
        if isinstance(how, Failed):
            raise how
        if how == "moves, then fails":
            self._slide(q, request_id)
            raise Failed(Kind.DEADLINE, "no answer")
        if how == "never":
            await asyncio.Event().wait()
        if how == "snapshot first":
            self._slide(q, request_id)
            await turns(3)
        elif how == "snapshot later":
            asyncio.get_running_loop().call_later(0.5, self._slide, q, request_id)
        else:
            self._slide(q, request_id)
        return q.reanchored(q.cursor, tier.limit(q)) if tier.most else None

    def _slide(self, q, request_id):
        if self.closed:
            return
        self.query = q
        if self.tier.labelled:
            self.snapshot(reanchor=True, request_id=request_id)
        else:
            self.snapshot()

    async def close(self):
        assert not self.closed, "closed twice"
        self.closed = True
        self._part()


def _from(number, batch):
    """Leave out of a batch what comes before a number."""
    skip = max(number - batch.first_seq, 0)
    return msgspec.structs.replace(
        batch, deltas=batch.deltas[skip:], first_seq=batch.first_seq + skip
    )


def _leave(agg_id, at, stream_id):
    return encode(Op.LEAVE, agg_id, old_index=at, new_index=-1, stream_id=stream_id)


# ---------------------------------------------------------------- clients


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


class Line:
    """A short way to a socket that does what a test wants."""

    def __init__(self, send):
        self.send = send

    def lay(self, viewer):
        """Have a viewer in step sent to this way."""
        viewer.send_buffer.open_direct_send = lambda: self
        viewer.stop_direct_send()
        return self


class Client:
    """A client of either protocol, with both kinds of reducer, and all it was told."""

    def __init__(self, house, *, v1=False, resume=None, backlog=256 * 1024, rows=(), sse=False):
        self.house = house
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
        self.send_buffer = SendBuffer(self.sink, house.stall_monitor, on_stalled=self._cut)
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
            await self.house.hub.subscribe(self.viewer, q, identity)
        except Failed:
            self.house.hub.unsubscribe(self.viewer, EndReason.FAILED)
            raise
        self.house.hub.attach(self.viewer)
        return self

    async def reanchor(self, q, identity=SOMEBODY):
        await self.house.hub.reanchor(self.viewer, q, identity)
        self.query = q

    def leave(self, reason=EndReason.CLIENT_GONE):
        ended = self.viewer.ended
        self.house.hub.unsubscribe(self.viewer, ended.result().reason if ended.done() else reason)
        self.house.stall_monitor.remove(self.send_buffer)

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
            self.house.troubles.append(trouble)
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

    def whole(self):
        """Check what must hold between groups."""
        rows = self.by_id.rows
        assert len({agg_id for agg_id, _ in rows}) == len(rows)
        if self.splices:
            assert self.by_index.rows == rows, (self.by_index.rows, rows)


def checksum(rows):
    return f"{zlib.crc32(''.join(f'{i}{chr(10)}{v}{chr(10)}' for i, v in rows).encode()):08x}"


# ---------------------------------------------------------------- the bridge around them


class Counts(Observer):
    """Counts what there is to count."""

    def __init__(self):
        self.open = 0
        self.viewers = 0
        self.reasons = []
        self.repairs = []
        self.losses = []
        self.granted = []
        self.resets = []
        self.conflations = 0
        self.frames = 0

    def subscribed(self):
        self.open += 1

    def unsubscribed(self):
        self.open -= 1

    def attached(self):
        self.viewers += 1

    def detached(self, reason):
        self.viewers -= 1
        self.reasons.append(reason)

    def sent(self, frames, size):
        self.frames += frames

    def conflated(self):
        self.conflations += 1

    def repaired(self, cause):
        self.repairs.append(cause)

    def resubscribed(self, cause):
        self.losses.append(cause)

    def offered(self, *, granted):
        self.granted.append(granted)

    def replaced(self, cause):
        self.resets.append(cause)


class House:
    """A tier, a hub and a watch; `async with` closes the hub and looks that nothing is left."""

    def __init__(self, *, stall=5.0, tier=None, **settings):
        self.tier = tier or FakeTier()
        self.counts = Counts()
        self.settings = LiveSettings(**settings)
        self.hub = Hub(backend=self.tier, settings=self.settings, observer=self.counts)
        self.stall_monitor = StallMonitor(stall=stall)
        self.troubles = []  # what clients complained of

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, *_):
        await self.hub.close()
        assert not self.troubles, self.troubles
        if kind is None:
            assert self.counts.open == 0
            assert not self.tier.subs
            assert self.hub.subscriptions == 0
            await asyncio.sleep(0.1)  # a sweep that has nobody left to look at

    def client(self, **how):
        return Client(self, **how)

    async def joined(self, q, identity=SOMEBODY, **how):
        """Make a client and wait until it shows a window."""
        client = await self.client(**how).join(q, identity)
        await turns()
        return client

    @property
    def subscription(self):
        [subscription] = self.hub._all
        return subscription


def resume(client, *, known=False, stream_id=False):
    """Say where a client was."""
    if stream_id:
        return Resume(stream_id=stream_id)
    return Resume(pos=client.pos, known=rows_from_versions(client.rows) if known else None)
