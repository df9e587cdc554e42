"""Event streams whose request aiohttp reads: its handler owns the stream's connection.

On the bridge's own listener these are the unusual ones: a head in parts, a large body, HTTP/1.0.
Where the bridge is mounted in another application, all are.
"""

import asyncio

from aiohttp import web

from bridge.core.errors import Failed, Kind
from bridge.core.query_parser import MAX_BYTES
from bridge.web.context import CONTEXT
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.http.request_body import read_body
from bridge.web.http.written_response import WrittenResponse
from bridge.web.session_end import GRACE
from bridge.web.stream_log import request_id
from bridge.web.stream_parameters import parse_parameters
from bridge.web.stream_request import StreamRequest
from bridge.web.transport_sink import TransportSink

from .half_close import HalfCloseProbe
from .stream import SseStream

DISCONNECT_POLL = 1.0
"""Seconds between two checks whether the client is gone, where aiohttp does not cancel handlers."""


async def sse_handler(request: web.Request) -> web.StreamResponse:
    """Serve `GET {base}?query=` and `POST {base}`."""
    try:
        return await _serve(request)
    except Failed as failure:
        soft = parse_parameters(request.rel_url.raw_query_string).soft
        return request.app[CONTEXT].refuse(request_id(request), failure, soft=soft).to_aiohttp()


class _HandlerOwner:
    """Owns a stream's connection for an aiohttp handler, which waits for `finished`."""

    def __init__(self, protocol: web.RequestHandler) -> None:
        self._protocol = protocol
        self.finished: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        """Whether the connection may carry another request; fails with the refusal."""

    def on_started(self) -> None:
        """Stop aiohttp's timer: it is for the time between requests."""
        self._protocol.keep_alive(False)

    def on_refused(self, failure: Failed) -> None:
        """Let the handler answer."""
        if not self.finished.done():
            self.finished.set_exception(failure)

    def on_finished(self, *, keep_alive: bool) -> None:
        """Let the handler return."""
        if not self.finished.done():
            self.finished.set_result(keep_alive)


async def _serve(request: web.Request) -> web.StreamResponse:
    stream_request = await _read_request(request)
    transport = request.transport
    if transport is None:
        raise Failed(Kind.UNAVAILABLE, "the client is gone")
    connection = AiohttpConnection.of(request)
    sink = TransportSink(transport, connection)
    stream = SseStream(request.app[CONTEXT], stream_request, sink)
    owner, probe = _HandlerOwner(request.protocol), HalfCloseProbe(stream)
    try:
        stream.start(owner)
        if connection is not None:
            connection.watch_half_close(probe.start)
        while connection is None and not owner.finished.done() and not transport.is_closing():
            await asyncio.wait([owner.finished], timeout=DISCONNECT_POLL)
        if connection is None and not owner.finished.done():
            return WrittenResponse(keep_alive=False)
        keep_alive = await owner.finished
    finally:
        stream.close()
        probe.stop()
        if connection is not None:
            connection.watch_half_close(None)
    try:
        async with asyncio.timeout(GRACE):
            await request.writer.drain()
    except TimeoutError:
        sink.abort()
    return WrittenResponse(keep_alive=keep_alive)


async def _read_request(request: web.Request) -> StreamRequest:
    body = None if request.method == "GET" else await read_body(request, limit=MAX_BYTES)
    return StreamRequest.from_aiohttp(request, body)
