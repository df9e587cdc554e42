"""Token bucket: a rate limit with a burst, for one. Pure; the clock is injected."""

from collections.abc import Callable

from .shared_rate import SharedRate


class TokenBucket:
    """`rate` tokens a second, at most `burst` at once; full at the start. Rate 0 is no limit.

    `clock`: seconds, as loop.time; never below 0.
    """

    __slots__ = ("_full_at", "_interval", "_rate")

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = SharedRate(rate=rate, burst=burst, clock=clock)
        self._interval = 1 / rate if rate else 0.0
        self._full_at = 0.0

    def take(self) -> bool:
        """Take a token. Returns False, and takes nothing, if there is none."""
        full_at = self._rate.take(self._full_at)
        if full_at is None:
            return False
        self._full_at = full_at
        return True

    def give_back(self) -> None:
        """Return a token that was taken and not used."""
        self._full_at -= self._interval

    def seconds_until(self, tokens: int = 1) -> float:
        """Return the seconds until there are so many tokens; 0 if there are now."""
        return self._rate.seconds_until(self._full_at, tokens)
