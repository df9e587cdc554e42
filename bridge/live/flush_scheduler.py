"""FlushScheduler: calls what is due at the end of a read, or of this turn of the event loop."""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class FlushScheduler:
    """Runs callbacks in the order given, after what makes them due.

    So changes that arrive together are written together. What a read from the tier makes due runs
    at its end, between `hold` and `release`: a callback of the loop would be a third of the cost of
    a flush to a few. Whatever else is due runs after the callbacks that are ready now.
    """

    __slots__ = ("_callbacks", "_held", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._callbacks: list[Callable[[], None]] = []
        self._held = False

    def call(self, callback: Callable[[], None]) -> None:
        """Call `callback` once."""
        if not self._callbacks and not self._held:
            self._loop.call_soon(self._run)
        self._callbacks.append(callback)

    def hold(self) -> None:
        """Have what is due wait for `release`, which must follow in this callback of the loop."""
        self._held = True

    def release(self) -> None:
        """Run what is due."""
        self._held = False
        if self._callbacks:
            self._run()

    def _run(self) -> None:
        """Run what is due, but for what that makes due."""
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # As the loop itself would: the other callbacks still run.
                logger.exception("a scheduled flush failed")
