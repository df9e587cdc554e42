"""The database: opening it, and its tables as entities.

Any ordinary table is an entity, except SQLite's own and the change log's. A row's id is the text
of its primary key; of its rowid when the table has no primary key (then ids may change with a
VACUUM); of the JSON array of its parts when the key has several columns. A row without an id (a
NULL in a primary key, which SQLite allows) cannot be addressed and is never shown.

A ``Database`` belongs to one thread: everything here blocks.
"""

import difflib
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from livetier import changelog
from livetier.changelog import INTERNAL, quote
from livetier.errors import missing

# How long a statement waits for another process's write lock. Reads never wait in WAL mode.
BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its affinity, which is one of TEXT INTEGER REAL NUMERIC BLOB."""

    name: str
    affinity: str


@dataclass(frozen=True, slots=True)
class Entity:
    """A table: its columns in order, and its key as SQL with ``{row}`` for the row's name.

    ``key_affinity`` is the affinity of that expression; BLOB stands for none.
    """

    name: str
    columns: tuple[Column, ...]
    key: str
    key_affinity: str

    def column(self, name: str) -> Column | None:
        """Return the column called exactly ``name``."""
        return next((column for column in self.columns if column.name == name), None)


def path_of(url: str) -> Path:
    """Return the file that ``sqlite:///relative`` or ``sqlite:////absolute`` names.

    Raises ValueError for any other URL: the tier is a file's, never ``:memory:``.
    """
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or path in ("", ":memory:"):
        raise ValueError(f"not a database URL of the form sqlite:///path: {url!r}")
    return Path(path)


def connect(path: Path, script: str) -> sqlite3.Connection:
    """Open ``path`` in write-ahead mode, transactions being explicit, and run ``script``."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    # Text that is not UTF-8 is shown with replacement characters rather than not at all.
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.create_function("livetier_lower", 1, str.lower, deterministic=True)
    try:
        _write_ahead(connection)
        # Safe in WAL mode: a power cut may lose the last commits, never the database.
        connection.execute("PRAGMA synchronous = normal")
        connection.executescript(script)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead mode; waits while others do, which SQLite itself does not."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = wal")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return


def affinity_of(declared: str) -> str:
    """Return the affinity of a declared type (https://sqlite.org/datatype3.html, 3.1)."""
    upper = declared.upper()
    for affinity, words in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(word in upper for word in words):
            return affinity
    return "NUMERIC" if upper else "BLOB"


def close_to(name: str, names: Iterable[str]) -> str:
    """Return the end of a message: the name that was probably meant, if any is close."""
    folded = {known.lower(): known for known in sorted(names)}
    close = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.7)
    return f"; did you mean {quote(folded[close[0]])}?" if close else ""


class Database:
    """One connection to one file, and what its schema says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = connect(path, changelog.TABLES)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def data_version(self) -> int:
        """Return a number that differs after any other connection's commit."""
        return self._pragma("data_version")

    def schema_version(self) -> int:
        """Return a number that differs after any change of the schema, whoever made it."""
        return self._pragma("schema_version")

    def entities(self) -> list[str]:
        """Return the names of all entities."""
        found = self.connection.execute(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
            " AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, ?) <> ? ORDER BY name",
            (len(INTERNAL), INTERNAL),
        )
        return [name for (name,) in found]

    def entity(self, name: str) -> Entity:
        """Return the entity called exactly ``name``, its changes being logged from now on.

        Raises TierError (NOT_FOUND, field ``entity``) when there is none.
        """
        names = self.entities()
        if name not in names:
            hint = close_to(name, names)
            raise missing("UNKNOWN_ENTITY", "entity", f"there is no entity {quote(name)}{hint}")
        entity = self._describe(name)
        changelog.watch(self.connection, entity.name, entity.key)
        return entity

    def _describe(self, name: str) -> Entity:
        rows = self.connection.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
        columns = tuple(Column(row[1], affinity_of(row[2])) for row in rows)
        keys = sorted((row[5], row[1], affinity_of(row[2])) for row in rows if row[5])
        # Braces are str.format's, and a column may well have some.
        parts = ["{row}." + quote(key[1].replace("{", "{{").replace("}", "}}")) for key in keys]
        if len(keys) == 1:
            return Entity(name, columns, parts[0], keys[0][2])
        if keys:
            # JSON has no blobs, and refusing one here would fail the writer's own statement.
            plain = [
                f"CASE typeof({part}) WHEN 'blob' THEN hex({part}) ELSE {part} END"
                for part in parts
            ]
            return Entity(name, columns, f"json_array({', '.join(plain)})", "BLOB")
        taken = {column.name.lower() for column in columns}
        rowid = next(word for word in ("rowid", "_rowid_", "oid") if word not in taken)
        return Entity(name, columns, "{row}." + rowid, "INTEGER")

    def _pragma(self, name: str) -> int:
        return int(self.connection.execute(f"PRAGMA {name}").fetchone()[0])
