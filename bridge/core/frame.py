"""Frame: one change to a window, as the tier said it and as a browser sees it (docs/wire.md §2).

Printing happens once per change, however many viewers there are.
"""

import re
from collections.abc import Iterable
from itertools import chain, count, repeat

import msgspec

from .delta import NAMES, Op
from .gojson import UnreadableError, bare_cursor, bare_plain, bare_row, escape
from .value import Cursor

_ENTER = Op.ENTER  # an attribute of an Enum costs more than all that is done with it here
_LINE_BREAKING = re.compile(r"[\r\n\0]")


class Frame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One change as clients see it: `data` is the FRAME, `body` and `cursor` are parts of it.

    `op` is a plain number: what the schema does not list is passed through. `body` is all that a
    frame says of its row but where that stands: id, version and text, each with its key. Indexes
    are positions at that moment of a sequential apply, -1 is outside the window. `stream_id` names
    the source change; `at` is its time in seconds since the epoch, 0 when unknown. `data` is empty
    where the change must not reach a client.

    Frames compare by identity: the window's searches rely on it.
    """

    op: int
    agg_id: str
    version: int
    body: bytes
    cursor: bytes
    old_index: int
    new_index: int
    stream_id: str
    data: bytes
    at: float = 0.0

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
    try:
        bare = _body(agg_id, version, bare_row(row) if row else b"")
        printed = bare_cursor(cursor)
        data = _data(op, bare, old_index, new_index, printed, stream_id)
    except UnreadableError:
        return Frame(op, agg_id, version, b"", b"", old_index, new_index, stream_id, b"", at)
    escaped = escape(data)
    if escaped is not data:
        bare, printed = escape(bare), escape(printed)
    return Frame(op, agg_id, version, bare, printed, old_index, new_index, stream_id, escaped, at)


def carry(op: int, row: Frame, old_index: int, new_index: int, stream_id: str = "") -> Frame:
    """Print another change that brings the same row."""
    data = _data(op, row.body, old_index, new_index, row.cursor, stream_id)
    if stream_id:
        data = escape(data)
    return Frame(
        op, row.agg_id, row.version, row.body, row.cursor, old_index, new_index, stream_id, data
    )


_NOTHING = Frame(0, "", 0, b"?", b"", 0, 0, "", b"")


def enters(rows: Iterable[Frame], *, ordered: bool, last: Iterable[Frame] = ()) -> list[Frame]:
    """Print rows as a client first sees them; those without order all stand at 0.

    `last` is what this printed when it was last asked: a row that stands where it stood is not
    printed again.
    """
    head, old, places = _HEADS[Op.ENTER], -1 if ordered else 0, count() if ordered else repeat(0)
    # `carry` written out: for every late joiner this is done with the whole window.
    return [
        was if was.body is row.body and was.cursor is row.cursor else Frame(
            _ENTER, row.agg_id, row.version, row.body, row.cursor, old, at, "",
            _NAMELESS % (head, row.body, old, at, row.cursor),
        )
        for row, was, at in zip(rows, chain(last, repeat(_NOTHING)), places, strict=False)
    ]  # fmt: skip


def leave(agg_id: str, old_index: int, stream_id: str) -> Frame:
    """Print that a row goes."""
    return encode(Op.LEAVE, agg_id, old_index=old_index, new_index=-1, stream_id=stream_id)


def _body(agg_id: str, version: int, row: bytes) -> bytes:
    if agg_id and version and row:
        # What most have in common is printed in one go.
        return b',"agg_id":%b,"version":%d,"row":%b' % (bare_plain(agg_id), version, row)
    return b"".join(
        (
            b',"agg_id":' + bare_plain(agg_id) if agg_id else b"",
            b',"version":%d' % version if version else b"",
            b',"row":' + row if row else b"",
        )
    )


_HEADS = tuple(b'{"op":"%b"' % name.encode() for name in NAMES)
_NAMELESS = b'%b%b,"old_index":%d,"new_index":%d,"cursor":%b}'
_NAMED = b'%b%b,"old_index":%d,"new_index":%d,"cursor":%b,"stream_id":%b}'


def _data(  # noqa: PLR0917
    op: int, body: bytes, old_index: int, new_index: int, cursor: bytes, stream_id: str
) -> bytes:
    head = _HEADS[op] if 0 <= op < len(_HEADS) else _HEADS[0]
    if not stream_id:
        return _NAMELESS % (head, body, old_index, new_index, cursor)
    name = bare_plain(stream_id)
    # As long as the text itself: nothing in it was escaped, so nothing can break a line.
    if len(name) != len(stream_id) + 2 and _LINE_BREAKING.search(stream_id):
        raise UnreadableError("a stream_id that would break a line")
    return _NAMED % (head, body, old_index, new_index, cursor, name)


RESET = encode(Op.RESET)
