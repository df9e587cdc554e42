"""Connection: aiohttp's side of one, which tells when it is gone."""

from typing import Protocol

from aiohttp import web

from bridge.core.errors import Failed
from bridge.live.send_buffer import SendBuffer


class ConnectionOwner(Protocol):
    """A connection that tells the outlet on it of its end, before its descriptor is another's."""

    send_buffer: SendBuffer | None


class AiohttpConnection(web.RequestHandler):
    """What is sent past the transport must end before its descriptor is somebody else's.

    Transports close it only after they have said so here (uvloop's and asyncio's alike).
    """

    __slots__ = ("_refusal", "send_buffer")

    send_buffer: SendBuffer | None
    _refusal: Failed | None

    def refuse(self, failure: Failed) -> None:
        """Have the next request for a stream told a failure that is known already."""
        self._refusal = failure

    def tell_refusal(self) -> None:
        """Raise a failure that is to be told, once."""
        failure = getattr(self, "_refusal", None)
        self._refusal = None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # or it and this frame would hold each other, and all that it came through

    @classmethod
    def of(cls, request: web.Request) -> "AiohttpConnection | None":
        """Return a request's; None where another server than ours reads it."""
        return request.protocol if isinstance(request.protocol, cls) else None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the outlet, then all others."""
        send_buffer = getattr(self, "send_buffer", None)
        if send_buffer is not None:
            self.send_buffer = None
            send_buffer.on_connection_lost()
        super().connection_lost(exc)
