"""Which windows must be read again, and because of which transactions.

A window is *due* while a transaction that may touch it is not in its snapshot. Laws:

- A transaction is judged against a window when it is delivered, and again whenever the window is
  read while the transaction is not visible yet: the rows it is judged by have changed then.
- A window that is due is touched by everything that touches its table: which rows it will show is
  not known.
- A delivered transaction is kept until a snapshot sees it, also while no window is open; and as
  long as a reading is under way whose snapshot may be older than that.
- A window that is *forced* is read again whatever was delivered: the change stream began anew, or
  its table was altered. So is one that was being opened at that moment; and a reading that had
  begun by then does not count, for its snapshot may be older.
- Everything here is synchronous and belongs to the event loop's thread.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from livetier.postgres.fence import Snapshot
from livetier.postgres.pgoutput import Text
from livetier.postgres.plan import PostgresView
from livetier.postgres.relation import Relation
from livetier.postgres.sort_bound import SortBound
from livetier.postgres.table_index import TableIndex
from livetier.postgres.transaction import Transaction, TupleChange
from livetier.postgres.watched import Watched


@dataclass(slots=True)
class Counts:
    """What was judged: windows touched, and those ruled out by each shortcut."""

    transactions: int = 0
    touched: int = 0
    equality: int = 0
    beyond: int = 0


class Ledger:
    """All windows and the transactions that may touch them."""

    def __init__(self, *, shortcuts: bool = True) -> None:
        self.shortcuts = shortcuts
        self.counts = Counts()
        self.snapshot = Snapshot(0, 3)
        self._windows: dict[Hashable, Watched] = {}
        self._tables: dict[int, TableIndex] = {}
        self._sources: dict[int, set[Hashable]] = {}
        self._relations: Counter[Relation] = Counter()
        self._kept: list[tuple[Transaction, int]] = []  # and the number of the look that saw it
        self._due: dict[Hashable, Watched] = {}
        self._forced: dict[Hashable, Watched] = {}
        self._looks = 0
        self._last_force = 0
        self._looking: set[int] = set()

    # -- windows

    def begin_look(self) -> int:
        """Say that windows will be read, under a snapshot not taken yet; return a ticket."""
        self._looks += 1
        self._looking.add(self._looks)
        return self._looks

    def end_look(self, ticket: int) -> None:
        """Say that the ledger has what was read with a ticket, or never will; idempotent."""
        self._looking.discard(ticket)

    def watch(self, view: PostgresView, ticket: int) -> None:
        """Keep a window current from its snapshot on, unless one of its plan already is."""
        if view.plan.key in self._windows:
            return
        watched = self._windows[view.plan.key] = Watched(view, SortBound.of(view.plan))
        self._index(view)
        self._judge_kept(watched)
        if ticket < self._last_force:
            self._force(watched, self._last_force)

    def release(self, view: PostgresView) -> None:
        """Forget the window of a plan; idempotent."""
        watched = self._windows.pop(view.plan.key, None)
        if watched is None:
            return
        self._due.pop(view.plan.key, None)
        self._forced.pop(view.plan.key, None)
        self._unindex(watched.view)

    def succeed(self, before: PostgresView, after: PostgresView, ticket: int) -> None:
        """Replace a window that was read again, with the ticket of ``begin_look``."""
        key = before.plan.key
        watched = self._windows.get(key)
        if watched is None or watched.view is not before:
            return
        if before.plan is after.plan:
            self._tables[before.plan.relation.oid].rekey(key, before.keys, after.keys)
            watched.view = after
        else:
            self._unindex(before)
            watched.view, watched.bound = after, SortBound.of(after.plan)
            self._index(after)
        if watched.forced <= ticket:
            watched.forced = 0
            self._forced.pop(key, None)
        self._due.pop(key, None)
        self._mark(watched, due=False)
        watched.due = []
        self._judge_kept(watched)

    def _index(self, view: PostgresView) -> None:
        relation = view.plan.relation
        table = self._tables.get(relation.oid)
        key = tuple(column.name for column in relation.key)
        if table is None or table.key_columns != key:
            table = self._tables[relation.oid] = TableIndex(key, before=table)
        bound = self._windows[view.plan.key].bound
        if self.shortcuts:
            table.add(view.plan.key, view.plan.equal, view.keys, bound.columns if bound else ())
        else:
            table.add(view.plan.key, {}, view.keys)
        self._relations[relation] += 1
        for source in relation.sources:
            self._sources.setdefault(source, set()).add(view.plan.key)

    def _unindex(self, view: PostgresView) -> None:
        self._tables[view.plan.relation.oid].remove(view.plan.key, view.keys)
        self._relations[view.plan.relation] -= 1
        if not self._relations[view.plan.relation]:
            del self._relations[view.plan.relation]
        for source in view.plan.relation.sources:
            self._sources.get(source, set()).discard(view.plan.key)

    # -- transactions

    def deliver(self, transaction: Transaction) -> None:
        """Take a transaction of the change stream; its id may have 32 bits."""
        if not transaction.wide:
            transaction.xid = self.snapshot.widen(transaction.xid)
            transaction.wide = True
        self.counts.transactions += 1
        self._kept.append((transaction, 0))
        touched: set[Hashable] = set()
        if transaction.everything:
            touched.update(self._windows)
        for oid in transaction.changes:
            touched |= self._sources.get(oid, set())
            table = self._tables.get(oid)
            if table is not None:
                touched |= self._touched(table, oid, transaction)
        for key in touched:
            self._add(self._windows[key], transaction)

    def _touched(self, table: TableIndex, oid: int, transaction: Transaction) -> set[Hashable]:
        changes = transaction.changes[oid]
        if changes is None or not self.shortcuts:
            return set(table.windows)
        touched = table.touched_by(changes, self._beyond)
        self.counts.equality += len(table.windows) - len(touched)
        return touched

    def _beyond(self, key: Hashable, row: Mapping[str, Text]) -> bool:
        """Return whether ``row`` sorts after the last row of a full window."""
        watched = self._windows[key]
        if watched.bound is None or not watched.bound.excludes(row, watched.view):
            return False
        self.counts.beyond += 1
        return True

    def _add(self, watched: Watched, transaction: Transaction) -> None:
        if watched.view.snapshot.sees(transaction.xid):
            return
        self.counts.touched += 1
        watched.due.append(transaction)
        self._due[watched.view.plan.key] = watched
        self._mark(watched, due=True)

    def _mark(self, watched: Watched, *, due: bool) -> None:
        self._tables[watched.view.plan.relation.oid].mark(watched.view.plan.key, due=due)

    def _judge_kept(self, watched: Watched) -> None:
        """Judge what is kept against a window that was read just now."""
        plan, snapshot = watched.view.plan, watched.view.snapshot
        oid = plan.relation.oid
        for transaction, _ in self._kept:
            if snapshot.sees(transaction.xid):
                continue
            changes = transaction.changes.get(oid, ())
            if (
                transaction.everything
                or any(source in transaction.changes for source in plan.relation.sources)
                or changes is None
                or (changes and self._touches(watched, changes))
            ):
                self._add(watched, transaction)

    def _touches(self, watched: Watched, changes: Iterable[TupleChange]) -> bool:
        if not self.shortcuts or watched.due:
            return True
        table = self._tables[watched.view.plan.relation.oid]
        return table.touches(watched.view.plan.key, changes, self._beyond)

    # -- reading

    @property
    def waiting(self) -> bool:
        """Whether a window is due or forced."""
        return bool(self._due or self._forced)

    def force(self, relations: Iterable[int] | None = None, *, ticket: int | None = None) -> None:
        """Have windows read again whatever was delivered: those of some relations, or all.

        The reading that has ``ticket`` will do; without one, only a reading that has not begun.
        """
        if relations is None:
            keys: Iterable[Hashable] = list(self._windows)
        else:
            keys = {
                key
                for oid in relations
                for key in (
                    *(self._tables[oid].windows if oid in self._tables else ()),
                    *self._sources.get(oid, ()),
                )
            }
        if ticket is None:
            self._looks += 1
        number = self._looks if ticket is None else ticket
        self._last_force = max(self._last_force, number)
        for key in keys:
            self._force(self._windows[key], number)

    def _force(self, watched: Watched, number: int) -> None:
        watched.forced = max(watched.forced, number)
        self._forced[watched.view.plan.key] = watched

    def forget_transactions(self) -> None:
        """Drop what was delivered: another stream begins, and every window will be forced."""
        self._kept.clear()
        for watched in self._due.values():
            watched.due = []
            self._mark(watched, due=False)
        self._due.clear()

    def due(self, snapshot: Snapshot) -> list[Watched]:
        """Return the windows that a reading of ``snapshot`` brings forward."""
        found = dict(self._forced)
        for key, watched in self._due.items():
            if key not in found and any(snapshot.sees(each.xid) for each in watched.due):
                found[key] = watched
        return list(found.values())

    def see(self, snapshot: Snapshot) -> None:
        """Take note of a snapshot of now, and drop what no window can lack any more."""
        if snapshot.xmax < self.snapshot.xmax:
            return
        self.snapshot = snapshot
        self._looks += 1
        oldest = min(self._looking, default=self._looks + 1)
        kept = []
        for transaction, look in self._kept:
            seen = look or (self._looks if snapshot.sees(transaction.xid) else 0)
            if not seen or seen > oldest:
                kept.append((transaction, seen))
        self._kept = kept

    @property
    def kept(self) -> int:
        """How many transactions are kept."""
        return len(self._kept)

    @property
    def windows(self) -> int:
        """How many windows are watched."""
        return len(self._windows)

    @property
    def due_count(self) -> int:
        """How many windows are due or forced."""
        return len(self._due.keys() | self._forced.keys())

    def judged(self, oid: int) -> list[str]:
        """Return the columns of a table by which its windows rule out changed rows."""
        table = self._tables.get(oid)
        return [name for name, count in table.judged.items() if count > 0] if table else []

    def relations(self) -> list[Relation]:
        """Return the tables of all windows, as their queries were compiled."""
        return list(self._relations)
