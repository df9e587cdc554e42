import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.errors import Failed, Kind
from bridge.core.query_parser import MAX_BYTES, parse_query
from bridge.wire.core_commands import (
    CoreIgnored,
    CoreReanchor,
    CoreSubscribe,
    CoreUnsubscribe,
    parse_command,
    parse_first_command,
)
from core_makers import failure_of, json_texts, mutations, named, quick, thorough, vector_input

RECORDED = named("client_command")
MEANINGS = {"ignored": CoreIgnored, "reanchor": CoreReanchor, "unsubscribe": CoreUnsubscribe}
QUERY = {"entity": "asset", "limit": 10}


def refused(read, text, **options):
    with pytest.raises(Failed) as caught:
        read(text, **options)
    assert caught.value.field
    return caught.value


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_command_is_taken_as_the_first_message_as_go_took_it(name):
    vector = RECORDED[name]
    text = vector_input(vector).decode()
    if vector.get("ok_as_first_message"):
        normal = json.loads(vector["normalized"])["query"]
        assert parse_first_command(text).query.key == parse_query(json.dumps(normal)).key
    else:
        assert refused(parse_first_command, text).row.close_code == 4500


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_command_means_as_a_later_message_what_it_meant_to_go(name):
    vector = RECORDED[name]
    text = vector_input(vector).decode()
    if "as_later_message" not in vector:
        assert refused(parse_command, text).row.close_code == 4500
        return
    read = parse_command(text)
    assert type(read) is MEANINGS[vector["as_later_message"]]
    if isinstance(read, CoreReanchor):
        normal = json.loads(vector["normalized"])
        cursor = (normal.get("cursor") or {}).get("values")
        assert read == CoreReanchor(tuple(cursor) if cursor else None, normal.get("limit", 0))


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ({"action": "unsubscribe"}, CoreUnsubscribe()),
        ({"ACTION": "unsubscribe"}, CoreUnsubscribe()),
        ({"action": "Unsubscribe"}, CoreIgnored()),
        ({"action": "dance"}, CoreIgnored()),
        ({"action": None}, CoreIgnored()),
        (None, CoreIgnored()),
        ({"action": "subscribe", "query": QUERY}, CoreIgnored()),
        ({"action": "subscribe", "query": {}}, CoreIgnored()),
        ({"action": "subscribe"}, CoreIgnored()),
        ({"action": "reanchor"}, CoreReanchor(None, 0)),
        ({"action": "reanchor", "cursor": None, "limit": None}, CoreReanchor(None, 0)),
        ({"action": "reanchor", "cursor": {"values": []}, "limit": 7}, CoreReanchor(None, 7)),
        (
            {"action": "reanchor", "cur\u017for": {"value\u017f": [1, None]}},
            CoreReanchor((1, None), 0),
        ),
        ({"action": "reanchor", "cursor": {"values": [2**63]}}, CoreReanchor((2**63,), 0)),
    ],
)
def test_a_later_message_means_what_its_action_says(message, meaning):
    assert parse_command(json.dumps(message)) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        '"unsubscribe"',
        "1",
        '{"action":1}',
        '{"action":[]}',
        '{"action":"x","limit":-1}',
        '{"action":"x","limit":1.0}',
        '{"action":"x","limit":"1"}',
        '{"action":"x","query":5}',
        '{"action":"x","query":{"entity":"e","limit":"1"}}',
        '{"action":"x","cursor":5}',
        '{"action":"reanchor","cursor":{"values":[1e400]}}',
        '{"action":"reanchor","limit":2147483648}',
        '{"action":"x"} {}',
        '{"action":"\\ud800"}',
        '{"action":"unsubscribe","query":{"entity":"e","where":{}}}',
    ],
)
def test_a_message_that_is_no_command_closes_4500_first_and_later(text):
    assert refused(parse_command, text).row.close_code == 4500
    assert refused(parse_first_command, text).row.close_code == 4500


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ({"action": "reanchor"}, "action"),
        ({"action": "unsubscribe"}, "action"),
        ({"action": "SUBSCRIBE", "query": QUERY}, "action"),
        ({"query": QUERY}, "action"),
        (None, "action"),
        ({"action": "subscribe"}, "query"),
        ({"action": "subscribe", "query": None}, "query"),
        ({"action": "subscribe", "query": {}}, "entity"),
        ({"action": "subscribe", "query": {"entity": "e"}}, "limit"),
    ],
)
def test_anything_but_a_good_subscribe_first_is_refused_by_field(message, field):
    failure = refused(parse_first_command, json.dumps(message))
    assert (failure.field, failure.row.close_code) == (field, 4500)


