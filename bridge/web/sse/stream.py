"""Stream: one event stream, from its query to its last event (docs/wire.md §3, §5).

Laws: it never waits; whoever holds its connection is told when it has begun and when it is over,
once, and tells it when the client is gone; whatever ends it, its subscription is given back. The
answer begins when the tier has started; then frames go from the subscription straight to the
transport.
"""

import asyncio
import logging
from typing import Protocol

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.query_parser import parse_query
from bridge.live.resume import Resume
from bridge.live.stream_end import End, EndReason
from bridge.web.context import STALLED, WebContext
from bridge.web.http.response_headers import stream_response_head
from bridge.web.idle_timers import IdleTimer
from bridge.web.origin_check import check_cookie
from bridge.web.parse_cache import parse_cached
from bridge.web.session_end import random_delay_ms
from bridge.web.stream_log import V1_SSE
from bridge.web.stream_request import StreamRequest
from bridge.web.transport_sink import TransportSink
from bridge.wire.encoders import CoreSseEncoder, V1SseEncoder
from bridge.wire.sse import http_chunk
from bridge.wire.v1_messages import ended_reason, error_members

logger = logging.getLogger(__name__)

RETRY_MS = (2000, 4000)
"""Milliseconds after which clients come back."""
_LAST_CHUNK = b"0\r\n\r\n"
_GONE = End(EndReason.CLIENT_GONE)


class StreamOwner(Protocol):
    """Who holds a stream's connection."""

    def begun(self) -> None:
        """Take note that the answer is on its way."""

    def refused(self, failure: Failed) -> None:
        """Tell a failure: nothing was said, and nothing will be."""

    def over(self, *, keep_alive: bool) -> None:
        """Take note that all is said. `keep_alive`: the connection may carry another request."""


