"""What a query asks of a row: comparisons, all of which must hold, and disjunctions of some."""

from dataclasses import dataclass
from typing import TypeAlias

from livetier.sqlite.database import Column
from livetier.sqlite.literal import Literal


@dataclass(frozen=True, slots=True)
class Compare:
    """``column op literals``: no literal for the NULL tests, several for the list operators."""

    column: Column
    op: str
    literals: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A disjunction."""

    members: tuple["Predicate", ...]


Predicate: TypeAlias = Compare | AnyOf
