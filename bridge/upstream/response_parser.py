"""Response parser: the messages of a Subscribe stream, from bytes to values of bridge/core."""

from typing import Any

from bridge.core.batch import Batch
from bridge.core.build import IS_COMPILED
from bridge.core.frame import Frame
from bridge.core.frame_encoding import encode_with_cursor, without_id
from bridge.core.sequencer import Heartbeat
from livequery.v1 import livequery_pb2 as pb

from .batch_reader import read_batch
from .delta_members import (
    ABSENT_CURSOR,
    EMPTY_CURSOR,
    OF_ROWS,
    RESET,
    cursor_json,
    make_batch,
    seconds,
)
from .lazy_messages import LazyResponse


def parse_response(message: bytes) -> Batch | Heartbeat | pb.Started | None:
    """Parse a message; None for a kind that this contract does not know.

    Raises:
        DecodeError: the bytes are not a protobuf message.

    """
    if IS_COMPILED:
        batch = read_batch(message)
        if batch is not None:
            return batch
    return parse_message(message)


def parse_message(message: bytes) -> Batch | Heartbeat | pb.Started | None:
    """Parse a message by protobuf, in whatever form it is. As `parse_response`."""
    response = LazyResponse.FromString(message)
    kind = response.WhichOneof("message")
    if kind == "batch":
        return _batch(response.batch)
    if kind == "heartbeat":
        heartbeat = pb.Heartbeat.FromString(response.heartbeat)
        return Heartbeat(epoch=heartbeat.epoch, last_seq=heartbeat.last_seq)
    if kind == "started":
        return pb.Started.FromString(response.started)
    return None


def _batch(batch: Any) -> Batch:
    """Parse a batch. If it has several resets, the first one counts."""
    deltas = batch.deltas[:]  # a list: iterating over the field itself costs twice as much
    frames = _frames(deltas)
    ops = [frame.op for frame in frames]
    return make_batch(
        frames,
        epoch=batch.epoch,
        first_seq=batch.first_seq,
        complete=batch.snapshot_complete,
        reset=deltas[ops.index(RESET)].reset if RESET in ops else None,
    )


def _frames(deltas: list[Any]) -> tuple[Frame, ...]:
    frames = []
    timestamp, at = b"", 0.0
    for delta in deltas:
        if (encoded := delta.at) != timestamp:
            timestamp, at = encoded, seconds(encoded)
        encoded = delta.cursor
        if encoded:
            cursor = cursor_json(encoded)
        else:
            cursor = EMPTY_CURSOR if delta.HasField("cursor") else ABSENT_CURSOR
        agg_id = delta.agg_id
        frame = encode_with_cursor(
            delta.op,
            agg_id,
            delta.version,
            delta.row,
            delta.old_index,
            delta.new_index,
            cursor,
            delta.stream_id,
            at,
        )
        if not agg_id and frame.op in OF_ROWS:
            frame = without_id(frame)
        frames.append(frame)
    return tuple(frames)
