"""What a plan showed, and what the next reading needs to know of it."""

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from livetier.engine.merge import Known
from livetier.engine.store import View
from livetier.engine.window import Window
from livetier.sqlite.compile import SqlitePlan
from livetier.sqlite.literal import SqlValue
from livetier.sqlite.order import NotComparableError


@dataclass(frozen=True, slots=True)
class Head:
    """The first rows of a result; all views of that result share it.

    ``keys`` are those of the rows. What sorts after ``last`` is not among them; None if that can't
    be told.
    """

    known: Known
    keys: frozenset[SqlValue] = frozenset()
    last: tuple[object, ...] | None = None

    @property
    def rows(self) -> Window:
        """The rows."""
        return self.known.rows

    @property
    def reach(self) -> tuple[int, bool]:
        """Of two heads of one result at one moment, that with the greater reach has more of it."""
        return len(self.known.rows), self.known.complete


NOTHING = Head(Known((), complete=True))


@dataclass(frozen=True, slots=True)
class SqliteView(View):
    """A view as of number ``as_of`` of the change log.

    ``head`` has its rows and maybe some after them. ``members`` has, in streamed mode, the version
    of every row that matched.
    """

    plan: SqlitePlan
    as_of: int = 0
    head: Head = NOTHING
    members: Mapping[SqlValue, int] = field(default_factory=dict)

    @property
    def keys(self) -> Container[SqlValue]:
        """The keys of the rows that are known to be in the result."""
        return self.members if self.plan.streamed else self.head.keys


def head_of(plan: SqlitePlan, known: Known) -> Head:
    """Return what is known of the result of ``plan`` as a head."""
    last = None
    if known.rows and not known.complete:
        with suppress(NotComparableError):
            last = plan.order(known.rows[-1].order)
    return Head(known, frozenset([row.key for row in known.rows]), last)


def maintained_view(plan: SqlitePlan, head: Head, as_of: int) -> SqliteView:
    """Return the view of a maintained plan of whose result this is the head."""
    return SqliteView(plan, head.rows[: plan.query.limit], as_of, head)
