"""LossNotice: when viewers are told that the tier is lost.

A loss that was expected is told only if it lasts: connections age, calls change hands.
"""

import asyncio
from collections.abc import Callable
from typing import Final

EXPECTED_LOSS_GRACE: Final = 1.0
"""Seconds that an expected loss may last before viewers are told of it."""


class LossNotice:
    """Kept by a session over its calls."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def give(self, tell: Callable[[str], None], cause: str, *, expected: bool) -> None:
        """Tell of a loss: now, or after a while if it was expected."""
        self.cancel()
        if expected:
            self._timer = self._loop.call_later(EXPECTED_LOSS_GRACE, tell, cause)
        else:
            tell(cause)

    def cancel(self) -> None:
        """Tell of nothing any more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
