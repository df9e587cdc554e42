"""fabriq's JSON, both ways: queries as Go reads them, windows as Go prints them."""

import json

import pytest

from bridge.core.errors import Failed, Kind
from bridge.core.frame import UnreadableFrame
from bridge.core.query_parser import parse_query
from bridge.core.value import JsonText
from bridge.upstream.fabriq.errors import failure_of_error
from bridge.upstream.fabriq.frame_parser import parse_delta, parse_snapshot
from bridge.upstream.fabriq.messages import ClientFrame, ServerFrame
from bridge.upstream.fabriq.query_json import encode_cursor, encode_query
from fabriq_tier import delta_json, field, fields, snapshot_json

AT = 1782907200.123456
WITH_NUMBER = '{"entity":"item","limit":1,"where":[{"column":"n","op":"eq","value":NUMBER}]}'


def asked(**members):
    members = {"entity": "item", "limit": 3, **members}
    return json.loads(encode_query(parse_query(json.dumps(members))))


# ------------------------------------------------------------------ queries


def test_a_query_has_the_names_of_gos_fields():
    where = [
        {"column": "a", "op": "gte", "value": 1},
        {"or": [{"column": 'b"', "op": "isnull"}, {"column": "c", "op": "in", "value": ["x", 2]}]},
    ]
    cursor = {"values": [1.5, None, "id"]}
    sort = [{"column": "s", "desc": True}, {"column": "t"}]
    assert asked(where=where, sort=sort, cursor=cursor, mode=1) == {
        "Entity": "item",
        "Where": [
            {"Column": "a", "Op": "gte", "Value": 1},
            {
                "Or": [
                    {"Column": 'b"', "Op": "isnull", "Value": None},
                    {"Column": "c", "Op": "in", "Value": ["x", 2]},
                ]
            },
        ],
        "Sort": [{"Column": "s", "Desc": True}, {"Column": "t", "Desc": False}],
        "Limit": 3,
        "Cursor": cursor,
        "Mode": 1,
    }


@pytest.mark.parametrize(
    "number", ["18446744073709551615", "-9223372036854775808", "1.5", "1e-07", "0.1", "1e+300"]
)
def test_digits_of_numbers_are_kept(number):
    query = parse_query(WITH_NUMBER.replace("NUMBER", number))
    assert json.loads(encode_query(query))["Where"][0]["Value"] == json.loads(number)


def test_a_number_beyond_a_double_is_sent_as_it_was_written():
    digits = "1234567890123456789012345678901234567890"
    query = parse_query(WITH_NUMBER.replace("NUMBER", digits))
    assert digits.encode() in encode_query(query)


@pytest.mark.parametrize("text", ["[1]", '{"a":1}', "[]", "{}"])
def test_arrays_and_objects_are_refused_wherever_a_scalar_stands(text):
    value = json.loads(text)
    for where, path in (
        ([{"column": "n", "op": "eq", "value": value}], "where[0].value"),
        ([{"or": [{"column": "n", "op": "lt", "value": value}]}], "where[0].or[0].value"),
        ([{"column": "n", "op": "notin", "value": [1, value]}], "where[0].value[1]"),
    ):
        with pytest.raises(Failed) as refused:
            asked(where=where)
        assert (refused.value.kind, refused.value.field) == (Kind.BAD_QUERY, path)
    with pytest.raises(Failed) as refused:
        encode_cursor((1, JsonText(text)))
    assert refused.value.field == "cursor.values[1]"


def test_the_head_is_an_empty_cursor():
    assert encode_cursor(None) == b""
    assert encode_cursor((1, "a")) == b'{"values":[1,"a"]}'


# ------------------------------------------------------------------ frames


def test_the_frames_are_those_of_the_wire():
    message = ClientFrame(query={"query": b"{}"}).SerializeToString()
    assert message == field(1, field(1, b"{}"))
    message = ClientFrame(reanchor={"cursor": b"{}", "limit": 300}).SerializeToString()
    assert fields(fields(message)[2]) == {1: b"{}", 2: 300}
    assert ClientFrame(reanchor={"limit": 1}).SerializeToString() == field(2, field(2, 1))
    frame = ServerFrame.FromString(field(3, field(1, "c") + field(2, "m") + field(4, 9)))
    assert (frame.error.code, frame.error.message, frame.error.version) == ("c", "m", 9)
    assert ServerFrame.FromString(field(1, b"s")).snapshot == b"s"
    assert ServerFrame.FromString(field(2, b"d") + field(99, b"tomorrow's")).delta == b"d"


def test_a_snapshot_is_a_whole_window():
    sub_id, batch = parse_snapshot(
        b'{"SubID":"s7","Rows":[{"AggID":"a","Version":3,"Cursor":{"values":[1e21,"<"]},'
        b'"Raw":{"n": 1.0, "big":12345678901234567890},"Vals":{"n":1}},'
        b'{"AggID":"b","Version":0,"Cursor":{"Values":[true]},"Raw":null,"Vals":null}],'
        b'"Watermark":"1-0"}'
    )
    assert sub_id == "s7"
    assert batch.snapshot_complete
    assert (batch.epoch, batch.first_seq, batch.bare) == (0, 0, False)
    assert [frame.data for frame in batch.deltas] == [
        b'{"op":"reset","old_index":0,"new_index":0,"cursor":{"values":null}}',
        (
            b'{"op":"enter","agg_id":"a","version":3,"row":{"n":1.0,"big":12345678901234567890},'
            b'"old_index":-1,"new_index":0,"cursor":{"values":[1e21,"\\u003c"]}}'
        ),
        b'{"op":"enter","agg_id":"b","old_index":-1,"new_index":1,"cursor":{"values":[true]}}',
    ]


