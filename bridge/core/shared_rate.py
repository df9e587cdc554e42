"""Shared rate: one rate limit with a burst, for thousands who each keep a number. Pure.

The number says when a client's allowance is full again; 0 is a new client's. So nobody has a bucket
of its own, and nothing is made for one who takes nothing.

Invariant: in any time t a client takes `burst + rate * t` tokens at most, reserved ones aside.
"""

from collections.abc import Callable
from typing import Final

_ROUNDING: Final = 0.01
"""Part of a token that may be missing: times are kept to some nanoseconds, and add up."""


class SharedRate:
    """`rate` tokens a second, at most `burst` at once. Rate 0 is no limit.

    `clock`: seconds, as loop.time; never below 0.
    """

    __slots__ = ("_burst", "_clock", "_interval", "_rate", "_spare")

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._interval = 1 / rate if rate else 0.0
        self._spare = burst - 1 + _ROUNDING
        """Tokens that may be gone when one more is taken."""

    def take(self, full_at: float) -> float | None:
        """Take a token; returns the number to be kept. None: there is no token."""
        now, rate = self._clock(), self._rate
        full_at = max(full_at, now)
        if rate and (full_at - now) * rate > self._spare:
            return None
        return full_at + self._interval

    def reserve(self, full_at: float) -> tuple[float, float]:
        """Take a token, in advance if there is none.

        Returns the number to be kept, and the seconds until the token is covered.
        """
        after = self.take(full_at)
        if after is not None:
            return after, 0.0
        return full_at + self._interval, self.seconds_until(full_at)

    def seconds_until(self, full_at: float, tokens: int = 1) -> float:
        """Return the seconds until there are so many tokens; 0 if there are now."""
        if not self._rate:
            return 0.0
        gone = max(full_at - self._clock(), 0.0) * self._rate
        missing = gone + tokens - self._burst
        return missing / self._rate if missing > _ROUNDING else 0.0
