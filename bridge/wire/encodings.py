"""Encodings: a bundle of groups as bytes, for each protocol and transport.

Core is docs/wire.md §3 and §4, v1 is §5. `Bundle.encoded` keeps the bytes of each encoding, so that
all viewers at the same position share them.
"""

from bridge.core.bundle import Bundle

from .sse import http_chunk, sse_event, sse_events
from .v1_messages import frames_prefix
from .websocket import OPCODE_TEXT, ws_frame_header, ws_text_frames


def core_sse(bundle: Bundle) -> bytes:
    """Encode each frame as one event, with its stream_id as `id:`."""
    return sse_events(bundle)


def core_sse_chunked(bundle: Bundle) -> bytes:
    """Encode as `core_sse`, in one chunk of an HTTP/1.1 body."""
    return http_chunk(sse_events(bundle))


def core_ws(bundle: Bundle) -> bytes:
    """Encode each frame as one text message."""
    return ws_text_frames(bundle)


def v1_ws_suffix(bundle: Bundle) -> bytes:
    """Encode the members of a `frames` message that follow `v1_messages.frames_prefix`."""
    frames = b",".join([frame.data for frame in bundle])
    return b'"pos":"%b","frames":[%b]}' % (bundle.position.encode(), frames)


class V1WsFrames:
    """Encode as one `frames` message, for all subscriptions to which clients gave the same name.

    Encodings of equal names are equal.
    """

    __slots__ = ("_prefix",)

    def __init__(self, sub: str) -> None:
        self._prefix = frames_prefix(sub)

    def __call__(self, bundle: Bundle) -> bytes:
        """Encode groups: the prefix is that of the name, the suffix that of all names."""
        suffix = bundle.encoded(v1_ws_suffix)
        header = ws_frame_header(OPCODE_TEXT, len(self._prefix) + len(suffix))
        return b"".join((header, self._prefix, suffix))

    def __eq__(self, other: object) -> bool:
        """Whether the names are equal."""
        return isinstance(other, V1WsFrames) and self._prefix == other._prefix

    def __hash__(self) -> int:
        """Hash the name."""
        return hash(self._prefix)


def v1_sse(bundle: Bundle) -> bytes:
    """Encode each frame as one event. The last of a group has the position after it as `id:`."""
    events = []
    for group, position in zip(bundle.groups, bundle.positions, strict=True):
        *others, last = group.frames
        events += [sse_event(frame, "") for frame in others]
        events.append(sse_event(last, position))
    return b"".join(events)


def v1_sse_chunked(bundle: Bundle) -> bytes:
    """Encode as `v1_sse`, in one chunk of an HTTP/1.1 body."""
    return http_chunk(v1_sse(bundle))
