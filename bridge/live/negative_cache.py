"""NegativeCache: remembers queries whose answer was too large.

A browser's EventSource comes back every few seconds, whatever it was told. Each time the tier would
read and send megabytes that nobody sees.

Invariants: a failure is repeated for TTL seconds and then forgotten; the newest MAX_ENTRIES stay.
"""

from collections.abc import Callable, Hashable
from typing import Final

from bridge.core.errors import Failed, Kind

TTL: Final = 60.0
"""Seconds: the tier is asked such a query once a minute at most."""
MAX_ENTRIES: Final = 1000


class NegativeCache:
    """Failures by key. `clock` returns seconds, as loop.time does."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_key: dict[Hashable, tuple[float, Failed]] = {}  # oldest first

    def add(self, key: Hashable, failure: Failed) -> None:
        """Remember the failure of a subscription, if it is TOO_LARGE."""
        if failure.kind is not Kind.TOO_LARGE:
            return
        self._by_key.pop(key, None)
        self._by_key[key] = (self._clock() + TTL, _copy(failure))
        if len(self._by_key) > MAX_ENTRIES:
            del self._by_key[next(iter(self._by_key))]

    def check(self, key: Hashable) -> None:
        """Raise Failed if the query is known to be too large."""
        until, failure = self._by_key.get(key, (0.0, None))
        if failure is None:
            return
        if self._clock() < until:
            raise _copy(failure)
        del self._by_key[key]


def _copy(failure: Failed) -> Failed:
    """Return a copy without traceback: a raised exception keeps its frames, and those a window."""
    return Failed(failure.kind, failure.message, field=failure.field, code=failure.code)
