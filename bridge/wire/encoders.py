"""Encoders: what one client is sent, in its protocol and over its transport.

Core (docs/wire.md §3, §4) sends frames alone. v1 (§5) adds positions, `ready` and the state of the
tier. Bytes are shared between viewers wherever they can be.
"""

from bridge.core.bundle import Bundle, Encoding, SharedEncoding
from bridge.core.digest import DigestFunction
from bridge.core.errors import Failed

from .encodings import V1WsFrames, core_sse, core_sse_chunked, core_ws, v1_sse, v1_sse_chunked
from .sse import http_chunk
from .v1_messages import ended_reason, error_members, format_message, rfc3339
from .websocket import ws_text_frame

_CLEAR_ID = b"id:\n\n"
_CLEAR_ID_CHUNK = http_chunk(_CLEAR_ID)
_PING = b": ping\n\n"
_PING_CHUNK = http_chunk(_PING)
_LAST_CHUNK = b"0\r\n\r\n"
_CORE_WS = SharedEncoding(core_ws)
_CORE_SSE = {
    (chunked, holds_id): SharedEncoding(core_sse_chunked if chunked else core_sse, holds_id)
    for chunked in (False, True)
    for holds_id in (False, True)
}
LONGEST_SHARED = 16
"""Characters of a name that many clients may use for one query. A longer one is drawn at random."""
_V1_SSE = {False: SharedEncoding(v1_sse), True: SharedEncoding(v1_sse_chunked)}


class _CoreEncoder:
    """What both transports of core have in common: no message but frames."""

    __slots__ = ()
    resets = True

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Return nothing: core has no such message."""
        del rows, resumed, digest
        return b""

    def state(self, stale: str | None) -> bytes:
        """Return nothing: core has no such message."""
        del stale
        return b""


class CoreWsEncoder(_CoreEncoder):
    """Core over WebSocket: each frame is one text message."""

    __slots__ = ()

    @property
    def shared(self) -> SharedEncoding | None:
        """The encoding that all viewers of this kind share."""
        return _CORE_WS

    def frames(self, bundle: Bundle) -> bytes:
        """Encode groups."""
        return bundle.encoded(core_ws)


class SseEncoder(_CoreEncoder):
    """What event streams of both protocols have in common. `chunked`: the body is in chunks."""

    __slots__ = ("_chunked",)
    sends_beats = False
    """Whether `beat` is a message of the protocol."""

    def __init__(self, *, chunked: bool) -> None:
        self._chunked = chunked

    def retry(self, milliseconds: int) -> bytes:
        """Encode the first line of a stream: after how long EventSource comes back.

        It is a part of the first event: some clients hand over every block, also one without data.
        """
        line = b"retry: %d\n" % milliseconds
        return http_chunk(line) if self._chunked else line

    def ping(self) -> bytes:
        """Encode the comment that keeps an idle connection open."""
        return _PING_CHUNK if self._chunked else _PING

    def beat(self, digest: str | None) -> bytes:
        """Return nothing: core has no such message."""
        del digest
        return b""

    def auth_expiring(self, expires_at: float) -> bytes:
        """Return nothing: core has no such message."""
        del expires_at
        return b""

    def drain(self, reconnect_after_ms: int) -> bytes:
        """Return nothing: core has no such message."""
        del reconnect_after_ms
        return b""

    def ended(self, failure: Failed | None) -> bytes:
        """Return nothing: core has no such message."""
        del failure
        return b""

    def end(self) -> bytes:
        """Encode the end of the body."""
        return _LAST_CHUNK if self._chunked else b""


class CoreSseEncoder(SseEncoder):
    """Core over SSE: each frame is one event.

    `holds_id`: the client has a last event id, which must be cleared before frames without one.
    """

    __slots__ = ("_holds_id", "_retry")

    def __init__(self, *, chunked: bool, holds_id: bool) -> None:
        super().__init__(chunked=chunked)
        self._holds_id = holds_id
        self._retry = b""
        """The first line, where it waits for the first event."""

    def retry(self, milliseconds: int) -> bytes:
        """Encode the first line; b"" if a block that clears the id may have to come before it."""
        line = super().retry(milliseconds)
        if not self._holds_id:
            return line
        self._retry = line
        return b""

    @property
    def shared(self) -> SharedEncoding | None:
        """The shared encoding of bundles that leave the client as it is: with an id, or without."""
        return _CORE_SSE[self._chunked, self._holds_id]

    def frames(self, bundle: Bundle) -> bytes:
        """Encode groups. Before one without stream_id, clear the id that the client holds."""
        if self._retry:
            return self._first_frames(bundle)
        encoding: Encoding = core_sse_chunked if self._chunked else core_sse
        with_ids = bundle.has_stream_ids
        if with_ids or (with_ids is False and not self._holds_id):
            self._holds_id = with_ids
            return bundle.encoded(encoding)
        parts = []
        for part in bundle.split():
            with_id = bool(part.groups[0].stream_id)
            if self._holds_id and not with_id:
                parts.append(_CLEAR_ID_CHUNK if self._chunked else _CLEAR_ID)
            self._holds_id = with_id
            parts.append(part.encoded(encoding))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _first_frames(self, bundle: Bundle) -> bytes:
        """Encode groups, `retry:` in the first event, behind the block that clears the id."""
        retry, self._retry = self._retry, b""
        if bundle.groups[0].stream_id:
            return retry + self.frames(bundle)
        self._holds_id = False
        return (_CLEAR_ID_CHUNK if self._chunked else _CLEAR_ID) + retry + self.frames(bundle)

    def end(self) -> bytes:
        """Encode the end of the body; before it the first line, if no event came."""
        return self._retry + super().end()


class V1WsEncoder:
    """One subscription of a v1 socket, under the name that the client gave it."""

    __slots__ = ("_frames", "_sub", "shared")
    resets = False

    def __init__(self, sub: str) -> None:
        self._sub = sub
        self._frames = V1WsFrames(sub)
        self.shared = SharedEncoding(self._frames) if len(sub) <= LONGEST_SHARED else None
        """The encoding that all viewers of this name share; None where nobody else has it."""

    def frames(self, bundle: Bundle) -> bytes:
        """Encode groups as one `frames` message."""
        return self._frames(bundle) if self.shared is None else bundle.encoded(self._frames)

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Encode `ready`."""
        return ws_text_frame(
            format_message("ready", sub=self._sub, rows=rows, resumed=resumed, digest=digest())
        )

    def state(self, stale: str | None) -> bytes:
        """Encode `stale` with its reason, or `live` for None."""
        if stale is None:
            return ws_text_frame(format_message("live", sub=self._sub, reason="resubscribed"))
        return ws_text_frame(format_message("stale", sub=self._sub, reason=stale))


