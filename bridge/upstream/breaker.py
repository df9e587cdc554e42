"""Breaker: whether an endpoint is worth a call.

Laws: closed until FAILURES calls in a row have failed; then open, when no call is made, for a time
that doubles with each opening, spread so that bridges don't return together; then half-open, when
one call at a time may try. A call that succeeds closes it. What becomes of a call that began
before the latest opening can close it but never keeps it open.
"""

import random
from collections.abc import Callable

FAILURES = 5
FIRST, MOST = 1.0, 10.0
"""Seconds it stays open: the first time at least, and ever at most."""


class Breaker:
    """Say `enter` before a call, then exactly one of `succeeded`, `failed` and `abandoned`."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._failures = 0
        self._round = 0  # changes whenever it opens or closes: tells late news from fresh
        self._until: float | None = None  # open, or half-open after that moment
        self._bound = FIRST
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether it is open or half-open."""
        return self._until is not None

    @property
    def wait(self) -> float:
        """Seconds until a call may be made, as far as can be told; 0 is now."""
        if self._until is None:
            return 0.0
        return max(self._until - self._clock(), FIRST if self._probing else 0.0)

    @property
    def admits(self) -> bool:
        """Whether a call may be made now."""
        return self.wait == 0

    def enter(self) -> int:
        """Begin a call; returns its ticket."""
        self._probing = self.open
        return self._round

    def succeeded(self) -> None:
        """Take note that a call reached the tier."""
        self._failures = 0
        if self.open:
            self._round += 1
            self._until, self._bound, self._probing = None, FIRST, False

    def failed(self, ticket: int) -> None:
        """Take note that a call did not reach the tier."""
        if ticket != self._round:
            return
        self._failures += 1
        if self.open or self._failures >= FAILURES:
            self._round += 1
            self._until = self._clock() + self._uniform(self._bound, min(self._bound * 2, MOST))
            self._bound = min(self._bound * 2, MOST)
            self._probing = False

    def abandoned(self, ticket: int) -> None:
        """Take note that a call ended and told nothing of the tier."""
        if ticket == self._round:
            self._probing = False

    def retry_now(self) -> None:
        """End the wait: there is a sign of life. Half-open until a call proves it."""
        if self._until is not None:
            self._until = self._clock()
