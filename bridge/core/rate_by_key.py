"""RateByKey: a rate for each key, forgotten once its allowance would be full again.

Invariant: a key that took nothing for as long as its allowance needs to fill is not held. So two
generations of keys are enough, and a client can't fill the memory with them.
"""

from collections.abc import Callable, Hashable

from .shared_rate import SharedRate


class RateByKey:
    """`rate` tokens a second for each key, at most `burst` at once. Rate 0 is no limit."""

    def __init__(self, *, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate = SharedRate(rate=rate, burst=burst, clock=clock) if rate else None
        self._clock = clock
        self._seconds_to_fill = burst / rate if rate else 0.0
        self._young: dict[Hashable, float] = {}
        self._old: dict[Hashable, float] = {}
        self._turn_at = clock() + self._seconds_to_fill

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: Hashable) -> float:
        """Take a token and return 0; else return the seconds until there is one."""
        rate = self._rate
        if rate is None:
            return 0.0
        full_at = self._full_at(key)
        after = rate.take(full_at)
        self._young[key] = full_at if after is None else after
        return rate.seconds_until(full_at) if after is None else 0.0

    def _full_at(self, key: Hashable) -> float:
        now = self._clock()
        if now >= self._turn_at:
            # What is older than the last turn is full by now, if it was not used since.
            self._old, self._young = self._young, {}
            self._turn_at = now + self._seconds_to_fill
        full_at = self._young.get(key)
        return self._old.pop(key, 0.0) if full_at is None else full_at
