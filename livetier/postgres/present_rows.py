"""Rows that a log of keys names, as a reading's transaction sees them.

A window that does not show a row now concerns it only if the row belongs there as it is now: what
it was in between is nobody's. So the present row serves as the change's new tuple.

Not judged, so that any row may touch any window: rows that are too many, that the tier's own role
may not read, or that a row policy might hide from it.
"""

from collections.abc import Mapping, Sequence

from livetier.postgres import sql
from livetier.postgres.connection import Connection, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.ledger import Ledger
from livetier.postgres.pgoutput import Text
from livetier.postgres.relation import Relation
from livetier.postgres.transaction import Key

MOST_ROWS = 200
"""Rows of a table beyond which its windows are read: so many changes touch most of them."""

# A policy that would hide a row fails the statement instead.
_WHOLE = Statement("SET LOCAL row_security = off")
_AS_BEFORE = Statement("SET LOCAL row_security TO DEFAULT")

Rows = Mapping[Key, Mapping[str, Text]]
"""By key, the columns by which windows judge; a row that is missing does not exist."""


class PresentRows:
    """Asks for rows in the transaction that is open."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._opaque: set[int] = set()

    def forget(self) -> None:
        """Ask for every table again: rights may have been given meanwhile."""
        self._opaque.clear()

    async def find(
        self, connection: Connection, wanted: Mapping[int, Sequence[Key]]
    ) -> dict[int, Rows]:
        """Return the rows of ``wanted``, keys by the table's oid; of a table not judged nothing."""
        relations = {each.oid: each for each in self._ledger.relations()}
        asked: list[tuple[Relation, list[str]]] = []
        statements: list[Statement] = []
        for oid, keys in wanted.items():
            relation = relations.get(oid)
            if relation is None or oid in self._opaque or len(keys) > MOST_ROWS:
                continue
            names = [each for each in self._ledger.judged(oid) if each in relation.by_name]
            if names and keys:
                columns = [relation.by_name[name] for name in names]
                asked.append((relation, names))
                statements.append(sql.present(relation, columns, keys))
        if not asked:
            return {}
        try:
            answers = await connection.attempt([_WHOLE, *statements, _AS_BEFORE])
        except DatabaseError as error:
            if error.lost:
                raise
            self._opaque.update(relation.oid for relation, _ in asked)
            return {}
        found: dict[int, Rows] = {}
        for (relation, names), rows in zip(asked, answers[1:-1], strict=True):
            size = len(relation.key)
            found[relation.oid] = {
                row[:size]: dict(zip(names, row[size:], strict=True)) for row in rows
            }
        return found
