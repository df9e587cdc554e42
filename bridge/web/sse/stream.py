"""SseStream: one event stream, from its query to its last event (docs/wire.md §3, §5).

The response begins when the tier has started the subscription; frames then go from the
subscription to the transport directly.

Invariants: nothing here awaits. The owner of the connection is called once when the response starts
or is refused, and once when it is finished. The owner calls `close` when the client is gone.
Whatever ends the stream, its subscription is released.
"""

import asyncio
import logging

from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.query_parser import parse_query
from bridge.live.stream_end import End, EndReason
from bridge.web.auth.credential import Credential
from bridge.web.auth.credential_watch import Lease
from bridge.web.auth.presented import Presented
from bridge.web.context import STALLED, WebContext
from bridge.web.http.response_headers import stream_response_head
from bridge.web.idle_timers import IdleTimer
from bridge.web.origin_check import check_cookie
from bridge.web.parse_cache import parse_cached
from bridge.web.session_end import random_delay_ms
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink

from .encoder_choice import choose_encoder
from .stream_owner import StreamOwner

logger = logging.getLogger(__name__)

RETRY_MS = (2000, 4000)
"""Range of milliseconds after which clients come back."""
_CLIENT_GONE = End(EndReason.CLIENT_GONE)
_BROKEN = "the bridge failed"


