"""Pressure: what is done when memory runs short, before the kernel kills.

Laws: from REFUSE on nobody new comes in, until it is below AGAIN; from CUT on, at each look, the
clients with the most bytes unsent are cut, as few as make up for what is over, one at least. Who
has read all that it was sent is never cut. What is freed is given back to the kernel meanwhile, or
the level would never fall.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from .memory_usage import MemoryUsage, return_freed_memory

logger = logging.getLogger(__name__)

REFUSE: Final = 0.85
AGAIN: Final = 0.80
CUT: Final = 0.95
CLOSE: Final = 0.6
"""What part is used where it is looked at more often: what is let in takes a moment to grow."""
EVERY, OFTEN = 0.5, 0.05
"""Seconds between two looks."""
LULL: Final = 5.0
"""Seconds from giving memory back to doing so again, unless clients are cut."""


class MemoryGuard:
    """Looks while `run` runs.

    Args:
        read: tells the level, None where there is no limit; may block.
        cut: cuts clients that hold so many unsent bytes together; returns how many clients.

    """

    def __init__(
        self, *, read: Callable[[], MemoryUsage | None], cut: Callable[[int], int]
    ) -> None:
        self.short = False
        """Whether newcomers are to be refused."""
        self.level: MemoryUsage | None = None
        """As of the last look."""
        self.cuts = 0
        """Clients cut so far."""
        self._read = read
        self._cut = cut

    async def run(self) -> None:
        """Look until cancelled; returns at once where there is no limit."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while (level := await asyncio.to_thread(self._read)) is not None:
            self.judge(level)
            await asyncio.sleep(EVERY if level.share < CLOSE else OFTEN)
            if self.short and (level.share >= CUT or loop.time() >= due):
                await asyncio.to_thread(return_freed_memory)
                due = loop.time() + LULL

    def judge(self, level: MemoryUsage) -> None:
        """Do what a level asks for."""
        self.level = level
        short = level.share >= (AGAIN if self.short else REFUSE)
        if short is not self.short:
            self.short = short
            logger.log(
                logging.WARNING if short else logging.INFO,
                "%d MiB of %d MiB are in use: newcomers are %s",
                level.used >> 20,
                level.limit >> 20,
                "refused" if short else "served again",
            )
        if level.share >= CUT:
            cut = self._cut(max(level.used - int(level.limit * CUT), 1))
            self.cuts += cut
            if cut:
                logger.warning("memory is short: %d slow clients were cut", cut)
