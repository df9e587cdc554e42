"""Frame: one change to a window, as the tier sent it and as clients receive it (docs/wire.md §2).

A change is encoded once, however many viewers there are.
"""

import re
from collections.abc import Iterable
from itertools import chain, count, repeat

import msgspec

from .gojson import (
    FAST_ERRORS,
    UnreadableError,
    compact_fast,
    encode_fast,
    escape,
    unescaped_cursor,
    unescaped_plain,
    unescaped_row,
)
from .op import NAMES, Op
from .value import Cursor

_ENTER = Op.ENTER  # reading an Enum's attribute costs more than the rest of `_enter_frame`
_MAX_EXCERPT = 200
_LINE_BREAKING = re.compile(r"[\r\n\0]")


class Frame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One change: `data` is the encoded FRAME, `cursor` a part of it.

    `op` is a plain int: numbers that the schema does not list are passed through. Indexes are
    positions at this step of a sequential apply; -1 is outside the window. `stream_id` names the
    source change. `at` is the time of the change in seconds since the epoch, 0 if unknown. `data`
    is empty if the change must not reach a client.

    Frames compare by identity: the searches in a window rely on it.
    """

    op: int
    agg_id: str
    version: int
    cursor: bytes
    old_index: int
    new_index: int
    stream_id: str
    data: bytes
    at: float = 0.0

    @property
    def frames(self) -> tuple["Frame", ...]:
        """This frame alone: a single frame is a group of its own (see `group.Change`)."""
        return (self,)

    @property
    def body(self) -> bytes:
        """The members `agg_id`, `version` and `row` as encoded in `data`, with their keys.

        Sliced from `data` on each access: most frames are only passed on.
        """
        suffix = escape(_suffix(self.old_index, self.new_index, self.cursor, self.stream_id))
        return self.data[len(_prefix(self.op)) : len(self.data) - len(suffix)]

    @property
    def row(self) -> bytes:
        """The row as encoded in `data`, empty for none."""
        # An encoded id can't contain this: its quotes are escaped.
        return self.body.partition(b',"row":')[2]


class UnreadableFrame(Frame, frozen=True, eq=False, gc=False):
    """A change that must not reach a client: its `data` is empty.

    `reason` says why; `excerpt` is the beginning of its row, for debugging.
    """

    reason: str = ""
    excerpt: bytes = b""


def encode(  # noqa: PLR0917 - the members of the schema's LiveDelta, in its order
    op: int,
    agg_id: str = "",
    version: int = 0,
    row: bytes = b"",
    old_index: int = 0,
    new_index: int = 0,
    cursor: Cursor = None,
    stream_id: str = "",
    at: float = 0.0,
) -> Frame:
    """Encode a delta. `row` is the tier's JSON text, empty for none.

    A delta that must not reach a client gets empty `data`: the sequencer then raises `Resync`.
    """
    return encode_with_cursor(
        op, agg_id, version, row, old_index, new_index, encode_cursor(cursor), stream_id, at
    )


def encode_cursor(cursor: Cursor) -> bytes:
    """Encode a cursor; empty if it must not reach a client."""
    try:
        return escape(unescaped_cursor(cursor))
    except UnreadableError:
        return b""


def encode_with_cursor(  # noqa: PLR0917 - as `encode`
    op: int,
    agg_id: str,
    version: int,
    row: bytes,
    old_index: int,
    new_index: int,
    cursor: bytes,
    stream_id: str,
    at: float = 0.0,
) -> Frame:
    """Encode a delta as `encode` does, with a cursor that is encoded already."""
    data = b""
    if agg_id and version and row and cursor and stream_id and 0 <= op < _OP_COUNT:
        # The usual delta has all members, and is formatted in one step. Errors take the slow path.
        try:
            name = encode_fast(stream_id)
            if len(name) == len(stream_id) + 2:
                data = _ALL_MEMBERS % (
                    _PREFIXES[op], encode_fast(agg_id), version, compact_fast(row, indent=-1),
                    old_index, new_index, cursor, name,
                )  # fmt: skip
                if not data.isascii():
                    row.decode()
        except FAST_ERRORS:
            data = b""
    if not data:
        try:
            data = _encode_unescaped(
                op, agg_id, version, row, old_index, new_index, cursor, stream_id
            )
        except UnreadableError as error:
            return UnreadableFrame(
                op, agg_id, version, b"", old_index, new_index, stream_id, b"", at,
                reason=str(error), excerpt=row[:_MAX_EXCERPT],
            )  # fmt: skip
    return Frame(op, agg_id, version, cursor, old_index, new_index, stream_id, escape(data), at)


def _encode_unescaped(  # noqa: PLR0917 - as `encode`
    op: int,
    agg_id: str,
    version: int,
    row: bytes,
    old_index: int,
    new_index: int,
    cursor: bytes,
    stream_id: str,
) -> bytes:
    """Encode any delta without HTML escaping. Raises UnreadableError."""
    if not cursor:
        raise UnreadableError("a cursor with a number that is not finite, or bad JSON")
    body = _body(agg_id, version, unescaped_row(row) if row else b"")
    return b"%b%b%b" % (_prefix(op), body, _suffix(old_index, new_index, cursor, stream_id))


def reencode(op: int, row: Frame, old_index: int, new_index: int, stream_id: str = "") -> Frame:
    """Encode another change that carries the same row; its body is copied."""
    suffix = _suffix(old_index, new_index, row.cursor, stream_id)
    data = b"%b%b%b" % (_prefix(op), row.body, escape(suffix) if stream_id else suffix)
    return Frame(op, row.agg_id, row.version, row.cursor, old_index, new_index, stream_id, data)


def without_id(frame: Frame) -> UnreadableFrame:
    """Return a frame of a row that has no id, as unreadable: a mirror can't keep it."""
    return UnreadableFrame(
        frame.op, "", frame.version, b"", frame.old_index, frame.new_index, frame.stream_id,
        b"", frame.at, reason="agg_id is missing", excerpt=frame.data[:_MAX_EXCERPT],
    )  # fmt: skip


