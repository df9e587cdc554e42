r"""Server-Sent Events, core and v1 (docs/wire.md §3, §5; WHATWG HTML §9.2).

The answer waits for the tier's `started`; then frames go from the subscription straight to the
transport. The handler sleeps until the client leaves or the stream ends, and whatever ends it,
its subscription is given back.
"""

import asyncio
import random

from aiohttp import HttpVersion11, web

from bridge.core import v1
from bridge.core.errors import Failed, Kind
from bridge.core.group import chunk
from bridge.core.query import LiveQuery
from bridge.core.reader import MAX_BYTES, decode
from bridge.live.observer import Reason
from bridge.live.viewer import End, Resume, Viewer

from .asked import Asked, asked
from .context import CONTEXT, STALLED, Context
from .heart import Heart
from .journal import CORE_SSE, V1_SSE
from .label import STREAM_FIELDS, stream_head
from .problem import retry_after
from .recall import recalling
from .scripts import CoreSse, V1Sse
from .sink import TransportSink

GRACE = 5.0
"""Seconds that the end of a stream waits for a client which has not read what came before."""
BODY_TIMEOUT = 10.0
"""Seconds that the query of a POST may take to come."""
RETRY_MS = (2000, 4000)
_SOFT = (429, 503, 504)
_LAST_CHUNK = b"0\r\n\r\n"


async def stream(request: web.Request) -> web.StreamResponse:
    """Serve `GET {base}?query=` and `POST {base}`."""
    url = asked(request.rel_url)
    try:
        return await Stream(request, url).serve()
    except Failed as failure:
        if url.soft and failure.row.status in _SOFT:
            request.app[CONTEXT].journal.refuse(request, "http", failure)
            return _soft(failure)
        raise


class Written(web.StreamResponse):
    """An answer that is on its way already: aiohttp has nothing to add to it."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._kept_alive = keep_alive

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        return self._kept_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Add no head."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Add no end."""


class Stream:
    """One request from its query to its last event."""

    __slots__ = (
        "_asked",
        "_began",
        "_chunked",
        "_context",
        "_request",
        "_script",
        "_sink",
        "_talk",
        "_viewer",
    )

    def __init__(self, request: web.Request, url: Asked) -> None:
        transport = request.transport
        if transport is None:
            raise Failed(Kind.UNAVAILABLE, "the client is gone")
        self._request = request
        self._asked = url
        self._context: Context = request.app[CONTEXT]
        self._sink = TransportSink(transport)
        self._chunked = request.version >= HttpVersion11
        self._script, resume = self._speak()
        self._talk = V1_SSE if url.v1 else CORE_SSE
        outlet = self._context.outlet(self._sink, self._stall, request)
        self._viewer: Viewer = self._context.viewer(outlet, self._script, resume)
        self._began: float | None = None

    def _speak(self) -> tuple[CoreSse | V1Sse, Resume]:
        """Choose how to speak, and read where the client was; the parameter beats the header."""
        header = self._request.headers.get("Last-Event-ID", "")
        last = header if self._asked.last_event_id is None else self._asked.last_event_id
        if self._asked.v1:
            return V1Sse(chunked=self._chunked), Resume(pos=last)
        script = CoreSse(chunked=self._chunked, holds_id=bool(header or last))
        return script, Resume(stream_id=last)

    def _stall(self) -> None:
        self._viewer.end(STALLED)

    def _drain(self) -> None:
        failure = Failed(Kind.DRAINING, "the bridge is restarting")
        self._viewer.end(End(Reason.DRAINED, failure))

    async def serve(self) -> web.StreamResponse:
        """Serve the stream. Raises Failed before it has begun."""
        _check_cookie(self._request)
        context, viewer = self._context, self._viewer
        if context.hub.draining:
            raise Failed(Kind.UNAVAILABLE, "the bridge is draining", retry_after=1)
        with context.place(self._request, self._talk, self._drain):
            query = await _query(self._request, self._asked, context.settings.max_rows)
            identity = context.identity(self._request)
            end = End(Reason.CLIENT_GONE)
            try:
                await context.hub.join(viewer, query, identity)
                keep_alive = self._begin()
                end = await self._follow()
            finally:
                context.hub.leave(viewer, end.reason)
                context.forget(viewer.outlet)
                self._note(query, end)
            await self._finish(end)
            return Written(keep_alive=keep_alive)

    def _begin(self) -> bool:
        """Say what stands before the first event; whether the connection outlives the stream."""
        request = self._request
        keep_alive = self._chunked and request.keep_alive and not self._context.hub.draining
        head = stream_head(request, chunked=self._chunked, keep_alive=keep_alive)
        retry = b"retry: %d\n\n" % random.randint(*RETRY_MS)  # noqa: S311 - spreads reconnects
        # aiohttp's clock is for the time between requests, and starts again after this one.
        request.protocol.keep_alive(False)
        self._sink.hold(head + (chunk(retry) if self._chunked else retry))
        return keep_alive

    async def _finish(self, end: End) -> None:
        """End the body. A client that does not read is given a moment, then dropped."""
        if end.reason is Reason.STALLED:
            self._sink.abort()
            return
        if self._chunked:
            self._sink.write(_LAST_CHUNK)
        try:
            async with asyncio.timeout(GRACE):
                await self._request.writer.drain()
        except TimeoutError:
            self._sink.abort()

    async def _follow(self) -> End:
        settings, loop = self._context.settings, asyncio.get_running_loop()
        self._began = loop.time()
        hearts = [Heart(interval=settings.heartbeat_interval, beat=self._ping, silent=self._viewer)]
        if self._asked.v1:
            hearts.append(Heart(interval=settings.ping_interval, beat=self._beat))
        try:
            self._context.hub.attach(self._viewer)
            self._sink.release()
            end = await self._viewer.ended
            self._say_goodbye(end)
        except Exception:
            # Half an answer is out: another one must not follow it.
            self._sink.abort()
            raise
        finally:
            for heart in hearts:
                heart.stop()
        return end

    def _note(self, query: LiveQuery, end: End) -> None:
        """Leave the stream's line in the log, if it had begun."""
        if self._began is not None:
            self._context.journal.ended(
                self._request,
                self._talk,
                entity=query.entity,
                end=end,
                seconds=asyncio.get_running_loop().time() - self._began,
                frames=self._viewer.told,
            )

    def _ping(self) -> None:
        self._viewer.outlet.write(self._script.ping())

    def _beat(self) -> None:
        """Let a v1 client verify its window."""
        viewer = self._viewer
        if isinstance(self._script, V1Sse) and viewer.current and viewer.subscription is not None:
            viewer.outlet.write(self._script.event("beat", digest=viewer.subscription.digest()))

    def _say_goodbye(self, end: End) -> None:
        """Tell a v1 client why its stream ends."""
        script = self._script
        if not isinstance(script, V1Sse) or end.reason is Reason.STALLED:
            return
        write = self._viewer.outlet.write
        if end.reason is Reason.DRAINED:
            write(script.event("drain", reconnect_after_ms=random.randint(*RETRY_MS)))  # noqa: S311
            return
        if end.failure is not None and end.failure.final:
            members = v1.error(end.failure)
            write(script.event("error", **members))
        write(script.event("ended", reason=v1.ended_reason(end.failure, asked=False)))


