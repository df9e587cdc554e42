"""Page: what newcomers to a window are shown first, printed anew only where it has changed."""

from collections.abc import Sequence

from .frame import RESET, Frame, enter_frames
from .group import Group
from .window import Rows


class SnapshotCache:
    """The snapshots of one window, one after another.

    What was printed is kept from the second time on: most windows are shown once.
    """

    def __init__(self, *, streamed: bool = False) -> None:
        self._ordered = not streamed
        self._shown = False
        self._last: Sequence[tuple[Frame, Frame]] = ()

    def group(self, rows: Rows) -> Group:
        """Return a reset, then one enter per row."""
        printed = enter_frames(rows, ordered=self._ordered, last=self._last)
        if self._shown:
            self._last = tuple(zip(rows, printed, strict=True))
        self._shown = True
        return Group((RESET, *printed))
