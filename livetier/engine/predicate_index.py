"""Which windows a changed row may concern, by their equality conditions. Pure.

Conservative: a window is left out only where one of its conditions certainly does not hold. A
value that is not known matches every condition. Anything but equality is not judged.

``values`` are whatever the store compares byte for byte: two values are equal to the database
exactly if they are equal here. NULL (None) equals nothing.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import product
from typing import TypeAlias

from livetier.engine.shortcuts import Conditions

Value: TypeAlias = Hashable

MOST_ENTRIES = 1_000
"""Entries of one window; conditions that would need more are not judged."""


class PredicateIndex:
    """Windows by their conditions. A look-up costs the same however many windows there are."""

    def __init__(self) -> None:
        # By the columns judged, then by their values.
        self._groups: dict[tuple[str, ...], dict[tuple[Value, ...], set[Hashable]]] = {}
        self._entries: dict[Hashable, tuple[tuple[str, ...], list[tuple[Value, ...]]]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._entries)

    def __contains__(self, window: Hashable) -> bool:
        return window in self._entries

    def add(self, window: Hashable, conditions: Conditions) -> None:
        """Add a window, all of whose ``conditions`` must hold; it replaces one of that name."""
        self.remove(window)
        columns = _judged(conditions)
        entries = list(product(*(conditions[column] for column in columns)))
        group = self._groups.setdefault(columns, {})
        for values in entries:
            group.setdefault(values, set()).add(window)
        self._entries[window] = (columns, entries)

    def remove(self, window: Hashable) -> None:
        """Remove a window; idempotent."""
        columns, entries = self._entries.pop(window, ((), []))
        group = self._groups.get(columns, {})
        for values in entries:
            windows = group[values]
            windows.discard(window)
            if not windows:
                del group[values]
        if not group:
            self._groups.pop(columns, None)

    def matching(self, row: Mapping[str, Value]) -> set[Hashable]:
        """Return the windows whose conditions may hold for ``row``."""
        found: set[Hashable] = set()
        for columns, group in self._groups.items():
            try:
                found |= group.get(tuple([row[column] for column in columns]), frozenset())
            except KeyError:
                for windows in _partly(group, columns, row):
                    found |= windows
        return found


def _judged(conditions: Conditions) -> tuple[str, ...]:
    """Return the columns to judge: those with the fewest values first, while entries are few."""
    chosen, entries = [], 1
    for column in sorted(conditions, key=lambda each: (len(conditions[each]), each)):
        entries *= len(conditions[column])
        if entries > MOST_ENTRIES:
            break
        chosen.append(column)
    return tuple(sorted(chosen))


def _partly(
    group: Mapping[tuple[Value, ...], set[Hashable]],
    columns: tuple[str, ...],
    row: Mapping[str, Value],
) -> Iterable[set[Hashable]]:
    """Yield the windows of ``group`` that agree with what is known of ``row``."""
    known = [(place, row[column]) for place, column in enumerate(columns) if column in row]
    for values, windows in group.items():
        if all(values[place] == value for place, value in known):
            yield windows
