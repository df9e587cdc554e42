"""The checks of a ``LiveQuery`` that need no schema.

A store compiles a query with these functions, and adds what only it knows: tables, columns, types.
Errors name the field as the browser spells the query: ``where[1].or[0].op``, ``sort[0].column``,
``cursor.values``, ``limit``. Of several errors the caller sees the first one found.

Operators are those of SQL. In every store:

- NULL, in a row or in the query, matches no comparison: not ``eq``, not ``ne``, not ``notin``
  with a NULL among its members (three-valued logic). ``isnull`` and ``isnotnull`` test for it.
- ``like`` takes ``%`` (any run of characters) and ``_`` (any character). It has no escape and is
  case-sensitive; ``ilike`` is not. Both match text only.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.errors import did_you_mean, invalid_argument, quoted

MAX_LIMIT = 10_000
MAX_CONDITIONS = 256
MAX_DEPTH = 32
MAX_LIST = 1000
MAX_SORT_KEYS = 16

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
LIST_OPERATORS = ("in", "notin")
PATTERN_OPERATORS = ("like", "ilike")
UNARY_OPERATORS = ("isnull", "isnotnull")

T = TypeVar("T")
MakeLeaf = Callable[[pb.Comparison, str], T]
MakeAnyOf = Callable[[tuple[T, ...]], T]


def conditions(query: pb.LiveQuery, leaf: MakeLeaf[T], any_of: MakeAnyOf[T]) -> tuple[T, ...]:
    """Return the predicates of ``where``, all of which must hold.

    ``leaf`` makes a predicate of a comparison and its path; ``any_of`` makes the disjunction of
    predicates. Raises TierError for empty conditions, for too many and for groups too deep.
    """
    walk = _Conditions(leaf, any_of)
    return tuple(
        walk.predicate(condition, f"where[{index}]", 0)
        for index, condition in enumerate(query.where)
    )


class _Conditions(Generic[T]):
    """A walk over conditions, which counts them."""

    def __init__(self, leaf: MakeLeaf[T], any_of: MakeAnyOf[T]) -> None:
        self._leaf = leaf
        self._any_of = any_of
        self._count = 0

    def predicate(self, condition: pb.Condition, path: str, depth: int) -> T:
        self._count += 1
        if self._count > MAX_CONDITIONS:
            raise invalid_argument(
                "TOO_MANY_CONDITIONS", "where", f"at most {MAX_CONDITIONS} conditions are taken"
            )
        match condition.WhichOneof("kind"):
            case "comparison":
                return self._leaf(condition.comparison, path)
            case "or_group":
                return self._disjunction(condition.or_group, path, depth + 1)
        raise invalid_argument("EMPTY_CONDITION", path, "the condition is empty")

    def _disjunction(self, group: pb.OrGroup, path: str, depth: int) -> T:
        field = f"{path}.or"
        if not group.conditions:
            raise invalid_argument("EMPTY_CONDITION", field, "the or group has no members")
        if depth > MAX_DEPTH:
            raise invalid_argument("TOO_DEEP", field, f"or groups nest at most {MAX_DEPTH} deep")
        return self._any_of(
            tuple(
                self.predicate(member, f"{field}[{index}]", depth)
                for index, member in enumerate(group.conditions)
            )
        )


def operator_of(leaf: pb.Comparison, path: str) -> str:
    """Return the name of a comparison's operator; raise TierError when it is unknown."""
    operator = OPERATORS.get(leaf.operator)
    if operator is None:
        raise invalid_argument("UNKNOWN_OPERATOR", f"{path}.op", "the operator is unknown")
    return operator


def operands_of(leaf: pb.Comparison, operator: str, path: str) -> Sequence[pb.Value]:
    """Return a comparison's values: none for a unary operator, several for a list operator.

    Raises TierError when the comparison has not the values that its operator needs.
    """
    if operator in UNARY_OPERATORS:
        return ()
    field = f"{path}.value"
    kind = leaf.WhichOneof("operand")
    if operator not in LIST_OPERATORS:
        if kind != "value":
            raise invalid_argument("MISSING_VALUE", field, f'"{operator}" needs a value')
        return (leaf.value,)
    if kind != "list" or not leaf.list.values:
        needs = f'"{operator}" needs a list with at least one value'
        raise invalid_argument("MISSING_VALUE", field, needs)
    if len(leaf.list.values) > MAX_LIST:
        raise invalid_argument("TOO_MANY_VALUES", field, f"a list has at most {MAX_LIST} values")
    return leaf.list.values


def find_column(columns: Mapping[str, T], name: str, *, entity: str, field: str) -> T:
    """Return the column called exactly ``name``; raise TierError when there is none."""
    column = columns.get(name)
    if column is None:
        message = f"{entity} has no column {quoted(name)}{did_you_mean(name, columns)}"
        raise invalid_argument("UNKNOWN_COLUMN", field, message)
    return column


def sort_keys(query: pb.LiveQuery) -> Sequence[pb.SortKey]:
    """Return the sort keys; raise TierError when they are too many."""
    if len(query.sort) > MAX_SORT_KEYS:
        message = f"at most {MAX_SORT_KEYS} sort keys are taken"
        raise invalid_argument("TOO_MANY_SORT_KEYS", "sort", message)
    return query.sort


def effective_query(query: pb.LiveQuery) -> pb.LiveQuery:
    """Return the query as it is run: limit capped, mode chosen, an empty cursor removed.

    Raises TierError for a limit below 1 and for an unknown mode.
    """
    if query.limit < 1:
        raise invalid_argument("BAD_LIMIT", "limit", "the limit must be at least 1")
    if query.mode not in (pb.MODE_UNSPECIFIED, pb.MODE_MAINTAINED, pb.MODE_STREAMED):
        raise invalid_argument("UNKNOWN_MODE", "mode", f"there is no mode {query.mode}")
    effective = pb.LiveQuery()
    effective.CopyFrom(query)
    effective.limit = min(query.limit, MAX_LIMIT)
    effective.mode = query.mode or pb.MODE_MAINTAINED
    if not query.cursor.values:
        effective.ClearField("cursor")
    return effective


def cursor_values(query: pb.LiveQuery) -> Sequence[pb.Value] | None:
    """Return the cursor's values: one per sort key, then the id. None: no cursor.

    Raises TierError when their number is wrong.
    """
    values, needed = query.cursor.values, len(query.sort) + 1
    if not values:
        return None
    if len(values) != needed:
        raise invalid_argument(
            "BAD_CURSOR",
            "cursor.values",
            f"the cursor has {len(values)} values; {needed} are needed:"
            " one per sort key, then the id",
        )
    return values
