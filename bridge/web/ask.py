"""Ask: a request for an event stream or a WebSocket, whoever read it from its connection."""

import msgspec
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict, CIMultiDictProxy

from bridge.core.v1 import SUBPROTOCOL

from .asked import NOTHING, Asked, asked
from .journal import CORE_SSE, CORE_WS, V1_SSE, V1_WS, Talk, request_id

FOREIGN_ORIGIN = web.RequestKey("foreign_origin", str)
"""The listed origin of a page that is not the listener's own."""


class Ask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All of a request that matters to who serves it."""

    name: str
    """What it is called in logs and in its answer."""
    talk: Talk
    """How the client is to be spoken to."""
    url: Asked
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
    def of(cls, request: web.Request, body: bytes | None = None, *, socket: bool = False) -> "Ask":
        """Take from a request that aiohttp has read, and that was judged, what matters.

        `socket`: it is one for a WebSocket.
        """
        url = NOTHING if socket else asked(request.rel_url.raw_query_string)
        return cls(
            name=request_id(request),
            talk=talk_of_socket(request.headers) if socket else talk_of_stream(url),
            url=url,
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


def talk_of_stream(url: Asked) -> Talk:
    """Choose how to speak on an event stream."""
    return V1_SSE if url.v1 else CORE_SSE


def talk_of_socket(headers: CIMultiDictProxy[str]) -> Talk:
    """Choose how to speak on a WebSocket: v1 where the client offers its subprotocol."""
    offered = headers.get("Sec-WebSocket-Protocol", "").split(",")
    return V1_WS if SUBPROTOCOL in [name.strip() for name in offered] else CORE_WS


_NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())
