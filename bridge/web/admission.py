"""Admission: how many streams may be open, in all and for each client, and how fast they come."""

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from bridge.core.errors import Failed, Kind
from bridge.core.rate_by_key import RateByKey

from .accept_limiter import AcceptLimiter

CONNECTIONS_PER_IDENTITY = "connections_per_identity"
RETRY_AFTER = 5.0
"""Seconds after which a client over a limit of open streams may try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """The most open streams, and new ones a second. 0 is no limit."""

    streams: int = 0
    per_address: int = 0
    per_holder: int = 0
    """Of one credential."""
    rate: int = 0
    rate_per_address: int = 0


class Admission:
    """Counts open streams.

    `memory_short` returns whether memory is short, so that no new ones are admitted.
    """

    def __init__(
        self,
        limits: StreamLimits,
        *,
        memory_short: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        clock = clock or asyncio.get_running_loop().time
        rate, address_rate = limits.rate, limits.rate_per_address
        self._accept_limiter = AcceptLimiter(rate=rate, burst=2 * rate, clock=clock)
        self._address_rates = RateByKey(rate=address_rate, burst=2 * address_rate, clock=clock)
        self._memory_short = memory_short
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self._by_holder: Counter[Hashable] = Counter()
        self.open = 0
        self.empty = asyncio.Event()
        """Set while no stream is open."""
        self.empty.set()

    @property
    def full(self) -> bool:
        """Whether as many are open as may be."""
        return bool(self._limits.streams) and self.open >= self._limits.streams

    def admit(self, address: str) -> None:
        """Count a stream as open, until `release`.

        Raises:
            Failed: QUOTA over a limit; UNAVAILABLE while memory is short or too many come at once.

        """
        if self._memory_short():
            message = "the bridge is short of memory"
            raise Failed(Kind.UNAVAILABLE, message, retry_after=RETRY_AFTER, limit="memory")
        limits = self._limits
        if limits.streams and self.open >= limits.streams:
            raise _over("the bridge has no more connections to give", "connections")
        per_address = limits.per_address
        if per_address and self._by_address[address] >= per_address:
            raise _over("too many connections from this address", "connections_per_ip")
        if limits.rate_per_address and (delay := self._address_rates.take(address)):
            raise _over("too many new streams from this address", "accept_rate_per_ip", delay)
        if limits.rate and (delay := self._accept_limiter.admit()):
            message = "too many clients at once"
            raise Failed(Kind.UNAVAILABLE, message, retry_after=delay, limit="accept_rate")
        if not self.open:
            self.empty.clear()
        self.open += 1
        self._by_address[address] += 1

    def release(self, address: str) -> None:
        """Count a stream as open no more."""
        self.open -= 1
        if not self.open:
            self.empty.set()
        _forget(self._by_address, address)

    def admit_holder(self, holder: Hashable) -> None:
        """Count an open stream for its credential, until `release_holder`. None is not counted.

        Raises:
            Failed: QUOTA over the limit.

        """
        if holder is None:
            return
        per_holder = self._limits.per_holder
        if per_holder and self._by_holder[holder] >= per_holder:
            raise _over("too many connections with this credential", CONNECTIONS_PER_IDENTITY)
        self._by_holder[holder] += 1

    def release_holder(self, holder: Hashable) -> None:
        """Count a stream for its credential no more."""
        if holder is not None:
            _forget(self._by_holder, holder)


def _forget(counts: Counter[Hashable] | Counter[str], key: Any) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def _over(message: str, limit: str, retry_after: float = RETRY_AFTER) -> Failed:
    return Failed(Kind.QUOTA, message, retry_after=retry_after, limit=limit)
