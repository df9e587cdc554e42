"""Connection: aiohttp's side of one, which tells when it is gone."""

from aiohttp import web

from bridge.live.outlet import Outlet


class Connection(web.RequestHandler):
    """What is sent past the transport must end before its descriptor is somebody else's.

    Transports close it only after they have said so here (uvloop's and asyncio's alike).
    """

    __slots__ = ("outlet",)

    outlet: Outlet | None
    """That of the stream on it, once there is one."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the outlet, then all others."""
        outlet = getattr(self, "outlet", None)
        if outlet is not None:
            self.outlet = None
            outlet.cut()
        super().connection_lost(exc)
