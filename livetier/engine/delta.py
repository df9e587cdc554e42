"""Changes as the contract's deltas, and snapshots split into batches."""

from collections.abc import Iterator, Sequence

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.store import Position, View
from livetier.engine.subscription import BATCH_BYTES, Reset, Subscription
from livetier.engine.value import encode_key, encode_scalar
from livetier.engine.window import Change, Row, Window


class GroupEncoder:
    """Encodes the groups of one reading, as long as its changes live.

    What several windows have in common is encoded once: a change that is the same to them, and a
    row, wherever it goes.
    """

    def __init__(self, position: Position) -> None:
        self._about = pb.LiveDelta(stream_id=position.stream_id)
        self._about.at.FromMilliseconds(position.at_ms)
        # By the identity of rows: to compare them would cost more than to encode them.
        self._rows: dict[int, pb.LiveDelta] = {}
        self._deltas: dict[tuple[int, int, int, int], pb.LiveDelta] = {}

    def group(self, changes: Sequence[Change]) -> Sequence[pb.LiveDelta]:
        """Return one group: the deltas of a step, with the position and time of the reading."""
        return [self._delta(change) for change in changes]

    def _delta(self, change: Change) -> pb.LiveDelta:
        row = change.row
        if row is None:
            return _placed(self._gone(change), change)
        name = (change.op, id(row), change.old_index, change.new_index)
        delta = self._deltas.get(name)
        if delta is None:
            delta = self._deltas[name] = pb.LiveDelta()
            delta.CopyFrom(self._shown(row))
            _placed(delta, change)
        return delta

    def _shown(self, row: Row) -> pb.LiveDelta:
        """Return what each delta says that shows ``row``."""
        shown = self._rows.get(id(row))
        if shown is None:
            shown = self._rows[id(row)] = _showing(row)
            shown.MergeFrom(self._about)
        return shown

    def _gone(self, change: Change) -> pb.LiveDelta:
        """Return what a delta says of a row that is not shown."""
        gone = pb.LiveDelta(agg_id=encode_key(change.key), version=change.version)
        gone.MergeFrom(self._about)
        return gone


def _placed(delta: pb.LiveDelta, change: Change) -> pb.LiveDelta:
    delta.op = change.op
    delta.old_index = change.old_index
    delta.new_index = change.new_index
    return delta


def _showing(row: Row) -> pb.LiveDelta:
    """Return what each delta says that shows ``row``."""
    shown = pb.LiveDelta(agg_id=row.id, version=row.version, row=row.json)
    shown.cursor.values.extend([encode_scalar(value) for value in row.order])
    return shown


def _entering(row: Row, index: int) -> pb.LiveDelta:
    """Return the delta of a snapshot."""
    delta = _showing(row)
    delta.op, delta.old_index, delta.new_index = pb.DELTA_OP_ENTER, -1, index
    return delta


def snapshot_batches(
    subscription: Subscription[View], reset: Reset, rows: Window, at_most: int
) -> Iterator[pb.DeltaBatch]:
    """Yield a reset and its rows in batches of ``at_most`` deltas, the last one marked complete."""
    info = pb.ResetInfo(reason=reset.reason, row_count=len(rows), request_id=reset.request_id)
    waiting = [pb.LiveDelta(op=pb.DELTA_OP_RESET, reset=info)]
    size = 0
    for index, row in enumerate(rows):
        size += len(row.json)
        if len(waiting) >= at_most or size > BATCH_BYTES:
            yield subscription.next_batch(waiting)
            waiting, size = [], 0
        waiting.append(_entering(row, index))
    yield subscription.next_batch(waiting, complete=True)
