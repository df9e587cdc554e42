"""Ask: a request for an event stream or a WebSocket, whoever read it from its connection."""

import msgspec
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict, CIMultiDictProxy

from .asked import NOTHING, Asked, asked
from .journal import request_id

FOREIGN_ORIGIN = web.RequestKey("foreign_origin", str)
"""The listed origin of a page that is not the listener's own."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All of a request that matters to who serves it."""

    name: str
    """What it is called in logs and in its answer."""
    socket: bool = False
    """Whether a WebSocket is asked for."""
    url: Asked = NOTHING
    """What the URL of a stream says."""
    headers: CIMultiDictProxy[str]
    body: bytes | None = None
    """That of a POST; None: it was a GET."""
    chunked: bool
    """Whether the answer may come in chunks: HTTP/1.1 and later."""
    keep_alive: bool
    """Whether the client would use the connection again."""
    remote: str
    """The client's address."""
    foreign_origin: str | None
    """The listed origin of a page that is not the listener's own."""

    @classmethod
    def of(cls, request: web.Request, body: bytes | None = None) -> "Ask":
        """Take from a request that aiohttp has read, and that was judged, what matters."""
        return cls(
            name=request_id(request),
            url=asked(request.rel_url.raw_query_string),
            headers=request.headers,
            body=body,
            chunked=request.version >= HttpVersion11,
            keep_alive=request.keep_alive,
            remote=request.remote or "",
            foreign_origin=request.get(FOREIGN_ORIGIN),
        )

    def answered(self) -> "Ask":
        """Return what is still to be known of it while the answer lasts."""
        return msgspec.structs.replace(self, headers=_NO_HEADERS, body=None)

    @property
    def content_type(self) -> str:
        """The media type of the body, in lower case and without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


_NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())
