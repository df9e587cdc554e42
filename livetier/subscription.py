"""One consumer's side of a query: its outbox and its numbering.

Laws:

- At most ``BACKLOG`` deltas or ``BACKLOG_BYTES`` of rows wait, or one group. Beyond, all are
  dropped and a reset is due instead: a consumer that does not read costs a bounded amount, and
  lands on the present window.
- While a reset is due no group waits: the window is taken when the reset is sent, and whatever
  happened before that is in it.
- ``seq`` counts deltas as sent: what was dropped was never numbered. ``epoch`` counts resets, due
  ones included; ``sent_epoch`` is the one under way.
- All methods are synchronous and belong to the event loop's thread; one task calls ``ready``.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from livequery.v1 import livequery_pb2 as pb
from livetier.errors import TierError
from livetier.reader import View

BACKLOG = 2048
BACKLOG_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Reset:
    """A reset that is due."""

    reason: pb.ResetReason
    epoch: int
    request_id: str = ""


Group = Sequence[pb.LiveDelta]


class Subscription:
    """An outbox of groups, in order; ``view`` is what its query shows at the outbox's end."""

    def __init__(self, identifier: str, view: View) -> None:
        self.id = identifier
        self.view = view
        self.epoch = 0
        self.sent_epoch = 0
        self.seq = 0
        self.failure: TierError | None = None
        self._groups: deque[Group] = deque()
        self._waiting = self._waiting_bytes = 0
        self._due: Reset | None = None
        self._wake = asyncio.Event()
        self.reset(pb.RESET_REASON_INITIAL)

    @property
    def end_seq(self) -> int:
        """The number of the last delta once all that waits is sent (a due reset aside)."""
        return self.seq + self._waiting

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
        self._waiting_bytes += _bytes_of(group)
        over = self._waiting > BACKLOG or self._waiting_bytes > BACKLOG_BYTES
        if over and len(self._groups) > 1:
            self.reset(pb.RESET_REASON_OVERFLOW)
        self._wake.set()

    def reset(self, reason: pb.ResetReason, request_id: str = "") -> int:
        """Make a reset due instead of all that waits, and return its epoch.

        One that is due already and was not sent is replaced, and keeps its epoch.
        """
        self._groups.clear()
        self._waiting = self._waiting_bytes = 0
        if self._due is None:
            self.epoch += 1
        self._due = Reset(reason, self.epoch, request_id)
        self._wake.set()
        return self.epoch

    def fail(self, failure: TierError) -> None:
        """End the subscription: its stream closes with ``failure`` and sends nothing more."""
        self.failure = self.failure or failure
        self._wake.set()

    async def ready(self, timeout: float) -> bool:  # noqa: ASYNC109 (the heartbeat's interval)
        """Wait until there is something to send; False if there was nothing in time."""
        if not (self.failure or self._due or self._groups):
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                return False
        return True

    def take_reset(self) -> Reset | None:
        """Take the due reset; from here on groups queue up behind its window."""
        due, self._due = self._due, None
        if due is not None:
            self.sent_epoch = due.epoch
        return due

    def take_group(self) -> Group:
        """Take the next group."""
        group = self._groups.popleft()
        self._waiting -= len(group)
        self._waiting_bytes -= _bytes_of(group)
        return group

    def numbered(self, deltas: Group, *, complete: bool = False) -> pb.DeltaBatch:
        """Return the batch that carries ``deltas`` next."""
        first, self.seq = self.seq + 1, self.seq + len(deltas)
        return pb.DeltaBatch(
            epoch=self.sent_epoch, first_seq=first, deltas=deltas, snapshot_complete=complete
        )


def _bytes_of(group: Group) -> int:
    return sum(len(delta.row) for delta in group)
