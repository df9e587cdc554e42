"""Judges snapshots and deltas, and keeps the window they make. Pure.

Invariants:

- Between groups `rows` has at most `limit` rows with different ids.
- After a finding the window is what the reducer of semantics.md makes of the deltas. `doubt` names
  the rule that was broken first: comparisons with this window prove nothing.
- Once ids or indexes were wrong, other rules about the window's shape are not judged until the next
  reset: one fault is reported once.
- After a bare reset the window is `void`: what comes before the next reset is passed over.
"""

from collections.abc import Sequence

from livequery.v1 import livequery_pb2 as pb

from . import rules
from .delta_checks import CARRIES_ROW, delta_name, groups, index_check, op_name, row_checks
from .ledger import Ledger
from .rows import Row, order_fault, row_of
from .stream_id_judge import StreamIdJudge

_MAINTAINED = (pb.DELTA_OP_ENTER, pb.DELTA_OP_LEAVE, pb.DELTA_OP_MOVE, pb.DELTA_OP_UPDATE)
_STREAMED = (pb.DELTA_OP_MATCH, pb.DELTA_OP_UNMATCH, pb.DELTA_OP_UPDATE)
_SHAPE = (
    rules.SNAPSHOT_ENTERS,
    rules.ROW_ID,
    rules.ROW_ID_UNIQUE,
    rules.SNAPSHOT_LIMIT,
    rules.SORT_ORDER,
    rules.DELTA_OP,
    rules.DELTA_ID,
    rules.DELTA_INDEX,
    rules.GROUP_WHOLE,
    rules.VERSION,
)


