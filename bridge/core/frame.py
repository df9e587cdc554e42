"""Frame: one change to a window, as the tier said it and as a browser sees it (docs/wire.md §2).

Printing happens once per change, however many viewers there are.
"""

import re

import msgspec

from .delta import NAMES, Op
from .gojson import UnreadableError, bare_cursor, bare_row, bare_string, escape
from .value import Cursor

_LINE_BREAKING = re.compile(r"[\r\n\0]")


class Frame(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One change as clients see it: row and cursor are printed already, `data` is the FRAME.

    `op` is a plain number: what the schema does not list is passed through. Indexes are positions
    at that moment of a sequential apply, -1 is outside the window. `stream_id` names the source
    change; `at` is its time in seconds since the epoch, 0 when unknown. `data` is empty where the
    change must not reach a client.

    Frames compare by identity: the window's searches rely on it.
    """

    op: int
    agg_id: str
    version: int
    row: bytes
    cursor: bytes
    old_index: int
    new_index: int
    stream_id: str
    data: bytes
    at: float = 0.0

    @property
    def name(self) -> str:
        """The op as it is printed; one that the schema does not list is `delta`."""
        return NAMES[self.op] if 0 <= self.op < len(NAMES) else NAMES[0]


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
        row = bare_row(row) if row else b""
        printed = bare_cursor(cursor)
        bare = _print(op, agg_id, version, row, printed, old_index, new_index, stream_id)
    except UnreadableError:
        return Frame(op, agg_id, version, b"", b"", old_index, new_index, stream_id, b"", at)
    data = escape(bare)
    if data is not bare:
        row, printed = escape(row), escape(printed)
    return Frame(op, agg_id, version, row, printed, old_index, new_index, stream_id, data, at)


def make(  # noqa: PLR0917 - a frame has these parts, in this order
    op: int,
    agg_id: str,
    version: int,
    row: bytes,
    cursor: bytes,
    old_index: int,
    new_index: int,
    stream_id: str,
) -> Frame:
    """Build a frame around a row and cursor that are printed already.

    Raises:
        UnreadableError: a stream_id that would break a line.

    """
    data = escape(_print(op, agg_id, version, row, cursor, old_index, new_index, stream_id))
    return Frame(op, agg_id, version, row, cursor, old_index, new_index, stream_id, data)


_HEADS = tuple(b'{"op":"%b"' % name.encode() for name in NAMES)
# What most changes have in common is printed in one go.
_WHOLE = (
    b'%b,"agg_id":%b,"version":%d,"row":%b,'
    b'"old_index":%d,"new_index":%d,"cursor":%b,"stream_id":%b}'
)
_SPARSE = b'%b%b%b%b,"old_index":%d,"new_index":%d,"cursor":%b%b}'


def _print(  # noqa: PLR0917
    op: int,
    agg_id: str,
    version: int,
    row: bytes,
    cursor: bytes,
    old_index: int,
    new_index: int,
    stream_id: str,
) -> bytes:
    head = _HEADS[op] if 0 <= op < len(_HEADS) else _HEADS[0]
    name = bare_string(stream_id)
    # As long as the text itself: nothing in it was escaped, so nothing can break a line.
    if len(name) != len(stream_id) + 2 and _LINE_BREAKING.search(stream_id):
        raise UnreadableError("a stream_id that would break a line")
    if agg_id and version and row and stream_id:
        named = bare_string(agg_id)
        return _WHOLE % (head, named, version, row, old_index, new_index, cursor, name)
    return _SPARSE % (
        head,
        b',"agg_id":' + bare_string(agg_id) if agg_id else b"",
        b',"version":%d' % version if version else b"",
        b',"row":' + row if row else b"",
        old_index,
        new_index,
        cursor,
        b',"stream_id":' + name if stream_id else b"",
    )


RESET = encode(Op.RESET)
