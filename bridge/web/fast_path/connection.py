"""HttpConnection: a connection until its request is known, and while it has an event stream.

A request for a stream that comes whole and in plain form, as nearly all do, is served from here,
without aiohttp's handler, which has two tasks and a dozen objects. Every other request is for
aiohttp: it gets the connection, with the bytes that were read, and keeps it.

Invariants: what a client sends behind its request is kept until the stream is over; beyond
`MAX_PIPELINED` bytes nothing more is read. No request is read while the client does not take the
responses before it.
"""

import asyncio

from bridge.core.errors import Failed
from bridge.live.send_buffer import SendBuffer
from bridge.web.session_end import GRACE
from bridge.web.sse.half_close import HalfCloseProbe
from bridge.web.sse.stream import SseStream
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink
from bridge.web.ws.connection import WebSocketConnection

from .fast_path import FastPath

MAX_PIPELINED = 64 * 1024
"""Bytes that a client may send behind its request."""


def peer_address(transport: asyncio.Transport) -> str:
    """Return the address at the other end of a connection."""
    peer = transport.get_extra_info("peername")
    return peer[0] if peer else ""


class HttpConnection(asyncio.Protocol):
    """One for each connection."""

    __slots__ = (
        "_abort_timer",
        "_fast_path",
        "_peer",
        "_pipelined",
        "_probe",
        "_request",
        "_stream",
        "_transport",
        "_writing_paused",
        "send_buffer",
    )

    def __init__(self, fast_path: FastPath, peer: str | None = None) -> None:
        self._fast_path = fast_path
        self._peer = peer
        """The client's address, where it is not that of the connection."""
        self._transport: asyncio.Transport | None = None
        self._request: StreamRequest | None = None
        """The request for a stream, while it is not answered."""
        self._stream: SseStream | None = None
        self._pipelined = b""
        """What came behind the request."""
        self._abort_timer: asyncio.TimerHandle | None = None
        self._probe: HalfCloseProbe | None = None
        """Of a client that has closed its side."""
        self._writing_paused = False
        """Whether the transport holds more unsent bytes than its high-water mark."""
        self.send_buffer: SendBuffer | None = None

    # ------------------------------------------------------------ called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        # No isinstance: uvloop's transports are none of asyncio's classes.
        self._transport = transport  # type: ignore[assignment]
        self._fast_path.registry.add(self)

    def data_received(self, data: bytes) -> None:
        """Serve a stream or a WebSocket, or hand the connection to aiohttp."""
        transport, fast_path = self._transport, self._fast_path
        if self._stream is not None:
            self._pipelined += data
            if len(self._pipelined) > MAX_PIPELINED and transport is not None:
                transport.pause_reading()
            return
        if transport is None or transport.is_closing():
            return
        request = fast_path.request_parser.parse(data, self._peer or peer_address(transport))
        if request is None:
            self._hand_to_aiohttp(transport, data)
        elif request.protocol.transport == "ws":
            self._upgrade(transport, request, data)
        else:
            fast_path.registry.stop_idle_timeout(self)
            self._request = request
            self._stream = stream = SseStream(
                fast_path.context, request, TransportSink(transport, self)
            )
            stream.start(self)
            if stream.verified:
                fast_path.request_parser.remember(data, request)

    def _upgrade(self, transport: asyncio.Transport, request: StreamRequest, data: bytes) -> None:
        """Turn the connection into a WebSocket, unless it is over a limit."""
        fast_path = self._fast_path
        context, registry = fast_path.context, fast_path.registry
        slot = StreamSlot(context, request)
        try:
            slot.acquire_for(request)
        except Failed as failure:
            self._request = request
            self.on_refused(failure)
            return
        self._transport = None
        connection = WebSocketConnection(registry, context, transport)
        registry.replace(self, connection)
        if self._writing_paused:
            connection.pause_writing()
        connection.start(request, slot)
        if connection.verified:
            fast_path.request_parser.remember(data, request)

    def _hand_to_aiohttp(self, transport: asyncio.Transport, data: bytes) -> None:
        self._transport = None
        self._fast_path.registry.remove(self)
        connection = self._fast_path.make_aiohttp_connection()
        if connection is None:
            transport.abort()
            return
        connection.peer = self._peer
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if self._writing_paused:
            connection.pause_writing()
        connection.data_received(data)

    def pause_writing(self) -> None:
        """Note that the transport is over its high-water mark."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Read the next request, if the connection waits for one."""
        self._writing_paused = False
        transport = self._transport
        if self._stream is None and transport is not None and not transport.is_closing():
            transport.resume_reading()

    def eof_received(self) -> bool:
        """Keep the connection while its stream lasts (RFC 9112 §9.6); TLS has no half-closed ones.

        A client that is wholly gone looks the same: the stream finds that out.
        """
        stream, transport = self._stream, self._transport
        if stream is None or transport is None or transport.get_extra_info("sslcontext"):
            return False
        self._probe = HalfCloseProbe(stream)
        self._probe.start()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop direct sends, then close the stream."""
        del exc
        send_buffer, stream = self.send_buffer, self._stream
        self._transport = self.send_buffer = self._stream = self._request = None
        self._fast_path.registry.remove(self)
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if self._probe is not None:
            self._probe.stop()
            self._probe = None  # it has the stream, and that this
        if send_buffer is not None:
            send_buffer.on_connection_lost()
        if stream is not None:
            stream.close()

    # ------------------------------------------------------------ called by the stream

    def on_started(self) -> None:
        """Forget the request: it is answered."""
        self._request = None

    def on_refused(self, failure: Failed) -> None:
        """Answer with the refusal."""
        context, request = self._fast_path.context, self._request
        if request is None or self._transport is None:
            return
        response = context.refuse(request.request_id, failure, soft=request.parameters.soft)
        draining = context.hub.draining
        answer = response.to_bytes(
            context.settings,
            request_id=request.request_id,
            foreign_origin=request.foreign_origin,
            keep_alive=request.keep_alive,
            draining=draining,
        )
        self._transport.write(answer)
        self.on_finished(keep_alive=request.keep_alive)

    def on_finished(self, *, keep_alive: bool) -> None:
        """Wait for another request, or close."""
        pipelined = self._reset()
        if not keep_alive or self._probe is not None or self._fast_path.context.hub.draining:
            self.close_after_flush()
            return
        self._fast_path.registry.start_idle_timeout(self)
        if pipelined:
            self.data_received(pipelined)
        if self._writing_paused and self._stream is None and self._transport is not None:
            self._transport.pause_reading()

    def _reset(self) -> bytes:
        """Reset to idle; return the bytes behind the request."""
        data, paused = self._pipelined, len(self._pipelined) > MAX_PIPELINED
        self._stream = self.send_buffer = self._request = None
        self._pipelined = b""
        if paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return data

    # ------------------------------------------------------------ the end

    def close_after_flush(self) -> None:
        """Close once the client took what was sent; abort after `GRACE` seconds. Idempotent."""
        if self._transport is not None and self._abort_timer is None:
            if not self._transport.is_closing():  # asyncio's TLS transport breaks if closed twice
                self._transport.close()
            self._abort_timer = asyncio.get_running_loop().call_later(GRACE, self.abort)

    def abort(self) -> None:
        """Drop the connection and what is unsent."""
        if self._transport is not None:
            self._transport.abort()
