"""Heart: beats on a connection that is silent, without a task of its own."""

import asyncio
from collections.abc import Callable


class Heart:
    """Calls `beat` whenever nothing was written for `interval` seconds."""

    def __init__(
        self, *, interval: float, last: Callable[[], float], beat: Callable[[], None]
    ) -> None:
        self._interval = interval
        self._last = last
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        if interval:
            self._arm(self._last() + interval)

    def stop(self) -> None:
        """Beat no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, when: float) -> None:
        self._timer = self._loop.call_at(when, self._due)

    def _due(self) -> None:
        # The timer is not moved at each write: it looks, when due, whether it still is.
        now = self._loop.time()
        if self._last() + self._interval <= now:
            self._beat()
            self._arm(now + self._interval)
        else:
            self._arm(self._last() + self._interval)
