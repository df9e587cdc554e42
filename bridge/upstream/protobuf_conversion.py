"""Queries and resume positions as protobuf messages of livequery.v1. No rules, only conversion."""

from bridge.core.query import Comparison, Condition, LiveQuery, OrGroup
from bridge.core.value import Cursor, JsonText, Value
from bridge.live.backend import ResumeOffer
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
OPERATOR_NAMES = {number: name for name, number in _OPERATORS.items()}
"""Operators as a LiveQuery in JSON spells them."""
_MODES = (pb.MODE_MAINTAINED, pb.MODE_STREAMED)


def value_to_pb(value: Value) -> pb.Value:
    """Convert a value; integers and floats stay what they are."""
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
    """Convert a cursor; None is the head of the result."""
    return None if cursor is None else pb.Cursor(values=map(value_to_pb, cursor))


def _condition_to_pb(condition: Condition) -> pb.Condition:
    if isinstance(condition, OrGroup):
        return pb.Condition(
            or_group=pb.OrGroup(conditions=map(_condition_to_pb, condition.conditions))
        )
    return pb.Condition(comparison=_comparison_to_pb(condition))


def _comparison_to_pb(condition: Comparison) -> pb.Comparison:
    comparison = pb.Comparison(column=condition.column, operator=_OPERATORS[condition.operator])
    if isinstance(condition.operand, tuple):
        comparison.list.values.extend(map(value_to_pb, condition.operand))
    elif condition.operand is not None:
        comparison.value.CopyFrom(value_to_pb(condition.operand))
    return comparison


def query_to_pb(query: LiveQuery) -> pb.LiveQuery:
    """Convert a query."""
    return pb.LiveQuery(
        entity=query.entity,
        where=map(_condition_to_pb, query.where),
        sort=[pb.SortKey(column=key.column, desc=key.desc) for key in query.sort],
        limit=query.limit,
        cursor=cursor_to_pb(query.cursor),
        mode=_MODES[query.mode],
    )


def offer_to_pb(offer: ResumeOffer | None) -> pb.ResumePosition | None:
    """Convert the position of a lost call."""
    if offer is None:
        return None
    position = offer.position
    return pb.ResumePosition(
        subscription_id=offer.id,
        epoch=position.epoch,
        seq=position.seq,
        stream_id=position.stream_id,
        route=offer.route,
    )


def effective_query(query: LiveQuery, message: pb.LiveQuery) -> LiveQuery:
    """Return a query as the tier runs it: the tier may change only its limit."""
    return query.reanchored(query.cursor, max(message.limit, 0))