class SseStream:
    """One answer to one request."""

    __slots__ = (
        "_ask",
        "_began",
        "_context",
        "_encoder",
        "_holder",
        "_idle_timers",
        "_keep_alive",
        "_left",
        "_opened",
        "_place",
        "_query",
        "_sink",
        "_viewer",
    )

    def __init__(self, context: WebContext, ask: StreamRequest, sink: TransportSink) -> None:
        self._context = context
        self._ask = ask
        self._sink = sink
        self._holder: StreamOwner | None = None
        self._encoder, resume = self._speak()
        self._place = context.place(ask.remote, ask.protocol, self._drain)
        self._viewer = context.viewer(context.send_buffer(sink, self._stall), self._encoder, resume)
        self._query: LiveQuery | None = None
        self._opened: asyncio.Future[None] | None = None
        self._began: float | None = None
        self._idle_timers: list[IdleTimer] = []
        self._keep_alive = False
        self._left = False

    def _speak(self) -> tuple[CoreSseEncoder | V1SseEncoder, Resume | None]:
        """Choose how to speak, and read where the client was; the parameter beats the header."""
        chunked = self._ask.chunked
        header = self._ask.headers.get("Last-Event-ID", "")
        last = header if self._ask.url.last_event_id is None else self._ask.url.last_event_id
        if self._ask.protocol is V1_SSE:
            return V1SseEncoder(chunked=chunked), Resume(pos=last) if last else None
        encoder = CoreSseEncoder(chunked=chunked, holds_id=bool(header or last))
        return encoder, Resume(stream_id=last) if last else None

    def _stall(self) -> None:
        self._viewer.end(STALLED)

    def _drain(self) -> None:
        failure = Failed(Kind.DRAINING, "the bridge is restarting")
        self._viewer.end(End(EndReason.DRAINED, failure))

    # ------------------------------------------------------------ from the query to the answer

    def begin(self, holder: StreamOwner) -> None:
        """Ask for the window. The holder hears of all that follows, maybe before this returns."""
        self._holder = holder
        try:
            self._opened = opened = self._hold()
        except Failed as failure:
            self._refuse(failure)
            return
        except Exception:
            logger.exception("a stream broke")
            self._refuse(Failed(Kind.BROKEN, "the bridge failed"))
            return
        if opened.done():
            self._answer(opened)
        else:
            opened.add_done_callback(self._answer)

    def _hold(self) -> asyncio.Future[None]:
        context, ask = self._context, self._ask
        check_cookie(ask)
        if context.hub.draining:
            raise Failed(Kind.UNAVAILABLE, "the bridge is draining", retry_after=1)
        self._place.take()
        self._query = query = self._wanted()
        return context.hub.start_subscribe(self._viewer, query, context.identity(ask.headers))

    def _wanted(self) -> LiveQuery:
        text = self._ask.url.query if self._ask.body is None else self._ask.body
        if text is None:
            raise Failed(Kind.MALFORMED, "the parameter is missing", field="query")
        return _decoded(text, self._context.settings.max_rows)

    def _refuse(self, failure: Failed) -> None:
        holder = self._holder
        self.leave()
        if holder is not None:
            holder.refused(failure)

    def _answer(self, opened: asyncio.Future[None]) -> None:
        """Begin the answer once the tier has started, or tell why it has not."""
        if self._left:  # between the promise and this call
            return
        failure = opened.exception()
        if failure is not None:
            broken = Failed(Kind.BROKEN, "the bridge failed")
            self._refuse(failure if isinstance(failure, Failed) else broken)
            return
        try:
            self._begin()
        except Exception:
            # Half an answer is out: another one must not follow it.
            logger.exception("a stream broke")
            self._sink.abort()

    def _begin(self) -> None:
        """Say what stands before the first event, and show the window."""
        context, ask, loop = self._context, self._ask, asyncio.get_running_loop()
        self._began = loop.time()
        self._keep_alive = ask.chunked and ask.keep_alive and not context.hub.draining
        head = stream_response_head(ask, context.settings, keep_alive=self._keep_alive)
        retry = b"retry: %d\n\n" % random_delay_ms(*RETRY_MS)
        self._sink.hold(head + (http_chunk(retry) if ask.chunked else retry))
        self._set_hearts()
        self._ask = ask.answered()
        if self._holder is not None:
            self._holder.begun()
        self._viewer.ended.add_done_callback(self._finish)
        context.hub.attach(self._viewer)
        self._sink.release()

    # ------------------------------------------------------------ while it lasts

    def _set_hearts(self) -> None:
        settings, heart = self._context.settings, self._context.idle_timers.heart
        every = settings.heartbeat_interval
        self._idle_timers = [heart(interval=every, beat=self._ping, silent=self._viewer)]
        if self._ask.protocol is V1_SSE:
            self._idle_timers.append(heart(interval=settings.ping_interval, beat=self._beat))

    def _ping(self) -> None:
        self._viewer.send_buffer.write(self._encoder.ping())

    def _beat(self) -> None:
        """Let a v1 client verify its window."""
        viewer = self._viewer
        if isinstance(self._encoder, V1SseEncoder) and viewer.up_to_date:
            viewer.send_buffer.write(self._encoder.event("beat", digest=viewer.digest()))

    # ------------------------------------------------------------ the end

    def _finish(self, ended: asyncio.Future[End]) -> None:
        """Say what stands after the last event."""
        end, holder = ended.result(), self._holder
        self._say_goodbye(end)
        self.leave(end)
        if end.reason is EndReason.STALLED:
            self._sink.abort()
            return
        if self._ask.chunked:
            self._sink.write(_LAST_CHUNK)
        if holder is not None:
            holder.over(keep_alive=self._keep_alive)

    def leave(self, end: End = _GONE) -> None:
        """Give everything back; the holder hears nothing more. Idempotent."""
        if self._left:
            return
        self._left = True
        self._holder = None
        viewer, context = self._viewer, self._context
        if self._opened is not None:
            self._opened.remove_done_callback(self._answer)
        viewer.ended.remove_done_callback(self._finish)
        for heart in self._idle_timers:
            heart.stop()
        context.hub.unsubscribe(viewer, end.reason)
        context.forget(viewer.send_buffer)
        self._place.give_back()
        self._note(end)

    def _note(self, end: End) -> None:
        """Leave the stream's line in the log, if it had begun."""
        if self._began is not None and self._query is not None:
            self._context.stream_log.ended(
                self._ask.name,
                self._ask.protocol,
                entity=self._query.entity,
                end=end,
                seconds=asyncio.get_running_loop().time() - self._began,
                frames=self._viewer.frames_written,
            )

    def _say_goodbye(self, end: End) -> None:
        """Tell a v1 client why its stream ends."""
        encoder = self._encoder
        if not isinstance(encoder, V1SseEncoder) or end.reason is EndReason.STALLED:
            return
        write = self._viewer.send_buffer.write
        if end.reason is EndReason.DRAINED:
            write(encoder.event("drain", reconnect_after_ms=random_delay_ms(*RETRY_MS)))
            return
        if end.failure is not None and end.failure.final:
            members = error_members(end.failure)
            write(encoder.event("error", **members))
        write(encoder.event("ended", reason=ended_reason(end.failure, asked=False)))


@parse_cached
def _decoded(text: bytes, max_rows: int) -> LiveQuery:
    return parse_query(text, max_limit=max_rows)
