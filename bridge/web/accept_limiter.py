"""Accept limiter: how many new streams a second are admitted.

Invariants: `burst` are admitted at once after a quiet time, then `rate` a second. Every refused
client gets a retry time of its own, so that a crowd returns spread out and not all at once.
"""

from collections.abc import Callable
from typing import Final

from bridge.core.token_bucket import TokenBucket

MAX_RETRY_AFTER: Final = 15.0
"""Seconds that a refused client is told to wait at most."""


class AcceptLimiter:
    """Admits by rate; rate 0 is no limit. `clock`: seconds, as loop.time."""

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._bucket = TokenBucket(rate=rate, burst=burst, clock=clock)
        self._last_retry_at = 0.0

    def admit(self) -> float:
        """Admit one and return 0; else return the seconds after which it may try again."""
        if self._bucket.take():
            return 0.0
        now = self._clock()
        next_retry_at = max(self._last_retry_at, now) + 1 / self._rate
        self._last_retry_at = min(next_retry_at, now + MAX_RETRY_AFTER)
        return self._last_retry_at - now
