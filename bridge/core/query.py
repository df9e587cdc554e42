"""LiveQuery: a query as a value, and its canonical key (docs/wire.md §1)."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

from .errors import Failed, Kind
from .value import Cursor, Value, canonical_text

MAINTAINED, STREAMED = 0, 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison. `operand` is a tuple for in/notin, None for isnull/isnotnull."""

    column: str
    operator: str
    operand: Value | tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class OrGroup:
    """A disjunction (OR) of at least one condition."""

    conditions: tuple["Condition", ...]


Condition: TypeAlias = Comparison | OrGroup


@dataclass(frozen=True, slots=True)
class SortKey:
    """One sort key; the tier appends the id, ascending, as the last."""

    column: str
    desc: bool


@dataclass(frozen=True, eq=False)
class LiveQuery:
    """A window of `limit` rows over one entity. `cursor` is the anchor; None is the head.

    Queries are equal if their keys are. As Python values, 1, 1.0 and True would be equal.
    """

    entity: str
    where: tuple[Condition, ...]
    sort: tuple[SortKey, ...]
    limit: int
    cursor: Cursor = None
    mode: int = MAINTAINED

    @cached_property
    def key(self) -> bytes:
        """The canonical form: the same bytes for equal queries. `1`, `1.0` and `true` differ."""
        cursor = "" if self.cursor is None else ",".join(map(canonical_text, self.cursor))
        sort = ",".join(f"{json.dumps(k.column)}:{int(k.desc)}" for k in self.sort)
        where = ",".join(map(_condition_text, self.where))
        text = f"{json.dumps(self.entity)}|{self.mode}|{self.limit}|[{where}]|[{sort}]|[{cursor}]"
        return text.encode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiveQuery) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def streamed(self) -> bool:
        """Whether the result is a set without order and limit."""
        return self.mode == STREAMED

    def reanchored(self, cursor: Cursor, limit: int) -> "LiveQuery":
        """Return this query at another cursor; `limit` 0 keeps the size.

        Raises:
            Failed: BAD_QUERY if the cursor does not fit the sort keys.

        """
        check_arity(cursor, self.sort)
        return replace(self, cursor=cursor, limit=limit or self.limit)


def _condition_text(condition: Condition) -> str:
    if isinstance(condition, OrGroup):
        return "{" + ",".join(map(_condition_text, condition.conditions)) + "}"
    head = f"{json.dumps(condition.column)} {condition.operator} "
    if isinstance(condition.operand, tuple):
        return head + "[" + ",".join(map(canonical_text, condition.operand)) + "]"
    return head + canonical_text(condition.operand)


def check_arity(cursor: Cursor, sort: tuple[SortKey, ...]) -> None:
    """Refuse a cursor that does not have one value per sort key, then the id; None is the head."""
    if cursor is not None and len(cursor) != len(sort) + 1:
        raise bad_query(
            "cursor.values",
            f"a cursor has one value per sort key, then the id: {len(sort) + 1}, not {len(cursor)}",
        )


def bad_query(field: str, message: str, *, limit: str | None = None) -> Failed:
    """Return a failure for a query with a wrong value at a path; `limit`: the one it is over."""
    return Failed(Kind.BAD_QUERY, message, field=field, limit=limit)