class WindowJudge:
    """One stream's window. `limit` may change at a reset: see `anchor_at`."""

    def __init__(
        self,
        ledger: Ledger,
        query: pb.LiveQuery,
        rows: Sequence[Row] = (),
        *,
        resumed: bool = False,
    ) -> None:
        self._ledger = ledger
        self._sort = query.sort
        self._streamed = query.mode == pb.MODE_STREAMED
        self.limit = query.limit
        self.rows: list[Row] = list(rows)
        self.doubt = ""
        self.void = False
        self._broken_shape = ""
        self.complete = resumed
        self.snapshots = 0
        self.changes = 0
        self.last_reset = pb.ResetInfo()
        self._open = False
        self._evicted: set[str] = set()
        self._stream_ids = StreamIdJudge(ledger)
        self._next_limit: dict[str, int] = {}

    def anchor_at(self, request_id: str, limit: int) -> None:
        """Let the reset that answers this Reanchor bring a new limit."""
        self._next_limit[request_id] = limit

    def batch(self, batch: pb.DeltaBatch) -> None:
        """Judge a batch's deltas in order."""
        rest = list(batch.deltas)
        for place, delta in enumerate(batch.deltas):
            if delta.op != pb.DELTA_OP_RESET:
                continue
            self._ledger.check(
                rules.RESET_FIRST, place == 0, "a reset as delta 0 of its batch", f"at {place}"
            )
        while rest:
            if rest[0].op == pb.DELTA_OP_RESET:
                self._reset(rest.pop(0))
            elif self.void:
                rest.pop(0)
            elif self.complete:
                end = next((i for i, d in enumerate(rest) if d.op == pb.DELTA_OP_RESET), len(rest))
                self._live(rest[:end])
                del rest[:end]
            else:
                self._enter_snapshot(rest.pop(0))
        if batch.snapshot_complete and not self.void:
            self._close_snapshot()

    # ------------------------------------------------------------ snapshots

    def _reset(self, delta: pb.LiveDelta) -> None:
        reason = delta.reset.reason
        again = self._open and reason in (pb.RESET_REASON_UNSPECIFIED, pb.RESET_REASON_INITIAL)
        self._check(rules.SNAPSHOT_RESET, not again, "one reset", "a second reset in the snapshot")
        if delta.reset.bare:
            self._ledger.find(rules.RESET_BARE, "a reset with rows", "bare: true")
        else:
            self._ledger.ok(rules.RESET_BARE)
        self.rows = []
        self.doubt = self._broken_shape = ""
        self.void = delta.reset.bare
        self.complete = False
        self._open = True
        self.last_reset = delta.reset
        self._evicted.clear()
        self._stream_ids.reset()
        self.limit = self._next_limit.pop(delta.reset.request_id, self.limit)

    def _enter_snapshot(self, delta: pb.LiveDelta) -> None:
        if not self._open:
            self._find(rules.SNAPSHOT_RESET, "a reset first", f"{op_name(delta.op)} first")
            self._open = True
        if delta.op != pb.DELTA_OP_ENTER:
            self._find(rules.SNAPSHOT_ENTERS, "enters only", f"{delta_name(delta)} in the snapshot")
            return
        self._ledger.ok(rules.SNAPSHOT_ENTERS)
        if not self._judge_row(delta):
            return
        place = len(self.rows)
        check = self._ledger.check if self._streamed else self._check
        check(
            rules.STREAMED_INDEXES if self._streamed else rules.SNAPSHOT_INDEXES,
            (delta.old_index, delta.new_index) == (-1, place),
            f"old_index -1, new_index {place} for row {place}",
            f"old_index {delta.old_index}, new_index {delta.new_index} ({delta.agg_id!r})",
        )
        self._ledger.check(
            rules.SNAPSHOT_STREAM_ID,
            not delta.stream_id,
            "an empty stream_id",
            f"{delta.stream_id!r}",
        )
        known = self._find_row(delta.agg_id)
        if self._check(
            rules.ROW_ID_UNIQUE, known < 0, "an agg_id once", f"{delta.agg_id!r} again at {place}"
        ):
            self.rows.append(row_of(delta))

    def _close_snapshot(self) -> None:
        if not self._open:
            self._ledger.find(
                rules.COMPLETE_MISPLACED,
                "snapshot_complete at the end of a snapshot only",
                "snapshot_complete where none was under way",
            )
            return
        self._ledger.ok(rules.COMPLETE_MISPLACED)
        self._open = False
        self.complete = True
        self.snapshots += 1
        count = len(self.rows)
        if self.last_reset.HasField("row_count") and not self.doubt:
            self._ledger.check(
                rules.ROW_COUNT,
                self.last_reset.row_count == count,
                f"row_count {count}",
                f"row_count {self.last_reset.row_count}",
            )
        if not self._streamed:
            self._check(
                rules.SNAPSHOT_LIMIT,
                count <= self.limit,
                f"at most {self.limit} rows",
                f"{count} rows",
            )
            del self.rows[self.limit :]
            self._judge_order()

    # ------------------------------------------------------------ changes

    def _live(self, deltas: Sequence[pb.LiveDelta]) -> None:
        for at, group in enumerate(groups(deltas)):
            self.changes += 1
            stream_id = group[0].stream_id
            split = self._stream_ids.group(stream_id, first=at == 0)
            if split:
                got = f"{stream_id!r} in two batches"
                self._find(rules.GROUP_WHOLE, "a change in one batch", got)
            for delta in group:
                self._apply(delta)
            if not self._streamed:
                self._close_group()

    def _close_group(self) -> None:
        over = self.rows[self.limit :]
        self._check(
            rules.GROUP_WHOLE,
            not over,
            f"at most {self.limit} rows after a group",
            f"{len(self.rows)} rows: no leave for {[row.id for row in over]} in the same group",
        )
        self._evicted.update(row.id for row in over)
        del self.rows[self.limit :]
        self._judge_order()

    def _apply(self, delta: pb.LiveDelta) -> None:
        allowed = _STREAMED if self._streamed else _MAINTAINED
        mode = "streamed" if self._streamed else "maintained"
        if not self._check(
            rules.DELTA_OP, delta.op in allowed, f"an op of {mode} mode", delta_name(delta)
        ):
            return
        if not self._judge_row(delta):
            return
        if self._streamed:
            self._apply_streamed(delta)
            return
        at = self._find_row(delta.agg_id)
        if delta.op == pb.DELTA_OP_LEAVE and at < 0 and delta.agg_id in self._evicted:
            self._evicted.discard(delta.agg_id)  # the leave that came too late: already reported
            return
        if delta.op == pb.DELTA_OP_ENTER:
            self._check(
                rules.DELTA_ID,
                at < 0,
                "an enter of a row that is not there",
                f"{delta_name(delta)}",
            )
        elif not self._check(
            rules.DELTA_ID,
            at >= 0,
            f"a row of the window for {op_name(delta.op)}",
            delta_name(delta),
        ):
            if delta.op == pb.DELTA_OP_MOVE:
                self._insert(delta)
            return
        self._splice(delta, at)

    def _splice(self, delta: pb.LiveDelta, at: int) -> None:
        """Apply by id, as the reducer does; judge whether the indexes say the same."""
        right, expected = index_check(delta, at, len(self.rows))
        got = f"{delta_name(delta)} with old_index {delta.old_index}, new_index {delta.new_index}"
        self._check(rules.DELTA_INDEX, right, expected, got)
        if delta.op == pb.DELTA_OP_UPDATE:
            self.rows[at] = row_of(delta)
            return
        if at >= 0:
            del self.rows[at]
        if delta.op != pb.DELTA_OP_LEAVE:
            self._insert(delta)

    def _insert(self, delta: pb.LiveDelta) -> None:
        self.rows.insert(max(delta.new_index, 0), row_of(delta))

    def _apply_streamed(self, delta: pb.LiveDelta) -> None:
        at = self._find_row(delta.agg_id)
        if delta.op == pb.DELTA_OP_UNMATCH:
            if at >= 0:
                del self.rows[at]
        elif at >= 0:
            self.rows[at] = row_of(delta)
        elif delta.op == pb.DELTA_OP_MATCH:
            self.rows.append(row_of(delta))

    # ------------------------------------------------------------ small change

    def _judge_row(self, delta: pb.LiveDelta) -> bool:
        """Judge what a delta carries; says whether it can be applied."""
        for rule, holds, expected, got in row_checks(delta, self._sort):
            if not self._check(rule, holds, expected, got) and rule is rules.ROW_ID:
                return False
        at = self._find_row(delta.agg_id)
        if at >= 0 and delta.version and self.complete and delta.op in CARRIES_ROW:
            held = self.rows[at].version
            self._check(
                rules.VERSION,
                delta.version >= held,
                f"version {held} or more",
                f"{delta_name(delta)} with version {delta.version}",
            )
        return True

    def _judge_order(self) -> None:
        fault = order_fault(self.rows, self._sort)
        self._check(rules.SORT_ORDER, not fault, "rows in sort order", fault)

    def _find_row(self, agg_id: str) -> int:
        return next((at for at, row in enumerate(self.rows) if row.id == agg_id), -1)

    def _check(self, rule: rules.Rule, holds: object, expected: str, got: object) -> bool:
        if rule in _SHAPE:
            if self._broken_shape not in ("", rule.id):
                return bool(holds)
            if not holds:
                self._broken_shape = rule.id
        if not holds:
            self.doubt = self.doubt or rule.id
        return self._ledger.check(rule, holds, expected, got)

    def _find(self, rule: rules.Rule, expected: str, got: str) -> None:
        self._check(rule, False, expected, got)
