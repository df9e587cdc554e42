"""Sink: a connection's transport, written to without a wait and without a copy."""

import asyncio
import socket

from bridge.live.send_buffer import DirectSend, SendBuffer
from bridge.web.http.aiohttp_connection import ConnectionOwner


class _Borrowed(socket.SocketType):
    """A transport's socket, to send on: cheaper than a write to a file. Never closes it."""

    __slots__ = ()

    def __del__(self) -> None:
        self.detach()


class TransportSink:
    """Writes straight to the transport: between whole responses aiohttp has nothing in flight."""

    __slots__ = ("_connection", "_held", "_transport", "unsent")

    def __init__(self, transport: asyncio.Transport, connection: ConnectionOwner | None) -> None:
        self._transport = transport
        self._connection = connection
        self._held = b""
        self.unsent = transport.get_write_buffer_size
        """Tells how many bytes the kernel has not taken."""

    def serve(self, send_buffer: SendBuffer) -> None:
        """Have an outlet told of the connection's end."""
        if self._connection is not None:
            self._connection.send_buffer = send_buffer

    def open_direct_send(self) -> DirectSend | None:
        """Lay a way past the transport, which holds bytes back for the end of a tick.

        There is none through TLS, nor where nobody would tell of the connection's end: the
        descriptor is nobody else's until then.
        """
        transport = self._transport
        if self._connection is None or transport.get_extra_info("sslcontext") is not None:
            return None
        sock = transport.get_extra_info("socket")
        return _Borrowed(sock.family, sock.type, sock.proto, sock.fileno())

    def hold(self, data: bytes) -> None:
        """Send bytes together with the next, or at `release`: one packet, one wake-up."""
        self._held = data

    def release(self) -> None:
        """Send what is held, if nothing came after it."""
        if self._held:
            self.write(b"")

    def write(self, data: bytes) -> None:
        """Send; a no-op once the client is gone."""
        held, self._held = self._held, b""
        if self._transport.is_closing():
            return
        if held:
            self._transport.writelines((held, data))
        else:
            self._transport.write(data)

    def abort(self) -> None:
        """Drop the connection and what is unsent."""
        self._transport.abort()
