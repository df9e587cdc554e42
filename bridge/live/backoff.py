"""Backoff: waits between attempts, with jitter so that a crowd does not return at once."""

import random
from collections.abc import Callable


class Backoff:
    """Full jitter: a wait is anywhere between 0 and a bound, which grows by `factor` to `most`."""

    def __init__(
        self,
        *,
        first: float,
        factor: float,
        most: float,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = self._bound = first
        self._factor = factor
        self._most = most
        self._uniform = uniform

    def next(self) -> float:
        """Return the seconds to wait before the next attempt."""
        wait = self._uniform(0, self._bound)
        self._bound = min(self._bound * self._factor, self._most)
        return wait

    def reset(self) -> None:
        """Start from the first bound again, after an attempt that succeeded."""
        self._bound = self._first
