"""Refusals: queries whose answer was too large, so that who comes back is not taken to the tier.

Laws: a refusal is told again for REMEMBERED seconds and then forgotten; the newest MOST are kept.
A browser's EventSource comes back every few seconds whatever it was told, and each time the tier
would read and send megabytes that nobody will see.
"""

from collections.abc import Callable, Hashable
from typing import Final

from bridge.core.errors import Failed, Kind

TTL: Final = 60.0
"""Seconds: the tier is asked for such a query once a minute at most."""
MAX_ENTRIES: Final = 1000


class NegativeCache:
    """By key. `clock`: seconds, as loop.time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_key: dict[Hashable, tuple[float, Failed]] = {}  # the oldest first

    def note(self, key: Hashable, failure: Failed) -> None:
        """Take note of what ended a subscription; of anything but TOO_LARGE nothing is kept."""
        if failure.kind is not Kind.TOO_LARGE:
            return
        self._by_key.pop(key, None)
        self._by_key[key] = (self._clock() + TTL, _fresh(failure))
        if len(self._by_key) > MAX_ENTRIES:
            del self._by_key[next(iter(self._by_key))]

    def check(self, key: Hashable) -> None:
        """Raise Failed where the query is known to be too large."""
        until, failure = self._by_key.get(key, (0.0, None))
        if failure is None:
            return
        if self._clock() < until:
            raise _fresh(failure)
        del self._by_key[key]


def _fresh(failure: Failed) -> Failed:
    """Say it anew: one that is raised keeps what it passes through, and that a window."""
    return Failed(failure.kind, failure.message, field=failure.field, code=failure.code)
