"""QueryLimiter: how many different queries the tier is asked, and for whom.

Invariants: a subscription is counted once in all, and once for each key that holds it; one that
lingers stays counted for the keys of its last holder. Before a limit refuses anything, lingering
subscriptions make room, the oldest first: nobody looks at them.
"""

from collections.abc import Callable, Collection, Hashable

from bridge.core.errors import Failed, Kind

from .backend import Identity
from .query_limits import QueryLimits
from .subscription import Subscription

RETRY_AFTER = 5.0
"""Seconds after which a refused client may try again."""


class QueryLimiter:
    """Counts for the hub. `close` closes a lingering subscription, which calls `ended`."""

    def __init__(self, limits: QueryLimits, close: Callable[[Subscription], None]) -> None:
        self._limits = limits
        self._close = close
        self._held: dict[Subscription, dict[Hashable, int]] = {}
        """Of each subscription: how many subscribers each key has."""
        self._lingering: dict[Subscription, tuple[Hashable, ...]] = {}
        """The keys of each one's last holder; the one that lingers longest is first."""
        self._queries: dict[Hashable, int] = {}
        self._subscriptions: dict[Hashable, int] = {}
        self.evicted = 0
        """Lingering subscriptions that were closed early."""

    @property
    def lingering(self) -> int:
        """The number of subscriptions that linger."""
        return len(self._lingering)

    # ------------------------------------------------------------ checks

    def check_subscriber(self, identity: Identity) -> None:
        """Refuse one more subscription of a client over its limit. Raises Failed."""
        limits, counts = self._limits, self._subscriptions
        for key, limit in (
            (identity.holder, limits.subscriptions_per_holder),
            (identity.address, limits.subscriptions_per_address),
        ):
            if limit and key and counts.get(key, 0) >= limit:
                raise _over("too many subscriptions of one client", "subscriptions_per_identity")

    def check_query(
        self,
        identity: Identity,
        found: Subscription | None = None,
        leaving: Subscription | None = None,
    ) -> None:
        """Make room for one more different query. Raises Failed where there is none.

        `found` is the subscription to it, where there is one. `leaving` is the one that its client
        leaves for it.
        """
        limits, counts = self._limits, self._queries
        for key, limit in (
            (identity.holder, limits.queries_per_holder),
            (identity.address, limits.queries_per_address),
        ):
            if not limit or not key or counts.get(key, 0) < limit or self._counts(found, key):
                continue
            moves = self._counts(leaving, key) == 1
            while counts.get(key, 0) - moves >= limit:
                if not self._evict(key):
                    raise _over("too many different queries of one client", "queries_per_identity")
        while found is None and 0 < limits.queries <= len(self._held) + len(self._lingering):
            if not self._evict():
                raise _over("the bridge has no room for another query", "queries")

    def check_change(
        self, held: Collection[tuple[Subscription, Identity | None]], identity: Identity
    ) -> None:
        """Make room for what a client holds to be another one's. Raises Failed where there is none.

        `held`: its subscriptions, each with the identity that it is counted for now.
        """
        limits = self._limits
        for key, most, most_queries in (
            (identity.holder, limits.subscriptions_per_holder, limits.queries_per_holder),
            (identity.address, limits.subscriptions_per_address, limits.queries_per_address),
        ):
            moved = [s for s, old in held if key and (old is None or key not in old.counted_as)]
            if not moved:
                continue
            if most and self._subscriptions.get(key, 0) + len(moved) > most:
                raise _over("too many subscriptions of one client", "subscriptions_per_identity")
            others = sum(not self._counts(subscription, key) for subscription in set(moved))
            while others and 0 < most_queries < self._queries.get(key, 0) + others:
                if not self._evict(key):
                    raise _over("too many different queries of one client", "queries_per_identity")

    def _counts(self, subscription: Subscription | None, key: Hashable) -> int:
        """Return for how many subscribers of a key a subscription is counted."""
        if subscription is None:
            return 0
        held = self._held.get(subscription)
        if held is not None:
            return held.get(key, 0)
        return key in self._lingering.get(subscription, ())

    def _evict(self, key: Hashable = None) -> bool:
        """Close the oldest lingering subscription, of one key or of any. Return whether one was."""
        for subscription, keys in self._lingering.items():
            if key is None or key in keys:
                self.evicted += 1
                self._close(subscription)
                return True
        return False

    # ------------------------------------------------------------ counts

    def hold(self, subscription: Subscription, identity: Identity) -> None:
        """Count a subscriber."""
        queries, subscriptions = self._queries, self._subscriptions
        if subscription in self._lingering:
            for key in self._lingering.pop(subscription):
                _subtract(queries, key)
        held = self._held.get(subscription)
        if held is None:
            held = self._held[subscription] = {}
        for key in identity.counted_as:
            if key in held:
                held[key] += 1
            else:
                held[key] = 1
                queries[key] = queries.get(key, 0) + 1
            subscriptions[key] = subscriptions.get(key, 0) + 1

    def release(self, subscription: Subscription, identity: Identity) -> None:
        """Count a subscriber no more."""
        held = self._held.get(subscription)
        for key in identity.counted_as:
            _subtract(self._subscriptions, key)
            if held is not None and not _subtract(held, key):
                _subtract(self._queries, key)

    def linger(self, subscription: Subscription, identity: Identity) -> None:
        """Count a subscription that was released as lingering, for its last holder."""
        self._held.pop(subscription, None)
        self._lingering[subscription] = keys = identity.counted_as
        for key in keys:
            self._queries[key] = self._queries.get(key, 0) + 1
        if self._limits.lingering and len(self._lingering) > self._limits.lingering:
            self._evict()

    def ended(self, subscription: Subscription) -> None:
        """Count a subscription no more. Idempotent; its subscribers are released later."""
        for key in (*self._lingering.pop(subscription, ()), *self._held.pop(subscription, ())):
            _subtract(self._queries, key)


def _subtract(counts: dict[Hashable, int], key: Hashable) -> int:
    """Subtract one, and keep no zeros. Return what is left."""
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
        return left
    counts.pop(key, None)
    return 0


def _over(message: str, limit: str) -> Failed:
    return Failed(Kind.QUOTA, message, retry_after=RETRY_AFTER, limit=limit)
