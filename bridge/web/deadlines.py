"""Deadlines: what is due the same time after it was set, for thousands, on one timer of the loop.

Invariants: what was set first is due first; nothing is due that was lifted, and nothing twice for
having been set once. To set or lift one is an entry in a table: no timer, no object of its own.
"""

import asyncio
import logging
from typing import Protocol

from bridge.web.idle_timers import TIMER_RESOLUTION

logger = logging.getLogger(__name__)


class Due(Protocol):
    """Whoever has a deadline. Compared by identity."""

    def on_due(self) -> None:
        """Do what is due; it may set the next deadline."""


class Deadlines:
    """Those of one kind. `seconds`: from setting one to when it is due; 0 is never."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._seconds = max(seconds, 2 * TIMER_RESOLUTION) if seconds else 0
        self._due: dict[Due, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def set(self, who: Due) -> None:
        """Set a deadline, in place of the one before."""
        if not self._seconds:
            return
        self._due.pop(who, None)  # a key that stays keeps its place in the order
        self._due[who] = self._loop.time() + self._seconds
        self._set_timer()

    def lift(self, who: Due) -> None:
        """Lift a deadline. Idempotent."""
        self._due.pop(who, None)

    def _fire(self) -> None:
        self._timer = None
        now = self._loop.time()
        due_now = []
        for who, due in self._due.items():
            if due > now + TIMER_RESOLUTION:
                break
            due_now.append((who, due))
        for who, due in due_now:
            if self._due.get(who) != due:  # another one's call has lifted it, or set it anew
                continue
            del self._due[who]
            try:
                who.on_due()
            except Exception:
                logger.exception("what was due failed")
        self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is None and self._due:
            self._timer = self._loop.call_at(next(iter(self._due.values())), self._fire)

    def stop(self) -> None:
        """Lift all."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
