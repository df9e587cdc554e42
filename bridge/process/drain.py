"""Drain: how clients are told that the bridge goes, so that they don't come back all at once.

First a notice: readiness already says no, and nobody is told yet, so that who returns is sent
elsewhere. Then clients are told one after the other, in random order, at random moments of a
spread that grows with their number. Whoever came or stayed is told at the end of it.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection

logger = logging.getLogger(__name__)

NOTICE = 0.5
"""Seconds between 'not ready' and the first client's being told."""
RATE = 500
"""Clients told per second, as long as that takes no longer than LONGEST."""
LONGEST = 10.0
SHARE = 2 / 3
"""What part of the time there is may be spent on telling; the rest is for goodbyes."""


def drain_schedule(clients: int, within: float) -> tuple[float, list[float]]:
    """Return the notice and the moments after it to tell a client, in seconds, ascending."""
    notice = min(NOTICE, within / 4)
    spread = min(clients / RATE, LONGEST, max(within * SHARE - notice, 0.0))
    return notice, sorted(random.uniform(0, spread) for _ in range(clients))  # noqa: S311 - spreads reconnects


async def drain(
    clients: Collection[Callable[[], None]], *, gone: asyncio.Event, within: float
) -> bool:
    """Tell every client and wait until all are gone; whether they were, within so many seconds.

    `clients` is alive: who leaves is out of it, who comes is in it. `gone` is set while it is
    empty.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    told = list(clients)
    random.shuffle(told)
    notice, moments = drain_schedule(len(told), within)
    spread = moments[-1] if moments else 0.0
    logger.info("draining %d clients over %.1f s", len(told), notice + spread)
    try:
        async with asyncio.timeout(within):
            await asyncio.sleep(notice)
            for tell, moment in zip(told, moments, strict=True):
                ahead = began + notice + moment - loop.time()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                if tell in clients:
                    tell()
            while not gone.is_set():
                for tell in list(clients):
                    tell()
                await _either(gone, 0.1)
    except TimeoutError:
        return False
    return True


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
