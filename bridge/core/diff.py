"""diff(a, b): the fewest frames that turn one window into another (docs/semantics.md).

One algorithm for repairs, failover, slow viewers, resume and reanchor.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise

from .frame import Frame
from .frame_encoding import leave_frame, reencode
from .op import Op

UNKNOWN_CURSOR = b"?"
"""The cursor of a row of which only id and version are known. No encoded cursor equals it."""


def diff(a: Sequence[Frame], b: Sequence[Frame], stream_id: str = "") -> list[Frame]:
    """Return frames that turn window `a` into window `b`, applied by id or by literal index.

    Order: leaves from the highest index down; then, in the order of `b`, enters and the fewest
    moves, each placed directly behind its predecessor; then updates. Indexes are exact at every
    step. The window never has more than max(len(a), len(b)) rows. Takes near linear time, apart
    from the list edits.
    """
    if a == b:
        return []
    ids_after = {row.agg_id for row in b}
    frames = [
        leave_frame(a[at].agg_id, at, stream_id)
        for at in range(len(a) - 1, -1, -1)
        if a[at].agg_id not in ids_after
    ]
    before = {row.agg_id: row for row in a if row.agg_id in ids_after}
    current = list(before)
    unmoved = _unmoved_ids(current, b)
    updates = []
    last = -1  # the index of the predecessor in `current`
    for index, row in enumerate(b):
        agg_id = row.agg_id
        if agg_id in unmoved:
            # Rows in between move to a later index, and are removed from here then.
            last = current.index(agg_id, last + 1)
            if not same_row(before[agg_id], row):
                updates.append(reencode(Op.UPDATE, row, index, index, stream_id))
        elif agg_id in before:
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


def rows_from_versions(pairs: Iterable[tuple[str, int]]) -> tuple[Frame, ...]:
    """Make a window of (agg_id, version) pairs in window order, as a returning client states it."""
    return tuple(
        Frame(Op.ENTER, agg_id, version, UNKNOWN_CURSOR, -1, at, "", b"")
        for at, (agg_id, version) in enumerate(dict(pairs).items())
    )


def same_row(one: Frame, other: Frame) -> bool:
    """Return whether two frames of one id carry the same row: version, row text and cursor.

    Where `one` is a row of `rows_from_versions`, equal versions decide; 0 equals no version.
    """
    if one.cursor is UNKNOWN_CURSOR:
        return one.version == other.version != 0
    return one is other or (one.cursor == other.cursor and one.body == other.body)


def _unmoved_ids(current: Sequence[str], b: Sequence[Frame]) -> frozenset[str]:
    """Return ids that need no move: a longest increasing subsequence of their old indexes."""
    index_of = {agg_id: at for at, agg_id in enumerate(current)}
    order = [index_of[row.agg_id] for row in b if row.agg_id in index_of]
    if all(x < y for x, y in pairwise(order)):
        return frozenset(index_of)
    # Patience sorting: tails[k] is the smallest end of an increasing run of length k + 1.
    tails: list[int] = []
    predecessor: dict[int, int] = {}
    for at in order:
        length = bisect_left(tails, at)
        tails[length : length + 1] = [at]
        if length:
            predecessor[at] = tails[length - 1]
    unmoved = []
    at = tails[-1]
    while True:
        unmoved.append(current[at])
        if at not in predecessor:
            return frozenset(unmoved)
        at = predecessor[at]
