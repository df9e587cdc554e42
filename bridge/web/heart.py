"""Heart: beats on a connection, without a task of its own."""

import asyncio
from collections.abc import Callable

from bridge.live.viewer import Viewer


class Heart:
    """Calls `beat` every `interval` seconds; 0 is never. Stopped, it lets go of its owner.

    Where it minds a viewer, it beats only when nothing was written to that for as long.
    """

    __slots__ = ("_beat", "_interval", "_loop", "_silent", "_timer")

    def __init__(
        self, *, interval: float, beat: Callable[[], None], silent: Viewer | None = None
    ) -> None:
        self._interval = interval
        self._beat = beat
        self._silent = silent
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        if interval:
            self._timer = self._loop.call_later(interval, self._due)

    def stop(self) -> None:
        """Beat no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._beat = _still

    def _due(self) -> None:
        # The timer is not moved at each write: it looks, when due, whether it still is.
        now = self._loop.time()
        due = now if self._silent is None else self._silent.written_at + self._interval
        if due <= now:
            self._timer = self._loop.call_at(now + self._interval, self._due)
            self._beat()
        else:
            self._timer = self._loop.call_at(due, self._due)


def _still() -> None:
    """Beat no more."""
