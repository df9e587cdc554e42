"""Which windows the changes of a reading may touch (``engine.shortcuts``).

A row that a view does not know concerns it only if it is in the result now, and not after all that
the view knows.

Rows are only judged where the log tells of every change of them, and where Python compares as
SQLite does. No trigger sees a row that OR REPLACE deletes because of another unique column, so
tables with such a column are not judged.
"""

from collections.abc import Mapping

from livetier.engine.shortcuts import may_match
from livetier.engine.window import Row
from livetier.sqlite.changelog import Changes
from livetier.sqlite.compile import SqlitePlan
from livetier.sqlite.database import Database
from livetier.sqlite.fetch import Fetcher
from livetier.sqlite.literal import SqlValue
from livetier.sqlite.order import Comparable, NotComparableError, comparable, lossy
from livetier.sqlite.view import SqliteView

MOST_ROWS = 64
"""Changed rows of a table beyond which its windows are read: that is cheaper then."""


class ChangedRows:
    """The rows of one table that have changed: ``keys``, and the columns of those that exist."""

    def __init__(
        self, keys: frozenset[SqlValue], present: Mapping[SqlValue, Mapping[str, SqlValue]]
    ) -> None:
        self.keys = keys
        self._present = present
        self._comparable: dict[SqlValue, dict[str, Comparable]] = {
            key: {name: found for name, value in row.items() if (found := comparable(value))}
            for key, row in present.items()
        }

    def passed_over(self, view: SqliteView) -> str:
        """Return why ``view`` can't have changed (see ``Shortcuts``); empty if it may have."""
        known = view.members if view.plan.streamed else view.keys
        reason = ""
        for key in self.keys:
            reason = "" if key in known else self._why_not(key, view)
            if not reason:
                break
        return reason

    def _why_not(self, key: SqlValue, view: SqliteView) -> str:
        """Return why a row that ``view`` does not know is not in it now either."""
        row = self._present.get(key)
        if row is None:
            return "gone"
        if not may_match(view.plan.equal, self._comparable[key]):
            return "unequal"
        return "beyond" if self._is_beyond(key, row, view) else ""

    @staticmethod
    def _is_beyond(key: SqlValue, row: Mapping[str, SqlValue], view: SqliteView) -> bool:
        known = view.known
        if view.plan.streamed or known.complete or not known.rows:
            return False
        order = view.plan.order
        place = (*(row[sort.column.name] for sort in view.plan.sort), key)
        try:
            return order(known.rows[-1]) < order(Row(0, b"", place))
        except NotComparableError:
            return False


def changed_rows(
    database: Database, fetcher: Fetcher, plan: SqlitePlan, changes: Changes
) -> ChangedRows | None:
    """Return the changed rows of a plan's table; None if they can't be judged."""
    keys = frozenset(changes.ids.get(plan.entity.name, ()))
    if (
        not changes.complete
        or not 0 < len(keys) <= MOST_ROWS
        or None in keys  # the table itself was changed
        or not database.compares_text
        or plan.entity.other_unique
        or any(lossy(key) for key in keys)
    ):
        return None
    return ChangedRows(keys, fetcher.values(plan, keys))
