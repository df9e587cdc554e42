"""Group: the frames of one source change, printed once for each form that viewers use.

A form is a function Group → bytes; what it prints is kept on the group and shared by every viewer
of that form. `sse` and `ws` are the core protocol's (docs/wire.md §3, §4).
"""

import struct
from collections.abc import Callable, Iterable
from typing import TypeAlias

from .delta import NAMES
from .frame import Frame


class Group:
    """Frames that clients apply as one, in order.

    `stream_id` names the source change; snapshots and diffs of the bridge's own have none.
    `at` is the change's time in seconds since the epoch, 0 when unknown.
    """

    __slots__ = ("_printed", "at", "frames", "size", "stream_id")

    def __init__(self, frames: Iterable[Frame], stream_id: str = "", at: float = 0.0) -> None:
        self.frames = frames = tuple(frames)
        self.stream_id = stream_id
        self.at = at
        size = 0
        for frame in frames:
            size += len(frame.data)
        self.size = size
        self._printed: dict[Form, bytes] = {}

    def printed(self, form: "Form") -> bytes:
        """Return the group in a form; made on first use, the same object ever after."""
        data = self._printed.get(form)
        if data is None:
            data = self._printed[form] = form(self)
        return data


Form: TypeAlias = Callable[[Group], bytes]


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


def sse(group: Group) -> bytes:
    """Print the events of a group."""
    if len(group.frames) == 1:
        return sse_event(group.frames[0], group.frames[0].stream_id)
    # `sse_event` written out: snapshots have a frame for every row, and nothing is copied twice.
    parts: list[bytes] = []
    for frame in group.frames:
        if frame.stream_id:
            parts += (b"id: ", frame.stream_id.encode(), b"\n")
        parts += (_EVENTS.get(frame.op, _EVENTS[0]), frame.data, b"\n\n")
    return b"".join(parts)


def sse_chunked(group: Group) -> bytes:
    """Print the events of a group as one chunk of an HTTP/1.1 body."""
    return chunk(group.printed(sse))


def ws(group: Group) -> bytes:
    """Print each frame as one text message."""
    if len(group.frames) == 1:
        return text_message(group.frames[0].data)
    return b"".join([text_message(frame.data) for frame in group.frames])


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
