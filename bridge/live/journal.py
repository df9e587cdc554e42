"""Journal: what has happened to one subscription, for operators.

Invariant: a note belongs to one group of the window's log, by its position; the oldest are dropped.
Most notes are of plain changes, which take 16 bytes each.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from .observer import Observer

MAX_NOTES: Final = 1024
CHANGE: Final = "change"
"""The cause of a group that is passed on as the tier sent it."""


class Note(NamedTuple):
    """When groups came, the log's position after them, and why there were any."""

    at: float
    """Seconds since the epoch."""
    position: int
    cause: str


class Journal:
    """Counts by cause, and the notes of the groups that the log holds."""

    def __init__(self) -> None:
        self.resets: Counter[str] = Counter()
        """Windows that the tier sent."""
        self.repairs: Counter[str] = Counter()
        """Repairs of what the tier sent."""
        self.resubscribes: Counter[str] = Counter()
        """Upstream calls that were replaced by another."""
        self.lag: float | None = None
        """Seconds from the last change at the tier to its write to viewers."""
        self._times, self._positions = array("d"), array("q")
        self._causes: dict[int, str] = {}  # by position; of other causes than CHANGE

    def note(self, at: float, position: int, cause: str = CHANGE) -> None:
        """Note groups up to a position of the log."""
        if len(self._times) >= 2 * MAX_NOTES:
            for dropped in self._positions[:MAX_NOTES]:
                self._causes.pop(dropped, None)
            del self._times[:MAX_NOTES], self._positions[:MAX_NOTES]
        self._times.append(at)
        self._positions.append(position)
        if cause != CHANGE:
            self._causes[position] = cause

    def restart(self) -> None:
        """Forget the notes: the log begins anew."""
        del self._times[:], self._positions[:]
        self._causes.clear()

    def notes(self) -> Sequence[Note]:
        """Return the notes, the oldest first."""
        return [
            Note(at, position, self._causes.get(position, CHANGE))
            for at, position in zip(self._times, self._positions, strict=True)
        ]


class JournalObserver(Observer):
    """Reports the events of an upstream session to an observer, and counts them in a journal."""

    def __init__(self, observer: Observer, journal: Journal) -> None:
        self._observer = observer
        self._journal = journal

    def subscribed(self) -> None:
        """Note that an upstream call was opened."""
        self._observer.subscribed()

    def unsubscribed(self) -> None:
        """Note that an upstream call is closed."""
        self._observer.unsubscribed()

    def repaired(self, cause: str) -> None:
        """Note and count a repair."""
        self._journal.repairs[cause] += 1
        self._observer.repaired(cause)

    def resubscribed(self, cause: str) -> None:
        """Note and count a call that is lost and replaced by another."""
        self._journal.resubscribes[cause] += 1
        self._observer.resubscribed(cause)

    def offered(self, *, granted: bool) -> None:
        """Note that the tier answered a resume offer."""
        self._observer.offered(granted=granted)
