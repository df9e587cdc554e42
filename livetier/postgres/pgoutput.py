"""The messages of ``pgoutput``, version 1, decoded. Pure.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import TypeAlias

Text: TypeAlias = bytes | None

_BEGIN = Struct("!QqI")
_COMMIT = Struct("!BQQq")
_UINT32 = Struct("!I")
_UINT16 = Struct("!H")
_TRUNCATE = Struct("!IB")
_COLUMN_TYPE = Struct("!Ii")
_AS_TEXT, _NULL, _UNCHANGED = b"tnu"
_BEGINS, _COMMITS = b"BC"
_ROW_CHANGES = {ord(kind): kind for kind in "UID"}
_KEY, _NEW = b"KN"
_OLD = b"KO"
_EPOCH_MICROSECONDS = 946_684_800_000_000
"""2000-01-01, from which PostgreSQL counts, in microseconds since 1970."""


class PgoutputError(Exception):
    """A message that this decoder does not know."""


@dataclass(slots=True)
class Begin:
    """The beginning of a transaction, which is delivered as a whole; ``xid`` has 32 bits."""

    xid: int


@dataclass(slots=True)
class Commit:
    """The end of the transaction that began last, and of the log so far."""

    end_lsn: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class RelationMessage:
    """A relation as it is from here on. ``identity`` has the columns of its replica identity."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    identity: tuple[str, ...]
    full: bool


@dataclass(slots=True)
class RowChange:
    """A row that was inserted, updated or deleted.

    Columns that are not known are absent: unchanged values that are stored apart (TOAST), and in
    ``old`` all that are not of the replica identity. ``old`` is None if none was sent: for an
    insert, and for an update that left the replica identity as it was.
    """

    kind: str
    relation: RelationMessage
    old: Mapping[str, Text] | None
    new: Mapping[str, Text] | None


@dataclass(frozen=True, slots=True)
class Truncate:
    """Relations that were emptied."""

    relations: tuple[int, ...]


Message: TypeAlias = Begin | Commit | RelationMessage | RowChange | Truncate


class Decoder:
    """Decodes the messages of one stream; it remembers the relations announced."""

    def __init__(self) -> None:
        self._relations: dict[int, RelationMessage] = {}

    def decode(self, data: bytes, at: int = 0) -> Message | None:
        """Return the message that begins ``at``; None for those that say nothing about rows.

        Raises PgoutputError for a message that is not of version 1.
        """
        kind = data[at]
        if kind in _ROW_CHANGES:
            return self._row_change(_ROW_CHANGES[kind], data, at + 1)
        if kind == _BEGINS:
            return Begin(_BEGIN.unpack_from(data, at + 1)[2])
        if kind == _COMMITS:
            _, _, end_lsn, committed = _COMMIT.unpack_from(data, at + 1)
            return Commit(end_lsn, (committed + _EPOCH_MICROSECONDS) // 1000)
        return self._seldom(kind, data[at:])

    def _seldom(self, kind: int, data: bytes) -> Message | None:
        match chr(kind):
            case "R":
                relation = _relation(data)
                self._relations[relation.oid] = relation
                return relation
            case "T":
                count, _ = _TRUNCATE.unpack_from(data, 1)
                return Truncate(
                    tuple(_UINT32.unpack_from(data, 6 + 4 * place)[0] for place in range(count))
                )
            case "O" | "Y" | "M":
                return None
        raise PgoutputError(f"an unknown message {chr(kind)!r}")

    def _row_change(self, kind: str, data: bytes, at: int) -> RowChange:
        relation = self._relations[_UINT32.unpack_from(data, at)[0]]
        names = relation.columns
        at += 4
        old = new = None
        mark = data[at]
        if mark in _OLD:
            old, at = _tuple(data, at + 1, names)
            if mark == _KEY:
                old = {name: old[name] for name in relation.identity if name in old}
            mark = data[at] if at < len(data) else 0
        if mark == _NEW:
            new, at = _tuple(data, at + 1, names)
        return RowChange(kind, relation, old, new)


def _tuple(data: bytes, at: int, names: tuple[str, ...]) -> tuple[dict[str, Text], int]:
    at += 2  # the number of columns, which is that of the relation's
    values: dict[str, Text] = {}
    for name in names:
        kind = data[at]
        at += 1
        if kind == _AS_TEXT:
            start = at + 4
            at = start + _UINT32.unpack_from(data, at)[0]
            values[name] = data[start:at]
        elif kind == _NULL:
            values[name] = None
        elif kind != _UNCHANGED:
            raise PgoutputError(f"a value of kind {kind}")
    return values, at


def _relation(data: bytes) -> RelationMessage:
    (oid,) = _UINT32.unpack_from(data, 1)
    schema, at = _string(data, 5)
    name, at = _string(data, at)
    full = data[at : at + 1] == b"f"
    (count,) = _UINT16.unpack_from(data, at + 1)
    listed = list(_columns(data, at + 3, count))
    columns = tuple(column for column, _ in listed)
    identity = tuple(column for column, known in listed if known)
    return RelationMessage(oid, schema or "pg_catalog", name, columns, identity, full)


def _columns(data: bytes, at: int, count: int) -> Iterator[tuple[str, bool]]:
    for _ in range(count):
        known = bool(data[at] & 1)
        name, at = _string(data, at + 1)
        at += _COLUMN_TYPE.size
        yield name, known


def _string(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode("utf-8", "replace"), end + 1