_NO_FRAME = Frame(0, "", 0, b"", 0, 0, "", b"")


def enter_frames(
    rows: Iterable[Frame], *, cached: Iterable[tuple[Frame, Frame]] = ()
) -> list[Frame]:
    """Encode the rows of a window, or of a streamed page, as enters.

    `cached` are the (row, enter) pairs of an earlier call. Where the same row stands at the same
    index, its enter is used again.
    """
    return [
        enter if row is cached_row else _enter_frame(row, at)
        for row, (cached_row, enter), at in zip(
            rows, chain(cached, repeat((_NO_FRAME, _NO_FRAME))), count(), strict=False
        )
    ]


def _enter_frame(row: Frame, index: int) -> Frame:
    if row.new_index == index and row.old_index == -1 and row.op == _ENTER and not row.stream_id:
        return row  # an enter of a snapshot, still at its index
    return reencode(_ENTER, row, -1, index)


def leave_frame(agg_id: str, old_index: int, stream_id: str) -> Frame:
    """Encode the leave of a row."""
    return encode(Op.LEAVE, agg_id, old_index=old_index, new_index=-1, stream_id=stream_id)


# A FRAME is a prefix (op), a body (agg_id, version, row) and a suffix (indexes, cursor, stream_id).
_PREFIXES = tuple(b'{"op":"%b"' % name.encode() for name in NAMES)
_OP_COUNT = len(_PREFIXES)
_SUFFIX = b',"old_index":%d,"new_index":%d,"cursor":%b}'
_SUFFIX_WITH_STREAM_ID = b',"old_index":%d,"new_index":%d,"cursor":%b,"stream_id":%b}'
_ALL_MEMBERS = b'%b,"agg_id":%b,"version":%d,"row":%b' + _SUFFIX_WITH_STREAM_ID


def _prefix(op: int) -> bytes:
    return _PREFIXES[op] if 0 <= op < _OP_COUNT else _PREFIXES[0]


def _body(agg_id: str, version: int, row: bytes) -> bytes:
    return b"".join(
        (
            b',"agg_id":' + unescaped_plain(agg_id) if agg_id else b"",
            b',"version":%d' % version if version else b"",
            b',"row":' + row if row else b"",
        )
    )


def _suffix(old_index: int, new_index: int, cursor: bytes, stream_id: str) -> bytes:
    if not stream_id:
        return _SUFFIX % (old_index, new_index, cursor)
    return _SUFFIX_WITH_STREAM_ID % (old_index, new_index, cursor, _encode_stream_id(stream_id))


def _encode_stream_id(stream_id: str) -> bytes:
    encoded = unescaped_plain(stream_id)
    # Where the encoded text has no more bytes than that, nothing is escaped: no line break either.
    if len(encoded) != len(stream_id) + 2 and _LINE_BREAKING.search(stream_id):
        raise UnreadableError("a stream_id with a line break")
    return encoded


RESET = encode(Op.RESET)
