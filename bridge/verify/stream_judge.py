"""Judges one Subscribe stream, message by message. Pure: no clock, no network."""

from collections.abc import Sequence
from typing import Final

from livequery.v1 import livequery_pb2 as pb

from . import rules
from .ledger import Ledger
from .numbering_judge import NumberingJudge
from .rows import Row
from .window_judge import WindowJudge

MAX_MESSAGE: Final = 4 << 20


class StreamJudge:
    """Feed it every message of a stream; what it finds goes to the ledger.

    `offered` is the position that the request offered and `rows` the window there: the judge goes
    on from both if `started` grants it.
    """

    def __init__(
        self,
        ledger: Ledger,
        query: pb.LiveQuery,
        *,
        offered: pb.ResumePosition | None = None,
        rows: Sequence[Row] = (),
    ) -> None:
        self._ledger = ledger
        self._query = query
        self._offered = offered
        self._offered_rows = rows
        self._first = True
        self.started: pb.Started | None = None
        self.window = WindowJudge(ledger, query)
        self.numbering = NumberingJudge(ledger)
        self._after_grant = False

    @property
    def resumed(self) -> bool:
        """Whether the tier granted the position offered."""
        return self.started is not None and self.started.resumed and self._offered is not None

    def feed(self, message: pb.SubscribeResponse) -> None:
        """Judge one message."""
        size = message.ByteSize()
        self._ledger.check(
            rules.MESSAGE_SIZE, size <= MAX_MESSAGE, f"at most {MAX_MESSAGE} bytes", f"{size} bytes"
        )
        kind = message.WhichOneof("message")
        if not self._ledger.check(
            rules.MESSAGE_KIND, kind, "started, batch or heartbeat", "a message without any"
        ):
            return
        if self._first:
            self._first = False
            self._ledger.check(
                rules.STARTED_FIRST, kind == "started", "started first", f"{kind} first"
            )
        match kind:
            case "started":
                self._start(message.started)
            case "batch":
                self._batch(message.batch)
            case _:
                self.numbering.heartbeat(message.heartbeat)

    def _start(self, started: pb.Started) -> None:
        if self.started is not None:
            self._ledger.find(rules.STARTED_ONCE, "one started", "another started")
            return
        self._ledger.ok(rules.STARTED_ONCE)
        self.started = started
        self._ledger.check(
            rules.SUBSCRIPTION_ID, started.subscription_id, "a subscription_id", "an empty one"
        )
        if self._offered is None:
            self._ledger.check(
                rules.RESUMED_UNASKED, not started.resumed, "resumed: false", "resumed: true"
            )
        elif started.resumed:
            self._resume(started, self._offered)
        self._judge_effective_query(started)

    def _resume(self, started: pb.Started, offered: pb.ResumePosition) -> None:
        self._ledger.check(
            rules.RESUME_ID,
            started.subscription_id == offered.subscription_id,
            f"subscription_id {offered.subscription_id!r}",
            f"{started.subscription_id!r}",
        )
        self.numbering = NumberingJudge(self._ledger, offered)
        limit = self.window.limit
        self.window = WindowJudge(self._ledger, self._query, self._offered_rows, resumed=True)
        self.window.limit = limit
        self._after_grant = True

    def _judge_effective_query(self, started: pb.Started) -> None:
        if not started.HasField("effective_query"):
            return
        effective, asked = started.effective_query, self._query
        self._ledger.check(
            rules.EFFECTIVE_QUERY,
            effective.entity in ("", asked.entity) and effective.limit <= asked.limit,
            f"entity {asked.entity!r}, limit at most {asked.limit}",
            f"entity {effective.entity!r}, limit {effective.limit}",
        )
        if 0 < effective.limit < self.window.limit:
            self.window.limit = effective.limit

    def _batch(self, batch: pb.DeltaBatch) -> None:
        if self._after_grant and batch.deltas:
            self._after_grant = False
            self._ledger.check(
                rules.RESUME_NUMBERS,
                batch.deltas[0].op != pb.DELTA_OP_RESET or batch.epoch > self.numbering.epoch,
                "deltas after the position",
                "a reset of the epoch offered",
            )
        self.numbering.batch(batch, snapshot=not self.window.complete)
        self.window.batch(batch)
