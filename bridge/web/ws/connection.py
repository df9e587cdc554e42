"""Line: a connection that has become a WebSocket: its messages in, and its goodbye.

aiohttp's reader makes messages of bytes and judges them; its queue holds a sender back who sends
more than is read. Frames go out past both (see `sink`).

Laws: one task serves it, from the answer to the goodbye; the client's going interrupts that task;
the hall has it until both are over.
"""

import asyncio
import contextlib
import logging
from typing import Final, cast

from aiohttp import WSMessage, WSMsgType
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_exceptions import ClientConnectionResetError
from aiohttp.http import WS_CLOSED_MESSAGE, WebSocketError, WebSocketReader
from aiohttp.streams import EofStream

from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.web.context import StreamSlot
from bridge.web.http.registry import ConnectionRegistry
from bridge.web.session_end import GRACE, SessionEnd
from bridge.web.stream_request import StreamRequest
from bridge.web.transport_sink import TransportSink
from bridge.wire.websocket import CLOSE_NORMAL, OPCODE_CLOSE, ws_frame_header

from .core_session import serve_websocket
from .handshake import upgrade_head
from .websocket import CLOSE_TIMEOUT, MAX_MESSAGE

logger = logging.getLogger(__name__)

_QUEUED: Final = 256 * 1024
"""Bytes of messages that wait to be obeyed; at twice that their sender is held back, and not seen
to leave until something is written to it."""


class WebSocketConnection(BaseProtocol):
    """One socket. `ending` is told when its client is gone."""

    __slots__ = (
        "_closing",
        "_ending",
        "_queue",
        "_reader",
        "_registry",
        "_task",
        "closed",
        "send_buffer",
    )

    def __init__(
        self, registry: ConnectionRegistry, transport: asyncio.Transport, ending: SessionEnd
    ) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self._upgraded = True  # what is paused is the transport alone
        self.transport = transport
        self.send_buffer: SendBuffer | None = None
        self.closed = False
        """Whether either side has said goodbye, or is gone."""
        self._registry = registry
        self._ending = ending
        self._queue = WebSocketDataQueue(self, _QUEUED, loop=loop)
        self._reader = WebSocketReader(self._queue, MAX_MESSAGE, compress=False, decode_text=True)
        self._closing: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, ask: StreamRequest, place: StreamSlot) -> None:
        """Answer, and serve until the end; `place` is given back then."""
        transport = self.transport
        if transport is None:
            return
        self._registry.enter(self)
        self._registry.busy(self)
        transport.set_protocol(self)
        transport.write(upgrade_head(ask, self._registry.context.settings))
        sink = TransportSink(transport, self)
        self._task = self._loop.create_task(self._serve(ask, place, sink), name="serving a socket")

    async def _serve(self, ask: StreamRequest, place: StreamSlot, sink: TransportSink) -> None:
        try:
            await serve_websocket(self._registry.context, ask, self, sink, self._ending)
        except Exception:
            logger.exception("a socket broke")
        finally:
            place.give_back()
            self._task = None
            self.hang_up()
            self._part()

    # ------------------------------------------------------------ the transport's calls

    def data_received(self, data: bytes) -> None:
        """Make messages of it."""
        self._reader.feed_data(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever sends past the transport, then the task."""
        send_buffer, self.send_buffer = self.send_buffer, None
        if send_buffer is not None:
            send_buffer.on_connection_lost()
        super().connection_lost(exc)
        self._queue.feed_eof()
        self._ending.say(End(EndReason.CLIENT_GONE))
        if self._closing is not None:
            self._closing.cancel()
        self._part()

    def _part(self) -> None:
        """Leave, once all is over."""
        if self.transport is None and self._task is None:
            self._registry.leave(self)
            del self._queue, self._reader  # or they and this would keep each other

    # ------------------------------------------------------------ messages

    async def receive(self) -> WSMessage:
        """Wait for a message; `CLOSED` once there will be none, `ERROR` after a wrong one."""
        if self.closed:
            return WS_CLOSED_MESSAGE
        try:
            message = await self._queue.read()
        except EofStream:
            self.closed = True
            return WS_CLOSED_MESSAGE
        except WebSocketError as error:
            await self.close(code=error.code, message=b"")
            return WSMessage(WSMsgType.ERROR, error, None)
        if message.type is WSMsgType.CLOSE:
            self._say_goodbye(CLOSE_NORMAL, b"")
            self.hang_up()
        return cast("WSMessage", message)  # or one of bytes, had they been asked for

    async def close(self, *, code: int, message: bytes) -> None:
        """Say goodbye and wait for the client's, and until it took what it was sent before."""
        if self.closed:
            return
        self._say_goodbye(code, message)
        gone = (ClientConnectionResetError, EofStream, WebSocketError, TimeoutError)
        with contextlib.suppress(*gone):
            async with asyncio.timeout(GRACE):
                await self._drain_helper()  # who is slow has not seen it yet
            async with asyncio.timeout(CLOSE_TIMEOUT):
                while (await self._queue.read()).type is not WSMsgType.CLOSE:
                    pass
        self.hang_up()

    def _say_goodbye(self, code: int, message: bytes) -> None:
        self.closed = True
        if self.send_buffer is not None:  # else nobody is there to be told
            payload = code.to_bytes(2) + message
            self.send_buffer.write(ws_frame_header(OPCODE_CLOSE, len(payload)) + payload)

    # ------------------------------------------------------------ the end

    def hang_up(self) -> None:
        """Close, once the client has taken what was sent; it has a moment for that. Idempotent."""
        if self.transport is not None and self._closing is None:
            if self.send_buffer is not None:
                self.send_buffer.on_connection_lost()  # nothing comes after a goodbye
            if not self.transport.is_closing():  # asyncio's through TLS breaks when closed twice
                self.transport.close()
            self._closing = self._loop.call_later(GRACE, self.abort)

    def abort(self) -> None:
        """Drop the connection, and what is unsent."""
        if self.transport is not None:
            self.transport.abort()
