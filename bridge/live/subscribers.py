"""Subscribers: who holds a subscription, and on whose identity the tier is asked.

Invariant: the next upstream call uses an identity of those that hold the subscription now, never
that of a subscriber that has left, or one that the tier has refused or that was withdrawn. Of
several it is the one that lasts longest; of those, the latest.
"""

from collections.abc import Callable, Hashable

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

    def identity_of(self, subscriber: Hashable) -> Identity | None:
        """Return a subscriber's identity; None if it is no subscriber."""
        return self._identities.get(subscriber)

    def remove(self, subscriber: Hashable) -> Identity | None:
        """Remove a subscriber. Return its identity; None if it was no subscriber."""
        return self._identities.pop(subscriber, None)

    def is_only(self, subscriber: Hashable) -> bool:
        """Return whether this is the only subscriber."""
        return len(self._identities) == 1 and subscriber in self._identities

    def best_identity(self) -> Identity | None:
        """Return the identity to ask the tier on. None: each was rejected, or there is none."""
        best: Identity | None = None
        for identity in self._identities.values():
            if identity not in self._rejected and (
                best is None or not lasts_longer(best, identity)
            ):
                best = identity
        return best

    def latest_identity(self) -> Identity:
        """Return the identity to ask the tier on, whatever is wrong with it."""
        return self.best_identity() or self._first

    def reject(self, identity: Identity) -> bool:
        """Note that the tier refused an identity. Return whether a subscriber has another one."""
        self._rejected.add(identity)
        self._forget_gone()
        return self.best_identity() is not None

    def withdraw(self, withdrawn: Callable[[Identity], bool]) -> bool:
        """Reject the identities that are withdrawn. Return whether there were any."""
        found = {identity for identity in self._identities.values() if withdrawn(identity)}
        self._rejected |= found
        self._forget_gone()
        return bool(found)

    def _forget_gone(self) -> None:
        self._rejected.intersection_update(self._identities.values())


def lasts_longer(one: Identity, other: Identity) -> bool:
    """Return whether one identity's credential expires later than another's."""
    if one.expires_at is None or other.expires_at is None:
        return one.expires_at is None and other.expires_at is not None
    return one.expires_at > other.expires_at
