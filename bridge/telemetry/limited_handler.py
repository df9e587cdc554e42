"""LimitedHandler: writes log lines to a stream, of each kind only so many a second.

A kind is a logger, a level and a text before its values are put in: a client that is refused
without end, or rows that can't be read, are one kind. What is left out is counted, and told.

Invariants: lines are left out of kinds that are over their rate, and of no other; the numbers left
out are told before the first line that comes after `TELL_EVERY` seconds, and at the end.
"""

import logging
import time
from collections.abc import Callable
from typing import Final, TextIO, TypeAlias

from bridge.core.token_bucket import TokenBucket

RATE: Final = 10.0
BURST: Final = 100
TELL_EVERY: Final = 10.0
MAX_KINDS: Final = 256
"""Kinds that are remembered; the oldest is forgotten."""
_TEMPLATE: Final = 200
"""Characters by which texts are told apart."""

LineKind: TypeAlias = tuple[str, int, str]


class LimitedHandler(logging.StreamHandler[TextIO]):
    """One for a process. `clock`: seconds that only grow."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._buckets: dict[LineKind, TokenBucket] = {}
        self._left_out: dict[LineKind, int] = {}
        self._tell_at = 0.0
        self.suppressed = 0
        """Lines that were left out."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless its kind is over the rate."""
        kind = record.name, record.levelno, str(record.msg)[:_TEMPLATE]
        now = self._clock()
        if self._left_out and now >= self._tell_at:
            for other in tuple(self._left_out):
                self._tell(other)
        if not self._bucket(kind).take():
            if not self._left_out:
                self._tell_at = now + TELL_EVERY
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            self.suppressed += 1
            return
        super().emit(record)

    def _bucket(self, kind: LineKind) -> TokenBucket:
        bucket = self._buckets.get(kind)
        if bucket is None:
            if len(self._buckets) >= MAX_KINDS:
                oldest = next(iter(self._buckets))
                self._tell(oldest)
                del self._buckets[oldest]
            bucket = TokenBucket(rate=RATE, burst=BURST, clock=self._clock)
            self._buckets[kind] = bucket
        return bucket

    def _tell(self, kind: LineKind) -> None:
        count = self._left_out.pop(kind, 0)
        if count:
            name, level, text = kind
            told = logging.LogRecord(
                name, level, __file__, 0, "%d more lines were left out, as: %s", (count, text), None
            )
            super().emit(told)

    def close(self) -> None:
        """Tell what was left out last."""
        for kind in tuple(self._left_out):
            self._tell(kind)
        super().close()


def suppressed_lines() -> int:
    """Return how many log lines of this process were left out."""
    return sum(
        handler.suppressed
        for handler in logging.getLogger().handlers
        if isinstance(handler, LimitedHandler)
    )
