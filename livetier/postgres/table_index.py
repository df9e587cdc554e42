"""The windows over one table, found by a changed row. Pure."""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping

from livetier.engine.predicate_index import PredicateIndex
from livetier.engine.shortcuts import may_match
from livetier.postgres.pgoutput import Text
from livetier.postgres.transaction import Key, TupleChange, key_of

Beyond = Callable[[Hashable, Mapping[str, Text]], bool]
"""Whether a row that a window does not show sorts after the window's last row."""


class TableIndex:
    """Windows by their equality conditions and by the keys of the rows they show.

    What a change does to a window that is current: its new row may belong there, if the window's
    conditions may hold for it; and its old row was there exactly if the window shows its key. A
    window that is due (``mark``) will show other rows, so it is touched by everything.

    ``judged`` has the columns by which rows are ruled out, and for how many windows.
    """

    def __init__(self, key_columns: tuple[str, ...], before: "TableIndex | None" = None) -> None:
        self.key_columns = key_columns
        self.windows: dict[Hashable, Mapping[str, frozenset[bytes]]] = {}
        self._conditions = PredicateIndex()
        self._showing: dict[Key, set[Hashable]] = {}
        self._due: set[Hashable] = set()
        self.columns: dict[Hashable, Collection[str]] = {}
        self.judged: Counter[str] = Counter()
        if before is not None:  # the table's key was changed: they are forced, then added anew
            for window, conditions in before.windows.items():
                self.add(window, conditions, (), before.columns[window])
                self._due.add(window)

    def add(
        self,
        window: Hashable,
        conditions: Mapping[str, frozenset[bytes]],
        keys: Iterable[Key],
        columns: Collection[str] = (),
    ) -> None:
        """Add a window that shows ``keys`` and judges rows by ``columns``, too."""
        self.windows[window] = conditions
        self.columns[window] = columns
        self.judged.update({*conditions, *columns})
        self._conditions.add(window, conditions)
        for key in keys:
            self._showing.setdefault(key, set()).add(window)

    def remove(self, window: Hashable, keys: Iterable[Key]) -> None:
        """Remove a window that shows ``keys``."""
        conditions = self.windows.pop(window, {})
        self.judged.subtract({*conditions, *self.columns.pop(window, ())})
        self._conditions.remove(window)
        self._due.discard(window)
        self._hide(window, keys)

    def rekey(self, window: Hashable, before: Iterable[Key], after: Iterable[Key]) -> None:
        """Say that a window now shows other keys."""
        if before == after:
            return
        old, new = set(before), set(after)
        self._hide(window, old - new)
        for key in new - old:
            self._showing.setdefault(key, set()).add(window)

    def mark(self, window: Hashable, *, due: bool) -> None:
        """Say whether a window is due."""
        if due:
            self._due.add(window)
        else:
            self._due.discard(window)

    def touched_by(self, changes: Iterable[TupleChange], beyond: Beyond) -> set[Hashable]:
        """Return the windows that ``changes`` may touch."""
        touched = set(self._due)
        for change in changes:
            if change.old is not None:
                key = key_of(change.old, self.key_columns)
                if key is None:
                    return set(self.windows)
                touched |= self._showing.get(key, set())
            if change.new is not None:
                for window in self._conditions.matching(change.new) - touched:
                    if not beyond(window, change.new):
                        touched.add(window)
        return touched

    def touches(self, window: Hashable, changes: Iterable[TupleChange], beyond: Beyond) -> bool:
        """Return whether ``changes`` may touch one window that is not due."""
        for change in changes:
            if change.old is not None:
                key = key_of(change.old, self.key_columns)
                if key is None or window in self._showing.get(key, ()):
                    return True
            if (
                change.new is not None
                and self._may_hold(window, change.new)
                and not beyond(window, change.new)
            ):
                return True
        return False

    def _may_hold(self, window: Hashable, row: Mapping[str, Text]) -> bool:
        return may_match(self.windows[window], row)

    def _hide(self, window: Hashable, keys: Iterable[Key]) -> None:
        for key in keys:
            showing = self._showing.get(key)
            if showing is not None:
                showing.discard(window)
                if not showing:
                    del self._showing[key]
