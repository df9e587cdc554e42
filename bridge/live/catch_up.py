"""CatchUp: what leads a viewer to the window held now, if the log does not.

A viewer that has just joined, or has exceeded its backlog, needs one of these. It holds rows or
frames of a bounded size instead of a backlog. Its frames are made when the socket has room.
"""

from collections.abc import Iterable
from typing import Final, Protocol

from bridge.core.bundle import Bundle
from bridge.core.diff import diff
from bridge.core.errors import Failed, Kind
from bridge.core.frame import Frame
from bridge.core.group import Group
from bridge.core.log import Log
from bridge.core.op import Op
from bridge.core.window import Rows

from .resume import Resume
from .shared_window import SharedWindow


class CatchUp(Protocol):
    """One way to reach the window held now."""

    def bundle(self, window: SharedWindow) -> Bundle | None:
        """Return the frames that lead there, None if none are needed. Raise Failed."""


class SnapshotCatchUp:
    """A reset and the whole window."""

    def bundle(self, window: SharedWindow) -> Bundle | None:
        """Return the snapshot. Raise Failed where a streamed set has no mirror any more."""
        if not window.shareable:
            message = "the set has grown too large to be shown anew"
            raise Failed(Kind.UNAVAILABLE, message)
        return window.snapshot()


SNAPSHOT: Final = SnapshotCatchUp()


class DiffCatchUp:
    """The difference from `rows`, which the client has."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def bundle(self, window: SharedWindow) -> Bundle | None:
        """Return the fewest frames that lead from the client's rows to the window's."""
        return _bundle(window.log, diff(self.rows, window.rows()))


class MergeCatchUp:
    """The last frame of each id after `position`. For streamed queries, which have no order."""

    def __init__(self, position: int) -> None:
        self._position = position
        self._frames: dict[str, Frame] = {}

    def merge(self, log: Log) -> int:
        """Merge what the log holds after the last call. Return the size in bytes.

        A reset replaces all that came before it.
        """
        frames = self._frames
        for group in log.since(self._position).groups:
            for frame in group.frames:
                if frame.op == Op.RESET:
                    frames.clear()
                frames.pop(frame.agg_id, None)
                frames[frame.agg_id] = frame
        self._position = log.head
        return sum(len(frame.data) for frame in frames.values())

    def bundle(self, window: SharedWindow) -> Bundle | None:
        """Return the merged frames, those that the log holds by now included."""
        self.merge(window.log)
        return _bundle(window.log, self._frames.values())


def begin_with(
    resume: Resume | None, window: SharedWindow | None
) -> tuple[str, int, CatchUp | None]:
    """Return how a viewer begins: the `resumed` member of `ready`, a position, a catch-up.

    With a catch-up the position means nothing.
    """
    if resume is not None and window is not None:
        position = resume.find_position(window.log)
        if position is not None:
            return "replay", position, None
        if resume.known is not None and not window.streamed:
            return "diff", 0, DiffCatchUp(resume.known)
    return "snapshot", 0, SNAPSHOT


def catch_up_from(position: int, window: SharedWindow) -> CatchUp:
    """Return what replaces the backlog of a viewer at a position."""
    if window.streamed:
        return MergeCatchUp(position)
    return DiffCatchUp(window.log.rows_at(position))


def _bundle(log: Log, frames: Iterable[Frame]) -> Bundle | None:
    group = Group(tuple(frames))
    return log.bundle([group]) if group.frames else None
