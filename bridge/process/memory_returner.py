"""MemoryReturner: gives memory back to the kernel after many connections have closed.

The C library keeps what a connection held, scattered between what is still in use: a TLS connection
leaves 60 to 300 KiB. A thousand at once would be kept for good, and the next thousand come on top.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from .memory_usage import trim_memory

CLOSED: Final = 300
"""Connections that have closed since memory was returned last."""
SAMPLE_INTERVAL: Final = 1.0
RETURN_INTERVAL: Final = 10.0
"""Seconds between two returns at least: what is returned costs to be had again."""


class MemoryReturner:
    """Watches the connections while `run` runs.

    `closed`: returns how many have closed so far; `give_back`: returns memory, and may block.
    """

    def __init__(
        self, closed: Callable[[], int], give_back: Callable[[], None] = trim_memory
    ) -> None:
        self._closed = closed
        self._give_back = give_back
        self._closed_then = 0
        """As of the last return."""

    def due(self) -> bool:
        """Return whether it is time to return memory."""
        return self._closed() - self._closed_then >= CLOSED

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        return_at = loop.time()
        while True:
            await asyncio.sleep(SAMPLE_INTERVAL)
            if loop.time() >= return_at and self.due():
                self._closed_then = self._closed()
                await asyncio.to_thread(self._give_back)
                return_at = loop.time() + RETURN_INTERVAL
