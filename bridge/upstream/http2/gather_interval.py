"""GatherInterval: how long the reads of busy connections are apart, by how busy the process is.

While the process has time, messages are read at once: waiting would save what nobody needs. As its
time runs out, they wait for each other, up to a ceiling. Its load is the CPU time that it took of
the time that went by, smoothed: what is gathered lowers the load, and must not swing with it.
"""

import time
from collections.abc import Callable
from typing import Final

from bridge.core.build import IS_COMPILED

EASY: Final = 0.3 if IS_COMPILED else 0.15
"""Share of a core up to which everything is read at once."""
PRESSED: Final = 0.42 if IS_COMPILED else 0.3
"""Share of a core from which on reads are as far apart as they may be. Interpreted, gathering saves
a third of the time; compiled it saves little, and the time is not needed as soon."""
LEAST: Final = 0.00125
"""Seconds below which a wait costs more than it saves."""
SAMPLE: Final = 0.05
"""Seconds from one look at the CPU time to the next, at least."""
MEMORY: Final = 0.5
"""Seconds over which the load is smoothed."""
_STEPS: Final = 8
"""A change of less than one step in so many is none: all connections keep the same interval."""


class GatherInterval:
    """One for all connections. `ceiling`: seconds; 0: always at once. `cpu_time`: seconds used."""

    __slots__ = ("_cpu", "_cpu_time", "_load", "_sampled_at", "_seconds", "ceiling")

    def __init__(
        self, ceiling: float, *, cpu_time: Callable[[], float] = time.process_time
    ) -> None:
        self.ceiling = ceiling
        self._cpu_time = cpu_time
        self._cpu = 0.0
        self._sampled_at: float | None = None
        self._load = 0.0
        self._seconds = 0.0

    def at(self, now: float) -> float:
        """Return the seconds between two reads; 0: read at once. `now`: the loop's."""
        before = self._sampled_at
        if before is None:
            self._sampled_at, self._cpu = now, self._cpu_time()
        elif now - before >= SAMPLE:
            self._sample(now, now - before)
        return self._seconds

    def _sample(self, now: float, since: float) -> None:
        cpu = self._cpu_time()
        share = (cpu - self._cpu) / since
        self._sampled_at, self._cpu = now, cpu
        self._load += (share - self._load) * min(since / MEMORY, 1.0)
        wanted = self.ceiling * min(max((self._load - EASY) / (PRESSED - EASY), 0.0), 1.0)
        least = min(LEAST, self.ceiling)
        if 0 < wanted < least:  # it begins later than it ends, or it would come and go
            wanted = least if self._seconds else 0.0
        at_an_end = wanted in (0.0, self.ceiling)
        if at_an_end or abs(wanted - self._seconds) >= self.ceiling / _STEPS:
            self._seconds = wanted
