"""FaultLog: a word to the tier's author about what the bridge could not take as it came.

Invariants: at most one WARNING per query and cause in INTERVAL, and at most BURST at once over all
queries; the next line says how many were left out. What rows hold is logged at debug only.
"""

import asyncio
import logging

from bridge.core.query import LiveQuery
from bridge.core.token_bucket import TokenBucket

logger = logging.getLogger(__name__)

INTERVAL = 60.0
"""Seconds until the same cause is logged again for the same query."""
BURST, RATE = 20.0, 1 / 3
"""Lines at once, and lines a second, over all queries."""
_MAX_KEYS = 1000
_MAX_NAME = 80
_MAX_DETAIL = 300
_MAX_EXCERPT = 200


class FaultLog:
    """What tiers did wrong, in the log."""

    def __init__(self) -> None:
        self._now = asyncio.get_running_loop().time
        self._bucket = TokenBucket(rate=RATE, burst=BURST, clock=self._now)
        self._said_at: dict[tuple[LiveQuery, str], float] = {}
        self._left_out = 0

    def report(self, query: LiveQuery, cause: str, detail: str, excerpt: bytes = b"") -> None:
        """Log a fault in what the tier sent for a query. `detail`: op, id, index, expected, got."""
        if excerpt:
            logger.debug("%s of %s: %r", cause, query.entity[:_MAX_NAME], excerpt[:_MAX_EXCERPT])
        key, now = (query, cause), self._now()
        said_at = self._said_at.get(key)
        if (said_at is not None and now - said_at < INTERVAL) or not self._bucket.take():
            self._left_out += 1
            return
        self._said_at.pop(key, None)
        self._said_at[key] = now
        if len(self._said_at) > _MAX_KEYS:
            del self._said_at[next(iter(self._said_at))]
        left_out, self._left_out = self._left_out, 0
        logger.warning(
            "the tier's stream of %s: %s: %s%s",
            query.entity[:_MAX_NAME],
            cause,
            detail[:_MAX_DETAIL],
            _others(left_out),
        )


def _others(left_out: int) -> str:
    """Say how many faults were not logged; nothing where there were none."""
    return f" ({left_out} other{'s' * (left_out > 1)} not logged)" if left_out else ""
