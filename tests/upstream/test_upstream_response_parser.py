"""The tier's messages, parsed from bytes."""

import itertools

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple
from upstream_values import VALUES

from bridge.core.batch import Batch
from bridge.core.frame import RESET, encode
from bridge.core.op import Op
from bridge.core.sequencer import Heartbeat
from bridge.core.value import JsonText
from bridge.upstream.lazy_messages import LazyResponse
from bridge.upstream.protobuf_conversion import cursor_to_pb
from bridge.upstream.response_parser import parse_response, value_from_pb
from livequery.v1 import livequery_pb2 as pb


def batch_of(batch):
    return parse_response(pb.SubscribeResponse(batch=batch).SerializeToString())


def delta_of(delta):
    [read_back] = batch_of(pb.DeltaBatch(deltas=[delta])).deltas
    return read_back


def test_every_field_of_a_delta_is_parsed():
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
    assert astuple(delta_of(message)) == astuple(whole)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_cursors_of_any_values_are_parsed(count):
    for values in itertools.product([value for value, _ in VALUES], repeat=count):
        message = pb.LiveDelta(agg_id="a", cursor=cursor_to_pb(values))
        assert delta_of(message).cursor == encode(0, "a", cursor=values).cursor


def test_an_invalid_delta_leaves_the_others_as_they_are():
    bad, good = (pb.LiveDelta(op=4, agg_id="a", row=row) for row in (b"{", b"{}"))
    deltas = batch_of(pb.DeltaBatch(deltas=[good, bad, good])).deltas
    assert [bool(delta.data) for delta in deltas] == [True, False, True]


@pytest.mark.parametrize("op", [op for op in Op if op is not Op.RESET])
@pytest.mark.parametrize("sent", [{}, {"agg_id": ""}], ids=["missing", "empty"])
def test_a_delta_of_a_row_without_its_id_is_unreadable_and_says_so(op, sent):
    without = pb.LiveDelta(op=int(op), row=b'{"n":1}', new_index=2, **sent)
    [good, read, _] = batch_of(
        pb.DeltaBatch(deltas=[pb.LiveDelta(op=4, agg_id="a", row=b"{}"), without, without])
    ).deltas
    assert good.data
    assert (read.op, read.data, read.reason) == (op, b"", "agg_id is missing")
    assert (read.row, read.new_index) == (b"", 2)
    assert b'{"n":1}' in read.excerpt


def test_an_absent_cursor_and_an_empty_one_differ():
    assert delta_of(pb.LiveDelta(agg_id="a")).cursor == encode(0, "a").cursor
    assert (
        delta_of(pb.LiveDelta(agg_id="a", cursor=pb.Cursor())).cursor
        == encode(0, "a", cursor=()).cursor
    )


def test_an_op_the_schema_does_not_list_is_kept():
    wire = pb.LiveDelta(op=pb.DELTA_OP_ENTER).SerializeToString()
    assert wire == b"\x08\x01"
    assert delta_of(pb.LiveDelta.FromString(b"\x08\x63")).op == 99


RESETS = [
    (pb.RESET_REASON_UNSPECIFIED, None),
    (pb.RESET_REASON_INITIAL, False),
    (pb.RESET_REASON_REANCHOR, True),
    (pb.RESET_REASON_FAILOVER, False),
]


@pytest.mark.parametrize(("reason", "reanchor"), RESETS)
def test_a_batch_has_the_fields_of_its_reset(reason, reanchor):
    reset = pb.LiveDelta(
        op=pb.DELTA_OP_RESET,
        reset=pb.ResetInfo(reason=reason, bare=True, request_id="r"),
    )
    batch = batch_of(
        pb.DeltaBatch(epoch=2**64 - 1, first_seq=5, deltas=[reset], snapshot_complete=True)
    )
    assert list(map(astuple, batch.deltas)) == [astuple(RESET)]
    assert batch == Batch(
        batch.deltas, 2**64 - 1, 5, snapshot_complete=True, bare=True, reanchor=reanchor,
        request_id="r",
    )  # fmt: skip


def test_a_value_without_a_kind_is_null():
    assert value_from_pb(pb.Value()) is None


