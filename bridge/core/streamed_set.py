"""StreamedSet: the mirror of a streamed query, which has no order and no limit."""

from collections.abc import Iterable
from typing import TypeAlias

from .apply_result import ApplyResult
from .frame import Frame
from .group import Change, Group
from .op import Op
from .window import VERSIONED, Rows, Window

MAX_MEMBERS = 10_000
"""Members that are kept, so that newcomers can share the subscription."""


class StreamedSet:
    """The known members of a streamed query: rows of the page, and rows that matched since.

    A tier may update or unmatch a member that was never sent; such a frame is passed on. Beyond
    `max_members` the set is `full`: it keeps no members any more, groups still pass, but newcomers
    can't be shown the set.
    """

    def __init__(self, rows: Iterable[Frame] = (), *, max_members: int = MAX_MEMBERS) -> None:
        self._rows = {row.agg_id: row for row in rows}
        self._max_members = max_members
        self.full = False

    def __len__(self) -> int:
        return len(self._rows)

    def snapshot(self) -> Rows:
        """Return the known members, in the order they came."""
        return tuple(self._rows.values())

    def apply(self, group: Change) -> ApplyResult:
        """Apply a source change; drop the frames with a version below the mirror's."""
        kept = [frame for frame in group.frames if self._reduce_frame(frame)]
        if len(self._rows) > self._max_members:
            self.full = True
            self._rows.clear()
        if len(kept) == len(group.frames):
            return ApplyResult(group)
        repairs = ("stale_version",) * (len(group.frames) - len(kept))
        return ApplyResult(Group(tuple(kept), group.stream_id, group.at) if kept else None, repairs)

    def reduce(self, frames: Iterable[Frame]) -> None:
        """Apply frames: for snapshots, which are shown whole even beyond `max_members`."""
        for frame in frames:
            self._reduce_frame(frame)

    def _reduce_frame(self, frame: Frame) -> bool:
        """Apply one frame; return False if it is stale."""
        if self.full:
            return True
        row = self._rows.get(frame.agg_id)
        if frame.op in (Op.LEAVE, Op.UNMATCH):
            self._rows.pop(frame.agg_id, None)
        elif frame.op == Op.RESET:
            self._rows.clear()
        elif frame.op in VERSIONED:
            if row is not None and frame.version and frame.version < row.version:
                return False
            if row is not None or frame.op != Op.UPDATE:
                self._rows[frame.agg_id] = frame
        return True


Mirror: TypeAlias = Window | StreamedSet
