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

        The wait is made of short turns. One in which this process stood still counts no longer than
        any other: what came meanwhile is not read yet.
        """
        clock = asyncio.get_running_loop().time
        turn = min(within / TURNS, LONGEST_TURN)
        waited = 0.0
        while not holds():
            if waited >= within:
                return False
            since = clock()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(turn):
                    await self._notified.wait()
            waited += min(clock() - since, turn)
        return True
