"""Subscriptions whose stream has ended, kept for a caller that resumes.

Laws: one is kept for ``SECONDS``; at most ``MOST`` are, the newest; who leaves is told to
``release``, unless it was taken.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Generic

from livetier.engine.history import SECONDS
from livetier.engine.store import ViewT
from livetier.engine.subscription import Subscription

MOST: Final = 256


class Parked(Generic[ViewT]):
    """By id, the oldest first."""

    def __init__(self, release: Callable[[Subscription[ViewT]], Any]) -> None:
        self._release = release
        self._timers: dict[str, tuple[Subscription[ViewT], asyncio.TimerHandle]] = {}

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._timers

    def __len__(self) -> int:
        return len(self._timers)

    def park(self, subscription: Subscription[ViewT]) -> None:
        """Keep a subscription."""
        timer = asyncio.get_running_loop().call_later(SECONDS, self.drop, subscription.id)
        self._timers[subscription.id] = subscription, timer
        if len(self._timers) > MOST:
            self.drop(next(iter(self._timers)))

    def take(self, identifier: str) -> None:
        """Keep a subscription no more: it has a stream again. Idempotent."""
        _, timer = self._timers.pop(identifier, (None, None))
        if timer is not None:
            timer.cancel()

    def drop(self, identifier: str) -> None:
        """Release a subscription. Idempotent."""
        subscription, timer = self._timers.pop(identifier, (None, None))
        if subscription is not None and timer is not None:
            timer.cancel()
            self._release(subscription)

    def close(self) -> None:
        """Release all."""
        for identifier in list(self._timers):
            self.drop(identifier)
