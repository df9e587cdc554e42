"""Core values ↔ protobuf, against bytes written by hand."""

import itertools
import struct

import pytest
from msgspec.structs import astuple

from bridge.core.batch import Batch
from bridge.core.frame import RESET, encode
from bridge.core.intake import Beat
from bridge.core.query import Comparison, LiveQuery, OrGroup, SortKey
from bridge.core.value import JsonText
from bridge.upstream import translate
from livequery.v1 import livequery_pb2 as pb

VALUES = [
    (None, "0800"),
    (False, "1000"),
    (True, "1001"),
    (0, "1800"),
    (1, "1802"),
    (-1, "1801"),
    (2**53 + 1, "18" + "8280808080808020"),
    (2**63 - 1, "18" + "fe" + "ff" * 8 + "01"),
    (-(2**63), "18" + "ff" * 9 + "01"),
    (2**63, "20" + "80" * 9 + "01"),
    (2**64 - 1, "20" + "ff" * 9 + "01"),
    (0.1, "29" + struct.pack("<d", 0.1).hex()),
    (100.0, "29" + "0000000000005940"),
    (1.0, "29" + "000000000000f03f"),
    (-0.0, "29" + "0000000000000080"),
    (5e-324, "29" + "0100000000000000"),
    ("", "3200"),
    ("é", "3202c3a9"),
    ("\U0001f6eb\x00\u2028", "3208" + "f09f9bab" + "00" + "e280a8"),
    (JsonText('[1,"a"]'), "3a07" + b'[1,"a"]'.hex()),
    (JsonText("0.30000000000000000001"), "3a16" + b"0.30000000000000000001".hex()),
]


@pytest.mark.parametrize(("value", "golden"), VALUES, ids=[repr(v)[:24] for v, _ in VALUES])
def test_a_value_is_spelled_by_its_kind_and_comes_back_as_it_was(value, golden):
    spelled = translate.value_to_pb(value)
    assert spelled.SerializeToString().hex() == golden
    back = translate.value_from_pb(pb.Value.FromString(bytes.fromhex(golden)))
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_a_value_without_a_kind_is_null():
    assert translate.value_from_pb(pb.Value()) is None


def test_json_text_that_is_not_utf8_does_not_raise_here():
    assert isinstance(translate.value_from_pb(pb.Value(json_value=b"\xff")), JsonText)


def test_a_query_is_spelled_whole():
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

    assert translate.query_to_pb(query) == pb.LiveQuery(
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
    message = translate.query_to_pb(LiveQuery("e", (Comparison("c", word, operand),), (), 1))
    assert message.where[0].comparison.operator == number


def test_an_operator_that_takes_no_operand_has_none():
    message = translate.query_to_pb(LiveQuery("e", (Comparison("c", "isnull", None),), (), 1))
    assert message.where[0].comparison.WhichOneof("operand") is None


def test_32_nested_or_groups_are_within_what_parsers_take():
    condition = Comparison("c", "eq", 1)
    for _ in range(32):
        condition = OrGroup((condition,))
    spelled = translate.query_to_pb(LiveQuery("e", (condition,), (), 1))
    wire = pb.SubscribeRequest(query=spelled).SerializeToString()
    assert pb.SubscribeRequest.FromString(wire).query == spelled


def test_the_head_is_no_cursor_and_an_empty_cursor_is_one():
    assert not translate.query_to_pb(LiveQuery("e", (), (), 1)).HasField("cursor")
    assert translate.query_to_pb(LiveQuery("e", (), (), 1, ())).HasField("cursor")


def test_a_delta_is_read_whole():
    message = pb.LiveDelta(
        op=pb.DELTA_OP_MOVE,
        agg_id="é",
        version=2**62,
        row=b'{"n":9007199254740993}',
        old_index=-1,
        new_index=7,
        cursor=pb.Cursor(values=[pb.Value(uint_value=2**64 - 1), pb.Value(string_value="é")]),
        stream_id="1-2",
    )
    message.at.seconds, message.at.nanos = 1_700_000_000, 500_000_000
    whole = encode(
        3, "é", 2**62, b'{"n":9007199254740993}', -1, 7, (2**64 - 1, "é"), "1-2", 1_700_000_000.5
    )
    assert astuple(translate.delta_from_pb(message)) == astuple(whole)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_cursor_is_read_whole_whatever_its_values(count):
    for values in itertools.product([value for value, _ in VALUES], repeat=count):
        message = pb.LiveDelta(cursor=translate.cursor_to_pb(values))
        assert translate.delta_from_pb(message).cursor == encode(0, cursor=values).cursor


def test_a_delta_that_cannot_be_read_is_one_among_the_others():
    bad, good = pb.LiveDelta(op=4, row=b"{"), pb.LiveDelta(op=4, row=b"{}")
    deltas = translate.batch_from_pb(pb.DeltaBatch(deltas=[good, bad, good])).deltas
    assert [bool(delta.data) for delta in deltas] == [True, False, True]


def test_an_absent_cursor_and_an_empty_one_differ():
    assert translate.delta_from_pb(pb.LiveDelta()).cursor == encode(0).cursor
    assert (
        translate.delta_from_pb(pb.LiveDelta(cursor=pb.Cursor())).cursor
        == encode(0, cursor=()).cursor
    )


def test_an_op_the_schema_does_not_list_is_kept():
    wire = pb.LiveDelta(op=pb.DELTA_OP_ENTER).SerializeToString()
    assert wire == b"\x08\x01"
    assert translate.delta_from_pb(pb.LiveDelta.FromString(b"\x08\x63")).op == 99


RESETS = [
    (pb.RESET_REASON_UNSPECIFIED, None),
    (pb.RESET_REASON_INITIAL, False),
    (pb.RESET_REASON_REANCHOR, True),
    (pb.RESET_REASON_FAILOVER, False),
]


@pytest.mark.parametrize(("reason", "reanchor"), RESETS)
def test_a_batch_tells_of_its_reset(reason, reanchor):
    reset = pb.LiveDelta(
        op=pb.DELTA_OP_RESET,
        reset=pb.ResetInfo(reason=reason, bare=True, request_id="r"),
    )
    batch = translate.batch_from_pb(
        pb.DeltaBatch(epoch=2**64 - 1, first_seq=5, deltas=[reset], snapshot_complete=True)
    )
    assert list(map(astuple, batch.deltas)) == [astuple(RESET)]
    assert batch == Batch(
        batch.deltas, 2**64 - 1, 5, snapshot_complete=True, bare=True, reanchor=reanchor,
        request_id="r",
    )  # fmt: skip


def test_a_heartbeat_is_read():
    beat = translate.beat_from_pb(pb.Heartbeat(epoch=3, last_seq=2**63))
    assert beat == Beat(epoch=3, last_seq=2**63)


def test_of_the_effective_query_only_the_limit_is_the_tiers():
    asked = LiveQuery("e", (), (SortKey("a", desc=True),), 50, ("x", "y"))
    read = translate.effective(asked, pb.LiveQuery(entity="other", limit=20))
    assert read == LiveQuery("e", (), (SortKey("a", desc=True),), 20, ("x", "y"))
    assert translate.effective(asked, pb.LiveQuery()).limit == 50
    assert translate.effective(asked, pb.LiveQuery(limit=-5)).limit == 50
