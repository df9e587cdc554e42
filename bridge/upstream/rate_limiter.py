"""Rate limiter: a token bucket with a queue.

Invariants: callers get their tokens in the order in which they asked. The token of a caller that
was cancelled goes to the next in the queue at once. A caller that would wait longer than
`max_wait` is refused at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from bridge.core.errors import Failed, Kind
from bridge.core.token_bucket import TokenBucket


class RateLimiter:
    """Grants `rate` calls a second, at most `burst` at once; rate 0 is no limit.

    Args:
        rate: calls a second.
        burst: calls at once after a quiet time.
        max_wait: seconds that a caller is made to wait at most.
        clock: seconds, as loop.time.
        call_later: schedules a callback, as loop.call_later.

    """

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        max_wait: float,
        clock: Callable[[], float] | None = None,
        call_later: Callable[[float, Callable[[], None]], Any] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._bucket = TokenBucket(rate=rate, burst=burst, clock=clock or loop.time)
        self._max_wait = max_wait
        self._call_later = call_later or loop.call_later
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._timer_armed = False

    @property
    def waiting(self) -> int:
        """Number of callers in the queue."""
        return len(self._waiters)

    async def acquire(self) -> None:
        """Wait for a token. Raises Failed (UNAVAILABLE) if the queue is too long.

        Cancelling leaves the queue.
        """
        if not self._waiters and self._bucket.take():
            return
        wait = self._bucket.seconds_until(len(self._waiters) + 1)
        if wait > self._max_wait:
            raise Failed(Kind.UNAVAILABLE, "too many subscriptions at once", retry_after=wait)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._arm_timer()
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._bucket.give_back()  # granted in the turn of the loop that cancelled it
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            self._grant()
            raise

    def _arm_timer(self) -> None:
        if self._waiters and not self._timer_armed:
            self._timer_armed = True
            self._call_later(self._bucket.seconds_until(), self._on_timer)

    def _on_timer(self) -> None:
        self._timer_armed = False
        self._grant()

    def _grant(self) -> None:
        """Give tokens to the callers at the head of the queue."""
        while self._waiters and self._bucket.take():
            waiter = self._waiters.popleft()
            if waiter.done():
                self._bucket.give_back()  # cancelled in this turn of the loop
                continue
            waiter.set_result(None)
        self._arm_timer()
