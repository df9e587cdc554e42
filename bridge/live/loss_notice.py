"""LossNotice: when viewers are told that the tier is lost.

Invariants: they are told once for a loss. A loss that may be over soon is told only if it lasts:
connections age, proxies cut streams, calls change hands. A cut that the next call heals within a
second is not told.
"""

import asyncio
from collections.abc import Callable
from typing import Final

LOSS_GRACE: Final = 1.0
"""Seconds that a loss may last before viewers are told of it."""


class LossNotice:
    """Kept by a session over its calls. `tell` tells viewers a cause."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._tell = tell
        self._cause = ""
        self._told = False
        self._timer: asyncio.TimerHandle | None = None

    def give(self, cause: str, *, at_once: bool) -> None:
        """Tell of a loss, now or in a while, unless `cancel` comes before."""
        self._cause = cause
        if self._told:
            return
        if at_once:
            self.cancel()
            self._on_time()
        elif self._timer is None:
            self._timer = self._loop.call_later(LOSS_GRACE, self._on_time)

    def cancel(self) -> None:
        """Tell of nothing any more: the window is current again. Idempotent."""
        self._told = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        self._told = True
        self._tell(self._cause)
