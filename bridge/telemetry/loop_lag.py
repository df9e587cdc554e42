"""Event loop lag: how late timers run."""

import asyncio
from collections.abc import Callable

from .histogram import Histogram

INTERVAL = 0.25
"""Seconds between two measurements. Each wakes the process: where little happens, that is most of
what it does."""
SPAN = 30.0
"""Seconds over which a maximum is kept; `max` covers the present span and the one before."""
BOUNDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)


class LoopLag:
    """Measures with one timer, from construction in a running loop until `stop`."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.histogram = Histogram(BOUNDS)
        self._loop = asyncio.get_running_loop()
        self._clock = clock or self._loop.time
        self._max = self._max_before = 0.0
        self._span_ends = self._clock() + SPAN
        self._due = 0.0
        self._timer = self._schedule()

    @property
    def max(self) -> float:
        """The largest lag of the last one to two spans, in seconds."""
        return max(self._max, self._max_before)

    def stop(self) -> None:
        """Stop measuring. Idempotent."""
        self._timer.cancel()

    def _schedule(self) -> asyncio.TimerHandle:
        self._due = self._clock() + INTERVAL
        return self._loop.call_later(INTERVAL, self._measure)

    def _measure(self) -> None:
        now = self._clock()
        lag = max(now - self._due, 0.0)
        self.histogram.add(lag)
        if now >= self._span_ends:
            self._max_before, self._max = self._max, 0.0
            self._span_ends = now + SPAN
        self._max = max(self._max, lag)
        self._timer = self._schedule()
