"""StreamedSet: the mirror of a streamed query, which has no order and no bound."""

from collections.abc import Iterable
from typing import TypeAlias

from .frame import Frame
from .group import Change, Group
from .op import Op
from .window import VERSIONED, Applied, Rows, Window

STREAMED_CAP = 10_000
"""Members of a streamed set that are kept so that newcomers can share it."""


class StreamedSet:
    """The members of a streamed query: no order, no bound, so nothing to repair by index.

    Known members only: rows of the page and rows that matched since. Others may be updated or
    unmatched without ever having been seen; that passes through. Beyond `cap` members nothing is
    kept any more: groups still pass, but nobody can be shown the set.
    """

    def __init__(self, rows: Iterable[Frame] = (), *, cap: int = STREAMED_CAP) -> None:
        self._rows = {row.agg_id: row for row in rows}
        self._cap = cap
        self.full = False

    def __len__(self) -> int:
        return len(self._rows)

    def snapshot(self) -> Rows:
        """Return the members known, in the order they came."""
        return tuple(self._rows.values())

    def apply(self, group: Change) -> Applied:
        """Apply a source change; drops only what is older than the mirror."""
        kept = [frame for frame in group.frames if self._take(frame)]
        if len(kept) == len(group.frames):
            return Applied(group)
        repairs = ("stale_version",) * (len(group.frames) - len(kept))
        return Applied(Group(tuple(kept), group.stream_id, group.at) if kept else None, repairs)

    def reduce(self, frames: Iterable[Frame]) -> None:
        """Apply frames by the reducer alone."""
        for frame in frames:
            self._take(frame)

    def _take(self, frame: Frame) -> bool:
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
                self._fill()
        return True

    def _fill(self) -> None:
        if len(self._rows) > self._cap:
            self.full = True
            self._rows.clear()


Mirror: TypeAlias = Window | StreamedSet
