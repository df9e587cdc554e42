"""MessageReader: WebSocket messages from the bytes of a client (RFC 6455 §5).

The sans-I/O protocol of `websockets` reads frames and judges them. What it would send is dropped:
frames to the client are the bridge's own (`bridge.wire.websocket`).

Invariants: no message follows a close frame; no message follows an error.
"""

import logging
from typing import Final

from aiohttp import WSMessage, WSMsgType
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import Protocol, Side

MAX_MESSAGE: Final = 64 * 1024 - 1
"""Bytes of the largest message; a larger one ends the connection with 1009."""

# Its debug lines quote messages, and a message may carry a token.
_logger = logging.getLogger("bridge.websocket")
_logger.setLevel(logging.WARNING)

_CONTROL: Final = {
    Opcode.CLOSE: WSMsgType.CLOSE,
    Opcode.PING: WSMsgType.PING,
    Opcode.PONG: WSMsgType.PONG,
}


class MessageReader:
    """The messages of one connection."""

    __slots__ = ("_binary", "_partial", "_protocol", "error_code")

    def __init__(self) -> None:
        self._protocol = Protocol(Side.SERVER, max_size=MAX_MESSAGE, logger=_logger)
        self._partial = bytearray()
        self._binary = False
        self.error_code: int | None = None
        """The close code for what the client sent wrong; None while all is right."""

    def feed(self, data: bytes) -> list[WSMessage]:
        """Return the messages that `data` completes; afterwards see `error_code`."""
        if self.error_code is not None:
            return []
        protocol, messages = self._protocol, []
        protocol.receive_data(data)
        protocol.data_to_send()
        try:
            for frame in protocol.events_received():
                message = self._read(frame)  # type: ignore[arg-type] # no requests, once it is open
                if message is not None:
                    messages.append(message)
        except UnicodeDecodeError:
            self.error_code = CloseCode.INVALID_DATA
        else:
            if protocol.parser_exc is not None and protocol.close_sent is not None:
                self.error_code = protocol.close_sent.code
        return messages

    def _read(self, frame: Frame) -> WSMessage | None:
        kind = _CONTROL.get(frame.opcode)
        if kind is not None:
            return WSMessage(kind, bytes(frame.data), None)
        if frame.opcode is not Opcode.CONT:
            self._binary = frame.opcode is Opcode.BINARY
            if frame.fin:
                return self._message(frame.data)
        self._partial += frame.data
        if not frame.fin:
            return None
        whole, self._partial = self._partial, bytearray()
        return self._message(whole)

    def _message(self, data: bytes | bytearray | memoryview) -> WSMessage:
        if self._binary:
            return WSMessage(WSMsgType.BINARY, bytes(data), None)
        return WSMessage(WSMsgType.TEXT, str(data, "utf-8"), None)

    def close(self) -> None:
        """Free the parser, which refers to itself, without the garbage collector."""
        self._protocol.parser.close()
        self._protocol.parser_exc = None
