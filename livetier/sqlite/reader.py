"""Readings: what plans show, with the log's position, in one transaction.

Everything here blocks and belongs to the database thread. Nothing is remembered between calls: a
view knows the log's number as of which it was read, its plan the schema it was compiled against.
"""

import sqlite3
from collections.abc import Sequence

from livetier.engine.errors import TierError
from livetier.engine.shortcuts import Shortcuts
from livetier.engine.store import Position, Reading
from livetier.engine.window import Window
from livetier.sqlite import changelog
from livetier.sqlite.compile import SqlitePlan, compile_query
from livetier.sqlite.database import Database
from livetier.sqlite.fetch import Fetcher
from livetier.sqlite.steps import Steps, reserve
from livetier.sqlite.view import SqliteView, head_of, maintained_view


def first(connection: sqlite3.Connection, plan: SqlitePlan, shortcuts: Shortcuts) -> SqliteView:
    """Return the first view of ``plan``."""
    fetcher = Fetcher(connection)
    with _Transaction(connection) as position:
        if plan.streamed:
            return SqliteView(plan, as_of=position.seq, members=fetcher.versions(plan))
        known = fetcher.known(plan, (), reserve=reserve(shortcuts))
        return maintained_view(plan, head_of(plan, known), position.seq)


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
            steps = Steps(database, changes, position.seq, shortcuts)
            return Reading(position, steps.of(zip(views, plans, strict=True)))


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
