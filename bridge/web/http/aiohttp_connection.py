"""AiohttpConnection: a connection that aiohttp serves; it ends direct sends in time."""

from typing import Protocol

from aiohttp import web

from bridge.live.send_buffer import SendBuffer


class ConnectionOwner(Protocol):
    """A connection that calls its send buffer when it is lost, before its descriptor is closed."""

    send_buffer: SendBuffer | None


class AiohttpConnection(web.RequestHandler):
    """aiohttp's protocol; its stream, if it has one, sends to its descriptor directly.

    Transports call `connection_lost` before they close the descriptor (uvloop's and asyncio's
    alike); direct sends must end there, for the descriptor's number is soon another connection's.
    """

    __slots__ = ("peer", "send_buffer")

    send_buffer: SendBuffer | None
    peer: str | None
    """The client's address, where a PROXY header named it."""

    @classmethod
    def of(cls, request: web.Request) -> "AiohttpConnection | None":
        """Return a request's connection; None where another server than the bridge's has it."""
        return request.protocol if isinstance(request.protocol, cls) else None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop direct sends, then let aiohttp end its handler."""
        send_buffer = getattr(self, "send_buffer", None)
        if send_buffer is not None:
            self.send_buffer = None
            send_buffer.on_connection_lost()
        super().connection_lost(exc)
