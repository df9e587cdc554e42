"""Delta members: parts of a delta that repeat, from bytes to what a frame holds of them."""

from functools import lru_cache
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from bridge.core.batch import Batch
from bridge.core.frame import Frame
from bridge.core.frame_encoding import encode_cursor
from bridge.core.op import Op
from bridge.core.value import JsonText, Value
from livequery.v1 import livequery_pb2 as pb

RESET: Final = int(pb.DELTA_OP_RESET)
OF_ROWS: Final = frozenset(int(op) for op in Op if op is not Op.RESET)
"""Ops that are about one row, which they must name."""
CACHED: Final = 8_192
"""Ids and cursors that are cached, of each: each update of a row repeats the row's."""
MAX_CACHED_SIZE: Final = 256
"""Bytes of the longest that is cached."""


def seconds(timestamp: bytes) -> float:
    """Return a protobuf timestamp in seconds since the epoch. Raises DecodeError."""
    parsed = Timestamp.FromString(timestamp)
    return parsed.seconds + parsed.nanos / 1e9


def cursor_json(encoded: bytes) -> bytes:
    """Return a protobuf cursor as JSON. Raises DecodeError."""
    return (_cached if len(encoded) <= MAX_CACHED_SIZE else encode_cursor_of)(encoded)


def encode_cursor_of(encoded: bytes) -> bytes:
    """As `cursor_json`, without a look at what is cached."""
    values = pb.Cursor.FromString(encoded).values
    return encode_cursor(tuple([value_from_pb(value) for value in values[:]]))


_cached = lru_cache(CACHED)(encode_cursor_of)
ABSENT_CURSOR: Final = encode_cursor(None)
EMPTY_CURSOR: Final = encode_cursor(())


def make_batch(
    frames: tuple[Frame, ...], *, epoch: int, first_seq: int, complete: bool, reset: bytes | None
) -> Batch:
    """Make a batch. `reset`: what its first reset says of itself; None: it has no reset."""
    if reset is None:
        return Batch(frames, epoch, first_seq, complete)
    info = pb.ResetInfo.FromString(reset)
    return Batch(
        frames,
        epoch,
        first_seq,
        complete,
        bare=info.bare,
        reanchor=info.reason == pb.RESET_REASON_REANCHOR if info.reason else None,
        request_id=info.request_id,
    )


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