class V1SseEncoder(SseEncoder):
    """v1 over SSE: each frame is one event, and so is every other message, under its type."""

    __slots__ = ()
    resets = False
    sends_beats = True

    @property
    def shared(self) -> SharedEncoding:
        """The encoding that all viewers of this kind share."""
        return _V1_SSE[self._chunked]

    def frames(self, bundle: Bundle) -> bytes:
        """Encode groups; the last frame of each has the position after it as `id:`."""
        return self.shared.encode(bundle)

    def ready(self, rows: int, resumed: str, digest: DigestFunction) -> bytes:
        """Encode `ready`."""
        return self._event("ready", rows=rows, resumed=resumed, digest=digest())

    def state(self, stale: str | None) -> bytes:
        """Encode `stale` with its reason, or `live` for None."""
        if stale is None:
            return self._event("live", reason="resubscribed")
        return self._event("stale", reason=stale)

    def beat(self, digest: str | None) -> bytes:
        """Encode `beat`; None: the window has no digest now."""
        return self._event("beat", digest=digest)

    def auth_expiring(self, expires_at: float) -> bytes:
        """Encode `auth_expiring`."""
        return self._event("auth_expiring", expires_at=rfc3339(expires_at))

    def drain(self, reconnect_after_ms: int) -> bytes:
        """Encode `drain`."""
        return self._event("drain", reconnect_after_ms=reconnect_after_ms)

    def ended(self, failure: Failed | None) -> bytes:
        """Encode `ended`, after `problem` where coming back unchanged is pointless."""
        ended = self._event("ended", reason=ended_reason(failure, asked=False))
        if failure is None or not failure.final:
            return ended
        return self._event("error", **error_members(failure)) + ended

    def _event(self, kind: str, **members: object) -> bytes:
        """Encode a message as an event; `error` becomes `problem`, as EventSource has its own."""
        name = "problem" if kind == "error" else kind
        data = b"event: %b\ndata: %b\n\n" % (name.encode(), format_message(kind, **members))
        return http_chunk(data) if self._chunked else data
