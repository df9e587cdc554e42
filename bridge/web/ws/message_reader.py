"""MessageReader: WebSocket messages from the bytes of a client (RFC 6455 §5).

`websockets` parses and checks frames, without I/O; messages are put together here. Its whole
protocol class would take 1.3 KiB more for each connection.

Invariants: no message follows a close frame; no message follows an error; between frames nothing
but the buffer is kept. Frames of every kind count against the allowance: an empty ping, pong or
continuation costs as much to read as a command. Frames that have come are counted before they are
read: a flood that is over the allowance costs the others no turn.
"""

from collections.abc import Generator
from typing import Final

from aiohttp import WSMessage, WSMsgType
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode

from bridge.core.shared_rate import SharedRate

MAX_MESSAGE: Final = 64 * 1024
"""Bytes of the largest message; a larger one ends the connection with 1009."""
# RFC 6455 §5.2: FIN and opcode 1; the mask bit.
_WHOLE_TEXT: Final = 0x81
_MASKED: Final = 0x80
_CONTROL: Final = {
    Opcode.CLOSE: WSMsgType.CLOSE,
    Opcode.PING: WSMsgType.PING,
    Opcode.PONG: WSMsgType.PONG,
}
_LENGTH_OF_2: Final = 126
"""A length that says: the real one is in the next 2 bytes; one more says: in the next 8 (§5.2)."""
_MASK: Final = 4
"""Bytes of the masking key, in every frame of a client (§5.3)."""
_LEAST: Final = 2 + _MASK
"""Bytes of the shortest header of a client's frame."""


