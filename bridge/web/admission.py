"""Gate: how many streams may be open, in all and for one address, and when no more may come."""

import asyncio
from collections import Counter
from collections.abc import Callable

from bridge.core.errors import Failed, Kind

from .accept_limiter import AcceptLimiter


class Admission:
    """Counts open streams. 0 is no limit, of `rate` new ones a second too.

    `short` tells whether memory is.
    """

    def __init__(
        self,
        *,
        most: int,
        most_per_ip: int,
        rate: int = 0,
        short: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        clock = clock or asyncio.get_running_loop().time
        self._accept_limiter = AcceptLimiter(rate=rate, burst=2 * rate, clock=clock)
        self._short = short
        self._most = most
        self._most_per_ip = most_per_ip
        self._by_ip: Counter[str] = Counter()
        self.open = 0
        self.empty = asyncio.Event()
        """Set while nobody is inside."""
        self.empty.set()

    @property
    def full(self) -> bool:
        """Whether there is no place for anybody."""
        return bool(self._most) and self.open >= self._most

    def admit(self, ip: str) -> None:
        """Hold a place for one stream, until `release`.

        Raises:
            Failed: QUOTA when there is none, UNAVAILABLE when nobody may come now.

        """
        if self._short():
            raise Failed(Kind.UNAVAILABLE, "the bridge is short of memory", retry_after=5)
        if self.full:
            raise Failed(Kind.QUOTA, "the bridge has no more connections to give", retry_after=5)
        if self._most_per_ip and self._by_ip[ip] >= self._most_per_ip:
            raise Failed(Kind.QUOTA, "too many connections from this address", retry_after=5)
        if wait := self._accept_limiter.admit():
            raise Failed(Kind.UNAVAILABLE, "too many clients at once", retry_after=wait)
        if not self.open:
            self.empty.clear()
        self.open += 1
        self._by_ip[ip] += 1

    def release(self, ip: str) -> None:
        """Give a stream's place back."""
        self.open -= 1
        if not self.open:
            self.empty.set()
        self._by_ip[ip] -= 1
        if not self._by_ip[ip]:
            del self._by_ip[ip]
