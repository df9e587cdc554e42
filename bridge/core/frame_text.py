"""Frame text: the parts of a FRAME as JSON (docs/wire.md §2), not escaped for HTML yet."""

import re

from .gojson import UnreadableError, unescaped_plain
from .op import NAMES

_LINE_BREAKING = re.compile(r"[\r\n\0]")

# A FRAME is a prefix (op), a body (agg_id, version, row) and a suffix (indexes, cursor, stream_id).
PREFIXES = tuple(b'{"op":"%b"' % name.encode() for name in NAMES)
OP_COUNT = len(PREFIXES)
_SUFFIX = b',"old_index":%d,"new_index":%d,"cursor":%b}'
_SUFFIX_WITH_STREAM_ID = b',"old_index":%d,"new_index":%d,"cursor":%b,"stream_id":%b}'
ALL_MEMBERS = b'%b,"agg_id":%b,"version":%d,"row":%b' + _SUFFIX_WITH_STREAM_ID


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


def _encode_stream_id(stream_id: str) -> bytes:
    encoded = unescaped_plain(stream_id)
    # Where the encoded text has no more bytes than that, nothing is escaped: no line break either.
    if len(encoded) != len(stream_id) + 2 and _LINE_BREAKING.search(stream_id):
        raise UnreadableError("a stream_id with a line break")
    return encoded
