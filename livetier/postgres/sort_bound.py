"""Rows that sort beyond a full window, where Python shares PostgreSQL's order exactly. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from livetier.postgres.pgoutput import Text
from livetier.postgres.plan import PostgresPlan, PostgresView
from livetier.postgres.relation import TableColumn


@dataclass(frozen=True, slots=True)
class SortBound:
    """The sort keys of a window, all of types whose order is shared; the row's key is not judged.

    A row with equal sort keys counts as within.
    """

    terms: tuple[tuple[TableColumn, bool], ...]
    limit: int

    @classmethod
    def of(cls, plan: PostgresPlan) -> "SortBound | None":
        """Return the bound of a plan, or None if it cannot have one."""
        terms = [(key.column, key.desc) for key in plan.sort]
        if not terms and len(plan.relation.key) == 1:
            terms = [(plan.relation.key[0], False)]
        usable = all(column.type.order is not None and column.sent for column, _ in terms)
        if plan.streamed or not terms or not usable:
            return None
        return cls(tuple(terms), plan.query.limit)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that decide."""
        return tuple(column.name for column, _ in self.terms)

    def excludes(self, row: Mapping[str, Text], view: PostgresView) -> bool:
        """Return whether ``row`` certainly sorts after the last row of ``view``, which is full."""
        if len(view.rows) < self.limit or not view.last:
            return False
        for (column, desc), last in zip(self.terms, view.last, strict=False):
            if column.name not in row:
                return False
            text = row[column.name]
            if text == last:
                continue
            if text is None or last is None:
                # NULLs are last ascending and first descending.
                return (text is None) != desc
            order = column.type.order
            one, other = (order(text), order(last)) if order else (None, None)
            if one is None or other is None or one == other:
                return False
            return _sorts_after(one, other) != desc
        return False


def _sorts_after(one: Any, other: Any) -> bool:
    return bool(one > other)
