"""Batch reader: batches of deltas straight from the wire format (Protocol Buffers, Encoding).

Only the plain form is read: known fields, in any order, whole and in bounds. Whatever else comes is
left to protobuf, which knows what is wrong with it. Compiled this takes a sixth of what protobuf's
objects take; interpreted it takes longer, and is not used.
"""

import contextlib
from typing import Final

from bridge.core.batch import Batch

from .delta_members import RESET, make_batch
from .varint import NotPlainError, read_length, read_varint, uint64
from .wire_delta import WireDelta, seconds_of

with contextlib.suppress(ImportError):  # it is there while this is compiled, and not looked up then
    from mypy_extensions import i64

# Tags: a field's number and its wire type, in one byte.
_BATCH: Final = 0x12
_EPOCH: Final = 0x08
_FIRST_SEQ: Final = 0x10
_DELTA: Final = 0x1A
_COMPLETE: Final = 0x20


def read_batch(message: bytes) -> Batch | None:
    """Read a message that is a plain batch; None: let protobuf parse it. Raises DecodeError."""
    try:
        if not message or message[0] != _BATCH:
            return None
        length, at = read_length(message, 1, len(message))
        if at + length != len(message):
            return None
        return _read_batch(message, at, len(message))
    except (NotPlainError, UnicodeDecodeError):
        return None


def _read_batch(data: bytes, at: "i64", end: "i64") -> Batch:
    epoch: i64 = 0
    first_seq: i64 = 0
    complete: i64 = 0
    reset: bytes | None = None
    timestamp, seconds = b"", 0.0
    frames = []
    delta = WireDelta()
    while at < end:
        tag: i64 = data[at]
        if tag == _DELTA:
            length, at = read_length(data, at + 1, end)
            delta.read(data, at, at + length)
            at += length
            if delta.at != timestamp:
                timestamp, seconds = delta.at, seconds_of(delta.at)
            if reset is None and delta.op == RESET:
                reset = delta.reset
            frames.append(delta.frame(seconds))
            continue
        value, at = read_varint(data, at + 1, end)
        if tag == _EPOCH:
            epoch = value
        elif tag == _FIRST_SEQ:
            first_seq = value
        elif tag == _COMPLETE:
            complete = value
        else:
            raise NotPlainError
    return make_batch(
        tuple(frames),
        epoch=uint64(epoch),
        first_seq=uint64(first_seq),
        complete=complete != 0,
        reset=reset,
    )
