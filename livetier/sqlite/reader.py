"""Readings: what plans show, with the log's position, in one transaction.

Everything here blocks and belongs to the database thread. Nothing is remembered between calls: a
view knows the log's number as of which it was read, its plan the schema it was compiled against.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from livetier.engine.errors import TierError, query_failed
from livetier.engine.merge import merge
from livetier.engine.shortcuts import Shortcuts
from livetier.engine.store import Position, Reading, Step
from livetier.engine.value import Scalar
from livetier.engine.window import Row, Window, edit_script, membership
from livetier.sqlite import changelog
from livetier.sqlite.changelog import Changes
from livetier.sqlite.compile import SqlitePlan, compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.fetch import Fetcher
from livetier.sqlite.order import NotComparableError
from livetier.sqlite.touch import ChangedRows, changed_rows
from livetier.sqlite.view import SqliteView, maintained_view

_log = logging.getLogger("livetier")

FEW_ROWS = 8
MERGE_SECONDS = 50e-6
"""What a changed row costs a merge, about. From FEW_ROWS on, a window is read where that was
cheaper the last time."""
RESERVE = 16
"""Rows after a window that are kept, so that it need not be read when one of its rows leaves."""


def first(connection: sqlite3.Connection, plan: SqlitePlan, shortcuts: Shortcuts) -> SqliteView:
    """Return the first view of ``plan``."""
    fetcher = Fetcher(connection)
    with _Transaction(connection) as position:
        if plan.streamed:
            return SqliteView(plan, as_of=position.seq, members=fetcher.versions(plan))
        known = fetcher.known(plan, (), reserve=_reserve(shortcuts))
        return maintained_view(plan, known, position.seq)


def page(connection: sqlite3.Connection, plan: SqlitePlan) -> Window:
    """Return the page of a streamed plan, as it is now."""
    return Fetcher(connection).known(plan, (), reserve=0).rows


def read(
    database: Database, views: Sequence[SqliteView], shortcuts: Shortcuts
) -> Reading[SqliteView]:
    """Return the steps of ``views`` to the end of the log.

    After a change of the schema every query is compiled again: its table may be another one, or
    dropped. A view whose query fails has an error in its step; the others go on.
    """
    connection = database.connection
    while True:
        schema = database.schema_version()
        if any(view.plan.schema != schema for view in views):
            # A change of the schema alone must have a position of its own.
            changelog.touch(connection, "")
        plans = [
            view.plan if view.plan.schema == schema else _compile_again(database, view.plan)
            for view in views
        ]
        with _Transaction(connection) as position:
            if database.schema_version() != schema:
                continue  # it changed again before the transaction began
            # A change that some view contains already makes no difference there.
            changes = changelog.since(connection, min(view.as_of for view in views))
            steps = _Steps(database, changes, position.seq, shortcuts)
            return Reading(position, list(steps.of(zip(views, plans, strict=True))))


def _compile_again(database: Database, plan: SqlitePlan) -> SqlitePlan | TierError:
    try:
        return compile_query(database, plan.query)
    except TierError as error:
        return error


def _reserve(shortcuts: Shortcuts) -> int:
    return RESERVE if shortcuts.on else 0


class _Transaction:
    """A read transaction; as a context manager it returns the log's position."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Position:
        self._connection.execute("BEGIN")
        return changelog.position(self._connection)

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")


