"""Readings: what plans show, with the log's position, in one transaction.

Everything here blocks and belongs to the database thread. Nothing is remembered between calls: a
view knows the log's number as of which it was read, its plan the schema it was compiled against.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from livetier.engine.errors import TierError, query_failed
from livetier.engine.store import Position, Reading, Step, View
from livetier.engine.value import encode_row
from livetier.engine.window import Row, Window, edit_script, membership
from livetier.sqlite import changelog, sql
from livetier.sqlite.changelog import Changes
from livetier.sqlite.compile import SqlitePlan, compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.literal import SqlValue

_log = logging.getLogger("livetier")


@dataclass(frozen=True, slots=True)
class SqliteView(View):
    """A view as of number ``as_of`` of the change log.

    ``members`` has, in streamed mode, the version of every row that matched.
    """

    plan: SqlitePlan
    as_of: int = 0
    members: Mapping[SqlValue, int] = field(default_factory=dict)


def first(connection: sqlite3.Connection, plan: SqlitePlan) -> SqliteView:
    """Return the first view of ``plan``."""
    with _Transaction(connection) as position:
        if plan.streamed:
            return SqliteView(plan, as_of=position.seq, members=_versions(connection, plan))
        return SqliteView(plan, as_of=position.seq, rows=_window(connection, plan, ()))


def page(connection: sqlite3.Connection, plan: SqlitePlan) -> Window:
    """Return the page of a streamed plan, as it is now."""
    return _window(connection, plan, ())


def read(database: Database, views: Sequence[SqliteView]) -> Reading[SqliteView]:
    """Return the steps of ``views`` to the end of the log.

    After a change of the schema every query is compiled again: its table may be another one, or
    dropped. A view whose query fails has an error in its step; the others go on.
    """
    connection, schema = database.connection, database.schema_version()
    if any(view.plan.schema != schema for view in views):
        # A change of the schema alone must have a position of its own.
        changelog.touch(connection, "")
    plans = [
        view.plan if view.plan.schema == schema else _compile_again(database, view.plan)
        for view in views
    ]
    with _Transaction(connection) as position:
        # A change that some view contains already makes no difference there.
        changes = changelog.since(connection, min(view.as_of for view in views))
        steps = []
        for view, plan in zip(views, plans, strict=True):
            if isinstance(plan, TierError):
                steps.append(Step(view, view, error=plan))
            elif plan is not view.plan or changes.touches(plan.entity.name):
                steps.append(_step(connection, view, plan, changes, position.seq))
            elif view.as_of != position.seq:
                steps.append(Step(view, replace(view, as_of=position.seq)))
        return Reading(position, steps)


def _compile_again(database: Database, plan: SqlitePlan) -> SqlitePlan | TierError:
    try:
        return compile_query(database, plan.query)
    except TierError as error:
        return error


class _Transaction:
    """A read transaction; as a context manager it returns the log's position."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Position:
        self._connection.execute("BEGIN")
        return changelog.position(self._connection)

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")


def _step(
    connection: sqlite3.Connection,
    view: SqliteView,
    plan: SqlitePlan,
    changes: Changes,
    as_of: int,
) -> Step[SqliteView]:
    try:
        if plan.streamed:
            return _streamed_step(connection, view, plan, changes, as_of)
        return _maintained_step(connection, view, plan, as_of)
    except sqlite3.Error as error:
        _log.warning("a query over %s failed: %s", plan.entity.name, error)
        return Step(view, view, error=query_failed())


def _maintained_step(
    connection: sqlite3.Connection, view: SqliteView, plan: SqlitePlan, as_of: int
) -> Step[SqliteView]:
    # Rows encoded before can be used again while the columns are the same.
    known = view.rows if plan.entity == view.plan.entity else ()
    new = _window(connection, plan, known)
    staying = {row.key for row in new}
    gone = [row for row in view.rows if row.key not in staying]
    hidden = {}
    if gone:
        select = sql.matching(plan, [row.key for row in gone])
        hidden = {row.key: row for row in _fetch(connection, plan, select, gone)}
    found = edit_script(view.rows, new, plan.query.limit, hidden)
    return Step(view, SqliteView(plan, rows=new, as_of=as_of), found)


def _streamed_step(
    connection: sqlite3.Connection,
    view: SqliteView,
    plan: SqlitePlan,
    changes: Changes,
    as_of: int,
) -> Step[SqliteView]:
    changed = changes.ids.get(plan.entity.name, {})
    # A record without an id says that the table itself was changed.
    if changes.complete and changed and None not in changed:
        rows = _fetch(connection, plan, sql.matching(plan, changed), ())
        present = {row.key: row for row in rows}
        members = {key: number for key, number in view.members.items() if key not in changed}
        members.update((key, row.version) for key, row in present.items())
    else:
        present = {
            row.key: row for row in _fetch(connection, plan, sql.members(plan, columns=True), ())
        }
        members = {key: row.version for key, row in present.items()}
        known = {**view.members, **members}
        changed = {key: changed.get(key, number) for key, number in known.items()}
    found = membership(view.members, present, changed)
    return Step(view, SqliteView(plan, as_of=as_of, members=members), found)


def _window(connection: sqlite3.Connection, plan: SqlitePlan, before: Iterable[Row]) -> Window:
    return _fetch(connection, plan, sql.window(plan), before)


def _versions(connection: sqlite3.Connection, plan: SqlitePlan) -> dict[SqlValue, int]:
    select = sql.members(plan, columns=False)
    return dict(connection.execute(select.text, select.params).fetchall())


def _fetch(
    connection: sqlite3.Connection, plan: SqlitePlan, select: sql.Select, before: Iterable[Row]
) -> Window:
    """Run ``select``; a row that ``before`` contains in the same version is not encoded again."""
    known = {row.key: row for row in before}
    names = tuple(column.name for column in plan.entity.columns)
    places = [names.index(key.column.name) for key in plan.sort]
    rows = []
    for key, version, *values in connection.execute(select.text, select.params):
        row = known.get(key)
        if row is None or row.version != version:
            order = (*(values[place] for place in places), key)
            row = Row(version, encode_row(names, tuple(values)), order)
        rows.append(row)
    return tuple(rows)
