"""Socket: one WebSocket's messages in, pings both ways, and its goodbye (RFC 6455)."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import WSMessage, WSMsgType, web

from bridge.core.errors import FAILURES, Failed, Kind
from bridge.core.token_bucket import TokenBucket
from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.web.idle_timers import IdleTimers
from bridge.web.session_end import GRACE
from bridge.web.transport_sink import TransportSink
from bridge.wire.websocket import (
    CLOSE_GOING_AWAY,
    CLOSE_INTERNAL_ERROR,
    CLOSE_NORMAL,
    OPCODE_PING,
    OPCODE_PONG,
    ws_frame_header,
)

MAX_MESSAGE = 64 * 1024
COMMANDS, BURST = 10.0, 160
"""Per second, and at once: enough to open 64 subscriptions twice over on one socket."""
CLOSE_TIMEOUT = 2.0
"""Seconds to wait for a client's close frame."""
_MAX_REASON = 123
_PING = ws_frame_header(OPCODE_PING, 0)
_GONE = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
_CLOSE_CODES = {
    EndReason.UNSUBSCRIBED: CLOSE_NORMAL,
    EndReason.COMPLETED: CLOSE_NORMAL,
    EndReason.STALLED: FAILURES[Kind.TOO_SLOW].close_code,
    EndReason.EXPIRED: FAILURES[Kind.EXPIRED].close_code,
    EndReason.DRAINED: CLOSE_GOING_AWAY,
}


def upgrade(*protocols: str) -> web.WebSocketResponse:
    """Make the answer to an upgrade: no compression, for it would undo encoding once."""
    return web.WebSocketResponse(
        autoping=False,
        compress=False,
        max_msg_size=MAX_MESSAGE,
        timeout=CLOSE_TIMEOUT,
        protocols=protocols,
    )


class MessageSource(Protocol):
    """An open WebSocket's messages, whoever reads them from its connection."""

    @property
    def closed(self) -> bool:
        """Whether either side has said goodbye, or is gone."""

    async def receive(self) -> WSMessage:
        """Wait for one: text, binary, ping or pong; or for the end, again and again."""

    async def close(self, *, code: int, message: bytes) -> object:
        """Say goodbye and wait for the client's, but not for ever."""


class CommandLimiter:
    """Commands per second that one client may give, with a burst. Who gives more has to wait."""

    __slots__ = ("_bucket",)

    def __init__(self, *, rate: float, burst: int, clock: Callable[[], float]) -> None:
        self._bucket = TokenBucket(rate=rate, burst=burst, clock=clock)

    def spend(self) -> float:
        """Spend one; returns seconds to wait before it is covered."""
        return self._bucket.reserve()


class WebSocket:
    """An open WebSocket. One task reads; `end` is called when no pong comes."""

    __slots__ = (
        "_allowance",
        "_end",
        "_heart",
        "_interval",
        "_loop",
        "_messages",
        "_pong_timer",
        "_ponged",
        "_send_buffer",
        "_sink",
        "_unanswered",
    )

    def __init__(
        self,
        *,
        messages: MessageSource,
        sink: TransportSink,
        send_buffer: SendBuffer,
        idle_timers: IdleTimers,
        ping_interval: float,
        end: Callable[[End], None],
    ) -> None:
        self._messages = messages
        self._sink = sink
        self._send_buffer = send_buffer
        self._interval = ping_interval
        self._end = end
        self._loop = asyncio.get_running_loop()
        self._allowance = CommandLimiter(rate=COMMANDS, burst=BURST, clock=self._loop.time)
        self._ponged = True
        self._unanswered: bytes | None = None
        self._pong_timer: asyncio.TimerHandle | None = None
        self._heart = idle_timers.heart(interval=ping_interval, beat=self._ping)

    async def text(self) -> str | None:
        """Wait for a text message; None when the client is gone. Raises Failed."""
        while True:
            message: WSMessage = await self._messages.receive()
            if message.type is WSMsgType.TEXT:
                if wait := self._allowance.spend():
                    await asyncio.sleep(wait)
                return str(message.data)
            if message.type is WSMsgType.BINARY:
                raise Failed(Kind.MALFORMED, "commands are text messages", field="message")
            if message.type is WSMsgType.PING:
                self._unanswered = message.data
                self._answer()
            elif message.type is WSMsgType.PONG:
                self._ponged = True
            elif message.type in _GONE:
                return None

    async def first_text(self, within: float) -> str | None:
        """Wait for the first text message; as `text`, but not for ever."""
        try:
            async with asyncio.timeout(within or None):
                return await self.text()
        except TimeoutError:
            raise Failed(Kind.NO_FIRST_MESSAGE, "no command came in time") from None

    def _answer(self) -> None:
        """Answer the last ping, once there is room: one for all before it, too (§5.5.3)."""
        if self._send_buffer.has_room:
            self.flush()
        else:
            self._send_buffer.flush_when_room(self)

    def flush(self) -> None:
        """Answer the last ping."""
        payload, self._unanswered = self._unanswered, None
        if payload is not None:
            # Past aiohttp: whatever else is written puts out those in step first.
            self._send_buffer.write(ws_frame_header(OPCODE_PONG, len(payload)) + payload)

    def _ping(self) -> None:
        self._ponged = False
        self._send_buffer.write(_PING)
        self._pong_timer = self._loop.call_later(self._interval / 2, self._expect_pong)

    def _expect_pong(self) -> None:
        if not self._ponged:
            self._end(End(EndReason.FAILED, Failed(Kind.NO_PONG, "no pong came in time")))

    def stop(self) -> None:
        """Ping no more. Idempotent."""
        self._heart.stop()
        if self._pong_timer is not None:
            self._pong_timer.cancel()

    async def close(self, end: End) -> None:
        """Say goodbye. A client that does not read is given a moment, then dropped."""
        self.stop()
        if self._messages.closed or end.reason is EndReason.CLIENT_GONE:
            return
        code = _CLOSE_CODES.get(end.reason, CLOSE_INTERNAL_ERROR)
        if end.failure is not None and end.reason is EndReason.FAILED:
            code = end.failure.row.close_code
        text = end.failure.text() if end.failure is not None else ""
        reason = text.encode()[:_MAX_REASON].decode(errors="ignore").encode()
        try:
            async with asyncio.timeout(GRACE):
                await self._messages.close(code=code, message=reason)
        except TimeoutError:
            self._sink.abort()


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they are over; what they come to is of no interest any more."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.gather(*tasks, return_exceptions=True)
