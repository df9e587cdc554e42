"""Messages: the protobuf frames of fabriq.v1.Fabriq/LiveQuery, which carry JSON.

The descriptors are a table here and in a pool of their own: a package that is named as fabriq's
would clash with it, and a schema in `proto/` would be a promise of ours.
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE: Final = "fabriq.v1"
_SCALARS: Final = {
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "string": FieldDescriptorProto.TYPE_STRING,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
}
# Message → (field, type), numbered from 1.
_MESSAGES: Final = {
    "Query": (("query", "bytes"),),
    "Reanchor": (("cursor", "bytes"), ("limit", "int32")),
    "ClientFrame": (("query", "Query"), ("reanchor", "Reanchor")),
    "Error": (
        ("code", "string"),
        ("message", "string"),
        ("agg_id", "string"),
        ("version", "int64"),
    ),
    "ServerFrame": (("snapshot", "bytes"), ("delta", "bytes"), ("error", "Error")),
}


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="fabriq.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            added = message.field.add(
                name=field, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL
            )
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type = FieldDescriptorProto.TYPE_MESSAGE
                added.type_name = f".{_PACKAGE}.{kind}"
    return file


def _classes() -> dict[str, Any]:
    pool = DescriptorPool()
    pool.AddSerializedFile(_file().SerializeToString())
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


# All are held: an unreferenced class would be made again, while a message is parsed.
_CLASSES: Final = _classes()
ClientFrame: Final = _CLASSES["ClientFrame"]
"""What the bridge sends: `query` first, `reanchor` later."""
ServerFrame: Final = _CLASSES["ServerFrame"]
"""What the tier sends: `snapshot`, `delta` or `error`."""
