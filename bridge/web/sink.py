"""Sink: a connection's transport, written to without a wait and without a copy."""

import asyncio
import socket

from bridge.live.outlet import Outlet, Wire

from .connection import Telling

SEND_BUFFER = 64 * 1024
"""Bytes the kernel may hold for one client: with more, a stalled one is noticed late."""

USER_TIMEOUT = 30_000
"""Milliseconds after which sent but unacknowledged bytes end a connection (half-open peers)."""


class _Borrowed(socket.socket):
    """A transport's socket, to send on: cheaper than a write to a file. Never closes it."""

    __slots__ = ()

    def __del__(self) -> None:
        self.detach()


class TransportSink:
    """Writes straight to the transport: between whole responses aiohttp has nothing in flight."""

    __slots__ = ("_connection", "_held", "_transport", "unsent", "wire")

    def __init__(self, transport: asyncio.Transport, connection: Telling | None) -> None:
        self._transport = transport
        self._connection = connection
        self._held = b""
        self.unsent = transport.get_write_buffer_size
        """Tells how many bytes the kernel has not taken."""
        self.wire: Wire | None = None
        """Past the transport, which holds bytes back for the end of a tick; not through TLS.

        The descriptor is nobody else's until the protocol was told that the connection is lost.
        """
        sock = transport.get_extra_info("socket")
        if sock is None:
            return
        borrowed = _Borrowed(sock.family, sock.type, sock.proto, fileno=sock.fileno())
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            borrowed.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
        if connection is not None and transport.get_extra_info("sslcontext") is None:
            self.wire = borrowed

    def serve(self, outlet: Outlet) -> None:
        """Have an outlet told of the connection's end."""
        if self._connection is not None:
            self._connection.outlet = outlet

    def hold(self, data: bytes) -> None:
        """Send bytes together with the next, or at `release`: one packet, one wake-up."""
        self._held = data

    def release(self) -> None:
        """Send what is held, if nothing came after it."""
        if self._held:
            self.write(b"")

    def write(self, data: bytes) -> None:
        """Send; a no-op once the client is gone."""
        if self._held:
            data, self._held = self._held + data, b""
        if not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        """Drop the connection and what is unsent."""
        self._transport.abort()
