"""The tier's messages, parsed from bytes."""

import itertools

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from upstream_values import VALUES

from bridge.core.batch import Batch
from bridge.core.frame_encoding import RESET, encode
from bridge.core.op import Op
from bridge.core.sequencer import Heartbeat
from bridge.core.value import JsonText
from bridge.upstream.batch_reader import read_batch
from bridge.upstream.delta_members import value_from_pb
from bridge.upstream.lazy_messages import LazyResponse
from bridge.upstream.protobuf_conversion import cursor_to_pb
from bridge.upstream.response_parser import parse_message, parse_response
from core_makers import batch_members, members_of
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
    assert members_of(delta_of(message)) == members_of(whole)


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
    assert list(map(members_of, batch.deltas)) == [members_of(RESET)]
    assert batch_members(batch) == {
        "deltas": batch.deltas, "epoch": 2**64 - 1, "first_seq": 5, "snapshot_complete": True,
        "bare": True, "reanchor": reanchor, "request_id": "r",
    }  # fmt: skip


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
            assert members_of(delta) == members_of(encode(4, "a", cursor=values))


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
    assert members_of(delta_of(spelled)) == members_of(plain)


def varint(number):
    made = b""
    while number > 127:
        made, number = made + bytes([number & 127 | 128]), number >> 7
    return made + bytes([number])


def content(kind, number, data):
    return varint(number << 3 | kind) + (
        varint(len(data)) + data if kind == 2 else data if kind else varint(int.from_bytes(data))
    )


ODD = st.builds(
    content,
    st.sampled_from([0, 0, 2, 2, 1, 3, 4, 5]),
    st.integers(0, 20),
    st.binary(max_size=9),
)
NUMBERS = st.sampled_from([1, 3, 5, 6, 12])
LONG_NUMBERS = st.sampled_from([0, 1, 127, 128, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 2**64, 2**70])
FIELDS = st.one_of(
    st.builds(lambda field, value: varint(field << 3) + varint(value), NUMBERS, LONG_NUMBERS),
    st.builds(
        lambda field, data: content(2, field, data),
        st.sampled_from([2, 4, 7, 8, 9, 10]),
        st.one_of(
            st.binary(max_size=6), st.text(max_size=5).map(lambda t: t.encode(errors="replace"))
        ),
    ),
    ODD,
)
DELTAS = st.lists(FIELDS, max_size=6).map(b"".join).map(lambda data: content(2, 3, data))
BATCHES = st.lists(
    st.one_of(
        DELTAS,
        st.builds(lambda field, value: varint(field << 3) + varint(value), NUMBERS, LONG_NUMBERS),
        ODD,
    ),
    max_size=5,
).map(b"".join)
CUT = st.tuples(st.integers(0, 80), st.binary(max_size=2), st.integers(0, 2))


def parsed(parse, wire):
    try:
        batch = parse(wire)
    except DecodeError:
        return DecodeError
    if not isinstance(batch, Batch):
        return batch
    return [list(map(members_of, batch.deltas)), *list(batch_members(batch).values())[1:]]


@given(BATCHES, st.none() | CUT)
def test_what_is_read_from_the_wire_is_what_protobuf_reads(inner, cut):
    wire = content(2, 2, inner)
    if cut is not None:
        at, put, left_out = cut
        wire = wire[:at] + put + wire[at + left_out :]
    read = parsed(read_batch, wire)
    if read is not None:
        assert read == parsed(parse_message, wire)


@given(
    st.lists(st.builds(
        pb.LiveDelta, op=int32s, agg_id=texts, version=st.integers(-(2**63), 2**63 - 1),
        row=st.binary(), old_index=int32s, new_index=int32s, stream_id=texts,
        reset=st.none() | st.builds(pb.ResetInfo, bare=st.booleans(), reason=st.integers(0, 3)),
        cursor=st.none() | st.builds(pb.Cursor, values=st.lists(st.builds(pb.Value, int_value=int32s), max_size=2)),
    ), max_size=3),
    st.integers(0, 2**64 - 1),
    st.booleans(),
)  # fmt: skip
def test_whatever_is_serialized_is_read_from_the_wire(deltas, epoch, complete):
    batch = pb.DeltaBatch(deltas=deltas, epoch=epoch, first_seq=epoch, snapshot_complete=complete)
    wire = pb.SubscribeResponse(batch=batch).SerializeToString()
    assert read_batch(wire) is not None
    assert parsed(read_batch, wire) == parsed(parse_message, wire)
