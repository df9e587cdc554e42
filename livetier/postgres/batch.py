"""A batch of due windows, read together; each for itself once one of the queries fails."""

import logging
from collections.abc import Sequence
from typing import TypeAlias

from livetier.engine.errors import TierError, query_failed
from livetier.engine.store import Step
from livetier.postgres import reader
from livetier.postgres.connection import Connection
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.plan import PostgresPlan, PostgresView
from livetier.postgres.planner import Planner
from livetier.postgres.reader import BEGIN, LOOK, REWRITTEN_STATE, Look

MOST_ATTEMPTS = 5

Pair: TypeAlias = tuple[PostgresView, PostgresPlan]
"""A view, and the plan under which it is read now."""

_log = logging.getLogger("livetier")


class Batch:
    """Reads views again in the transaction that is open."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner

    async def steps(
        self, connection: Connection, pairs: Sequence[Pair], look: Look
    ) -> list[Step[PostgresView]]:
        """Return the steps of the views; a view without one is still due.

        Raises DatabaseError if the connection is lost, and with the state ``REWRITTEN_STATE``.
        """
        try:
            return await reader.read(connection, pairs, look.snapshot)
        except DatabaseError as error:
            if error.lost or error.sqlstate == REWRITTEN_STATE:
                raise
        # One of the queries failed, and the transaction with it: each for itself.
        steps = []
        for view, plan in pairs:
            steps += await self._alone(connection, view, plan)
        return steps

    async def _alone(
        self, connection: Connection, view: PostgresView, plan: PostgresPlan
    ) -> list[Step[PostgresView]]:
        """Read one window; its step has an error if its query cannot be run."""
        for attempt in range(1, MOST_ATTEMPTS + 1):
            try:
                await connection.reset()
                answers = await connection.run([BEGIN, LOOK])
                snapshot = Look.of(answers[1]).snapshot
                return await reader.read(connection, [(view, plan)], snapshot)
            except DatabaseError as error:
                if error.lost:
                    raise
                if error.sqlstate == REWRITTEN_STATE and attempt == MOST_ATTEMPTS:
                    return []  # rewritten again and again: it is still due
                if not is_altered(error) or attempt == MOST_ATTEMPTS:
                    _log.warning("a query over %s failed: %s", plan.relation.entity, error)
                    return [Step(view, view, error=query_failed())]
            try:
                plan = await self._planner.plan_again(plan)
            except TierError as refusal:
                return [Step(view, view, error=refusal)]
        raise AssertionError("the last attempt returned")


def is_altered(error: DatabaseError) -> bool:
    """Return whether a statement may have failed because its table was altered."""
    return error.sqlstate[:2] == "42" or error.sqlstate in ("0A000", REWRITTEN_STATE)
