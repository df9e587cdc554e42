import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.core.query_parser import MAX_BYTES, parse_query
from bridge.wire.known_rows import MAX_KNOWN
from bridge.wire.v1_commands import (
    MAX_NAME,
    V1Authenticate,
    V1Message,
    V1Ping,
    V1Reanchor,
    V1Subscribe,
    V1Unsubscribe,
)
from core_makers import failure_of, json_texts, mutations, thorough

QUERY = {"entity": "asset", "limit": 10}


def read(message, **options):
    return V1Message(json.dumps(message)).command(**options)


def refused(message, **options):
    with pytest.raises(Failed) as caught:
        read(message, **options)
    return caught.value


def subscribe(**members):
    return {"action": "subscribe", "sub": "s", "query": QUERY} | members


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ({"action": "authenticate", "token": "t"}, V1Authenticate("t")),
        ({"action": "unsubscribe", "sub": "s"}, V1Unsubscribe("s")),
        ({"ACTION": "ping", "sub": 5}, V1Ping()),
        ({"action": "reanchor", "sub": "s"}, V1Reanchor("s", None, 0)),
        (
            {"action": "reanchor", "\u017fub": "s", "cursor": {"values": [1]}, "limit": 2},
            V1Reanchor("s", (1,), 2),
        ),
    ],
)
def test_a_message_is_the_command_that_its_action_says(message, command):
    assert read(message) == command


def test_a_subscribe_has_a_name_and_a_query_and_maybe_what_is_known():
    bare = read(subscribe())
    assert bare == V1Subscribe("s", parse_query(json.dumps(QUERY)), "", None)
    full = read(subscribe(resume="t.5", known=[["a", 3], ["b", 0]]))
    assert full.resume == "t.5"
    assert [(one.agg_id, one.version) for one in full.known] == [("a", 3), ("b", 0)]


@pytest.mark.parametrize(
    ("known", "rows"),
    [
        ([], []),
        ({"b": 2, "a": 1}, [("b", 2), ("a", 1)]),
        (
            [["a", 2**53 - 1], ["b", 2**53], ["c", -5], ["d", 1.5], ["e"], ["f", None], ["g", "7"]],
            [("a", 2**53 - 1), ("b", 0), ("c", -5), ("d", 0), ("e", 0), ("f", 0), ("g", 0)],
        ),
        ([["a", 10**30]], [("a", 0)]),
    ],
)
def test_what_is_known_is_taken_in_either_form_and_odd_versions_count_as_0(known, rows):
    assert [(one.agg_id, one.version) for one in read(subscribe(known=known)).known] == rows


@pytest.mark.parametrize(
    ("message", "kind", "field"),
    [
        ([], Kind.MALFORMED, "message"),
        (None, Kind.MALFORMED, "message"),
        ({}, Kind.MALFORMED, "action"),
        ({"action": 1}, Kind.MALFORMED, "action"),
        ({"action": "dance"}, Kind.UNIMPLEMENTED, "action"),
        ({"action": "authenticate"}, Kind.MALFORMED, "token"),
        ({"action": "authenticate", "token": ""}, Kind.MALFORMED, "token"),
        ({"action": "unsubscribe"}, Kind.MALFORMED, "sub"),
        (subscribe(sub=""), Kind.MALFORMED, "sub"),
        (subscribe(sub="x" * (MAX_NAME + 1)), Kind.MALFORMED, "sub"),
        (subscribe(query=None), Kind.MALFORMED, "query"),
        (subscribe(query=[]), Kind.MALFORMED, "query"),
        (subscribe(query={"entity": ""}), Kind.BAD_QUERY, "entity"),
        (subscribe(resume=5), Kind.MALFORMED, "resume"),
        (subscribe(known="a"), Kind.MALFORMED, "known"),
        (subscribe(known=["a"]), Kind.MALFORMED, "known[0]"),
        (subscribe(known=[["a", 1], [1, 1]]), Kind.MALFORMED, "known[1]"),
        (subscribe(known=[["a", 1]] * (MAX_KNOWN + 1)), Kind.MALFORMED, "known"),
        ({"action": "reanchor", "sub": "s", "limit": -1}, Kind.MALFORMED, "limit"),
        ({"action": "reanchor", "sub": "s", "limit": "1"}, Kind.MALFORMED, "limit"),
    ],
)
def test_a_refusal_names_its_kind_and_field(message, kind, field):
    failure = refused(message)
    assert (failure.kind, failure.field) == (kind, field)


def test_names_of_64_characters_and_1000_rows_known_are_taken():
    name = "\u00e9" * MAX_NAME
    assert read(subscribe(sub=name, known=[[f"r{i}", 1] for i in range(MAX_KNOWN)])).sub == name


def test_the_configured_limit_binds():
    assert refused(subscribe(), max_limit=9).field == "limit"
    assert refused({"action": "reanchor", "sub": "s", "limit": 10}, max_limit=9).field == "limit"


@pytest.mark.parametrize("filler", ["x", "\u00e9"])
def test_a_query_of_more_than_16_kib_is_too_large(filler):
    size = len(filler.encode())
    room = MAX_BYTES - len(json.dumps(QUERY | {"f": ""}, separators=(",", ":")))
    assert read(subscribe(query=QUERY | {"f": filler * (room // size)}))
    failure = refused(subscribe(query=QUERY | {"f": filler * (room // size + 1)}))
    assert failure.kind is Kind.MESSAGE_TOO_LARGE


@pytest.mark.parametrize("text", ["", "x", "{", '"\\ud800"', "[" * 60_000, '{"a":1} x'])
def test_text_that_is_no_json_closes_the_socket(text):
    with pytest.raises(Failed) as caught:
        V1Message(text)
    assert caught.value.row.close_code == 4500


def test_the_name_is_known_even_of_a_command_that_is_refused():
    assert V1Message('{"action":"dance","sub":"s"}').sub == "s"
    assert V1Message('{"sub":5}').sub is None
    assert V1Message("[]").sub is None


SEED = json.dumps(subscribe(known=[["a", 1]], resume="t.1")).encode()


@thorough
@given(
    mutations(SEED).map(lambda data: data.decode(errors="surrogateescape"))
    | json_texts()
    | st.text(max_size=30)
)
def test_any_message_is_read_or_refused_and_nothing_else(text):
    failure = failure_of(lambda: V1Message(text).command())
    assert failure is None or failure.field
