"""WebSockets whose upgrade aiohttp reads: in parts, or where the bridge is mounted."""

from typing import Final

from aiohttp import WSMessage, web
from aiohttp.http import WS_CLOSED_MESSAGE
from multidict import CIMultiDict
from websockets.frames import CloseCode

from bridge.core.token_bucket import TokenBucket
from bridge.web.context import CONTEXT
from bridge.web.http.aiohttp_connection import AiohttpConnection
from bridge.web.http.registry import ConnectionRegistry
from bridge.web.http.written_response import WrittenResponse
from bridge.web.session_end import SessionEnd
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink
from bridge.wire.v1_commands import SUBPROTOCOL
from bridge.wire.websocket import CLOSE_NORMAL

from .connection import WebSocketConnection
from .frame_limits import frame_allowance
from .handshake import check_upgrade
from .message_reader import MAX_MESSAGE
from .serving import CLOSE_TIMEOUT, serve_websocket

_PROTOCOL: Final = "Sec-WebSocket-Protocol"
_CODES_END: Final = 5000
"""Close codes are below this (RFC 6455 §7.4.2)."""


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
    context, session_end = request.app[CONTEXT], SessionEnd()
    slot = StreamSlot(context, stream_request, session_end.set)
    slot.acquire_for(stream_request)
    given = connection.give_away()
    if given is None:
        slot.release()
    else:
        transport, rest = given
        websocket = WebSocketConnection(registry, context, transport, session_end)
        websocket.start(stream_request, slot)
        websocket.data_received(rest)
    return WrittenResponse(keep_alive=False)


async def _serve_mounted(request: web.Request, stream_request: StreamRequest) -> web.StreamResponse:
    """Serve it where another server has the connection: by aiohttp's own WebSocket."""
    context, session_end = request.app[CONTEXT], SessionEnd()
    slot = StreamSlot(context, stream_request, session_end.set)
    slot.acquire_for(stream_request)
    try:
        websocket = StrictWebSocketResponse(
            autoping=False,
            compress=False,  # it would encode again for each client what is encoded once
            max_msg_size=MAX_MESSAGE + 1,  # aiohttp refuses a message of this size, too
            timeout=CLOSE_TIMEOUT,
            protocols=(SUBPROTOCOL,),
        )
        await websocket.prepare(_with_chosen_protocol(request, stream_request))
        if request.transport is not None:
            sink = TransportSink(request.transport, None)
            await serve_websocket(context, stream_request, websocket, sink, session_end, slot=slot)
    finally:
        slot.release()
    return websocket


class StrictWebSocketResponse(web.WebSocketResponse):
    """aiohttp's WebSocket, strict about what aiohttp lets pass: close codes, endless messages."""

    _allowance: TokenBucket | None = None

    async def receive(self, timeout: float | None = None) -> WSMessage:  # noqa: ASYNC109 - aiohttp's
        """Receive a message; a client that sends too many of any kind is sent away."""
        message = await super().receive(timeout)
        if self._allowance is None:
            self._allowance = frame_allowance()
        if not self.closed and not self._allowance.take():
            await self.close(code=CloseCode.POLICY_VIOLATION)
            return WS_CLOSED_MESSAGE
        return message

    async def close(
        self, *, code: int = CLOSE_NORMAL, message: bytes = b"", drain: bool = True
    ) -> bool:
        """Send a close frame; as a protocol error, if the client sent a code that none may send."""
        received = self.close_code or 0
        if received == CloseCode.ABNORMAL_CLOSURE or received >= _CODES_END:
            code = CloseCode.PROTOCOL_ERROR
        return await super().close(code=code, message=message, drain=drain)


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
