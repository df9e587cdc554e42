"""Stream buffer: the messages of one stream, between the network and the reader.

Invariants:
- The peer's window is widened only for bytes that were read: a buffer holds at most WINDOW bytes
  of messages, or one larger message.
- If a message is larger than the rest of the window, the missing bytes are granted in advance,
  once. They are subtracted from the next grants.
- Messages that arrived before the end of the call are read before the end.
- A handler is called for each message as it arrives; no task runs in between.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from .compression import IDENTITY, coding_of
from .status import CallStatus, MessageRefusedError
from .wire_headers import MESSAGE_PREFIX_SIZE, read_message_prefix

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of the largest message, in both directions."""
WINDOW: Final = 64 * 1024
"""Bytes of a stream that may be on the way or unread: how far a fast tier can run ahead."""
_GRANT_THRESHOLD: Final = WINDOW // 2
_PREFIX: Final = struct.Struct(">BI")


def frame_message(message: bytes) -> bytes:
    """Prepend gRPC's prefix to a message: the compressed flag, which is 0, and the length."""
    return _PREFIX.pack(0, len(message)) + message


class ProtocolViolationError(Exception):
    """The peer broke the rules of HTTP/2: the connection can't go on."""


MessageHandler: TypeAlias = Callable[[bytes], None]
"""Is called with each message as it arrives."""


class StreamBuffer:
    """The buffer of one stream. `grant` widens the peer's window by so many bytes."""

    __slots__ = (
        "_advance",
        "_grant",
        "_handler",
        "_partial",
        "_read_bytes",
        "_waiter",
        "_window",
        "coding",
        "messages",
        "status",
    )

    def __init__(self, grant: Callable[[int], None]) -> None:
        self.messages: deque[bytes] = deque()
        """Whole messages that were not read yet; some may be CompressedMessage."""
        self.coding: str | None = None
        """The coding of compressed messages; None until the response's headers have arrived."""
        self.status: CallStatus | None = None
        """How the call ended; None while it runs."""
        self._grant = grant
        self._partial = bytearray()  # the beginning of a message, with its prefix
        self._window = WINDOW
        self._read_bytes = 0  # read and not granted again yet
        self._advance = 0  # granted in advance
        self._waiter: asyncio.Future[None] | None = None
        self._handler: MessageHandler | None = None

    # ------------------------------------------------------------ the network's side

    def receive(self, data: bytes, start: int, end: int) -> None:
        """Add the stream's bytes. Raises MessageRefusedError, ProtocolViolationError."""
        self._window -= end - start
        if self._window < 0:
            raise ProtocolViolationError("more than the window")
        if not self._partial:
            while end - start >= MESSAGE_PREFIX_SIZE:
                flag, length = read_message_prefix(data, start)
                stop = start + MESSAGE_PREFIX_SIZE + length
                if flag or stop > end:
                    break
                self._take(data[start + MESSAGE_PREFIX_SIZE : stop])
                start = stop
        if start < end:
            self._receive_partial(data[start:end])
        if self._handler is None and self.messages:
            self._wake_waiter()

    def receive_padding(self, size: int) -> None:
        """Count padding: it uses the window and is never read. Raises ProtocolViolationError."""
        self._window -= size
        if self._window < 0:
            raise ProtocolViolationError("more than the window")
        self._count_read(size)

    def finish(self, status: CallStatus) -> None:
        """End the call: nothing more will arrive. Only the first status counts."""
        if self.status is None:
            self.status = status
            self._partial.clear()
            self._wake_waiter()

    def _receive_partial(self, piece: bytes) -> None:
        partial = self._partial
        partial += piece
        while len(partial) >= MESSAGE_PREFIX_SIZE:
            flag, length = _PREFIX.unpack_from(partial)
            kind = coding_of(flag, self.coding or IDENTITY) if flag else bytes
            if length > MAX_MESSAGE:
                text = f"Received message larger than max ({length} vs. {MAX_MESSAGE})"
                raise MessageRefusedError(CallStatus("RESOURCE_EXHAUSTED", text))
            stop = MESSAGE_PREFIX_SIZE + length
            if len(partial) < stop:
                self._grant_in_advance(stop - len(partial) - self._window)
                return
            message = kind(partial[MESSAGE_PREFIX_SIZE:stop])
            del partial[:stop]
            self._take(message)

    def _take(self, message: bytes) -> None:
        """Hand a message over, or keep it until somebody asks."""
        handler = self._handler
        if handler is None:
            self.messages.append(message)
        elif self.status is None:  # the handler of one before may have cancelled the call
            self._hand_over(message, handler)

    def _grant_in_advance(self, size: int) -> None:
        if size > 0:
            self._advance += size
            self._window += size
            self._grant(size)

    def _wake_waiter(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ------------------------------------------------------------ the reader's side

    def pop(self) -> bytes:
        """Remove and return the next message; there must be one."""
        message = self.messages.popleft()
        self._count_message(message)
        return message

    def when_readable(self) -> asyncio.Future[None]:
        """Return a future that is done at the next message or the end. One reader at a time."""
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def start_delivery(self, handler: MessageHandler) -> asyncio.Future[None]:
        """Call a handler with each message; return a future that is done at the end.

        If the handler raises, the future gets the exception and delivery stops: later messages
        stay in the buffer. One reader at a time.
        """
        done = self.when_readable()
        self._handler = handler
        self._deliver()
        if self.status is not None:
            self._wake_waiter()
        return done

    def stop_delivery(self, error: Exception | None = None) -> None:
        """Keep messages in the buffer from now on; fail the delivery with an error. Idempotent."""
        delivering, self._handler = self._handler is not None, None
        if error is None or not delivering or self._waiter is None:
            return
        if not self._waiter.done():
            self._waiter.set_exception(error)

    def _deliver(self) -> None:
        while self.messages and (handler := self._handler) is not None:
            self._hand_over(self.messages.popleft(), handler)

    def _hand_over(self, message: bytes, handler: MessageHandler) -> None:
        self._count_message(message)
        try:
            handler(message)
        except Exception as error:  # noqa: BLE001 - the reader's own error
            self.stop_delivery(error)

    def _count_message(self, message: bytes) -> None:
        self._read_bytes += len(message) + MESSAGE_PREFIX_SIZE
        if self._read_bytes >= _GRANT_THRESHOLD:
            self._count_read(0)

    def _count_read(self, size: int) -> None:
        """Count bytes as read. From half a window on, grant them again."""
        self._read_bytes += size
        if self._read_bytes < _GRANT_THRESHOLD or self.status is not None:
            return
        settled = min(self._advance, self._read_bytes)
        grant = self._read_bytes - settled
        self._advance -= settled
        self._read_bytes = 0
        if grant:
            self._window += grant
            self._grant(grant)
