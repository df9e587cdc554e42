"""Inbox: the messages of one stream between the network and its reader.

Laws: the peer may send as much as its window allows, and is granted more only for what the reader
has taken: what is kept is bounded by WINDOW. A message larger than what is left is lent the rest,
once and on its own, and the loan is paid back before anything else is granted. What came before
the end is read before the end. A follower is handed messages as they come, without a task between.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from .status import CallStatus

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Bytes of the largest message, either way."""
WINDOW: Final = 64 * 1024
"""Bytes that a stream may have under way and unread: bounds how far a fast tier may run ahead."""
_HALF: Final = WINDOW // 2
_PREFIX: Final = struct.Struct(">BI")
PREFIX_SIZE: Final = _PREFIX.size


def frame_message(message: bytes) -> bytes:
    """Put gRPC's prefix before a message: not compressed, so long."""
    return _PREFIX.pack(0, len(message)) + message


class ViolationError(Exception):
    """The peer breaks HTTP/2's rules: the connection can't go on."""


class MessageRefusedError(Exception):
    """A message we don't take: its call can't go on, the connection can."""

    def __init__(self, status: CallStatus) -> None:
        super().__init__(status)
        self.status = status


Follower: TypeAlias = Callable[[bytes], None]
"""Who takes messages as they come."""


class StreamBuffer:
    """One stream's. `grant` is told by how many bytes to widen the peer's window."""

    __slots__ = (
        "_consumed",
        "_follower",
        "_grant",
        "_lent",
        "_part",
        "_waiter",
        "_window",
        "end",
        "messages",
    )

    def __init__(self, grant: Callable[[int], None]) -> None:
        self.messages: deque[bytes] = deque()
        """Whole messages, not read yet."""
        self.end: CallStatus | None = None
        """How the call ended; None while it runs."""
        self._grant = grant
        self._part = bytearray()  # of a message, its prefix included
        self._window = WINDOW
        self._consumed = 0
        self._lent = 0
        self._waiter: asyncio.Future[None] | None = None
        self._follower: Follower | None = None

    # ------------------------------------------------------------ the network's side

    def put(self, data: bytes, start: int, end: int) -> None:
        """Take bytes of the stream's. Raises Refused, ViolationError."""
        self._window -= end - start
        if self._window < 0:
            raise ViolationError("more than the window")
        if not self._part:
            while end - start >= PREFIX_SIZE:
                flag, length = _PREFIX.unpack_from(data, start)
                stop = start + PREFIX_SIZE + length
                if flag or stop > end:
                    break
                self.messages.append(data[start + PREFIX_SIZE : stop])
                start = stop
        if start < end:
            self._gather(data[start:end])
        if self.messages:
            if self._follower is not None:
                self._hand_over()
            elif self._waiter is not None:
                self._wake()

    def pad(self, size: int) -> None:
        """Take note of padding: it counts, and nobody will read it. Raises ViolationError."""
        self._window -= size
        if self._window < 0:
            raise ViolationError("more than the window")
        self._consume(size)

    def finish(self, status: CallStatus) -> None:
        """End: nothing more will come. The first to say so is right."""
        if self.end is None:
            self.end = status
            self._part.clear()
            self._wake()

    def _gather(self, piece: bytes) -> None:
        part = self._part
        part += piece
        while len(part) >= PREFIX_SIZE:
            flag, length = _PREFIX.unpack_from(part)
            if flag:
                raise MessageRefusedError(
                    CallStatus("INTERNAL", "a compressed message, which nobody asked for")
                )
            if length > MAX_MESSAGE:
                text = f"Received message larger than max ({length} vs. {MAX_MESSAGE})"
                raise MessageRefusedError(CallStatus("RESOURCE_EXHAUSTED", text))
            stop = PREFIX_SIZE + length
            if len(part) < stop:
                self._lend(stop - len(part) - self._window)
                return
            self.messages.append(bytes(part[PREFIX_SIZE:stop]))
            del part[:stop]

    def _lend(self, size: int) -> None:
        if size > 0:
            self._lent += size
            self._window += size
            self._grant(size)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ------------------------------------------------------------ the reader's side

    def take(self) -> bytes:
        """Take the next message; there must be one."""
        message = self.messages.popleft()
        self._consumed += len(message) + PREFIX_SIZE
        if self._consumed >= _HALF:
            self._consume(0)
        return message

    def news(self) -> asyncio.Future[None]:
        """Return what is done with the next message or the end. One reader at a time."""
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def follow(self, take: Follower) -> asyncio.Future[None]:
        """Hand messages over until the end, when what is returned is done, or `leave`.

        What `take` raises goes to the future, and messages stay here again. One at a time.
        """
        done = self.news()
        self._follower = take
        if self.end is not None:
            self._wake()
        self._hand_over()
        return done

    def leave(self) -> None:
        """Keep messages here from now on. Idempotent."""
        self._follower = None

    def _hand_over(self) -> None:
        while self.messages and self._follower is not None:
            try:
                self._follower(self.take())
            except Exception as error:  # noqa: BLE001 - it is the reader's own
                self._follower = None
                if self._waiter is not None and not self._waiter.done():
                    self._waiter.set_exception(error)

    def _consume(self, size: int) -> None:
        self._consumed += size
        if self._consumed < _HALF or self.end is not None:
            return
        paid = min(self._lent, self._consumed)
        grant = self._consumed - paid
        self._lent -= paid
        self._consumed = 0
        if grant:
            self._window += grant
            self._grant(grant)
