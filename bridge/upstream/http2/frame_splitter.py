"""Frames: HTTP/2 as bytes (RFC 9113, section 4.1). Pure; no I/O, no clock.

Laws: however the bytes are cut into pieces, the same comes out in the same order; DATA of a known
stream goes to its inbox and no further; every other frame is handed on whole. The connection's
window is granted again for what is received, since each stream's bounds what is kept.
"""

import struct
from collections.abc import Callable
from typing import Final

from .stream_buffer import MessageRefusedError, StreamBuffer, ViolationError

PING, GOAWAY, WINDOW_UPDATE = 6, 7, 8
END_STREAM, PADDED = 0x1, 0x8
MAX_FRAME: Final = 16_384
"""Bytes of the largest frame: what every peer may send, and we ask for no more."""
CONNECTION_WINDOW: Final = 8 * 1024 * 1024
_HEAD: Final = struct.Struct(">HBBBI")
_UPDATE: Final = struct.Struct(">HBBBII")
HEAD_SIZE: Final = _HEAD.size


def window_update(stream: int, grant: int) -> bytes:
    """Return the frame that lets a peer send so many bytes more; stream 0 is the connection."""
    return _UPDATE.pack(0, 4, WINDOW_UPDATE, 0, stream, grant)


class FrameSplitter:
    """Splits what a peer sends.

    Args:
        inboxes: stream → where its messages go; the owner adds and removes.
        control: takes the kind and all bytes of every other frame. May raise; the
            rest is then left.
        ended: takes a stream that has ended with DATA, after its messages.
        refuse: takes the stream and why its call can't go on.
        grant: takes bytes by which the connection's window is to be widened.

    """

    def __init__(
        self,
        inboxes: dict[int, StreamBuffer],
        *,
        control: Callable[[int, bytes], None],
        ended: Callable[[int], None],
        refuse: Callable[[int, MessageRefusedError], None],
        grant: Callable[[int], None],
    ) -> None:
        self._inboxes = inboxes
        self._control = control
        self._ended = ended
        self._refuse = refuse
        self._grant = grant
        self._rest = b""
        self._received = 0

    def feed(self, data: bytes) -> int:
        """Take what has arrived; returns how many DATA frames were in it.

        Raises ViolationError, after which nothing may follow.
        """
        if self._rest:
            data = self._rest + data
        at, size, count = 0, len(data), 0
        inboxes, unpack = self._inboxes, _HEAD.unpack_from
        while size - at >= HEAD_SIZE:
            high, low, kind, flags, stream = unpack(data, at)
            length = high << 8 | low
            if length > MAX_FRAME:
                raise ViolationError("a frame larger than allowed")
            body = at + HEAD_SIZE
            end = body + length
            if end > size:
                break
            stream &= 0x7FFFFFFF  # the first bit is reserved, whatever a peer makes of it
            if kind:
                self._control(kind, data[at:end])
            else:
                self._received += length
                count += 1
                inbox = inboxes.get(stream)
                if inbox is not None:
                    try:
                        if flags & (PADDED | END_STREAM):
                            self._odd(inbox, flags, stream, data, body, end)
                        else:
                            inbox.put(data, body, end)
                    except MessageRefusedError as refused:
                        self._refuse(stream, refused)
            at = end
        self._rest = data[at:]
        if self._received >= CONNECTION_WINDOW // 2:
            self._grant(self._received)
            self._received = 0
        return count

    def _odd(  # noqa: PLR0917 - a frame's parts
        self, inbox: StreamBuffer, flags: int, stream: int, data: bytes, body: int, end: int
    ) -> None:
        stop = end
        if flags & PADDED:
            if body == end or data[body] >= end - body:
                raise ViolationError("more padding than frame")
            inbox.pad(data[body] + 1)
            stop -= data[body]
            body += 1
        inbox.put(data, body, stop)
        if flags & END_STREAM:
            self._ended(stream)
