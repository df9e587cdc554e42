"""QueryLimiter: how many different queries the tier is asked, and for whom.

Invariants: a subscription is counted once in all, and once for each key that holds it; one that
lingers stays counted for the keys of its last holder. Before a limit refuses anything, lingering
subscriptions make room, the oldest first: nobody looks at them.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator

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
        self._held: dict[Subscription, Counter[Hashable]] = {}
        """Of each subscription: how many subscribers each key has."""
        self._lingering: dict[Subscription, tuple[Hashable, ...]] = {}
        """The keys of each one's last holder; the one that lingers longest is first."""
        self._queries: Counter[Hashable] = Counter()
        self._subscriptions: Counter[Hashable] = Counter()
        self.evicted = 0
        """Lingering subscriptions that were closed early."""

    @property
    def lingering(self) -> int:
        """The number of subscriptions that linger."""
        return len(self._lingering)

    # ------------------------------------------------------------ checks

    def check_subscriber(self, identity: Identity) -> None:
        """Refuse one more subscription of a client over its limit. Raises Failed."""
        limits = self._limits
        pairs = limits.subscriptions_per_holder, limits.subscriptions_per_address
        for key, limit in _keys(identity, *pairs):
            if self._subscriptions[key] >= limit:
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
        limits = self._limits
        pairs = limits.queries_per_holder, limits.queries_per_address
        for key, limit in _keys(identity, *pairs):
            if self._counts(found, key):
                continue
            moves = self._counts(leaving, key) == 1
            while self._queries[key] - moves >= limit:
                if not self._evict(key):
                    raise _over("too many different queries of one client", "queries_per_identity")
        while found is None and 0 < limits.queries <= len(self._held) + len(self._lingering):
            if not self._evict():
                raise _over("the bridge has no room for another query", "queries")

    def _counts(self, subscription: Subscription | None, key: Hashable) -> int:
        """Return for how many subscribers of a key a subscription is counted."""
        if subscription is None:
            return 0
        held = self._held.get(subscription)
        return held[key] if held is not None else key in self._lingering.get(subscription, ())

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
        for key in self._lingering.pop(subscription, ()):
            self._forget(self._queries, key)
        held = self._held.setdefault(subscription, Counter())
        for key in identity.counted_as:
            self._queries[key] += not held[key]
            held[key] += 1
            self._subscriptions[key] += 1

    def release(self, subscription: Subscription, identity: Identity) -> None:
        """Count a subscriber no more."""
        held = self._held.get(subscription)
        for key in identity.counted_as:
            self._forget(self._subscriptions, key)
            if held is not None and not self._forget(held, key):
                self._forget(self._queries, key)

    def linger(self, subscription: Subscription, identity: Identity) -> None:
        """Count a subscription that was released as lingering, for its last holder."""
        self._held.pop(subscription, None)
        self._lingering[subscription] = identity.counted_as
        for key in identity.counted_as:
            self._queries[key] += 1
        if self._limits.lingering and len(self._lingering) > self._limits.lingering:
            self._evict()

    def ended(self, subscription: Subscription) -> None:
        """Count a subscription no more. Idempotent; its subscribers are released later."""
        for key in (*self._lingering.pop(subscription, ()), *self._held.pop(subscription, ())):
            self._forget(self._queries, key)

    @staticmethod
    def _forget(counts: Counter[Hashable], key: Hashable) -> int:
        """Subtract one, and keep no zeros. Return what is left."""
        left = counts[key] - 1
        if left > 0:
            counts[key] = left
        else:
            counts.pop(key, None)
        return max(left, 0)


def _keys(identity: Identity, per_holder: int, per_address: int) -> Iterator[tuple[Hashable, int]]:
    """Return what a client is counted as, each with its limit, where there is one."""
    if identity.holder is not None and per_holder:
        yield identity.holder, per_holder
    if identity.address and per_address:
        yield identity.address, per_address


def _over(message: str, limit: str) -> Failed:
    return Failed(Kind.QUOTA, message, retry_after=RETRY_AFTER, limit=limit)
