"""Edit scripts where one row of a result has changed, for any number of windows over that result.

Windows that differ only in their limit are beginnings of one result. The scripts are those of
``window.edit_script``; what several windows have in common is one ``Change``.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

from livequery.v1 import livequery_pb2 as pb
from livetier.engine.value import Scalar
from livetier.engine.window import Change, Row, Window, enter, leave


class OneRow:
    """The row ``key`` has changed; ``before`` and ``after`` are beginnings of the result.

    ``hidden`` has the row's present state if it still matches and is not in ``after``.
    """

    def __init__(
        self, before: Window, after: Window, key: Scalar, hidden: Mapping[Scalar, Row]
    ) -> None:
        self._before = before
        self._after = after
        self._hidden = hidden.get(key)
        self._was = _place(before, key)
        self._now = _place(after, key)

    def script(self, limit: int) -> Sequence[Change]:
        """Return the changes of the window of the first ``limit`` rows."""
        shown, shows = self._was < limit, self._now < limit
        if shown and shows:
            return self._stays
        if shown:
            promoted = self._after[limit - 1 : limit]
            return [self._leaves, *(enter(row, limit - 1) for row in promoted)]
        if shows:
            pushed = self._before[limit - 1 : limit]
            return [self._enters, *(leave(row, limit) for row in pushed)]
        return ()

    @cached_property
    def _stays(self) -> Sequence[Change]:
        old, new = self._before[self._was], self._after[self._now]
        if old == new:
            return ()
        op = pb.DELTA_OP_UPDATE if old.order == new.order else pb.DELTA_OP_MOVE
        return (Change(op, new.key, new.version, new, self._was, self._now),)

    @cached_property
    def _leaves(self) -> Change:
        last = self._before[self._was]
        if self._now < len(self._after):
            last = self._after[self._now]
        return leave(self._hidden or last, self._was)

    @cached_property
    def _enters(self) -> Change:
        return enter(self._after[self._now], self._now)


def _place(rows: Window, key: Scalar) -> int:
    """Return where the row is; behind every window if it is not among ``rows``."""
    return next((place for place, row in enumerate(rows) if row.key == key), _NOWHERE)


_NOWHERE = 1 << 62
