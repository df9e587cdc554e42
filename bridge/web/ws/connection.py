"""WebSocketConnection: a connection after its upgrade: its task, close frames, its end.

Frames of subscriptions go to the transport directly (see `transport_sink`).

Invariants: one task serves the connection, from the 101 response to the close frame; the loss of
the connection interrupts that task; the registry has the connection until both are over.
"""

import asyncio
import contextlib
import logging
from typing import Final

from aiohttp import WSMessage, WSMsgType
from aiohttp.http import WS_CLOSED_MESSAGE

from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.web.context import WebContext
from bridge.web.http.registry import ConnectionRegistry
from bridge.web.session_end import GRACE, SessionEnd
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink
from bridge.wire.websocket import CLOSE_NORMAL, OPCODE_CLOSE, ws_frame_header

from .frame_limits import LINGER, LINGER_BYTES
from .handshake import upgrade_head
from .message_queue import MessageQueue
from .serving import CLOSE_TIMEOUT, serve_websocket
from .tasks import wake

logger = logging.getLogger(__name__)


class WebSocketConnection(asyncio.Protocol):
    """One connection. `session_end` is set when its client is gone."""

    __slots__ = (
        "_abort_timer",
        "_context",
        "_lingering_bytes",
        "_messages",
        "_registry",
        "_session_end",
        "_task",
        "_transport",
        "_writable",
        "closed",
        "send_buffer",
        "writing_paused",
    )

    def __init__(
        self,
        registry: ConnectionRegistry,
        context: WebContext,
        transport: asyncio.Transport,
        session_end: SessionEnd,
    ) -> None:
        self._registry = registry
        self._context = context
        self._transport: asyncio.Transport | None = transport
        self._session_end = session_end
        self._messages = MessageQueue(transport)
        self._lingering_bytes: int | None = None
        """The bytes that may still be dropped, once the client sent what is wrong."""
        self._writable: asyncio.Future[None] | None = None
        """Done when the transport has room again, or is lost."""
        self._abort_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.send_buffer: SendBuffer | None = None
        self.writing_paused = False
        """Whether the transport holds more unsent bytes than its high-water mark."""
        self.closed = False
        """Whether a close frame was sent or received, or the connection is lost."""

    def start(self, request: StreamRequest, slot: StreamSlot) -> None:
        """Answer 101 and serve until the end; `slot` is released then."""
        transport = self._transport
        if transport is None:
            return
        self._registry.add(self)
        self._registry.stop_idle_timeout(self)
        transport.set_protocol(self)
        transport.write(upgrade_head(request, self._context.settings))
        sink = TransportSink(transport, self)
        self._task = asyncio.get_running_loop().create_task(
            self._serve(request, slot, sink), name="serving a WebSocket"
        )

    async def _serve(self, request: StreamRequest, slot: StreamSlot, sink: TransportSink) -> None:
        try:
            await serve_websocket(self._context, request, self, sink, self._session_end, slot=slot)
            slot.release()
            if self._messages.error_code is not None:
                await self._linger()
        except Exception:
            logger.exception("a WebSocket session failed")
        finally:
            slot.release()
            self._task = None
            self.close_after_flush()
            self._leave_when_over()

    # ------------------------------------------------------------ called by the transport

    def data_received(self, data: bytes) -> None:
        """Queue the messages that come."""
        if self._lingering_bytes is not None:
            self._lingering_bytes -= len(data)
            if self._lingering_bytes < 0:
                self.abort()
            return
        self._messages.append(data)

    def pause_writing(self) -> None:
        """Note that the transport is over its high-water mark."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Note that the transport has room again."""
        self.writing_paused = False
        wake(self._writable)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop direct sends, then end the session."""
        del exc
        send_buffer, self.send_buffer = self.send_buffer, None
        if send_buffer is not None:
            send_buffer.on_connection_lost()
        self._transport = None
        self._messages.on_connection_lost()
        wake(self._writable)
        self._session_end.set(End(EndReason.CLIENT_GONE))
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._leave_when_over()

    def _leave_when_over(self) -> None:
        """Leave the registry, once connection and task are both over."""
        if self._transport is None and self._task is None:
            self._registry.remove(self)
            self._messages.close()

    # ------------------------------------------------------------ messages

    async def receive(self) -> WSMessage:
        """Wait for a message; `CLOSED` once there will be none, `ERROR` after a wrong one."""
        if self.closed:
            return WS_CLOSED_MESSAGE
        message = await self._messages.next()
        if message.type is WSMsgType.CLOSED:
            self.closed = True
        elif message.type is WSMsgType.ERROR:
            self._send_close(message.data, b"")
        elif message.type is WSMsgType.CLOSE:
            self._send_close(CLOSE_NORMAL, b"")
            self.close_after_flush()
        return message

    async def close(self, *, code: int, message: bytes) -> None:
        """Send a close frame, wait until the client took it, and for the client's own."""
        if self.closed:
            return
        self._send_close(code, message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                await self._drain()  # a slow client has not seen the close frame yet
            async with asyncio.timeout(CLOSE_TIMEOUT):
                while (await self._messages.next()).type not in _LAST:
                    pass
        if self._messages.error_code is None:
            self.close_after_flush()

    async def _linger(self) -> None:
        """Drop what still comes until the client closes, for `LINGER` seconds at most.

        Closing a socket that has unread bytes resets it, and a reset overtakes the close frame. The
        session is over: nothing is written any more.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._lingering_bytes = LINGER_BYTES
        if transport.can_write_eof():
            transport.write_eof()
        self._writable = asyncio.get_running_loop().create_future()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._writable

    async def _drain(self) -> None:
        """Wait until the transport has room or is lost."""
        if self.writing_paused and self._transport is not None:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable

    def _send_close(self, code: int, reason: bytes) -> None:
        self.closed = True
        if self.send_buffer is not None:  # None: the connection is lost
            payload = code.to_bytes(2) + reason
            self.send_buffer.write(ws_frame_header(OPCODE_CLOSE, len(payload)) + payload)

    # ------------------------------------------------------------ the end

    def close_after_flush(self) -> None:
        """Close once the client took what was sent; abort after `GRACE` seconds. Idempotent."""
        if self._transport is not None and self._abort_timer is None:
            if self.send_buffer is not None:
                self.send_buffer.on_connection_lost()  # nothing follows a close frame
            if not self._transport.is_closing():  # asyncio's TLS transport breaks if closed twice
                self._transport.close()
            self._abort_timer = asyncio.get_running_loop().call_later(GRACE, self.abort)

    def abort(self) -> None:
        """Drop the connection and what is unsent."""
        if self._transport is not None:
            self._transport.abort()


_LAST: Final = (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.ERROR)
