"""Frame: one change to a window, as the tier said it and as a browser sees it (docs/wire.md §2).

Printing happens once per change, however many viewers there are.
"""

import re
from collections.abc import Iterable
from itertools import chain, count, repeat

import msgspec

from .gojson import (
    ENCODE_ERRORS,
    UnreadableError,
    encode_plain,
    escape,
    strip,
    unescaped_cursor,
    unescaped_plain,
    unescaped_row,
)
from .op import NAMES, Op
from .value import Cursor

_ENTER = Op.ENTER  # an attribute of an Enum costs more than all that is done with it here
_LINE_BREAKING = re.compile(r"[\r\n\0]")


class Frame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One change as clients see it: `data` is the FRAME, `cursor` a part of it.

    `op` is a plain number: what the schema does not list is passed through. Indexes are positions
    at that moment of a sequential apply, -1 is outside the window. `stream_id` names the source
    change; `at` is its time in seconds since the epoch, 0 when unknown. `data` is empty where the
    change must not reach a client.

    Frames compare by identity: the window's searches rely on it.
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
        """Itself: one that is alone is a group of its own (see `group.Change`)."""
        return (self,)

    @property
    def body(self) -> bytes:
        """All that it says of its row but where that stands: id, version, text, with their keys.

        Cut out of `data` when it is asked for: most frames are only passed on.
        """
        tail = escape(_tail(self.old_index, self.new_index, self.cursor, self.stream_id))
        return self.data[len(_head(self.op)) : len(self.data) - len(tail)]

    @property
    def row(self) -> bytes:
        """The row as it is printed, empty for none."""
        # No id has this in it: its quotes would be escaped.
        return self.body.partition(b',"row":')[2]


def encode(  # noqa: PLR0917 - the parts of the schema's LiveDelta, in its order
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
    """Print a delta, `row` being the tier's JSON text, empty for none.

    Of one that must not reach a client no `data` is printed: whoever meets it re-subscribes.
    """
    return encode_with_cursor(
        op, agg_id, version, row, old_index, new_index, encode_cursor(cursor), stream_id, at
    )


def encode_cursor(cursor: Cursor) -> bytes:
    """Print a cursor; empty if it must not reach a client."""
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
    """Print a delta as `encode` does, its cursor being printed already."""
    data = b""
    if agg_id and version and row and cursor and stream_id and 0 <= op < _LISTED:
        # What most have in common is printed in one go; if it stumbles, with care.
        try:
            name = encode_plain(stream_id)
            if len(name) == len(stream_id) + 2:
                data = _WHOLE % (
                    _HEADS[op], encode_plain(agg_id), version, strip(row, indent=-1),
                    old_index, new_index, cursor, name,
                )  # fmt: skip
                if not data.isascii():
                    row.decode()
        except ENCODE_ERRORS:
            data = b""
    if not data:
        data = _printed(op, agg_id, version, row, old_index, new_index, cursor, stream_id)
        if not data:
            cursor = b""
    return Frame(op, agg_id, version, cursor, old_index, new_index, stream_id, escape(data), at)


def _printed(  # noqa: PLR0917 - as `encode`
    op: int,
    agg_id: str,
    version: int,
    row: bytes,
    old_index: int,
    new_index: int,
    cursor: bytes,
    stream_id: str,
) -> bytes:
    """Print any delta, but for the escaping; empty if it must not reach a client."""
    if not cursor:
        return b""
    try:
        body = _body(agg_id, version, unescaped_row(row) if row else b"")
        return b"%b%b%b" % (_head(op), body, _tail(old_index, new_index, cursor, stream_id))
    except UnreadableError:
        return b""


def reencode(op: int, row: Frame, old_index: int, new_index: int, stream_id: str = "") -> Frame:
    """Print another change that brings the same row."""
    tail = _tail(old_index, new_index, row.cursor, stream_id)
    data = b"%b%b%b" % (_head(op), row.body, escape(tail) if stream_id else tail)
    return Frame(op, row.agg_id, row.version, row.cursor, old_index, new_index, stream_id, data)


_NOTHING = Frame(0, "", 0, b"", 0, 0, "", b"")


def enter_frames(
    rows: Iterable[Frame], *, ordered: bool, last: Iterable[tuple[Frame, Frame]] = ()
) -> list[Frame]:
    """Print rows as a client first sees them; those without order all stand at 0.

    `last` are the rows of which this was last asked, each with what it printed: one that stands
    where it stood is not printed again.
    """
    old, places = -1 if ordered else 0, count() if ordered else repeat(0)
    return [
        printed if row is was else _entering(row, old, at)
        for row, (was, printed), at in zip(
            rows, chain(last, repeat((_NOTHING, _NOTHING))), places, strict=False
        )
    ]


def _entering(row: Frame, old_index: int, new_index: int) -> Frame:
    if (
        row.new_index == new_index
        and row.old_index == old_index
        and row.op == _ENTER
        and not row.stream_id
    ):
        return row  # a snapshot's: it stands where it came
    return reencode(_ENTER, row, old_index, new_index)


def leave_frame(agg_id: str, old_index: int, stream_id: str) -> Frame:
    """Print that a row goes."""
    return encode(Op.LEAVE, agg_id, old_index=old_index, new_index=-1, stream_id=stream_id)


def _body(agg_id: str, version: int, row: bytes) -> bytes:
    return b"".join(
        (
            b',"agg_id":' + unescaped_plain(agg_id) if agg_id else b"",
            b',"version":%d' % version if version else b"",
            b',"row":' + row if row else b"",
        )
    )


_HEADS = tuple(b'{"op":"%b"' % name.encode() for name in NAMES)
_LISTED = len(_HEADS)
_NAMELESS = b',"old_index":%d,"new_index":%d,"cursor":%b}'
_NAMED = b',"old_index":%d,"new_index":%d,"cursor":%b,"stream_id":%b}'
_WHOLE = b'%b,"agg_id":%b,"version":%d,"row":%b' + _NAMED


def _head(op: int) -> bytes:
    return _HEADS[op] if 0 <= op < _LISTED else _HEADS[0]


def _tail(old_index: int, new_index: int, cursor: bytes, stream_id: str) -> bytes:
    if not stream_id:
        return _NAMELESS % (old_index, new_index, cursor)
    return _NAMED % (old_index, new_index, cursor, _name(stream_id))


def _name(stream_id: str) -> bytes:
    name = unescaped_plain(stream_id)
    # As long as the text itself: nothing in it was escaped, so nothing can break a line.
    if len(name) != len(stream_id) + 2 and _LINE_BREAKING.search(stream_id):
        raise UnreadableError("a stream_id that would break a line")
    return name


RESET = encode(Op.RESET)
