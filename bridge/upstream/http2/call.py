"""Call: one streaming call, as its reader sees it."""

import asyncio
from collections.abc import Callable
from typing import Final

from .compression import IDENTITY, decompress
from .status import CallStatus, MessageRefusedError
from .stream_buffer import MAX_MESSAGE, MessageHandler, StreamBuffer

MAX_READS_IN_A_ROW: Final = 16
"""Reads without suspending: a reader of a full buffer must let other tasks run."""


class CallEnded(Exception):  # noqa: N818 - what has happened
    """A call that ended with another status than OK."""

    def __init__(self, status: CallStatus) -> None:
        super().__init__(status)
        self.status = status


class Call:
    """A call on a connection.

    `cancel` resets its stream, if the call still runs. `send` sends another message of its request,
    if it still runs and more may follow.
    """

    __slots__ = ("_buffer", "_cancel", "_reads", "send")

    def __init__(
        self, buffer: StreamBuffer, cancel: Callable[[], None], send: Callable[[bytes], None]
    ) -> None:
        self._buffer = buffer
        self._cancel = cancel
        self.send = send
        self._reads = 0

    async def read(self) -> bytes | None:
        """Wait for the next message; None at the end. Raises CallEnded.

        If there is a message it returns without suspending, but for one read in
        MAX_READS_IN_A_ROW. Cancelling loses no message.
        """
        buffer = self._buffer
        self._reads += 1
        if self._reads >= MAX_READS_IN_A_ROW:
            self._reads = 0
            await asyncio.sleep(0)
        while not buffer.messages:
            if (status := buffer.status) is not None:
                if status.code == "OK":
                    return None
                raise CallEnded(status)
            self._reads = 0
            await buffer.when_readable()
        try:
            return decompress(buffer.pop(), MAX_MESSAGE)
        except MessageRefusedError as refused:
            raise CallEnded(refused.status) from None

    async def follow(self, handler: MessageHandler) -> None:
        """Call a handler with each message as it arrives, until the end. Raises CallEnded.

        What the handler raises is raised here; the messages after that one can still be read.
        Cancelling stops the delivery and loses no message.
        """
        buffer = self._buffer
        try:
            await buffer.start_delivery(
                handler
                if buffer.coding == IDENTITY
                else lambda message: handler(decompress(message, MAX_MESSAGE))
            )
        except MessageRefusedError as refused:
            raise CallEnded(refused.status) from None
        finally:
            buffer.stop_delivery()
        if buffer.status is not None and buffer.status.code != "OK":
            raise CallEnded(buffer.status)

    def interrupt(self, error: Exception) -> None:
        """Have `follow` raise an error, as if its handler had. Nothing if nobody follows."""
        self._buffer.stop_delivery(error)

    def cancel(self) -> None:
        """End the call at once and discard unread messages. Idempotent."""
        self._cancel()
        self._buffer.finish(CallStatus("CANCELLED", "by ourselves"))
        self._buffer.messages.clear()
