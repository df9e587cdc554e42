"""FlushScheduler: calls what is due at the end of a read, or of this turn of the event loop."""

import asyncio
import logging
from typing import Protocol

logger = logging.getLogger(__name__)


class Flushing(Protocol):
    """What can be flushed."""

    def flush(self) -> None:
        """Write what is due."""


class FlushScheduler:
    """Flushes, in the order given, after what makes it due.

    So changes that arrive together are written together. What a read from the tier makes due runs
    at its end, between `hold` and `release`: a callback of the loop would be a third of the cost of
    a flush to a few. Whatever else is due runs after the callbacks that are ready now.
    """

    __slots__ = ("_due", "_held", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._due: list[Flushing] = []
        self._held = False

    def schedule(self, flushing: Flushing) -> None:
        """Flush once."""
        if not self._due and not self._held:
            self._loop.call_soon(self._run)
        self._due.append(flushing)

    def hold(self) -> None:
        """Have what is due wait for `release`, which must follow in this callback of the loop."""
        self._held = True

    def release(self) -> None:
        """Flush what is due."""
        self._held = False
        if self._due:
            self._run()

    def _run(self) -> None:
        """Flush what is due, but for what that makes due."""
        due, self._due = self._due, []
        for flushing in due:
            try:
                flushing.flush()
            except Exception:
                # As the loop itself would: the others still go on.
                logger.exception("a scheduled flush failed")