def _check_cookie(request: web.Request) -> None:
    """Refuse what a foreign page may have sent along with the user's cookie."""
    headers = request.headers
    if "Cookie" not in headers:
        return
    # A same-origin GET carries no Origin; browsers that know better say so (Fetch Metadata).
    if "Origin" not in headers and headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise Failed(Kind.DENIED, "a cookie is not taken from another site", field="cookie")
    # A plain form of a foreign page could send a cookie, but not this type.
    if request.method == "POST" and request.content_type != "application/json":
        raise Failed(
            Kind.MALFORMED, "application/json is needed beside a cookie", field="content-type"
        )


async def _query(request: web.Request, url: Asked, max_rows: int) -> LiveQuery:
    if request.method == "GET":
        if url.query is None:
            raise Failed(Kind.MALFORMED, "the parameter is missing", field="query")
        return _decoded(url.query, max_rows)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await _body(request)
    except TimeoutError:
        raise Failed(Kind.NO_FIRST_MESSAGE, "the query did not come in time") from None
    return _decoded(body, max_rows)


@recalling
def _decoded(text: bytes, max_rows: int) -> LiveQuery:
    return decode(text, max_limit=max_rows)


async def _body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BYTES:
        raise _too_large()
    body = await request.content.read(MAX_BYTES + 1)
    while len(body) <= MAX_BYTES and not request.content.at_eof():
        body += await request.content.read(MAX_BYTES + 1 - len(body))
    if len(body) > MAX_BYTES:
        raise _too_large()
    return body


def _too_large() -> Failed:
    return Failed(Kind.MESSAGE_TOO_LARGE, f"a query may have {MAX_BYTES} bytes", field="query")


def _soft(failure: Failed) -> web.Response:
    """Tell EventSource to come back: on any status but 200 it gives up for good."""
    seconds = retry_after(failure) or 1
    return web.Response(body=b"retry: %d\n\n" % (seconds * 1000), headers=STREAM_FIELDS)
