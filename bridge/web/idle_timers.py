"""Heart: beats on a connection, without a task or a timer of its own.

Laws: a heart that minds a viewer beats only when nothing was written to that for its interval;
stopped, it beats no more and lets go of its owner. One timer of the loop's serves all of them: it
is set for the one that is due next.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable
from typing import Final

from bridge.live.viewer import Viewer

logger = logging.getLogger(__name__)

TIMER_RESOLUTION: Final = 0.001
"""Seconds: loops ring no finer than that, and again and again for what is due a little later."""
_FEW: Final = 64
"""IdleTimers that stand still and are not worth looking for."""


class IdleTimer:
    """Made by `IdleTimers`."""

    __slots__ = ("_beat", "_idle_timers", "_interval", "_silent")

    def __init__(
        self,
        idle_timers: "IdleTimers",
        interval: float,
        beat: Callable[[], None],
        silent: Viewer | None,
    ) -> None:
        self._idle_timers = idle_timers
        self._interval = interval
        self._beat: Callable[[], None] | None = beat
        self._silent = silent

    @property
    def stopped(self) -> bool:
        """Whether it beats no more."""
        return self._beat is None

    def look(self, now: float) -> float:
        """Beat, if it is time; returns when to look again."""
        # The time is not moved at each write: it looks, when due, whether it still is.
        due = now if self._silent is None else self._silent.written_at + self._interval
        if due > now + TIMER_RESOLUTION:
            return due
        if self._beat is not None:
            self._beat()
        return now + max(self._interval, 2 * TIMER_RESOLUTION)

    def stop(self) -> None:
        """Beat no more. Idempotent."""
        if self._beat is not None:
            self._beat = self._silent = None
            self._idle_timers.tidy()


class IdleTimers:
    """All of a process."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[float, int, IdleTimer]] = []  # a heap; some stand still
        self._number = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = 0

    def heart(
        self, *, interval: float, beat: Callable[[], None], silent: Viewer | None = None
    ) -> IdleTimer:
        """Make one that calls `beat` every `interval` seconds; 0 is never."""
        heart = IdleTimer(self, interval, beat, silent)
        if interval:
            due = self._loop.time() + interval
            heapq.heappush(self._due, (due, next(self._number), heart))
            if self._due[0][2] is heart:
                self._set()
        return heart

    def _set(self) -> None:
        """Set the timer for the first that is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._due:
            self._timer = self._loop.call_at(self._due[0][0], self._ring)

    def _ring(self) -> None:
        self._timer = None
        now, due = self._loop.time(), self._due
        while due and due[0][0] <= now + TIMER_RESOLUTION:
            heart = heapq.heappop(due)[2]
            again = now
            try:
                again = heart.look(now)
            except Exception:
                logger.exception("a heart broke")
                heart.stop()
            if heart.stopped:
                self._stopped = max(self._stopped - 1, 0)
            else:
                heapq.heappush(due, (again, next(self._number), heart))
        self._set()

    def tidy(self) -> None:
        """Forget those that stand still, once they are many: called for each."""
        self._stopped += 1
        if self._stopped > _FEW and 2 * self._stopped > len(self._due):
            self._due[:] = [entry for entry in self._due if not entry[2].stopped]
            heapq.heapify(self._due)
            self._stopped = 0
            self._set()

    def stop(self) -> None:
        """Beat no more, none of them."""
        self._due.clear()
        self._set()
