"""Ask: a request for an event stream or a WebSocket, whoever read it from its connection."""

import msgspec
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict, CIMultiDictProxy

from bridge.wire.v1_commands import SUBPROTOCOL

from .stream_log import CORE_SSE, CORE_WS, V1_SSE, V1_WS, ClientProtocol, request_id
from .stream_parameters import NO_PARAMETERS, StreamParameters, parse_parameters

FOREIGN_ORIGIN = web.RequestKey("foreign_origin", str)
"""The listed origin of a page that is not the listener's own."""


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All of a request that matters to who serves it."""

    name: str
    """What it is called in logs and in its answer."""
    protocol: ClientProtocol
    """How the client is to be spoken to."""
    url: StreamParameters
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
    def of(
        cls, request: web.Request, body: bytes | None = None, *, socket: bool = False
    ) -> "StreamRequest":
        """Take from a request that aiohttp has read, and that was judged, what matters.

        `socket`: it is one for a WebSocket.
        """
        url = NO_PARAMETERS if socket else parse_parameters(request.rel_url.raw_query_string)
        return cls(
            name=request_id(request),
            protocol=ws_protocol(request.headers) if socket else sse_protocol(url),
            url=url,
            headers=request.headers,
            body=body,
            chunked=request.version >= HttpVersion11,
            keep_alive=request.keep_alive,
            remote=request.remote or "",
            foreign_origin=request.get(FOREIGN_ORIGIN),
        )

    def answered(self) -> "StreamRequest":
        """Return what is still to be known of it while the answer lasts."""
        return msgspec.structs.replace(self, headers=_NO_HEADERS, body=None)

    @property
    def content_type(self) -> str:
        """The media type of the body, in lower case and without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def sse_protocol(url: StreamParameters) -> ClientProtocol:
    """Choose how to speak on an event stream."""
    return V1_SSE if url.v1 else CORE_SSE


def ws_protocol(headers: CIMultiDictProxy[str]) -> ClientProtocol:
    """Choose how to speak on a WebSocket: v1 where the client offers its subprotocol."""
    offered = headers.get("Sec-WebSocket-Protocol", "").split(",")
    return V1_WS if SUBPROTOCOL in [name.strip() for name in offered] else CORE_WS


_NO_HEADERS = CIMultiDictProxy(CIMultiDict[str]())
