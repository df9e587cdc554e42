"""Encodings: how a bundle of groups is printed for each protocol and transport.

Core is docs/wire.md §3 and §4, v1 is §5. An encoding is a function; `Bundle.encoded` keeps its
bytes, so that all viewers at the same position share them.
"""

from bridge.core.bundle import Bundle

from .sse import http_chunk, sse_event, sse_events
from .websocket import ws_text_frames


def core_sse(bundle: Bundle) -> bytes:
    """Print events, `id:` being the stream_id."""
    return sse_events(bundle)


def core_sse_chunked(bundle: Bundle) -> bytes:
    """Print events as one chunk of an HTTP/1.1 body."""
    return http_chunk(bundle.encoded(core_sse))


def core_ws(bundle: Bundle) -> bytes:
    """Print each frame as one text message."""
    return ws_text_frames(bundle)


def v1_tail(bundle: Bundle) -> bytes:
    """Print what a v1 `frames` message has after the subscription's name."""
    frames = b",".join([frame.data for frame in bundle])
    return b'"pos":"%b","frames":[%b]}' % (bundle.position.encode(), frames)


def v1_sse(bundle: Bundle) -> bytes:
    """Print events, the last one of a group with the position after it as its `id:`."""
    events = []
    for group, position in zip(bundle.groups, bundle.positions, strict=True):
        *others, last = group.frames
        events += [sse_event(frame, "") for frame in others]
        events.append(sse_event(last, position))
    return b"".join(events)


def v1_sse_chunked(bundle: Bundle) -> bytes:
    """Print events as one chunk of an HTTP/1.1 body."""
    return http_chunk(bundle.encoded(v1_sse))
