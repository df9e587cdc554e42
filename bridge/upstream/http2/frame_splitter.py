"""Frame splitter: HTTP/2 frames from bytes (RFC 9113, section 4.1). Pure; no I/O, no clock.

Invariants:
- The result does not depend on how the bytes are cut into pieces.
- DATA of a known stream goes to the stream's buffer. Every other frame is passed on whole.
- The connection's window is granted again for whatever arrives, because each stream's window
  bounds what is kept.
"""

import struct
from collections.abc import Callable
from typing import Final

from .status import MessageRefusedError
from .stream_buffer import ProtocolViolationError, StreamBuffer
from .wire_headers import FRAME_HEADER_SIZE, read_frame_header

PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
END_STREAM: Final = 0x1
PADDED: Final = 0x8
MAX_FRAME: Final = 16_384
"""Bytes of the largest frame: the default of SETTINGS_MAX_FRAME_SIZE, which is not changed."""
CONNECTION_WINDOW: Final = 8 * 1024 * 1024
_UPDATE: Final = struct.Struct(">HBBBII")


def window_update(stream: int, grant: int) -> bytes:
    """Return a WINDOW_UPDATE frame; stream 0 is the connection."""
    return _UPDATE.pack(0, 4, WINDOW_UPDATE, 0, stream, grant)


class FrameSplitter:
    """Splits what a peer sends into frames.

    Args:
        buffers: stream → its buffer; the owner adds and removes them.
        on_frame: is called with type and bytes of every frame but DATA. It may raise; the rest of
            the bytes is then not read.
        on_data_end: is called with a stream that ended with DATA, after its messages.
        on_refused: is called with a stream, and the error for which its call can't go on.
        grant: widens the connection's window by so many bytes.

    """

    def __init__(
        self,
        buffers: dict[int, StreamBuffer],
        *,
        on_frame: Callable[[int, bytes], None],
        on_data_end: Callable[[int], None],
        on_refused: Callable[[int, MessageRefusedError], None],
        grant: Callable[[int], None],
    ) -> None:
        self._buffers = buffers
        self._on_frame = on_frame
        self._on_data_end = on_data_end
        self._on_refused = on_refused
        self._grant = grant
        self._incomplete = b""
        self._received = 0

    def feed(self, data: bytes) -> int:
        """Process received bytes; return the number of DATA frames in them.

        Raises ProtocolViolationError, after which it must not be called again.
        """
        if self._incomplete:
            data = self._incomplete + data
        at, size, count = 0, len(data), 0
        while size - at >= FRAME_HEADER_SIZE:
            length, kind, flags, stream = read_frame_header(data, at)
            if length > MAX_FRAME:
                raise ProtocolViolationError("a frame larger than allowed")
            body = at + FRAME_HEADER_SIZE
            end = body + length
            if end > size:
                break
            if kind:
                self._on_frame(kind, data[at:end])
            else:
                self._received += length
                count += 1
                buffer = self._buffers.get(stream)
                if buffer is not None:
                    try:
                        if flags & (PADDED | END_STREAM):
                            self._receive_flagged(buffer, flags, stream, data, body, end)
                        else:
                            buffer.receive(data, body, end)
                    except MessageRefusedError as refused:
                        self._on_refused(stream, refused)
            at = end
        self._incomplete = data[at:]
        if self._received >= CONNECTION_WINDOW // 2:
            self._grant(self._received)
            self._received = 0
        return count

    def _receive_flagged(  # noqa: PLR0917 - the parts of a frame
        self, buffer: StreamBuffer, flags: int, stream: int, data: bytes, body: int, end: int
    ) -> None:
        """Pass on DATA that is padded or ends its stream."""
        stop = end
        if flags & PADDED:
            if body == end or data[body] >= end - body:
                raise ProtocolViolationError("more padding than frame")
            buffer.receive_padding(data[body] + 1)
            stop -= data[body]
            body += 1
        buffer.receive(data, body, stop)
        if flags & END_STREAM:
            self._on_data_end(stream)
