"""Lazy messages: SubscribeResponse with the messages inside a delta as bytes.

The classes are derived from the contract's own descriptor, and have the same wire format. To make
a Python object for each inner message costs more than the rest of a delta. Most of them repeat
what was just parsed (the cursor of a row that is updated again, the time of a change) or are not
needed (`reset`).
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from livequery.v1 import livequery_pb2 as pb

_PARSED: Final = (pb.SubscribeResponse, pb.DeltaBatch, pb.LiveDelta)


def _lazy_file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="lazy.proto", package="livequery.v1", syntax="proto3")
    names = [f".{kind.DESCRIPTOR.full_name}" for kind in _PARSED]
    for kind in _PARSED:
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
                # Without presence, an absent field and an empty one could not be told apart.
                field.proto3_optional = True
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
    return file


def _classes() -> tuple[Any, ...]:
    pool = DescriptorPool()
    pool.AddSerializedFile(_lazy_file().SerializeToString())
    return tuple(
        [GetMessageClass(pool.FindMessageTypeByName(kind.DESCRIPTOR.full_name)) for kind in _PARSED]
    )


# All are held: an unreferenced class would be made again, while a message is parsed.
LazyResponse, LazyBatch, LazyDelta = _classes()
"""The classes of `_PARSED`, with bytes for `started`, `heartbeat` and messages in a delta."""
