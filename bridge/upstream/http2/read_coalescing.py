"""Gather: reads of a busy connection together, a few milliseconds apart.

To wake up for a message costs more than to take it in. Where messages of many calls come one by
one all the time, they may wait for each other that long. A connection that says something now and
then is read at once, and so is one that is flooded, whose reads are full anyway.
"""

import asyncio
from typing import Final

BUSY: Final = 500
"""Messages a second from which on they are gathered."""
FULL: Final = 64
"""Messages in one read that need not be more."""


class ReadCoalescing:
    """One connection's. `interval` is how far apart reads may be, in seconds; 0 is never."""

    __slots__ = ("_at", "_clock", "_interval")

    def __init__(self, interval: float, clock: asyncio.AbstractEventLoop) -> None:
        self._interval = interval
        self._clock = clock
        self._at = 0.0

    def read(self, transport: asyncio.ReadTransport, messages: int) -> None:
        """Take note that so many messages have been read; puts off the next read if it is due."""
        if not self._interval:
            return
        now = self._clock.time()
        since, self._at = now - self._at, now
        if BUSY * since <= messages < FULL:
            transport.pause_reading()
            # At moments that all connections share: one turn of the loop for all of them.
            moment = (now // self._interval + 1) * self._interval
            if moment - now < self._interval / 4:  # a timer may ring a little early
                moment += self._interval
            self._clock.call_at(moment, transport.resume_reading)
