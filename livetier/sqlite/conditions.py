"""Conditions of a query that Python judges as SQLite does: equalities and ranges.

Conservative: what can't be compared in the same way (``order``) is not judged. Nothing else of a
query is: patterns, negations, disjunctions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from livetier.engine.shortcuts import may_match
from livetier.sqlite.literal import Kind
from livetier.sqlite.order import Comparable, comparable
from livetier.sqlite.predicate import Compare, Predicate

Place = tuple[int] | Comparable
"""A value of the order, or the place before all values of a class."""

_LOWER = {"gt": False, "gte": True}
_UPPER = {"lt": False, "lte": True}


@dataclass(frozen=True, slots=True)
class Range:
    """The values from ``low`` to ``high``; each of them is in it or not."""

    low: Place
    high: Place
    with_low: bool
    with_high: bool

    def excludes(self, value: Comparable) -> bool:
        """Return whether ``value`` lies outside."""
        return not (
            (self.low < value or (self.with_low and self.low == value))
            and (value < self.high or (self.with_high and value == self.high))
        )


NOTHING = Range((0,), (0,), with_low=False, with_high=False)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a matching row has by column: one of these values; a value in all these ranges."""

    equal: Mapping[str, frozenset[Comparable]]
    within: tuple[tuple[str, Range], ...]

    def failed_by(self, row: Mapping[str, Comparable]) -> str:
        """Return which kind certainly fails (see ``Shortcuts``); empty if ``row`` may match.

        A column that ``row`` lacks has a value that can't be compared, which may match.
        """
        if not may_match(self.equal, row):
            return "unequal"
        for column, span in self.within:
            if column in row and span.excludes(row[column]):
                return "outside"
        return ""


def conditions_of(where: Iterable[Predicate]) -> Conditions:
    """Return those of ``where`` that are judged."""
    equal: dict[str, frozenset[Comparable]] = {}
    within: list[tuple[str, Range]] = []
    for predicate in where:
        if not isinstance(predicate, Compare):
            continue
        name = predicate.column.name
        if predicate.op in ("eq", "in"):
            values = _values(predicate)
            if values is not None:
                equal[name] = equal[name] & values if name in equal else values
        elif predicate.op in _LOWER or predicate.op in _UPPER:
            found = _range(predicate)
            if found is not None:
                within.append((name, found))
    return Conditions(equal, tuple(within))


def _values(leaf: Compare) -> frozenset[Comparable] | None:
    # NULL, and a number that cannot be stored, equal nothing.
    values = [
        comparable(literal.value)
        for literal in leaf.literals
        if literal.exact and literal.kind is not Kind.NULL
    ]
    return None if None in values else frozenset(value for value in values if value is not None)


def _range(leaf: Compare) -> Range | None:
    """Return the values of a range's own class that are in it."""
    (literal,) = leaf.literals
    if literal.kind is Kind.NULL:
        return NOTHING
    bound = comparable(literal.value)
    if bound is None:
        return None
    # An inexact literal is above whatever equals its value.
    if leaf.op in _LOWER:
        takes = _LOWER[leaf.op] and literal.exact
        return Range(bound, (bound[0] + 1,), with_low=takes, with_high=False)
    takes = _UPPER[leaf.op] or not literal.exact
    return Range((bound[0],), bound, with_low=False, with_high=takes)
