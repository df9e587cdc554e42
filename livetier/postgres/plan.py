"""A compiled query."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from livetier.engine.store import Plan, View
from livetier.engine.value import Scalar
from livetier.postgres.connection import Statement
from livetier.postgres.fence import Snapshot
from livetier.postgres.relation import Relation, TableColumn
from livetier.postgres.scope import Scope
from livetier.postgres.transaction import Key


@dataclass(frozen=True, slots=True)
class SortTerm:
    """One sort key."""

    column: TableColumn
    desc: bool


@dataclass(frozen=True, slots=True)
class PostgresPlan(Plan):
    """A query over one table, for one scope.

    ``window`` is the SELECT of its window; ``members`` that of all keys that match. ``filter`` is
    the condition alone, as SQL with ``params``. ``equal`` has, by column, the texts of which a
    matching row has one.
    """

    scope: Scope
    relation: Relation
    sort: tuple[SortTerm, ...]
    window: Statement
    members: Statement
    filter: str
    params: tuple[bytes | None, ...]
    equal: Mapping[str, frozenset[bytes]]


@dataclass(frozen=True, slots=True)
class PostgresView(View):
    """A view and the snapshot it is of.

    ``keys`` has the key of each row, in the window's order; ``last`` the sort columns of the last
    row, its key if there are none, as PostgreSQL prints them. In streamed mode ``members`` has the
    version of every row that matched, by its id, and ``keys`` are theirs.
    """

    plan: PostgresPlan
    snapshot: Snapshot = field(default_factory=lambda: Snapshot(0, 0))
    keys: tuple[Key, ...] = ()
    last: tuple[bytes | None, ...] = ()
    members: Mapping[Scalar, int] = field(default_factory=dict)
