"""Changes as the contract's deltas, and snapshots split into batches."""

from collections.abc import Iterator, Sequence

from google.protobuf import timestamp_pb2

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.store import Position, View
from livetier.engine.subscription import BATCH_BYTES, Reset, Subscription
from livetier.engine.value import encode_key, encode_scalar
from livetier.engine.window import Change, Window, snapshot


def encode_change(change: Change) -> pb.LiveDelta:
    """Return one change as a delta, without position and time."""
    encoded = pb.LiveDelta(
        op=change.op,
        agg_id=encode_key(change.key),
        version=change.version,
        old_index=change.old_index,
        new_index=change.new_index,
    )
    if change.row is not None:
        encoded.row = change.row.json
        encoded.cursor.values.extend(encode_scalar(value) for value in change.row.order)
    return encoded


def encode_group(changes: Sequence[Change], position: Position) -> Sequence[pb.LiveDelta]:
    """Return one group: the deltas of a step, marked with the position and time of its reading."""
    at = timestamp_pb2.Timestamp()
    at.FromMilliseconds(position.at_ms)
    encoded = [encode_change(change) for change in changes]
    for item in encoded:
        item.stream_id = position.stream_id
        item.at.CopyFrom(at)
    return encoded


def snapshot_batches(
    subscription: Subscription[View], reset: Reset, rows: Window, at_most: int
) -> Iterator[pb.DeltaBatch]:
    """Yield a reset and its rows in batches of ``at_most`` deltas, the last one marked complete."""
    info = pb.ResetInfo(reason=reset.reason, row_count=len(rows), request_id=reset.request_id)
    waiting = [pb.LiveDelta(op=pb.DELTA_OP_RESET, reset=info)]
    size = 0
    for change in snapshot(rows):
        size += len(change.row.json) if change.row else 0
        if len(waiting) >= at_most or size > BATCH_BYTES:
            yield subscription.next_batch(waiting)
            waiting, size = [], 0
        waiting.append(encode_change(change))
    yield subscription.next_batch(waiting, complete=True)
