"""Changes as the contract's deltas, and snapshots cut into batches."""

from collections.abc import Iterator, Sequence

from google.protobuf import timestamp_pb2

from livequery.v1 import livequery_pb2 as pb
from livetier.changelog import Position
from livetier.subscription import Reset, Subscription
from livetier.value import message, text
from livetier.window import Change, Window, snapshot

# Well below the 4 MiB that a gRPC receiver takes by default.
BATCH_BYTES = 1 << 20


def delta(change: Change) -> pb.LiveDelta:
    """Return one change without its source."""
    encoded = pb.LiveDelta(
        op=change.op,
        agg_id=text(change.key),
        version=change.version,
        old_index=change.old_index,
        new_index=change.new_index,
    )
    if change.row is not None:
        encoded.row = change.row.json
        encoded.cursor.values.extend(message(value) for value in change.row.order)
    return encoded


def deltas(changes: Sequence[Change], position: Position) -> Sequence[pb.LiveDelta]:
    """Return one source change's deltas, marked with its position and time."""
    at = timestamp_pb2.Timestamp()
    at.FromMilliseconds(position.at_ms)
    encoded = [delta(change) for change in changes]
    for item in encoded:
        item.stream_id = position.stream_id
        item.at.CopyFrom(at)
    return encoded


def snapshot_batches(
    subscription: Subscription, reset: Reset, rows: Window, at_most: int
) -> Iterator[pb.DeltaBatch]:
    """Yield a reset and its rows in batches of ``at_most`` deltas, the last one marked complete."""
    info = pb.ResetInfo(reason=reset.reason, row_count=len(rows), request_id=reset.request_id)
    waiting = [pb.LiveDelta(op=pb.DELTA_OP_RESET, reset=info)]
    size = 0
    for change in snapshot(rows, streamed=subscription.view.plan.streamed):
        size += len(change.row.json) if change.row else 0
        if len(waiting) >= at_most or size > BATCH_BYTES:
            yield subscription.numbered(waiting)
            waiting, size = [], 0
        waiting.append(delta(change))
    yield subscription.numbered(waiting, complete=True)
