"""Batch reader: batches of deltas straight from the wire format (Protocol Buffers, Encoding).

Only the plain form is read: known fields, in any order, whole and in bounds. Whatever else comes is
left to protobuf, which knows what is wrong with it. Compiled this takes a sixth of what protobuf's
objects take; interpreted it takes longer, and is not used.
"""

from typing import Final

from bridge.core.batch import Batch
from bridge.core.frame import Frame
from bridge.core.frame_encoding import encode_with_cursor, without_id

from .delta_members import (
    ABSENT_CURSOR,
    EMPTY_CURSOR,
    OF_ROWS,
    RESET,
    cursor_json,
    make_batch,
)

IS_QUICK: Final = not __file__.endswith(".py")
"""Whether this module is compiled."""

# Tags: a field's number and its wire type, in one byte.
_BATCH: Final = 0x12
_EPOCH: Final = 0x08
_FIRST_SEQ: Final = 0x10
_DELTA: Final = 0x1A
_COMPLETE: Final = 0x20
_OP: Final = 0x08
_AGG_ID: Final = 0x12
_VERSION: Final = 0x18
_ROW: Final = 0x22
_OLD_INDEX: Final = 0x28
_NEW_INDEX: Final = 0x30
_CURSOR: Final = 0x3A
_STREAM_ID: Final = 0x42
_AT: Final = 0x4A
_RESET_INFO: Final = 0x52
_SECONDS: Final = 0x08
_NANOS: Final = 0x10
_TYPE: Final = 7
_LENGTH_TYPE: Final = 2
_MORE: Final = 0x80
"""The bit of a byte after which more bytes of a number come."""
_LAST_SHIFT: Final = 63
_MAX_LENGTH: Final = 2**31 - 1
_SIGN_64: Final = 2**63
_SIGN_32: Final = 2**31


class NotPlainError(Exception):
    """What protobuf has to judge."""


def read_batch(message: bytes) -> Batch | None:
    """Read a message that is a plain batch; None: let protobuf parse it. Raises DecodeError."""
    try:
        if not message or message[0] != _BATCH:
            return None
        length, at = _length(message, 1, len(message))
        if at + length != len(message):
            return None
        return _read_batch(message, at, len(message))
    except (NotPlainError, UnicodeDecodeError):
        return None


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return an unsigned number of 64 bits at most, and where it ends."""
    if at >= end:
        raise NotPlainError
    byte = data[at]
    at += 1
    if byte < _MORE:
        return byte, at
    value, shift = byte & ~_MORE, 7
    while byte >= _MORE:
        if at >= end or shift > _LAST_SHIFT:
            raise NotPlainError
        byte = data[at]
        at += 1
        value |= (byte & ~_MORE) << shift
        shift += 7
    if value >= 2 * _SIGN_64:
        raise NotPlainError
    return value, at


def _length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the length of a field that lies within `end`, and where its content begins."""
    length, at = _varint(data, at, end)
    if length > _MAX_LENGTH or at + length > end:
        raise NotPlainError
    return length, at


def _int64(value: int) -> int:
    return value - 2 * _SIGN_64 if value >= _SIGN_64 else value


def _int32(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - 2 * _SIGN_32 if value >= _SIGN_32 else value


def _sint32(value: int) -> int:
    value &= 0xFFFFFFFF
    return (value >> 1) ^ -(value & 1)


def _timestamp(data: bytes) -> float:
    """Return a timestamp in seconds since the epoch, as `delta_members.seconds` does."""
    whole = nanos = at = 0
    while at < len(data):
        tag = data[at]
        value, at = _varint(data, at + 1, len(data))
        if tag == _SECONDS:
            whole = _int64(value)
        elif tag == _NANOS:
            nanos = _int32(value)
        else:
            raise NotPlainError
    return whole + nanos / 1e9


class _WireDelta:
    """The fields of one delta, as they come."""

    def __init__(self) -> None:
        self.op = self.version = self.old_index = self.new_index = 0
        self.agg_id = self.stream_id = ""
        self.row = self.at = self.reset = b""
        self.cursor: bytes | None = None

    def read(self, data: bytes, at: int, end: int) -> None:
        while at < end:
            tag = data[at]
            if tag & _TYPE == _LENGTH_TYPE:
                length, at = _length(data, at + 1, end)
                self._set_content(tag, data[at : at + length])
                at += length
            else:
                value, at = _varint(data, at + 1, end)
                self._set_number(tag, value)

    def _set_content(self, tag: int, content: bytes) -> None:
        if tag == _AGG_ID:
            self.agg_id = content.decode()
        elif tag == _ROW:
            self.row = content
        elif tag == _CURSOR:
            self.cursor = content
        elif tag == _STREAM_ID:
            self.stream_id = content.decode()
        elif tag == _AT:
            self.at = content
        elif tag == _RESET_INFO:
            self.reset = content
        else:
            raise NotPlainError

    def _set_number(self, tag: int, value: int) -> None:
        if tag == _OP:
            self.op = _int32(value)
        elif tag == _VERSION:
            self.version = _int64(value)
        elif tag == _OLD_INDEX:
            self.old_index = _sint32(value)
        elif tag == _NEW_INDEX:
            self.new_index = _sint32(value)
        else:
            raise NotPlainError

    def frame(self, at: float) -> Frame:
        cursor = self.cursor
        text = ABSENT_CURSOR if cursor is None else cursor_json(cursor) if cursor else EMPTY_CURSOR
        frame = encode_with_cursor(
            self.op,
            self.agg_id,
            self.version,
            self.row,
            self.old_index,
            self.new_index,
            text,
            self.stream_id,
            at,
        )
        return frame if self.agg_id or self.op not in OF_ROWS else without_id(frame)


def _read_batch(data: bytes, at: int, end: int) -> Batch:
    epoch = first_seq = complete = 0
    deltas: list[_WireDelta] = []
    while at < end:
        tag = data[at]
        if tag == _DELTA:
            length, at = _length(data, at + 1, end)
            delta = _WireDelta()
            delta.read(data, at, at + length)
            deltas.append(delta)
            at += length
            continue
        value, at = _varint(data, at + 1, end)
        if tag == _EPOCH:
            epoch = value
        elif tag == _FIRST_SEQ:
            first_seq = value
        elif tag == _COMPLETE:
            complete = value
        else:
            raise NotPlainError
    return make_batch(
        _frames(deltas),
        epoch=epoch,
        first_seq=first_seq,
        complete=complete != 0,
        reset=next((delta.reset for delta in deltas if delta.op == RESET), None),
    )


def _frames(deltas: list[_WireDelta]) -> tuple[Frame, ...]:
    frames = []
    timestamp, at = b"", 0.0
    for delta in deltas:
        if delta.at != timestamp:
            timestamp, at = delta.at, _timestamp(delta.at)
        frames.append(delta.frame(at))
    return tuple(frames)
