"""Tick: what is due at the end of this turn of the loop, for all who have something due."""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class FlushScheduler:
    """Calls what it was given, in that order, once the loop has got round to it.

    What arrives together is written together, and one turn of the loop is asked for, not one each.
    """

    __slots__ = ("_due", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._due: list[Callable[[], None]] = []

    def call(self, what: Callable[[], None]) -> None:
        """Have something called."""
        if not self._due:
            self._loop.call_soon(self._run)
        self._due.append(what)

    def _run(self) -> None:
        due, self._due = self._due, []
        for what in due:
            try:
                what()
            except Exception:
                # As the loop itself would: the others are due all the same.
                logger.exception("something due in a tick broke")
