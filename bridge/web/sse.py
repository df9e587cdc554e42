r"""Server-Sent Events, core and v1 (docs/wire.md §3, §5; WHATWG HTML §9.2).

The answer waits for the tier's `started`; then frames go from the subscription straight to the
transport. The handler sleeps until the client leaves or the stream ends, and whatever ends it,
its subscription is given back.
"""

import asyncio
import random
from urllib.parse import unquote_to_bytes

from aiohttp import HttpVersion11, web

from bridge.core import v1
from bridge.core.errors import Failed, Kind
from bridge.core.query import LiveQuery
from bridge.core.reader import MAX_BYTES, decode
from bridge.live.observer import Reason
from bridge.live.viewer import End, Resume, Viewer

from .context import CONTEXT, Context
from .heart import Heart
from .journal import Talk
from .problem import retry_after
from .scripts import CoreSse, V1Sse
from .sink import TransportSink

GRACE = 5.0
"""Seconds that the end of a stream waits for a client which has not read what came before."""
BODY_TIMEOUT = 10.0
"""Seconds that the query of a POST may take to come."""
RETRY_MS = (2000, 4000)
_SOFT = (429, 503, 504)
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


async def stream(request: web.Request) -> web.StreamResponse:
    """Serve `GET {base}?query=` and `POST {base}`."""
    try:
        return await Stream(request).serve()
    except Failed as failure:
        if request.query.get("soft") == "1" and failure.row.status in _SOFT:
            request.app[CONTEXT].journal.refuse(request, "http", failure)
            return _soft(failure)
        raise


class Stream:
    """One request from its query to its last event."""

    def __init__(self, request: web.Request) -> None:
        transport = request.transport
        if transport is None:
            raise Failed(Kind.UNAVAILABLE, "the client is gone")
        self._request = request
        self._context: Context = request.app[CONTEXT]
        self._sink = TransportSink(transport)
        self._script, resume = _script(request)
        outlet = self._context.outlet(self._sink, self._end)
        self._viewer: Viewer = self._context.viewer(outlet, self._script, resume)
        self._talk = Talk("sse", "v1" if isinstance(self._script, V1Sse) else "core")
        self._began: float | None = None

    def _end(self, end: End) -> None:
        self._viewer.end(end)

    def _drain(self) -> None:
        self._end(End(Reason.DRAINED, Failed(Kind.DRAINING, "the bridge is restarting")))

    async def serve(self) -> web.StreamResponse:
        """Serve the stream. Raises Failed before it has begun."""
        _check_cookie(self._request)
        context, viewer = self._context, self._viewer
        if context.hub.draining:
            raise Failed(Kind.UNAVAILABLE, "the bridge is draining", retry_after=1)
        with context.client(self._request, self._talk, self._drain):
            query = await _query(self._request, context.settings.max_rows)
            identity = context.identity(self._request)
            end = End(Reason.CLIENT_GONE)
            try:
                await context.hub.join(viewer, query, identity)
                response = web.StreamResponse(headers=_HEADERS)
                await response.prepare(self._request)
                await response.write(b"retry: %d\n\n" % random.randint(*RETRY_MS))  # noqa: S311 - spreads reconnects
                end = await self._follow()
            finally:
                context.hub.leave(viewer, end.reason)
                context.watch.remove(viewer.outlet)
                self._note(query, end)
            await self._finish(response, end)
            return response

    async def _finish(self, response: web.StreamResponse, end: End) -> None:
        """End the body. A client that does not read is given a moment, then dropped."""
        if end.reason is Reason.STALLED:
            self._sink.abort()
            return
        try:
            async with asyncio.timeout(GRACE):
                await response.write_eof()
        except TimeoutError:
            self._sink.abort()

    async def _follow(self) -> End:
        outlet = self._viewer.outlet
        heart = Heart(
            interval=self._context.settings.heartbeat_interval,
            last=lambda: outlet.written_at,
            beat=lambda: outlet.write(self._script.ping),
        )
        self._began = began = asyncio.get_running_loop().time()
        sums = Heart(
            interval=self._context.settings.ping_interval if self._talk.protocol == "v1" else 0,
            last=lambda: began,
            beat=self._beat,
        )
        try:
            self._context.hub.attach(self._viewer)
            end = await self._viewer.ended
        finally:
            heart.stop()
            sums.stop()
        self._say_goodbye(end)
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


def _script(request: web.Request) -> tuple[CoreSse | V1Sse, Resume]:
    """Choose how the client is spoken to, and read where it was; the parameter beats the header."""
    chunked = request.version >= HttpVersion11
    header = request.headers.get("Last-Event-ID", "")
    last = request.query.get("last_event_id", header)
    if request.query.get("v") == "1":
        return V1Sse(chunked=chunked), Resume(pos=last)
    script = CoreSse(chunked=chunked, holds_id=bool(header or last))
    return script, Resume(stream_id=last)


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


async def _query(request: web.Request, max_rows: int) -> LiveQuery:
    if request.method == "GET":
        text = _parameter(request, "query")
        if text is None:
            raise Failed(Kind.MALFORMED, "the parameter is missing", field="query")
        return decode(text, max_limit=max_rows)
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            body = await _body(request)
    except TimeoutError:
        raise Failed(Kind.NO_FIRST_MESSAGE, "the query did not come in time") from None
    return decode(body, max_limit=max_rows)


def _parameter(request: web.Request, name: str) -> bytes | None:
    """Read a parameter as bytes: what is not UTF-8 is to be refused, not mended."""
    for pair in request.rel_url.raw_query_string.split("&"):
        key, _, value = pair.partition("=")
        if unquote_to_bytes(key.replace("+", " ")) == name.encode():
            return unquote_to_bytes(value.replace("+", " "))
    return None


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
    return web.Response(body=b"retry: %d\n\n" % (seconds * 1000), headers=_HEADERS)
