"""Response parser: the messages of a Subscribe stream, from bytes to values of bridge/core."""

from functools import lru_cache
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from bridge.core.batch import Batch
from bridge.core.frame import Frame, encode_cursor, encode_with_cursor, without_id
from bridge.core.op import Op
from bridge.core.sequencer import Heartbeat
from bridge.core.value import JsonText, Value
from livequery.v1 import livequery_pb2 as pb

from .lazy_messages import LazyResponse

_RESET: Final = int(pb.DELTA_OP_RESET)
_OF_ROWS: Final = frozenset(int(op) for op in Op if op is not Op.RESET)
"""Ops that are about one row, which they must name."""
_CACHED_CURSORS: Final = 8_192
"""Encoded cursors that are cached: each update of a row repeats the row's cursor."""
_MAX_CACHED_SIZE: Final = 256
"""Bytes of the longest cursor that is cached."""


def parse_response(message: bytes) -> Batch | Heartbeat | pb.Started | None:
    """Parse a message; None for a kind that this contract does not know.

    Raises:
        DecodeError: the bytes are not a protobuf message.

    """
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
    if _RESET not in ops:
        return Batch(frames, batch.epoch, batch.first_seq, batch.snapshot_complete)
    reset = pb.ResetInfo.FromString(deltas[ops.index(_RESET)].reset)
    return Batch(
        frames,
        batch.epoch,
        batch.first_seq,
        batch.snapshot_complete,
        bare=reset.bare,
        reanchor=reset.reason == pb.RESET_REASON_REANCHOR if reset.reason else None,
        request_id=reset.request_id,
    )


def _frames(deltas: list[Any]) -> tuple[Frame, ...]:
    frames = []
    timestamp, at = b"", 0.0
    for delta in deltas:
        if (encoded := delta.at) != timestamp:
            timestamp, at = encoded, _seconds(encoded)
        encoded = delta.cursor
        if not encoded:
            cursor = _EMPTY if delta.HasField("cursor") else _ABSENT
        elif len(encoded) <= _MAX_CACHED_SIZE:
            cursor = _cached_cursor(encoded)
        else:
            cursor = _encode_cursor(encoded)
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
        if not agg_id and frame.op in _OF_ROWS:
            frame = without_id(frame)
        frames.append(frame)
    return tuple(frames)


def _seconds(encoded: bytes) -> float:
    timestamp = Timestamp.FromString(encoded)
    return timestamp.seconds + timestamp.nanos / 1e9


def _encode_cursor(encoded: bytes) -> bytes:
    """Return a protobuf cursor as JSON."""
    values = pb.Cursor.FromString(encoded).values
    return encode_cursor(tuple([value_from_pb(value) for value in values[:]]))


_cached_cursor = lru_cache(_CACHED_CURSORS)(_encode_cursor)
_ABSENT: Final = encode_cursor(None)
_EMPTY: Final = encode_cursor(())


def value_from_pb(value: pb.Value) -> Value:
    """Convert a value. JSON text that is not UTF-8 is kept, and refused when it is encoded."""
    # A member with another value than its default is the one that is set. WhichOneof costs more.
    if text := value.string_value:
        return text
    if number := value.int_value:
        return number
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "json_value":
        return JsonText(value.json_value.decode(errors="surrogateescape"))
    typed: Value = getattr(value, kind)
    return typed
