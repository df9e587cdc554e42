"""FakeTier: a tier in memory, with tables to change, and faults to order.

`FakeTier` is a `Backend`, `FakeCall` an `UpstreamCall` (bridge/live/backend.py). The tier also says
which rows a query shows, as the oracle that clients are compared with.
"""

import asyncio
import json
from collections import deque

from bridge.core.batch import Batch
from bridge.core.errors import Failed, Kind
from bridge.core.frame_encoding import RESET, encode
from bridge.core.op import Op
from bridge.core.query_parser import parse_query
from bridge.core.sequencer import Heartbeat
from core_makers import batch_with
from queries import query_members
from virtual_loop import turns


def query(limit=3, cursor=None, entity="flights", mode=0, **more):
    """Read a query as a client writes it."""
    wanted = query_members(entity, limit, mode=mode, **more)
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
        self.lines = []  # `again` of every subscribe
        self.offers = []  # `resume` of every subscribe
        self.grants = ""  # "yes", or how it grants wrongly: see `_go_on`
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
        """Return the deltas of a change, by the table in docs/semantics.md."""
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

    opens_with_window = False

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
        sub = FakeCall(self, q, f"sub-{self._count}")
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
        """Grant a resume: send what is missing from a number on, or whatever `grants` says instead."""
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
                missing = [batch_with(batch, first_seq=0) for batch in missing]
                sub.numbered = False
            case "in an older epoch" if was.epoch > 1:  # 0 would be none
                missing = [batch_with(batch, epoch=was.epoch - 1) for batch in missing]
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


class FakeCall:
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
        self.replica = "fake:1"
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
        """Queue a Batch, a Heartbeat, a Failed to raise, or None for the stream's end."""
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
        deltas = [RESET] + [
            self.tier._delta(Op.ENTER, row, -1, at, "") for at, row in enumerate(rows)
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

    # ------------------------------------------------------------ UpstreamCall

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
            self._move(q, request_id)
            raise Failed(Kind.DEADLINE, "no answer")
        if how == "never":
            await asyncio.Event().wait()
        if how == "snapshot first":
            self._move(q, request_id)
            await turns(3)
        elif how == "snapshot later":
            asyncio.get_running_loop().call_later(0.5, self._move, q, request_id)
        else:
            self._move(q, request_id)
        return q.reanchored(q.cursor, tier.limit(q)) if tier.most else None

    def _move(self, q, request_id):
        if self.closed:
            return
        self.query = q
        if self.tier.labelled:
            self.snapshot(reanchor=True, request_id=request_id)
        else:
            self.snapshot()

    def close(self):
        assert not self.closed, "closed twice"
        self.closed = True
        self._part()


def _from(number, batch):
    """Leave out of a batch what comes before a number."""
    skip = max(number - batch.first_seq, 0)
    return batch_with(batch, deltas=batch.deltas[skip:], first_seq=batch.first_seq + skip)


def _leave(agg_id, at, stream_id):
    return encode(Op.LEAVE, agg_id, old_index=at, new_index=-1, stream_id=stream_id)
