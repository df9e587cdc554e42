"""WebSocketConnection: a connection after its upgrade: its messages, close frames, its end.

Frames of subscriptions go to the transport directly (see `transport_sink`).

Invariants: what the client sends is handled as it comes, without a task; one task ends the session,
up to the close frame; the registry has the connection until both connection and session are over.
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
from bridge.web.session_end import GRACE
from bridge.web.stream_request import StreamRequest
from bridge.web.stream_slot import StreamSlot
from bridge.web.transport_sink import TransportSink
from bridge.wire.websocket import CLOSE_NORMAL, OPCODE_CLOSE, ws_frame_header

from .close_codes import close_code, close_reason
from .frame_limits import LINGER, LINGER_BYTES
from .handshake import upgrade_head
from .message_queue import MessageQueue
from .serving import CLOSE_TIMEOUT, ServedSession
from .tasks import wake

logger = logging.getLogger(__name__)


class WebSocketConnection(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_abort_timer",
        "_context",
        "_lingering_bytes",
        "_messages",
        "_registry",
        "_session",
        "_slot",
        "_task",
        "_transport",
        "_writable",
        "closed",
        "send_buffer",
        "writing_paused",
    )

    def __init__(
        self, registry: ConnectionRegistry, context: WebContext, transport: asyncio.Transport
    ) -> None:
        self._registry = registry
        self._context = context
        self._transport: asyncio.Transport | None = transport
        self._messages = MessageQueue(transport)
        self._session: ServedSession | None = None
        self._slot: StreamSlot | None = None
        """Its place in the limits, until it is over."""
        self._lingering_bytes: int | None = None
        """The bytes that may still be dropped, once the client sent what is wrong."""
        self._writable: asyncio.Future[None] | None = None
        """Done when the transport has room again, or is lost."""
        self._abort_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        """Ends the session."""
        self.send_buffer: SendBuffer | None = None
        self.writing_paused = False
        """Whether the transport holds more unsent bytes than its high-water mark."""
        self.closed = False
        """Whether a close frame was sent or received, or the connection is lost."""

    def start(self, request: StreamRequest, slot: StreamSlot) -> None:
        """Answer 101 and serve until the end; `slot` is released then. The registry has it."""
        transport = self._transport
        if transport is None:
            return
        self._slot = slot
        slot.end = self.end
        transport.set_protocol(self)
        transport.write(upgrade_head(request, self._context.settings))
        self._session = session = ServedSession(
            self._context,
            request,
            messages=self,
            sink=TransportSink(transport, self),
            slot=slot,
            on_end=self._on_end,
        )
        self._messages.consumer = session.commands
        session.start()

    @property
    def verified(self) -> bool:
        """Whether the bridge has verified the credential that its request came with."""
        return self._session is not None and self._session.verified

    def end(self, end: End) -> None:
        """End the session. Idempotent: the first end stays."""
        if self._session is not None:
            self._session.end(end)

    def _on_end(self) -> None:
        if self._session is not None:
            self._task = asyncio.get_running_loop().create_task(
                self._finish(self._session), name="ending a WebSocket"
            )

    async def _finish(self, session: ServedSession) -> None:
        try:
            self._messages.consumer = None
            await session.finish()
            self._session = None
            await self._close(session.ended)
            self._release_slot()
            if self._messages.error_code is not None:
                await self._linger()
        except Exception:
            logger.exception("a WebSocket session failed")
        finally:
            self._release_slot()
            self._task = self._session = None
            self.close_after_flush()
            self._leave_when_over()

    def _release_slot(self) -> None:
        if self._slot is not None:
            self._slot.release()
            self._slot = None

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
        self.end(End(EndReason.CLIENT_GONE))
        self._messages.on_connection_lost()
        wake(self._writable)
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        self._leave_when_over()

    def _leave_when_over(self) -> None:
        """Leave the registry, once connection and session are both over."""
        if self._transport is None and self._session is None and self._task is None:
            self._registry.remove(self)
            self._messages.close()

    # ------------------------------------------------------------ messages

    @property
    def waiting(self) -> bool:
        """Whether `take` returns a message."""
        return self._messages.waiting or self.closed

    def take(self) -> WSMessage | None:
        """Take a message; `CLOSED` once there will be none, `ERROR` after a wrong one."""
        if self.closed:
            return WS_CLOSED_MESSAGE
        message = self._messages.take()
        if message is None or message.type is WSMsgType.TEXT:
            return message
        if message.type is WSMsgType.CLOSED:
            self.closed = True
        elif message.type is WSMsgType.ERROR:
            self._send_close(message.data, b"")
        elif message.type is WSMsgType.CLOSE:
            self._send_close(CLOSE_NORMAL, b"")
            self.close_after_flush()
        return message

    async def _close(self, end: End | None) -> None:
        """Send the close frame; a client that does not take it in time is dropped."""
        if self.closed or end is None or end.reason is EndReason.CLIENT_GONE:
            return
        self._send_close(close_code(end), close_reason(end))
        try:
            async with asyncio.timeout(GRACE):
                await self._drain()  # a slow client has not seen the close frame yet
        except TimeoutError:
            self.abort()
            return
        with contextlib.suppress(TimeoutError):
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
            with contextlib.suppress(OSError):  # it is gone, and that is not read yet
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
            self.send_buffer.write_last(ws_frame_header(OPCODE_CLOSE, len(payload)) + payload)

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
