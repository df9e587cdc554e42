"""Frame parser: fabriq's JSON, snapshots and deltas, as frames of bridge/core.

Rows pass as text. Cursors do as well: Go prints their numbers as clients are to see them.
"""

import datetime as dt
from typing import Annotated, Final, TypeAlias

import msgspec

from bridge.core.batch import Batch
from bridge.core.frame import Frame, UnreadableFrame
from bridge.core.frame_encoding import RESET, encode_with_cursor, without_id
from bridge.core.gojson import (
    FAST_ERRORS,
    NO_CURSOR,
    UnreadableError,
    escape,
    unescaped_row,
)
from bridge.core.op import Op

_Int64: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_NULL: Final = b"null"
_NOTHING: Final = msgspec.Raw()
_MAX_EXCERPT: Final = 200


class _Cursor(msgspec.Struct, gc=False):
    values: msgspec.Raw = _NOTHING
    untagged: msgspec.Raw = msgspec.field(default=_NOTHING, name="Values")


class _Row(msgspec.Struct, gc=False):
    agg_id: str = msgspec.field(default="", name="AggID")
    version: _Int64 = msgspec.field(default=0, name="Version")
    cursor: _Cursor | None = msgspec.field(default=None, name="Cursor")
    raw: msgspec.Raw = msgspec.field(default=_NOTHING, name="Raw")


class _Snapshot(msgspec.Struct, gc=False):
    sub_id: str = msgspec.field(default="", name="SubID")
    rows: list[_Row] | None = msgspec.field(default=None, name="Rows")


class _Delta(msgspec.Struct, gc=False):
    op: _Int64
    agg_id: str = ""
    version: _Int64 = 0
    row: msgspec.Raw = _NOTHING
    old_index: _Int64 = 0
    new_index: _Int64 = 0
    cursor: _Cursor | None = None
    stream_id: str = ""
    at: str = ""


_decode_snapshot = msgspec.json.Decoder(_Snapshot).decode
_decode_delta = msgspec.json.Decoder(_Delta).decode


def parse_snapshot(data: bytes) -> tuple[str, Batch]:
    """Parse a snapshot; return the tier's id of the subscription, and a whole window.

    What can't be read is an UnreadableFrame in it. Never raises.
    """
    try:
        snapshot = _decode_snapshot(data)
    except FAST_ERRORS as error:
        return "", Batch((_unreadable("a snapshot", error, data),))
    frames = [RESET]
    for at, row in enumerate(snapshot.rows or ()):
        enter = encode_with_cursor(
            Op.ENTER, row.agg_id, row.version, _text(row.raw), -1, at, _cursor(row.cursor), ""
        )
        frames.append(enter if row.agg_id else without_id(enter))
    return snapshot.sub_id, Batch(tuple(frames), snapshot_complete=True)


def parse_delta(data: bytes) -> Frame:
    """Parse a delta; an UnreadableFrame if a part of it can't be read. Never raises."""
    try:
        delta = _decode_delta(data)
    except FAST_ERRORS as error:
        return _unreadable("a delta", error, data)
    op = max(delta.op + 1, 0)  # fabriq counts from 0, and the schema's 0 is "unspecified"
    frame = encode_with_cursor(
        op,
        delta.agg_id,
        delta.version,
        _text(delta.row),
        delta.old_index,
        delta.new_index,
        _cursor(delta.cursor),
        delta.stream_id,
        _seconds(delta.at),
    )
    return frame if delta.agg_id or op == Op.RESET else without_id(frame)


def _unreadable(what: str, error: Exception, data: bytes) -> Frame:
    """Return a frame in place of what is no JSON of fabriq's."""
    return UnreadableFrame(
        Op.UNSPECIFIED, "", 0, b"", 0, 0, "", b"",
        reason=f"{what} that is none: {error}", excerpt=data[:_MAX_EXCERPT],
    )  # fmt: skip


def _text(raw: msgspec.Raw) -> bytes:
    """Return JSON text; empty where Go printed a nil."""
    text = bytes(raw)
    return b"" if text == _NULL else text


def _cursor(cursor: _Cursor | None) -> bytes:
    """Return a cursor as clients get it; empty if it must not reach them."""
    values = _text(cursor.values) or _text(cursor.untagged) if cursor else b""
    if not values:
        return NO_CURSOR
    if not values.startswith(b"["):
        return b""
    try:
        return escape(b'{"values":%b}' % unescaped_row(values))
    except UnreadableError:
        return b""


def _seconds(at: str) -> float:
    """Return a time of Go's JSON in seconds since the epoch, 0 if it is unknown."""
    try:
        return max(dt.datetime.fromisoformat(at).timestamp(), 0.0) if at else 0.0
    except (ValueError, OverflowError):
        return 0.0
