"""Server-Sent Events as bytes (WHATWG HTML §9.2), and chunks of an HTTP/1.1 body."""

from collections.abc import Iterable
from typing import Final

from bridge.core.frame import Frame
from bridge.core.op import NAMES

_EVENT_LINES: Final = {op: b"event: %b\ndata: " % name.encode() for op, name in enumerate(NAMES)}


def sse_event(frame: Frame, event_id: str) -> bytes:
    """Encode one event: `id:` unless `event_id` is empty, `event:`, `data:` (§9.2.6)."""
    event = _EVENT_LINES.get(frame.op, _EVENT_LINES[0])
    if event_id:
        return b"id: %b\n%b%b\n\n" % (event_id.encode(), event, frame.data)
    return b"%b%b\n\n" % (event, frame.data)


def sse_events(frames: Iterable[Frame]) -> bytes:
    """Encode each frame as one event, with its stream_id as the id."""
    # As `sse_event` does, but no bytes are copied twice.
    parts: list[bytes] = []
    for frame in frames:
        if frame.stream_id:
            parts += (b"id: ", frame.stream_id.encode(), b"\n")
        parts += (_EVENT_LINES.get(frame.op, _EVENT_LINES[0]), frame.data, b"\n\n")
    return b"".join(parts)


def http_chunk(data: bytes) -> bytes:
    """Encode bytes as one chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
