"""Pace: how many calls a second may begin, and in what order.

A token bucket with a queue. Laws: turns come in the order they were asked for; a turn not taken
(cancelled) goes to the next in line at once; whoever would wait too long is told so at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from bridge.core.errors import Failed, Kind

_ROUNDING = 1e-9


class RateLimiter:
    """`rate` turns per second, up to `burst` at once after a quiet time; rate 0 is no limit.

    `patience` is the longest wait, in seconds, that anyone is made to begin. `later` schedules as
    loop.call_later does.
    """

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        patience: float,
        clock: Callable[[], float] | None = None,
        later: Callable[[float, Callable[[], None]], Any] | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._rate = rate
        self._burst = burst
        self._patience = patience
        self._clock = clock or loop.time
        self._later = later or loop.call_later
        self._tokens = burst
        self._filled_at = self._clock()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._armed = False

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    async def turn(self) -> None:
        """Wait for a turn, in order. Raises Failed (UNAVAILABLE) where the line is too long.

        Cancelling leaves the line.
        """
        if not self._rate:
            return
        self._fill()
        if not self._waiting and self._take():
            return
        wait = (len(self._waiting) + 1 - self._tokens) / self._rate
        if wait > self._patience:
            raise Failed(Kind.UNAVAILABLE, "too many subscriptions at once", retry_after=wait)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        self._arm()
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled():
                self._tokens += 1  # granted in this very tick: for the next
            elif mine in self._waiting:
                self._waiting.remove(mine)
            self._grant()
            raise

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def _take(self) -> bool:
        if self._tokens < 1 - _ROUNDING:
            return False
        self._tokens -= 1
        return True

    def _arm(self) -> None:
        if self._waiting and not self._armed:
            self._armed = True
            self._later(max(1 - self._tokens, 0) / self._rate, self._due)

    def _due(self) -> None:
        self._armed = False
        self._grant()

    def _grant(self) -> None:
        self._fill()
        while self._waiting and self._take():
            mine = self._waiting.popleft()
            if mine.done():
                self._tokens += 1  # cancelled in this very tick
                continue
            mine.set_result(None)
        self._arm()
