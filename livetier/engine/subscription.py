"""One subscriber's outbox, and the numbers of what is sent from it.

Laws:

- At most ``BACKLOG`` deltas or ``BACKLOG_BYTES`` of rows wait, or one group. Beyond that all are
  dropped and a reset is due instead. So a subscriber that does not read costs a bounded amount of
  memory, and then gets the present window.
- While a reset is due no group waits. The window is taken when the reset is sent, and contains
  everything that happened before.
- What was sent is kept for a while (``history``). A caller may resume where nothing is missing.
- ``seq`` counts deltas as they are sent; dropped deltas have no number. ``epoch`` counts resets,
  a due one included; ``sent_epoch`` is that of the reset sent last.
- All methods belong to the event loop's thread. All but ``ready`` are synchronous; one task calls
  ``ready``.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.errors import TierError
from livetier.engine.history import Group, SentHistory, bytes_of
from livetier.engine.store import Metadata, ViewT

BACKLOG = 2048
BACKLOG_BYTES = 4 << 20
# Of one message: well below the 4 MiB that a gRPC receiver takes by default.
BATCH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset that is due."""

    reason: pb.ResetReason
    epoch: int
    request_id: str = ""


class Subscription(Generic[ViewT]):
    """An outbox of groups, in order.

    ``view`` is what the query shows at the end of the outbox; ``metadata`` is the caller's. Who
    gives it another query holds ``reanchoring``.
    """

    def __init__(self, identifier: str, view: ViewT, metadata: Metadata = ()) -> None:
        self.id = identifier
        self.view = view
        self.metadata = metadata
        self.reanchoring = asyncio.Lock()
        self.epoch = 0
        self.sent_epoch = 0
        self.seq = 0
        self.failure: TierError | None = None
        self._groups: deque[Group] = deque()
        self._waiting = self._waiting_bytes = 0
        self._due: Reset | None = None
        self._wake = asyncio.Event()
        self._history = SentHistory()
        self._in_snapshot = False
        self.stream: object = None
        """The call that may send; a caller that resumes takes it from the one before."""
        self.reset(pb.RESET_REASON_INITIAL)

    @property
    def reset_due(self) -> bool:
        """Whether the next thing to send is a reset and the window of that moment."""
        return self._due is not None

    def offer(self, group: Group) -> None:
        """Put a group into the outbox; never waits."""
        if self._due is not None:
            return
        self._groups.append(group)
        self._waiting += len(group)
        self._waiting_bytes += bytes_of(group)
        over = self._waiting > BACKLOG or self._waiting_bytes > BACKLOG_BYTES
        if over and len(self._groups) > 1:
            self.reset(pb.RESET_REASON_OVERFLOW)
        self._wake.set()

    def reset(self, reason: pb.ResetReason, request_id: str = "") -> int:
        """Drop all that waits, make a reset due and return its epoch.

        A reset that is due already is replaced; the new one has its epoch.
        """
        self._groups.clear()
        self._waiting = self._waiting_bytes = 0
        if self._due is None:
            self.epoch += 1
        self._due = Reset(reason, self.epoch, request_id)
        self._wake.set()
        return self.epoch

    def fail(self, failure: TierError) -> None:
        """End the stream with ``failure``; nothing more is sent. Only the first failure counts."""
        self.failure = self.failure or failure
        self._wake.set()

    async def ready(self, timeout: float) -> bool:  # noqa: ASYNC109 (the heartbeat's interval)
        """Wait until there is something to send; return False after ``timeout`` seconds without."""
        if not self._has_something:
            self._wake.clear()
            # A timer costs less than a timeout, and this is awaited once for each group.
            timer = asyncio.get_running_loop().call_later(timeout, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()
        return self._has_something

    @property
    def _has_something(self) -> bool:
        return bool(self._groups or self._due or self.failure)

    def take_reset(self) -> Reset | None:
        """Take the due reset, if any; groups offered from here on follow its window."""
        due, self._due = self._due, None
        if due is not None:
            self.sent_epoch = due.epoch
            self._history.clear()
            self._in_snapshot = True
        return due

    def take_group(self) -> Group:
        """Take the next group."""
        group = self._groups.popleft()
        self._waiting -= len(group)
        self._waiting_bytes -= bytes_of(group)
        return group

    def take_groups(self, at_most: int) -> Group:
        """Take the next group, and those behind it while all have ``at_most`` deltas and few bytes.

        A caller that lags gets in one message what has come meanwhile.
        """
        taken = self.take_group()
        if not self._groups:
            return taken
        deltas, size = list(taken), bytes_of(taken)
        while self._groups and len(deltas) + len(self._groups[0]) <= at_most:
            size += bytes_of(self._groups[0])
            if size > BATCH_BYTES:
                break
            deltas += self.take_group()
        return deltas

    def next_batch(self, deltas: Group, *, complete: bool = False) -> pb.DeltaBatch:
        """Return the batch that sends ``deltas`` next, and number them."""
        first, self.seq = self.seq + 1, self.seq + len(deltas)
        if not self._in_snapshot:
            self._history.add(first, deltas, asyncio.get_running_loop().time())
        elif complete:
            self._in_snapshot = False
            self._history.start(self.seq)
        return pb.DeltaBatch(
            epoch=self.sent_epoch, first_seq=first, deltas=deltas, snapshot_complete=complete
        )

    # -- resume

    def claim(self, stream: object) -> None:
        """Give the subscription to the call ``stream``; one that had it has it no more."""
        self.stream = stream
        self._wake.set()

    @property
    def resumable(self) -> bool:
        """Whether a caller that loses its stream now could resume."""
        return self.failure is None and self._due is None and not self._in_snapshot

    def can_resume(self, epoch: int, seq: int) -> bool:
        """Return whether nothing is missing after the position of a caller."""
        known = epoch == self.sent_epoch and seq <= self.seq
        return self.resumable and known and self._history.holds(seq)

    def sent_since(self, seq: int) -> Iterator[pb.DeltaBatch]:
        """Yield again, under the same numbers, what was sent after ``seq``."""
        for first, deltas in self._history.since(seq):
            yield pb.DeltaBatch(epoch=self.sent_epoch, first_seq=first, deltas=deltas)
