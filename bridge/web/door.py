"""Door: a connection until its first request is known, and while an event stream is on it.

A request for a stream that comes whole and in one piece, as nearly all do, is served from here, by
a few objects where aiohttp's handler has two tasks and a dozen. Everything else is aiohttp's: it
gets the connection, with what has been read of it, and keeps it. So is a refusal, which it is told.

Law: what a client sends behind its request is kept, within a bound, until the stream is over.
"""

import asyncio
from typing import Final

from bridge.core.errors import Failed
from bridge.live.outlet import Outlet

from .ask import Ask
from .ending import GRACE, Ending
from .hall import Hall
from .line import Line
from .sink import TransportSink
from .stream import Stream

AHEAD: Final = 64 * 1024
"""Bytes that a client may send behind its request: beyond, nothing more is read."""


class Door(asyncio.Protocol):
    """One for each connection."""

    __slots__ = (
        "_closing",
        "_full",
        "_hall",
        "_request",
        "_rest",
        "_stream",
        "_transport",
        "outlet",
    )

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._transport: asyncio.Transport | None = None
        self._stream: Stream | None = None
        self._request = b""
        """As it was sent, until it is answered."""
        self._rest = b""
        """What came behind it."""
        self._closing: asyncio.TimerHandle | None = None
        self._full = False
        """Whether the transport holds more than it would like to."""
        self.outlet: Outlet | None = None

    # ------------------------------------------------------------ the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        # Not asked for: uvloop's transports are none of asyncio's classes.
        self._transport = transport  # type: ignore[assignment]
        self._hall.enter(self)

    def data_received(self, data: bytes) -> None:
        """Serve the stream that is asked for, or have aiohttp serve whatever is."""
        transport, hall = self._transport, self._hall
        if self._stream is not None:
            self._rest += data
            if len(self._rest) > AHEAD and transport is not None:
                transport.pause_reading()
            return
        if transport is None or transport.is_closing():
            return
        peer = transport.get_extra_info("peername")
        ask = hall.reading.read(data, peer[0] if peer else "")
        if ask is None:
            self._hand_over(data)
            return
        if ask.talk.transport == "ws":
            self._switch(ask, data)
            return
        hall.busy(self)
        self._request = data
        sink = TransportSink(transport, self)
        self._stream = Stream(hall.context, ask, sink)
        self._stream.begin(self)

    def _switch(self, ask: Ask, data: bytes) -> None:
        """Let the connection become a WebSocket."""
        hall, ending = self._hall, Ending()
        place = hall.context.place(ask.remote, ask.talk, ending.drain)
        try:
            place.take()
        except Failed as failure:
            self._hand_over(data, failure)
            return
        transport, self._transport = self._transport, None
        hall.leave(self)
        if transport is not None:
            line = Line(hall, transport, ending)
            if self._full:
                line.pause_writing()
            line.begin(ask, place)

    def pause_writing(self) -> None:
        """Take note, for who gets the connection next."""
        self._full = True

    def resume_writing(self) -> None:
        """Take note, for who gets the connection next."""
        self._full = False

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give everything back."""
        del exc
        outlet, stream = self.outlet, self._stream
        self._transport = self.outlet = self._stream = None
        self._hall.leave(self)
        if self._closing is not None:
            self._closing.cancel()
        if outlet is not None:
            outlet.cut()
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
        if not keep_alive or self._hall.context.hub.draining:
            self.hang_up()
            return
        self._hall.wait(self)
        if rest:
            self.data_received(rest)

    def _over(self) -> bytes:
        """Be as if no stream had been; returns what is not answered yet."""
        data, ahead = self._request + self._rest, len(self._rest) > AHEAD
        self._stream = self.outlet = None
        self._request = self._rest = b""
        if ahead and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    # ------------------------------------------------------------ the end

    def _hand_over(self, data: bytes, refusal: Failed | None = None) -> None:
        transport, self._transport = self._transport, None
        self._hall.leave(self)
        if transport is None or transport.is_closing():
            return
        connection = self._hall.connection()
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
