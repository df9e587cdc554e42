"""Connection: aiohttp's side of one, which tells when it is gone."""

from typing import Protocol

from aiohttp import web

from bridge.core.errors import Failed
from bridge.live.outlet import Outlet


class Telling(Protocol):
    """A connection that tells the outlet on it of its end, before its descriptor is another's."""

    outlet: Outlet | None


class Connection(web.RequestHandler):
    """What is sent past the transport must end before its descriptor is somebody else's.

    Transports close it only after they have said so here (uvloop's and asyncio's alike).
    """

    __slots__ = ("_refusal", "outlet")

    outlet: Outlet | None
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
    def of(cls, request: web.Request) -> "Connection | None":
        """Return a request's; None where another server than ours reads it."""
        return request.protocol if isinstance(request.protocol, cls) else None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the outlet, then all others."""
        outlet = getattr(self, "outlet", None)
        if outlet is not None:
            self.outlet = None
            outlet.cut()
        super().connection_lost(exc)
