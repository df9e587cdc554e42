"""Describe: the tables that a caller's role may read, as the contract's entities."""

from collections.abc import Iterable

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.query import MAX_LIMIT, OPERATORS, PATTERN_OPERATORS, UNARY_OPERATORS
from livetier.postgres.relation import Relation, TableColumn


def describe(relations: Iterable[Relation]) -> pb.DescribeResponse:
    """Return the entities of some tables, with the comments that they have."""
    return pb.DescribeResponse(entities=[_entity(relation) for relation in relations])


def _entity(relation: Relation) -> pb.Entity:
    return pb.Entity(
        name=relation.entity,
        columns=[_column(column) for column in relation.columns],
        key=[column.name for column in relation.key],
        description=relation.comment,
        max_limit=MAX_LIMIT,
    )


def _column(column: TableColumn) -> pb.Column:
    kind = column.type
    return pb.Column(
        name=column.name,
        type=kind.kind,
        nullable=not column.not_null,
        sortable=kind.comparable,
        operators=[
            operator
            for operator, word in OPERATORS.items()
            if word in UNARY_OPERATORS
            or (kind.is_text if word in PATTERN_OPERATORS else kind.comparable)
        ],
        description=column.comment,
    )
