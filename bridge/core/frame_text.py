"""Frame text: the parts of a FRAME as JSON (docs/wire.md §2), not escaped for HTML yet."""

import re
from typing import Final

from .build import IS_COMPILED
from .gojson import UnreadableError, escape, unescaped_plain
from .op import NAMES

_LINE_BREAKING = re.compile(r"[\r\n\0]")

# A FRAME is a prefix (op), a body (agg_id, version, row) and a suffix (indexes, cursor, stream_id).
PREFIXES: Final = tuple(b'{"op":"%b"' % name.encode() for name in NAMES)
OP_COUNT: Final = len(PREFIXES)
_SUFFIX: Final = b',"old_index":%d,"new_index":%d,"cursor":%b}'
_SUFFIX_WITH_STREAM_ID: Final = b',"old_index":%d,"new_index":%d,"cursor":%b,"stream_id":%b}'
_ALL_MEMBERS: Final = b'%b,"agg_id":%b,"version":%d,"row":%b' + _SUFFIX_WITH_STREAM_ID
_NUMBERS: Final = [b"%d" % number for number in range(1024)]


def number_text(number: int) -> bytes:
    """Print an integer; most are indexes, or no larger."""
    return _NUMBERS[number] if 0 <= number < len(_NUMBERS) else str(number).encode()


def all_members(  # noqa: PLR0917 - the members of a FRAME, in its order
    op: int,
    agg_id: bytes,
    version: int,
    row: bytes,
    old_index: int,
    new_index: int,
    cursor: bytes,
    stream_id: bytes,
) -> bytes:
    """Print a FRAME that has all members; texts are encoded, and `op` is a listed one."""
    if not IS_COMPILED:
        return _ALL_MEMBERS % (
            PREFIXES[op], agg_id, version, row, old_index, new_index, cursor, stream_id
        )  # fmt: skip
    # Compiled, a literal with %b alone is parts that are joined; no format is read then.
    return (
        b'%b,"agg_id":%b,"version":%b,"row":%b,"old_index":%b,"new_index":%b,"cursor":%b,'
        b'"stream_id":%b}'
        % (
            PREFIXES[op],
            agg_id,
            number_text(version),
            row,
            number_text(old_index),
            number_text(new_index),
            cursor,
            stream_id,
        )
    )


def plain_members(  # noqa: PLR0917 - the members of a FRAME, in its order
    op: int,
    agg_id: bytes,
    version: int,
    row: bytes,
    old_index: int,
    new_index: int,
    cursor: bytes,
    stream_id: bytes,
) -> bytes:
    """Print a FRAME as `all_members` does; texts are the plain content of their strings."""
    return (
        b'%b,"agg_id":"%b","version":%b,"row":%b,"old_index":%b,"new_index":%b,"cursor":%b,'
        b'"stream_id":"%b"}'
        % (
            PREFIXES[op],
            agg_id,
            number_text(version),
            row,
            number_text(old_index),
            number_text(new_index),
            cursor,
            stream_id,
        )
    )


def prefix(op: int) -> bytes:
    """Print the beginning of a FRAME: its op."""
    return PREFIXES[op] if 0 <= op < OP_COUNT else PREFIXES[0]


def body(agg_id: str, version: int, row: bytes) -> bytes:
    """Print the members of a row, those that are there; `row` is compacted."""
    return b"".join(
        (
            b',"agg_id":' + unescaped_plain(agg_id) if agg_id else b"",
            b',"version":%d' % version if version else b"",
            b',"row":' + row if row else b"",
        )
    )


def suffix(old_index: int, new_index: int, cursor: bytes, stream_id: str) -> bytes:
    """Print the rest of a FRAME. Raises UnreadableError."""
    if not stream_id:
        return _SUFFIX % (old_index, new_index, cursor)
    return _SUFFIX_WITH_STREAM_ID % (old_index, new_index, cursor, _encode_stream_id(stream_id))


def cut_body(  # noqa: PLR0917 - the members around it
    data: bytes, op: int, old_index: int, new_index: int, cursor: bytes, stream_id: str
) -> bytes:
    """Cut the members of a row out of an encoded FRAME."""
    end = escape(suffix(old_index, new_index, cursor, stream_id))
    return data[len(prefix(op)) : len(data) - len(end)]


def cut_row(body: bytes) -> bytes:
    """Cut the row out of the members of a row; empty if there is none."""
    # An encoded id can't contain this: its quotes are escaped.
    return body.partition(b',"row":')[2]


def _encode_stream_id(stream_id: str) -> bytes:
    encoded = unescaped_plain(stream_id)
    # Where the encoded text has no more bytes than that, nothing is escaped: no line break either.
    if len(encoded) != len(stream_id) + 2 and _LINE_BREAKING.search(stream_id):
        raise UnreadableError("a stream_id with a line break")
    return encoded
