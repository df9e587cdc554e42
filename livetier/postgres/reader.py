"""Readings: due windows, read in one transaction under one snapshot.

The statements of all windows travel in one round trip; a second one asks for rows that a window no
longer shows, since they may still match. Nothing is remembered here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from livetier.engine.store import Step
from livetier.engine.value import Scalar
from livetier.engine.window import Row, Window, edit_script, membership
from livetier.postgres import sql
from livetier.postgres.catalogue import REWRITTEN, oid_array
from livetier.postgres.connection import Connection, Rows, Statement
from livetier.postgres.database_error import DatabaseError
from livetier.postgres.fence import Snapshot
from livetier.postgres.plan import PostgresPlan, PostgresView
from livetier.postgres.rows import encode_members, encode_rows
from livetier.postgres.scope import Scope

REWRITTEN_STATE = "40001"
BEGIN = Statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
COMMIT = Statement("COMMIT")
LOOK = Statement(
    "SELECT pg_catalog.pg_current_snapshot(),"
    " pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 8)",
    kept=True,
)
"""The snapshot and the timeline. Fails on a standby, whose snapshots are no fence."""

LOG_END = Statement(
    "SELECT pg_catalog.pg_current_wal_flush_lsn() - '0/0'::pg_catalog.pg_lsn", kept=True
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a transaction sees: its snapshot, and the timeline of its server."""

    snapshot: Snapshot
    timeline: int

    @classmethod
    def of(cls, rows: Rows) -> "Look":
        """Return what ``LOOK`` answered."""
        snapshot, timeline = rows[0]
        return cls(Snapshot.parse((snapshot or b"").decode()), int(timeline or b"0", 16))


async def first(connection: Connection, plan: PostgresPlan) -> PostgresView:
    """Read a window for the first time, in a transaction of its own and one round trip."""
    await connection.reset()
    asked = plan.members if plan.streamed else plan.window
    answers = await connection.run(
        [BEGIN, LOOK, *plan.scope.enter(), asked, _rewritten([plan]), COMMIT]
    )
    if answers[-2]:
        raise DatabaseError("the table was rewritten meanwhile", REWRITTEN_STATE)
    answers = answers[:-1]
    snapshot = Look.of(answers[1]).snapshot
    if plan.streamed:
        members, keys = encode_members(plan, answers[-2], snapshot, {})
        return PostgresView(plan, snapshot=snapshot, keys=keys, members=members)
    return _view(plan, answers[-2], snapshot, {})


async def page(connection: Connection, view: PostgresView) -> Window:
    """Read the page of a streamed view, as it is now."""
    await connection.reset()
    answers = await connection.run(
        [BEGIN, LOOK, *view.plan.scope.enter(), view.plan.window, COMMIT]
    )
    snapshot = Look.of(answers[1]).snapshot
    return tuple(row for row, _, _ in encode_rows(view.plan, answers[-2], snapshot, {}))


async def read(
    connection: Connection, views: Sequence[tuple[PostgresView, PostgresPlan]], snapshot: Snapshot
) -> list[Step[PostgresView]]:
    """Read views again under their present plans, in the open transaction, and end it.

    Raises DatabaseError if a statement fails; which one is not told. Its state is
    ``REWRITTEN_STATE`` if a table was rewritten after the snapshot, and looked empty to it.
    """
    ordered = sorted(views, key=lambda pair: repr(pair[1].scope))
    answers = await _run(
        connection,
        [(plan.scope, plan.members if plan.streamed else plan.window) for _, plan in ordered],
        _rewritten([plan for _, plan in ordered]),
    )
    if answers.pop():
        raise DatabaseError("a table was rewritten meanwhile", REWRITTEN_STATE)
    readings = [
        _Reading(view, plan, rows, snapshot)
        for (view, plan), rows in zip(ordered, answers, strict=True)
    ]
    asking = [each for each in readings if each.asked]
    answers = await _run(
        connection, [(each.plan.scope, each.question()) for each in asking], COMMIT
    )
    for each, rows in zip(asking, answers[:-1], strict=True):
        each.answer(rows)
    return [each.step() for each in readings]


async def _run(
    connection: Connection, statements: Sequence[tuple[Scope, Statement]], after: Statement
) -> list[Rows]:
    """Run each statement in its scope, then one more; return the rows of each."""
    sent: list[Statement] = []
    places = []
    scope = None
    for wanted, statement in statements:
        if wanted != scope and (wanted.guarded or scope is not None):
            sent += wanted.enter()
        scope = wanted
        places.append(len(sent))
        sent.append(statement)
    answers = await connection.run([*sent, after])
    return [*(answers[place] for place in places), answers[-1]]


def _rewritten(plans: Sequence[PostgresPlan]) -> Statement:
    oids = {oid for plan in plans for oid in (plan.relation.oid, *plan.relation.sources)}
    return Statement(REWRITTEN, (oid_array(sorted(oids)),), kept=True)


class _Reading:
    """A view being read again. ``asked`` has the keys whose rows must be asked for as well."""

    def __init__(
        self, view: PostgresView, plan: PostgresPlan, rows: Rows, snapshot: Snapshot
    ) -> None:
        self._view = view
        self.plan = plan
        self._snapshot = snapshot
        self._present: dict[Scalar, Row] = {}
        self._known = {row.key: row for row in view.rows}
        if plan.streamed:
            self._members, keys = encode_members(plan, rows, snapshot, view.members)
            if plan.relation.columns != view.plan.relation.columns:
                self._members = {key: version + 1 for key, version in self._members.items()}
            self._after = PostgresView(plan, snapshot=snapshot, keys=keys, members=self._members)
            self._changed = {
                each: version
                for each, version in self._members.items()
                if view.members.get(each) != version
            }
            self.asked = [
                key for each, key in zip(self._members, keys, strict=True) if each in self._changed
            ]
        else:
            self._after = _view(plan, rows, snapshot, self._known)
            shown = set(self._after.keys)
            self.asked = [key for key in view.keys if key not in shown]

    def question(self) -> Statement:
        """Return the SELECT of the rows asked for."""
        columns = [key.column for key in self.plan.sort]
        return sql.matching(
            self.plan.relation, columns, (self.plan.filter, self.plan.params), self.asked
        )

    def answer(self, rows: Rows) -> None:
        """Take the rows that were asked for: those that match now."""
        encoded = encode_rows(self.plan, rows, self._snapshot, self._known)
        self._present = {row.key: row for row, _, _ in encoded}

    def step(self) -> Step[PostgresView]:
        """Return the step to the view as it is now."""
        view, after = self._view, self._after
        if not self.plan.streamed:
            limit = self.plan.query.limit
            return Step(view, after, edit_script(view.rows, after.rows, limit, self._present))
        gone = {each: number for each, number in view.members.items() if each not in after.members}
        changed = {**gone, **self._changed}
        present = {
            key: Row(self._members[key], row.json, row.order)
            for key, row in self._present.items()
            if key in self._members
        }
        return Step(view, after, membership(view.members, present, changed))


def _view(
    plan: PostgresPlan, rows: Rows, snapshot: Snapshot, known: Mapping[Scalar, Row]
) -> PostgresView:
    encoded = encode_rows(plan, rows, snapshot, known)
    last: tuple[bytes | None, ...] = ()
    if encoded:
        _, key, sort = encoded[-1]
        last = sort or key
    return PostgresView(
        plan,
        rows=tuple([row for row, _, _ in encoded]),
        snapshot=snapshot,
        keys=tuple([key for _, key, _ in encoded]),
        last=last,
    )
