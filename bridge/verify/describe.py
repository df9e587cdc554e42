"""Describe: what a tier says can be asked for, and a query made of it.

The generated stubs of this version have no Describe yet: the members that are needed are read by
messages declared here, by their numbers in the contract.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from livequery.v1 import livequery_pb2 as pb

from .calls import CallEnd, CallFailedError, TierClient

ROWS = 10
_FIELD = descriptor_pb2.FieldDescriptorProto


@dataclass(frozen=True, slots=True)
class DescribedEntity:
    """An entity, the columns that a query may sort by, and the largest window (0: not told)."""

    name: str
    sortable: Sequence[str]
    max_limit: int


async def describe(client: TierClient, within: float) -> list[DescribedEntity]:
    """Ask the tier what can be queried; raises CallFailedError (UNIMPLEMENTED: nothing told)."""
    answer = await client.unary("Describe", b"", within)
    try:
        response = _RESPONSE.FromString(answer)
    except DecodeError:
        raise CallFailedError(CallEnd("INTERNAL", "unreadable DescribeResponse")) from None
    return [
        DescribedEntity(
            entity.name,
            [column.name for column in entity.columns if column.sortable],
            entity.max_limit,
        )
        for entity in response.entities
    ]


def query_for(entities: Sequence[DescribedEntity]) -> pb.LiveQuery | None:
    """Return a query that suits the first entity with a sortable column, or the first of all."""
    if not entities:
        return None
    entity = next((entity for entity in entities if entity.sortable), entities[0])
    limit = min(ROWS, entity.max_limit) if entity.max_limit else ROWS
    sort = [pb.SortKey(column=name) for name in entity.sortable[:1]]
    return pb.LiveQuery(entity=entity.name, sort=sort, limit=limit)


def _message(name: str, *fields: tuple[str, int, int, int, str]) -> descriptor_pb2.DescriptorProto:
    message = descriptor_pb2.DescriptorProto(name=name)
    for field, number, kind, label, type_name in fields:
        message.field.add(
            name=field,
            number=number,
            type=kind,
            label=label,
            type_name=type_name or None,
        )
    return message


def _response_class() -> Any:
    text, flag, number, nested = (
        _FIELD.TYPE_STRING,
        _FIELD.TYPE_BOOL,
        _FIELD.TYPE_INT32,
        _FIELD.TYPE_MESSAGE,
    )
    one, many = _FIELD.LABEL_OPTIONAL, _FIELD.LABEL_REPEATED
    file = descriptor_pb2.FileDescriptorProto(name="verify/describe.proto", package="verify")
    file.syntax = "proto3"
    file.message_type.extend(
        [
            _message("Column", ("name", 1, text, one, ""), ("sortable", 4, flag, one, "")),
            _message(
                "Entity",
                ("name", 1, text, one, ""),
                ("columns", 2, nested, many, ".verify.Column"),
                ("max_limit", 5, number, one, ""),
            ),
            _message("DescribeResponse", ("entities", 1, nested, many, ".verify.Entity")),
        ]
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("verify.DescribeResponse"))


_RESPONSE = _response_class()
