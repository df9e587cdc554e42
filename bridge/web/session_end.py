"""SessionEnd: how a WebSocket session ends, whoever ends it first: client, tier, or bridge."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Final

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import End, EndReason

from .context import STALLED

GRACE: Final = 5.0
"""Seconds that a client has to take what it was sent before its connection is dropped."""
DRAINED: Final = End(EndReason.DRAINED, Failed(Kind.DRAINING, "the bridge is restarting"))
AGED: Final = End(EndReason.AGED, Failed(Kind.DRAINING, "the stream has lasted its time"))


def random_delay_ms(least: int, most: int) -> int:
    """Pick the milliseconds after which a client comes back: spread, or all come at once."""
    return least + int((most - least) * random.random())  # noqa: S311


class SessionEnd:
    """The first end stays. It interrupts the task that reads the client's commands.

    One task serves a connection: with a reader of its own beside one that waits it would be two.
    """

    __slots__ = ("_end", "_timeout")

    def __init__(self) -> None:
        self._end: End | None = None
        self._timeout: asyncio.Timeout | None = None

    def set(self, end: End) -> None:
        """End the session. Idempotent."""
        if self._end is not None:
            return
        self._end = end
        if self._timeout is not None:
            self._timeout.reschedule(0)

    def stall(self) -> None:
        """End the session of a client that takes nothing."""
        self.set(STALLED)

    async def run(self, session: Coroutine[None, None, End]) -> End:
        """Run a session until it returns, or until `set` ends it; it is over when this returns.

        A cancellation from outside cancels the session and is passed on.
        """
        end: End | None = None
        try:
            # A deadline that is not set yet: asyncio tells its cancellation from all others.
            async with asyncio.timeout(None if self._end is None else 0) as self._timeout:
                end = await session
        except TimeoutError:
            if self._end is None:
                raise
        finally:
            self._timeout = None
        return self._end or end or End(EndReason.CLIENT_GONE)
