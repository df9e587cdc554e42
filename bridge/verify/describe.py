"""Describe: what a tier says can be asked for, a query made of it, and rows judged by it."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError

from livequery.v1 import livequery_pb2 as pb

from .calls import CallEnd, CallFailedError, TierClient

ROWS = 10


async def describe(client: TierClient, within: float) -> Sequence[pb.Entity]:
    """Ask the tier what can be queried; raises CallFailedError (UNIMPLEMENTED: nothing told)."""
    answer = await client.unary("Describe", b"", within)
    try:
        return pb.DescribeResponse.FromString(answer).entities
    except DecodeError:
        raise CallFailedError(CallEnd("INTERNAL", "unreadable DescribeResponse")) from None


def query_for(entities: Sequence[pb.Entity]) -> pb.LiveQuery | None:
    """Return a query that suits the first entity with a sortable column, or the first of all."""
    if not entities:
        return None
    entity = next((entity for entity in entities if _sortable(entity)), entities[0])
    limit = min(ROWS, entity.max_limit) if entity.max_limit else ROWS
    sort = [pb.SortKey(column=name) for name in _sortable(entity)[:1]]
    return pb.LiveQuery(entity=entity.name, sort=sort, limit=limit)


def _sortable(entity: pb.Entity) -> list[str]:
    return [column.name for column in entity.columns if column.sortable]


def structure_fault(entity: pb.Entity) -> str:
    """Return what is wrong with an entity by itself; empty for nothing."""
    names = [column.name for column in entity.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        return f"{twice} more than once"
    if "" in names:
        return "a column without a name"
    if missing := [name for name in entity.key if names and name not in names]:
        return f"{missing} of the key among no columns"
    return ""


_KINDS: dict[pb.ColumnType, tuple[type, ...]] = {
    pb.COLUMN_TYPE_BOOL: (bool,),
    pb.COLUMN_TYPE_INT: (int,),
    pb.COLUMN_TYPE_DOUBLE: (int, float),
    pb.COLUMN_TYPE_DECIMAL: (int, float, str),
    pb.COLUMN_TYPE_STRING: (str,),
    pb.COLUMN_TYPE_TIMESTAMP: (str,),
    pb.COLUMN_TYPE_DATE: (str,),
    pb.COLUMN_TYPE_BYTES: (str,),
    pb.COLUMN_TYPE_JSON: (list, dict),
}
"""What a column's values are in JSON, as Python reads them."""


def row_fault(entity: pb.Entity, row: dict[str, Any]) -> str:
    """Return where a row is not as its entity is described; empty for nowhere."""
    for column in entity.columns:
        if column.name not in row:
            return f"no {column.name!r} in {sorted(row)[:10]}"
        value, kinds = row[column.name], _KINDS.get(column.type)
        if value is None:
            if not column.nullable:
                return f"{column.name!r} is null"
        elif kinds and type(value) not in kinds:
            name = pb.ColumnType.Name(column.type).removeprefix("COLUMN_TYPE_").lower()
            return f"{column.name!r}, told to be {name}, is {type(value).__name__}"
    return ""
