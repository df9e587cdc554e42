"""HistoryLimiter: keeps the history of all subscriptions within one bound."""

import asyncio
from collections.abc import Collection
from typing import Final

from .subscription import Subscription

HISTORY_BYTES: Final = 128 * 1024 * 1024
"""Bytes of all logs together."""
INTERVAL: Final = 5.0
"""Seconds between two checks."""


class HistoryLimiter:
    """Checks at intervals, until it is stopped. `subscriptions` is the hub's own collection."""

    def __init__(
        self, subscriptions: Collection[Subscription], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._subscriptions = subscriptions
        self._loop = loop
        self._timer = loop.call_later(INTERVAL, self._check)

    def stop(self) -> None:
        """Check no more."""
        self._timer.cancel()

    def _check(self) -> None:
        """Shrink the logs that have not changed for the longest time first."""
        self._timer = self._loop.call_later(INTERVAL, self._check)
        total = sum(subscription.window.log.size for subscription in self._subscriptions)
        if total <= HISTORY_BYTES:
            return
        for subscription in sorted(self._subscriptions, key=lambda s: s.window.changed_at):
            while total > HISTORY_BYTES:
                before = subscription.window.log.size
                if not subscription.shrink_history():
                    break
                total -= before - subscription.window.log.size
