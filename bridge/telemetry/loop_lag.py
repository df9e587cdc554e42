"""Lag: how late the event loop comes to its timers. One timer, ended by `stop`."""

import asyncio
from collections.abc import Callable

from .histogram import Histogram

EVERY = 0.1
SPAN = 30.0
"""Seconds after which a largest value is put aside, and the one put aside before forgotten."""
BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class LoopLag:
    """Measures from the moment it is made, in a running loop, until `stop`."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.histogram = Histogram(BOUNDS)
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._most = self._most_before = 0.0
        self._turn = self._clock() + SPAN
        self._due = 0.0
        self._timer = self._arm()

    @property
    def most(self) -> float:
        """The largest lag of the last one to two spans, in seconds."""
        return max(self._most, self._most_before)

    def stop(self) -> None:
        """Measure no more. Idempotent."""
        self._timer.cancel()

    def _arm(self) -> asyncio.TimerHandle:
        self._due = self._clock() + EVERY
        return self._loop.call_later(EVERY, self._ring)

    def _ring(self) -> None:
        now = self._clock()
        lag = max(now - self._due, 0.0)
        self.histogram.add(lag)
        if now >= self._turn:
            self._most_before, self._most = self._most, 0.0
            self._turn = now + SPAN
        self._most = max(self._most, lag)
        self._timer = self._arm()
