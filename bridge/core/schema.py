"""Schema: what a tier says can be asked for (`Describe`), as values.

Types and operators are the words of docs/wire.md: `int`, `timestamp`, `notin`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchemaColumn:
    """A member of an entity's rows that conditions and sorts may name."""

    name: str
    type: str = ""
    """How its values look in JSON; empty: any JSON."""
    nullable: bool = False
    sortable: bool = False
    operators: tuple[str, ...] = ()
    """Those that it allows; none: all that suit its type."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class SchemaEntity:
    """What a query's `entity` may name."""

    name: str
    columns: tuple[SchemaColumn, ...] = ()
    key: tuple[str, ...] = ()
    """The columns that make up `agg_id`, in order; none: not told."""
    description: str = ""
    max_limit: int = 0
    """The largest window; 0: not told."""


@dataclass(frozen=True, slots=True)
class Schema:
    """All entities that one caller may ask for."""

    entities: tuple[SchemaEntity, ...] = ()
