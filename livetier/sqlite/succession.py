"""One head of a result after another: the changes of every view that shares it."""

from collections.abc import Collection, Mapping
from functools import cached_property

from livetier.engine.one_row import OneRow
from livetier.engine.store import Step
from livetier.engine.value import Scalar
from livetier.engine.window import Row, edit_script
from livetier.sqlite.compile import SqlitePlan
from livetier.sqlite.literal import SqlValue
from livetier.sqlite.view import Head, SqliteView, maintained_view


class Succession:
    """``after`` follows ``before``.

    ``hidden`` has those rows of ``before`` that still match and are not in ``after``. ``changed``
    has the keys of the rows that have changed, if these are known.
    """

    def __init__(
        self,
        before: Head,
        after: Head,
        hidden: Mapping[Scalar, Row],
        changed: Collection[SqlValue] = (),
    ) -> None:
        self._after = after
        self._hidden = hidden
        self._one: OneRow | None = None
        if len(changed) == 1:
            (key,) = changed
            self._one = OneRow(before.rows, after.rows, key, hidden)

    def step(self, view: SqliteView, plan: SqlitePlan, as_of: int) -> Step[SqliteView]:
        """Return the step of a view that has shared the head before."""
        after, limit = maintained_view(plan, self._after, as_of), plan.query.limit
        if self._one is not None:
            return Step(view, after, self._one.script(limit))
        return Step(view, after, edit_script(view.rows, after.rows, limit, self._present))

    @cached_property
    def _present(self) -> Mapping[Scalar, Row]:
        return {**self._hidden, **{row.key: row for row in self._after.rows}}
