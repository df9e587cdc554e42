"""OutageLog: lost calls in the log, by replica: the cause first, counts after.

Invariants: an outage of a replica begins with a line that has the cause, and ends with one; in
between there is a line after 10 s, 20 s, 40 s and then every minute, however many subscriptions are
lost and however often each is tried again. It ends when each has stood for STABLE_AFTER. A
subscription belongs to one outage at a time.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

from .retry_policy import STABLE_AFTER

logger = logging.getLogger(__name__)

TICK = 1.0
"""Seconds between two looks at the outages."""
FIRST_INTERVAL, MAX_INTERVAL = 10.0, 60.0
"""Seconds until the first line of counts; the interval doubles up to the second."""
_MAX_NAME = 80
"""Characters of an entity's name in a line."""
_SHOWN_CAUSES = 3


@dataclass(slots=True)
class _Outage:
    began: float
    next_line: float
    interval: float = FIRST_INTERVAL
    healed_at: dict[Hashable, float | None] = field(default_factory=dict)  # None: still lost
    subscriptions: int = 0
    losses: int = 0
    causes: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        return sum(at is None for at in self.healed_at.values())

    def counts(self) -> str:
        causes = "; ".join(
            f"{cause} ({count})" for cause, count in self.causes.most_common(_SHOWN_CAUSES)
        )
        return f"{self.losses} calls of {self.subscriptions} subscriptions failed: {causes}"


class OutageLog:
    """Lost calls of all subscriptions. `who` is a subscription, while it lives."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._outages: dict[str, _Outage] = {}
        self._of: dict[Hashable, str] = {}
        self._timer: asyncio.TimerHandle | None = None

    def lost(self, who: Hashable, *, replica: str, entity: str, cause: str) -> None:
        """Note that a call failed. `replica` is empty where none was asked."""
        now = self._loop.time()
        replica = self._of.setdefault(who, replica)
        outage = self._outages.get(replica)
        if outage is None:
            outage = self._outages[replica] = _Outage(now, now + FIRST_INTERVAL)
            logger.info("%s: subscription to %s lost: %s", _name(replica), _clip(entity), cause)
            self._start_timer()
        outage.subscriptions += who not in outage.healed_at
        outage.healed_at[who] = None
        outage.losses += 1
        outage.causes[cause] += 1

    def back(self, who: Hashable) -> None:
        """Note that the window of a subscription is current again."""
        replica = self._of.get(who)
        if replica is not None:
            self._outages[replica].healed_at[who] = self._loop.time()

    def gone(self, who: Hashable) -> None:
        """Note that a subscription has ended."""
        replica = self._of.pop(who, None)
        if replica is not None:
            del self._outages[replica].healed_at[who]
        if not self._of and self._timer is not None:  # nobody is left to come back
            self._outages.clear()
            self._timer.cancel()
            self._timer = None

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(TICK, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._loop.time()
        for replica, outage in list(self._outages.items()):
            self._forget_stable(outage, now - STABLE_AFTER)
            if not outage.healed_at:
                del self._outages[replica]
                seconds = now - outage.began
                logger.info("%s: over after %.0f s: %s", _name(replica), seconds, outage.counts())
            elif now >= outage.next_line:
                outage.interval = min(2 * outage.interval, MAX_INTERVAL)
                outage.next_line = now + outage.interval
                logger.warning(
                    "%s: %d subscriptions lost, since %.0f s: %s",
                    _name(replica), outage.lost, now - outage.began, outage.counts(),
                )  # fmt: skip
        if self._outages:
            self._start_timer()

    def _forget_stable(self, outage: _Outage, healed_before: float) -> None:
        for who, at in list(outage.healed_at.items()):
            if at is not None and at <= healed_before:
                del outage.healed_at[who], self._of[who]


def _name(replica: str) -> str:
    return f"tier {replica}" if replica else "tier"


def _clip(entity: str) -> str:
    return entity if len(entity) <= _MAX_NAME else f"{entity[:_MAX_NAME]}…"
