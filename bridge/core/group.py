"""Group: the frames of one source change, and how frames are written to core clients.

`sse` and `ws` print them in the core protocol's two forms (docs/wire.md §3, §4).
"""

import struct
from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from .delta import NAMES
from .frame import Frame


class Group(msgspec.Struct, frozen=True, eq=False, gc=False):
    """Frames that clients apply as one, in order.

    `stream_id` names the source change; snapshots and diffs of the bridge's own have none.
    `at` is the change's time in seconds since the epoch, 0 when unknown.

    The collector of cycles doesn't look at groups, of which logs hold many: there are none in it.
    """

    frames: tuple[Frame, ...]
    stream_id: str = ""
    at: float = 0.0


Change: TypeAlias = Frame | Group
"""What clients apply as one. Mostly that is one frame, which needs no group around it."""


_EVENTS = {op: b"event: %b\ndata: " % name.encode() for op, name in enumerate(NAMES)}


def sse_event(frame: Frame, event_id: str) -> bytes:
    """Print one event (WHATWG HTML §9.2.6): id where there is one, event, data."""
    head = _EVENTS.get(frame.op, _EVENTS[0])
    if event_id:
        return b"id: %b\n%b%b\n\n" % (event_id.encode(), head, frame.data)
    return b"%b%b\n\n" % (head, frame.data)


def chunk(data: bytes) -> bytes:
    """Wrap bytes as one chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def sse(frames: Iterable[Frame]) -> bytes:
    """Print an event for each frame, its stream_id being the id."""
    # `sse_event` written out: nothing is copied twice.
    parts: list[bytes] = []
    for frame in frames:
        if frame.stream_id:
            parts += (b"id: ", frame.stream_id.encode(), b"\n")
        parts += (_EVENTS.get(frame.op, _EVENTS[0]), frame.data, b"\n\n")
    return b"".join(parts)


def ws(frames: Iterable[Frame]) -> bytes:
    """Print each frame as one text message."""
    parts: list[bytes] = []
    for frame in frames:
        parts += (message_head(_TEXT, len(frame.data)), frame.data)
    return b"".join(parts)


_TEXT, _FIN = 0x01, 0x80
_head_16 = struct.Struct(">BBH").pack
_head_64 = struct.Struct(">BBQ").pack


def text_message(payload: bytes) -> bytes:
    """Wrap a payload as one unfragmented, unmasked text message (RFC 6455 §5.2)."""
    return message_head(_TEXT, len(payload)) + payload


def message_head(opcode: int, length: int) -> bytes:
    """Print the header of a server's message (RFC 6455 §5.2)."""
    if length < 126:  # noqa: PLR2004 - RFC 6455 §5.2: one byte, else two, else eight
        return bytes((_FIN | opcode, length))
    if length < 1 << 16:
        return _head_16(_FIN | opcode, 126, length)
    return _head_64(_FIN | opcode, 127, length)