class SseStream:
    """One response to one request."""

    __slots__ = (
        "_context",
        "_encoder",
        "_keep_alive",
        "_lease",
        "_opened",
        "_owner",
        "_protocol",
        "_query",
        "_request",
        "_request_id",
        "_sink",
        "_slot",
        "_started_at",
        "_timers",
        "_viewer",
        "closed",
    )

    def __init__(self, context: WebContext, request: StreamRequest, sink: TransportSink) -> None:
        self._context = context
        self._request: StreamRequest | None = request
        """None once it is answered: its header is not needed while the response lasts."""
        self._request_id, self._protocol = request.request_id, request.protocol
        self._sink = sink
        self._owner: StreamOwner | None = None
        self._encoder, resume = choose_encoder(request)
        send_buffer = context.send_buffer(sink, self._stall)
        self._viewer = context.viewer(send_buffer, self._encoder, resume)
        self._slot = StreamSlot(context, request, self._viewer.end)
        self._query: LiveQuery | None = None
        self._opened: asyncio.Future[None] | None = None
        """Done when the tier has started the subscription."""
        self._lease: Lease | None = None
        self._started_at: float | None = None
        self._timers: list[IdleTimer] = []
        self._keep_alive = False
        self.closed = False

    def _stall(self) -> None:
        self._viewer.end(STALLED)

    # ------------------------------------------------------------ from the query to the response

    def start(self, owner: StreamOwner) -> None:
        """Subscribe. The owner is called back from here on, maybe before this returns."""
        request = self._request
        if request is None:
            return
        self._owner = owner
        try:
            self._admit(request)
        except Exception as error:  # noqa: BLE001 - logged there
            self._refuse_for(error)

    def _admit(self, request: StreamRequest) -> None:
        """Count the stream, find its credential, and judge it once its key is known."""
        context = self._context
        authenticator = context.authenticator
        check_cookie(request)
        if context.hub.draining:
            raise Failed(Kind.UNAVAILABLE, "the bridge is draining", retry_after=1)
        self._slot.acquire()
        credential = authenticator.recall(request)
        if credential is not None:
            self._subscribe(request, credential)
            return
        presented = authenticator.find(request)
        keys = authenticator.keys_needed(presented)
        if keys is None:
            self._subscribe(request, authenticator.judge(presented))
        else:
            keys.add_done_callback(lambda _: self._on_keys(request, presented))

    def _on_keys(self, request: StreamRequest, presented: Presented) -> None:
        """Go on after a key was read, unless the client has left."""
        if self.closed:
            return
        try:
            self._subscribe(request, self._context.authenticator.judge(presented))
        except Exception as error:  # noqa: BLE001 - logged there
            self._refuse_for(error)

    def _refuse_for(self, error: Exception) -> None:
        """Refuse with what went wrong before the tier was asked."""
        if isinstance(error, Failed):
            # Its frames hold this stream: from Python 3.13 on until the garbage is collected.
            self._refuse(error.without_frames())
        else:
            logger.error("an event stream failed", exc_info=error)
            self._refuse(Failed(Kind.BROKEN, _BROKEN))

    def _subscribe(self, request: StreamRequest, credential: Credential) -> None:
        """Parse the query; ask the tier."""
        context = self._context
        self._lease = context.authenticator.watch.hold(credential, self)
        text = request.parameters.query if request.body is None else request.body
        if text is None:
            raise Failed(Kind.MALFORMED, "the parameter is missing", field="query")
        self._query = query = _parse(text, context.settings.max_rows)
        self._slot.identify(credential.identity)
        opened = context.hub.start_subscribe(self._viewer, query, credential.identity)
        self._opened = opened
        if opened.done():
            self._on_opened(opened)
        else:
            opened.add_done_callback(self._on_opened)

    def _refuse(self, failure: Failed) -> None:
        owner = self._owner
        self.close()
        if owner is not None:
            owner.on_refused(failure)

    def _on_opened(self, opened: asyncio.Future[None]) -> None:
        """Start the response once the tier has started the subscription; else refuse."""
        if self.closed:  # after the future was done, before this call
            return
        failure = opened.exception()
        if failure is not None:
            broken = Failed(Kind.BROKEN, _BROKEN)
            self._refuse(failure if isinstance(failure, Failed) else broken)
            return
        try:
            self._start_response()
        except Exception:
            # A part of the response may be written: no refusal can follow it.
            logger.exception("an event stream failed")
            self._sink.abort()

    def _start_response(self) -> None:
        """Write the head and the first line, then show the window."""
        context, request = self._context, self._request
        if request is None:
            return
        self._started_at = asyncio.get_running_loop().time()
        self._keep_alive = request.chunked and request.keep_alive and not context.hub.draining
        head = stream_response_head(request, context.settings, keep_alive=self._keep_alive)
        self._sink.hold(head + self._encoder.retry(random_delay_ms(*RETRY_MS)))
        self._start_timers()
        self._request = None
        if self._owner is not None:
            self._owner.on_started()
        self._viewer.ended.add_done_callback(self._on_viewer_ended)
        context.hub.attach(self._viewer)
        self._sink.release()

    # ------------------------------------------------------------ while it lasts

    def _start_timers(self) -> None:
        settings, start = self._context.settings, self._context.idle_timers.start
        ping = start(settings.heartbeat_interval, self.send_ping, unless_written=self._viewer)
        self._timers = [ping]
        if self._encoder.sends_beats:
            self._timers.append(start(settings.ping_interval, self._send_beat))

    def send_ping(self) -> None:
        """Write a comment."""
        self._viewer.send_buffer.write(self._encoder.ping())

    def _send_beat(self) -> None:
        viewer = self._viewer
        if viewer.up_to_date:
            viewer.send_buffer.write(self._encoder.beat(viewer.digest()))

    def on_credential_ended(self, failure: Failed) -> None:
        """End the stream: its client's credential has ended."""
        if self._started_at is None:
            # Before the response has begun, it is 401 like any other.
            self._refuse(Failed(Kind.UNAUTHENTICATED, failure.message, field=failure.field))
        else:
            self._viewer.end(End(EndReason.EXPIRED, failure))

    def on_credential_expiring(self, expires_at: float) -> None:
        """Tell the client, where its protocol has a message for it."""
        message = self._encoder.auth_expiring(expires_at)
        if message and self._started_at is not None:
            self._viewer.send_buffer.write(message)

    @property
    def verified(self) -> bool:
        """Whether the bridge has verified the credential of its client."""
        return self._lease is not None

    @property
    def started(self) -> bool:
        """Whether the response has begun."""
        return self._started_at is not None

    def abort(self) -> None:
        """Drop the connection."""
        self._sink.abort()

    # ------------------------------------------------------------ the end

    def _on_viewer_ended(self, ended: asyncio.Future[End]) -> None:
        """Write the last messages of the protocol, and finish."""
        end, owner = ended.result(), self._owner
        if end.reason is EndReason.STALLED:
            self.close(end)
            self._sink.abort()
            return
        if end.reason in (EndReason.DRAINED, EndReason.AGED):
            last = self._encoder.drain(random_delay_ms(*RETRY_MS))
        else:
            last = self._encoder.ended(end.failure)
        if last:
            self._viewer.send_buffer.write(last)
        self.close(end)
        self._sink.write(self._encoder.end())
        if owner is not None:
            owner.on_finished(keep_alive=self._keep_alive)

    def close(self, end: End = _CLIENT_GONE) -> None:
        """Release everything; the owner is called no more. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._owner = None
        viewer, context = self._viewer, self._context
        if self._opened is not None:
            self._opened.remove_done_callback(self._on_opened)
        viewer.ended.remove_done_callback(self._on_viewer_ended)
        for timer in self._timers:
            timer.stop()
        if self._lease is not None:
            self._lease.release(self)
        context.hub.unsubscribe(viewer, end.reason)
        context.detach(viewer.send_buffer)
        self._slot.release()
        self._log_end(end)

    def _log_end(self, end: End) -> None:
        """Log the end of a stream whose response had started."""
        if self._started_at is not None and self._query is not None:
            self._context.stream_log.log_end(
                self._request_id,
                self._protocol,
                entity=self._query.entity,
                end=end,
                seconds=asyncio.get_running_loop().time() - self._started_at,
                frames=self._viewer.frames_written,
            )


@parse_cached
def _parse(text: bytes, max_rows: int) -> LiveQuery:
    return parse_query(text, max_limit=max_rows)
