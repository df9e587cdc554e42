"""ChangeTimes: when the changes were made that viewers have not been written yet."""

from typing import TypeAlias

Runs: TypeAlias = list[tuple[float, int]]
"""Times, seconds since the epoch, each with how many changes in a row are of that time."""


class ChangeTimes:
    """The times since the last `take`. Changes of one commit share a time, so they are counted."""

    __slots__ = ("_count", "_runs", "latest")

    def __init__(self) -> None:
        self._runs: list[tuple[float, int]] = []
        self._count = 0
        self.latest = 0.0
        """The time of the last change."""

    def add(self, at: float) -> None:
        """Add a change; 0 is no known time, and left out."""
        if not at:
            return
        if at != self.latest:
            self._end_run()
            self.latest = at
        self._count += 1

    def _end_run(self) -> None:
        if self._count:
            self._runs.append((self.latest, self._count))
            self._count = 0

    def take(self) -> Runs:
        """Return what was added since the last call."""
        self._end_run()
        self.latest = 0.0
        runs, self._runs = self._runs, []
        return runs
