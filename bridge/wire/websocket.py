"""WebSocket frames of a server as bytes (RFC 6455 §5.2): unfragmented, unmasked."""

import struct
from collections.abc import Iterable

from bridge.core.frame import Frame


def ws_text_frames(frames: Iterable[Frame]) -> bytes:
    """Print each frame as one text message."""
    parts: list[bytes] = []
    for frame in frames:
        parts += (ws_frame_header(_TEXT, len(frame.data)), frame.data)
    return b"".join(parts)


_TEXT, _FIN = 0x01, 0x80
_head_16 = struct.Struct(">BBH").pack
_head_64 = struct.Struct(">BBQ").pack


def ws_text_frame(payload: bytes) -> bytes:
    """Wrap a payload as one unfragmented, unmasked text message (RFC 6455 §5.2)."""
    return ws_frame_header(_TEXT, len(payload)) + payload


def ws_frame_header(opcode: int, length: int) -> bytes:
    """Print the header of a server's message (RFC 6455 §5.2)."""
    if length < 126:  # noqa: PLR2004 - RFC 6455 §5.2: one byte, else two, else eight
        return bytes((_FIN | opcode, length))
    if length < 1 << 16:
        return _head_16(_FIN | opcode, 126, length)
    return _head_64(_FIN | opcode, 127, length)
