"""ConnectionRegistry: idle connections are closed in time, whatever others do."""

import asyncio

from bridge.web.http.registry import IDLE_TIMEOUT, ConnectionRegistry
from virtual_loop import virtually


class Connection:
    """Remembers when it was closed."""

    def __init__(self):
        self.closed_at = None

    def close_after_flush(self):
        self.closed_at = asyncio.get_running_loop().time()

    abort = close_after_flush


@virtually
async def test_a_connection_that_starts_anew_does_not_hold_up_those_behind_it():
    registry, loop = ConnectionRegistry(), asyncio.get_running_loop()
    busy, silent = Connection(), Connection()
    registry.add(busy)
    registry.add(silent)
    began = loop.time()
    for _ in range(5):
        await asyncio.sleep(IDLE_TIMEOUT / 2)
        registry.start_idle_timeout(busy)  # refused upgrades, one after the other
    assert silent.closed_at is not None
    assert silent.closed_at - began < IDLE_TIMEOUT * 1.1
    assert busy.closed_at is None
    await asyncio.sleep(IDLE_TIMEOUT * 1.1)
    assert busy.closed_at is not None
