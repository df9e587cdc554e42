"""Server-Sent Events as bytes (WHATWG HTML §9.2), and chunks of an HTTP/1.1 body."""

from collections.abc import Iterable

from bridge.core.frame import Frame
from bridge.core.op import NAMES

_EVENTS = {op: b"event: %b\ndata: " % name.encode() for op, name in enumerate(NAMES)}


def sse_event(frame: Frame, event_id: str) -> bytes:
    """Print one event (WHATWG HTML §9.2.6): id where there is one, event, data."""
    head = _EVENTS.get(frame.op, _EVENTS[0])
    if event_id:
        return b"id: %b\n%b%b\n\n" % (event_id.encode(), head, frame.data)
    return b"%b%b\n\n" % (head, frame.data)


def http_chunk(data: bytes) -> bytes:
    """Wrap bytes as one chunk of a chunked body (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def sse_events(frames: Iterable[Frame]) -> bytes:
    """Print an event for each frame, its stream_id being the id."""
    # `sse_event` written out: nothing is copied twice.
    parts: list[bytes] = []
    for frame in frames:
        if frame.stream_id:
            parts += (b"id: ", frame.stream_id.encode(), b"\n")
        parts += (_EVENTS.get(frame.op, _EVENTS[0]), frame.data, b"\n\n")
    return b"".join(parts)
