"""Rows of a reading as the engine has them. Pure.

Versions, laws:

- A row's version grows with every change of the row, as one tier reads it.
- Two tiers that read the same row give it the same version: it is the id of the transaction that
  wrote the row, with ten bits of the row's text. Ids need not be in the order of a row's changes;
  where they are not, the version goes on from the one before.
"""

import json
import zlib
from collections.abc import Mapping, Sequence

from livetier.engine.value import Scalar
from livetier.engine.window import Row
from livetier.postgres.connection import Rows
from livetier.postgres.fence import Snapshot
from livetier.postgres.plan import PostgresPlan
from livetier.postgres.relation import TableColumn
from livetier.postgres.transaction import Key

_HASH_BITS = 10
_HASH = (1 << _HASH_BITS) - 1

Encoded = tuple[Row, Key, tuple[bytes | None, ...]]
"""A row, its key, and its sort columns as PostgreSQL prints them."""


def encode_rows(
    plan: PostgresPlan, found: Rows, snapshot: Snapshot, known: Mapping[Scalar, Row]
) -> list[Encoded]:
    """Return the rows of a SELECT; one that is as in ``known`` is that very object."""
    relation, encoded = plan.relation, []
    kinds = [key.column.type for key in plan.sort]
    end = 2 + len(relation.key)
    for each in found:
        key, sort = each[2:end], each[end:]
        identifier = id_of(key, relation.key)
        text = each[0] or b"{}"
        row = known.get(identifier)
        version = _writer(each[1], snapshot) << _HASH_BITS
        if not plan.streamed:
            version |= zlib.crc32(text) & _HASH
        if each[1] is None and row is not None and row.json == text:
            version = row.version
        if row is None or row.version != version or row.json != text:
            if row is not None and version <= row.version:
                version = row.version if row.json == text else _after(row.version, version)
            order = tuple([kind.scalar(value) for kind, value in zip(kinds, sort, strict=True)])
            row = Row(version, text, (*order, identifier))
        encoded.append((row, key, sort))
    return encoded


def encode_members(
    plan: PostgresPlan, found: Rows, snapshot: Snapshot, known: Mapping[Scalar, int]
) -> tuple[dict[Scalar, int], tuple[Key, ...]]:
    """Return the version of each member by its id, and the keys of all."""
    versions: dict[Scalar, int] = {}
    keys = []
    for each in found:
        key = each[2:]
        identifier = id_of(key, plan.relation.key)
        version = _writer(each[1], snapshot) << _HASH_BITS
        before = known.get(identifier, 0)
        versions[identifier] = version if version >= before else before + 1
        keys.append(key)
    return versions, tuple(keys)


def _writer(xid: bytes | None, snapshot: Snapshot) -> int:
    """Return who wrote a row; where that may not be read, an id that is new with each snapshot."""
    return snapshot.xmax if xid is None else snapshot.widen_past(int(xid))


def _after(version: int, wanted: int) -> int:
    """Return the next version above ``version`` that ends in the bits of ``wanted``."""
    ends = (version & ~_HASH) | (wanted & _HASH)
    return ends if ends > version else ends + _HASH + 1


def id_of(key: Sequence[bytes | None], columns: Sequence[TableColumn]) -> Scalar:
    """Return the id of a row: a number or text; the JSON array of a key of several columns."""
    if len(columns) == 1:
        return _member(key[0], columns[0], plain=False)
    members = [_member(text, column, plain=True) for text, column in zip(key, columns, strict=True)]
    return json.dumps(members, ensure_ascii=False, separators=(",", ":"))


def _member(text: bytes | None, column: TableColumn, *, plain: bool) -> Scalar:
    value = column.type.scalar(text)
    if isinstance(value, bytes):
        return column.type.base64_of(value)
    if isinstance(value, bool):
        return value if plain else str(value).lower()
    if isinstance(value, float):
        return (text or b"").decode()
    return value
