"""Which windows the changes of a reading may touch (``engine.shortcuts``).

A row that a view does not know concerns it only if it is in the result now, and not after all that
the view knows.

Rows are only judged where the log tells of every change of them, and where Python compares as
SQLite does. No trigger sees a row that OR REPLACE deletes because of another unique column, so
tables with such a column are not judged.
"""

from collections.abc import Mapping

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
        # By order and sort columns, which many plans have in common, and key.
        self._places: dict[tuple[object, ...], tuple[object, ...] | None] = {}

    def passed_over(self, view: SqliteView) -> str:
        """Return why ``view`` can't have changed (see ``Shortcuts``); empty if it may have.

        The same holds for all views of that result that share its head.
        """
        known = view.keys
        reason = ""
        for key in self.keys:
            reason = "" if key in known else self._why_not(key, view)
            if not reason:
                break
        return reason

    def _why_not(self, key: SqlValue, view: SqliteView) -> str:
        """Return why a row that ``view`` does not know is not in it now either."""
        row = self._comparable.get(key)
        if row is None:
            return "gone"
        failed = view.plan.conditions.failed_by(row)
        if failed:
            return failed
        last = view.head.last
        if last is None:
            return ""
        place = self._place(key, view.plan)
        return "beyond" if place is not None and last < place else ""

    def _place(self, key: SqlValue, plan: SqlitePlan) -> tuple[object, ...] | None:
        """Return where a row sorts; None where Python can't tell."""
        name = plan.order, plan.places, key
        if name not in self._places:
            row = self._present[key]
            order = (*(row[sort.column.name] for sort in plan.sort), key)
            try:
                self._places[name] = plan.order(order)
            except NotComparableError:
                self._places[name] = None
        return self._places[name]


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
