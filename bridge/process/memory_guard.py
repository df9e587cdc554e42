"""Memory guard: refuses new streams and cuts slow clients before the kernel kills the process.

Invariants: from REFUSE_AT on new streams are refused, until usage is below ACCEPT_BELOW. From
CUT_AT on each check cuts the clients with the most unsent bytes: as few as make up for the excess,
at least one. A client that has read everything is never cut. Meanwhile freed memory is returned to
the kernel, else usage would never fall.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from .memory_usage import MemoryUsage, return_freed_memory

logger = logging.getLogger(__name__)

REFUSE_AT: Final = 0.85
ACCEPT_BELOW: Final = 0.80
CUT_AT: Final = 0.95
BUSY_AT: Final = 0.6
"""Share of the limit from which checks are frequent: accepted clients take a moment to grow."""
CHECK_INTERVAL, BUSY_CHECK_INTERVAL = 0.5, 0.05
"""Seconds between two checks."""
RETURN_INTERVAL: Final = 5.0
"""Seconds between two returns of freed memory, while no client has to be cut."""


class MemoryGuard:
    """Checks the memory while `run` runs.

    Args:
        read: returns the usage, None where there is no limit; may block.
        cut: cuts clients that hold this many unsent bytes together; returns how many clients.

    """

    def __init__(
        self, *, read: Callable[[], MemoryUsage | None], cut: Callable[[int], int]
    ) -> None:
        self.short = False
        """Whether new streams are to be refused."""
        self.usage: MemoryUsage | None = None
        """As of the last check."""
        self.cut_clients = 0
        """Clients cut so far."""
        self._read = read
        self._cut = cut

    async def run(self) -> None:
        """Check until cancelled; returns at once where there is no limit."""
        loop = asyncio.get_running_loop()
        return_at = loop.time()
        while (usage := await asyncio.to_thread(self._read)) is not None:
            self.handle(usage)
            await asyncio.sleep(CHECK_INTERVAL if usage.share < BUSY_AT else BUSY_CHECK_INTERVAL)
            if self.short and (usage.share >= CUT_AT or loop.time() >= return_at):
                await asyncio.to_thread(return_freed_memory)
                return_at = loop.time() + RETURN_INTERVAL

    def handle(self, usage: MemoryUsage) -> None:
        """Refuse, accept or cut, as a usage requires."""
        self.usage = usage
        short = usage.share >= (ACCEPT_BELOW if self.short else REFUSE_AT)
        if short is not self.short:
            self.short = short
            logger.log(
                logging.WARNING if short else logging.INFO,
                "%d MiB of %d MiB are in use: newcomers are %s",
                usage.used >> 20,
                usage.limit >> 20,
                "refused" if short else "served again",
            )
        if usage.share >= CUT_AT:
            cut = self._cut(max(usage.used - int(usage.limit * CUT_AT), 1))
            self.cut_clients += cut
            if cut:
                logger.warning("memory is short: %d slow clients were cut", cut)
