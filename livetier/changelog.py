# ruff: noqa: S608 (names are quoted, and the log's own are constant; values are bound)
"""The change log: which rows changed, in which order, and when. Kept by triggers.

Triggers, because commits of other processes must be seen too. Laws:

- Every change of a watched row gets the next sequence number; numbers are never used twice, not
  even after the log is trimmed or the row comes back (AUTOINCREMENT).
- A row's version is the number of its last change. A row unchanged since its table was first
  watched has the number of that moment.
- ``at_ms`` never goes back, so ``position.stream_id`` (``ms-seq``) only ever grows.
- The log keeps the newest ``KEPT`` records and trims itself, with or without a tier running.
- The triggers lean on no conflict clause: an outer INSERT OR REPLACE would override it.

One thing no trigger sees: a row that an OR REPLACE throws out over another unique column (unless
the writer sets ``recursive_triggers``). Windows are read anew, so only streamed mode misses it.
"""

import sqlite3
from dataclasses import dataclass

from livetier.value import SqlValue

INTERNAL = "_livetier_"
KEPT = 10_000

TABLES = f"""
CREATE TABLE IF NOT EXISTS {INTERNAL}log (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
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
class Position:
    """A place in the log: everything up to and including ``seq``."""

    seq: int
    at_ms: int

    @property
    def stream_id(self) -> str:
        """The position as the contract spells it."""
        return f"{self.at_ms}-{self.seq}"


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened after a position: per entity, each changed id with its newest number.

    ``complete`` is False when the log was trimmed in between: then anything may have changed.
    """

    ids: dict[str, dict[SqlValue, int]]
    complete: bool

    def touches(self, entity: str) -> bool:
        """Tell whether a window over ``entity`` may have changed."""
        return not self.complete or entity in self.ids


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return ``text`` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def watch(connection: sqlite3.Connection, entity: str, key: str) -> None:
    """See to it that ``entity`` has its triggers; ``key`` is its key in SQL, rows being ``{row}``.

    Costs one look at the schema when they are there. A table that was created anew, renamed or
    given another key has lost or outdated them: it is watched afresh.
    """
    wanted = _triggers(entity, key)
    if _found(connection, entity) == wanted:
        return
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        found = _found(connection, entity)
        if found == wanted:
            return  # another process has done it while this one waited for the lock
        for name in found:
            connection.execute(f"DROP TRIGGER {quote(name)}")
        for statement in wanted.values():
            connection.execute(statement)
        connection.execute(f"DELETE FROM {INTERNAL}row WHERE entity = ?", (entity,))
        number = touch(connection, entity)
        connection.execute(f"REPLACE INTO {INTERNAL}table VALUES (?, ?)", (entity, number))


def _found(connection: sqlite3.Connection, entity: str) -> dict[str, str]:
    """Return the statements of the triggers that are there, by trigger name."""
    return dict(
        connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?"
            " AND substr(name, 1, ?) = ?",
            (entity, len(INTERNAL), INTERNAL),
        ).fetchall()
    )


def touch(connection: sqlite3.Connection, entity: str) -> int:
    """Log that something about ``entity`` changed, but no row, and return the number of that."""
    statement = f"INSERT INTO {INTERNAL}log (entity, at_ms) VALUES (?, {_NOW_MS}) RETURNING seq"
    return int(connection.execute(statement, (entity,)).fetchone()[0])


def _triggers(entity: str, key: str) -> dict[str, str]:
    """Return the statements that create the triggers, by trigger name."""
    old, new = key.format(row="OLD"), key.format(row="NEW")
    told = quote_text(entity)

    def noted(identifier: str, *, stays: bool) -> str:
        """Record a change of ``identifier``; a row that stays has the change as its version."""
        steps = (
            f" INSERT INTO {INTERNAL}log (entity, id, at_ms)"
            f" SELECT {told}, {identifier}, {_NOW_MS};"
            f" DELETE FROM {INTERNAL}row WHERE entity = {told} AND id = {identifier};"
        )
        if stays:
            steps += (
                f" INSERT INTO {INTERNAL}row SELECT {told}, {identifier}, seq FROM {INTERNAL}log"
                f" WHERE {identifier} IS NOT NULL ORDER BY seq DESC LIMIT 1;"
            )
        return steps

    trim = f" DELETE FROM {INTERNAL}log WHERE seq <= (SELECT max(seq) FROM {INTERNAL}log) - {KEPT};"
    bodies = {
        "insert": noted(new, stays=True),
        "delete": noted(old, stays=False),
        "update": noted(new, stays=True),
        # A change of the key is the end of one row and the start of another.
        "rename": noted(old, stays=False) + noted(new, stays=True),
    }
    heads = {
        "insert": "INSERT",
        "delete": "DELETE",
        "update": f"UPDATE ON {quote(entity)} WHEN {old} IS {new}",
        "rename": f"UPDATE ON {quote(entity)} WHEN {old} IS NOT {new}",
    }
    statements = {}
    for kind, body in bodies.items():
        name = f"{INTERNAL}{kind}_{entity}"
        head = heads[kind] if " ON " in heads[kind] else f"{heads[kind]} ON {quote(entity)}"
        statements[name] = f"CREATE TRIGGER {quote(name)} AFTER {head} BEGIN{body}{trim} END"
    return statements


def position(connection: sqlite3.Connection) -> Position:
    """Return the log's end; the same for everything read in this transaction."""
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
