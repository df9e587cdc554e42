"""A table as an entity."""

from collections.abc import Mapping
from dataclasses import dataclass

from livetier.postgres.column_type import ColumnType


def quote(name: str) -> str:
    """Return ``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return ``text`` as an SQL string, whatever ``standard_conforming_strings`` says."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'" if "\\" in text else f"'{escaped}'"


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column that the caller may read. ``sent``: a change stream has its values."""

    name: str
    type: ColumnType
    not_null: bool
    sent: bool
    comment: str

    @property
    def sql(self) -> str:
        """The column in a statement whose table is called ``t``."""
        return f"t.{quote(self.name)}"


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """A table. ``entity`` is its name in queries; ``key`` has the columns of its primary key.

    ``sources`` are other relations that decide what the table shows: those that its row policies
    read, and the other parts of a partitioned table. ``version`` changes with the table's entry in
    pg_class, ``signature`` with anything that a compiled query depends on. ``whole``: the role may
    read all of it, system columns included.
    """

    oid: int
    schema: str
    name: str
    entity: str
    columns: tuple[TableColumn, ...]
    key: tuple[TableColumn, ...]
    sources: tuple[int, ...]
    version: str
    signature: str
    partitioned: bool
    partition: bool
    unlogged: bool
    identity: str
    comment: str
    whole: bool

    @property
    def sql(self) -> str:
        """The qualified name in a statement."""
        return f"{quote(self.schema)}.{quote(self.name)}"

    @property
    def by_name(self) -> Mapping[str, TableColumn]:
        """The columns by name."""
        return {column.name: column for column in self.columns}
