"""A window from the one before and the rows that changed, without reading the others. Pure.

It rests on two facts. A row that did not change neither comes nor goes by itself, nor does it move.
And every row that is not known sorts after the last one that is.

The caller decides whether a row matches; ``order`` must be the database's own order, exactly.
"""

from bisect import bisect_right, insort
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from livetier.engine.value import Scalar
from livetier.engine.window import Row, Window


@dataclass(frozen=True, slots=True)
class Known:
    """The first rows of a result, in order: those of the window and maybe some after it.

    ``complete``: there are no others. If not, all others sort after the last of ``rows``.
    """

    rows: Window
    complete: bool


@dataclass(frozen=True, slots=True)
class Merged:
    """What is known after a change, and those rows of before that match but are no longer known."""

    known: Known
    hidden: Mapping[Scalar, Row]


def merge(
    before: Known,
    changed: Container[Scalar],
    present: Sequence[Row],
    order: Callable[[Row], Any],
    *,
    needed: int,
    kept: int,
) -> Merged | None:
    """Return what is known after the rows with the keys ``changed`` have changed.

    ``present`` has those of them that are in the result now. At least ``needed`` rows must be known
    unless there are no more; at most ``kept`` are. Returns None if that needs a reading.
    """
    rows = [row for row in before.rows if row.key not in changed]
    for row in present:
        insort(rows, row, key=order)
    if not before.complete:
        # Beyond the last row known before, rows may lie that are not known.
        end = bisect_right(rows, order(before.rows[-1]), key=order) if before.rows else 0
        if end < needed:
            return None
        return _merged(rows, min(end, kept), complete=False)
    return _merged(rows, min(len(rows), kept), complete=len(rows) <= kept)


def _merged(rows: list[Row], end: int, *, complete: bool) -> Merged:
    return Merged(Known(tuple(rows[:end]), complete), {row.key: row for row in rows[end:]})
