"""Listening: a deadline for a call that promised heartbeats, moved by all that comes on it."""

import asyncio
from collections.abc import Callable

MISSED_BEATS = 3
"""Heartbeats that a tier which promised them may leave out before its call is given up."""


class HeartbeatTimeout:
    """Gives a call up when a tier that promised heartbeats is silent for too long."""

    def __init__(self, interval: float, heard: Callable[[], float]) -> None:
        self.silent = False
        self._interval = interval
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _due(self) -> float:
        return self._heard() + MISSED_BEATS * self._interval

    def begin(self, clock: asyncio.Timeout) -> None:
        """Listen; `clock` is made to run out on silence."""
        if self._interval:
            self._timer = self._loop.call_at(self._due, self._listen, clock)

    def stop(self) -> None:
        """Listen no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()

    def _listen(self, clock: asyncio.Timeout) -> None:
        now = self._loop.time()
        self.silent = now >= self._due
        if self.silent:
            if not clock.expired():
                clock.reschedule(now)
        else:
            self.begin(clock)
