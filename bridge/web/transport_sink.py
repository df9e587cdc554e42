"""TransportSink: writes to a connection's transport, without waiting and without copying."""

import asyncio

from bridge.live.send_buffer import DirectSend, SendBuffer
from bridge.web.http.aiohttp_connection import ConnectionOwner

from .direct_socket import DirectSocket


class TransportSink:
    """Writes to the transport directly; while a stream lasts, nothing else does.

    `connection`: calls the send buffer when the connection is lost; None: nothing calls it.
    """

    __slots__ = ("_connection", "_held", "_transport", "unsent")

    def __init__(self, transport: asyncio.Transport, connection: ConnectionOwner | None) -> None:
        self._transport = transport
        self._connection = connection
        self._held = b""
        self.unsent = transport.get_write_buffer_size
        """Returns the bytes that the kernel has not taken."""

    def attach(self, send_buffer: SendBuffer) -> None:
        """Let the connection call a send buffer when it is lost."""
        if self._connection is not None:
            self._connection.send_buffer = send_buffer

    def open_direct_send(self) -> DirectSend | None:
        """Return a way to the kernel past the transport, which writes at the end of a loop's turn.

        None with TLS, and where nothing reports the connection's loss: after that the descriptor
        may be another connection's.
        """
        transport = self._transport
        if self._connection is None or transport.get_extra_info("sslcontext") is not None:
            return None
        sock = transport.get_extra_info("socket")
        return DirectSocket(sock.family, sock.type, sock.proto, sock.fileno())

    def hold(self, data: bytes) -> None:
        """Keep bytes, to be sent with the next ones or at `release`: one packet, one wake-up."""
        self._held = data

    def release(self) -> None:
        """Send what is kept, if nothing was written since."""
        if held := self._held:
            # Not with an empty chunk: since Python 3.12, asyncio never gets rid of one.
            self._held = b""
            self.write(held)

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
