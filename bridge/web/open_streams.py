"""OpenStreams: the streams that are open, and when each has lasted its time.

Invariant: streams are in the order in which they were opened. None lasts longer than those before
it by more than the spread of lives, so a look for those that are due ends early.
"""

import asyncio
import logging
import random
from collections.abc import Collection, Iterator
from typing import Final, Protocol

logger = logging.getLogger(__name__)

LIFE_SPREAD: Final = 0.1
"""Part of `--max-stream-life` by which lives differ: streams that began together end apart."""
_LOOKS: Final = 500
"""Looks at the oldest streams in one life."""
_LEAST_INTERVAL: Final = 0.01
"""Seconds between two looks, at least."""


class OpenStream(Protocol):
    """A stream, as it is told to end. Compared by identity."""

    def drain(self) -> None:
        """End, for the bridge drains."""

    def age(self) -> None:
        """End, for the stream has lasted its time."""


class OpenStreams(Collection[OpenStream]):
    """All of a bridge. `life`: seconds that a stream may last; 0 is no limit.

    One timer of the loop serves all: a stream costs an entry here, and no timer of its own.
    """

    def __init__(self, life: float = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._life = life
        self._due: dict[OpenStream, float] = {}
        """When each has lasted its time, in the loop's time."""
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[OpenStream]:
        return iter(self._due)

    def __contains__(self, stream: object) -> bool:
        return stream in self._due

    def add(self, stream: OpenStream) -> None:
        """Add a stream that has just been opened."""
        life = self._life
        if not life:
            self._due[stream] = 0
            return
        spread = 1 - LIFE_SPREAD + 2 * LIFE_SPREAD * random.random()  # noqa: S311
        self._due[stream] = self._loop.time() + life * spread
        if self._timer is None:
            self._set_timer()

    def discard(self, stream: OpenStream) -> None:
        """Forget a stream. Idempotent."""
        self._due.pop(stream, None)

    def lives(self) -> list[float]:
        """Return how many seconds each stream has left, the oldest first; none without a limit."""
        now = self._loop.time()
        return [due - now for due in self._due.values() if due]

    def stop(self) -> None:
        """Look no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        interval = max(self._life / _LOOKS, _LEAST_INTERVAL)
        self._timer = self._loop.call_later(interval, self._end_old)

    def _end_old(self) -> None:
        """End the streams that have lasted their time."""
        self._timer = None
        now = self._loop.time()
        last = now + 2 * LIFE_SPREAD * self._life
        old = []
        for stream, due in self._due.items():
            if due > last:
                break
            if due <= now:
                old.append(stream)
        for stream in old:
            if self._due.pop(stream, None) is None:  # another one's end was its end, too
                continue
            # Told again after another life: whoever does not go is cut by other limits.
            self._due[stream] = now + self._life
            try:
                stream.age()
            except Exception:
                logger.exception("a stream could not be ended")
        if self._due:
            self._set_timer()
