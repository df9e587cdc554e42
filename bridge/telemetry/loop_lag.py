"""Event loop lag: how late timers run."""

import asyncio
from collections.abc import Callable

from .histogram import Histogram

INTERVAL = 0.25
"""Seconds between two measurements while timers are late."""
CALM_INTERVAL = 1.0
"""Seconds between two while they are not. Each wakes the process, and a wake-up of a process that
rests costs 0.1 ms: where little happens, that is most of what it does."""
LATE = 0.005
"""Seconds of lag from which the next measurement follows sooner."""
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
        self._timer = self._schedule(INTERVAL)

    @property
    def max(self) -> float:
        """The largest lag of the last one to two spans, in seconds."""
        return max(self._max, self._max_before)

    def stop(self) -> None:
        """Stop measuring. Idempotent."""
        self._timer.cancel()

    def _schedule(self, interval: float) -> asyncio.TimerHandle:
        self._due = self._clock() + interval
        return self._loop.call_later(interval, self._measure)

    def _measure(self) -> None:
        now = self._clock()
        lag = max(now - self._due, 0.0)
        self.histogram.add(lag)
        if now >= self._span_ends:
            self._max_before, self._max = self._max, 0.0
            self._span_ends = now + SPAN
        self._max = max(self._max, lag)
        self._timer = self._schedule(INTERVAL if lag >= LATE else CALM_INTERVAL)
