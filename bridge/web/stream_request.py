"""StreamRequest: a request for an event stream or a WebSocket, whoever read it."""

from typing import Final

import msgspec
from aiohttp import HttpVersion11, web
from multidict import CIMultiDictProxy

from bridge.wire.v1_commands import SUBPROTOCOL

from .stream_log import CORE_SSE, CORE_WS, V1_SSE, V1_WS, ClientProtocol, request_id
from .stream_parameters import StreamParameters, parse_parameters

FOREIGN_ORIGIN = web.RequestKey("foreign_origin", str)
"""The origin of the page, where it is listed and not the listener's own."""

CLIENT_ADDRESS = web.RequestKey("client_address", str)
"""The address of the client, maybe as a trusted proxy named it."""

WEBSOCKET_KEY: Final = "Sec-WebSocket-Key"


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What serving a stream needs of its request."""

    request_id: str
    """Its id in logs and in the response."""
    protocol: ClientProtocol
    parameters: StreamParameters
    """The parameters in its URL."""
    headers: CIMultiDictProxy[str]
    body: bytes | None = None
    """The body of a POST; None: it is a GET."""
    chunked: bool
    """Whether the response may come in chunks: HTTP/1.1 and later."""
    keep_alive: bool
    """Whether the client would use the connection again."""
    remote: str
    """The client's address."""
    foreign_origin: str | None
    """The origin of the page, where it is listed and not the listener's own."""
    websocket_key: str = ""
    """The key of a WebSocket's handshake."""
    anonymous: bool = False
    """Whether it has no header and no parameter that may be a credential, or a part of one."""
    sole_token: str | None = None
    """The bearer token in its header, where nothing beside it may be a credential, or a part."""
    recalled: bool = False
    """Whether its sole token was accepted with a request like it."""

    @classmethod
    def from_aiohttp(
        cls, request: web.Request, body: bytes | None = None, *, websocket: bool = False
    ) -> "StreamRequest":
        """Make it from a request that aiohttp has read, after the origin check."""
        parameters = parse_parameters(request.rel_url.raw_query_string)
        return cls(
            request_id=request_id(request),
            protocol=ws_protocol(request.headers) if websocket else sse_protocol(parameters),
            parameters=parameters,
            headers=request.headers,
            body=body,
            chunked=request.version >= HttpVersion11,
            keep_alive=request.keep_alive,
            remote=request.get(CLIENT_ADDRESS, ""),
            foreign_origin=request.get(FOREIGN_ORIGIN),
            websocket_key=request.headers.get(WEBSOCKET_KEY, ""),
        )

    @property
    def content_type(self) -> str:
        """The media type of the body, in lower case and without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def sse_protocol(parameters: StreamParameters) -> ClientProtocol:
    """Choose the protocol of an event stream."""
    return V1_SSE if parameters.v1 else CORE_SSE


def ws_protocol(headers: CIMultiDictProxy[str]) -> ClientProtocol:
    """Choose the protocol of a WebSocket: v1 where the client offers its subprotocol."""
    # The lines of the field are one list (RFC 6455 §11.3.4).
    offered = ",".join(headers.getall("Sec-WebSocket-Protocol", ())).split(",")
    return V1_WS if SUBPROTOCOL in [name.strip() for name in offered] else CORE_WS
