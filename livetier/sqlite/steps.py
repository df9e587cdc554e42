"""The steps of one reading: which views have changed since they were read, and how.

Plans that differ in nothing but their limit show the beginning of one result. Their views share
what is known of it, their head, so that it is judged, merged and read once for all of them. Views
that joined one by one share a head from their first common reading on.
"""

import logging
import sqlite3
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from livetier.engine.errors import TierError, query_failed
from livetier.engine.merge import merge
from livetier.engine.shortcuts import Shortcuts
from livetier.engine.store import Step
from livetier.engine.window import Row, membership
from livetier.sqlite.changelog import Changes
from livetier.sqlite.compile import SqlitePlan
from livetier.sqlite.database import Database
from livetier.sqlite.fetch import Fetcher
from livetier.sqlite.order import NotComparableError
from livetier.sqlite.succession import Succession
from livetier.sqlite.touch import ChangedRows, changed_rows
from livetier.sqlite.view import SqliteView, head_of, maintained_view

_log = logging.getLogger("livetier")

FEW_ROWS = 8
MERGE_SECONDS = 50e-6
"""What a changed row costs a merge, about. From FEW_ROWS on, a window is read where that was
cheaper the last time."""
RESERVE = 16
"""Rows after a window that are kept, so that it need not be read when one of its rows leaves."""

Pair = tuple[SqliteView, SqlitePlan]
"""A view and its plan, which is another one after a change of the schema."""
StepOf = Step[SqliteView]


def reserve(shortcuts: Shortcuts) -> int:
    """Return how many rows after a window are read with it."""
    return RESERVE if shortcuts.on else 0


class Steps:
    """Makes the steps of a reading that ends with number ``as_of`` of the log."""

    def __init__(
        self, database: Database, changes: Changes, as_of: int, shortcuts: Shortcuts
    ) -> None:
        self._database = database
        self._fetcher = Fetcher(database.connection)
        self._changes = changes
        self._as_of = as_of
        self._shortcuts = shortcuts
        self._changed: dict[str, ChangedRows | None] = {}

    def of(self, pairs: Iterable[tuple[SqliteView, SqlitePlan | TierError]]) -> Sequence[StepOf]:
        """Return the step of each view that has a successor under its plan."""
        steps: list[StepOf] = []
        results: dict[Hashable, dict[Hashable, list[Pair]]] = {}
        for view, plan in pairs:
            if isinstance(plan, TierError):
                steps.append(Step(view, view, error=plan))
            elif plan is not view.plan or self._changes.touches(plan.entity.name):
                alone = plan.streamed or not self._shortcuts.on
                result = id(view) if alone else plan.result
                alike = results.setdefault(result, {})
                alike.setdefault((id(view.head), plan is view.plan), []).append((view, plan))
            elif view.as_of != self._as_of:
                steps.append(self._same(view))
        for groups in results.values():
            found = [step for pairs in groups.values() for step in self._together(pairs)]
            steps += found if len(groups) == 1 else self._joined(found)
        return steps

    def _together(self, pairs: Sequence[Pair]) -> Sequence[StepOf]:
        """Return the steps of views that have a result and its head in common."""
        view, plan = max(pairs, key=lambda pair: pair[1].query.limit)
        try:
            changed = self._changed_rows(plan) if plan is view.plan else None
            if changed is not None and (reason := changed.passed_over(view)):
                self._shortcuts.taken[reason] += len(pairs)
                return [self._same(view) for view, _ in pairs]
            if plan.streamed:
                return [self._streamed(view, plan)]
            found = None if changed is None else self._merged(view, changed, len(pairs))
            found = found or self._read(view, plan, len(pairs))
            return [found.step(view, plan, self._as_of) for view, plan in pairs]
        except sqlite3.Error as error:
            _log.warning("a query over %s failed: %s", plan.entity.name, error)
            return [Step(view, view, error=query_failed()) for view, _ in pairs]

    def _joined(self, steps: Sequence[StepOf]) -> Sequence[StepOf]:
        """Return steps of one result whose views share the head that reaches furthest."""
        heads = [step.after.head for step in steps if step.error is None]
        furthest = max(heads, key=lambda head: head.reach, default=None)
        return [
            step
            if furthest is None or step.error is not None
            else replace(step, after=maintained_view(step.after.plan, furthest, self._as_of))
            for step in steps
        ]

    def _changed_rows(self, plan: SqlitePlan) -> ChangedRows | None:
        if not self._shortcuts.on:
            return None
        name = plan.entity.name
        if name not in self._changed:
            self._changed[name] = changed_rows(self._database, self._fetcher, plan, self._changes)
        return self._changed[name]

    def _same(self, view: SqliteView) -> StepOf:
        after = SqliteView(view.plan, view.rows, self._as_of, view.head, view.members)
        return Step(view, after)

    def _merged(self, view: SqliteView, changed: ChangedRows, windows: int) -> Succession | None:
        """Return what follows from the changed rows alone; None if it takes a reading."""
        plan, limit = view.plan, view.plan.query.limit
        count = len(changed.keys)
        if count >= FEW_ROWS and count * MERGE_SECONDS > plan.cost.read_seconds:
            return None
        after, before = self._fetcher.located(plan, changed.keys)

        def order(row: Row) -> tuple[object, ...]:
            return plan.order(row.order)

        known, kept = view.head.known, limit + RESERVE
        try:
            merged = merge(known, changed.keys, after, order, needed=limit, kept=kept)
        except NotComparableError:
            return None
        if merged is None:
            return None
        self._shortcuts.taken["merged"] += windows
        hidden = {**merged.hidden, **{row.key: row for row in before}}
        return Succession(view.head, head_of(plan, merged.known), hidden, changed.keys)

    def _read(self, view: SqliteView, plan: SqlitePlan, windows: int) -> Succession:
        """Read the first rows of a result again."""
        self._shortcuts.read += 1
        self._shortcuts.taken["shared"] += windows - 1
        # Rows encoded before can be used again while the columns are the same.
        before = view.head.rows if plan.entity == view.plan.entity else ()
        known = self._fetcher.known(plan, before, reserve=reserve(self._shortcuts))
        head = head_of(plan, known)
        gone = [row.key for row in view.rows if row.key not in head.keys]
        hidden = self._fetcher.matching(plan, gone) if gone else {}
        return Succession(view.head, head, hidden)

    def _streamed(self, view: SqliteView, plan: SqlitePlan) -> StepOf:
        changes, fetcher = self._changes, self._fetcher
        changed = changes.ids.get(plan.entity.name, {})
        # A record without an id says that the table itself was changed.
        if changes.complete and changed and None not in changed:
            present = fetcher.matching(plan, changed)
            members = {key: number for key, number in view.members.items() if key not in changed}
            members.update((key, row.version) for key, row in present.items())
        else:
            present = fetcher.members(plan)
            members = {key: row.version for key, row in present.items()}
            known = {**view.members, **members}
            changed = {key: changed.get(key, number) for key, number in known.items()}
        found = membership(view.members, present, changed)
        return Step(view, SqliteView(plan, as_of=self._as_of, members=members), found)
