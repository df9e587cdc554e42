"""WebSockets whose upgrade aiohttp reads: in parts, or where the bridge is mounted."""

from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from bridge.web.context import CONTEXT
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.http.registry import ConnectionRegistry
from bridge.web.http.written_response import WrittenResponse
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink
from bridge.wire.v1_commands import SUBPROTOCOL

from .connection import WebSocketConnection
from .handshake import check_upgrade
from .message_reader import MAX_MESSAGE
from .mounted import MountedWebSocket, StrictWebSocketResponse
from .serving import CLOSE_TIMEOUT

_PROTOCOL: Final = "Sec-WebSocket-Protocol"


async def websocket_handler(request: web.Request) -> web.StreamResponse:
    """Serve `GET {base}/ws`.

    Raises:
        Failed: over a limit.
        HTTPBadRequest, HTTPUpgradeRequired: a wrong upgrade.

    """
    check_upgrade(request)
    stream_request = StreamRequest.from_aiohttp(request, websocket=True)
    connection = AiohttpConnection.of(request)
    if connection is not None and connection.registry is not None:
        return _take_over(request, stream_request, connection, connection.registry)
    return await _serve_mounted(request, stream_request)


def _take_over(
    request: web.Request,
    stream_request: StreamRequest,
    connection: AiohttpConnection,
    registry: ConnectionRegistry,
) -> web.StreamResponse:
    """Serve it as one whose upgrade came whole: aiohttp has read the request, and no more."""
    context = request.app[CONTEXT]
    slot = StreamSlot(context, stream_request)
    slot.acquire_for(stream_request)
    given = connection.give_away()
    if given is None:
        slot.release()
    else:
        transport, rest = given
        websocket = WebSocketConnection(registry, context, transport)
        registry.add(websocket)
        registry.stop_idle_timeout(websocket)
        websocket.start(stream_request, slot)
        websocket.data_received(rest)
    return WrittenResponse(keep_alive=False)


async def _serve_mounted(request: web.Request, stream_request: StreamRequest) -> web.StreamResponse:
    """Serve it where another server has the connection: by aiohttp's own WebSocket."""
    context = request.app[CONTEXT]
    slot = StreamSlot(context, stream_request)
    slot.acquire_for(stream_request)
    try:
        websocket = StrictWebSocketResponse(
            autoping=False,
            compress=False,  # it would encode again for each client what is encoded once
            max_msg_size=MAX_MESSAGE + 1,  # aiohttp refuses a message of this size, too
            timeout=CLOSE_TIMEOUT,
            protocols=(SUBPROTOCOL,),
        )
        mounted = MountedWebSocket(websocket)
        slot.end = mounted.end
        await websocket.prepare(_with_chosen_protocol(request, stream_request))
        if request.transport is not None:
            sink = TransportSink(request.transport, None)
            await mounted.serve(context, stream_request, sink, slot)
    finally:
        slot.release()
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
