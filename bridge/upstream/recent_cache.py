"""RecentCache: what was made of some bytes lately."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class RecentCache(Generic[T]):
    """Keeps what `make` returned for the last `size` keys that were asked for, and as many again.

    Not the order of each use is kept, as a cache of the least recently used does: that costs more
    than the look-up. Once `size` keys are new, those that were not asked for since are dropped.
    """

    def __init__(self, make: Callable[[bytes], T], size: int) -> None:
        self._make = make
        self._size = size
        self._new: dict[bytes, T] = {}
        self._old: dict[bytes, T] = {}

    def get(self, key: bytes) -> T:
        """Return what is kept for a key, or make it."""
        value = self._new.get(key)
        return self._renew(key) if value is None else value

    def _renew(self, key: bytes) -> T:
        if len(self._new) >= self._size:
            self._new, self._old = {}, self._new
        value = self._old.get(key)
        if value is None:
            value = self._make(key)
        self._new[key] = value
        return value
