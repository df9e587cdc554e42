"""Keepalive: finds a peer that is gone while the connection looks open.

Invariants: a ping is sent only after a silence and only while there are calls, because servers
close connections with more pings. Any received byte after the ping is an answer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_ROUNDING: Final = 0.001
"""Seconds by which a timer may fire early."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Seconds of silence until a ping, and seconds from the ping until the peer is gone."""

    ping_after: float
    timeout: float


KEEPALIVE: Final = {
    # gRPC servers with default settings close a connection with a ping more often than every 300 s.
    "compatible": Keepalive(ping_after=330, timeout=20),
    # A tier that hangs is found 14 s after its last byte, so that another serves within 15 s.
    "fast": Keepalive(ping_after=10, timeout=4),
}
"""What `--keepalive` may say."""


class KeepaliveTimer:
    """The timer of one connection, from `start` to `stop`.

    Args:
        keepalive: the times.
        last_received: returns the loop time of the last received byte.
        has_calls: returns whether calls are open.
        ping: sends a ping.
        on_timeout: is called once, when the peer is gone.

    """

    def __init__(
        self,
        keepalive: Keepalive,
        *,
        last_received: Callable[[], float],
        has_calls: Callable[[], bool],
        ping: Callable[[], None],
        on_timeout: Callable[[], None],
    ) -> None:
        self._keepalive = keepalive
        self._last_received = last_received
        self._has_calls = has_calls
        self._ping = ping
        self._on_timeout = on_timeout
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the timer."""
        self._schedule_check(self._keepalive.ping_after)

    def stop(self) -> None:
        """Stop the timer. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _schedule_check(self, delay: float) -> None:
        self._timer = self._loop.call_later(delay, self._check_silence)

    def _check_silence(self) -> None:
        silence = self._loop.time() - self._last_received()
        left = self._keepalive.ping_after - silence
        if left > _ROUNDING:
            self._schedule_check(left)
        elif self._has_calls():
            self._ping()
            self._timer = self._loop.call_later(
                self._keepalive.timeout, self._check_answer, self._loop.time()
            )
        else:
            self._schedule_check(self._keepalive.ping_after)

    def _check_answer(self, pinged: float) -> None:
        if self._last_received() >= pinged:
            self._check_silence()
        else:
            self._on_timeout()
