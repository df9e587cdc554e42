"""Window: the exact mirror of a maintained query, and the guard over what viewers are sent.

Invariants between groups (docs/semantics.md, 'The reducer', 'The guard'):
- Ids are unique.
- There are never more rows than the limit.
- The groups returned by `apply` turn the window before into the window after, for clients that
  apply by id and for clients that splice by index.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from .apply_result import ApplyResult
from .diff import diff
from .fault_detail import explain_misfit
from .frame import Frame
from .frame_encoding import leave_frame
from .group import Change, Group
from .op import Op

VERSIONED: Final = frozenset([Op.ENTER, Op.MOVE, Op.UPDATE, Op.MATCH])
"""Ops that carry a row, and with it a version."""
_UPDATE: Final = int(Op.UPDATE)  # an Enum costs more than the rest of `update_in_place`

Rows: TypeAlias = tuple[Frame, ...]
"""A window at one moment. Each row is the frame that carried it last: immutable and shared."""


class Window:
    """The rows of a maintained query, in order."""

    def __init__(self, limit: int, rows: Iterable[Frame] = ()) -> None:
        self.limit = limit
        self._rows = list(rows)
        self._by_id = {row.agg_id: row for row in self._rows}
        self._snapshot: Rows | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def snapshot(self) -> Rows:
        """Return the current rows; the same tuple until something changes."""
        if self._snapshot is None:
            self._snapshot = tuple(self._rows)
        return self._snapshot

    def apply(self, group: Change) -> ApplyResult:
        """Apply a source change; return what viewers are sent for it, repaired if needed."""
        if isinstance(group, Frame) and self.update_in_place(group):
            return ApplyResult(group)
        before = self.snapshot()
        repairs: list[str] = []
        kept: list[Frame] = []
        literal = True
        for frame in group.frames:
            if self._is_stale(frame):
                repairs.append("stale_version")
                continue
            literal &= self._reduce_frame(frame)
            kept.append(frame)
        self._snapshot = None
        misfit = ""
        if not literal:
            misfit = Window(self.limit, before).find_misfit(group)
            self._truncate()
            kept = diff(before, self.snapshot(), group.stream_id)
            repairs.append("splice")
        elif len(self._rows) > self.limit:
            kept += self._remove_excess(group.stream_id)
            repairs.append("missing_leave")
        if not repairs:
            return ApplyResult(group)
        return ApplyResult(
            Group(tuple(kept), group.stream_id, group.at) if kept else None, tuple(repairs), misfit
        )

    def find_misfit(self, group: Change) -> str:
        """Apply a group up to the first frame that does not fit; return what was expected of it."""
        for frame in group.frames:
            if self._is_stale(frame):
                continue
            at, size = self._index_of(frame), len(self._rows)
            if not self._reduce_frame(frame):
                return explain_misfit(frame, at, size)
        return ""

    def update_in_place(self, frame: Frame) -> bool:
        """Apply a valid update of one row, as most changes are; False if it is anything else."""
        rows, at = self._rows, frame.old_index
        if frame.op != _UPDATE or at != frame.new_index or not 0 <= at < len(rows) <= self.limit:
            return False
        row = rows[at]
        if row.agg_id != frame.agg_id or 0 != frame.version < row.version:
            return False
        rows[at] = self._by_id[frame.agg_id] = frame
        self._snapshot = None
        return True

    def reduce(self, frames: Iterable[Frame]) -> None:
        """Apply frames by the reducer alone, then cut to the limit: for snapshots and replays."""
        for frame in frames:
            self._reduce_frame(frame)
        self._truncate()
        self._snapshot = None

    def _is_stale(self, frame: Frame) -> bool:
        if not frame.version or frame.op not in VERSIONED:
            return False
        row = self._by_id.get(frame.agg_id)
        return row is not None and frame.version < row.version

    def _reduce_frame(self, frame: Frame) -> bool:
        """Apply one frame by the reducer; return whether a literal splice does the same."""
        reducer = _REDUCERS.get(frame.op)
        return True if reducer is None else reducer(self, frame)

    def _index_of(self, frame: Frame) -> int:
        """Return the index of the frame's row, -1 if there is none. Tries `old_index` first."""
        row = self._by_id.get(frame.agg_id)
        if row is None:
            return -1
        hint = frame.old_index
        if 0 <= hint < len(self._rows) and self._rows[hint] is row:
            return hint
        return self._rows.index(row)

    def _enter(self, frame: Frame) -> bool:
        at = self._index_of(frame)
        if at >= 0:
            del self._rows[at]
        self._insert(frame)
        return at < 0 and 0 <= frame.new_index < len(self._rows)

    def _move(self, frame: Frame) -> bool:
        at = self._index_of(frame)
        if at >= 0:
            del self._rows[at]
        self._insert(frame)
        return 0 <= at == frame.old_index and 0 <= frame.new_index < len(self._rows)

    def _insert(self, frame: Frame) -> None:
        self._rows.insert(max(frame.new_index, 0), frame)
        self._by_id[frame.agg_id] = frame

    def _leave(self, frame: Frame) -> bool:
        at = self._index_of(frame)
        if at < 0:
            return False
        del self._rows[at]
        del self._by_id[frame.agg_id]
        return at == frame.old_index

    def _update(self, frame: Frame) -> bool:
        at = self._index_of(frame)
        if at < 0:
            return False
        self._rows[at] = self._by_id[frame.agg_id] = frame
        return at == frame.old_index == frame.new_index

    def _match(self, frame: Frame) -> bool:
        # A match has no index, so a client that splices can't follow it.
        at = self._index_of(frame)
        if at < 0:
            self._rows.append(frame)
            self._by_id[frame.agg_id] = frame
        else:
            self._rows[at] = self._by_id[frame.agg_id] = frame
        return False

    def _unmatch(self, frame: Frame) -> bool:
        self._leave(frame)
        return False

    def _reset(self, _: Frame) -> bool:
        self._rows.clear()
        self._by_id.clear()
        return True

    def _remove_excess(self, stream_id: str) -> list[Frame]:
        """Remove the rows over the limit; return the leaves that the tier did not send."""
        leaves = []
        while len(self._rows) > self.limit:
            row = self._rows.pop()
            del self._by_id[row.agg_id]
            leaves.append(leave_frame(row.agg_id, len(self._rows), stream_id))
        return leaves

    def _truncate(self) -> None:
        for row in self._rows[self.limit :]:
            del self._by_id[row.agg_id]
        del self._rows[self.limit :]


_REDUCERS: dict[int, Callable[[Window, Frame], bool]] = {
    Op.ENTER: Window._enter,  # noqa: SLF001 - the table belongs to the class
    Op.LEAVE: Window._leave,  # noqa: SLF001
    Op.MOVE: Window._move,  # noqa: SLF001
    Op.UPDATE: Window._update,  # noqa: SLF001
    Op.RESET: Window._reset,  # noqa: SLF001
    Op.MATCH: Window._match,  # noqa: SLF001
    Op.UNMATCH: Window._unmatch,  # noqa: SLF001
}
