"""Sequencer: turns the batches of one upstream call into whole snapshots and groups.

Invariants:
- A snapshot is handed over only when all of it has come.
- Nothing older than the current epoch is handed over.
- A sequence number seen before is dropped. A missing one raises `Resync`.
- `Resync` means that the call can't be continued: the cure is a new subscription.

There is one sequencer per call. A call that continues a lost one begins at the lost call's
`CallPosition`: to the tier they are one subscription, with one epoch and one sequence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .batch import Batch
from .fault_detail import SnapshotCheck, describe
from .frame import Frame, UnreadableFrame
from .group import Change
from .group_splitter import split_groups
from .op import Op
from .streamed_set import Mirror
from .window import Rows, Window

_RESET: Final = int(Op.RESET)  # an Enum is slower to read and to compare than an int
_NONE: tuple[tuple[str, str], ...] = ()
REUSED_NUMBER: Final = "reused_number"
"""The cause of a note: a number that was seen came again, with another delta."""
_SEQ_LIMIT = 2**64  # the schema's sequence numbers are uint64; a tier may begin at any of them


class Resync(Exception):  # noqa: N818 - what the caller has to do
    """The call is lost for this window. `cause` is a metric label.

    `detail` is what was expected and what came, for the log; `excerpt` is of a row, for debugging.
    """

    def __init__(self, cause: str, detail: str = "", excerpt: bytes = b"") -> None:
        super().__init__(cause)
        self.cause = cause
        self.detail = detail
        self.excerpt = excerpt


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole window.

    `first` is true for the first snapshot of the call. `reanchor` says whether a Reanchor caused
    it, None if the tier gave no reason. `request_id` is the Reanchor's, empty if it named none.
    """

    rows: Rows
    first: bool
    reanchor: bool | None
    request_id: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life of the call. `last_seq` is the last sequence number that the tier has sent."""

    epoch: int = 0
    last_seq: int = 0


@dataclass(frozen=True, slots=True)
class CallPosition:
    """The last delta of a call that was handed over; everything before it was, nothing after it.

    `stream_id` is that delta's, empty if it has none.
    """

    epoch: int
    seq: int
    stream_id: str


class Sequencer:
    """Orders the batches of one call. `empty` is a mirror for snapshots to be built in.

    With `after`, the call continues there: no snapshot is awaited, and its deltas must be numbered
    from there on. Numbers are the only proof that none is missing.
    """

    def __init__(self, empty: Mirror, after: CallPosition | None = None) -> None:
        self._mirror = empty
        self._after = after
        self._epoch = after.epoch if after else 0
        self._next_seq = after.seq + 1 if after else 0
        self._in_snapshot = False
        self._begun = after is not None  # a snapshot has begun, or was handed over before
        self._reset_batch: Batch | None = None  # the batch that began the current snapshot
        self._snapshot_count = 1 if after else 0
        self._dropped = 0
        self._notes: list[tuple[str, str]] = []
        self._check = SnapshotCheck(ordered=isinstance(empty, Window))
        self._delivered_before = self._next_seq  # lower numbers are handed over; 0 is unknown
        self._last_seq = 0  # the number of `last_delta`; 0 if it is not known
        self.last_delta: Frame | None = None
        """The last delta that was new, None before the first."""

    def raise_limit(self, limit: int) -> None:
        """Allow snapshots of up to `limit` rows from now on: a reanchor may ask for more."""
        if isinstance(self._mirror, Window):
            self._mirror.limit = max(self._mirror.limit, limit)

    @property
    def awaiting_snapshot(self) -> bool:
        """Whether a snapshot is incomplete, or none has come yet."""
        return self._in_snapshot or not self._begun

    @property
    def position(self) -> CallPosition | None:
        """Where another call may continue; None if that is not known exactly."""
        if self.awaiting_snapshot or not 0 < self._delivered_before <= _SEQ_LIMIT:
            return None
        last = self.last_delta or self._after
        stream_id = last.stream_id if last else ""
        return CallPosition(self._epoch, self._delivered_before - 1, stream_id)

    def take_dropped(self) -> int:
        """Return how many deltas were dropped, as old or repeated, since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def take_notes(self) -> Sequence[tuple[str, str]]:
        """Return the irregularities since the last call: their cause and detail."""
        if not self._notes:
            return _NONE
        notes, self._notes = self._notes, []
        return notes

    def check_heartbeat(self, heartbeat: Heartbeat) -> None:
        """Compare a heartbeat with what has come.

        Raises:
            Resync: a delta is missing.

        """
        epoch = heartbeat.epoch
        if self._after and 0 < epoch < self._after.epoch:  # it does not continue where it said
            raise Resync("gap", f"expected a heartbeat of epoch {self._after.epoch}, got {epoch}")
        if epoch >= self._epoch and self._next_seq and heartbeat.last_seq >= self._next_seq:
            raise Resync(
                "gap",
                f"expected number {self._next_seq}, got a heartbeat after {heartbeat.last_seq}",
            )

    def changes(self, batch: Batch) -> list[Change] | None:
        """Process a batch of nothing but the next changes, as most are. None: it is for `feed`."""
        deltas = batch.deltas
        if (
            self.awaiting_snapshot
            or batch.epoch != self._epoch
            or batch.first_seq != self._next_seq
            or batch.snapshot_complete
            or not (deltas and _all_changes(deltas))
        ):
            return None
        if batch.first_seq:
            self._next_seq += len(deltas)
        self._on_delivered(deltas, batch)
        return split_groups(deltas)

    def feed(self, batch: Batch) -> Iterator[Snapshot | Change]:
        """Process a batch; yields snapshots and groups in order.

        Raises:
            Resync: a gap, a bare reset, deltas before any snapshot, an unreadable delta.

        """
        if batch.epoch and batch.epoch < self._epoch:
            self._dropped += len(batch.deltas)
            self._skip_old_epoch(batch)
            return
        deltas = self._without_repeated(batch)
        if batch.deltas and not deltas:
            return
        if batch.epoch > self._epoch:
            begins = bool(deltas) and deltas[0].op == Op.RESET
            if not begins and (deltas or batch.snapshot_complete):
                first = describe(deltas[0]) if deltas else "snapshot_complete"
                raise Resync(
                    "epoch_without_reset",
                    f"expected a reset as the first of epoch {batch.epoch}, got {first}",
                )
            self._epoch = batch.epoch
        if self._begun and not self._in_snapshot and _all_changes(deltas):
            yield from split_groups(deltas)
        else:
            yield from self._process(deltas, batch)
        if batch.snapshot_complete and not self._begun:
            raise Resync("no_snapshot", "expected a reset before snapshot_complete")
        if batch.snapshot_complete and self._in_snapshot:
            self._in_snapshot = False
            if self._check.fault:
                self._notes.append(("snapshot", self._check.fault))
            self._snapshot_count += 1
            yield self._snapshot()
        if deltas:
            self._on_delivered(deltas, batch)

    def _on_delivered(self, deltas: tuple[Frame, ...], batch: Batch) -> None:
        self._delivered_before = self._next_seq if batch.first_seq else 0
        self.last_delta = deltas[-1]
        self._last_seq = self._next_seq - 1 if batch.first_seq else 0

    def _snapshot(self) -> Snapshot:
        reset = self._reset_batch or Batch()
        return Snapshot(
            self._mirror.snapshot(),
            first=self._snapshot_count == 1,
            reanchor=reset.reanchor,
            request_id=reset.request_id,
        )

    def _without_repeated(self, batch: Batch) -> tuple[Frame, ...]:
        """Return the deltas whose numbers are new; raises Resync on a gap."""
        deltas = batch.deltas
        if not batch.first_seq:
            if deltas and self._after:
                raise Resync("gap", f"expected number {self._next_seq}, got deltas without one")
            return deltas
        # The number of an empty batch, too, says what should have come before it.
        repeated = self._next_seq - batch.first_seq if self._next_seq else 0
        if repeated < 0:
            raise Resync(
                "gap", f"expected first_seq {self._next_seq} at most, got {batch.first_seq}"
            )
        if repeated:
            self._dropped += min(repeated, len(deltas))
            self._check_repeated(batch)
            deltas = deltas[repeated:]
        if deltas:
            self._next_seq = batch.first_seq + len(batch.deltas)
        return deltas

    def _check_repeated(self, batch: Batch) -> None:
        """Note if the number of the last new delta is given to another: something was lost."""
        at = self._last_seq - batch.first_seq
        if self._last_seq and self.last_delta is not None and 0 <= at < len(batch.deltas):
            told, again = self.last_delta, batch.deltas[at]
            if told.data != again.data:
                detail = f"number {self._last_seq} was {describe(told)}, now is {describe(again)}"
                self._notes.append((REUSED_NUMBER, f"{detail}: first_seq counts deltas"))

    def _skip_old_epoch(self, batch: Batch) -> None:
        """Count the numbers of a late batch as seen: they are no gap.

        A continued call gets no new deltas of an epoch before the one that it continues in.
        """
        end = batch.first_seq + len(batch.deltas)
        new = batch.deltas and not (batch.first_seq and end <= self._next_seq)
        if new and self._after and batch.epoch < self._after.epoch:
            raise Resync(
                "gap", f"expected epoch {self._after.epoch}, got new deltas of {batch.epoch}"
            )
        if batch.first_seq and batch.first_seq <= self._next_seq:
            self._next_seq = max(self._next_seq, end)
            self._delivered_before = self._delivered_before and self._next_seq

    def _process(self, deltas: tuple[Frame, ...], batch: Batch) -> Iterator[Change]:
        """Build the snapshot from its deltas; yield the groups that belong to no snapshot."""
        for group in split_groups(deltas):
            for frame in group.frames:
                if not frame.data:
                    raise _unreadable(frame)
                if frame.op == _RESET:
                    self._begin_snapshot(batch)
            if self._in_snapshot:
                self._check.add(group.frames)
                self._mirror.reduce(group.frames)
            elif not self._begun:
                first = describe(group.frames[0])
                raise Resync("no_snapshot", f"expected a reset first, got {first}")
            else:
                yield group

    def _begin_snapshot(self, batch: Batch) -> None:
        if batch.bare:
            raise Resync("bare_reset", "a bare reset: the tier sends no rows")
        self._in_snapshot = self._begun = True
        self._check = SnapshotCheck(ordered=isinstance(self._mirror, Window))
        self._reset_batch = batch


def _unreadable(frame: Frame) -> Resync:
    if not isinstance(frame, UnreadableFrame):
        return Resync("unreadable", describe(frame))
    return Resync("unreadable", f"{describe(frame)}: {frame.reason}", frame.excerpt)


def _all_changes(deltas: tuple[Frame, ...]) -> bool:
    """Return whether all deltas can be passed on unprocessed: no reset, none unreadable."""
    for frame in deltas:  # noqa: SIM110 - `all` costs three times as much
        if frame.op == _RESET or not frame.data:
            return False
    return True
