"""Rows of a window as one stream told them, and whether two windows are the same."""

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from livequery.v1 import livequery_pb2 as pb

Scalar = bool | int | float | str | bytes | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `cursor` is empty where the tier sent none."""

    id: str
    version: int
    json: bytes
    cursor: tuple[pb.Value, ...]


def row_of(delta: pb.LiveDelta) -> Row:
    """Return the row that an enter, move, update or match carries."""
    return Row(delta.agg_id, delta.version, delta.row, tuple(delta.cursor.values))


def json_fault(text: bytes) -> str:
    """Return what is wrong with a row's text; empty if it is JSON in UTF-8."""
    try:
        json.loads(text.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return "bytes that are not UTF-8"
    except RecursionError:
        return ""  # too deep for this reader, not for JSON
    except ValueError as error:
        return f"{text[:60]!r}: {error}"
    return ""


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def cursor_fault(values: Sequence[pb.Value]) -> str:
    """Return what is wrong with a cursor's values; empty if nothing is."""
    for index, value in enumerate(values):
        kind = value.WhichOneof("kind")
        if kind is None:
            return f"values[{index}] is not set"
        if kind == "double_value" and not math.isfinite(value.double_value):
            return f"values[{index}] is {value.double_value}"
        if kind == "json_value" and (fault := json_fault(value.json_value)):
            return f"values[{index}] has {fault}"
    return ""


def scalar(value: pb.Value) -> Scalar:
    """Return a value as Python has it; NULL and JSON text are None and bytes."""
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    found: Scalar = getattr(value, kind)
    return found


def order_fault(rows: Sequence[Row], sort: Sequence[pb.SortKey]) -> str:
    """Return where rows are out of order; empty if nowhere that can be told.

    Only numbers are compared: how text sorts is the tier's collation, where NULL sorts its choice.
    """
    for before, after in itertools.pairwise(rows):
        if len(before.cursor) <= len(sort) or len(after.cursor) <= len(sort):
            continue
        for key, one, other in zip(sort, before.cursor, after.cursor, strict=False):
            first, second = scalar(one), scalar(other)
            if not isinstance(first, int | float) or not isinstance(second, int | float):
                break
            if first == second:
                continue
            if not (math.isfinite(first) and math.isfinite(second)):
                break  # a finding of its own
            if (first > second) != key.desc:
                return f"{before.id!r} with {first} before {after.id!r} with {second}"
            break
    return ""


def window_difference(kept: Sequence[Row], read: Sequence[Row], *, versions: bool = True) -> str:
    """Return how a window kept by deltas differs from one just read; empty if it does not.

    Versions and cursors are compared where both windows have one, rows as parsed JSON, numbers of a
    cursor by value. `versions`: whether those of the two streams can be compared.
    """
    mine, theirs = [row.id for row in kept], [row.id for row in read]
    if mine != theirs:
        return f"kept {_short(mine)}, read {_short(theirs)}"
    for one, other in zip(kept, read, strict=True):
        if versions and one.version and other.version and one.version != other.version:
            return f"{one.id!r}: kept version {one.version}, read {other.version}"
        if other.json and one.json != other.json and _parsed(one) != _parsed(other):
            return f"{one.id!r}: kept {_excerpt(one.json)}, read {_excerpt(other.json)}"
        mine_at, theirs_at = _comparable(one.cursor), _comparable(other.cursor)
        if len(mine_at) == len(theirs_at) and mine_at != theirs_at:
            return f"{one.id!r}: kept the cursor {mine_at}, read {theirs_at}"
    return ""


def streamed_difference(kept: Sequence[Row], read: Sequence[Row], limit: int) -> str:
    """Return how a set kept in streamed mode differs from a window just read, as far as it shows.

    The set has no order and no bound. Members behind a window that is full can't be looked up, and
    of rows that came in sight only now there may have been no word. Versions are of one stream: the
    two modes may count them differently.
    """
    members, window = {row.id: row for row in kept}, {row.id: row for row in read}
    gone = sorted(set(members) - set(window))
    if len(read) < limit and gone:
        return f"kept {_short(gone)}, which the whole result has not"
    both = [agg_id for agg_id in members if agg_id in window]
    return window_difference(
        [members[each] for each in both], [window[each] for each in both], versions=False
    )


def _comparable(values: Sequence[pb.Value]) -> list[Scalar]:
    return [scalar(value) for value in values]


def _parsed(row: Row) -> Any:
    try:
        return json.loads(row.json)
    except (ValueError, RecursionError):
        return row.json


def _excerpt(text: bytes) -> str:
    return text[:80].decode(errors="replace") or "no row"


MOST_IDS = 12


def _short(ids: Sequence[str]) -> str:
    shown = " ".join(ids[:MOST_IDS]) or "no rows"
    return f"[{shown}]" if len(ids) <= MOST_IDS else f"[{shown} … {len(ids)} rows]"
