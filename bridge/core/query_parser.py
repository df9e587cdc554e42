"""Query parser: reads a LiveQuery from JSON (docs/wire.md §1).

It reads as Go's encoding/json does, as clients of the original gateway expect: keys match under
case folding, unknown keys are ignored, the last repeat of a key wins, null is the zero value. A
refusal names the offending member by its path: `where[1].or[0].op`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from .errors import Failed, Kind
from .json_tree import JsonError, JsonNumber, JsonObject, compact_size, fold_key, parse_json
from .query import (
    MAINTAINED,
    STREAMED,
    Comparison,
    Condition,
    LiveQuery,
    OrGroup,
    SortKey,
    bad_query,
    check_arity,
)
from .value import Cursor, Value, value_from_tree

OPERATORS = frozenset(
    ["eq", "ne", "gt", "gte", "lt", "lte", "in", "notin", "like", "ilike", "isnull", "isnotnull"]
)
LIST_OPERATORS = frozenset(["in", "notin"])
UNARY_OPERATORS = frozenset(["isnull", "isnotnull"])

MAX_BYTES = 16 * 1024
MAX_OR_DEPTH = 32
MAX_CONDITIONS = 256
MAX_LIST = 1000
MAX_SORT_KEYS = 16
INT32_MAX = 2**31 - 1

T = TypeVar("T")


def parse_query(data: bytes | str, *, max_limit: int = 0) -> LiveQuery:
    """Parse a LiveQuery from JSON text.

    Args:
        data: at most 16 KiB of UTF-8.
        max_limit: the largest `limit` allowed; 0 allows any.

    Raises:
        Failed: MESSAGE_TOO_LARGE, MALFORMED or BAD_QUERY, naming the field.

    """
    size = len(data) if isinstance(data, bytes) else len(data.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise query_too_large(size)
    try:
        tree = parse_json(data)
    except JsonError as error:
        raise Failed(Kind.MALFORMED, str(error), field="query") from None
    return query_from_tree(tree, max_limit=max_limit)


def check_size(tree: Any, *, message_size: int) -> None:
    """Refuse a query of more than 16 KiB, white space not counted, in a message of that many bytes.

    Raises:
        Failed: MESSAGE_TOO_LARGE.

    """
    # Compact text is never longer than the text that was parsed: most messages need no measuring.
    if message_size > MAX_BYTES and (size := compact_size(tree)) > MAX_BYTES:
        raise query_too_large(size)


def query_too_large(size: int) -> Failed:
    """Return a failure for a query of that many bytes."""
    return Failed(
        Kind.MESSAGE_TOO_LARGE, f"a query may have {MAX_BYTES} bytes, not {size}", field="query"
    )


def query_from_tree(tree: Any, *, max_limit: int = 0) -> LiveQuery:
    """Read a LiveQuery from a JSON tree.

    Raises:
        Failed: MALFORMED for a member of the wrong type, BAD_QUERY for a wrong value.

    """
    members = _fold_keys(tree, "query")
    entity = _member(members, "entity", str, "")
    if not entity:
        raise bad_query("entity", "an entity is needed")
    where = _ConditionReader().conditions(_member(members, "where", list, []))
    sort = _sort(_member(members, "sort", list, []))
    limit = _limit(members.get("limit"), max_limit)
    mode = read_int32(members.get("mode"), "mode")
    if mode not in (MAINTAINED, STREAMED):
        raise bad_query("mode", "a mode is 0 (maintained) or 1 (streamed)")
    cursor = read_cursor(members.get("cursor"))
    check_arity(cursor, sort)
    return LiveQuery(entity, where, sort, limit, cursor, mode)


def _limit(tree: Any, max_limit: int) -> int:
    limit = read_int32(tree, "limit")
    if limit < 1:
        raise bad_query("limit", "a limit is at least 1")
    check_limit(limit, max_limit)
    return limit


def check_limit(limit: int, max_limit: int) -> None:
    """Refuse a `limit` above the configured one; `max_limit` 0 allows any."""
    if max_limit and limit > max_limit:
        raise bad_query("limit", f"the largest limit here is {max_limit}", limit="rows")


def read_int32(tree: Any, field: str) -> int:
    """Read an int32 that is written as an integer literal; null is 0.

    Raises:
        Failed: MALFORMED for anything else, BAD_QUERY beyond int32.

    """
    if tree is None:
        return 0
    if not isinstance(tree, JsonNumber) or any(mark in tree.text for mark in ".eE"):
        raise _malformed(field, "an integer is needed")
    # Eleven characters hold every int32. Longer text is not parsed: that takes quadratic time.
    if len(tree.text) > 11 or not -INT32_MAX - 1 <= (number := int(tree.text)) <= INT32_MAX:  # noqa: PLR2004
        raise bad_query(field, "an integer of 32 bits is needed")
    return number


def read_cursor(tree: Any) -> Cursor:
    """Read a cursor. One without values (null, `{}`, empty) is the head: None.

    Raises:
        Failed: MALFORMED for a member of the wrong type, BAD_QUERY for a number beyond a double.

    """
    if tree is None:
        return None
    members = _fold_keys(tree, "cursor")
    values: list[Any] = _member(members, "values", list, [], field="cursor.values")
    typed = tuple(_value(v, f"cursor.values[{i}]") for i, v in enumerate(values))
    return typed or None


def _sort(trees: list[Any]) -> tuple[SortKey, ...]:
    if len(trees) > MAX_SORT_KEYS:
        raise bad_query("sort", f"at most {MAX_SORT_KEYS} sort keys")
    keys = []
    for index, tree in enumerate(trees):
        path = f"sort[{index}]"
        members = _fold_keys(tree, path)
        column = _member(members, "column", str, "", field=f"{path}.column")
        if not column:
            raise bad_query(f"{path}.column", "a column is needed")
        keys.append(
            SortKey(column, desc=_member(members, "desc", bool, False, field=f"{path}.desc"))
        )
    return tuple(keys)


class _ConditionReader:
    """Reads the conditions of one query and counts them: MAX_CONDITIONS is for the whole tree."""

    def __init__(self) -> None:
        self._count = 0

    def conditions(
        self, trees: list[Any], path: str = "where", depth: int = 0
    ) -> tuple[Condition, ...]:
        if depth > MAX_OR_DEPTH:
            raise bad_query(path, f"'or' nests at most {MAX_OR_DEPTH} deep")
        return tuple(self._condition(t, f"{path}[{i}]", depth) for i, t in enumerate(trees))

    def _condition(self, tree: Any, path: str, depth: int) -> Condition:
        self._count += 1
        if self._count > MAX_CONDITIONS:
            raise bad_query(path, f"at most {MAX_CONDITIONS} conditions", limit="conditions")
        members = _fold_keys(tree, path)
        column = _member(members, "column", str, "", field=f"{path}.column")
        operator = _member(members, "op", str, "", field=f"{path}.op")
        group: list[Any] = _member(members, "or", list, [], field=f"{path}.or")
        if group:
            _value(members.get("value"), f"{path}.value")  # ignored, but must be valid
            return OrGroup(self.conditions(group, f"{path}.or", depth + 1))
        if not column:
            raise bad_query(f"{path}.column", "a column is needed")
        if operator not in OPERATORS:
            raise bad_query(f"{path}.op", f"an operator is one of {' '.join(sorted(OPERATORS))}")
        return Comparison(
            column, operator, _operand(operator, members.get("value"), f"{path}.value")
        )


def _operand(operator: str, tree: Any, path: str) -> Value | tuple[Value, ...]:
    if operator in UNARY_OPERATORS:
        _value(tree, path)  # ignored, but must be valid
        return None
    if operator in LIST_OPERATORS:
        if not isinstance(tree, list) or not tree:
            raise bad_query(path, f"'{operator}' needs a list of at least one value")
        if len(tree) > MAX_LIST:
            raise bad_query(path, f"at most {MAX_LIST} values in a list")
        return tuple(_value(v, f"{path}[{i}]") for i, v in enumerate(tree))
    if tree is None:
        raise bad_query(path, f"'{operator}' needs a value")
    return _value(tree, path)


def _value(tree: Any, path: str) -> Value:
    try:
        return value_from_tree(tree)
    except ValueError as error:
        raise bad_query(path, str(error)) from None


def _fold_keys(tree: Any, path: str) -> dict[str, Any]:
    """Return the members of an object by folded key; null is the empty object, as in Go."""
    if tree is None:
        return {}
    if not isinstance(tree, JsonObject):
        raise _malformed(path, "an object is needed")
    return {fold_key(key): member for key, member in tree.pairs}


_TYPE_NAMES = {str: "text", list: "a list", bool: "true or false"}


def _member(
    members: dict[str, Any], key: str, kind: Callable[..., T], zero: T, *, field: str = ""
) -> T:
    """Return a member of type `kind`; `zero` if it is absent or null."""
    tree = members.get(key)
    if tree is None:
        return zero
    if not isinstance(tree, kind):  # type: ignore[arg-type]  # str, list and bool are classes
        raise _malformed(field or key, f"{_TYPE_NAMES[kind]} is needed")  # type: ignore[index]
    member: T = tree
    return member


def _malformed(field: str, message: str) -> Failed:
    return Failed(Kind.MALFORMED, message, field=field)
