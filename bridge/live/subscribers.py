"""Subscribers: who holds a subscription, and on whose identity the tier is asked.

Invariant: the next upstream call uses the latest identity among those that hold the subscription
now, never that of a subscriber that has left, or one that the tier has refused.
"""

from collections.abc import Hashable

from .backend import Identity


class Subscribers:
    """Identities by subscriber, in the order they came. `first` is used while there are none."""

    def __init__(self, first: Identity) -> None:
        self._first = first
        self._identities: dict[Hashable, Identity] = {}
        self._rejected: set[Identity] = set()

    def __len__(self) -> int:
        return len(self._identities)

    def add(self, subscriber: Hashable, identity: Identity) -> Identity | None:
        """Add a subscriber, or replace its identity by a newer one. Return the one before."""
        before = self._identities.pop(subscriber, None)
        self._identities[subscriber] = identity
        return before

    def remove(self, subscriber: Hashable) -> Identity | None:
        """Remove a subscriber. Return its identity; None if it was no subscriber."""
        return self._identities.pop(subscriber, None)

    def is_only(self, subscriber: Hashable) -> bool:
        """Return whether this is the only subscriber."""
        return len(self._identities) == 1 and subscriber in self._identities

    def latest_identity(self) -> Identity:
        """Return the latest identity that was not rejected."""
        for identity in reversed(self._identities.values()):
            if identity not in self._rejected:
                return identity
        return self._first

    def reject(self, identity: Identity) -> bool:
        """Note that the tier refused an identity. Return whether a subscriber has another one."""
        self._rejected.add(identity)
        return any(other not in self._rejected for other in self._identities.values())
