"""Narrow: SubscribeResponse as it is read here, derived from the contract's own descriptor.

Messages inside a delta stay bytes: to make and ask an object for each costs more than all else
about it, while most hold what was seen just before (the cursor of a row that is updated again, the
time of a change) or what nobody asks for (`reset`). On the wire the two are one and the same.
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from livequery.v1 import livequery_pb2 as pb

_READ: Final = (pb.SubscribeResponse, pb.DeltaBatch, pb.LiveDelta)


def _narrowed() -> FileDescriptorProto:
    file = FileDescriptorProto(name="narrow.proto", package="livequery.v1", syntax="proto3")
    names = [f".{kind.DESCRIPTOR.full_name}" for kind in _READ]
    for kind in _READ:
        message = file.message_type.add()
        kind.DESCRIPTOR.CopyToProto(message)
        for field in message.field:
            if field.type == FieldDescriptorProto.TYPE_ENUM:
                field.type = FieldDescriptorProto.TYPE_INT32
            elif field.type == FieldDescriptorProto.TYPE_MESSAGE and field.type_name not in names:
                field.type = FieldDescriptorProto.TYPE_BYTES
            else:
                continue
            field.ClearField("type_name")
            if not field.HasField("oneof_index"):
                # Absent and empty differ in bytes only if they are asked to.
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
    return file


def _classes() -> tuple[Any, ...]:
    pool = DescriptorPool()
    pool.AddSerializedFile(_narrowed().SerializeToString())
    return tuple(
        [GetMessageClass(pool.FindMessageTypeByName(kind.DESCRIPTOR.full_name)) for kind in _READ]
    )


# All are named: a class that nobody holds would be made again, at some message.
LazyResponse, LazyBatch, LazyDelta = _classes()
"""The classes of `_READ`, but for `started`, `heartbeat` and what a delta holds: bytes."""
