"""Turnstile: how many clients a second may come in.

Laws: `burst` at once after a quiet time, then `rate` a second; who is turned away is told a moment
of its own to come back at, so that a crowd returns spread out and not as one again.
"""

from collections.abc import Callable
from typing import Final

LATEST: Final = 15.0
"""Seconds that anyone is sent away for."""


class Turnstile:
    """`rate` 0 is no limit. `clock`: seconds, as loop.time."""

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()
        self._told = 0.0  # when the last one turned away is to be back

    def enter(self) -> float:
        """Let one in; else returns the seconds after which to come again."""
        if not self._rate:
            return 0.0
        now = self._clock()
        self._left = min(self._left + (now - self._at) * self._rate, self._burst)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        self._told = min(max(self._told, now) + 1 / self._rate, now + LATEST)
        return self._told - now