def test_a_subscribe_is_read_with_its_query():
    assert parse_first_command(
        json.dumps({"Action": "subscribe", "QUERY": QUERY})
    ) == CoreSubscribe(parse_query(json.dumps(QUERY)))


def test_the_last_repeat_of_a_key_wins_in_any_case():
    assert parse_command('{"action":"reanchor","ACTION":"unsubscribe"}') == CoreUnsubscribe()


def test_the_configured_limit_binds_subscribe_and_reanchor():
    subscribe = json.dumps({"action": "subscribe", "query": QUERY})
    reanchor = json.dumps({"action": "reanchor", "limit": 11})
    assert parse_first_command(subscribe, max_limit=10).query.limit == 10
    assert refused(parse_first_command, subscribe, max_limit=9).field == "limit"
    assert refused(parse_command, reanchor, max_limit=10).field == "limit"
    assert parse_command(reanchor, max_limit=11) == CoreReanchor(None, 11)


@pytest.mark.parametrize(
    ("members", "query", "field"),
    [
        ({"action": "x", "cursor": 5}, {"entity": ""}, "cursor"),
        ({"action": "x"}, {"entity": ""}, "action"),
        ({"action": "x"}, {"limit": "1"}, "limit"),
        ({"action": "x", "cursor": 5}, {"mode": "1"}, "mode"),
        ({"action": "x", "limit": -1}, {"mode": "1"}, "limit"),
        ({}, {"limit": 11, "mode": "1"}, "mode"),
        ({}, {"limit": 11, "mode": 2}, "limit"),
        ({}, {"entity": "", "limit": 11}, "entity"),
        ({}, {"entity": "", "f": "x" * MAX_BYTES}, "query"),
        ({"action": "x"}, {"f": "x" * MAX_BYTES}, "action"),
    ],
)
def test_a_first_message_is_refused_for_types_then_action_then_size_then_values(
    members, query, field
):
    message = {"action": "subscribe", "query": QUERY | query} | members
    assert refused(parse_first_command, json.dumps(message), max_limit=10).field == field


def test_size_is_checked_before_syntax():
    assert refused(parse_command, "{" * (2 * MAX_BYTES)).kind is Kind.MESSAGE_TOO_LARGE
    assert refused(parse_first_command, "\u00e9" * MAX_BYTES).kind is Kind.MESSAGE_TOO_LARGE


def test_a_query_as_large_as_allowed_fits_into_a_command():
    text = json.dumps(QUERY)
    text = text[:-1] + " " * (MAX_BYTES - len(text)) + "}"
    assert parse_first_command(f'{{"action":"subscribe","query":{text}}}')


SEEDS = [
    json.dumps({"action": "subscribe", "query": QUERY | {"sort": [{"column": "a"}]}}).encode(),
    json.dumps({"action": "reanchor", "cursor": {"values": [1, "x"]}, "limit": 5}).encode(),
]
any_text = st.one_of(
    st.sampled_from(SEEDS).flatmap(mutations).map(lambda data: data.decode(errors="replace")),
    st.sampled_from(SEEDS)
    .flatmap(mutations)
    .map(lambda data: data.decode(errors="surrogateescape")),
    json_texts(),
    st.text(st.characters(exclude_categories=[]), max_size=40),
)


@thorough
@given(any_text)
def test_any_message_is_read_or_refused_and_nothing_else(text):
    for read in (parse_first_command, parse_command):
        failure = failure_of(read, text)
        assert failure is None or failure.field


@quick
@given(any_text)
def test_what_is_fit_as_a_first_message_is_ignored_later(text):
    if failure_of(parse_first_command, text) is None:
        assert parse_command(text) == CoreIgnored()
