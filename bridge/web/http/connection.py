"""Door: a connection until its first request is known, and while an event stream is on it.

A request for a stream that comes whole and in one piece, as nearly all do, is served from here, by
a few objects where aiohttp's handler has two tasks and a dozen. Everything else is aiohttp's: it
gets the connection, with what has been read of it, and keeps it. So is a refusal, which it is told.

Law: what a client sends behind its request is kept, within a bound, until the stream is over.
"""

import asyncio
from typing import Final

from bridge.core.errors import Failed
from bridge.live.send_buffer import SendBuffer
from bridge.web.session_end import GRACE, SessionEnd
from bridge.web.sse.stream import SseStream
from bridge.web.stream_request import StreamRequest
from bridge.web.transport_sink import TransportSink
from bridge.web.ws.connection import WebSocketConnection

from .registry import ConnectionRegistry

MAX_PIPELINED: Final = 64 * 1024
"""Bytes that a client may send behind its request: beyond, nothing more is read."""


class HttpConnection(asyncio.Protocol):
    """One for each connection."""

    __slots__ = (
        "_closing",
        "_full",
        "_registry",
        "_request",
        "_rest",
        "_stream",
        "_transport",
        "send_buffer",
    )

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry
        self._transport: asyncio.Transport | None = None
        self._stream: SseStream | None = None
        self._request = b""
        """As it was sent, until it is answered."""
        self._rest = b""
        """What came behind it."""
        self._closing: asyncio.TimerHandle | None = None
        self._full = False
        """Whether the transport holds more than it would like to."""
        self.send_buffer: SendBuffer | None = None

    # ------------------------------------------------------------ the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        # Not asked for: uvloop's transports are none of asyncio's classes.
        self._transport = transport  # type: ignore[assignment]
        self._registry.enter(self)

    def data_received(self, data: bytes) -> None:
        """Serve the stream that is asked for, or have aiohttp serve whatever is."""
        transport, registry = self._transport, self._registry
        if self._stream is not None:
            self._rest += data
            if len(self._rest) > MAX_PIPELINED and transport is not None:
                transport.pause_reading()
            return
        if transport is None or transport.is_closing():
            return
        peer = transport.get_extra_info("peername")
        ask = registry.request_parser.parse(data, peer[0] if peer else "")
        if ask is None:
            self._hand_over(data)
            return
        if ask.protocol.transport == "ws":
            self._switch(ask, data)
            return
        registry.busy(self)
        self._request = data
        sink = TransportSink(transport, self)
        self._stream = SseStream(registry.context, ask, sink)
        self._stream.begin(self)

    def _switch(self, ask: StreamRequest, data: bytes) -> None:
        """Let the connection become a WebSocket."""
        registry, ending = self._registry, SessionEnd()
        place = registry.context.place(ask.remote, ask.protocol, ending.drain)
        try:
            place.take()
        except Failed as failure:
            self._hand_over(data, failure)
            return
        transport, self._transport = self._transport, None
        registry.leave(self)
        if transport is not None:
            websocket = WebSocketConnection(registry, transport, ending)
            if self._full:
                websocket.pause_writing()
            websocket.start(ask, place)

    def pause_writing(self) -> None:
        """Take note, for who gets the connection next."""
        self._full = True

    def resume_writing(self) -> None:
        """Take note, for who gets the connection next."""
        self._full = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give everything back."""
        del exc
        send_buffer, stream = self.send_buffer, self._stream
        self._transport = self.send_buffer = self._stream = None
        self._registry.leave(self)
        if self._closing is not None:
            self._closing.cancel()
        if send_buffer is not None:
            send_buffer.on_connection_lost()
        if stream is not None:
            stream.leave()

    # ------------------------------------------------------------ the stream's calls

    def begun(self) -> None:
        """Forget the request: it is answered."""
        self._request = b""

    def refused(self, failure: Failed) -> None:
        """Have aiohttp read the request again, and tell why there is no stream."""
        self._hand_over(self._over(), failure)

    def over(self, *, keep_alive: bool) -> None:
        """Wait for another request, or close."""
        rest = self._over()
        if not keep_alive or self._registry.context.hub.draining:
            self.hang_up()
            return
        self._registry.wait(self)
        if rest:
            self.data_received(rest)

    def _over(self) -> bytes:
        """Be as if no stream had been; returns what is not answered yet."""
        data, ahead = self._request + self._rest, len(self._rest) > MAX_PIPELINED
        self._stream = self.send_buffer = None
        self._request = self._rest = b""
        if ahead and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    # ------------------------------------------------------------ the end

    def _hand_over(self, data: bytes, refusal: Failed | None = None) -> None:
        transport, self._transport = self._transport, None
        self._registry.leave(self)
        if transport is None or transport.is_closing():
            return
        connection = self._registry.connection()
        if connection is None:
            transport.abort()
            return
        if refusal is not None:
            connection.refuse(refusal)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._full:
            connection.pause_writing()
        connection.data_received(data)

    def hang_up(self) -> None:
        """Close, once the client has taken what was sent; it has a moment for that. Idempotent."""
        if self._transport is not None and self._closing is None:
            if not self._transport.is_closing():  # asyncio's through TLS breaks when closed twice
                self._transport.close()
            self._closing = asyncio.get_running_loop().call_later(GRACE, self.abort)

    def abort(self) -> None:
        """Drop the connection, and what is unsent."""
        if self._transport is not None:
            self._transport.abort()
