"""Ending: how a conversation ends, whoever says so first: the client, the tier, or the bridge."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Final

from bridge.core.errors import Failed, Kind
from bridge.live.stream_end import End, EndReason

from .context import STALLED

GRACE: Final = 5.0
"""Seconds that a client has to take what it was sent before its connection's end."""


def random_delay_ms(least: int, most: int) -> int:
    """Pick the milliseconds after which to come back: spread, or all would come at once."""
    return least + int((most - least) * random.random())  # noqa: S311


class SessionEnd:
    """The first word stays. Whoever says it interrupts the task that reads the client's messages.

    One task serves a socket: a reader of its own beside one that waits would be two for each.
    """

    __slots__ = ("_how", "_reading")

    def __init__(self) -> None:
        self._how: End | None = None
        self._reading: asyncio.Timeout | None = None

    def say(self, how: End) -> None:
        """End the conversation. Idempotent."""
        if self._how is not None:
            return
        self._how = how
        if self._reading is not None:
            self._reading.reschedule(0)

    def stall(self) -> None:
        """End it for a client that takes nothing."""
        self.say(STALLED)

    def drain(self) -> None:
        """End it for a bridge that goes."""
        self.say(End(EndReason.DRAINED, Failed(Kind.DRAINING, "the bridge is restarting")))

    async def of(self, reading: Coroutine[None, None, End]) -> End:
        """Read until the client ends it or somebody else has; the reading is over after.

        A cancellation from outside is one: it ends the reading and is passed on.
        """
        how: End | None = None
        try:
            # A deadline that nobody knows yet: asyncio tells this cancellation from all others.
            async with asyncio.timeout(None if self._how is None else 0) as self._reading:
                how = await reading
        except TimeoutError:
            if self._how is None:
                raise
        finally:
            self._reading = None
        return self._how or how or End(EndReason.CLIENT_GONE)
