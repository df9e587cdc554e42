"""SQLite's order and equality, where Python has exactly the same.

NULL < numbers < text < blobs. Numbers compare by value, integers and reals alike, in SQLite as in
Python. Text compares by code point: SQLite compares the bytes of UTF-8, which is the same. Blobs
compare by byte. What is not the same is not comparable: text that is not UTF-8, which was read with
replacement characters.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from livetier.engine.value import Scalar
from livetier.sqlite.literal import SqlValue

_REPLACEMENT = "\ufffd"

Comparable: TypeAlias = tuple[int, int | float | str | bytes]


def lossy(value: SqlValue) -> bool:
    """Return whether ``value`` may not be what is stored: text that was not UTF-8."""
    return isinstance(value, str) and _REPLACEMENT in value


def comparable(value: SqlValue) -> Comparable | None:
    """Return what Python compares as SQLite compares ``value``; None if there is nothing such."""
    match value:
        case None:
            return (0, 0)
        case str():
            return None if lossy(value) else (2, value)
        case bytes():
            return (3, value)
    return (1, value)


class _Descending:
    """Compares the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Comparable) -> None:
        self.value = value

    def __lt__(self, other: "_Descending") -> bool:
        return other.value < self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Descending) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)


class NotComparableError(Exception):
    """A row has a value whose place in SQLite's order Python can't tell."""


Order: TypeAlias = Callable[[tuple[Scalar, ...]], tuple[object, ...]]
"""Makes of a row's ``order`` what sorts as the row does. Raises NotComparableError."""


@lru_cache(maxsize=1024)
def order_by(descending: tuple[bool, ...]) -> Order:
    """Return the order; ``descending`` for each sort key, the row's key excluded.

    It is the same one for the same directions.
    """
    directions = (*descending, False)

    def place(order: tuple[Scalar, ...]) -> tuple[object, ...]:
        parts: list[object] = []
        for value, desc in zip(order, directions, strict=True):
            part = comparable(value)
            if part is None:
                raise NotComparableError
            parts.append(_Descending(part) if desc else part)
        return tuple(parts)

    return place
