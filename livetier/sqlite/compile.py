"""Queries compiled against a database's schema.

``engine.query`` says what operators mean. SQLite's values have types of their own, whatever the
column declares, so here in addition:

- ``eq in gt gte lt lte`` only match a value of the same kind: a number never equals text and is
  never above or below it. ``ne`` and ``notin`` match a value of another kind.
- ``ilike`` compares both sides lower-cased, in Unicode.
- ``sort`` puts NULL first ascending and last descending; then numbers, text, blobs.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from livequery.v1 import livequery_pb2 as pb
from livetier.engine import query as checks
from livetier.engine.errors import invalid_argument, quoted
from livetier.engine.store import Plan
from livetier.sqlite.conditions import Conditions, conditions_of
from livetier.sqlite.database import Column, Database, Entity
from livetier.sqlite.literal import Kind, Literal, as_real, literal_of
from livetier.sqlite.order import Order, order_by
from livetier.sqlite.predicate import AnyOf, Compare, Predicate

MAX_PATTERN = 1000


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key."""

    column: Column
    desc: bool


@dataclass(slots=True)
class PlanCost:
    """How long the plan's window took to read the last time."""

    read_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SqlitePlan(Plan):
    """A query over one entity.

    ``after`` is the anchor: a literal for each sort key, then the id's. ``schema`` is the version
    of the schema against which the query was compiled. ``conditions`` are those of ``where`` that
    can be judged; ``order`` makes of a row's ``order`` the key by which rows sort; ``places`` are
    those of the sort columns in a row. ``statements`` has what was made of the plan, ``cost`` what
    was measured. Plans of the same ``result`` differ in nothing but their limit.
    """

    result: Hashable
    schema: int
    entity: Entity
    where: tuple[Predicate, ...]
    sort: tuple[Sort, ...]
    after: tuple[Literal, ...] | None
    conditions: Conditions
    order: Order = field(compare=False)
    places: tuple[int, ...]
    statements: dict[str, object] = field(default_factory=dict, compare=False, repr=False)
    cost: PlanCost = field(default_factory=PlanCost, compare=False, repr=False)


def compile_query(database: Database, query: pb.LiveQuery) -> SqlitePlan:
    """Check ``query`` and return its plan; raise TierError with the field at fault."""
    if not query.entity:
        raise invalid_argument("MISSING_ENTITY", "entity", "the query names no entity")
    # Looked up first: creating the triggers changes the schema, and that must be noticed.
    schema = database.schema_version()
    entity = database.entity(query.entity)
    columns = {column.name: column for column in entity.columns}

    def column_of(name: str, field: str) -> Column:
        return checks.find_column(columns, name, entity=entity.name, field=field)

    def compare(leaf: pb.Comparison, path: str) -> Predicate:
        column = column_of(leaf.column, f"{path}.column")
        op = checks.operator_of(leaf, path)
        literals = _literals(checks.operands_of(leaf, op, path), column, op, path)
        return Compare(column, op, literals)

    where: tuple[Predicate, ...] = checks.conditions(query, compare, AnyOf)
    sort = tuple(
        Sort(column_of(key.column, f"sort[{index}].column"), key.desc)
        for index, key in enumerate(checks.sort_keys(query))
    )
    effective = checks.effective_query(query)
    return SqlitePlan(
        query=effective,
        key=effective.SerializeToString(deterministic=True),
        result=_without_limit(effective),
        schema=schema,
        entity=entity,
        where=where,
        sort=sort,
        after=_anchor(checks.cursor_values(query), sort, entity),
        conditions=conditions_of(where),
        order=order_by(tuple(key.desc for key in sort)),
        places=tuple(entity.columns.index(key.column) for key in sort),
    )


def _without_limit(query: pb.LiveQuery) -> bytes:
    """Return what plans have in common that show the first rows of one result."""
    whole = pb.LiveQuery()
    whole.CopyFrom(query)
    whole.ClearField("limit")
    return whole.SerializeToString(deterministic=True)


def _literals(
    values: Sequence[pb.Value], column: Column, op: str, path: str
) -> tuple[Literal, ...]:
    try:
        literals = tuple(literal_of(value) for value in values)
    except ValueError as error:
        message = f'bad value for "{op}": {error}'
        raise invalid_argument("BAD_VALUE", f"{path}.value", message) from None
    if column.affinity == "REAL":
        literals = tuple(as_real(each) for each in literals)
    if op in checks.PATTERN_OPERATORS:
        _check_pattern(column, op, literals[0], path)
    return literals


def _check_pattern(column: Column, op: str, pattern: Literal, path: str) -> None:
    if column.affinity in ("INTEGER", "REAL"):
        message = f'"{op}" needs text; {quoted(column.name)} holds numbers'
        raise invalid_argument("WRONG_TYPE", f"{path}.op", message)
    if pattern.kind not in (Kind.TEXT, Kind.NULL):
        message = f'"{op}" needs a pattern, which is text'
        raise invalid_argument("WRONG_TYPE", f"{path}.value", message)
    if len(str(pattern.value)) > MAX_PATTERN:
        message = f"a pattern has at most {MAX_PATTERN} characters"
        raise invalid_argument("BAD_VALUE", f"{path}.value", message)


def _anchor(
    values: Sequence[pb.Value] | None, sort: tuple[Sort, ...], entity: Entity
) -> tuple[Literal, ...] | None:
    if values is None:
        return None
    try:
        anchor = [literal_of(value) for value in values]
    except ValueError as error:
        raise invalid_argument("BAD_CURSOR", "cursor.values", f"bad cursor: {error}") from None
    for place, key in enumerate(sort):
        if key.column.affinity == "REAL":
            anchor[place] = as_real(anchor[place])
    # Ids are text on the wire: the text of a number anchors a numeric key.
    last = anchor[-1]
    if entity.key_affinity == "INTEGER" and isinstance(last.value, str):
        try:
            anchor[-1] = literal_of(pb.Value(int_value=int(last.value)))
        except ValueError:
            raise invalid_argument(
                "BAD_CURSOR", "cursor.values", "the id is not a number"
            ) from None
    return tuple(anchor)
