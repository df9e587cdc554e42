"""Why a database file can't be used, in a sentence."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

_SENTENCES = {
    sqlite3.SQLITE_NOTADB: "{path} is no SQLite database",
    sqlite3.SQLITE_READONLY: "{path} can't be written to; the tier keeps a log in it",
    sqlite3.SQLITE_BUSY: "{path} is locked by another program",
    sqlite3.SQLITE_LOCKED: "{path} is locked by another program",
    sqlite3.SQLITE_CANTOPEN: "{path} can't be opened; is it a file in a writable folder?",
    sqlite3.SQLITE_CORRUPT: "{path} is damaged",
    sqlite3.SQLITE_FULL: "{path} can't grow: the disk is full",
}


class UnusableDatabaseError(OSError):
    """The file can't be used; the message says why."""


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Translate what SQLite raises about the file at ``path``."""
    try:
        yield
    except sqlite3.Error as error:
        # The extended code has the primary one in its lowest byte.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        sentence = _SENTENCES.get(code, "{path} can't be used: {error}")
        raise UnusableDatabaseError(sentence.format(path=path, error=error)) from None
