"""What can be said of one delta without its window: names, groups, id, JSON, cursor. Pure."""

from collections.abc import Iterator, Sequence

from livequery.v1 import livequery_pb2 as pb

from . import rules
from .rows import cursor_fault, json_fault

CARRIES_ROW = (pb.DELTA_OP_ENTER, pb.DELTA_OP_MOVE, pb.DELTA_OP_UPDATE, pb.DELTA_OP_MATCH)


def op_name(op: int) -> str:
    """Return an op as people write it, or its number."""
    try:
        return pb.DeltaOp.Name(op).removeprefix("DELTA_OP_").lower()
    except ValueError:
        return f"op {op}"


def delta_name(delta: pb.LiveDelta) -> str:
    """Return a delta as findings name it."""
    return f"{op_name(delta.op)} {delta.agg_id!r}"


def groups(deltas: Sequence[pb.LiveDelta]) -> Iterator[list[pb.LiveDelta]]:
    """Yield runs of equal stream_id."""
    run: list[pb.LiveDelta] = []
    for delta in deltas:
        if run and delta.stream_id != run[-1].stream_id:
            yield run
            run = []
        run.append(delta)
    if run:
        yield run


def index_check(delta: pb.LiveDelta, at: int, count: int) -> tuple[bool, str]:
    """Say whether indexes are exact for a row at `at` (-1: not there) of `count`, and what is."""
    old, new = delta.old_index, delta.new_index
    match delta.op:
        case pb.DELTA_OP_ENTER:
            if at >= 0:  # a second enter takes the place of the first; only that is its fault
                return 0 <= new < count, f"new_index 0 to {count - 1}"
            return old == -1 and 0 <= new <= count, f"old_index -1, new_index 0 to {count}"
        case pb.DELTA_OP_LEAVE:
            return (old, new) == (at, -1), f"old_index {at}, new_index -1"
        case pb.DELTA_OP_MOVE:
            right = old == at and 0 <= new < count
            return right, f"old_index {at}, new_index 0 to {count - 1}"
    return old == new == at, f"old_index {at}, new_index {at}"


def row_checks(
    delta: pb.LiveDelta, sort: Sequence[pb.SortKey]
) -> Iterator[tuple[rules.Rule, bool, str, str]]:
    """Yield (rule, whether it holds, expected, got) for what a delta carries."""
    yield rules.ROW_ID, bool(delta.agg_id), "a non-empty agg_id", f"{op_name(delta.op)} without one"
    if delta.row:
        fault = json_fault(delta.row)
        yield rules.ROW_JSON, not fault, "JSON in UTF-8", f"{delta_name(delta)}: {fault}"
    values = delta.cursor.values
    if values and delta.op in CARRIES_ROW:
        arity = len(sort) + 1
        yield (
            rules.CURSOR_ARITY,
            len(values) == arity,
            f"{arity} values: {len(sort)} sort keys, then the id",
            f"{len(values)} values ({delta.agg_id!r})",
        )
        fault = cursor_fault(values)
        yield rules.CURSOR_VALUES, not fault, "finite values, all set", fault
