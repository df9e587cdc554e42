"""Encoders: what a client of each protocol is sent, as bytes. Pure; bytes are shared if possible.

Core (docs/wire.md §3, §4) has messages for frames alone. v1 (§5) adds positions, readiness and the
state of the tier. A method returns b"" where its protocol has no message.
"""

from bridge.core.bundle import Bundle, Encoding, SharedEncoding
from bridge.core.digest import DigestFunction
from bridge.core.errors import Failed

from .encodings import core_sse, core_sse_chunked, core_ws, v1_sse, v1_sse_chunked, v1_tail
from .sse import http_chunk
from .v1_messages import ended_reason, error_members, format_message, frames_head
from .websocket import OPCODE_TEXT, ws_frame_header, ws_text_frame

_CLEAR_ID = b"id:\n\n"
_CLEAR_ID_CHUNK = http_chunk(_CLEAR_ID)
_PING = b": ping\n\n"
_PING_CHUNK = http_chunk(_PING)
_LAST_CHUNK = b"0\r\n\r\n"
_CORE_WS = SharedEncoding(core_ws)
_CORE_SSE = {
    (chunked, named): SharedEncoding(core_sse_chunked if chunked else core_sse, named)
    for chunked in (False, True)
    for named in (False, True)
}
_V1_SSE = {False: SharedEncoding(v1_sse), True: SharedEncoding(v1_sse_chunked)}


class CoreWsEncoder:
    """Each frame is one text message."""

    __slots__ = ()
    resets = True

    @property
    def shared(self) -> SharedEncoding | None:
        """How groups are printed."""
        return _CORE_WS

    def frames(self, bundle: Bundle) -> bytes:
        """Print groups."""
        return bundle.encoded(core_ws)

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Core has no word for it."""
        del rows, resumed, digest
        return b""

    def state(self, stale: str | None) -> bytes:
        """Core has no word for it."""
        del stale
        return b""


class SseEncoder(CoreWsEncoder):
    """What event streams of both protocols share. `chunked`: the body is in chunks (HTTP/1.1)."""

    __slots__ = ("_chunked",)
    sends_beats = False
    """Whether `beat` has a message."""

    def __init__(self, *, chunked: bool) -> None:
        self._chunked = chunked

    def retry(self, milliseconds: int) -> bytes:
        """Print the first line of a stream: when EventSource comes back (WHATWG HTML §9.2.6)."""
        line = b"retry: %d\n\n" % milliseconds
        return http_chunk(line) if self._chunked else line

    def ping(self) -> bytes:
        """Print the comment that keeps a silent connection open."""
        return _PING_CHUNK if self._chunked else _PING

    def beat(self, digest: str | None) -> bytes:
        """Print `beat`, by which a client verifies its window."""
        del digest
        return b""

    def drain(self, reconnect_after_ms: int) -> bytes:
        """Print `drain`: the bridge is about to close the stream."""
        del reconnect_after_ms
        return b""

    def ended(self, failure: Failed | None) -> bytes:
        """Print `ended`, after an `error` where coming back unchanged is pointless."""
        del failure
        return b""

    def end(self) -> bytes:
        """Print the end of the body."""
        return _LAST_CHUNK if self._chunked else b""


class CoreSseEncoder(SseEncoder):
    """Each frame is one event. `holds_id`: the client has a last event id, to be cleared."""

    __slots__ = ("_holds_id",)

    def __init__(self, *, chunked: bool, holds_id: bool) -> None:
        super().__init__(chunked=chunked)
        self._holds_id = holds_id

    @property
    def _form(self) -> Encoding:
        return core_sse_chunked if self._chunked else core_sse

    @property
    def shared(self) -> SharedEncoding | None:
        """How groups are printed as long as the client need not be told of another kind of id."""
        return _CORE_SSE[self._chunked, self._holds_id]

    def frames(self, bundle: Bundle) -> bytes:
        """Print groups; before one without a name, the id that the client holds is cleared."""
        form = self._form
        if bundle.has_stream_ids or (bundle.has_stream_ids is False and not self._holds_id):
            self._holds_id = bundle.has_stream_ids
            return bundle.encoded(form)
        parts = []
        for part in bundle.split():
            named = bool(part.groups[0].stream_id)
            if self._holds_id and not named:
                parts.append(_CLEAR_ID_CHUNK if self._chunked else _CLEAR_ID)
            self._holds_id = named
            parts.append(part.encoded(form))
        return parts[0] if len(parts) == 1 else b"".join(parts)


class V1WsEncoder:
    """A client's subscription on a v1 socket, under the client's own name for it."""

    __slots__ = ("_head", "_sub")
    resets = False
    shared: SharedEncoding | None = None

    def __init__(self, sub: str) -> None:
        self._sub = sub
        self._head = frames_head(sub)

    def frames(self, bundle: Bundle) -> bytes:
        """Print one `frames` message: what is the client's own is a small head."""
        tail = bundle.encoded(v1_tail)
        head = ws_frame_header(OPCODE_TEXT, len(self._head) + len(tail))
        return b"".join((head, self._head, tail))

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Print `ready`."""
        return ws_text_frame(
            format_message("ready", sub=self._sub, rows=rows, resumed=resumed, digest=digest())
        )

    def state(self, stale: str | None) -> bytes:
        """Print `stale` or `live`."""
        if stale is None:
            return ws_text_frame(format_message("live", sub=self._sub, reason="resubscribed"))
        return ws_text_frame(format_message("stale", sub=self._sub, reason=stale))


class V1SseEncoder(SseEncoder):
    """v1 over SSE: frames are events, and so is every other message, under its own name."""

    __slots__ = ()
    resets = False
    sends_beats = True

    @property
    def shared(self) -> SharedEncoding:
        """How groups are printed."""
        return _V1_SSE[self._chunked]

    def frames(self, bundle: Bundle) -> bytes:
        """Print groups; the last frame of each has its position as `id:`."""
        return self.shared.encode(bundle)

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Print `ready`."""
        return self._event("ready", rows=rows, resumed=resumed, digest=digest())

    def state(self, stale: str | None) -> bytes:
        """Print `stale` or `live`."""
        if stale is None:
            return self._event("live", reason="resubscribed")
        return self._event("stale", reason=stale)

    def beat(self, digest: str | None) -> bytes:
        """Print `beat`; without `digest` where the window has none."""
        return self._event("beat", digest=digest)

    def drain(self, reconnect_after_ms: int) -> bytes:
        """Print `drain`."""
        return self._event("drain", reconnect_after_ms=reconnect_after_ms)

    def ended(self, failure: Failed | None) -> bytes:
        """Print `ended`, after `problem` where coming back unchanged is pointless."""
        ended = self._event("ended", reason=ended_reason(failure, asked=False))
        if failure is None or not failure.final:
            return ended
        return self._event("error", **error_members(failure)) + ended

    def _event(self, kind: str, **members: object) -> bytes:
        """Print a message as an event; `error` is EventSource's own name, so it is `problem`."""
        name = "problem" if kind == "error" else kind
        data = b"event: %b\ndata: %b\n\n" % (name.encode(), format_message(kind, **members))
        return http_chunk(data) if self._chunked else data