class _Steps:
    """The steps of one reading."""

    def __init__(
        self, database: Database, changes: Changes, as_of: int, shortcuts: Shortcuts
    ) -> None:
        self._database = database
        self._fetcher = Fetcher(database.connection)
        self._changes = changes
        self._as_of = as_of
        self._shortcuts = shortcuts
        self._changed: dict[str, ChangedRows | None] = {}

    def of(
        self, plans: Iterable[tuple[SqliteView, SqlitePlan | TierError]]
    ) -> Iterable[Step[SqliteView]]:
        """Yield the step of each view that has a successor under its plan."""
        for view, plan in plans:
            if isinstance(plan, TierError):
                yield Step(view, view, error=plan)
            elif plan is not view.plan or self._changes.touches(plan.entity.name):
                yield self._step(view, plan)
            elif view.as_of != self._as_of:
                yield self._same(view)

    def _step(self, view: SqliteView, plan: SqlitePlan) -> Step[SqliteView]:
        try:
            changed = self._changed_rows(plan) if plan is view.plan else None
            if changed is not None and (reason := changed.passed_over(view)):
                self._shortcuts.taken[reason] += 1
                return self._same(view)
            if plan.streamed:
                return self._streamed(view, plan)
            merged = None if changed is None else self._merged(view, changed)
            return merged or self._read(view, plan)
        except sqlite3.Error as error:
            _log.warning("a query over %s failed: %s", plan.entity.name, error)
            return Step(view, view, error=query_failed())

    def _changed_rows(self, plan: SqlitePlan) -> ChangedRows | None:
        if not self._shortcuts.on:
            return None
        name = plan.entity.name
        if name not in self._changed:
            self._changed[name] = changed_rows(self._database, self._fetcher, plan, self._changes)
        return self._changed[name]

    def _same(self, view: SqliteView) -> Step[SqliteView]:
        return Step(view, replace(view, as_of=self._as_of))

    def _merged(self, view: SqliteView, changed: ChangedRows) -> Step[SqliteView] | None:
        """Return the step that follows from the changed rows alone; None if it takes a reading."""
        plan, limit = view.plan, view.plan.query.limit
        count = len(changed.keys)
        if count >= FEW_ROWS and count * MERGE_SECONDS > plan.cost.read_seconds:
            return None
        after, before = self._fetcher.located(plan, changed.keys)
        try:
            merged = merge(
                view.known, changed.keys, after, plan.order, needed=limit, kept=limit + RESERVE
            )
        except NotComparableError:
            return None
        if merged is None:
            return None
        self._shortcuts.taken["merged"] += 1
        hidden = {**merged.hidden, **{row.key: row for row in before}}
        return self._maintained(view, maintained_view(plan, merged.known, self._as_of), hidden)

    def _read(self, view: SqliteView, plan: SqlitePlan) -> Step[SqliteView]:
        """Read a window again."""
        self._shortcuts.read += 1
        # Rows encoded before can be used again while the columns are the same.
        before = view.known.rows if plan.entity == view.plan.entity else ()
        known = self._fetcher.known(plan, before, reserve=_reserve(self._shortcuts))
        keys = {row.key for row in known.rows}
        gone = [row.key for row in view.rows if row.key not in keys]
        hidden = self._fetcher.matching(plan, gone) if gone else {}
        return self._maintained(view, maintained_view(plan, known, self._as_of), hidden)

    @staticmethod
    def _maintained(
        before: SqliteView, after: SqliteView, hidden: Mapping[Scalar, Row]
    ) -> Step[SqliteView]:
        """Return a step; ``hidden`` has the rows that match and are not known to ``after``."""
        limit = after.plan.query.limit
        reserve = {row.key: row for row in after.known.rows[limit:]}
        return Step(
            before, after, edit_script(before.rows, after.rows, limit, {**hidden, **reserve})
        )

    def _streamed(self, view: SqliteView, plan: SqlitePlan) -> Step[SqliteView]:
        changes, fetcher = self._changes, self._fetcher
        changed = changes.ids.get(plan.entity.name, {})
        # A record without an id says that the table itself was changed.
        if changes.complete and changed and None not in changed:
            present = fetcher.matching(plan, changed)
            members = {key: number for key, number in view.members.items() if key not in changed}
            members.update((key, row.version) for key, row in present.items())
        else:
            present = fetcher.members(plan)
            members = {key: row.version for key, row in present.items()}
            known = {**view.members, **members}
            changed = {key: changed.get(key, number) for key, number in known.items()}
        found = membership(view.members, present, changed)
        return Step(view, SqliteView(plan, as_of=self._as_of, members=members), found)
