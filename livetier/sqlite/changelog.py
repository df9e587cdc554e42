# ruff: noqa: S608 (names are quoted, and the log's own are constant; values are bound)
"""The change log: which rows changed, in which order, and when. Kept by triggers.

Triggers, because commits of other processes must be seen too. Laws:

- Every change of a watched row gets the next sequence number. No number is used twice, not even
  after the log was trimmed or the row was inserted again: the newest number is never trimmed.
- A row's version is the number of its last change. A row that did not change since its table was
  first watched has the number of that moment.
- ``at_ms`` never decreases, so ``Position.stream_id`` (``ms-seq``) only grows.
- The log keeps the newest ``KEPT`` records. Triggers trim it, with or without a tier running.
- The triggers use no conflict clause: an outer INSERT OR REPLACE would override it.

No trigger sees a row that OR REPLACE deletes because of another unique column (unless the writer
sets ``recursive_triggers``). Windows are read again as a whole, so only streamed mode misses it.
"""

import sqlite3
from dataclasses import dataclass

from livetier.engine.store import Position
from livetier.sqlite.literal import SqlValue

INTERNAL = "_livetier_"
KEPT = 10_000
WAS_WAL = f"{INTERNAL}was_wal"
"""In the table of tables, under this name: whether the file was in write-ahead mode before."""

TABLES = f"""
CREATE TABLE IF NOT EXISTS {INTERNAL}log (
    seq INTEGER PRIMARY KEY,
    entity TEXT NOT NULL,
    id,
    at_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS {INTERNAL}row (
    entity TEXT NOT NULL, id NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (entity, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS {INTERNAL}table (
    entity TEXT PRIMARY KEY, seq INTEGER NOT NULL
) WITHOUT ROWID;
"""

_NOW_MS = (
    "max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER),"
    f" coalesce((SELECT at_ms FROM {INTERNAL}log ORDER BY seq DESC LIMIT 1), 0))"
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What was logged after a position: per entity, each changed id with its newest number.

    ``complete`` is False if the log was trimmed since that position: then any row may have changed.
    """

    ids: dict[str, dict[SqlValue, int]]
    complete: bool

    def touches(self, entity: str) -> bool:
        """Return whether a window over ``entity`` may have changed."""
        return not self.complete or entity in self.ids


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return ``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def watch(connection: sqlite3.Connection, entity: str, key: str) -> None:
    """Create the triggers of ``entity`` unless they exist; ``key`` is as in ``Entity``.

    Costs one query of the schema if they exist. A table that was created again, renamed or given
    another key has lost its triggers, or they are outdated: its rows get new versions.
    """
    wanted = _trigger_statements(entity, key)
    if _installed(connection, entity) == wanted:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        found = _installed(connection, entity)
        if found == wanted:
            return  # another process created them while this one waited for the lock
        for name in found:
            connection.execute(f"DROP TRIGGER {quote(name)}")
        for statement in wanted.values():
            connection.execute(statement)
        connection.execute(f"DELETE FROM {INTERNAL}row WHERE entity = ?", (entity,))
        number = touch(connection, entity)
        connection.execute(f"REPLACE INTO {INTERNAL}table VALUES (?, ?)", (entity, number))


def _installed(connection: sqlite3.Connection, entity: str) -> dict[str, str]:
    """Return the statements of the triggers that exist, by trigger name."""
    return dict(
        connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
            " AND substr(name, 1, ?) = ?",
            (entity, len(INTERNAL), INTERNAL),
        ).fetchall()
    )


def touch(connection: sqlite3.Connection, entity: str) -> int:
    """Log a change of ``entity`` that is of no row, and return its number."""
    statement = f"INSERT INTO {INTERNAL}log (entity, at_ms) VALUES (?, {_NOW_MS}) RETURNING seq"
    return int(connection.execute(statement, (entity,)).fetchone()[0])


def _trigger_statements(entity: str, key: str) -> dict[str, str]:
    """Return the statements that create the triggers, by trigger name."""
    old, new = key.format(row="OLD"), key.format(row="NEW")
    name = quote_text(entity)

    def record(identifier: str, *, stays: bool) -> str:
        """Record a change of ``identifier``; a row that stays gets its number as version."""
        steps = (
            f" INSERT INTO {INTERNAL}log (entity, id, at_ms)"
            f" SELECT {name}, {identifier}, {_NOW_MS};"
            f" DELETE FROM {INTERNAL}row WHERE entity = {name} AND id = +{identifier};"
        )
        if stays:
            steps += (
                f" INSERT INTO {INTERNAL}row SELECT {name}, {identifier}, seq FROM {INTERNAL}log"
                f" WHERE {identifier} IS NOT NULL ORDER BY seq DESC LIMIT 1;"
            )
        return steps

    trim = f" DELETE FROM {INTERNAL}log WHERE seq <= (SELECT max(seq) FROM {INTERNAL}log) - {KEPT};"
    bodies = {
        "insert": record(new, stays=True),
        "delete": record(old, stays=False),
        "update": record(new, stays=True),
        # A change of the key deletes one row and inserts another.
        "rename": record(old, stays=False) + record(new, stays=True),
    }
    heads = {
        "insert": "INSERT",
        "delete": "DELETE",
        "update": f"UPDATE ON {quote(entity)} WHEN {old} IS {new}",
        "rename": f"UPDATE ON {quote(entity)} WHEN {old} IS NOT {new}",
    }
    statements = {}
    for kind, body in bodies.items():
        trigger = f"{INTERNAL}{kind}_{entity}"
        head = heads[kind] if " ON " in heads[kind] else f"{heads[kind]} ON {quote(entity)}"
        statements[trigger] = f"CREATE TRIGGER {quote(trigger)} AFTER {head} BEGIN{body}{trim} END"
    return statements


def position(connection: sqlite3.Connection) -> Position:
    """Return the end of the log; it is the same within one transaction."""
    row = connection.execute(
        f"SELECT seq, at_ms FROM {INTERNAL}log ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return Position(*row) if row else Position(0, 0)


def since(connection: sqlite3.Connection, seq: int) -> Changes:
    """Return what changed after ``seq``."""
    ids: dict[str, dict[SqlValue, int]] = {}
    oldest = connection.execute(f"SELECT min(seq) FROM {INTERNAL}log").fetchone()[0]
    for entity, identifier, number in connection.execute(
        f"SELECT entity, id, seq FROM {INTERNAL}log WHERE seq > ? ORDER BY seq", (seq,)
    ):
        ids.setdefault(entity, {})[identifier] = number
    return Changes(ids, complete=oldest is None or oldest <= seq + 1)
