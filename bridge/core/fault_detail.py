"""Fault details: what a tier sent and what was expected, in one line for its author's eyes.

Only op, id and indexes are named; rows never are.
"""

from collections.abc import Iterable

from .frame import Frame
from .op import NAMES, Op

_MAX_ID = 60
_NUMBERED = (Op.ENTER, Op.MOVE)


def describe(frame: Frame) -> str:
    """Return a frame's op, id and indexes."""
    op = NAMES[frame.op] if 0 <= frame.op < len(NAMES) else str(frame.op)
    return (
        f"op={op} id={frame.agg_id[:_MAX_ID]!r} "
        f"old_index={frame.old_index} new_index={frame.new_index}"
    )


def explain_misfit(frame: Frame, at: int, size: int) -> str:
    """Return why a frame does not fit a window. `at`: the index of its row there, -1 for none."""
    if frame.op == Op.ENTER and at >= 0:
        return f"{describe(frame)}: expected an id that is not in the window, got that of row {at}"
    if frame.op != Op.ENTER and at < 0:
        return f"{describe(frame)}: expected an id that is in the window, got one that is not"
    if frame.op != Op.ENTER and frame.old_index != at:
        return f"{describe(frame)}: expected old_index {at}, got {frame.old_index}"
    if frame.op == Op.UPDATE:
        return f"{describe(frame)}: expected new_index {at}, got {frame.new_index}"
    if frame.op in _NUMBERED:
        most = size if frame.op == Op.ENTER else size - 1
        return f"{describe(frame)}: expected new_index 0 to {most}, got {frame.new_index}"
    return f"{describe(frame)}: expected an op of a maintained query"


class SnapshotCheck:
    """What is irregular in a snapshot: it is shown even so, and its author told."""

    def __init__(self, *, ordered: bool) -> None:
        self._ordered = ordered
        self._ids: set[str] = set()
        self.fault = ""
        """The first irregularity; empty if there is none."""

    def add(self, frames: Iterable[Frame]) -> None:
        """Check the next frames of the snapshot; a reset begins it anew."""
        for frame in frames:
            if frame.op == Op.RESET:
                self._ids.clear()
                continue
            self.fault = self.fault or self._fault_of(frame)
            self._ids.add(frame.agg_id)

    def _fault_of(self, frame: Frame) -> str:
        if frame.op != Op.ENTER:
            return f"{describe(frame)}: expected enters only in a snapshot"
        if frame.agg_id in self._ids:
            return f"{describe(frame)}: expected another id, got one that the snapshot has"
        at = len(self._ids)
        if self._ordered and (frame.new_index != at or frame.old_index != -1):
            return f"{describe(frame)}: expected old_index -1 and new_index {at}"
        return ""
