"""WebSocketKeepalive: pings to a client, and answers to its pings (RFC 6455 §5.5.2, §5.5.3).

Invariant: a client that takes nothing costs one pending pong, however many pings it sends.
"""

import asyncio
from typing import Final

from bridge.core.errors import Failed, Kind
from bridge.live.send_buffer import SendBuffer
from bridge.live.stream_end import End, EndReason
from bridge.web.context import WebContext
from bridge.wire.websocket import OPCODE_PING, OPCODE_PONG, ws_frame_header

from .websocket_session import SessionOwner

_PING: Final = ws_frame_header(OPCODE_PING, 0)


class WebSocketKeepalive:
    """Pings and pongs of one WebSocket. It ends the session when no pong comes in time."""

    __slots__ = (
        "_context",
        "_owner",
        "_pong_due",
        "_pong_timer",
        "_ponged",
        "_send_buffer",
    )

    def __init__(self, owner: SessionOwner, send_buffer: SendBuffer, context: WebContext) -> None:
        self._owner = owner
        self._send_buffer = send_buffer
        self._context = context
        self._ponged = True
        self._pong_due: bytes | None = None
        """The payload of the client's last ping, while it is not answered."""
        self._pong_timer: asyncio.TimerHandle | None = None
        context.pings.set(self)

    def on_ping(self, payload: bytes) -> None:
        """Answer once there is room: one pong answers all pings before it, too (§5.5.3)."""
        self._pong_due = payload
        if self._send_buffer.has_room:
            self.flush()
        else:
            self._send_buffer.flush_when_room(self)

    def flush(self) -> None:
        """Answer the last ping."""
        payload, self._pong_due = self._pong_due, None
        if payload is not None:
            self._send_buffer.write(ws_frame_header(OPCODE_PONG, len(payload)) + payload)

    def on_pong(self) -> None:
        """Note that the client is alive."""
        self._ponged = True

    def on_due(self) -> None:
        """Ping: the client has to answer in half the interval."""
        self._context.pings.set(self)
        self._ponged = False
        self._send_buffer.write(_PING)
        loop, interval = asyncio.get_running_loop(), self._context.settings.ping_interval
        self._pong_timer = loop.call_later(interval / 2, self._check_pong)

    def _check_pong(self) -> None:
        if not self._ponged:
            self._owner.end(End(EndReason.FAILED, Failed(Kind.NO_PONG, "no pong came in time")))

    def stop(self) -> None:
        """Ping no more, and wait for no pong. Idempotent."""
        self._context.pings.lift(self)
        if self._pong_timer is not None:
            self._pong_timer.cancel()
