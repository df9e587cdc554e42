"""SnapshotCache: the reset and enters that show a window to newcomers."""

from collections.abc import Sequence

from .frame import Frame
from .frame_encoding import RESET, enter_frames
from .group import Group
from .window import Rows


class SnapshotCache:
    """Makes the snapshots of one window, and encodes again only the rows that changed.

    A streamed set is shown as a window is: its enters are numbered, though its order means nothing.
    Enters are kept from the second snapshot on: most windows are shown once.
    """

    def __init__(self) -> None:
        self._used = False
        self._cached: Sequence[tuple[Frame, Frame]] = ()

    def group(self, rows: Rows) -> Group:
        """Return a reset, then one enter per row."""
        enters = enter_frames(rows, cached=self._cached)
        if self._used:
            self._cached = tuple(zip(rows, enters, strict=True))
        self._used = True
        return Group((RESET, *enters))