@pytest.mark.parametrize("data", [b'{"SubID":"","Rows":null,"Watermark":""}', b"{}"])
def test_an_empty_window_is_a_window(data):
    _, batch = parse_snapshot(data)
    assert [frame.op for frame in batch.deltas] == [5]
    assert batch.snapshot_complete


@pytest.mark.parametrize(
    ("op", "name"),
    list(enumerate(["enter", "leave", "move", "update", "reset", "match", "unmatch"])),
)
def test_ops_count_from_0(op, name):
    frame = parse_delta(delta_json(op, "a", 1, 2))
    assert (frame.op, frame.agg_id, frame.version) == (op + 1, "a", 2)
    assert (frame.old_index, frame.new_index, frame.stream_id) == (1, 2, "9-0")
    assert frame.at == AT
    assert frame.data == (
        b'{"op":"%b","agg_id":"a","version":2,"row":{"id":"a"},"old_index":1,"new_index":2,'
        b'"cursor":{"values":["a"]},"stream_id":"9-0"}' % name.encode()
    )


@pytest.mark.parametrize("op", [7, 99, -1, -7, 2**62])
def test_an_op_of_tomorrow_is_a_delta(op):
    assert parse_delta(delta_json(op, "a", 0, 0)).data.startswith(b'{"op":"delta"')


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "", "yesterday", "9999-99-99", "1", "2026-07-01T12:00:00+99:00"]
)
def test_a_time_that_is_none_is_unknown(at):
    assert parse_delta(delta_json(3, "a", 0, 0, at=at)).at == 0


@pytest.mark.parametrize("cursor", [None, {}, {"values": None}, {"Values": None}])
def test_a_cursor_without_values_is_printed_as_none(cursor):
    frame = parse_delta(delta_json(1, "a", 0, -1, cursor=cursor))
    assert frame.cursor == b'{"values":null}'


@pytest.mark.parametrize(
    "data",
    [
        b"", b"7", b"null", b'"x"', b"[]", b'{"Rows":{}}', b'{"Rows":[7]}', b'{"SubID":7}', b"{",
        b'{"Rows":[{"AggID":"a","Version":1e30}]}', b'{"Rows":[{"Version":99999999999999999999}]}',
        b'{"SubID":"\xff"}', b'{"Rows":' + b"[" * 200_000,
    ],
    ids=lambda data: data[:30].decode("latin-1"),
)  # fmt: skip
def test_what_is_no_snapshot_is_unreadable(data):
    _, batch = parse_snapshot(data)
    [frame] = batch.deltas
    assert isinstance(frame, UnreadableFrame)
    assert frame.reason.startswith("a snapshot that is none: ")
    assert not batch.snapshot_complete


def test_one_row_that_cant_be_read_is_a_frame_without_data():
    row = '{"AggID":"%s","Version":1,"Cursor":{"values":["a"]},"Raw":%s}'
    rows = ",".join((row % ("a", "{}"), row % ("b", '{"n":"\xff"}'), row % ("", "{}")))
    _, batch = parse_snapshot(b'{"Rows":[%b]}' % rows.encode("latin-1"))
    assert [bool(frame.data) for frame in batch.deltas] == [True, True, False, False]
    assert [frame.agg_id for frame in batch.deltas] == ["", "a", "b", ""]


# ------------------------------------------------------------------ errors

QUERY = parse_query(
    '{"entity":"item","limit":3,"sort":[{"column":"a"},{"column":"b"}],"where":['
    '{"column":"a","op":"eq","value":1},{"or":[{"column":"c","op":"like","value":"x"}]}]}'
)


@pytest.mark.parametrize(
    ("text", "field_path"),
    [
        ('fabriq: unknown entity "item"', "entity"),
        ('fabriq: entity "item" does not declare a LiveSpec', "entity"),
        ("fabriq: live query requires Limit > 0", "limit"),
        ('fabriq: filter references unknown column "c"', "where[1].or[0]"),
        ('fabriq: filter references unknown column "of others"', "where"),
        ('fabriq: unknown filter operator "like" on "c"', "where[1].or[0]"),
        ('fabriq: operator "eq" on "a" needs a value', "where[0]"),
        ('fabriq: column "b" is not sortable for live queries', "sort[1].column"),
        ("remote: decode live query: json: cannot unmarshal", None),
        ('live: reanchor: fabriq: column "a" is not sortable for live queries', "sort[0].column"),
    ],
)
def test_texts_of_validation_are_bad_queries_that_name_the_field(text, field_path):
    error = ServerFrame(error={"code": "internal", "message": text}).error
    failed = failure_of_error(error, QUERY, ())
    assert (failed.kind, failed.field) == (Kind.BAD_QUERY, field_path)
    assert text not in failed.text()


@pytest.mark.parametrize(
    "text",
    ["", "runtime error: index out of range", "ERROR: syntax error (SQLSTATE 42601)", "\0\n"],
)
def test_any_other_internal_error_is_the_tiers_own(text):
    error = ServerFrame(error={"code": "internal", "message": text}).error
    failed = failure_of_error(error, QUERY, ())
    assert (failed.kind, failed.message) == (Kind.BROKEN, "the tier failed")


def test_a_whole_snapshot_of_the_test_server_is_read():
    _, batch = parse_snapshot(snapshot_json("a", "b"))
    assert [frame.agg_id for frame in batch.deltas] == ["", "a", "b"]
