"""The table and the windows over it: all of an example tier but the gRPC server.

Invariants: a change is applied under the lock, and its group is made and numbered right there.
So nothing between here and the bridge can lose a delta unseen. Every row is replaced, never
altered. No call here waits for a consumer: one that does not read loses its stream, not the table
its pace.
"""

import collections
import functools
import json
import operator
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import grpc

from livequery.v1 import livequery_pb2 as pb

ENTITY = "ticks"
COLUMNS = {"id": str, "symbol": str, "price": int, "size": int}
SYMBOLS = ("ACME", "BOLT", "CORE", "DUNE")
PENDING = 1000  # batches that wait for a consumer; then its stream is given up
COMPARE = {
    pb.OPERATOR_EQ: operator.eq,
    pb.OPERATOR_NE: operator.ne,
    pb.OPERATOR_GT: operator.gt,
    pb.OPERATOR_GTE: operator.ge,
    pb.OPERATOR_LT: operator.lt,
    pb.OPERATOR_LTE: operator.le,
}


class CallError(Exception):
    """A call's end: a gRPC status and a text for the log of whoever asked."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def bad(text: str) -> CallError:
    return CallError(grpc.StatusCode.INVALID_ARGUMENT, text)


class Row(NamedTuple):
    version: int
    values: dict  # column -> value


class Query:
    """A LiveQuery, checked: which rows, in what order, from where, how many."""

    def __init__(self, query: pb.LiveQuery) -> None:
        if query.entity != ENTITY:
            raise CallError(grpc.StatusCode.NOT_FOUND, f"there is only {ENTITY}")
        if query.mode == pb.MODE_STREAMED or query.limit < 1:
            raise bad("maintained windows of at least one row only")
        self.sort = [(_known(key.column), key.desc) for key in query.sort] + [("id", False)]
        self.limit = query.limit
        self._where = [_condition(condition) for condition in query.where]
        self._after = [_plain(value) for value in query.cursor.values]
        if self._after:
            if len(self._after) != len(self.sort):
                raise bad("cursor: one value per sort key, then the id")
            for (column, _), value in zip(self.sort, self._after, strict=True):
                _check(column, value)

    def window(self, rows: dict[str, Row]) -> list[Row]:
        """Return the first rows that match, behind the cursor."""
        found = [row for row in rows.values() if all(test(row.values) for test in self._where)]
        if self._after:
            found = [row for row in found if self._compare(self.key(row), self._after) > 0]
        order = functools.cmp_to_key(self._compare)
        return sorted(found, key=lambda row: order(self.key(row)))[: self.limit]

    def key(self, row: Row) -> list:
        return [row.values[column] for column, _ in self.sort]

    def _compare(self, a: list, b: list) -> int:
        for (_, desc), x, y in zip(self.sort, a, b, strict=True):
            if x != y:
                return 1 if (x > y) != desc else -1
        return 0


def _known(column: str) -> str:
    if column not in COLUMNS:
        raise bad(f"no column {column}")
    return column


def _plain(value: pb.Value) -> object:
    """Return the value; the three kinds of numbers compare by value in Python already."""
    kind = value.WhichOneof("kind")
    return None if kind in (None, "null_value") else getattr(value, kind)


def _check(column: str, value: object) -> None:
    fits = isinstance(value, str if COLUMNS[column] is str else (int, float))
    if not fits or isinstance(value, bool):
        raise bad(f"{column} is compared with another type")


def _condition(condition: pb.Condition) -> Callable[[dict], bool]:
    if condition.WhichOneof("kind") == "or_group":
        members = [_condition(member) for member in condition.or_group.conditions]
        return lambda values: any(test(values) for test in members)
    leaf = condition.comparison
    column = _known(leaf.column)
    if leaf.operator in (pb.OPERATOR_IN, pb.OPERATOR_NOT_IN):
        listed = [_plain(value) for value in leaf.list.values]
        for value in listed:
            _check(column, value)
        wanted = leaf.operator == pb.OPERATOR_IN
        return lambda values: (values[column] in listed) == wanted
    if leaf.operator not in COMPARE:
        raise bad(f"operator {leaf.operator} is not implemented")
    value = _plain(leaf.value)
    _check(column, value)
    compare = COMPARE[leaf.operator]
    return lambda values: compare(values[column], value)


class Subscription:
    """One window and what of it waits to be sent. `wake` is called when something waits."""

    def __init__(self, query: Query, rows: dict[str, Row], wake: Callable[[], object]) -> None:
        self.pending: collections.deque[pb.DeltaBatch] = collections.deque()
        self.end: CallError | None = None  # once `pending` is sent
        self._query = query
        self._wake = wake
        self._seq = 0
        self._window = query.window(rows)
        reset = pb.LiveDelta(op=pb.DELTA_OP_RESET)
        reset.reset.reason = pb.RESET_REASON_INITIAL
        reset.reset.row_count = len(self._window)
        enters = [
            self._delta(pb.DELTA_OP_ENTER, row, -1, at) for at, row in enumerate(self._window)
        ]
        self._push([reset, *enters], snapshot_complete=True)

    def change(self, rows: dict[str, Row], agg_id: str, stream_id: str) -> None:
        """Send the group of one changed row: exactly the forms of docs/semantics.md."""
        old, new = self._window, self._query.window(rows)
        was, now = _index(old, agg_id), _index(new, agg_id)
        self._window = new
        full = len(old) == self._query.limit
        deltas = []
        if was >= 0 and now >= 0:
            moved = self._query.key(old[was]) != self._query.key(new[now])
            op = pb.DELTA_OP_MOVE if moved else pb.DELTA_OP_UPDATE
            deltas.append(self._delta(op, new[now], was, now))
        elif was >= 0:
            deltas.append(
                pb.LiveDelta(op=pb.DELTA_OP_LEAVE, agg_id=agg_id, old_index=was, new_index=-1)
            )
            if len(new) == len(old):  # the next row is promoted
                deltas.append(self._delta(pb.DELTA_OP_ENTER, new[-1], -1, len(new) - 1))
        elif now >= 0:
            deltas.append(self._delta(pb.DELTA_OP_ENTER, new[now], -1, now))
            if full:  # at this moment there is one row more than the limit
                gone = old[-1].values["id"]
                deltas.append(
                    pb.LiveDelta(
                        op=pb.DELTA_OP_LEAVE, agg_id=gone, old_index=len(old), new_index=-1
                    )
                )
        at = time.time_ns()
        for delta in deltas:
            delta.stream_id = stream_id
            delta.at.FromNanoseconds(at)
        if deltas:
            self._push(deltas, snapshot_complete=False)

    def finish(self, end: CallError) -> None:
        self.end = self.end or end
        self._wake()

    def _push(self, deltas: list[pb.LiveDelta], *, snapshot_complete: bool) -> None:
        # Numbered before anything can be lost: `first_seq` counts deltas, not batches.
        first, self._seq = self._seq + 1, self._seq + len(deltas)
        if len(self.pending) >= PENDING:
            self.finish(CallError(grpc.StatusCode.ABORTED, "the consumer does not read"))
        elif self.end is None:
            self.pending.append(
                pb.DeltaBatch(
                    epoch=1, first_seq=first, deltas=deltas, snapshot_complete=snapshot_complete
                )
            )
            self._wake()

    def _delta(self, op: pb.DeltaOp, row: Row, old: int, new: int) -> pb.LiveDelta:
        delta = pb.LiveDelta(
            op=op, agg_id=row.values["id"], version=row.version, old_index=old, new_index=new
        )
        delta.row = json.dumps(row.values, separators=(",", ":")).encode()
        for value in self._query.key(row):
            kind = "string_value" if isinstance(value, str) else "int_value"
            delta.cursor.values.add(**{kind: value})
        return delta


def _index(window: list[Row], agg_id: str) -> int:
    return next((at for at, row in enumerate(window) if row.values["id"] == agg_id), -1)


class Table:
    """Rows, and everybody who watches them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._subscriptions: set[Subscription] = set()
        self._stopped: CallError | None = None
        # In milliseconds, so that versions and stream ids go up over a restart too.
        self._start = time.time_ns() // 1_000_000
        self._changes = 0
        self._made = 0
        for _ in range(36):
            self.put(self._new_row())

    def subscribe(self, query: Query, wake: Callable[[], object]) -> Subscription:
        with self._lock:
            subscription = Subscription(query, self._rows, wake)
            self._subscriptions.add(subscription)
            if self._stopped:
                subscription.finish(self._stopped)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        with self._lock:
            self._subscriptions.discard(subscription)

    def put(self, values: dict) -> None:
        with self._lock:
            self._changes += 1
            self._rows[values["id"]] = Row(self._start + self._changes, values)
            self._changed(values["id"])

    def delete(self, agg_id: str) -> None:
        with self._lock:
            if self._rows.pop(agg_id, None):
                self._changes += 1
                self._changed(agg_id)

    def stop(self) -> None:
        """End all streams with UNAVAILABLE. OK would end the browsers' streams for good."""
        with self._lock:
            self._stopped = CallError(grpc.StatusCode.UNAVAILABLE, "stopping")
            for subscription in self._subscriptions:
                subscription.finish(self._stopped)

    def change_something(self) -> None:
        """Mostly prices; now and then a row comes or goes."""
        dice = random.random()
        if dice < 0.1 and len(self._rows) < 48:
            self.put(self._new_row())
        elif dice < 0.2 and len(self._rows) > 24:
            self.delete(random.choice(list(self._rows)))
        else:
            values = dict(random.choice(list(self._rows.values())).values)
            column = "size" if dice < 0.4 else "price"
            values[column] = max(1, values[column] + random.randint(-20, 20))
            self.put(values)

    def _new_row(self) -> dict:
        self._made += 1
        symbol, price, size = (
            random.choice(SYMBOLS),
            random.randint(100, 999),
            random.randint(1, 99),
        )
        return {"id": f"t{self._made}", "symbol": symbol, "price": price, "size": size}

    def _changed(self, agg_id: str) -> None:
        for subscription in self._subscriptions:
            subscription.change(self._rows, agg_id, f"{self._start}-{self._changes}")


def run(table: Table, rate: float) -> None:
    """Change the table by itself, and by commands on stdin, in two threads of the background."""
    pace = [rate]

    def change() -> None:
        while True:
            time.sleep(1 / pace[0] if pace[0] > 0 else 0.05)
            if pace[0] > 0:
                table.change_something()

    def obey() -> None:
        for line in sys.stdin:
            match line.split():
                case ["rate", number]:
                    pace[0] = float(number)
                case ["put", agg_id, symbol, price, size]:
                    table.put(
                        {"id": agg_id, "symbol": symbol, "price": int(price), "size": int(size)}
                    )
                case ["delete", agg_id]:
                    table.delete(agg_id)

    for work in (change, obey):
        threading.Thread(target=work, daemon=True).start()
