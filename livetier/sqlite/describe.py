"""Describe: the tables of a database file as the contract's entities.

SQLite checks no types, but in STRICT tables. A column's type here is what its declaration promises:
a declaration that says nothing about JSON (DATETIME, none) has none.
"""

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.query import MAX_LIMIT, OPERATORS, PATTERN_OPERATORS
from livetier.sqlite.database import Column, Database

_TYPES: dict[str, pb.ColumnType] = {
    "INTEGER": pb.COLUMN_TYPE_INT,
    "REAL": pb.COLUMN_TYPE_DOUBLE,
    "TEXT": pb.COLUMN_TYPE_STRING,
}
_DECIMALS = ("DECIMAL", "NUMERIC")
_NUMERIC = ("INTEGER", "REAL")


def describe(database: Database) -> pb.DescribeResponse:
    """Return every entity of ``database``; nothing is watched for it."""
    return pb.DescribeResponse(entities=[_entity(database, name) for name in database.entities()])


def _entity(database: Database, name: str) -> pb.Entity:
    table = database.table(name)
    return pb.Entity(
        name=name,
        columns=[_column(column) for column in table.columns],
        key=table.key_columns,
        max_limit=MAX_LIMIT,
    )


def _column(column: Column) -> pb.Column:
    operators = [
        operator
        for operator, word in OPERATORS.items()
        if not (word in PATTERN_OPERATORS and column.affinity in _NUMERIC)
    ]
    return pb.Column(
        name=column.name,
        type=_type(column),
        nullable=column.nullable,
        sortable=True,
        operators=operators,
    )


def _type(column: Column) -> pb.ColumnType:
    if column.affinity == "BLOB" and column.declared:
        return pb.COLUMN_TYPE_BYTES
    if column.affinity == "NUMERIC" and column.declared.startswith(_DECIMALS):
        return pb.COLUMN_TYPE_DECIMAL
    return _TYPES.get(column.affinity, pb.COLUMN_TYPE_UNSPECIFIED)
