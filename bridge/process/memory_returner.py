"""MemoryReturner: gives memory back to the kernel after many connections have closed.

The C library keeps what a connection held, scattered between what is still in use: a TLS connection
leaves 60 to 300 KiB. A thousand at once would be kept for good, and the next thousand come on top.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from .memory_usage import resident_memory, return_freed_memory, trim_memory

CLOSED: Final = 300
"""Connections that have closed since memory was returned last."""
GROWN: Final = 32 * 1024 * 1024
"""Bytes of resident memory beyond those after the last return, from which fewer are enough: a
connection whose client sends without end may have held a MiB."""
SAMPLE_INTERVAL: Final = 5.0
"""Seconds from one look to the next. Each wakes the process; see `telemetry/loop_lag.py`."""
RETURN_INTERVAL: Final = 10.0
"""Seconds between two returns at least: what is returned costs to be had again."""
COLLECT_INTERVAL: Final = 60.0
"""Seconds between two runs of the garbage collector for it, during which nothing else runs. Errors
that aiohttp keeps hold what they were found in, in circles."""


class MemoryReturner:
    """Watches the connections while `run` runs.

    `closed`: returns how many have closed so far. `give_back`: returns memory, and may block;
    `give_back_more`: what takes longer, for when that was not enough. `resident`: returns the bytes
    in memory.
    """

    def __init__(
        self,
        closed: Callable[[], int],
        give_back: Callable[[], None] = trim_memory,
        give_back_more: Callable[[], None] = return_freed_memory,
        resident: Callable[[], int] = resident_memory,
    ) -> None:
        self._closed = closed
        self._give_back = give_back
        self._give_back_more = give_back_more
        self._resident = resident
        self._closed_then = 0
        """As of the last return."""
        self._resident_then = resident()

    def due(self) -> bool:
        """Return whether it is time to return memory."""
        closed = self._closed() - self._closed_then
        return closed >= CLOSED or (closed > 0 and self._grown)

    @property
    def _grown(self) -> bool:
        return self._resident() - self._resident_then >= GROWN

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        return_at = collect_at = loop.time()
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL)
            if loop.time() < return_at or not self.due():
                continue
            closed = self._closed()
            await asyncio.to_thread(self._give_back)
            return_at = loop.time() + RETURN_INTERVAL
            if self._grown:
                if loop.time() < collect_at:
                    continue  # it stays due
                await asyncio.to_thread(self._give_back_more)
                collect_at = loop.time() + COLLECT_INTERVAL
            self._closed_then, self._resident_then = closed, self._resident()