def test_json_text_that_is_not_utf8_does_not_raise_here():
    assert isinstance(value_from_pb(pb.Value(json_value=b"\xff")), JsonText)


def test_a_heartbeat_is_read():
    heartbeat = pb.Heartbeat(epoch=3, last_seq=2**63)
    beat = parse_response(pb.SubscribeResponse(heartbeat=heartbeat).SerializeToString())
    assert beat == Heartbeat(epoch=3, last_seq=2**63)


def test_every_field_of_started_is_parsed():
    started = pb.Started(subscription_id="s", route=b"r", effective_query=pb.LiveQuery(limit=3))
    started.heartbeat_interval.seconds = 7
    assert parse_response(pb.SubscribeResponse(started=started).SerializeToString()) == started


@pytest.mark.parametrize("message", ["", "2200", "7801"])
def test_a_message_of_an_unknown_kind_is_none(message):
    assert parse_response(bytes.fromhex(message)) is None


def test_each_delta_has_its_own_time():
    deltas = [pb.LiveDelta(op=4) for _ in range(5)]
    for delta, seconds in zip(deltas, (7, 7, 0, 8, 7), strict=True):
        if seconds:
            delta.at.seconds = seconds
    assert [frame.at for frame in batch_of(pb.DeltaBatch(deltas=deltas)).deltas] == [7, 7, 0, 8, 7]


def test_a_cached_cursor_is_encoded_as_before():
    for text in ("<a>", "x" * 1000, "<a>"):
        for values in ((text,), (float("nan"), text)):
            delta = delta_of(pb.LiveDelta(op=4, agg_id="a", cursor=cursor_to_pb(values)))
            assert astuple(delta) == astuple(encode(4, "a", cursor=values))


def nested(*tags_and_bytes):
    """Wrap the last in fields of the numbers before it, from the outside in."""
    *numbers, inner = tags_and_bytes
    for number in reversed(numbers):
        inner = bytes((number << 3 | 2, len(inner))) + inner
    return inner


@pytest.mark.parametrize(
    "wire",
    [
        b"\x0a\x05",
        nested(1, b"\x0a\x05"),  # started
        nested(2, b"\x0a\x05"),  # a batch
        nested(3, b"\x0a\x05"),  # a heartbeat
        nested(2, 3, b"\x0a\x05"),  # a delta
        nested(2, 3, 2, b"\xff"),  # its id
        nested(2, 3, 7, b"\x0a\x05"),  # its cursor
        nested(2, 3, 7, 1, 6, b"\xff"),  # a text in it
        nested(2, 3, 9, b"\x0a\x05"),  # its time
        b"\x12\x08\x1a\x06\x08\x05\x52\x02\x0a\x05",  # what is said of its reset
    ],
)
def test_bytes_that_are_no_message_are_refused_at_any_depth(wire):
    for parse in (pb.SubscribeResponse.FromString, parse_response):
        with pytest.raises(DecodeError):
            parse(wire)


def shapes(message):
    return [(field.number, field.name, field.is_repeated) for field in message.fields]


def test_the_lazy_messages_have_the_fields_of_the_contract():
    batch = LazyResponse.DESCRIPTOR.fields_by_name["batch"].message_type
    delta = batch.fields_by_name["deltas"].message_type
    assert shapes(LazyResponse.DESCRIPTOR) == shapes(pb.SubscribeResponse.DESCRIPTOR)
    assert shapes(batch) == shapes(pb.DeltaBatch.DESCRIPTOR)
    assert shapes(delta) == shapes(pb.LiveDelta.DESCRIPTOR)


int32s, texts = st.integers(-(2**31), 2**31 - 1), st.text(st.characters(exclude_categories=["Cs"]))


@given(
    int32s, texts.filter(bool), st.integers(-(2**63), 2**63 - 1), st.binary(), int32s, int32s, texts
)
def test_any_delta_is_parsed_as_it_was_serialized(op, agg_id, version, row, old, new, stream_id):
    spelled = pb.LiveDelta(
        op=op, agg_id=agg_id, version=version, row=row, old_index=old, new_index=new,
        stream_id=stream_id,
    )  # fmt: skip
    plain = encode(op, agg_id, version, row, old, new, None, stream_id)
    assert astuple(delta_of(spelled)) == astuple(plain)
