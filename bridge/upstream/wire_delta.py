"""WireDelta: the fields of one delta on the wire, and the frame that they make."""

import contextlib
from typing import Final

from bridge.core.frame import Frame
from bridge.core.frame_encoding import encode_plain, without_id

from .delta_members import (
    ABSENT_CURSOR,
    CACHED,
    EMPTY_CURSOR,
    MAX_CACHED_SIZE,
    OF_ROWS,
    encode_cursor_of,
)
from .recent_cache import RecentCache
from .varint import NotPlainError, int32, read_length, read_varint, sint32

with contextlib.suppress(ImportError):  # it is there while this is compiled, and not looked up then
    from mypy_extensions import i64

# Tags: a field's number and its wire type, in one byte.
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


def _decoded(content: bytes) -> str:
    return content.decode()


# One text for all deltas of a row also keeps the history small.
_ids: Final = RecentCache[str](_decoded, CACHED)
_cursors: Final = RecentCache[bytes](encode_cursor_of, CACHED)


class WireDelta:
    """One delta after another: `read` begins the next one."""

    def __init__(self) -> None:
        self.op = self.version = self.old_index = self.new_index = 0
        self.agg_id = self.row = self.stream_id = self.at = self.reset = b""
        self.cursor: bytes | None = None

    def read(self, data: bytes, at: "i64", end: "i64") -> None:
        """Read the fields of a delta. Raises NotPlainError."""
        self.op = self.version = self.old_index = self.new_index = 0
        self.agg_id = self.row = self.stream_id = self.at = self.reset = b""
        self.cursor = None
        while at < end:
            tag: i64 = data[at]
            if tag & _TYPE == _LENGTH_TYPE:
                length, at = read_length(data, at + 1, end)
                self._set_content(tag, data[at : at + length])
                at += length
            else:
                value, at = read_varint(data, at + 1, end)
                self._set_number(tag, value)

    def _set_content(self, tag: "i64", content: bytes) -> None:
        if tag == _AGG_ID:
            self.agg_id = content
        elif tag == _ROW:
            self.row = content
        elif tag == _CURSOR:
            self.cursor = content
        elif tag == _STREAM_ID:
            self.stream_id = content
        elif tag == _AT:
            self.at = content
        elif tag == _RESET_INFO:
            self.reset = content
        else:
            raise NotPlainError

    def _set_number(self, tag: "i64", value: "i64") -> None:
        if tag == _OP:
            self.op = int32(value)
        elif tag == _VERSION:
            self.version = value
        elif tag == _OLD_INDEX:
            self.old_index = sint32(value)
        elif tag == _NEW_INDEX:
            self.new_index = sint32(value)
        else:
            raise NotPlainError

    def frame(self, at: float) -> Frame:
        """Return the delta as a frame. Raises UnicodeDecodeError, DecodeError."""
        frame = encode_plain(
            self.op,
            self.agg_id,
            _id_of(self.agg_id),
            self.version,
            self.row,
            self.old_index,
            self.new_index,
            self._cursor_json(),
            self.stream_id,
            at,
        )
        return frame if self.agg_id or self.op not in OF_ROWS else without_id(frame)

    def _cursor_json(self) -> bytes:
        cursor = self.cursor
        if cursor is None:
            return ABSENT_CURSOR
        if not cursor:
            return EMPTY_CURSOR
        return _cursors.get(cursor) if len(cursor) <= MAX_CACHED_SIZE else encode_cursor_of(cursor)


def _id_of(content: bytes) -> str:
    return _ids.get(content) if len(content) <= MAX_CACHED_SIZE else content.decode()


def seconds_of(timestamp: bytes) -> float:
    """Return a timestamp in seconds since the epoch, as `delta_members.seconds` does.

    Raises NotPlainError.
    """
    whole: i64 = 0
    nanos: i64 = 0
    at: i64 = 0
    while at < len(timestamp):
        tag: i64 = timestamp[at]
        value, at = read_varint(timestamp, at + 1, len(timestamp))
        if tag == _SECONDS:
            whole = value
        elif tag == _NANOS:
            nanos = int32(value)
        else:
            raise NotPlainError
    return float(whole) + float(nanos) / 1e9
