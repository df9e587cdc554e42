"""IdleTimers: periodic callbacks for connections, without a task or a loop timer for each.

Invariants: a timer may have something that is written to, such as a viewer: then it fires only when
nothing was written there for the interval; a stopped timer fires no more and refers to its owner no
more. One timer of the loop serves all: it is set for the one that is due first.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from typing import Final, Protocol

logger = logging.getLogger(__name__)

TIMER_RESOLUTION: Final = 0.001
"""Seconds: event loops fire no finer than that, and again and again for what is due later."""
_MIN_DISCARD: Final = 64
"""Stopped timers that are not worth searching for."""


class Written(Protocol):
    """Whatever notes when it was last written to."""

    @property
    def written_at(self) -> float:
        """When, in the loop's time."""


class IdleTimer:
    """Made by `IdleTimers.start`."""

    __slots__ = ("_callback", "_interval", "_timers", "_unless_written")

    def __init__(
        self,
        timers: "IdleTimers",
        interval: float,
        callback: Callable[[], None],
        unless_written: Written | None,
    ) -> None:
        self._timers = timers
        self._interval = interval
        self._callback: Callable[[], None] | None = callback
        self._unless_written = unless_written

    @property
    def stopped(self) -> bool:
        """Whether it fires no more."""
        return self._callback is None

    def check(self, now: float) -> float:
        """Fire if it is due; returns when to check again."""
        # No write moves the timer: when it is due, it checks the time of the last write.
        written = self._unless_written
        due = now if written is None else written.written_at + self._interval
        if due > now + TIMER_RESOLUTION:
            return due
        if self._callback is not None:
            self._callback()
        return now + max(self._interval, 2 * TIMER_RESOLUTION)

    def stop(self) -> None:
        """Fire no more. Idempotent."""
        if self._callback is not None:
            self._callback = self._unless_written = None
            self._timers.discard_stopped()


class IdleTimers:
    """All of a process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[float, int, IdleTimer]] = []  # a heap; some are stopped
        self._number = itertools.count()
        self._loop_timer: asyncio.TimerHandle | None = None
        self._stopped = 0

    def start(
        self,
        interval: float,
        callback: Callable[[], None],
        *,
        unless_written: Written | None = None,
    ) -> IdleTimer:
        """Call `callback` every `interval` seconds; 0 is never.

        `unless_written`: only when nothing was written there for so long.
        """
        timer = IdleTimer(self, interval, callback, unless_written)
        if interval:
            due = self._loop.time() + interval
            heapq.heappush(self._due, (due, next(self._number), timer))
            if self._due[0][2] is timer:
                self._set_loop_timer()
        return timer

    def _set_loop_timer(self) -> None:
        if self._loop_timer is not None:
            self._loop_timer.cancel()
            self._loop_timer = None
        if self._due:
            self._loop_timer = self._loop.call_at(self._due[0][0], self._fire_due)

    def _fire_due(self) -> None:
        self._loop_timer = None
        now, due = self._loop.time(), self._due
        while due and due[0][0] <= now + TIMER_RESOLUTION:
            timer = heapq.heappop(due)[2]
            again = now
            try:
                again = timer.check(now)
            except Exception:
                logger.exception("an idle timer's callback failed")
                timer.stop()
            if timer.stopped:
                self._stopped = max(self._stopped - 1, 0)
            else:
                heapq.heappush(due, (again, next(self._number), timer))
        self._set_loop_timer()

    def discard_stopped(self) -> None:
        """Note a stopped timer; discard all of them once they are many."""
        self._stopped += 1
        if self._stopped > _MIN_DISCARD and 2 * self._stopped > len(self._due):
            self._due[:] = [entry for entry in self._due if not entry[2].stopped]
            heapq.heapify(self._due)
            self._stopped = 0
            self._set_loop_timer()

    def stop(self) -> None:
        """Stop all."""
        self._due.clear()
        self._set_loop_timer()
