"""Server-Sent Events where aiohttp reads the request: its handler holds the stream's connection.

Most requests are read at the door (see `door`); these are what is unusual about them: a header in
parts, a large body, HTTP/1.0, a refusal.
"""

import asyncio

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.core.query_parser import MAX_BYTES
from bridge.web.context import CONTEXT
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.http.problem import retry_after
from bridge.web.http.response_headers import STREAM_FIELDS
from bridge.web.session_end import GRACE
from bridge.web.stream_log import request_id
from bridge.web.stream_parameters import parse_parameters
from bridge.web.stream_request import StreamRequest
from bridge.web.transport_sink import TransportSink

from .stream import SseStream

BODY_TIMEOUT = 10.0
"""Seconds that the query of a POST may take to come."""
_SOFT = (429, 503, 504)


async def sse_handler(request: web.Request) -> web.StreamResponse:
    """Serve `GET {base}?query=` and `POST {base}`."""
    connection = AiohttpConnection.of(request)
    try:
        if connection is not None:
            connection.tell_refusal()
        return await _served(request)
    except Failed as failure:
        if failure.row.status in _SOFT and parse_parameters(request.rel_url.raw_query_string).soft:
            request.app[CONTEXT].stream_log.refuse(request_id(request), "http", failure)
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


class _Holder:
    """Has a handler wait for the end of its stream."""

    def __init__(self, protocol: web.RequestHandler) -> None:
        self._protocol = protocol
        self.end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the connection may carry another request; failed where nothing was said."""

    def begun(self) -> None:
        """Stop aiohttp's clock: it is for the time between requests."""
        self._protocol.keep_alive(False)

    def refused(self, failure: Failed) -> None:
        """Have the handler tell it."""
        if not self.end.done():
            self.end.set_exception(failure)

    def over(self, *, keep_alive: bool) -> None:
        """Have the handler end."""
        if not self.end.done():
            self.end.set_result(keep_alive)


async def _served(request: web.Request) -> web.StreamResponse:
    ask = await _ask(request)
    transport = request.transport
    if transport is None:
        raise Failed(Kind.UNAVAILABLE, "the client is gone")
    sink = TransportSink(transport, AiohttpConnection.of(request))
    sse_handler = SseStream(request.app[CONTEXT], ask, sink)
    holder = _Holder(request.protocol)
    try:
        sse_handler.begin(holder)
        keep_alive = await holder.end
    finally:
        sse_handler.leave()
    try:
        async with asyncio.timeout(GRACE):
            await request.writer.drain()
    except TimeoutError:
        sink.abort()
    return Written(keep_alive=keep_alive)


async def _ask(request: web.Request) -> StreamRequest:
    body = None
    if request.method != "GET":
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                body = await _body(request)
        except TimeoutError:
            raise Failed(Kind.NO_FIRST_MESSAGE, "the query did not come in time") from None
    return StreamRequest.of(request, body)


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
