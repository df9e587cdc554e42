"""Wakeup: waiting for what others do, in a process that may stand still for a while itself."""

import asyncio
import contextlib
from collections.abc import Callable

LONGEST_TURN = 0.1
TURNS = 10


class Wakeup:
    """One that many wait for, each for a condition of its own."""

    def __init__(self) -> None:
        self._notified = asyncio.Event()

    def notify(self) -> None:
        """Let all who wait look again."""
        self._notified.set()
        self._notified = asyncio.Event()

    async def until(self, holds: Callable[[], object], within: float) -> bool:
        """Wait until a condition holds, for so many seconds; says whether it does.

        The wait is made of short turns. One in which this process stood still is not counted, for
        what came meanwhile is not read yet; a process that does nothing else waits twice as long.
        """
        clock = asyncio.get_running_loop().time
        turn = min(within / TURNS, LONGEST_TURN)
        waited, uncounted, since = 0.0, 0, clock()
        while not holds():
            if waited >= within:
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(turn):
                    await self._notified.wait()
            now = clock()
            took, since = now - since, now
            if took > 2 * turn and uncounted < TURNS:
                uncounted += 1
            else:
                waited += min(took, turn)
        return True
