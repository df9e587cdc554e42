"""SocketLimiter: how many client connections may be open, on all listeners together."""

from collections.abc import Callable


class SocketLimiter:
    """Admits connections up to a limit, streams or not. 0 is no limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = limit
        self._counts: list[Callable[[], int]] = []
        self.admitted = 0
        """Connections so far."""

    def add(self, count: Callable[[], int]) -> None:
        """Add a listener; `count` returns how many connections it has open."""
        self._counts.append(count)

    def admit(self) -> bool:
        """Return whether one more connection may be open."""
        self.admitted += 1
        if not self._limit:
            return True
        # Connections are counted only when as many were accepted as there was room for.
        if self._room <= 0:
            self._room = self._limit - sum(count() for count in self._counts)
        if self._room <= 0:
            self.admitted -= 1
            return False
        self._room -= 1
        return True
