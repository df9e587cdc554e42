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

from bridge.core.group import message_head
from bridge.live.observer import Reason
from bridge.live.outlet import Outlet
from bridge.live.viewer import End

from .ask import Ask
from .context import Place
from .ending import GRACE, Ending
from .hall import Hall
from .handshake import upgrade_head
from .sink import TransportSink
from .socket import CLOSE_TIMEOUT, MAX_MESSAGE
from .ws import talk

logger = logging.getLogger(__name__)

_QUEUED: Final = 256 * 1024
"""Bytes of messages that wait to be obeyed; at twice that their sender is held back, and not seen
to leave until something is written to it."""
_CLOSE: Final = 0x08
_NORMAL: Final = 1000


class Line(BaseProtocol):
    """One socket. `ending` is told when its client is gone."""

    __slots__ = ("_closing", "_ending", "_hall", "_queue", "_reader", "_task", "closed", "outlet")

    def __init__(self, hall: Hall, transport: asyncio.Transport, ending: Ending) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self._upgraded = True  # what is paused is the transport alone
        self.transport = transport
        self.outlet: Outlet | None = None
        self.closed = False
        """Whether either side has said goodbye, or is gone."""
        self._hall = hall
        self._ending = ending
        self._queue = WebSocketDataQueue(self, _QUEUED, loop=loop)
        self._reader = WebSocketReader(self._queue, MAX_MESSAGE, compress=False, decode_text=True)
        self._closing: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, ask: Ask, place: Place) -> None:
        """Answer, and serve until the end; `place` is given back then."""
        transport = self.transport
        if transport is None:
            return
        self._hall.enter(self)
        self._hall.busy(self)
        transport.set_protocol(self)
        transport.write(upgrade_head(ask, self._hall.context.settings))
        sink = TransportSink(transport, self)
        self._task = self._loop.create_task(self._serve(ask, place, sink), name="serving a socket")

    async def _serve(self, ask: Ask, place: Place, sink: TransportSink) -> None:
        try:
            await talk(self._hall.context, ask, self, sink, self._ending)
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
        outlet, self.outlet = self.outlet, None
        if outlet is not None:
            outlet.cut()
        super().connection_lost(exc)
        self._queue.feed_eof()
        self._ending.say(End(Reason.CLIENT_GONE))
        if self._closing is not None:
            self._closing.cancel()
        self._part()

    def _part(self) -> None:
        """Leave, once all is over."""
        if self.transport is None and self._task is None:
            self._hall.leave(self)
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
            self._say_goodbye(_NORMAL, b"")
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
        if self.outlet is not None:  # else nobody is there to be told
            payload = code.to_bytes(2) + message
            self.outlet.write(message_head(_CLOSE, len(payload)) + payload)

    # ------------------------------------------------------------ the end

    def hang_up(self) -> None:
        """Close, once the client has taken what was sent; it has a moment for that. Idempotent."""
        if self.transport is not None and self._closing is None:
            if self.outlet is not None:
                self.outlet.cut()  # nothing comes after a goodbye
            if not self.transport.is_closing():  # asyncio's through TLS breaks when closed twice
                self.transport.close()
            self._closing = self._loop.call_later(GRACE, self.abort)

    def abort(self) -> None:
        """Drop the connection, and what is unsent."""
        if self.transport is not None:
            self.transport.abort()
