"""Response: one message of a Subscribe stream, from its bytes to what the core knows of it."""

from functools import lru_cache
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from bridge.core.batch import Batch
from bridge.core.frame import Frame, encode_cursor, encode_with_cursor
from bridge.core.sequencer import Heartbeat
from bridge.core.value import JsonText, Value
from livequery.v1 import livequery_pb2 as pb

from .lazy_messages import LazyResponse

_RESET: Final = int(pb.DELTA_OP_RESET)
_REMEMBERED: Final = 8_192
"""Cursors that are kept as printed. A row that is updated comes again and again with its own."""
_SHORT: Final = 256
"""Bytes of the longest one that is."""


def parse_response(message: bytes) -> Batch | Heartbeat | pb.Started | None:
    """Read a message; None for one that this contract has no name for.

    Raises:
        DecodeError: it is no protobuf message.

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
    """Read a batch; what is said of a reset is said of the first in it."""
    deltas = batch.deltas[:]  # a list: to iterate over the field itself costs twice as much
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
    stamp, at = b"", 0.0
    for delta in deltas:
        if (time := delta.at) != stamp:
            stamp, at = time, _seconds(time)
        anchor = delta.cursor
        if not anchor:
            cursor = _EMPTY if delta.HasField("cursor") else _ABSENT
        elif len(anchor) <= _SHORT:
            cursor = _remembered(anchor)
        else:
            cursor = _printed(anchor)
        frames.append(
            encode_with_cursor(
                delta.op,
                delta.agg_id,
                delta.version,
                delta.row,
                delta.old_index,
                delta.new_index,
                cursor,
                delta.stream_id,
                at,
            )
        )
    return tuple(frames)


def _seconds(stamp: bytes) -> float:
    time = Timestamp.FromString(stamp)
    return time.seconds + time.nanos / 1e9


def _printed(anchor: bytes) -> bytes:
    values = pb.Cursor.FromString(anchor).values
    return encode_cursor(tuple([value_from_pb(value) for value in values[:]]))


_remembered = lru_cache(_REMEMBERED)(_printed)
_ABSENT: Final = encode_cursor(None)
_EMPTY: Final = encode_cursor(())


def value_from_pb(value: pb.Value) -> Value:
    """Read a value. JSON text that is not UTF-8 is kept as it is, to be refused when printed."""
    # A member that is not its default is the one that is set: cheaper than to ask for its name.
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
