"""Due windows read again, under one snapshot.

Laws:

- A plan is no newer than the snapshot that it is read under. A table that was altered is looked up
  again first, and then the snapshot is taken: what was committed between is delivered by nobody,
  if the table is a new one, and would be missing from an older snapshot.
- A reading satisfies the forces that came before its snapshot was asked for, and no later one.
- Nothing is remembered of a reading before all of it succeeded.
"""

import asyncio
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence

import grpc

from livetier.engine.errors import TierError
from livetier.engine.store import Step, Views
from livetier.postgres.batch import MOST_ATTEMPTS, Batch, Pair
from livetier.postgres.capture import Capture
from livetier.postgres.catalogue import VERSIONS, oid_array
from livetier.postgres.connection import Connection, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.ledger import Ledger
from livetier.postgres.plan import PostgresPlan, PostgresView
from livetier.postgres.planner import Planner
from livetier.postgres.reader import BEGIN, LOOK, REWRITTEN_STATE, Look
from livetier.postgres.relation import Relation
from livetier.postgres.watched import Watched

GONE_SECONDS = 3.0
"""How long a table may be gone before its windows end: one that is made anew is followed."""

Plans = dict[Hashable, PostgresPlan | TierError]
"""Plans made anew during a reading, by the key of the window."""


class Rereader:
    """Reads the windows that are due."""

    def __init__(self, ledger: Ledger, capture: Capture, planner: Planner) -> None:
        self._ledger = ledger
        self._capture = capture
        self._planner = planner
        self._batch = Batch(planner)
        self._gone: dict[Relation, float] = {}
        self.readings = Counter(touched=0, forced=0)

    async def steps(
        self, connection: Connection, views: Views[PostgresView]
    ) -> list[Step[PostgresView]]:
        """Return a step for each window that was read, or whose query is refused now."""
        plans: Plans = {}
        for _ in range(MOST_ATTEMPTS):
            ticket = self._ledger.begin_look()
            try:
                look, versions = await self._look(connection, plans, ticket)
                due = [
                    each
                    for each in self._ledger.due(look.snapshot)
                    if views.get(each.view.plan.key) is each.view
                ]
                if await self._plan_again(due, plans, versions):
                    await connection.reset()
                    continue
                return await self._read(connection, due, plans, look, ticket)
            finally:
                self._ledger.end_look(ticket)
        return []  # altered again and again: all are still due

    async def _look(
        self, connection: Connection, plans: Plans, ticket: int
    ) -> tuple[Look, Mapping[int, str]]:
        """Begin a transaction; return what it sees, and the version of each table in use."""
        questions = self._capture.questions()
        used = {*self._ledger.relations(), *_relations(plans.values())}
        oids = sorted({relation.oid for relation in used})
        asked = Statement(VERSIONS, (oid_array(oids),), kept=True)
        answers = await connection.run([BEGIN, LOOK, asked, *questions])
        look = Look.of(answers[1])
        if await self._capture.take(connection, answers[3:]):
            self._ledger.force(ticket=ticket)
        found = {int(oid or b"0"): (version or b"").decode() for oid, version in answers[2]}
        self.force_altered(
            [
                each
                for each in used
                if found.get(each.oid) != each.version and not self._planner.is_outdated(each)
            ],
            used,
        )
        return look, found

    def force_altered(self, relations: Sequence[Relation], used: Iterable[Relation]) -> None:
        """Force the windows over tables that were altered since their queries were compiled."""
        if relations:
            used = set(used)
            self._planner.outdate(relations, used)
            self._gone = {each: at for each, at in self._gone.items() if each in used}
            self._ledger.force([relation.oid for relation in relations])

    async def _plan_again(
        self, due: Sequence[Watched], plans: Plans, versions: Mapping[int, str]
    ) -> bool:
        """Compile the queries over altered tables anew; return whether there is a plan to read."""
        planned = False
        for watched in due:
            key = watched.view.plan.key
            plan = plans.get(key, watched.view.plan)
            if isinstance(plan, TierError) or not self._planner.is_outdated(plan.relation):
                continue
            try:
                plans[key] = await self._planner.plan(plan.query, plan.scope)
                planned = True
            except TierError as error:
                plans[key] = error
                relation = watched.view.plan.relation
                if error.code is grpc.StatusCode.NOT_FOUND and relation.oid not in versions:
                    self._gone.setdefault(relation, asyncio.get_running_loop().time())
        return planned

    def _may_return(self, relation: Relation) -> bool:
        """Return whether a table is gone for a moment only, as in a migration of two steps."""
        since = self._gone.get(relation)
        return since is not None and asyncio.get_running_loop().time() - since < GONE_SECONDS

    async def _read(
        self,
        connection: Connection,
        due: Sequence[Watched],
        plans: Plans,
        look: Look,
        ticket: int,
    ) -> list[Step[PostgresView]]:
        pairs: list[Pair] = []
        refused: list[Step[PostgresView]] = []
        for watched in due:
            plan = plans.get(watched.view.plan.key, watched.view.plan)
            if not isinstance(plan, TierError):
                pairs.append((watched.view, plan))
                self.readings["forced" if watched.forced else "touched"] += 1
            elif not self._may_return(watched.view.plan.relation):
                refused.append(Step(watched.view, watched.view, error=plan))
        try:
            steps = await self._batch.steps(connection, pairs, look)
        except DatabaseError as error:
            if error.sqlstate != REWRITTEN_STATE:
                raise
            return refused  # all are still due, and are read under the next snapshot
        # From here on nothing waits.
        for step in steps:
            if step.error is None:
                self._ledger.succeed(step.before, step.after, ticket)
        self._ledger.see(look.snapshot)
        self._capture.read(look.snapshot, look.timeline)
        return [*steps, *refused]


def _relations(plans: Iterable[PostgresPlan | TierError]) -> set[Relation]:
    return {plan.relation for plan in plans if not isinstance(plan, TierError)}
