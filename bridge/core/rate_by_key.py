"""RateByKey: a token bucket for each key, forgotten once it would be full again.

Invariant: a key that took nothing for as long as its bucket needs to fill is not held. So two
generations of buckets are enough, and a client can't fill the memory with keys.
"""

from collections.abc import Callable, Hashable

from .token_bucket import TokenBucket


class RateByKey:
    """`rate` tokens a second for each key, at most `burst` at once. Rate 0 is no limit."""

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._young: dict[Hashable, TokenBucket] = {}
        self._old: dict[Hashable, TokenBucket] = {}
        self._turn_at = clock() + self._seconds_to_fill

    @property
    def _seconds_to_fill(self) -> float:
        return self._burst / self._rate if self._rate else 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: Hashable) -> float:
        """Take a token and return 0; else return the seconds until there is one."""
        if not self._rate:
            return 0.0
        bucket = self._bucket(key)
        return 0.0 if bucket.take() else bucket.seconds_until()

    def _bucket(self, key: Hashable) -> TokenBucket:
        now = self._clock()
        if now >= self._turn_at:
            # Buckets of before the last turn are full by now, if they were not used since.
            self._old, self._young = self._young, {}
            self._turn_at = now + self._seconds_to_fill
        bucket = self._young.get(key)
        if bucket is None:
            bucket = self._old.pop(key, None) or TokenBucket(
                rate=self._rate, burst=self._burst, clock=self._clock
            )
            self._young[key] = bucket
        return bucket
