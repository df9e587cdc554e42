"""Plans, and the tables that they were compiled against."""

from collections.abc import Collection, Iterable

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.errors import TierError, invalid_argument
from livetier.postgres.capture import Capture
from livetier.postgres.catalogue import Catalogue
from livetier.postgres.compile import compile_query
from livetier.postgres.options import PostgresOptions
from livetier.postgres.plan import PostgresPlan
from livetier.postgres.pool import ReadPool
from livetier.postgres.relation import Relation
from livetier.postgres.scope import Scope

MOST_RELATIONS = 1000


class Planner:
    """Compiles queries, and again once their table was altered.

    What a table looks like is remembered, for a second at the longest after it was altered. A
    query that it refuses is judged by the table as it is now.
    """

    def __init__(self, pool: ReadPool, options: PostgresOptions, capture: Capture) -> None:
        self._pool = pool
        self._capture = capture
        self._relations: dict[tuple[Scope, str], Relation] = {}
        self._outdated: set[Relation] = set()
        self.catalogue = Catalogue(options.schemas, guarded=bool(options.rules.settings))

    async def plan(self, query: pb.LiveQuery, scope: Scope) -> PostgresPlan:
        """Return the plan of ``query``; changes of its tables are learnt from here on.

        Raises TierError with the field at fault, and DatabaseError.
        """
        name = query.entity
        if not name:
            raise invalid_argument("MISSING_ENTITY", "entity", "the query names no entity")
        known = self._relations.get((Scope(role=scope.role), name))
        if known is not None:
            try:
                # Only values are cast: that is the same for every role, and needs no transaction.
                async with self._pool.connection() as connection:
                    return await compile_query(connection, known, query, scope)
            except TierError as error:
                if error.reason not in ("UNKNOWN_COLUMN", "WRONG_TYPE", "BAD_VALUE", "BAD_CURSOR"):
                    raise  # the others may be another answer once the table was altered
        altered = True
        while altered:
            async with self._pool.transaction(scope) as connection:
                relation = await self.catalogue.relation(connection, name)
                plan = await compile_query(connection, relation, query, scope)
            altered = await self._capture.watch(relation)
        if len(self._relations) >= MOST_RELATIONS:
            self._relations.clear()
        self._relations[Scope(role=scope.role), name] = relation
        return plan

    async def relations(self, scope: Scope) -> list[Relation]:
        """Return the tables that can be live and that the scope's role may read."""
        async with self._pool.transaction(scope) as connection:
            return await self.catalogue.relations(connection)

    async def plan_again(self, plan: PostgresPlan) -> PostgresPlan:
        """Return the plan of the same query against its table as it is now."""
        self._forget(plan.relation)
        return await self.plan(plan.query, plan.scope)

    def is_outdated(self, relation: Relation) -> bool:
        """Return whether a table was altered since ``relation`` was read."""
        return relation in self._outdated

    def outdate(self, relations: Iterable[Relation], used: Collection[Relation]) -> None:
        """Take note that tables were altered; ``used`` are those that plans still refer to."""
        self._outdated.intersection_update(used)
        for relation in relations:
            self._outdated.add(relation)
            self._forget(relation)

    def _forget(self, relation: Relation) -> None:
        self._relations = {
            key: each for key, each in self._relations.items() if each.oid != relation.oid
        }
