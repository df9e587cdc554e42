"""Server-Sent Events as bytes (WHATWG HTML §9.2), and chunks of an HTTP/1.1 body."""

from collections.abc import Iterable
from typing import Final

from bridge.core.frame import Frame
from bridge.core.op import NAMES

_EVENT_LINES: Final = tuple([b"event: %b\ndata: " % name.encode() for name in NAMES])
_AFTER_ID: Final = tuple([b"\n" + line for line in _EVENT_LINES])
_OP_COUNT: Final = len(NAMES)


def sse_event(frame: Frame, event_id: str) -> bytes:
    """Encode one event: `id:` unless `event_id` is empty, `event:`, `data:` (§9.2.6)."""
    event = _EVENT_LINES[frame.op if 0 <= frame.op < _OP_COUNT else 0]
    if event_id:
        return b"id: %b\n%b%b\n\n" % (event_id.encode(), event, frame.data)
    return b"%b%b\n\n" % (event, frame.data)


def sse_events(frames: Iterable[Frame]) -> bytes:
    """Encode each frame as one event, with its stream_id as the id."""
    # As `sse_event` does, but no bytes are copied twice.
    parts: list[bytes] = []
    for frame in frames:
        op = frame.op if 0 <= frame.op < _OP_COUNT else 0
        if frame.stream_id:
            parts += (b"id: ", frame.stream_id.encode(), _AFTER_ID[op], frame.data, b"\n\n")
        else:
            parts += (_EVENT_LINES[op], frame.data, b"\n\n")
    return b"".join(parts)


def http_chunk(data: bytes) -> bytes:
    """Encode bytes as one chunk of a chunked body (RFC 9112 §7.1)."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))
