"""From one window to the next: the script of changes, as semantics.md tabulates it.

Pure. Laws of ``script(old, new, ...)``, each a property test:

- Applied one after the other, by index, the changes turn ``old`` into ``new``; every index is
  exact at its moment, and there are never more than ``limit`` + 1 rows.
- A change of a single row gives exactly the form of its line in the table: rows that changed and
  are no longer in view leave first, promoted rows enter behind them, and a row that an enter
  pushed out leaves behind it.
- A row whose sort key changed moves, even in place; one that only changed otherwise is updated.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from livequery.v1 import livequery_pb2 as pb
from livetier.value import SqlValue, text


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a query sees it: ``order`` is its value per sort key, then its key."""

    version: int
    json: bytes
    order: tuple[SqlValue, ...]

    @property
    def key(self) -> SqlValue:
        """The key as stored."""
        return self.order[-1]

    @property
    def id(self) -> str:
        """The row id on the wire."""
        return text(self.order[-1])


@dataclass(frozen=True, slots=True)
class Change:
    """One step; an index of -1 is outside the window, a missing row is unknown."""

    op: pb.DeltaOp
    key: SqlValue
    version: int
    row: Row | None
    old_index: int
    new_index: int


Window = tuple[Row, ...]


def enter(row: Row, index: int) -> Change:
    """Return the change that brings ``row`` in at ``index``."""
    return Change(pb.DELTA_OP_ENTER, row.key, row.version, row, -1, index)


def leave(row: Row, index: int) -> Change:
    """Return the change that takes out what is at ``index``, showing ``row``."""
    return Change(pb.DELTA_OP_LEAVE, row.key, row.version, row, index, -1)


def script(old: Window, new: Window, limit: int, hidden: Mapping[SqlValue, Row]) -> list[Change]:
    """Return the changes that lead from ``old`` to ``new``.

    ``hidden`` has the present state of those rows of ``old`` that still match the query but are
    out of view; a row of ``old`` that is in neither ``new`` nor ``hidden`` matches no more.
    """
    if old == new:
        return []
    return list(_Script(old, new, limit, hidden).run())


class _Script:
    """The window on its way: ``_now`` is the list of keys after the changes so far."""

    def __init__(
        self, old: Window, new: Window, limit: int, hidden: Mapping[SqlValue, Row]
    ) -> None:
        self._old = {row.key: row for row in old}
        self._new = new
        self._limit = limit
        self._hidden = hidden
        self._now = [row.key for row in old]

    def run(self) -> Iterator[Change]:
        staying = {row.key for row in self._new}
        leaving = [key for key in self._now if key not in staying]
        # Pushed out: unchanged, so only the rows before it can be the reason.
        pushed = [key for key in leaving if self._hidden.get(key) == self._old[key]]
        for key in reversed(leaving):
            if self._hidden.get(key) != self._old[key]:
                yield self._leave(key, self._hidden.get(key, self._old[key]))
        for place, row in enumerate(self._new):
            yield from self._settle(place, row)
            if len(self._now) > self._limit:
                key = pushed.pop()
                yield self._leave(key, self._old[key])
        while pushed:
            key = pushed.pop()
            yield self._leave(key, self._old[key])

    def _leave(self, key: SqlValue, shown: Row) -> Change:
        index = self._now.index(key)
        del self._now[index]
        return leave(shown, index)

    def _settle(self, place: int, row: Row) -> Iterator[Change]:
        """Bring ``row`` behind its predecessor, unless it stands in order already."""
        before = self._old.get(row.key)
        if before is row or before == row:
            return
        if before is None:
            index = self._behind(place)
            self._now.insert(index, row.key)
            yield enter(row, index)
            return
        old_index = new_index = self._now.index(row.key)
        op = pb.DELTA_OP_UPDATE
        if before.order != row.order:
            op = pb.DELTA_OP_MOVE
            del self._now[old_index]
            new_index = self._behind(place)
            self._now.insert(new_index, row.key)
        yield Change(op, row.key, row.version, row, old_index, new_index)

    def _behind(self, place: int) -> int:
        return self._now.index(self._new[place - 1].key) + 1 if place else 0


def membership(
    members: Mapping[SqlValue, int],
    present: Mapping[SqlValue, Row],
    changed: Mapping[SqlValue, int],
) -> list[Change]:
    """Return the streamed changes: what became of each of ``changed``, in that order.

    ``members`` are the versions of the rows that matched, ``present`` those of ``changed`` that
    match now; ``changed`` has each one's newest number, a vanished row's last version.
    """
    changes = []
    for key, number in changed.items():
        row = present.get(key)
        if row is None:
            if key in members:
                changes.append(Change(pb.DELTA_OP_UNMATCH, key, number, None, 0, 0))
        elif key not in members:
            changes.append(Change(pb.DELTA_OP_MATCH, key, row.version, row, 0, 0))
        elif members[key] != row.version:
            changes.append(Change(pb.DELTA_OP_UPDATE, key, row.version, row, 0, 0))
    return changes


def snapshot(rows: Iterable[Row], *, streamed: bool) -> Sequence[Change]:
    """Return the enters of a whole window (of a page, where indexes mean nothing)."""
    if streamed:
        return [Change(pb.DELTA_OP_ENTER, row.key, row.version, row, 0, 0) for row in rows]
    return [enter(row, index) for index, row in enumerate(rows)]
