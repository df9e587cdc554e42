"""CommandReader: the text messages of a client, at a limited rate.

Invariant: in one turn of the event loop a client has at most one command handled, however many have
come: others have their turn in between.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from aiohttp import WSMessage, WSMsgType

from bridge.core.errors import Failed, Kind
from bridge.core.token_bucket import TokenBucket
from bridge.live.stream_end import End, EndReason
from bridge.web.context import WebContext

from .keepalive import WebSocketKeepalive

COMMAND_BURST: Final = 16
"""Commands at once, in seconds of their rate: enough, at the default, to open 64 subscriptions
twice over on one socket."""
_ENDS: Final = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)


class MessageSource(Protocol):
    """An open WebSocket: the bridge's own connection, or aiohttp's WebSocketResponse."""

    @property
    def closed(self) -> bool:
        """Whether a close frame was sent or received, or the connection is lost."""

    async def receive(self) -> WSMessage:
        """Wait for a message: text, binary, ping, pong, or one of the ends, again and again."""

    async def close(self, *, code: int, message: bytes) -> object:
        """Send a close frame and wait for the client's, within a deadline."""


class CommandReader:
    """Reads commands for a session. Pings and pongs go to the keepalive. One task reads.

    `end` ends the session.
    """

    __slots__ = ("_bucket", "_end", "_idle_timers", "_keepalive", "_limited", "_messages")

    def __init__(
        self,
        messages: MessageSource,
        keepalive: WebSocketKeepalive,
        context: WebContext,
        end: Callable[[End], None],
    ) -> None:
        self._messages = messages
        self._keepalive = keepalive
        clock = asyncio.get_running_loop().time
        rate = context.settings.command_rate
        self._bucket = TokenBucket(rate=rate, burst=COMMAND_BURST * rate, clock=clock)
        self._limited = context.stream_log.limited
        self._idle_timers = context.idle_timers
        self._end = end

    async def read(self) -> str | None:
        """Wait for a text message; None when the client is gone.

        Raises:
            Failed: MALFORMED for a binary message.

        """
        while True:
            message = await self._messages.receive()
            if message.type is WSMsgType.TEXT:
                delay = self._bucket.reserve()
                if delay:
                    self._limited["commands",] += 1
                await asyncio.sleep(delay)  # 0: until the next turn
                return str(message.data)
            if message.type is WSMsgType.BINARY:
                raise Failed(Kind.MALFORMED, "commands are text messages", field="message")
            if message.type is WSMsgType.PING:
                self._keepalive.on_ping(message.data)
            elif message.type is WSMsgType.PONG:
                self._keepalive.on_pong()
            elif message.type in _ENDS:
                return None

    async def read_first(self, timeout: float) -> str | None:  # noqa: ASYNC109 - 0 is no deadline
        """Wait for the first text message, at most `timeout` seconds (0: without a deadline).

        When the time is over, the session is ended with NO_FIRST_MESSAGE. Raises Failed, as `read`.
        """
        timer = self._idle_timers.start(timeout, self._on_late)
        try:
            return await self.read()
        finally:
            timer.stop()

    def _on_late(self) -> None:
        failure = Failed(Kind.NO_FIRST_MESSAGE, "no command came in time")
        self._end(End(EndReason.FAILED, failure))
