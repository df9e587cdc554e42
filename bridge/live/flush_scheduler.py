"""FlushScheduler: calls what is due at the end of this turn of the event loop."""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class FlushScheduler:
    """Runs callbacks in the order given, after the callbacks that are ready now.

    So changes that arrive together are written together. One callback of the loop runs them all.
    """

    __slots__ = ("_callbacks", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._callbacks: list[Callable[[], None]] = []

    def call(self, callback: Callable[[], None]) -> None:
        """Call `callback` once."""
        if not self._callbacks:
            self._loop.call_soon(self._run)
        self._callbacks.append(callback)

    def _run(self) -> None:
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback()
            except Exception:
                # As the loop itself would: the other callbacks still run.
                logger.exception("a scheduled flush failed")
