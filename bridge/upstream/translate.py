"""Core values ↔ protobuf messages of livequery.v1. No rule lives here, only spelling."""

from bridge.core.batch import Batch
from bridge.core.frame import Frame, encode
from bridge.core.intake import Beat
from bridge.core.query import Comparison, Condition, LiveQuery, OrGroup
from bridge.core.value import Cursor, JsonText, Value
from bridge.live.backend import Offer
from livequery.v1 import livequery_pb2 as pb

INT64_MAX = 2**63 - 1

_OPERATORS = {
    "eq": pb.OPERATOR_EQ,
    "ne": pb.OPERATOR_NE,
    "gt": pb.OPERATOR_GT,
    "gte": pb.OPERATOR_GTE,
    "lt": pb.OPERATOR_LT,
    "lte": pb.OPERATOR_LTE,
    "in": pb.OPERATOR_IN,
    "notin": pb.OPERATOR_NOT_IN,
    "like": pb.OPERATOR_LIKE,
    "ilike": pb.OPERATOR_ILIKE,
    "isnull": pb.OPERATOR_IS_NULL,
    "isnotnull": pb.OPERATOR_IS_NOT_NULL,
}
_RESET = int(pb.DELTA_OP_RESET)
_MODES = (pb.MODE_MAINTAINED, pb.MODE_STREAMED)


def value_to_pb(value: Value) -> pb.Value:
    """Spell a value; numbers keep their kind."""
    if value is None:
        return pb.Value(null_value=0)  # type: ignore[arg-type]  # NULL_VALUE is 0
    if isinstance(value, bool):
        return pb.Value(bool_value=value)
    if isinstance(value, int):
        return pb.Value(uint_value=value) if value > INT64_MAX else pb.Value(int_value=value)
    if isinstance(value, float):
        return pb.Value(double_value=value)
    if isinstance(value, JsonText):
        return pb.Value(json_value=value.text.encode())
    return pb.Value(string_value=value)


def cursor_to_pb(cursor: Cursor) -> pb.Cursor | None:
    """Spell an anchor; None is the head."""
    return None if cursor is None else pb.Cursor(values=map(value_to_pb, cursor))


def _condition_to_pb(condition: Condition) -> pb.Condition:
    if isinstance(condition, OrGroup):
        return pb.Condition(
            or_group=pb.OrGroup(conditions=map(_condition_to_pb, condition.conditions))
        )
    return pb.Condition(comparison=_comparison_to_pb(condition))


def _comparison_to_pb(leaf: Comparison) -> pb.Comparison:
    comparison = pb.Comparison(column=leaf.column, operator=_OPERATORS[leaf.operator])
    if isinstance(leaf.operand, tuple):
        comparison.list.values.extend(map(value_to_pb, leaf.operand))
    elif leaf.operand is not None:
        comparison.value.CopyFrom(value_to_pb(leaf.operand))
    return comparison


def query_to_pb(query: LiveQuery) -> pb.LiveQuery:
    """Spell a query."""
    return pb.LiveQuery(
        entity=query.entity,
        where=map(_condition_to_pb, query.where),
        sort=[pb.SortKey(column=key.column, desc=key.desc) for key in query.sort],
        limit=query.limit,
        cursor=cursor_to_pb(query.cursor),
        mode=_MODES[query.mode],
    )


def offer_to_pb(offer: Offer | None) -> pb.ResumePosition | None:
    """Spell where a lost call was left."""
    if offer is None:
        return None
    at = offer.position
    return pb.ResumePosition(
        subscription_id=offer.id,
        epoch=at.epoch,
        seq=at.seq,
        stream_id=at.stream_id,
        route=offer.route,
    )


def effective(asked: LiveQuery, message: pb.LiveQuery) -> LiveQuery:
    """Read how the tier runs a query: only what it may change, its limit, is taken."""
    return asked.reanchored(asked.cursor, max(message.limit, 0))


def value_from_pb(value: pb.Value) -> Value:
    """Read a value. JSON text that is not UTF-8 is kept as it is, to be refused when printed."""
    # A member that is not its default is the one that is set: cheaper than to ask for its name.
    if text := value.string_value:
        return text
    if number := value.int_value:
        return number
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "json_value":
        return JsonText(value.json_value.decode(errors="surrogateescape"))
    typed: Value = getattr(value, kind)
    return typed


def _cursor_from_pb(delta: pb.LiveDelta) -> Cursor:
    values = delta.cursor.values
    if not values:
        return () if delta.HasField("cursor") else None
    if len(values) == 1:
        return (value_from_pb(values[0]),)
    # A slice is a list: to iterate over the field itself costs twice as much.
    return tuple([value_from_pb(value) for value in values[:]])


def delta_from_pb(delta: pb.LiveDelta) -> Frame:
    """Read a delta."""
    at = delta.at
    return encode(
        delta.op,
        delta.agg_id,
        delta.version,
        delta.row,
        delta.old_index,
        delta.new_index,
        _cursor_from_pb(delta),
        delta.stream_id,
        at.seconds + at.nanos / 1e9,
    )


def batch_from_pb(batch: pb.DeltaBatch) -> Batch:
    """Read a batch; what is said of a reset is said of the first in it."""
    deltas = tuple([delta_from_pb(delta) for delta in batch.deltas])
    reset = _reset_of(batch, deltas)
    known = reset is not None and reset.reason != pb.RESET_REASON_UNSPECIFIED
    return Batch(
        deltas=deltas,
        epoch=batch.epoch,
        first_seq=batch.first_seq,
        snapshot_complete=batch.snapshot_complete,
        bare=reset is not None and reset.bare,
        reanchor=reset.reason == pb.RESET_REASON_REANCHOR if reset is not None and known else None,
        request_id=reset.request_id if reset is not None else "",
    )


def _reset_of(batch: pb.DeltaBatch, deltas: tuple[Frame, ...]) -> pb.ResetInfo | None:
    ops = [delta.op for delta in deltas]
    return batch.deltas[ops.index(_RESET)].reset if _RESET in ops else None


def beat_from_pb(heartbeat: pb.Heartbeat) -> Beat:
    """Read a heartbeat."""
    return Beat(epoch=heartbeat.epoch, last_seq=heartbeat.last_seq)
