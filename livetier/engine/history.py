"""What one subscription was sent last, for a caller that lost its stream and resumes.

Laws: everything after ``start`` is held, from the newest back, within ``MOST_DELTAS``,
``MOST_BYTES`` and ``SECONDS``. Groups are those of the outbox, which subscriptions of one view
share.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from livequery.v1 import livequery_pb2 as pb

SECONDS: Final = 60.0
MOST_DELTAS: Final = 1024
MOST_BYTES: Final = 1 << 20

Group = Sequence[pb.LiveDelta]


def bytes_of(group: Group) -> int:
    """Return the bytes of a group's rows."""
    return sum(len(delta.row) for delta in group)


class SentHistory:
    """Groups as they were sent, each with the number of its first delta."""

    def __init__(self) -> None:
        self._from: int | None = None  # after this number everything is held; None: nothing
        self._groups: deque[tuple[float, int, Group]] = deque()
        self._deltas = self._bytes = 0

    def clear(self) -> None:
        """Forget everything: a reset is sent."""
        self._from = None
        self._groups.clear()
        self._deltas = self._bytes = 0

    def start(self, seq: int) -> None:
        """Hold what is sent after ``seq``, with which a snapshot was complete."""
        self.clear()
        self._from = seq

    def add(self, first_seq: int, group: Group, now: float) -> None:
        """Add a group that is about to be sent."""
        if self._from is None:
            return
        self._groups.append((now, first_seq, group))
        self._deltas += len(group)
        self._bytes += bytes_of(group)
        while self._groups and (
            self._deltas > MOST_DELTAS
            or self._bytes > MOST_BYTES
            or self._groups[0][0] < now - SECONDS
        ):
            _, first, oldest = self._groups.popleft()
            self._from = first + len(oldest) - 1
            self._deltas -= len(oldest)
            self._bytes -= bytes_of(oldest)

    def holds(self, seq: int) -> bool:
        """Return whether everything after ``seq`` is held."""
        return self._from is not None and self._from <= seq

    def since(self, seq: int) -> Iterator[tuple[int, Group]]:
        """Yield what was sent after ``seq``: the number of a first delta, and the deltas."""
        for _, first, group in tuple(self._groups):
            skipped = max(seq + 1 - first, 0)
            if skipped < len(group):
                yield first + skipped, group[skipped:]
