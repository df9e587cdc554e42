"""WrittenResponse: stands for a response that is written to the transport already."""

from aiohttp import web


class WrittenResponse(web.StreamResponse):
    """aiohttp has nothing to add to it."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._may_keep_alive = keep_alive

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        return self._may_keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write no head."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write no end."""
