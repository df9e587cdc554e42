"""A window of the ledger."""

from dataclasses import dataclass, field

from livetier.postgres.plan import PostgresView
from livetier.postgres.sort_bound import SortBound
from livetier.postgres.transaction import Transaction


@dataclass(slots=True)
class Watched:
    """A window that is kept current.

    ``due`` has the transactions it lacks, in their order; ``forced`` numbers the force that it has
    not been read after, 0 if there is none.
    """

    view: PostgresView
    bound: SortBound | None
    due: list[Transaction] = field(default_factory=list)
    forced: int = 0
