"""Frame encoding: deltas as the frames that clients receive, encoded once for all viewers."""

from collections.abc import Iterable
from itertools import chain, count, repeat
from typing import Final

from .frame import Frame, UnreadableFrame
from .frame_text import OP_COUNT, all_members, plain_members, prefix, suffix
from .frame_text import body as print_body
from .gojson import (
    FAST_ERRORS,
    UnreadableError,
    compact_fast,
    encode_fast,
    escape,
    unescaped_cursor,
    unescaped_row,
)
from .op import Op
from .plain_json import is_plain, is_plain_text
from .value import Cursor

# Reading an Enum's attribute costs more than the rest of `_enter_frame`.
_ENTER: Final = int(Op.ENTER)
_MAX_EXCERPT: Final = 200


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
    if agg_id and version and row and cursor and stream_id and 0 <= op < OP_COUNT:
        # The usual delta has all members, and is formatted in one step. Errors take the slow path.
        try:
            name = encode_fast(stream_id)
            if len(name) == len(stream_id) + 2:
                data = all_members(
                    op, encode_fast(agg_id), version, compact_fast(row),
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


def encode_plain(  # noqa: PLR0917 - as `encode`
    op: int,
    agg_id: bytes,
    agg_id_text: str,
    version: int,
    row: bytes,
    old_index: int,
    new_index: int,
    cursor: bytes,
    stream_id: bytes,
    at: float,
) -> Frame:
    """Encode a delta as `encode_with_cursor` does, from texts in UTF-8: their bytes if plain.

    Raises UnicodeDecodeError.
    """
    text = stream_id.decode()
    if (
        agg_id and version and row and cursor and stream_id and 0 <= op < OP_COUNT
        and is_plain_text(agg_id) and is_plain_text(stream_id) and is_plain(row)
    ):  # fmt: skip
        data = plain_members(op, agg_id, version, row, old_index, new_index, cursor, stream_id)
        return Frame(op, agg_id_text, version, cursor, old_index, new_index, text, data, at)
    return encode_with_cursor(op, agg_id_text, version, row, old_index, new_index, cursor, text, at)


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
    body = print_body(agg_id, version, unescaped_row(row) if row else b"")
    return b"%b%b%b" % (prefix(op), body, suffix(old_index, new_index, cursor, stream_id))


def reencode(op: int, row: Frame, old_index: int, new_index: int, stream_id: str = "") -> Frame:
    """Encode another change that carries the same row; its body is copied."""
    end = suffix(old_index, new_index, row.cursor, stream_id)
    data = b"%b%b%b" % (prefix(op), row.body, escape(end) if stream_id else end)
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


RESET = encode(Op.RESET)
