"""Admission: how many streams may be open, in all and per address, and how fast new ones come."""

import asyncio
from collections import Counter
from collections.abc import Callable

from bridge.core.errors import Failed, Kind

from .accept_limiter import AcceptLimiter


class Admission:
    """Counts open streams. A limit of 0 is none.

    `limit`, `limit_per_ip`: streams that may be open; `rate`: new ones a second; `memory_short`:
    returns whether memory is short, so that no new ones are admitted.
    """

    def __init__(
        self,
        *,
        limit: int,
        limit_per_ip: int,
        rate: int = 0,
        memory_short: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        clock = clock or asyncio.get_running_loop().time
        self._accept_limiter = AcceptLimiter(rate=rate, burst=2 * rate, clock=clock)
        self._memory_short = memory_short
        self._limit = limit
        self._limit_per_ip = limit_per_ip
        self._by_ip: Counter[str] = Counter()
        self.open = 0
        self.empty = asyncio.Event()
        """Set while no stream is open."""
        self.empty.set()

    @property
    def full(self) -> bool:
        """Whether as many are open as may be."""
        return bool(self._limit) and self.open >= self._limit

    def admit(self, ip: str) -> None:
        """Count a stream as open, until `release`.

        Raises:
            Failed: QUOTA over a limit; UNAVAILABLE while memory is short or too many come at once.

        """
        if self._memory_short():
            raise Failed(Kind.UNAVAILABLE, "the bridge is short of memory", retry_after=5)
        if self.full:
            raise Failed(Kind.QUOTA, "the bridge has no more connections to give", retry_after=5)
        if self._limit_per_ip and self._by_ip[ip] >= self._limit_per_ip:
            raise Failed(Kind.QUOTA, "too many connections from this address", retry_after=5)
        if delay := self._accept_limiter.admit():
            raise Failed(Kind.UNAVAILABLE, "too many clients at once", retry_after=delay)
        if not self.open:
            self.empty.clear()
        self.open += 1
        self._by_ip[ip] += 1

    def release(self, ip: str) -> None:
        """Count a stream as open no more."""
        self.open -= 1
        if not self.open:
            self.empty.set()
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]
