"""WebSockets whose upgrade aiohttp reads: in parts, or where the bridge is mounted."""

from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from bridge.web.context import CONTEXT
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.session_end import SessionEnd
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.web.transport_sink import TransportSink
from bridge.wire.v1_commands import SUBPROTOCOL

from .message_reader import MAX_MESSAGE
from .serving import CLOSE_TIMEOUT, serve_websocket

_PROTOCOL: Final = "Sec-WebSocket-Protocol"


async def websocket_handler(request: web.Request) -> web.StreamResponse:
    """Serve `GET {base}/ws`. Raises Failed over a limit, HTTPBadRequest for a wrong upgrade."""
    context = request.app[CONTEXT]
    connection, session_end = AiohttpConnection.of(request), SessionEnd()
    stream_request = StreamRequest.from_aiohttp(request, websocket=True)
    with context.slot(stream_request.remote, stream_request.protocol, session_end.drain):
        websocket = web.WebSocketResponse(
            autoping=False,
            compress=False,  # it would encode again for each client what is encoded once
            max_msg_size=MAX_MESSAGE + 1,  # aiohttp refuses a message of this size, too
            timeout=CLOSE_TIMEOUT,
            protocols=(SUBPROTOCOL,),
        )
        await websocket.prepare(_with_chosen_protocol(request, stream_request))
        if request.transport is not None:
            sink = TransportSink(request.transport, connection)
            await serve_websocket(context, stream_request, websocket, sink, session_end)
    return websocket


def _with_chosen_protocol(request: web.Request, stream_request: StreamRequest) -> web.Request:
    """Return the request with the subprotocol that was chosen alone, or with none.

    aiohttp reads the first line of the field only, and warns about each request of a client that
    offers others.
    """
    if _PROTOCOL not in request.headers:
        return request
    # `clone` encodes the headers: bytes that are not UTF-8 would raise.
    headers = CIMultiDict(
        (name, value.encode(errors="replace").decode()) for name, value in request.headers.items()
    )
    headers.popall(_PROTOCOL)
    if stream_request.protocol is V1_WS:
        headers[_PROTOCOL] = SUBPROTOCOL
    return request.clone(headers=headers)
