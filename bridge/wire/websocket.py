"""WebSocket frames of a server as bytes (RFC 6455 §5.2): unfragmented, unmasked."""

import struct
from collections.abc import Iterable
from typing import Final

from bridge.core.frame import Frame

# RFC 6455 §5.2, the opcodes that a server sends.
OPCODE_TEXT: Final = 0x01
OPCODE_CLOSE: Final = 0x08
OPCODE_PING: Final = 0x09
OPCODE_PONG: Final = 0x0A

# RFC 6455 §7.4.1, the close codes that belong to no failure. The others: `core.errors.FAILURES`.
CLOSE_NORMAL: Final = 1000
CLOSE_GOING_AWAY: Final = 1001
CLOSE_INTERNAL_ERROR: Final = 1011

_FIN: Final = 0x80
_BYTES: Final = [bytes((number,)) for number in range(256)]
_header_64: Final = struct.Struct(">BBQ").pack


def ws_frame_header(opcode: int, length: int) -> bytes:
    """Encode the header of a message with a payload of `length` bytes."""
    if length < 126:  # noqa: PLR2004 - RFC 6455 §5.2: one byte, else two, else eight
        return bytes((_FIN | opcode, length))
    if length < 1 << 16:
        # As nearly all are. A tilde is 126.
        return b"%b~%b%b" % (_BYTES[_FIN | opcode], _BYTES[length >> 8], _BYTES[length & 0xFF])
    return _header_64(_FIN | opcode, 127, length)


def ws_text_frame(payload: bytes) -> bytes:
    """Encode one text message."""
    return ws_frame_header(OPCODE_TEXT, len(payload)) + payload


def ws_text_frames(frames: Iterable[Frame]) -> bytes:
    """Encode each frame as one text message."""
    parts: list[bytes] = []
    for frame in frames:
        parts += (ws_frame_header(OPCODE_TEXT, len(frame.data)), frame.data)
    return b"".join(parts)
