"""HeartbeatTimeout: the deadline of a call that promised heartbeats. Any message moves it."""

import asyncio
from collections.abc import Callable

MISSED_BEATS = 3
"""Heartbeats that a tier which promised them may leave out before its call is given up."""


class HeartbeatTimeout:
    """Expires a call's timeout after silence.

    `interval` is what the tier promised, in seconds, 0 for nothing. `received_at` returns when the
    last message came, in the loop's time.
    """

    def __init__(self, interval: float, received_at: Callable[[], float]) -> None:
        self.expired = False
        self._interval = interval
        self._received_at = received_at
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _due(self) -> float:
        return self._received_at() + MISSED_BEATS * self._interval

    def start(self, timeout: asyncio.Timeout) -> None:
        """Start. On silence, `timeout` is made to expire."""
        if self._interval:
            self._timer = self._loop.call_at(self._due, self._check, timeout)

    def stop(self) -> None:
        """Stop. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _check(self, timeout: asyncio.Timeout) -> None:
        now = self._loop.time()
        self.expired = now >= self._due
        if self.expired:
            if not timeout.expired():
                timeout.reschedule(now)
        else:
            self.start(timeout)
