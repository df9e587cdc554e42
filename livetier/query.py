"""A query: the contract's ``LiveQuery``, checked against the schema and typed.

``compile_query`` answers a ``Plan`` or raises a TierError whose field is spelled as the browser
spells the query: ``where[1].or[0].op``, ``sort[0].column``, ``cursor.values``, ``limit``.

What operators mean is SQL's, made strict about types:

- NULL, in a row or in the query, matches no comparison: not ``eq``, not ``ne``, not ``notin``
  with a NULL among its members (three-valued logic). ``isnull`` and ``isnotnull`` test for it.
- ``eq in gt gte lt lte`` only match a value of the same kind: a number never equals text, is
  never above or below it, whatever the column's declared type. ``ne`` and ``notin`` match it.
- ``like`` takes ``%`` (any run) and ``_`` (any character), has no escape and is case-sensitive;
  ``ilike`` compares both sides lower-cased, in Unicode. Both match text only.
- ``sort`` puts NULL first ascending and last descending; then numbers, text, blobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from livequery.v1 import livequery_pb2 as pb
from livetier.changelog import quote
from livetier.database import Column, Database, Entity, close_to
from livetier.errors import refused
from livetier.value import Kind, Literal, as_real, literal

MAX_LIMIT = 10_000
MAX_CONDITIONS = 256
MAX_DEPTH = 32
MAX_LIST = 1000
MAX_SORT_KEYS = 16
MAX_PATTERN = 1000

OPERATORS: dict[pb.Operator, str] = {
    pb.OPERATOR_EQ: "eq",
    pb.OPERATOR_NE: "ne",
    pb.OPERATOR_GT: "gt",
    pb.OPERATOR_GTE: "gte",
    pb.OPERATOR_LT: "lt",
    pb.OPERATOR_LTE: "lte",
    pb.OPERATOR_IN: "in",
    pb.OPERATOR_NOT_IN: "notin",
    pb.OPERATOR_LIKE: "like",
    pb.OPERATOR_ILIKE: "ilike",
    pb.OPERATOR_IS_NULL: "isnull",
    pb.OPERATOR_IS_NOT_NULL: "isnotnull",
}
_LISTS = ("in", "notin")
_PATTERNS = ("like", "ilike")
_BARE = ("isnull", "isnotnull")


@dataclass(frozen=True, slots=True)
class Compare:
    """A leaf: ``column op literals`` (none for the NULL tests, several for the list ones)."""

    column: Column
    op: str
    literals: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A disjunction."""

    members: tuple["Compare | AnyOf", ...]


@dataclass(frozen=True, slots=True)
class Sort:
    """One ordering term."""

    column: Column
    desc: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """A query ready to be run; ``after`` is the anchor: one literal per sort key, then the id.

    ``key`` is what two plans share exactly when they are the same query.
    """

    entity: Entity
    where: tuple[Compare | AnyOf, ...]
    sort: tuple[Sort, ...]
    limit: int
    after: tuple[Literal, ...] | None
    streamed: bool
    query: pb.LiveQuery
    key: bytes


def compile_query(database: Database, query: pb.LiveQuery) -> Plan:
    """Check ``query`` and return its plan; raise TierError naming the field at fault."""
    if not query.entity:
        raise refused("MISSING_ENTITY", "entity", "the query names no entity")
    entity = database.entity(query.entity)
    compiler = _Compiler(entity)
    where = tuple(
        compiler.condition(condition, f"where[{index}]", 0)
        for index, condition in enumerate(query.where)
    )
    if len(query.sort) > MAX_SORT_KEYS:
        raise refused("TOO_MANY_SORT_KEYS", "sort", f"at most {MAX_SORT_KEYS} sort keys are taken")
    sort = tuple(
        Sort(compiler.column(key.column, f"sort[{index}].column"), key.desc)
        for index, key in enumerate(query.sort)
    )
    if query.limit < 1:
        raise refused("BAD_LIMIT", "limit", "the limit must be at least 1")
    if query.mode not in (pb.MODE_UNSPECIFIED, pb.MODE_MAINTAINED, pb.MODE_STREAMED):
        raise refused("UNKNOWN_MODE", "mode", f"there is no mode {query.mode}")
    after = _anchor(query.cursor.values, sort, entity)
    effective = pb.LiveQuery()
    effective.CopyFrom(query)
    effective.limit = min(query.limit, MAX_LIMIT)
    effective.mode = query.mode or pb.MODE_MAINTAINED
    if after is None:
        effective.ClearField("cursor")
    return Plan(
        entity=entity,
        where=where,
        sort=sort,
        limit=effective.limit,
        after=after,
        streamed=effective.mode == pb.MODE_STREAMED,
        query=effective,
        key=effective.SerializeToString(deterministic=True),
    )


