"""Journal: what has happened to one subscription, for operators.

Invariant: a note belongs to one group of the window's log, by its position; the oldest are dropped.
"""

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from .observer import Observer

MAX_NOTES: Final = 1024


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
        self._notes: deque[Note] = deque(maxlen=MAX_NOTES)

    def note(self, at: float, position: int, cause: str) -> None:
        """Note groups up to a position of the log."""
        self._notes.append(Note(at, position, cause))

    def restart(self) -> None:
        """Forget the notes: the log begins anew."""
        self._notes.clear()

    def notes(self) -> Sequence[Note]:
        """Return the notes, the oldest first."""
        return tuple(self._notes)


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
