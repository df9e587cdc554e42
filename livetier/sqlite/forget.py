"""Takes away what the tier has put into a database file: triggers, tables, write-ahead mode."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from livetier.sqlite.changelog import INTERNAL, WAS_WAL, quote
from livetier.sqlite.database import BUSY_SECONDS
from livetier.sqlite.unusable import UnusableDatabaseError, explained


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was taken away. ``journal_mode`` is the file's mode now."""

    tables: int
    triggers: int
    journal_mode: str


def forget(path: Path) -> Forgotten:
    """Take away everything that the tier has put into the file at ``path``; blocks.

    Raises FileNotFoundError, and UnusableDatabaseError, also where another program uses the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no database {path}")
    with explained(path):
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            return _forget(connection, path)
        finally:
            connection.close()


def _forget(connection: sqlite3.Connection, path: Path) -> Forgotten:
    connection.execute("BEGIN IMMEDIATE")
    with connection:
        was_wal = _was_wal(connection)
        triggers, tables = _names(connection, "trigger"), _names(connection, "table")
        for kind, names in (("TRIGGER", triggers), ("TABLE", tables)):
            for name in names:
                connection.execute(f"DROP {kind} {quote(name)}")
    if not tables or was_wal:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        return Forgotten(len(tables), len(triggers), mode)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = delete").fetchone()
    except sqlite3.OperationalError:
        mode = "wal"
    if mode == "wal":
        message = f"{path} is in use: it stays in write-ahead mode until this is run again alone"
        raise UnusableDatabaseError(message)
    return Forgotten(len(tables), len(triggers), mode)


def _was_wal(connection: sqlite3.Connection) -> bool:
    if f"{INTERNAL}table" not in _names(connection, "table"):
        return True
    row = connection.execute(
        f"SELECT seq FROM {INTERNAL}table WHERE entity = ?",  # noqa: S608 (a constant)
        (WAS_WAL,),
    ).fetchone()
    return row is None or bool(row[0])


def _names(connection: sqlite3.Connection, kind: str) -> list[str]:
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = ? AND substr(name, 1, ?) = ?",
        (kind, len(INTERNAL), INTERNAL),
    )
    return [name for (name,) in found]
