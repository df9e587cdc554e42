"""Windows, and the edit script from one window to the next (docs/semantics.md has the table).

Pure. Laws of ``edit_script(old, new, ...)``, each a property test:

- Applied one after the other, by index, the changes turn ``old`` into ``new``. Every index is
  exact at its moment. There are never more than ``limit`` + 1 rows.
- A change of a single row gives exactly the form of its line in the table. Rows that changed and
  are no longer in view leave first; promoted rows enter after that. A row that an enter pushed
  out leaves directly after the enter.
- A row whose sort key changed moves, even in place. A row that changed otherwise is updated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.value import Scalar, encode_key


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a query sees it. ``order`` has its value for each sort key, then its key.

    ``version`` grows with every change of the row; ``json`` is the row as it is sent; ``key`` is
    the key as stored.
    """

    version: int
    json: bytes
    order: tuple[Scalar, ...]
    key: Scalar = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Read far more often than rows are made.
        object.__setattr__(self, "key", self.order[-1])

    @property
    def id(self) -> str:
        """The row id on the wire."""
        return encode_key(self.key)


@dataclass(frozen=True, slots=True)
class Change:
    """One delta of a script; an index of -1 is outside the window, a row of None is unknown."""

    op: pb.DeltaOp
    key: Scalar
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


def edit_script(
    old: Window, new: Window, limit: int, hidden: Mapping[Scalar, Row]
) -> Sequence[Change]:
    """Return the changes that lead from ``old`` to ``new``.

    ``hidden`` has the present state of those rows of ``old`` that still match the query but are
    out of view. A row of ``old`` that is in neither ``new`` nor ``hidden`` no longer matches.
    """
    if old == new:
        return []
    return list(_EditScript(old, new, limit, hidden).run())


class _EditScript:
    """A script being made: ``_now`` has the keys of the window after the changes so far."""

    def __init__(self, old: Window, new: Window, limit: int, hidden: Mapping[Scalar, Row]) -> None:
        self._old = {row.key: row for row in old}
        self._new = new
        self._limit = limit
        self._hidden = hidden
        self._now = [row.key for row in old]

    def run(self) -> Iterator[Change]:
        staying = {row.key for row in self._new}
        leaving = [key for key in self._now if key not in staying]
        # Unchanged rows that leave: the rows before them push them out.
        pushed = [key for key in leaving if self._hidden.get(key) == self._old[key]]
        for key in reversed(leaving):
            if self._hidden.get(key) != self._old[key]:
                yield self._leave(key, self._hidden.get(key, self._old[key]))
        old = self._old
        # Most rows are the very ones of before.
        for place in [at for at, row in enumerate(self._new) if old.get(row.key) is not row]:
            yield from self._put(place, self._new[place])
            if len(self._now) > self._limit:
                key = pushed.pop()
                yield self._leave(key, self._old[key])
        while pushed:
            key = pushed.pop()
            yield self._leave(key, self._old[key])

    def _leave(self, key: Scalar, row: Row) -> Change:
        index = self._now.index(key)
        del self._now[index]
        return leave(row, index)

    def _put(self, place: int, row: Row) -> Iterator[Change]:
        """Put ``row`` directly after its predecessor, unless it is unchanged."""
        before = self._old.get(row.key)
        if before == row:
            return
        if before is None:
            index = self._index_after(place)
            self._now.insert(index, row.key)
            yield enter(row, index)
            return
        old_index = new_index = self._now.index(row.key)
        op = pb.DELTA_OP_UPDATE
        if before.order != row.order:
            op = pb.DELTA_OP_MOVE
            del self._now[old_index]
            new_index = self._index_after(place)
            self._now.insert(new_index, row.key)
        yield Change(op, row.key, row.version, row, old_index, new_index)

    def _index_after(self, place: int) -> int:
        """Return the index after the row that precedes ``place`` in the new window."""
        return self._now.index(self._new[place - 1].key) + 1 if place else 0


def membership(
    members: Mapping[Scalar, int],
    present: Mapping[Scalar, Row],
    changed: Mapping[Scalar, int],
) -> Sequence[Change]:
    """Return the changes of streamed mode, in the order of ``changed``.

    ``members`` has the versions of the rows that matched; ``present`` has the rows of ``changed``
    that match now; ``changed`` has the newest version of each key, deleted rows included.
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
