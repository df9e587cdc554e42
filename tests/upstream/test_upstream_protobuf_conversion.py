"""Core values ↔ protobuf, against bytes written by hand."""

import pytest
from upstream_values import VALUES

from bridge.core.query import Comparison, LiveQuery, OrGroup, SortKey
from bridge.upstream import protobuf_conversion
from bridge.upstream.delta_members import value_from_pb
from livequery.v1 import livequery_pb2 as pb


@pytest.mark.parametrize(("value", "golden"), VALUES, ids=[repr(v)[:24] for v, _ in VALUES])
def test_a_value_is_converted_by_its_kind_and_back(value, golden):
    spelled = protobuf_conversion.value_to_pb(value)
    assert spelled.SerializeToString().hex() == golden
    back = value_from_pb(pb.Value.FromString(bytes.fromhex(golden)))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_every_field_of_a_query_is_converted():
    query = LiveQuery(
        "flights",
        (
            Comparison("a", "eq", 1),
            Comparison("b", "in", (1, "x", None)),
            OrGroup(
                (
                    Comparison("c", "isnull", None),
                    OrGroup((Comparison("d", "gte", 2**63), Comparison("e", "ilike", "%é%"))),
                )
            ),
        ),
        (SortKey("t", desc=True), SortKey("u", desc=False)),
        50,
        (1.5, None, "id-9"),
        1,
    )

    def leaf(column, operator, **operand):
        return pb.Condition(comparison=pb.Comparison(column=column, operator=operator, **operand))

    assert protobuf_conversion.query_to_pb(query) == pb.LiveQuery(
        entity="flights",
        where=[
            leaf("a", pb.OPERATOR_EQ, value=pb.Value(int_value=1)),
            leaf(
                "b",
                pb.OPERATOR_IN,
                list=pb.ValueList(
                    values=[
                        pb.Value(int_value=1),
                        pb.Value(string_value="x"),
                        pb.Value(null_value=0),
                    ]
                ),
            ),
            pb.Condition(
                or_group=pb.OrGroup(
                    conditions=[
                        leaf("c", pb.OPERATOR_IS_NULL),
                        pb.Condition(
                            or_group=pb.OrGroup(
                                conditions=[
                                    leaf("d", pb.OPERATOR_GTE, value=pb.Value(uint_value=2**63)),
                                    leaf(
                                        "e", pb.OPERATOR_ILIKE, value=pb.Value(string_value="%é%")
                                    ),
                                ]
                            )
                        ),
                    ]
                )
            ),
        ],
        sort=[pb.SortKey(column="t", desc=True), pb.SortKey(column="u")],
        limit=50,
        cursor=pb.Cursor(
            values=[
                pb.Value(double_value=1.5),
                pb.Value(null_value=0),
                pb.Value(string_value="id-9"),
            ]
        ),
        mode=pb.MODE_STREAMED,
    )


OPERATORS = {
    "eq": 1, "ne": 2, "gt": 3, "gte": 4, "lt": 5, "lte": 6,
    "in": 7, "notin": 8, "like": 9, "ilike": 10, "isnull": 11, "isnotnull": 12,
}  # fmt: skip


@pytest.mark.parametrize(("word", "number"), OPERATORS.items())
def test_every_operator_has_the_schemas_number(word, number):
    operand = (1,) if word in ("in", "notin") else None if word.startswith("is") else 1
    message = protobuf_conversion.query_to_pb(
        LiveQuery("e", (Comparison("c", word, operand),), (), 1)
    )
    assert message.where[0].comparison.operator == number


def test_an_operator_that_takes_no_operand_has_none():
    message = protobuf_conversion.query_to_pb(
        LiveQuery("e", (Comparison("c", "isnull", None),), (), 1)
    )
    assert message.where[0].comparison.WhichOneof("operand") is None


def test_32_nested_or_groups_are_within_what_parsers_take():
    condition = Comparison("c", "eq", 1)
    for _ in range(32):
        condition = OrGroup((condition,))
    spelled = protobuf_conversion.query_to_pb(LiveQuery("e", (condition,), (), 1))
    wire = pb.SubscribeRequest(query=spelled).SerializeToString()
    assert pb.SubscribeRequest.FromString(wire).query == spelled


def test_the_head_is_no_cursor_and_an_empty_cursor_is_one():
    assert not protobuf_conversion.query_to_pb(LiveQuery("e", (), (), 1)).HasField("cursor")
    assert protobuf_conversion.query_to_pb(LiveQuery("e", (), (), 1, ())).HasField("cursor")


def test_of_the_effective_query_only_the_limit_is_the_tiers():
    asked = LiveQuery("e", (), (SortKey("a", desc=True),), 50, ("x", "y"))
    read = protobuf_conversion.effective_query(asked, pb.LiveQuery(entity="other", limit=20))
    assert read == LiveQuery("e", (), (SortKey("a", desc=True),), 20, ("x", "y"))
    assert protobuf_conversion.effective_query(asked, pb.LiveQuery()).limit == 50
    assert protobuf_conversion.effective_query(asked, pb.LiveQuery(limit=-5)).limit == 50
