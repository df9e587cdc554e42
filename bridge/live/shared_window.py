"""SharedWindow: one query's window and its history, shared by all viewers of a subscription.

Invariants: the log leads from its first rows to the rows held now; the cached snapshot and digest
are of the rows held now; nothing here awaits or writes.
"""

from collections.abc import Callable
from time import time

from bridge.core.bundle import Bundle
from bridge.core.diff import diff
from bridge.core.digest import digest
from bridge.core.frame import Frame
from bridge.core.group import Change, Group
from bridge.core.log import Log
from bridge.core.query import LiveQuery
from bridge.core.snapshot_cache import SnapshotCache
from bridge.core.streamed_set import Mirror, StreamedSet
from bridge.core.window import Rows, Window

from .change_times import ChangeTimes
from .journal import CHANGE, Journal
from .observer import Observer


class SharedWindow:
    """The mirror of a query's rows, and the log of their changes."""

    def __init__(self, query: LiveQuery, observer: Observer) -> None:
        self.observer = observer
        self.streamed = query.streamed
        self.log = Log(())
        """The changes, by position. A window that moves to another query begins a new log."""
        self.stale: str | None = None
        """Why the tier is lost, as streams are told: once that has lasted. None while it is not."""
        self.lost = False
        """Whether the tier is lost, from its first moment, for those who read once."""
        self.contradiction = ""
        """The delta that contradicted the window last, and what was expected; empty before."""
        self.changed_at = time()
        """When the log last grew, seconds since the epoch."""
        self.unwritten_times = ChangeTimes()
        """The times of changes that viewers have not been written yet."""
        self.journal = Journal()
        """What has happened to it, for operators."""
        self._mirror = _make_mirror(query)
        self._mirror_rows: Callable[[], Rows] = self._mirror.snapshot
        self._snapshot_cache = SnapshotCache()
        self._snapshot: Bundle | None = None
        self._digest: str | None = None

    def __len__(self) -> int:
        return len(self._mirror)

    @property
    def shareable(self) -> bool:
        """Whether newcomers can be sent the rows. False once a streamed set has no mirror."""
        return not (isinstance(self._mirror, StreamedSet) and self._mirror.full)

    def rows(self) -> Rows:
        """Return the rows now, as viewers know them."""
        return self._mirror_rows()

    def snapshot(self) -> Bundle:
        """Return reset + enters of the rows now. Encoded once per version of the window."""
        if self._snapshot is None:
            self._snapshot = self.log.bundle([self._snapshot_cache.group(self.rows())])
        return self._snapshot

    def digest(self) -> str | None:
        """Return the digest of the rows now, None where they have no order (streamed)."""
        if self._digest is None and not self.streamed:
            self._digest = digest(self.rows())
        return self._digest

    def apply(self, groups: list[Change]) -> tuple[str, ...]:
        """Apply source changes, and log them, repaired where necessary. Return the repairs."""
        mirror, log, times = self._mirror, self.log, self.unwritten_times
        window = mirror if isinstance(mirror, Window) else None
        before = log.head
        repairs: tuple[str, ...] = ()
        for group in groups:
            # Most changes are one, and need no result of their own.
            if window is not None and isinstance(group, Frame) and window.update_in_place(group):
                log.append(group, self._mirror_rows)
                times.add(group.at)
                continue
            applied = mirror.apply(group)
            if applied.repairs:
                for cause in applied.repairs:
                    self.journal.repairs[cause] += 1
                    self.observer.repaired(cause)
                repairs += applied.repairs
                self.contradiction = applied.misfit or self.contradiction
            if applied.group is not None:
                log.append(applied.group, self._mirror_rows)
                times.add(applied.group.at)
        if log.head > before:
            self._snapshot = self._digest = None
            self.changed_at = time()
            self.journal.note(self.changed_at, log.head, repairs[0] if repairs else CHANGE)
        return repairs

    def set_limit(self, limit: int) -> None:
        """Change the limit. Rows beyond it leave."""
        if isinstance(self._mirror, Window):
            self._mirror.limit = limit
            if len(self._mirror) > limit:
                self.apply([Group(())])  # the mirror evicts what is over its limit

    def replace(self, query: LiveQuery, rows: Rows) -> None:
        """Replace the rows, and not the log: follow with `begin_log` or `log_difference`."""
        self._mirror = _make_mirror(query, rows)
        self._mirror_rows = self._mirror.snapshot
        self._snapshot = self._digest = None
        self.stale, self.lost = None, False

    def begin_log(self) -> None:
        """Begin a new log at the rows now. Positions in the old one mean nothing in the new one."""
        self.log = Log(self.rows(), streamed=self.streamed)
        self.journal.restart()

    def log_difference(self, before: Rows, cause: str) -> None:
        """Log what leads from `before` to the rows now as one unnamed group, noted with its cause.

        Clients can't be replayed what was logged before it.
        """
        rows = self.rows()
        frames = self._snapshot_cache.group(rows).frames if self.streamed else diff(before, rows)
        if frames:
            self.log.append(Group(tuple(frames)), self.rows)
            self.changed_at = time()
            self.journal.note(self.changed_at, self.log.head, cause)
        self.log.invalidate_positions()


def _make_mirror(query: LiveQuery, rows: Rows = ()) -> Mirror:
    return StreamedSet(rows) if query.streamed else Window(query.limit, rows)
