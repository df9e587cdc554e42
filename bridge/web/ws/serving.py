"""Serving an open WebSocket, whoever reads it: from its first command to its close frame."""

import asyncio
from typing import Final, Protocol

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import End, EndReason
from bridge.web.context import WebContext
from bridge.web.session_end import GRACE, SessionEnd
from bridge.web.stream_log import V1_WS
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink

from .close_codes import close_code, close_reason
from .command_reader import CommandReader, MessageSource
from .core_session import CoreSession
from .keepalive import WebSocketKeepalive
from .v1_session import V1Session

CLOSE_TIMEOUT: Final = 2.0
"""Seconds to wait for a client's close frame."""


class WebSocketSession(Protocol):
    """One client's session on a WebSocket, in one protocol."""

    async def run(self) -> End:
        """Handle commands until one of them, or the client's leaving, ends the session."""

    def send_last_message(self, end: End) -> None:
        """Send the protocol's last message before the close frame, if it has one."""

    async def close(self, end: End) -> None:
        """Release all that the session holds."""


async def serve_websocket(
    context: WebContext,
    request: StreamRequest,
    messages: MessageSource,
    sink: TransportSink,
    session_end: SessionEnd,
    *,
    slot: StreamSlot,
) -> None:
    """Serve an open WebSocket until its end, whoever ends it, and release everything.

    A cancellation releases everything too, and is passed on.
    """
    send_buffer = context.send_buffer(sink, session_end.stall)
    keepalive = WebSocketKeepalive(
        send_buffer=send_buffer,
        idle_timers=context.idle_timers,
        interval=context.settings.ping_interval,
        end=session_end.set,
    )
    if context.hub.draining:
        failure = Failed(Kind.UNAVAILABLE, "the bridge is draining")
        session_end.set(End(EndReason.FAILED, failure))
    session_class = V1Session if request.protocol is V1_WS else CoreSession
    session: WebSocketSession = session_class(
        context=context,
        request=request,
        commands=CommandReader(messages, keepalive, context, session_end.set),
        slot=slot,
        send_buffer=send_buffer,
        end=session_end.set,
    )
    end = End(EndReason.CLIENT_GONE)
    try:
        end = await session_end.run(session.run())
        if end.failure is not None and end.reason is EndReason.FAILED:
            context.stream_log.log_refusal(request.request_id, "ws", end.failure)
        session.send_last_message(end)
    finally:
        # Before any wait: aiohttp cancels its handler when the client is gone.
        keepalive.stop()
        context.detach(send_buffer)
        await session.close(end)
    await _close(messages, sink, end)


async def _close(messages: MessageSource, sink: TransportSink, end: End) -> None:
    """Send the close frame; a client that does not take it in time is dropped."""
    if messages.closed or end.reason is EndReason.CLIENT_GONE:
        return
    try:
        async with asyncio.timeout(GRACE):
            await messages.close(code=close_code(end), message=close_reason(end))
    except TimeoutError:
        sink.abort()