def count_frames(buffer: bytearray, most: int) -> int:
    """Return how many whole frames a buffer begins with, `most` at most; none is checked (§5.2).

    Frames of one size that follow each other, as those of a flood do, are counted at once.
    """
    count, at, end = 0, 0, len(buffer)
    while count < most and at + 1 < end:
        run, size = 1, buffer[at + 1] & 0x7F
        if size >= _LENGTH_OF_2:
            more = 2 if size == _LENGTH_OF_2 else 8
            size = more + int.from_bytes(buffer[at + 2 : at + 2 + more])
        else:
            step = _LEAST + size
            sizes = buffer[at + 1 : at + 1 + step * (most - count) : step]
            run = len(sizes) - len(sizes.lstrip(sizes[:1]))
        whole = min(run, (end - at) // (_LEAST + size))
        if not whole:
            break
        count += whole
        at += whole * (_LEAST + size)
    return count


def _whole_text(data: bytes | bytearray) -> tuple[bytes, int] | None:
    """Return the text in whose one frame bytes begin, and where that ends; None: they do not.

    It is exactly what `Frame.parse` reads of such a frame, without a generator.
    """
    size = len(data)
    if size < _LEAST or data[0] != _WHOLE_TEXT:
        return None
    length, start = data[1] - _MASKED, _LEAST
    if length == _LENGTH_OF_2 and size >= _LEAST + 2:
        length, start = data[2] << 8 | data[3], _LEAST + 2
    elif not 0 <= length < _LENGTH_OF_2:
        return None
    end = start + length
    if size < end:
        return None
    mask = data[start - _MASK : start] * (length // _MASK + 1)
    plain = int.from_bytes(data[start:end]) ^ int.from_bytes(mask[:length])
    return plain.to_bytes(length), end


class MessageReader:
    """The messages of one connection.

    `rate`: of frames, a token each; a client that sends more is sent away with 1008. None: it may
    send any number. `most_counted`: how many frames are counted in advance.
    """

    __slots__ = (
        "_allowed_at",
        "_binary",
        "_buffer",
        "_closed",
        "_frame",
        "_most_counted",
        "_partial",
        "_rate",
        "_uncounted",
        "error_code",
        "has_more",
    )

    def __init__(self, rate: SharedRate | None = None, most_counted: int = 0) -> None:
        self._rate = rate
        self._allowed_at = 0.0
        """When its whole allowance of frames is there again."""
        self._most_counted = most_counted
        self._uncounted = False
        """Whether bytes have come since the frames in the buffer were counted."""
        self._buffer = bytearray()
        self._frame: Generator[None, None, Frame] | None = None
        """Parses the frame that has begun."""
        self._partial: bytearray | None = None
        """The fragments of the message that has begun; None between messages."""
        self._binary = False
        self._closed = False
        self.error_code: int | None = None
        """The close code for what the client sent wrong; None while all is right."""
        self.has_more = False
        """Whether the last `read` left bytes that may hold another frame."""

    def read_whole(self, data: bytes) -> str | None:
        """Return the text message that came, if it came whole and alone: no buffer is filled.

        None: it is anything else, right or wrong, and has to be appended. Commands come alone.
        """
        if self._buffer or self._frame is not None or self._partial is not None:
            return None
        if self._closed or self.error_code is not None:
            return None
        whole = _whole_text(data)
        if whole is None or whole[1] < len(data):
            return None
        try:
            text = whole[0].decode()
        except UnicodeDecodeError:
            return None
        return text if self._take_allowance() else None

    def append(self, data: bytes) -> None:
        """Add what came, to be read."""
        if self._reads_on:
            self._buffer += data
            self._uncounted = True

    def read(self, most: int) -> list[WSMessage]:
        """Return what the next frames, at most so many, complete; afterwards see the fields."""
        messages: list[WSMessage] = []
        self.has_more = False
        try:
            while self._reads_on and (frame := self._next_frame()) is not None:
                if not self._take_allowance():
                    self.error_code = CloseCode.POLICY_VIOLATION
                    break
                message = self._read(frame)
                if message is not None:
                    messages.append(message)
                most -= 1
                if not most:
                    self.has_more = bool(self._buffer) and self._reads_on
                    if self.has_more:
                        self._count_ahead()
                    break
        except ProtocolError:
            self.error_code = CloseCode.PROTOCOL_ERROR
        except UnicodeDecodeError:
            self.error_code = CloseCode.INVALID_DATA
        except PayloadTooBig:
            self.error_code = CloseCode.MESSAGE_TOO_BIG
        if not self._reads_on:
            self._buffer.clear()
        return messages

    def _take_allowance(self) -> bool:
        """Count a frame; returns False where that is one too many."""
        if self._rate is None:
            return True
        allowed_at = self._rate.take(self._allowed_at)
        if allowed_at is None:
            return False
        self._allowed_at = allowed_at
        return True

    def _count_ahead(self) -> None:
        """Set the error now, if the frames that have come are more than may be sent."""
        if self._uncounted and self._rate is not None:
            self._uncounted = False
            count = count_frames(self._buffer, self._most_counted)
            if self._rate.seconds_until(self._allowed_at, count):
                self.error_code = CloseCode.POLICY_VIOLATION
                self.has_more = False

    @property
    def _reads_on(self) -> bool:
        return not self._closed and self.error_code is None

    def _take_text(self) -> bytes | None:
        """Take a whole text message in one frame; None: what is next is something else."""
        whole = _whole_text(self._buffer)
        if whole is None:
            return None
        del self._buffer[: whole[1]]
        return whole[0]

    def _next_frame(self) -> Frame | bytes | None:
        """Return the next frame; None: it is not complete. Raises what is wrong with it.

        As bytes: a whole text message.
        """
        if self._frame is None:
            if not self._buffer:
                return None
            if self._partial is None and (text := self._take_text()) is not None:
                return text
            self._frame = Frame.parse(self._read_exact, mask=True, max_size=MAX_MESSAGE)
        try:
            next(self._frame)
        except StopIteration as end:
            self._frame = None
            frame: Frame = end.value
            return frame
        return None

    def _read_exact(self, size: int) -> Generator[None, None, bytes]:
        while len(self._buffer) < size:
            yield
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _read(self, frame: Frame | bytes) -> WSMessage | None:
        """Return the message that a frame completes."""
        if isinstance(frame, bytes):
            return WSMessage(WSMsgType.TEXT, frame.decode(), None)
        data = bytes(frame.data)
        kind = _CONTROL.get(frame.opcode)
        if kind is not None:
            if kind is WSMsgType.CLOSE:
                Close.parse(data)  # its code and reason must be right, too
                self._closed = True
            return WSMessage(kind, data, None)
        if (frame.opcode is Opcode.CONT) is (self._partial is None):
            raise ProtocolError("a message begins with a text or binary frame, and only there")
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
            if frame.fin:
                return self._message(data)
        return self._add_fragment(data, last=frame.fin)

    def _add_fragment(self, data: bytes, *, last: bool) -> WSMessage | None:
        if self._partial is None:
            self._partial = bytearray()
        self._partial += data
        if len(self._partial) > MAX_MESSAGE:
            self.error_code = CloseCode.MESSAGE_TOO_BIG
            return None
        if not last:
            return None
        whole, self._partial = bytes(self._partial), None
        return self._message(whole)

    def _message(self, data: bytes) -> WSMessage:
        if self._binary:
            return WSMessage(WSMsgType.BINARY, data, None)
        return WSMessage(WSMsgType.TEXT, data.decode(), None)

    def close(self) -> None:
        """Free the frame that has begun, which refers to this, without the garbage collector."""
        self._frame = None
