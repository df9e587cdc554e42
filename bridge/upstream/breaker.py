"""Circuit breaker: whether an endpoint may be called.

Invariants:
- Closed until FAILURE_THRESHOLD calls in a row have failed.
- Then open: no call is made. The time doubles with each opening. It is random within bounds, so
  that several bridges do not return together.
- Then half-open: one call at a time may try. A call that succeeds closes the circuit.
- A call that began before the latest opening can close the circuit, and never keeps it open.
"""

import random
from collections.abc import Callable

FAILURE_THRESHOLD = 5
MIN_OPEN, MAX_OPEN = 1.0, 10.0
"""Seconds that it stays open: at least, the first time; and at most."""


class Breaker:
    """Call `begin` before a call, then exactly one of the three `record_...` methods."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._failures = 0
        self._generation = 0  # changes at each opening and closing; shows results that are late
        self._half_open_at: float | None = None  # None: closed
        self._next_open_time = MIN_OPEN
        self._trying = False

    @property
    def open(self) -> bool:
        """Whether it is open or half-open."""
        return self._half_open_at is not None

    @property
    def retry_after(self) -> float:
        """Seconds until a call may be made; an estimate while a half-open circuit is tried."""
        if self._half_open_at is None:
            return 0.0
        return max(self._half_open_at - self._clock(), MIN_OPEN if self._trying else 0.0)

    @property
    def allows_call(self) -> bool:
        """Whether a call may be made now."""
        return self.retry_after == 0

    def begin(self) -> int:
        """Begin a call; return its ticket."""
        self._trying = self.open
        return self._generation

    def record_success(self) -> None:
        """Record that a call reached the tier: closes the circuit."""
        self._failures = 0
        if self.open:
            self._generation += 1
            self._half_open_at, self._next_open_time, self._trying = None, MIN_OPEN, False

    def record_failure(self, ticket: int) -> None:
        """Record that a call did not reach the tier: may open the circuit."""
        if ticket != self._generation:
            return
        self._failures += 1
        if self.open or self._failures >= FAILURE_THRESHOLD:
            self._generation += 1
            longest = min(self._next_open_time * 2, MAX_OPEN)
            self._half_open_at = self._clock() + self._uniform(self._next_open_time, longest)
            self._next_open_time = longest
            self._trying = False

    def record_abandoned(self, ticket: int) -> None:
        """Record that a call ended without showing whether the tier can be reached."""
        if ticket == self._generation:
            self._trying = False

    def retry_now(self) -> None:
        """Make an open circuit half-open now: the endpoint has shown a sign of life."""
        if self._half_open_at is not None:
            self._half_open_at = self._clock()
