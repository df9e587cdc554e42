"""Drain: says goodbye to all clients, spread over time, so that they do not reconnect all at once.

Readiness says no first, for NOTICE_PERIOD: a client that reconnects is then sent to another
instance. After it clients are notified in random order, at random moments of a spread that grows
with their number. Clients that are left after the spread, or joined during it, are notified then.
"""

import asyncio
import logging
import random
from collections.abc import Collection

from bridge.web.open_streams import OpenStream

logger = logging.getLogger(__name__)

NOTICE_PERIOD = 0.5
"""Seconds between 'not ready' and the first goodbye."""
CLIENTS_PER_SECOND = 500
"""Rate of goodbyes, unless MAX_SPREAD asks for a higher one."""
MAX_SPREAD = 10.0
"""Seconds."""
SPREAD_SHARE = 2 / 3
"""Part of the drain timeout by which the last goodbye is said; the rest is for closing."""
RETRY_INTERVAL = 0.1
"""Seconds between two goodbyes to a client that is still there."""


def drain_schedule(clients: int, within: float) -> tuple[float, list[float]]:
    """Return the notice period and each client's moment after it, in seconds, ascending."""
    notice = min(NOTICE_PERIOD, within / 4)
    spread = min(clients / CLIENTS_PER_SECOND, MAX_SPREAD, max(within * SPREAD_SHARE - notice, 0.0))
    return notice, sorted(random.uniform(0, spread) for _ in range(clients))  # noqa: S311 - spreads reconnects


async def drain(clients: Collection[OpenStream], *, gone: asyncio.Event, within: float) -> bool:
    """Notify every client, and wait until all are gone.

    Args:
        clients: the open streams; a live view, which clients join and leave meanwhile.
        gone: set while there is no client.
        within: seconds this may take.

    Returns:
        Whether all were gone in time.

    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    shuffled = list(clients)
    random.shuffle(shuffled)
    notice, moments = drain_schedule(len(shuffled), within)
    spread = moments[-1] if moments else 0.0
    logger.info("draining %d clients over %.1f s", len(shuffled), notice + spread)
    try:
        async with asyncio.timeout(within):
            await asyncio.sleep(notice)
            for client, moment in zip(shuffled, moments, strict=True):
                ahead = began + notice + moment - loop.time()
                if ahead > 0:
                    await asyncio.sleep(ahead)
                if client in clients:
                    client.drain()
            while not gone.is_set():
                for client in list(clients):
                    client.drain()
                await _wait(gone, RETRY_INTERVAL)
    except TimeoutError:
        return False
    return True


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
