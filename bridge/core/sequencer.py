"""Intake: what one upstream call says, made whole.

Batches in, complete snapshots and groups out. Laws: nothing of a snapshot gets out before all of
it is there; nothing older than the present epoch gets out; a sequence seen before is dropped, one
that is missing ends the call. What can't be carried on from raises `Resync`: the only cure is a
new subscription. There is one Sequencer per call; one that goes on where a lost call was left
begins at that call's `CallPosition`: to the tier they are one subscription, which epoch and
sequence count.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .batch import Batch, split_groups
from .frame import Frame
from .group import Change
from .op import Op
from .streamed_set import Mirror
from .window import Rows, Window

_RESET = int(Op.RESET)  # of an Enum, attribute and comparison cost more than a number
_NUMBERS = 2**64  # that the schema has room for: a tier may begin to count where it likes


class Resync(Exception):  # noqa: N818 - an order, as the word says
    """This call is lost for the window; `cause` is a metric label."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole window.

    `first` is the call's own snapshot. `reanchor` and `request_id` are what the tier said of the
    reset's cause, None and empty where it said nothing.
    """

    rows: Rows
    first: bool
    reanchor: bool | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A heartbeat: proves that the call lives, and tells what must have been seen by now."""

    epoch: int = 0
    last_seq: int = 0


@dataclass(frozen=True, slots=True)
class CallPosition:
    """What of a call has been handed over: all of it up to this delta, and nothing beyond.

    `stream_id` is that delta's, empty where it has none.
    """

    epoch: int
    seq: int
    stream_id: str


class Sequencer:
    """Orders the batches of one call. `empty` is a mirror for snapshots to be built in.

    With `after`, the call goes on there: no snapshot is awaited, and what comes must be numbered
    from there on, for nothing else shows that nothing is missing.
    """

    def __init__(self, empty: Mirror, after: CallPosition | None = None) -> None:
        self._scratch = empty
        self._after = after
        self._epoch = after.epoch if after else 0
        self._next_seq = after.seq + 1 if after else 0
        self._open = False  # a snapshot is under way
        self._began = after is not None  # any snapshot has begun
        self._cause: Batch | None = None  # the batch whose reset began the present snapshot
        self._snapshots = 1 if after else 0
        self._dropped = 0
        self._done = self._next_seq  # all before it is handed over; 0 is not known
        self._stream_id = after.stream_id if after else ""

    def raise_limit(self, limit: int) -> None:
        """Allow snapshots of up to `limit` rows from now on: a reanchor is under way."""
        if isinstance(self._scratch, Window):
            self._scratch.limit = max(self._scratch.limit, limit)

    @property
    def awaiting_snapshot(self) -> bool:
        """Whether a snapshot is still to be completed."""
        return self._open or not self._began

    @property
    def position(self) -> CallPosition | None:
        """Where another call may go on; None where that can't be told exactly."""
        if self.awaiting_snapshot or not 0 < self._done <= _NUMBERS:
            return None
        return CallPosition(self._epoch, self._done - 1, self._stream_id)

    def take_dropped(self) -> int:
        """Return how many deltas were dropped, as old or seen before, since last asked."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def check_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Check a heartbeat against what was seen; raises Resync on a gap."""
        if self._after and 0 < heartbeat.epoch < self._after.epoch:
            raise Resync("gap")  # the tier goes on somewhere else than it said
        if (
            heartbeat.epoch >= self._epoch
            and self._next_seq
            and heartbeat.last_seq >= self._next_seq
        ):
            raise Resync("gap")

    def feed(self, batch: Batch) -> Iterator[Snapshot | Change]:
        """Take a batch; yields snapshots and groups in order.

        Raises:
            Resync: a gap, a bare reset, deltas before any snapshot, an unreadable delta.

        """
        if batch.epoch and batch.epoch < self._epoch:
            self._dropped += len(batch.deltas)
            self._pass_over(batch)
            return
        deltas = self._unseen(batch)
        if batch.deltas and not deltas:
            return
        if batch.epoch > self._epoch:
            begins = bool(deltas) and deltas[0].op == Op.RESET
            if not begins and (deltas or batch.snapshot_complete):
                raise Resync("epoch_without_reset")
            self._epoch = batch.epoch
        if self._began and not self._open and _plain(deltas):
            yield from split_groups(deltas)
        else:
            yield from self._take(deltas, batch)
        if batch.snapshot_complete and self._open:
            self._open = False
            self._snapshots += 1
            yield self._snapshot()
        if deltas:
            self._done = self._next_seq if batch.first_seq else 0
            self._stream_id = deltas[-1].stream_id

    def _snapshot(self) -> Snapshot:
        cause = self._cause or Batch()
        return Snapshot(
            self._scratch.snapshot(),
            first=self._snapshots == 1,
            reanchor=cause.reanchor,
            request_id=cause.request_id,
        )

    def _unseen(self, batch: Batch) -> tuple[Frame, ...]:
        deltas = batch.deltas
        if not batch.first_seq:
            if deltas and self._after:
                raise Resync("gap")
            return deltas
        # An empty batch, too, tells by its number what should have come before.
        seen = self._next_seq - batch.first_seq if self._next_seq else 0
        if seen < 0:
            raise Resync("gap")
        if seen:
            self._dropped += min(seen, len(deltas))
            deltas = deltas[seen:]
        if deltas:
            self._next_seq = batch.first_seq + len(batch.deltas)
        return deltas

    def _pass_over(self, batch: Batch) -> None:
        """Count what came too late: its numbers are no gap.

        But nothing new can be of an epoch before the one that the call went on in.
        """
        end = batch.first_seq + len(batch.deltas)
        fresh = batch.deltas and not (batch.first_seq and end <= self._next_seq)
        if fresh and self._after and batch.epoch < self._after.epoch:
            raise Resync("gap")
        if batch.first_seq and batch.first_seq <= self._next_seq:
            self._next_seq = max(self._next_seq, end)
            self._done = self._done and self._next_seq

    def _take(self, deltas: tuple[Frame, ...], batch: Batch) -> Iterator[Change]:
        for group in split_groups(deltas):
            for frame in group.frames:
                if not frame.data:
                    raise Resync("unreadable")
                if frame.op == _RESET:
                    self._reset(batch)
            if self._open:
                self._scratch.reduce(group.frames)
            elif not self._began:
                raise Resync("no_snapshot")
            else:
                yield group

    def _reset(self, batch: Batch) -> None:
        if batch.bare:
            raise Resync("bare_reset")
        self._open = self._began = True
        self._cause = batch


def _plain(deltas: tuple[Frame, ...]) -> bool:
    """Whether all can be passed on as they are: no reset, nothing unreadable."""
    for frame in deltas:  # noqa: SIM110 - `all` costs thrice as much
        if frame.op == _RESET or not frame.data:
            return False
    return True