def _anchor(
    values: Sequence[pb.Value], sort: tuple[Sort, ...], entity: Entity
) -> tuple[Literal, ...] | None:
    if not values:
        return None
    if len(values) != len(sort) + 1:
        raise refused(
            "BAD_CURSOR",
            "cursor.values",
            f"the cursor has {len(values)} values; {len(sort) + 1} are needed:"
            " one per sort key, then the id",
        )
    try:
        anchor = [literal(value) for value in values]
    except ValueError as error:
        raise refused("BAD_CURSOR", "cursor.values", f"bad cursor: {error}") from None
    for place, key in enumerate(sort):
        if key.column.affinity == "REAL":
            anchor[place] = as_real(anchor[place])
    # Ids are text on the wire: for a numeric key, the text of one is taken for the number.
    last = anchor[-1]
    if entity.key_affinity == "INTEGER" and isinstance(last.value, str):
        try:
            anchor[-1] = literal(pb.Value(int_value=int(last.value)))
        except ValueError:
            raise refused("BAD_CURSOR", "cursor.values", "the id is not a number") from None
    return tuple(anchor)


class _Compiler:
    """Turns conditions into predicates over one entity, counting them."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._count = 0

    def column(self, name: str, field: str) -> Column:
        column = self._entity.column(name)
        if column is None:
            hint = close_to(name, (known.name for known in self._entity.columns))
            raise refused(
                "UNKNOWN_COLUMN", field, f"{self._entity.name} has no column {quote(name)}{hint}"
            )
        return column

    def condition(self, condition: pb.Condition, path: str, depth: int) -> Compare | AnyOf:
        self._count += 1
        if self._count > MAX_CONDITIONS:
            raise refused(
                "TOO_MANY_CONDITIONS", "where", f"at most {MAX_CONDITIONS} conditions are taken"
            )
        match condition.WhichOneof("kind"):
            case "comparison":
                return self._comparison(condition.comparison, path)
            case "or_group":
                return self._any_of(condition.or_group, path, depth + 1)
        raise refused("EMPTY_CONDITION", path, "the condition is empty")

    def _any_of(self, group: pb.OrGroup, path: str, depth: int) -> AnyOf:
        if not group.conditions:
            raise refused("EMPTY_CONDITION", f"{path}.or", "the or group has no members")
        if depth > MAX_DEPTH:
            raise refused("TOO_DEEP", f"{path}.or", f"or groups nest at most {MAX_DEPTH} deep")
        return AnyOf(
            tuple(
                self.condition(member, f"{path}.or[{index}]", depth)
                for index, member in enumerate(group.conditions)
            )
        )

    def _comparison(self, leaf: pb.Comparison, path: str) -> Compare:
        column = self.column(leaf.column, f"{path}.column")
        op = OPERATORS.get(leaf.operator)
        if op is None:
            raise refused("UNKNOWN_OPERATOR", f"{path}.op", "the operator is unknown")
        if op in _BARE:
            return Compare(column, op, ())
        literals = _operand(leaf, op, f"{path}.value")
        if column.affinity == "REAL":
            literals = tuple(as_real(each) for each in literals)
        if op in _PATTERNS:
            _check_pattern(column, op, literals[0], path)
        return Compare(column, op, literals)


def _operand(leaf: pb.Comparison, op: str, field: str) -> tuple[Literal, ...]:
    kind = leaf.WhichOneof("operand")
    if op in _LISTS:
        if kind != "list" or not leaf.list.values:
            raise refused("MISSING_VALUE", field, f'"{op}" needs a list with at least one value')
        if len(leaf.list.values) > MAX_LIST:
            raise refused("TOO_MANY_VALUES", field, f"a list has at most {MAX_LIST} values")
        values = list(leaf.list.values)
    else:
        if kind != "value":
            raise refused("MISSING_VALUE", field, f'"{op}" needs a value')
        values = [leaf.value]
    try:
        return tuple(literal(value) for value in values)
    except ValueError as error:
        raise refused("BAD_VALUE", field, f'bad value for "{op}": {error}') from None


def _check_pattern(column: Column, op: str, pattern: Literal, path: str) -> None:
    if column.affinity in ("INTEGER", "REAL"):
        raise refused(
            "WRONG_TYPE", f"{path}.op", f'"{op}" needs text; {quote(column.name)} holds numbers'
        )
    if pattern.kind not in (Kind.TEXT, Kind.NULL):
        raise refused("WRONG_TYPE", f"{path}.value", f'"{op}" needs a pattern, which is text')
    if len(str(pattern.value)) > MAX_PATTERN:
        raise refused(
            "BAD_VALUE", f"{path}.value", f"a pattern has at most {MAX_PATTERN} characters"
        )
