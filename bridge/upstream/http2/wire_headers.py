"""Wire headers: what comes before an HTTP/2 frame and before a gRPC message.

Compiled, their bytes are looked at; interpreted, `struct` is quicker.
"""

import contextlib
import struct
from typing import Final

from bridge.core.build import IS_COMPILED

with contextlib.suppress(ImportError):  # it is there while this is compiled, and not looked up then
    from mypy_extensions import i64

FRAME_HEADER_SIZE: Final = 9
MESSAGE_PREFIX_SIZE: Final = 5
_unpack_header: Final = struct.Struct(">HBBBI").unpack_from
_unpack_prefix: Final = struct.Struct(">BI").unpack_from
_STREAM_MASK: Final = 0x7FFFFFFF


def read_frame_header(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Return length, type, flags and stream (RFC 9113, section 4.1)."""
    if IS_COMPILED:
        length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
        return length, data[at + 3], data[at + 4], _uint32(data, at + 5) & _STREAM_MASK
    high, low, kind, flags, stream = _unpack_header(data, at)
    return high << 8 | low, kind, flags, stream & _STREAM_MASK  # the reserved bit must be ignored


def read_message_prefix(data: bytes, at: int) -> tuple[int, int]:
    """Return the compressed flag and the length (gRPC over HTTP/2, Length-Prefixed-Message)."""
    if IS_COMPILED:
        return data[at], _uint32(data, at + 1)
    flag, length = _unpack_prefix(data, at)
    return flag, length


def _uint32(data: bytes, at: "i64") -> "i64":
    return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]
