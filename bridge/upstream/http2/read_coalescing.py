"""Read coalescing: a busy connection is read every few milliseconds, several messages at once.

A wake-up costs more than the parsing of a message. On a connection where messages of many calls
arrive one by one all the time, they may wait for each other that long. A connection with few
messages is read at once. So is one with a flood of them, whose reads are full anyway.
"""

import asyncio
from typing import Final

BUSY_RATE: Final = 500
"""Messages a second from which on a connection is busy."""
FULL_READ: Final = 64
"""Messages in one read from which on a longer wait gains nothing."""


class ReadCoalescing:
    """Spaces the reads of one connection. `interval`: seconds between two reads; 0 turns it off."""

    __slots__ = ("_interval", "_last_read", "_loop")

    def __init__(self, interval: float, loop: asyncio.AbstractEventLoop) -> None:
        self._interval = interval
        self._loop = loop
        self._last_read = 0.0

    def on_read(self, transport: asyncio.ReadTransport, messages: int) -> None:
        """Count a read of so many messages; pause reading if the connection is busy."""
        if not self._interval:
            return
        now = self._loop.time()
        since, self._last_read = now - self._last_read, now
        if BUSY_RATE * since <= messages < FULL_READ:
            transport.pause_reading()
            # Multiples of the interval: one turn of the loop then reads all busy connections.
            moment = (now // self._interval + 1) * self._interval
            if moment - now < self._interval / 4:  # a timer may fire a little early
                moment += self._interval
            self._loop.call_at(moment, transport.resume_reading)
