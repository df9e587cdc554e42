"""Reading: what queries see, with the log's position, in one transaction.

A ``View`` is what is remembered per query between two readings; ``read`` turns the views of the
last reading into those of this one and says what lies between. It blocks; it belongs to the
database's thread.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from livetier import changelog, sql, window
from livetier.changelog import Changes, Position
from livetier.database import Database
from livetier.errors import TierError, unavailable
from livetier.query import Plan, compile_query
from livetier.value import SqlValue, row_json
from livetier.window import Change, Row, Window

_log = logging.getLogger("livetier")


@dataclass(frozen=True, slots=True)
class View:
    """What a query showed: the window, or (streamed) the version of every row that matched."""

    plan: Plan
    rows: Window = ()
    members: Mapping[SqlValue, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """A view, its successor and the changes between them; or why there is no successor."""

    before: View
    after: View
    changes: Sequence[Change] = ()
    error: TierError | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Where the log stood, under which schema, and a step for each view that may have changed."""

    position: Position
    schema: int
    steps: Sequence[Step]


def first(connection: sqlite3.Connection, plan: Plan) -> tuple[Position, View]:
    """Return the first view of ``plan`` and its place in the log."""
    with _Transaction(connection) as position:
        if plan.streamed:
            return position, View(plan, members=_versions(connection, plan))
        return position, View(plan, rows=_window(connection, plan, ()))


def page(connection: sqlite3.Connection, plan: Plan) -> Window:
    """Return a streamed plan's page, as it is now."""
    return _window(connection, plan, ())


def read(database: Database, after: Position, schema: int, views: Sequence[View]) -> Reading:
    """Return what became of ``views`` since ``after``, when the schema was ``schema``.

    Remembers nothing: what comes of a reading that failed or was cancelled, the next one tells.
    After a change of the schema every query is compiled anew: its table may be another, or gone.
    A view that the database will not answer for has an error in its step; the others go on.
    """
    current = database.schema_version()
    renewed = current != schema
    if renewed:
        # What a change of the schema alone shows needs a position of its own.
        changelog.touch(database.connection, "")
    plans = [_renew(database, view.plan) if renewed else view.plan for view in views]
    with _Transaction(database.connection) as position:
        changes = changelog.since(database.connection, after.seq)
        steps = []
        for view, plan in zip(views, plans, strict=True):
            if isinstance(plan, TierError):
                steps.append(Step(view, view, error=plan))
            elif renewed or changes.touches(plan.entity.name):
                steps.append(_guarded_step(database.connection, view, plan, changes))
        return Reading(position, current, steps)


def _renew(database: Database, plan: Plan) -> Plan | TierError:
    try:
        return compile_query(database, plan.query)
    except TierError as error:
        return error


class _Transaction:
    """A read transaction; entering it yields the log's position in it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> Position:
        self._connection.execute("BEGIN")
        return changelog.position(self._connection)

    def __exit__(self, *_: object) -> None:
        self._connection.execute("COMMIT")


def _guarded_step(connection: sqlite3.Connection, view: View, plan: Plan, changes: Changes) -> Step:
    try:
        step = _streamed_step if plan.streamed else _maintained_step
        return step(connection, view, plan, changes)
    except sqlite3.Error as error:
        _log.warning("a query over %s failed: %s", plan.entity.name, error)
        failure = unavailable("DATABASE_FAILED", "the query could not be run")
        return Step(view, view, error=failure)


def _maintained_step(connection: sqlite3.Connection, view: View, plan: Plan, _: Changes) -> Step:
    # Rows as encoded before are good for the same columns only.
    known = view.rows if plan.entity == view.plan.entity else ()
    new = _window(connection, plan, known)
    staying = {row.key for row in new}
    gone = [row for row in view.rows if row.key not in staying]
    hidden = {}
    if gone:
        select = sql.matching(plan, [row.key for row in gone])
        hidden = {row.key: row for row in _fetch(connection, plan, select, gone)}
    return Step(view, View(plan, rows=new), window.script(view.rows, new, plan.limit, hidden))


def _streamed_step(
    connection: sqlite3.Connection, view: View, plan: Plan, changes: Changes
) -> Step:
    changed = changes.ids.get(plan.entity.name, {})
    # A record without an id says that the table itself is another.
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
    found = window.membership(view.members, present, changed)
    return Step(view, View(plan, members=members), found)


def _window(connection: sqlite3.Connection, plan: Plan, before: Iterable[Row]) -> Window:
    return _fetch(connection, plan, sql.window(plan), before)


def _versions(connection: sqlite3.Connection, plan: Plan) -> dict[SqlValue, int]:
    select = sql.members(plan, columns=False)
    return dict(connection.execute(select.text, select.params).fetchall())


def _fetch(
    connection: sqlite3.Connection, plan: Plan, select: sql.Select, before: Iterable[Row]
) -> Window:
    """Run ``select``; a row that ``before`` has in the same version is not encoded again."""
    known = {row.key: row for row in before}
    names = tuple(column.name for column in plan.entity.columns)
    places = [names.index(key.column.name) for key in plan.sort]
    rows = []
    for key, version, *values in connection.execute(select.text, select.params):
        row = known.get(key)
        if row is None or row.version != version:
            order = (*(values[place] for place in places), key)
            row = Row(version, row_json(names, tuple(values)), order)
        rows.append(row)
    return tuple(rows)
