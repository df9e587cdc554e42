"""What a plan showed, and what the next reading needs to know of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from livetier.engine.merge import Known
from livetier.engine.store import View
from livetier.sqlite.compile import SqlitePlan
from livetier.sqlite.literal import SqlValue

NOTHING = Known((), complete=True)


@dataclass(frozen=True, slots=True)
class SqliteView(View):
    """A view as of number ``as_of`` of the change log.

    ``known`` has its rows and maybe some after them; ``keys`` are theirs. ``members`` has, in
    streamed mode, the version of every row that matched.
    """

    plan: SqlitePlan
    as_of: int = 0
    known: Known = NOTHING
    keys: frozenset[SqlValue] = frozenset()
    members: Mapping[SqlValue, int] = field(default_factory=dict)


def maintained_view(plan: SqlitePlan, known: Known, as_of: int) -> SqliteView:
    """Return the view of a maintained plan of which these rows are known."""
    keys = frozenset(row.key for row in known.rows)
    return SqliteView(plan, known.rows[: plan.query.limit], as_of, known, keys)
