"""Read coalescing: a busy connection is read every few milliseconds, several messages at once.

A wake-up costs more than the parsing of a message. On a connection where messages of many calls
arrive one by one all the time, they may wait for each other that long, once the process has little
time left (`gather_interval`). A connection with few messages is read at once. So is one with a
flood of them, whose reads are full anyway.
"""

import asyncio
from typing import Final

from .gather_interval import GatherInterval

BUSY_RATE: Final = 500
"""Messages a second from which on a connection is busy."""
FULL_READ: Final = 64
"""Messages in one read from which on a longer wait gains nothing."""


class ReadCoalescing:
    """Spaces the reads of one connection."""

    __slots__ = ("_interval", "_last_read", "_loop")

    def __init__(self, interval: GatherInterval, loop: asyncio.AbstractEventLoop) -> None:
        self._interval = interval
        self._loop = loop
        self._last_read = 0.0

    def on_read(self, transport: asyncio.ReadTransport, messages: int, now: float) -> None:
        """Count a read of so many messages; pause reading if the connection is busy.

        `now`: the loop's seconds, of this turn.
        """
        if not self._interval.ceiling:
            return
        since, self._last_read = now - self._last_read, now
        if not BUSY_RATE * since <= messages < FULL_READ:
            return
        interval = self._interval.at(now)
        if interval:
            transport.pause_reading()
            # Multiples of the interval: one turn of the loop then reads all busy connections.
            moment = (now // interval + 1) * interval
            if moment - now < interval / 4:  # a timer may fire a little early
                moment += interval
            self._loop.call_at(moment, transport.resume_reading)
