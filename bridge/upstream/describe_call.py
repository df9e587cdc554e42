"""Describe call: one Describe, on the way that streams take."""

from typing import Final

from google.protobuf.message import DecodeError

from bridge.core.schema import Schema, SchemaColumn, SchemaEntity
from bridge.live.backend import Identity
from bridge.upstream.http2.status import CallStatus
from livequery.v1 import livequery_pb2 as pb

from .endpoint import Endpoint
from .health import SERVICE
from .pooled_call import PooledCall
from .protobuf_conversion import OPERATOR_NAMES
from .status_translation import failure_of_status

_DESCRIBE: Final = f"/{SERVICE}/Describe"
_TYPE_PREFIX: Final = "COLUMN_TYPE_"


class DescribeCall:
    """A Describe at an endpoint. Once it has started it is over, and `schema` is the answer."""

    def __init__(self, *, endpoint: Endpoint, identity: Identity) -> None:
        self.pooled_call = PooledCall(endpoint)
        self.schema = Schema()
        self._identity = identity

    async def start(self) -> None:
        """Ask, and wait for the answer. Raises Failed, UNIMPLEMENTED without Describe."""
        call = self.pooled_call
        await call.start(_DESCRIBE, b"", self._identity.metadata)
        message = await call.read_first()
        # A unary call has one message; its status comes behind.
        await call.follow(_ignore)
        try:
            self.schema = schema_from_pb(pb.DescribeResponse.FromString(message))
        except DecodeError:
            status = CallStatus("INTERNAL", "an unreadable DescribeResponse")
            raise failure_of_status(status) from None

    def close(self) -> None:
        """End it. Idempotent."""
        self.pooled_call.close()


def _ignore(_: bytes) -> None:
    """Pass over a second message."""


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
