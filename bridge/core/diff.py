"""diff(a, b): the least frames that carry one window to another (docs/semantics.md).

It serves repairs, failover, slow viewers, resume and reanchor: one piece of code.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from .frame import Frame, leave_frame, reencode
from .op import Op


def diff(a: Sequence[Frame], b: Sequence[Frame], stream_id: str = "") -> list[Frame]:
    """Return frames that lead from window `a` to window `b`, by id and by literal index alike.

    Leaves first, from the highest index down; then, in the order of `b`, enters and the fewest
    moves, each directly behind its predecessor; then updates. Indexes are exact at every step and
    there are never more than max(len a, len b) rows. Near linear, but for the list edits.
    """
    if a == b:
        return []
    wanted = {row.agg_id for row in b}
    frames = [
        leave_frame(a[at].agg_id, at, stream_id)
        for at in range(len(a) - 1, -1, -1)
        if a[at].agg_id not in wanted
    ]
    had = {row.agg_id: row for row in a if row.agg_id in wanted}
    current = list(had)
    steady = _steady(current, b)
    updates = []
    last = -1  # where the predecessor stands in `current`
    for index, row in enumerate(b):
        agg_id = row.agg_id
        if agg_id in steady:
            # Whatever stands between is bound for a later place and leaves from there.
            last = current.index(agg_id, last + 1)
            if not same_row(had[agg_id], row):
                updates.append(reencode(Op.UPDATE, row, index, index, stream_id))
        elif agg_id in had:
            old = current.index(agg_id)
            del current[old]
            last += 1 if old > last else 0
            current.insert(last, agg_id)
            frames.append(reencode(Op.MOVE, row, old, last, stream_id))
        else:
            last += 1
            current.insert(last, agg_id)
            frames.append(reencode(Op.ENTER, row, -1, last, stream_id))
    return frames + updates


UNKNOWN_CURSOR = b"?"
"""The cursor of a row of which a client told id and version alone; no cursor prints so."""


def known(pairs: Iterable[tuple[str, int]]) -> tuple[Frame, ...]:
    """Make rows of what a returning client knows: ids and versions, in window order."""
    return tuple(
        Frame(Op.ENTER, agg_id, version, UNKNOWN_CURSOR, -1, at, "", b"")
        for at, (agg_id, version) in enumerate(dict(pairs).items())
    )


def same_row(one: Frame, other: Frame) -> bool:
    """Whether two frames of one id carry the same row: version, text and cursor.

    Of a row that a client only knows by its version, that decides; 0 is never the same.
    """
    if one.cursor is UNKNOWN_CURSOR:
        return one.version == other.version != 0
    return one is other or (one.cursor == other.cursor and one.body == other.body)


def _steady(current: Sequence[str], b: Sequence[Frame]) -> frozenset[str]:
    """Return ids that need no move: a longest increasing subsequence of their old places."""
    place = {agg_id: at for at, agg_id in enumerate(current)}
    order = [place[row.agg_id] for row in b if row.agg_id in place]
    if all(x < y for x, y in pairwise(order)):
        return frozenset(place)
    # Patience sorting: tails[k] is the least end of an increasing run of length k + 1.
    tails: list[int] = []
    before: dict[int, int] = {}
    for at in order:
        length = bisect_left(tails, at)
        tails[length : length + 1] = [at]
        if length:
            before[at] = tails[length - 1]
    steady = []
    at = tails[-1]
    while True:
        steady.append(current[at])
        if at not in before:
            return frozenset(steady)
        at = before[at]
