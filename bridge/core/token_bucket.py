"""Token bucket: a rate limit with a burst. Pure; the clock is injected.

Invariants: the bucket never holds more than `burst` tokens when it has been filled. Tokens are
added at `rate` a second. A balance below zero means tokens that were reserved in advance.
"""

from collections.abc import Callable
from typing import Final

_ROUNDING: Final = 1e-6
"""Part of a token that may be missing: a timer set for the next token must find it."""


class TokenBucket:
    """`rate` tokens a second, at most `burst` at once; full at the start. Rate 0 is no limit.

    `clock`: seconds, as loop.time.
    """

    __slots__ = ("_burst", "_clock", "_filled_at", "_rate", "_tokens")

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = burst
        self._filled_at = clock()

    def take(self) -> bool:
        """Take a token. Returns False, and takes nothing, if there is none."""
        if not self._rate:
            return True
        self._fill()
        if self._tokens < 1 - _ROUNDING:
            return False
        self._tokens -= 1
        return True

    def reserve(self) -> float:
        """Take a token, in advance if there is none. Returns the seconds until it is covered."""
        wait = self.seconds_until()
        self._tokens -= 1
        return wait

    def give_back(self) -> None:
        """Return a token that was taken and not used."""
        self._tokens += 1

    def seconds_until(self, tokens: int = 1) -> float:
        """Return the seconds until there are so many tokens; 0 if there are now."""
        if not self._rate:
            return 0.0
        self._fill()
        return max(tokens - self._tokens, 0.0) / self._rate

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
