"""VerifySession: one run's tools. Opens judged streams, waits, compares windows.

A verdict that depends on time or on a window at rest is given twice: a first failure is tried
again, and a tier that answers slowly or changes all the time is not accused.
"""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Sequence

from google.protobuf import duration_pb2

from livequery.v1 import livequery_pb2 as pb

from . import rules
from .calls import CallEnd, TierClient
from .ledger import Ledger
from .observed_stream import ObservedStream
from .rows import Row, window_difference
from .rules import Rule
from .stall_watch import StallWatch
from .stream_judge import StreamJudge
from .times import Times
from .wakeup import Wakeup

PASSING = frozenset(
    ["UNAVAILABLE", "ABORTED", "CANCELLED", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"]
)
MAX_BATCH = 1000

Hook = Callable[[], Awaitable[None]]
Differ = Callable[[Sequence[Row], Sequence[Row]], str]


class NotJudgedError(Exception):
    """A rule cannot be judged; the message says why."""


class RefusedError(NotJudgedError):
    """The tier refused a query that should have been served."""

    def __init__(self, end: CallEnd) -> None:
        super().__init__(f"the tier refused the query: {end}")
        self.end = end


class VerifySession:
    """What checks work with. `main` is a stream of the query, open all the time."""

    def __init__(
        self,
        client: TierClient,
        ledger: Ledger,
        query: pb.LiveQuery,
        *,
        times: Times,
        write: Hook | None = None,
        stop: Hook | None = None,
    ) -> None:
        self.client = client
        self.ledger = ledger
        self.query = query
        self.times = times
        self.write = write
        self.stop = stop
        self.stopping = False
        self.main: ObservedStream
        self.stalls = StallWatch()
        self._streams: list[ObservedStream] = []
        self._wakeup = Wakeup()
        self._numbers = itertools.count(1)

    async def close(self) -> None:
        """Close every stream that is still open."""
        self.stopping = True
        await self.stalls.close()
        await asyncio.gather(*(stream.close() for stream in self._streams))

    # ------------------------------------------------------------ waiting

    async def until(self, holds: Callable[[], object], within: float) -> bool:
        """Wait until a condition on streams holds; says whether it does when this returns."""
        return await self._wakeup.until(holds, within)

    def notify(self) -> None:
        """Wake whoever waits for a stream."""
        self._wakeup.notify()

    async def slow(self) -> bool:
        """Whether tier or machine are too slow now for a verdict about time."""
        limit = self.times.slow
        stall = self.stalls.worst_since()
        trips = [await self.client.round_trip(5 * limit) for _ in range(2)]
        worst = max(*trips, stall)
        if worst <= limit:
            return False
        self.ledger.note(
            f"the tier or this machine answered slowly (up to {worst:.1f} s):"
            " rules about time were not judged where they were not met"
        )
        return True

    # ------------------------------------------------------------ streams

    def request(
        self, query: pb.LiveQuery, resume: pb.ResumePosition | None = None
    ) -> pb.SubscribeRequest:
        """Return a request as the bridge makes it, with a shorter heartbeat."""
        wish = duration_pb2.Duration()
        wish.FromMilliseconds(round(self.times.heartbeat_wish * 1000))
        return pb.SubscribeRequest(
            query=query,
            resume=resume,
            request_id=f"verify-{secrets.token_hex(4)}-{next(self._numbers)}",
            max_batch_deltas=MAX_BATCH,
            heartbeat_interval=wish,
        )

    def open(
        self,
        query: pb.LiveQuery,
        *,
        resume: pb.ResumePosition | None = None,
        rows: Sequence[Row] = (),
        judged: bool = True,
    ) -> ObservedStream:
        """Open a stream; returns at once. Not `judged`, what it says leaves no trace."""
        ledger = self.ledger if judged else Ledger()
        judge = StreamJudge(ledger, query, offered=resume, rows=rows)
        messages = self.client.subscribe(self.request(query, resume))
        return self.observe(ObservedStream(messages, judge, on_message=self.notify))

    def observe(self, stream: ObservedStream) -> ObservedStream:
        """Keep a stream, to be closed with the session."""
        self._streams.append(stream)
        return stream

    async def close_stream(self, stream: ObservedStream) -> None:
        """Close a stream; one that the tier ended meanwhile is judged."""
        self.judge_end(stream)
        await stream.close()
        if stream in self._streams:
            self._streams.remove(stream)

    async def whole(
        self,
        query: pb.LiveQuery,
        *,
        resume: pb.ResumePosition | None = None,
        rows: Sequence[Row] = (),
    ) -> ObservedStream:
        """Open a stream and wait until its window is complete.

        Raises RefusedError, or NotJudgedError where no window came: that was reported then.
        """
        late = ""
        for last in (False, True):
            stream = self.open(query, resume=resume, rows=rows)
            late = await self._await_whole(stream)
            if not late:
                return stream
            await self.close_stream(stream)
            if stream.end is not None:
                if last or stream.end.code != "UNAVAILABLE":
                    raise RefusedError(stream.end)
                continue  # a lost connection, a place that is not free yet
            if stream.void:
                raise NotJudgedError("the first reset was bare: no rows came")
        self._report_late(late, slow=await self.slow())
        raise NotJudgedError(f"no window came: {late}")

    async def _await_whole(self, stream: ObservedStream) -> str:
        """Return what did not come (in time), empty if all did."""
        times = self.times
        if not await self.until(lambda: stream.count or stream.end, times.started):
            return "started"
        if stream.count:
            self.ledger.ok(rules.STARTED_TIME)
        await self.until(lambda: stream.whole or stream.end or stream.void, times.snapshot)
        if stream.end is not None:
            if stream.started is None:
                return "started"
            self.judge_end(stream)
            raise NotJudgedError(f"the stream ended: {stream.end}")
        if not stream.whole:
            return "snapshot_complete"
        self.ledger.ok(rules.SNAPSHOT_COMPLETE)
        await self.until(lambda: stream.started or stream.end, self.times.started)
        return "" if stream.started else "started"

    def _report_late(self, late: str, *, slow: bool) -> None:
        rule, seconds = rules.STARTED_TIME, self.times.started
        if late != "started":
            rule, seconds = rules.SNAPSHOT_COMPLETE, self.times.snapshot
        if slow:
            self.ledger.not_judged("answers were slow", rule)
        else:
            self.ledger.find(rule, f"{late} within {seconds:g} s", "nothing, twice")

    def judge_end(self, stream: ObservedStream) -> None:
        """Judge how the tier ended a stream that had started, if it did."""
        if stream.started is None or self.stopping:
            return
        if stream.end is None:
            self.ledger.ok(rules.STAYS_OPEN)
        elif stream.end.code in PASSING:
            self.ledger.warn(rules.STAYS_OPEN, "an open stream", f"it ended: {stream.end}")
        else:
            self.ledger.find(rules.STAYS_OPEN, "an open stream", f"it ended: {stream.end}")

    # ------------------------------------------------------------ windows

    async def difference(
        self, kept: ObservedStream, query: pb.LiveQuery, differ: Differ = window_difference
    ) -> str:
        """Compare a kept window with one just read, at a quiet moment; empty if they are equal.

        `differ`: says how the one's rows differ from the other's. Two different reads in a row make
        a difference. Raises NotJudgedError where there was no quiet moment, where the tier is slow,
        or where a window is in doubt already.
        """
        again = False
        for _ in range(self.times.attempts):
            fresh = await self.whole(query)
            try:
                if await self._agree(kept, fresh, differ):
                    return ""
                if not await self._rest(kept, fresh):
                    continue
                if again:
                    if await self.slow():
                        raise NotJudgedError("answers were slow")
                    _need_sound(kept, fresh)  # one may have ended meanwhile
                    return differ(kept.rows, fresh.rows)
                again = True
            finally:
                await self.close_stream(fresh)
        raise NotJudgedError("the tier changed all the time")

    async def _agree(self, kept: ObservedStream, fresh: ObservedStream, differ: Differ) -> bool:
        """Wait until two windows are the same; says whether they are."""

        def same() -> bool:
            return kept.whole and fresh.whole and not differ(kept.rows, fresh.rows)

        def over() -> object:
            return kept.end or kept.doubt or kept.void or fresh.doubt or same()

        await self.until(over, self.times.settle)
        _need_sound(kept, fresh)
        return same()

    async def _rest(self, *streams: ObservedStream) -> bool:
        """Whether nothing changes in these streams' windows for a while."""

        def batches() -> list[int]:
            return [stream.batches for stream in streams]

        before = batches()
        return not await self.until(lambda: batches() != before, self.times.quiet)

    async def compare(
        self,
        rule: Rule,
        kept: ObservedStream,
        query: pb.LiveQuery,
        differ: Differ = window_difference,
    ) -> bool:
        """Judge a rule by such a comparison; returns whether it held."""
        try:
            found = await self.difference(kept, query, differ)
        except NotJudgedError as reason:
            self.ledger.not_judged(str(reason), rule)
            return False
        return self.ledger.check(rule, not found, "the window that a second read has", found)


def _need_sound(*streams: ObservedStream) -> None:
    for stream in streams:
        if stream.doubt:
            raise NotJudgedError(f"a window broke {stream.doubt} first")
        if stream.end is not None:
            raise NotJudgedError(f"a stream ended: {stream.end}")
        if stream.void:
            raise NotJudgedError("a bare reset made the window void")
