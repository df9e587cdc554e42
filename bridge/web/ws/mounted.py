"""MountedWebSocket: a WebSocket that another application's server has; aiohttp reads it.

Invariant: one task serves it, the handler's: it reads, is interrupted by the session's end, and
sends the close frame.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from aiohttp import WSMessage, web
from aiohttp.http import WS_CLOSED_MESSAGE
from websockets.frames import CloseCode

from bridge.live.send_buffer import do_nothing
from bridge.live.stream_end import End, EndReason
from bridge.web.context import WebContext
from bridge.web.session_end import GRACE
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink
from bridge.wire.websocket import CLOSE_NORMAL

from .close_codes import close_code, close_reason
from .frame_limits import FRAMES
from .serving import ServedSession

_CODES_END: Final = 5000
"""Close codes are below this (RFC 6455 §7.4.2)."""


class StrictWebSocketResponse(web.WebSocketResponse):
    """aiohttp's WebSocket, strict about what aiohttp lets pass: close codes, endless messages."""

    _allowed_at = 0.0
    """When its client's whole allowance of frames is there again."""
    on_closing: Callable[[], None] = staticmethod(do_nothing)
    """Called before the close frame is sent: aiohttp then waits for the client's."""

    async def receive(self, timeout: float | None = None) -> WSMessage:  # noqa: ASYNC109 - aiohttp's
        """Receive a message; a client that sends too many of any kind is sent away."""
        message = await super().receive(timeout)
        if not self.closed:
            allowed_at = FRAMES.take(self._allowed_at)
            if allowed_at is None:
                await self.close(code=CloseCode.POLICY_VIOLATION)
                return WS_CLOSED_MESSAGE
            self._allowed_at = allowed_at
        return message

    async def close(
        self, *, code: int = CLOSE_NORMAL, message: bytes = b"", drain: bool = True
    ) -> bool:
        """Send a close frame; as a protocol error, if the client sent a code that none may send."""
        self.on_closing()
        received = self.close_code or 0
        if received == CloseCode.ABNORMAL_CLOSURE or received >= _CODES_END:
            code = CloseCode.PROTOCOL_ERROR
        return await super().close(code=code, message=message, drain=drain)


class MountedWebSocket:
    """One for each socket."""

    def __init__(self, websocket: StrictWebSocketResponse) -> None:
        self._websocket = websocket
        self._message: WSMessage | None = None
        """What came last, until it is taken."""
        self._end: End | None = None
        self._timeout: asyncio.Timeout | None = None

    def end(self, end: End) -> None:
        """End the session. Idempotent: the first end stays."""
        if self._end is None:
            self._end = end
            self._interrupt()

    def _interrupt(self) -> None:
        if self._timeout is not None:
            self._timeout.reschedule(0)

    @property
    def waiting(self) -> bool:
        """Whether `take` returns a message."""
        return self._message is not None

    def take(self) -> WSMessage | None:
        """Take what came."""
        message, self._message = self._message, None
        return message

    async def serve(
        self, context: WebContext, request: StreamRequest, sink: TransportSink, slot: StreamSlot
    ) -> None:
        """Serve it until its end, whoever ends it, and release everything.

        A cancellation releases everything too, and is passed on.
        """
        session = ServedSession(
            context, request, messages=self, sink=sink, slot=slot, on_end=self._interrupt
        )
        self._websocket.on_closing = session.silence
        try:
            # A deadline that is not set yet: asyncio tells its cancellation from all others.
            async with asyncio.timeout(None) as self._timeout:
                session.start()
                await self._read(session)
        except TimeoutError:
            if session.ended is None and self._end is None:
                raise
        finally:
            self._timeout = None
            session.end(self._end or End(EndReason.CLIENT_GONE))
            await session.finish()
        await self._close(session, sink)

    async def _read(self, session: ServedSession) -> None:
        while session.ended is None and self._end is None:
            self._message = await self._websocket.receive()
            session.commands.wake()
            await session.commands.settle()

    async def _close(self, session: ServedSession, sink: TransportSink) -> None:
        """Send the close frame; a client that does not take it in time is dropped."""
        end = session.ended
        if self._websocket.closed or end is None or end.reason is EndReason.CLIENT_GONE:
            return
        try:
            async with asyncio.timeout(GRACE):
                await self._websocket.close(code=close_code(end), message=close_reason(end))
        except TimeoutError:
            sink.abort()
