"""MessageQueue: the messages that a WebSocket client sent, until they are handled.

Invariants: while more than `MAX_QUEUED` bytes of messages wait, or more came than is read in one
turn of the event loop, nothing more is read from the transport; what came before an error is
handled first, unless the client sent more frames than it may.
"""

import asyncio
from typing import Protocol

from aiohttp import WSMessage, WSMsgType
from aiohttp.http import WS_CLOSED_MESSAGE
from websockets.frames import CloseCode

from .frame_limits import (
    FRAME_BURST,
    FRAMES,
    FRAMES_PER_TURN,
    MAX_QUEUED,
    MESSAGE_OVERHEAD,
)
from .message_reader import MessageReader
from .tasks import wake


class MessageConsumer(Protocol):
    """Whoever handles messages."""

    def offer(self, text: str) -> bool:
        """Handle a text message that has just come, if nothing is before it; else return False."""

    def wake(self) -> None:
        """Take what has come, now or later."""


class MessageQueue:
    """What comes on one connection, from `append` to `take`."""

    __slots__ = (
        "_arrived",
        "_messages",
        "_next_turn",
        "_queued",
        "_reader",
        "_reading_paused",
        "_transport",
        "consumer",
    )

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport: asyncio.Transport | None = transport
        self.consumer: MessageConsumer | None = None
        """Told when a message, an error or the end of the connection has come."""
        self._reader = MessageReader(FRAMES, FRAME_BURST + 1)
        self._next_turn: asyncio.Handle | None = None
        """Reads on in the loop's next turn, while more came than is read in one."""
        self._messages: list[WSMessage] = []
        """Messages that wait to be handled: few, so that no deque is worth its 600 bytes."""
        self._queued = 0
        """The bytes counted for them."""
        self._reading_paused = False
        self._arrived: asyncio.Future[None] | None = None
        """Done when something comes, for `next`."""

    @property
    def error_code(self) -> int | None:
        """The close code for what the client sent, once that was wrong."""
        return self._reader.error_code

    @property
    def waiting(self) -> bool:
        """Whether `take` returns a message."""
        over = self._transport is None or self._reader.error_code is not None
        return over or bool(self._messages)

    def append(self, data: bytes) -> None:
        """Queue the messages in bytes that came."""
        if not self._messages and self._next_turn is None:
            text = self._reader.read_whole(data)
            if text is not None:
                if self.consumer is None or not self.consumer.offer(text):
                    self._put(WSMessage(WSMsgType.TEXT, text, None))
                    self._tell()
                return
        self._reader.append(data)
        if self._next_turn is None:
            self._parse()

    def on_connection_lost(self) -> None:
        """Let `take` return what is queued, then the end."""
        self._transport = None
        if self._next_turn is not None:
            self._next_turn.cancel()
        self._tell()

    def close(self) -> None:
        """Release the reader; nothing is taken after it."""
        self._reader.close()

    def take(self) -> WSMessage | None:
        """Take a message; None: there is none yet.

        Returns one of type ERROR with the close code after the client sent what is wrong, and
        `WS_CLOSED_MESSAGE` after the connection is lost; both again and again.
        """
        if not self._messages:
            if self._reader.error_code is not None:
                return WSMessage(WSMsgType.ERROR, self._reader.error_code, None)
            return WS_CLOSED_MESSAGE if self._transport is None else None
        message = self._messages.pop(0)
        self._queued -= len(message.data) + MESSAGE_OVERHEAD
        if self._reading_paused and self._next_turn is None and self._queued <= MAX_QUEUED:
            self._parse()
        return message

    async def next(self) -> WSMessage:
        """Wait for a message, and take it."""
        while (message := self.take()) is None:
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None
        return message

    def _parse(self) -> None:
        """Read some frames; go on in the next turn, or once fewer messages are queued."""
        self._next_turn = None
        if self._queued <= MAX_QUEUED:
            for message in self._reader.read(FRAMES_PER_TURN):
                self._put(message)
            if self._reader.has_more and self._queued <= MAX_QUEUED:
                self._next_turn = asyncio.get_running_loop().call_soon(self._parse)
        if self._reader.error_code == CloseCode.POLICY_VIOLATION:
            self._messages.clear()  # what waits for its turn would hold up the end
            self._queued = 0
        self._pause_reading(paused=self._reader.has_more or self._queued > MAX_QUEUED)
        if self._messages or self._reader.error_code is not None:
            self._tell()

    def _put(self, message: WSMessage) -> None:
        self._messages.append(message)
        self._queued += len(message.data) + MESSAGE_OVERHEAD

    def _tell(self) -> None:
        if self._arrived is not None:
            wake(self._arrived)
        if self.consumer is not None:
            self.consumer.wake()

    def _pause_reading(self, *, paused: bool) -> None:
        if paused is self._reading_paused or self._transport is None:
            return
        self._reading_paused = paused
        if self._transport.is_closing():
            return
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
