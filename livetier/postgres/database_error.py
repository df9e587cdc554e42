"""The error of a database that cannot answer."""

import psycopg


class DatabaseError(Exception):
    """PostgreSQL refused a statement, or cannot be reached. ``sqlstate`` is empty if it is lost."""

    def __init__(self, message: str, sqlstate: str = "") -> None:
        super().__init__(message)
        self.sqlstate = sqlstate

    @classmethod
    def of(cls, error: psycopg.Error) -> "DatabaseError":
        """Return what psycopg reports, on one line."""
        return cls(" ".join(str(error).split()), error.sqlstate or "")

    @property
    def lost(self) -> bool:
        """Whether the connection is gone: nothing is known of the statement."""
        return not self.sqlstate or self.sqlstate[:2] in ("08", "57")
