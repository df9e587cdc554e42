"""Describe call: one Describe, on the way that streams take."""

from typing import Final

from google.protobuf.message import DecodeError

from bridge.core.errors import Failed
from bridge.core.schema import Schema, SchemaColumn, SchemaEntity
from bridge.live.backend import Identity
from bridge.upstream.http2.call import CallEnded
from bridge.upstream.http2.status import CallStatus
from livequery.v1 import livequery_pb2 as pb

from .endpoint import Endpoint
from .health import SERVICE
from .protobuf_conversion import OPERATOR_NAMES
from .status_translation import failure_of_status

_DESCRIBE: Final = f"/{SERVICE}/Describe"
_TYPE_PREFIX: Final = "COLUMN_TYPE_"


async def describe(endpoint: Endpoint, identity: Identity) -> Schema:
    """Ask a replica what this caller may ask for.

    Raises:
        Failed: UNIMPLEMENTED where the tier has no Describe.

    """
    try:
        pooled = await endpoint.pool.acquire()
        try:
            call = pooled.connection.start_call(_DESCRIBE, b"", identity.metadata)
            try:
                message = await call.read()
                while await call.read() is not None:
                    pass  # a unary call has one message; its status comes behind
            finally:
                call.cancel()
        finally:
            endpoint.pool.release(pooled)
    except CallEnded as ended:
        raise failure_of_status(ended.status) from None
    return _parse(message)


def _parse(message: bytes | None) -> Schema:
    try:
        if message is not None:
            return schema_from_pb(pb.DescribeResponse.FromString(message))
    except DecodeError:
        pass
    raise _unreadable()


def _unreadable() -> Failed:
    return failure_of_status(CallStatus("INTERNAL", "a Describe without a readable answer"))


def schema_from_pb(response: pb.DescribeResponse) -> Schema:
    """Convert a DescribeResponse, without types and operators that the contract does not list."""
    return Schema(tuple(_entity(entity) for entity in response.entities))


def _entity(entity: pb.Entity) -> SchemaEntity:
    return SchemaEntity(
        name=entity.name,
        columns=tuple(_column(column) for column in entity.columns),
        key=tuple(entity.key),
        description=entity.description,
        max_limit=max(entity.max_limit, 0),
    )


def _column(column: pb.Column) -> SchemaColumn:
    return SchemaColumn(
        name=column.name,
        type=_TYPE_NAMES.get(column.type, ""),
        nullable=column.nullable,
        sortable=column.sortable,
        operators=tuple(OPERATOR_NAMES[op] for op in column.operators if op in OPERATOR_NAMES),
        description=column.description,
    )


_TYPE_NAMES: Final = {
    number: name.removeprefix(_TYPE_PREFIX).lower()
    for name, number in pb.ColumnType.items()
    if number != pb.COLUMN_TYPE_UNSPECIFIED
}
