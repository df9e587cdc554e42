"""A connection to a database file, and its tables as entities.

Every ordinary table is an entity, except SQLite's own and those of the change log. A row's id is
the text of its primary key; of its rowid if the table has no primary key (VACUUM may then change
the id); of the JSON array of the key's columns if there are several. A row without an id (SQLite
allows NULL in a primary key) cannot be addressed and is never shown.

Everything here blocks. A ``Database`` belongs to one thread.
"""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from livetier.engine.errors import did_you_mean, not_found, quoted
from livetier.sqlite import changelog
from livetier.sqlite.changelog import INTERNAL, quote

# How long a statement waits for another process's write lock. Reads never wait in WAL mode.
BUSY_SECONDS = 5.0
# Statements that are kept prepared: a few for each window.
STATEMENTS = 4096


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its affinity, which is one of TEXT INTEGER REAL NUMERIC BLOB.

    ``declared`` is its type as the table declares it, in upper case; empty for none.
    """

    name: str
    affinity: str
    declared: str = ""
    nullable: bool = True


@dataclass(frozen=True, slots=True)
class Entity:
    """A table: its columns in order, and its key as an SQL expression.

    ``{row}`` in ``key`` stands for the row's name in a statement. ``key_affinity`` is the affinity
    of that expression; BLOB means none. ``key_columns`` are none where the key is the rowid.
    ``other_unique``: other columns than the key's are unique, too.
    """

    name: str
    columns: tuple[Column, ...]
    key: str
    key_affinity: str
    key_columns: tuple[str, ...] = ()
    other_unique: bool = False


def path_of(url: str) -> Path:
    """Return the file that ``sqlite:///relative`` or ``sqlite:////absolute`` names.

    Raises ValueError for any other URL, and for ``:memory:``, which has no second connection.
    """
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or path in ("", ":memory:"):
        message = f"not a database URL of the form sqlite:///path or postgresql://…: {url!r}"
        raise ValueError(message)
    return Path(path)


def connect(path: Path, script: str, *, note_mode: bool = False) -> sqlite3.Connection:
    """Open ``path`` in write-ahead mode with explicit transactions, and run ``script``.

    ``note_mode``: the first time, the mode before is noted in the tables of the change log.
    """
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    # Text that is not UTF-8 is shown with replacement characters rather than not at all.
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    connection.create_function("livetier_lower", 1, str.lower, deterministic=True)
    try:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        _write_ahead(connection)
        # Safe in WAL mode: a power cut may lose the last commits, never the database.
        connection.execute("PRAGMA synchronous = normal")
        connection.executescript(script)
        if note_mode:
            statement = f"INSERT OR IGNORE INTO {INTERNAL}table VALUES (?, ?)"  # noqa: S608
            connection.execute(statement, (changelog.WAS_WAL, mode == "wal"))
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead mode; wait while others do, because SQLite itself does not."""
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


class Database:
    """One connection to one file, and its schema."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = connect(path, changelog.TABLES, note_mode=True)
        encoding = self.connection.execute("PRAGMA encoding").fetchone()[0]
        self.compares_text = encoding == "UTF-8"
        """Whether text compares by code point."""

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def data_version(self) -> int:
        """Return a number that changes with every commit of another connection."""
        return self._pragma("data_version")

    def schema_version(self) -> int:
        """Return a number that changes with every change of the schema, by any connection."""
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
        """Return the entity called exactly ``name``; its changes are logged from now on.

        Raises TierError (NOT_FOUND, field ``entity``) when there is none.
        """
        names = self.entities()
        if name not in names:
            if kind := self._other_kind(name):
                message = f"{quoted(name)} is a {kind}; only tables can be queried live"
                raise not_found("NOT_A_TABLE", "entity", message)
            message = f"there is no entity {quoted(name)}{did_you_mean(name, names)}"
            raise not_found("UNKNOWN_ENTITY", "entity", message)
        entity = self.table(name)
        changelog.watch(self.connection, entity.name, entity.key)
        return entity

    def _other_kind(self, name: str) -> str:
        """Return what ``name`` is if it is no ordinary table; empty if nothing has that name."""
        row = self.connection.execute(
            "SELECT CASE type WHEN 'virtual' THEN 'virtual table' ELSE type END"
            " FROM pragma_table_list WHERE schema = 'main' AND name = ?"
            " AND type IN ('view', 'virtual') AND substr(name, 1, ?) <> ?",
            (name, len(INTERNAL), INTERNAL),
        ).fetchone()
        return row[0] if row else ""

    def table(self, name: str) -> Entity:
        """Return the table ``name`` as an entity, without watching it."""
        rows = self.connection.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
        # A row whose key is NULL is never shown.
        columns = tuple(
            Column(row[1], affinity_of(row[2]), row[2].upper(), nullable=not (row[3] or row[5]))
            for row in rows
        )
        keys = sorted((row[5], row[1], affinity_of(row[2])) for row in rows if row[5])
        # Braces have a meaning in str.format, and a column's name may contain some.
        parts = ["{row}." + quote(key[1].replace("{", "{{").replace("}", "}}")) for key in keys]
        key_columns = tuple(key[1] for key in keys)
        unique = self._has_other_unique(name)
        if len(keys) == 1:
            return Entity(name, columns, parts[0], keys[0][2], key_columns, unique)
        if keys:
            # JSON has no blobs; json_array would fail on one, and so the writer's own statement.
            plain = [
                f"CASE typeof({part}) WHEN 'blob' THEN hex({part}) ELSE {part} END"
                for part in parts
            ]
            array = f"json_array({', '.join(plain)})"
            return Entity(name, columns, array, "BLOB", key_columns, unique)
        taken = {column.name.lower() for column in columns}
        rowid = next(word for word in ("rowid", "_rowid_", "oid") if word not in taken)
        return Entity(name, columns, "{row}." + rowid, "INTEGER", (), unique)

    def _has_other_unique(self, name: str) -> bool:
        """Return whether a table has a unique index that is not its primary key's."""
        found = self.connection.execute(f"PRAGMA index_list({quote(name)})").fetchall()
        return any(unique and origin != "pk" for _, _, unique, origin, _ in found)

    def _pragma(self, name: str) -> int:
        return int(self.connection.execute(f"PRAGMA {name}").fetchone()[0])
